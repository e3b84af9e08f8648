"""Claims about `train --track trackio`, each with a test below; the real package, real processes.

1. trackio has the rows of metrics.jsonl, by step, and the settings; project and run have the names
   of GRAPH and folder; stdout is the report alone; nothing is sent, whatever the environment says.
2. Killed and resumed, it is one run of trackio with each row once. A run of that name in another
   folder, or one that was replaced, is another.
3. What fails is said in one line, and training ends as if it had not been tracked.
4. Without the package: exit 2 before any work, and the extra is named; a resume goes on untracked.
5. A run that is not tracked leaves trackio alone.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training import test_folder
from training.test_folder import ENV, ROOT, SHORT, WIDTH, Command, epochs, run_json, tables, z_of

from nodejepa_ext.training import track

LOOK = """
import json, sys, trackio
from trackio.sqlite_storage import SQLiteStorage

runs = trackio.Api().runs(sys.argv[1])
logs = [SQLiteStorage.get_logs(sys.argv[1], run_id=run.id) for run in runs]
print(json.dumps([[run.name, run.config, rows] for run, rows in zip(runs, logs)]))
"""
ABSENT = """
import sys
sys.modules["trackio"] = None
from nodejepa_ext.commands import app
app(sys.argv[1:], prog_name="nodejepa-ext")
"""
LONG = [*WIDTH, "--epochs", "600", "--eval-every", "100", "--checkpoint-every", "50"]
TRACK = ["--track", "trackio"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where trackio keeps its data; and where else, as far as the environment goes."""
    folder = tmp_path_factory.mktemp("trackio")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (
            ("TRACKIO_DIR", str(folder)),
            ("TRACKIO_SPACE_ID", "someone/else"),
            ("TRACKIO_SERVER_URL", "http://127.0.0.1:9"),
        ):
            patch.setitem(test_folder.ENV, name, value)
        yield folder


@pytest.fixture(scope="module")
def ext(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    command = Command(tmp_path_factory.mktemp("command"))
    with command.server:
        yield command


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tables(tmp_path_factory.mktemp("graphs") / "mine")


def tracked(store: Path, project: str) -> list[tuple[str, dict[str, Any], list[dict[str, Any]]]]:
    """Name, config and rows of its runs, read by trackio in a process of its own."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("TRACKIO")}
    command = [sys.executable, "-c", LOOK, project]
    done = subprocess.run(
        command, env=env | {"TRACKIO_DIR": str(store)}, capture_output=True, text=True, check=True
    )
    found: list[tuple[str, dict[str, Any], list[dict[str, Any]]]] = json.loads(done.stdout)
    return found


def check_rows(out: Path, rows: list[dict[str, Any]]) -> None:
    kept = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [row.pop("step") for row in rows] == [row["epoch"] for row in kept]
    assert [{k: v for k, v in row.items() if k != "timestamp"} for row in rows] == kept


@pytest.mark.slow
def test_rows(ext: Command, graph: Path, store: Path, tmp_path: Path) -> None:
    out = tmp_path / "first"
    assert ext("train", graph, "--out", out, *SHORT, *TRACK) == 0, ext.err
    assert ext.out == (out / "report.md").read_text()
    assert f"trackio: {store}, run first; to look at it: trackio show --project mine" in ext.err
    assert ext.err.count("trackio") == 2 + str(store).count("trackio")
    (name, config, rows), *others = tracked(store, "mine")
    assert name == "first" and not others and config["folder"] == str(out)
    assert config.items() >= run_json(out)["settings"].items()
    check_rows(out, rows)

    assert ext("train", graph, "--out", out, *SHORT, *TRACK, "--overwrite") == 0, ext.err
    assert [run[0] for run in tracked(store, "mine")] == ["first", "first"]
    assert [path.name for path in store.glob("*.db")] == ["mine.db"]


def kill(ext: Command, graph: Path, out: Path, store: Path) -> None:
    """Once some rows are in trackio and some more in metrics.jsonl."""
    process = ext.start("train", graph, "--out", out, *LONG, *TRACK)
    deadline, metrics = time.monotonic() + 120, out / "metrics.jsonl"
    while not (store / f"{graph.name}.db").exists() or metrics.read_text().count("\n") < 120:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process, signal.SIGKILL)
    assert ext.wait() == -signal.SIGKILL


@pytest.fixture(scope="module")
def killed(
    ext: Command, store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, Path]]:
    """Of a graph of its own: what is left of a run, and a copy; each for one test."""
    graph = tables(tmp_path_factory.mktemp("graphs") / "halted")
    out = tmp_path_factory.mktemp("killed") / "r"
    kill(ext, graph, out, store)
    shutil.copytree(out, copy := out.with_name("copy"))
    yield out, copy


@pytest.mark.slow
def test_killed_and_resumed(ext: Command, killed: tuple[Path, Path], store: Path) -> None:
    out, _ = killed
    assert ext("train", "--resume", out) == 0, ext.err
    ((name, _, rows),) = tracked(store, "halted")
    assert name == "r" and epochs(out) == [*range(1, 601)]
    check_rows(out, rows)


@pytest.mark.slow
def test_runs_of_one_name(ext: Command, graph: Path, store: Path, tmp_path: Path) -> None:
    graph = Path(shutil.copytree(graph, tmp_path / "shared"))
    one, two = tmp_path / "one" / "r", tmp_path / "two" / "r"
    kill(ext, graph, one, store)
    assert ext("train", graph, "--out", two, *SHORT, *TRACK) == 0, ext.err
    assert ext("train", "--resume", one) == 0, ext.err
    found = tracked(store, "shared")
    whole = [rows for _, config, rows in found if config["folder"] == str(one)]
    ((_, _, other),) = [run for run in found if run[1]["folder"] == str(two)]
    check_rows(two, other)
    check_rows(one, max(whole, key=len))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "said"), [("broken", "unable to open database file"), ("my_system", "not allowed")]
)
def test_what_fails(
    ext: Command, graph: Path, store: Path, tmp_path: Path, name: str, said: str
) -> None:
    """A folder in the database's place; a name that trackio keeps for itself."""
    graph = Path(shutil.copytree(graph, tmp_path / name))
    (store / "broken.db").mkdir(exist_ok=True)
    assert ext("train", graph, "--out", tmp_path / "r", *SHORT, *TRACK) == 0, ext.err
    (line,) = [text for text in ext.err.splitlines() if "goes on without it" in text]
    assert line.startswith("trackio: ") and said in line and "Warning" not in ext.err
    assert ext("train", graph, "--out", tmp_path / "plain", *SHORT) == 0, ext.err
    assert np.array_equal(z_of(tmp_path / "r"), z_of(tmp_path / "plain"))
    (store / "broken.db").rmdir()


def without(*argv: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", ABSENT, "train", *map(str, argv)]
    return subprocess.run(command, env=ENV, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.slow
def test_without_the_package(graph: Path, tmp_path: Path) -> None:
    done = without(graph, "--out", tmp_path / "r", *SHORT, *TRACK)
    assert done.returncode == 2 and not (tmp_path / "r").exists()
    text = "--track trackio: needs trackio: pip install 'nodejepa[trackio]'"
    assert done.stderr == f"nodejepa-ext train: {text}\n"
    with pytest.raises(ValueError, match="--track wandb: expected trackio"):
        track.check("wandb")


@pytest.mark.slow
def test_resumed_without_the_package(killed: tuple[Path, Path]) -> None:
    done = without("--resume", killed[1])
    assert done.returncode == 0 and epochs(killed[1]) == [*range(1, 601)]
    assert done.stderr.count("training goes on without it") == 1


def test_not_tracked(ext: Command, graph: Path, store: Path, tmp_path: Path) -> None:
    graph = Path(shutil.copytree(graph, tmp_path / "quiet"))
    assert ext("train", graph, "--out", tmp_path / "r", *SHORT) == 0, ext.err
    assert "trackio" not in ext.err and not list(store.glob("quiet*"))
    assert "track" not in run_json(tmp_path / "r")
