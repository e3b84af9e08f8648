"""Claims about the bench of what is survived, each with a test below.

1. A small share of all ends without a fault, in the words and the JSON of the command; what does
   not go together is refused.
2. A fault that is planted is counted, and the command exits 1: a traceback, another graph without a
   word, a command that hangs, a process that dies.
3. Each hostile stream does what it is for where it is unpickled.
4. A tenth of all ends without a fault.
"""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from nodejepa_ext.bench import survive, survive_damage, survive_pickles
from nodejepa_ext.bench.process import environment, fresh
from nodejepa_ext.bench.survive_process import Ended, Tally, wrong_end
from nodejepa_ext.commands import app

PLANT = """
import sys, time, os
from pathlib import Path
from nodejepa_ext.bench import survive_files as files, survive_fuzz as fuzz
from nodejepa_ext.bench import survive_process as process
from nodejepa_ext.graphs import archives, graph
process.preload()
home = files.sound(Path("home").absolute(), slow=False)
process.LIMIT = 3.0
sound = graph.files.read_npz
def planted(path, notices):
    {what}
graph.files.read_npz = planted
kinds = tuple(kind for kind in files.GRAPHS if kind.path == "graph.npz")
read = fuzz.many
fuzz.many = lambda trial, count, log: read(trial, count, log, 3.0)
fuzz.drawn = lambda kind, payload, rng: ("none", payload)
row = fuzz.fuzzed("planted", kinds, home, Path.cwd(), 2, 0).row()
print({{kind: row[kind] for kind in process.FAULTS}})
"""
PLANTED = {
    "raise KeyError('x')": "{'lost': 0, 'run': 0, 'hung': 0, 'tracebacks': 2}",
    "time.sleep(60)": "{'lost': 0, 'run': 0, 'hung': 2, 'tracebacks': 0}",
    "os.abort()": "{'lost': 0, 'run': 0, 'hung': 0, 'tracebacks': 2}",
}


def planted(what: str, folder: Path) -> str:
    """What is counted where reading an .npz is replaced by this."""
    command = [sys.executable, "-c", PLANT.format(what=what)]
    env = environment() | {"OMP_NUM_THREADS": "1", "PYTHONPATH": environment()["PYTHONPATH"]}
    streams: Any = dict(capture_output=True, text=True, check=False, cwd=folder, env=env)
    done = subprocess.run(command, **streams)
    return (done.stdout.splitlines() or [done.stderr])[-1]


@pytest.mark.slow
def test_a_planted_fault_is_counted(tmp_path: Path) -> None:
    """Of two cases the first is converted to an .npz, the other to a folder."""
    what = "a = sound(path, notices); a['x'] = a['x'] + ('made' in str(path)); return a"
    assert planted(what, tmp_path) == "{'lost': 1, 'run': 0, 'hung': 0, 'tracebacks': 0}"


@pytest.mark.slow
@pytest.mark.parametrize("what", PLANTED)
def test_every_planted_fault_is_counted(what: str, tmp_path: Path) -> None:
    assert planted(what, tmp_path) == PLANTED[what]


def test_what_is_no_good_end() -> None:
    def end(code: int, err: str, hung: bool = False) -> Ended:
        return Ended(["data", "check"], code, "", err, hung)

    assert wrong_end(end(0, "")) is None
    assert wrong_end(end(3, "nodejepa-ext data check: g: no\n")) is None
    for bad, kind in (
        (end(3, ""), "tracebacks"),
        (end(3, "g: no"), "tracebacks"),
        (end(70, "Traceback"), "tracebacks"),
        (end(-11, ""), "tracebacks"),
        (end(0, "", hung=True), "hung"),
    ):
        found = wrong_end(bad)
        assert found is not None and found[0] == kind
    tally = Tally("x", 1)
    assert not tally.take(end(-11, "")) and tally.row()["tracebacks"] == 1
    report = {"rows": [tally.row()], "share": 1.0, "seed": 0}
    assert survive.failed(report)
    assert len(survive.tables(report | {"cpu_seconds": 1.0, "wall_seconds": 1.0})) == 2


def test_hostile_streams_do_what_they_are_for(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    made = survive_pickles.programs(canary)
    for stream in made:
        pickle.loads(stream)
        assert canary.exists(), stream
        canary.unlink()
    assert len({*made}) == len(made) > 9


def test_damage_is_drawn_by_a_seed() -> None:
    import random

    payload = b"id,label\n1,a\n2,b\n"
    for way in (*survive_damage.BYTES, survive_damage.cells):
        one, two = (way(payload, random.Random(7)) for _ in range(2))
        assert one == two


def test_options() -> None:
    for words in (["survive", "--share", "0"], ["--share", "1"], ["gpu", "--seed", "1"]):
        done = CliRunner().invoke(app, ["bench", *words])
        assert done.exit_code == 2 and done.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_tenth() -> None:
    done = fresh("nodejepa_ext", "bench", "survive", "--share", "0.1", "--json")
    assert done.returncode == 0, done.stderr[-5000:]
    report = json.loads(done.stdout)
    assert sum(row["cases"] for row in report["rows"]) > 1000
    assert all(not row[kind] for row in report["rows"] for kind in survive.FAULTS)
