"""Claims about what a sweep survives, each with a test below; real processes, really killed.

1. A worker killed in mid-trial: its trial is run once more and completes, the others never stop.
2. What died twice, hung, raised, diverged or ran out of memory is recorded as that, its seat is
   filled again, all other trials finish, and the exit code is 5. The next start runs again what the
   machine failed, and nothing else.
3. A killed supervisor leaves no worker. The same command continues: what was finished stays as it
   was and is not run again, what was lost is run once more, and as many trials as asked are done;
   so often as it is killed, up to ten attempts at a trial.
4. So it does after Ctrl-C (130) and SIGTERM (143), which run again however often.
5. A retry whose supervisor died between noticing a loss and asking for it is not forgotten.
6. A second supervisor of a folder is refused; with --join both share the trials, each run once.
7. An unfinished last record is cut off and said to be, and the sweep goes on.
8. A disk that is full ends it with code 1 and one sentence; with space again it goes on.
9. Two hosts share a PostgreSQL study through restarts of the server and the death of one: every
   trial ends in one final state and none is run twice, but for one retry of what was lost.
10. The search ends with its budget of time; rounds follow. Every graph has studies of its own.
11. A configuration too large for the memory is infeasible, and the search goes on.
12. One of four seats fails at once, whatever it raises: no trial is lost by it, the winner has all
    fresh seeds, and the seat is named.
13. Every seat fails: the sweep ends early with code 5, and the next start, mended, finishes it.
14. While fresh seeds lack what the machine failed there is no winner of them, no test figure, and
    the exit code is 5; the next start completes them. In a journal as in PostgreSQL, whose password
    is in no output and no file.
15. A clock that runs backwards gives no negative times.
"""

from __future__ import annotations

import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from optuna.trial import FrozenTrial
from postgres import PASSWORD, QUOTED, Server
from sweep.test_study import TINY, children, files, invoke, trials

from nodejepa_ext.sweep import pool
from nodejepa_ext.sweep.pool import Status
from nodejepa_ext.sweep.rounds import settings
from nodejepa_ext.sweep.storage import open_store

ROOT = Path(__file__).parents[2]
FEW = [*TINY, "--seeds", "1", "--best", "1", "--fresh", "2", "--pruner", "none"]
SMALL = [*FEW, "--trials", "2", "--workers", "1", "--final"]

# Trains nothing: a trial is four reports, and in the middle of them what it was ordered to do.
WORKER = """
import json, os, signal, time
from pathlib import Path
from nodejepa_ext.workers.supervisor import serve

here = Path(__file__).parent

def obey(order, answer):
    if order.startswith('SIG'):
        os.kill(os.getpid(), signal.Signals[order])
    elif order == 'wait':
        while not (here / 'go').exists():
            time.sleep(0.05)
    elif order == 'cuda':
        raise RuntimeError('CUDA error: an illegal memory access was encountered')
    elif order == 'diverge':
        answer.update(outcome='diverged', message='epoch 2: the loss is not finite')
    elif order == 'filled':
        raise RuntimeError('CUDA out of memory. Tried to allocate 2.00 GiB')
    elif order:
        raise {'MemoryError': MemoryError, 'RuntimeError': RuntimeError}[order]('no luck')

def work(job, report):
    if job.get('timing'):
        return {'seconds': 0.1}
    key, cfg, (seed,) = job['key'], job['config'], job['seeds']
    value = 0.5 + cfg['feat1'] / 10 + seed / 1e4
    with (here / 'begun').open('a+') as file:
        print(key, file=file, flush=True)
        file.seek(0)
        attempts = file.read().split().count(key)
    everything = json.loads((here / 'orders').read_text())
    orders = everything.get(key, [])
    obey(everything.get('GPU ' + os.environ.get('CUDA_VISIBLE_DEVICES', ''), ''), {})
    answer = {'outcome': 'ok', 'message': '', 'value': value}
    for step in (5, 10, 15, 20):
        report({'step': step, 'value': value})
        if step == 10 and attempts <= len(orders):
            obey(orders[attempts - 1], answer)
            if answer['outcome'] != 'ok':
                return {'outcome': answer['outcome'], 'message': answer['message'], 'rows': []}
    row = {'seed': seed, 'val': value, 'epoch': 4, 'c': 1.0, 'scaling': 'unit', 'curve': []}
    row |= {'effective_rank': 2.0, 'rank': 0.25, 'cosine': 0.0, 'min_std': 0.1, 'cpu_seconds': 0.0}
    spent = {'cpu_seconds': 0.0, 'wall_seconds': 0.1, 'peak_mib': 1.0}
    return answer | spent | {'rows': [row]}

serve(work)
"""
LABOUR = "from nodejepa_ext.sweep import pool; pool.MODULE = 'labour'"
MAIN = "from nodejepa_ext.commands import main; main()"


class Labour:
    """A folder with the module `labour`, its orders, and what it has begun."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.out = folder, folder / "out"
        (folder / "labour.py").write_text(WORKER)
        self.order()

    def order(self, **orders: list[str]) -> None:
        """orders: what to do at each attempt, by key; "_" stands for what names may not have."""
        named = {key.replace("__", "/").replace("_", "#"): how for key, how in orders.items()}
        (self.folder / "orders").write_text(json.dumps(named))
        (self.folder / "go").unlink(missing_ok=True)

    def go(self) -> None:
        (self.folder / "go").touch()

    def begun(self) -> Counter[str]:
        with suppress(FileNotFoundError):
            return Counter((self.folder / "begun").read_text().split())
        return Counter()


@pytest.fixture
def labour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Labour:
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{tmp_path}")
    monkeypatch.setattr("nodejepa_ext.sweep.pool.MODULE", "labour")
    return Labour(tmp_path)


@contextmanager
def host(out: Path, *argv: str, prelude: str = LABOUR) -> Iterator[subprocess.Popen[str]]:
    """The command in a process at the head of its own group; its words go to <out>.log."""
    command = [sys.executable, "-c", f"{prelude}\n{MAIN}", "sweep", *argv, "--out", str(out)]
    with out.with_suffix(".log").open("a") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=log, stderr=log, text=True, start_new_session=True
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_for(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def states(found: list[FrozenTrial]) -> list[str]:
    return [trial.state.name for trial in found]


def outcomes(found: list[FrozenTrial]) -> list[str]:
    return [trial.user_attrs["outcome"] for trial in found]


def finished(found: list[FrozenTrial]) -> list[FrozenTrial]:
    return [trial for trial in found if trial.state.is_finished()]


def read(out: Path, study: str = "cora") -> list[FrozenTrial]:
    """The trials so far; none before there is a study."""
    with suppress(ValueError, KeyError):
        return trials(out, study)
    return []


def originals(found: list[FrozenTrial]) -> int:
    return sum("retry_of" not in trial.user_attrs for trial in found)


def check_retries(found: list[FrozenTrial], dead: set[int]) -> None:
    """What was lost is these trials, and each has one repetition, which is complete."""
    assert {t.number for t in found if t.user_attrs["outcome"] == "lost"} == dead
    retries = {t.user_attrs["retry_of"]: t for t in found if "retry_of" in t.user_attrs}
    assert retries.keys() == dead and len(retries) == len(found) - originals(found)
    for number, retry in retries.items():
        drawn = found[number].params  # not all, if it was lost as they were drawn
        assert retry.params | drawn == retry.params and retry.state.name == "COMPLETE"


def check_rounds(found: list[FrozenTrial]) -> None:
    runs = [(t.user_attrs["of"], t.user_attrs["seed"]) for t in found if t.value is not None]
    assert runs and len(runs) == len(set(runs)) == 2 * len({of for of, _ in runs})


@pytest.mark.slow
def test_killed_worker(tmp_path: Path) -> None:
    killed: list[int] = []

    def look(status: Status) -> None:
        """Who has not reported the end of his trial waits for an answer from here before that."""
        shares = [share for study, _, share, _ in status.running if study == "cora"]
        if not killed and len(shares) == 2 and 0 < max(shares) < 1:
            killed.append(min(children(os.getpid())))
            os.kill(killed[0], signal.SIGKILL)

    few = ["--trials", "3", "--workers", "2"]
    done = invoke(tmp_path / "out", *FEW, *few, look=look)
    assert done.exit_code == 0 and killed, done.output
    assert f"worker {killed[0]}: killed by SIGKILL" in done.stderr
    assert outcomes(trials(tmp_path / "out")) == ["ok"] * 3
    check_rounds(trials(tmp_path / "out", "cora/rounds"))


@pytest.mark.slow
def test_outcomes(labour: Labour, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "RETIRE", 16)  # whichever seat has more of the failures in a row
    twice = {"cora_2": "SIGKILL", "cora_4": "SIGSEGV", "cora_6": "SIGSTOP", "cora_10": "cuda"}
    twice |= {"cora_12": "RuntimeError"}
    more = {"cora_0": ["SIGKILL"], "cora_8": ["MemoryError"], "cora_13": ["diverge"]}
    labour.order(**{key: [how, how] for key, how in twice.items()}, **more)
    few = ["--trials", "16", "--workers", "2", "--trial-timeout", "6s"]
    done = invoke(labour.out, *FEW, *few)
    assert done.exit_code == 5, done.output
    found = trials(labour.out)
    bad = {2: "died", 4: "died", 6: "timeout", 8: "oom", 10: "failed", 12: "failed"}
    bad |= {13: "diverged"}
    expected = [bad.get(n, "ok") for n in range(16)]
    assert outcomes(found) == expected and "retired" not in done.stderr
    state = {"ok": "COMPLETE", "oom": "PRUNED", "diverged": "PRUNED"}
    assert states(found) == [state.get(outcome, "FAIL") for outcome in expected]
    assert {trial.user_attrs["device"] for trial in found} == {"cpu"}  # failed ones as well
    assert {n: found[n].user_attrs["message"] for n in bad} == {
        2: "killed by SIGKILL, twice: out of memory, perhaps",
        4: "killed by SIGSEGV, twice",
        6: "took longer than 6 s",
        8: "MemoryError: no luck",
        10: "RuntimeError: CUDA error: an illegal memory access was encountered",
        12: "RuntimeError: no luck",
        13: "epoch 2: the loss is not finite",
    }
    begun = labour.begun()
    tried = {0, 2, 4, 6, 10, 12}
    expected_tries = {n: 1 + (n in tried) for n in range(16)}
    expected_tries[6] = min(begun["cora#6"], 2)  # the second may be out of time before it begins
    assert {n: begun[f"cora#{n}"] for n in range(16)} == expected_tries
    check_rounds(trials(labour.out, "cora/rounds"))
    left = "cora: unfinished: search: 4 to be run again (trial 2, 4, 6, 10)"
    assert left in done.stderr
    part = json.loads((labour.out / "final_results.json").read_text())["graphs"]["cora"]
    assert part["counts"] == Counter(expected)
    assert part["unfinished"] == {"search": {"to be run again": [2, 4, 6, 10]}}
    again = invoke(labour.out, *FEW, *few)
    assert again.exit_code == 0, again.output
    after = trials(labour.out)
    assert after[:16] == found and outcomes(after[16:]) == ["ok"] * 4
    assert [t.user_attrs["retry_of"] for t in after[16:]] == [2, 4, 6, 10]
    check_rounds(trials(labour.out, "cora/rounds"))
    begun = labour.begun()
    once_more = invoke(labour.out, *FEW, *few)
    assert once_more.exit_code == 0 and once_more.stdout == again.stdout
    assert labour.begun() == begun


@pytest.mark.parametrize("how", ["cuda", "RuntimeError", "SIGKILL", "filled"])
def test_one_of_four_seats_fails(labour: Labour, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    four_gpus(monkeypatch)
    labour.order(**{"GPU 6": how})
    argv = [*TINY, "--seeds", "1", "--best", "2", "--fresh", "4", "--pruner", "none"]
    done = invoke(labour.out, *argv, "--trials", "24")
    assert done.exit_code == 0, done.output
    found, rounds = trials(labour.out), trials(labour.out, "cora/rounds")
    assert outcomes(found) == ["ok"] * 24 and set(outcomes(rounds)) == {"ok"}
    part = json.loads((labour.out / "final_results.json").read_text())["graphs"]["cora"]
    assert part["winner"] and all(line["fresh"]["n"] == 4 for line in part["rounds"]["lines"])
    (seat,) = part["retired"]
    assert seat["seat"] == "seat 2 (GPU 6)" and "3 failures of the machine in a row" in seat["why"]
    assert "seat 2 (GPU 6): not used until the next start: 3 failures" in done.stderr
    assert "seat 2 (GPU 6)" in done.stdout and part["unfinished"] == {}
    assert invoke(labour.out, *argv, "--trials", "24").stdout == done.stdout


def four_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)


def test_every_seat_fails(labour: Labour, monkeypatch: pytest.MonkeyPatch) -> None:
    four_gpus(monkeypatch)
    labour.order(**{f"GPU {n}": "cuda" for n in (4, 5, 6, 7)})
    done = invoke(labour.out, *FEW, "--trials", "40")
    assert done.exit_code == 5, done.output
    assert "no seat is left: the same command tries them again" in done.stderr
    begun = trials(labour.out)
    assert 0 < len(begun) <= 12 and set(outcomes(begun)) == {"failed"}
    labour.order()
    done = invoke(labour.out, *FEW, "--trials", "40")
    assert done.exit_code == 0, done.output
    found = trials(labour.out)
    assert originals(found) == 40 and len(found) == 40 + len(begun)
    assert Counter(outcomes(found)) == {"ok": 40, "failed": len(begun)}


@pytest.fixture(params=["journal", "PostgreSQL"])
def where(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """Options of a storage, in which a study's name begins with "s/" if it is a server's."""
    if request.param == "journal":
        yield []
        return
    with Server() as server:
        yield ["--storage", server.url(), "--study", "s"]


def test_no_winner_without_its_fresh_seeds(labour: Labour, where: list[str]) -> None:
    twice, at = ["cuda", "cuda"], "s__" if where else ""
    labour.order(**{f"{at}cora__rounds_{n}": twice for n in (0, 3)}, **{f"{at}cora_1": twice})
    argv = [*FEW, "--trials", "6", "--workers", "2", "--final", *where]
    argv[argv.index("--best") + 1] = "2"
    done = invoke(labour.out, *argv)
    assert done.exit_code == 5, done.output
    part = json.loads((labour.out / "final_results.json").read_text())["graphs"]["cora"]
    lines = {line["number"]: line["fresh"]["n"] for line in part["rounds"]["lines"]}
    assert part["winner"] is None or lines[part["winner"]["number"]] == 2
    again = {"to be run again": [0, 3]}
    assert part["unfinished"] == {"rounds": again, "search": {"to be run again": [1]}}
    assert part["test"] is None
    done = invoke(labour.out, *argv)
    assert done.exit_code == 0, done.output
    part = json.loads((labour.out / "final_results.json").read_text())["graphs"]["cora"]
    assert part["winner"] and part["test"]["winner"] and not part["unfinished"]
    assert Counter(trial["outcome"] for trial in part["trials"]) == {"ok": 6, "failed": 1}
    assert part["trials"][1]["params"] == part["trials"][6]["params"]
    begun = labour.begun()
    assert invoke(labour.out, *argv).stdout == done.stdout and labour.begun() == begun
    if where:
        assert "process lists show a password in it" in done.stderr
        texts = [done.output, *(text.decode() for text in files(labour.out).values())]
        assert not any(secret in text for secret in (PASSWORD, QUOTED) for text in texts)


BACKWARDS = """
import time
moments = iter(range(2 * 10**9, 0, -3600))
time.time = lambda: float(next(moments))
"""


@pytest.mark.slow
def test_a_clock_that_runs_backwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sitecustomize.py").write_text(BACKWARDS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    out = tmp_path / "out"
    with host(out, *FEW, "--trials", "1", "--workers", "1", prelude="") as process:
        assert process.wait(120) == 0, out.with_suffix(".log").read_text()
    found = trials(out) + trials(out, "cora/rounds")
    seconds = [t.user_attrs[name] for t in found for name in ("cpu_seconds", "wall_seconds")]
    assert seconds and min(seconds) > 0
    assert not re.search(r"-\d+ (minutes|s)\b", out.with_suffix(".log").read_text())


@pytest.mark.slow
def test_given_up(labour: Labour) -> None:
    argv = [*FEW, "--best", "0", "--trials", "1", "--workers", "1"]
    labour.order(**{f"cora_{n}": ["cuda"] for n in range(12)})
    for start in range(10):
        done = invoke(labour.out, *argv)
        assert done.exit_code == 5 and len(trials(labour.out)) == start + 1, done.output
    assert "search: 1 given up after 10 attempts (trial 9)" in done.stdout
    done = invoke(labour.out, *argv)
    assert done.exit_code == 5 and len(trials(labour.out)) == 10
    assert "search: 1 given up after 10 attempts (trial 9)" in done.stderr


def test_supervisor_that_dies_again_and_again(labour: Labour) -> None:
    argv = [*FEW, "--best", "0", "--trials", "1", "--workers", "1"]
    for _ in range(4):
        with open_store(labour.out, None, join=False) as store:
            study = optuna.create_study(
                study_name="cora", storage=store.optuna, direction="maximize", load_if_exists=True
            )
            for trial in store.reap(study):
                kept = {"retry_of": trial.number}
                store.enqueue(study, trial.params, kept, f"retry of {trial.number}")
            study.ask()
    assert invoke(labour.out, *argv).exit_code == 0
    found = trials(labour.out)
    assert outcomes(found)[:4] == ["lost"] * 4 and set(outcomes(found)[4:]) == {"ok"}
    assert [t.user_attrs["retry_of"] for t in found if "retry_of" in t.user_attrs] == [0, 1, 2, 3]


@pytest.mark.slow
def test_killed_supervisor(tmp_path: Path) -> None:
    out, argv = tmp_path / "out", [*FEW, "--trials", "5", "--workers", "2"]
    with host(out, *argv, prelude="") as process:
        wait_for(lambda: len(finished(read(out))) >= 2)
        workers = children(process.pid)
        process.kill()
        process.wait()
        assert len(workers) == 2
        wait_for(lambda: not any(map(alive, workers)))
    before = trials(out)
    dead = {trial.number for trial in before if trial.state.name == "RUNNING"}
    assert dead and len(before) <= 5
    done = invoke(out, *argv)
    assert done.exit_code == 0, done.output
    after = trials(out)
    for old, new in zip(before, after, strict=False):
        assert old.number in dead or old == new
        assert old.number not in dead or "died" in new.user_attrs["message"]
    check_retries(after, dead)
    assert originals(after) == 5 and len(finished(after)) == 5 + len(dead)
    check_rounds(trials(out, "cora/rounds"))


@pytest.mark.slow
def test_interrupted(labour: Labour) -> None:
    argv = [*FEW, "--trials", "4", "--workers", "1"]
    numbers = [2, 3]  # of the trial that each signal cuts short; the second repeats the first
    for number, how, code in zip(numbers, (signal.SIGINT, signal.SIGTERM), (130, 143), strict=True):
        labour.order(**{f"cora_{number}": ["wait"]})
        with host(labour.out, *argv) as process:
            wait_for(lambda number=number: labour.begun()[f"cora#{number}"])
            workers = children(process.pid)
            assert len(workers) == 1
            os.killpg(process.pid, how) if code == 130 else process.send_signal(how)
            assert process.wait(120) == code
            wait_for(lambda workers=workers: not any(map(alive, workers)))
    log = labour.out.with_suffix(".log").read_text()
    for word in ("interrupted", "terminated"):
        assert f"{word}; what was finished is kept, the same command continues" in log
    assert "Traceback" not in log
    labour.order()
    assert invoke(labour.out, *argv).exit_code == 0
    found = trials(labour.out)
    assert outcomes(found) == ["ok", "ok", "lost", "lost", "ok", "ok"]
    assert [t.user_attrs.get("retry_of") for t in found] == [None, None, None, 2, 3, None]
    assert found[2].params == found[3].params == found[4].params and originals(found) == 4
    assert set(labour.begun().values()) == {1}


@pytest.fixture
def small(labour: Labour) -> list[bytes]:
    """The journal of a sweep of two trials, one run of each afterwards and two final ones."""
    done = invoke(labour.out, *SMALL)
    assert done.exit_code == 0, done.output
    return (labour.out / "journal.jsonl").read_bytes().splitlines(keepends=True)


def continued(labour: Labour, records: list[bytes]) -> None:
    """What a supervisor killed after these records leaves is taken up, and nothing else."""
    out = labour.folder / f"after-{len(records)}"
    out.mkdir()
    (out / "journal.jsonl").write_bytes(b"".join(records))
    names = ("cora", "cora/rounds", "cora/final")
    before = {name: read(out, name) for name in names}
    done = invoke(out, *SMALL)
    assert done.exit_code == 0, done.output
    for name, old in before.items():
        new = trials(out, name)
        dead = {trial.number for trial in old if trial.state.name == "RUNNING"}
        assert all(trial.number in dead or trial == new[trial.number] for trial in finished(old))
        check_retries(new, dead)
        assert originals(new) == (2 if name == "cora" else len(new) - len(dead))
        assert all(trial.state.is_finished() for trial in new)
    check_rounds(trials(out, "cora/rounds"))
    check_rounds(trials(out, "cora/final"))


@pytest.mark.slow
def test_killed_after_some_records(labour: Labour, small: list[bytes]) -> None:
    for count in (1, 3, len(small) // 2, len(small) - 1):
        continued(labour, small[:count])


@pytest.mark.slow
def test_killed_after_many_records(labour: Labour, small: list[bytes]) -> None:
    """After a third of them; `bench survive` kills sweeps at any moment."""
    for count in random.Random(0).sample(range(len(small)), len(small) // 3):
        continued(labour, small[:count])


def test_retry_that_was_never_asked_for(labour: Labour) -> None:
    argv = [*FEW, "--best", "0", "--workers", "1", "--trials"]
    assert invoke(labour.out, *argv, "1").exit_code == 0
    for reaped in (0, 1):  # asked for by the first, noticed to be lost by the second
        with open_store(labour.out, None, join=False) as store:
            study = optuna.load_study(study_name="cora", storage=store.optuna)
            assert len(store.reap(study)) == reaped
            reaped or study.ask()
    assert invoke(labour.out, *argv, "2").exit_code == 0
    check_retries(trials(labour.out), {1})


def authors(journal: bytes) -> set[str]:
    """Who has written the whole lines of a journal."""
    return {json.loads(line)["worker_id"] for line in journal.split(b"\n")[:-1]}


@pytest.mark.slow
def test_second_supervisor(labour: Labour) -> None:
    labour.order(cora_0=["wait"])
    argv = [*FEW, "--trials", "8", "--workers", "1"]

    def look(status: Status) -> None:
        if sum(counts["ok"] for counts in status.counts.values()) >= 3:
            labour.go()

    with host(labour.out, *argv) as process:
        wait_for(lambda: labour.begun()["cora#0"])
        before = files(labour.out)
        refused = invoke(labour.out, *argv)
        assert refused.exit_code == 2 and "--join lets this one share its trials" in refused.stderr
        after = files(labour.out)  # in which the first goes on writing what its worker reports
        written, known = after.pop("journal.jsonl"), before.pop("journal.jsonl")
        assert after == before and authors(written) == authors(known)
        joined = invoke(labour.out, *argv, "--join", look=look)
        assert joined.exit_code == 0, joined.output
        assert process.wait(120) == 0
    found, rounds = trials(labour.out), trials(labour.out, "cora/rounds")
    assert set(outcomes(found)) == {"ok"} and 8 <= len(found) <= 9
    assert len({trial.user_attrs["owner"] for trial in found}) == 2
    assert set(labour.begun().values()) == {1} and len(labour.begun()) == len(found + rounds)
    check_rounds(rounds)


def test_torn_journal(labour: Labour) -> None:
    argv = [*FEW, "--trials", "3", "--workers", "1"]
    done = invoke(labour.out, *argv)
    journal, results = labour.out / "journal.jsonl", files(labour.out)["best.toml"]
    journal.write_bytes(journal.read_bytes()[:-20])
    again = invoke(labour.out, *argv)
    assert done.exit_code == again.exit_code == 0
    assert "journal.jsonl: cut off an unfinished last line, kept as journal-torn-" in again.stderr
    assert files(labour.out)["best.toml"] == results and outcomes(trials(labour.out)) == ["ok"] * 3
    rounds = trials(labour.out, "cora/rounds")
    check_retries(rounds, {1})
    check_rounds(rounds)


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """Bytes; as a disk that is full, for this process and its children."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_full_disk(labour: Labour) -> None:
    argv = [*FEW, "--trials", "6", "--workers", "2"]
    with no_file_beyond(16_000):
        full = invoke(labour.out, *argv)
    assert full.exit_code == 1 and full.stdout == "", full.output
    assert "journal.jsonl: File too large: " in full.stderr.splitlines()[-1]
    assert "free some space there, then the same command continues" in full.stderr
    before = finished(trials(labour.out))
    assert before and not (labour.out / "final_results.json").exists()
    assert invoke(labour.out, *argv).exit_code == 0
    after = trials(labour.out)
    assert [after[trial.number] for trial in before] == before and originals(after) == 6
    assert labour.begun().keys() >= {f"cora#{trial.number}" for trial in before}
    written = files(labour.out)
    with no_file_beyond(1_000):
        full = invoke(labour.out, *argv)
    assert full.exit_code == 1 and "File too large; finished trials are intact" in full.stderr
    assert files(labour.out) == written


def test_budget(labour: Labour) -> None:
    done = invoke(labour.out, *FEW, "--trials", "1000", "--workers", "2", "--budget", "0.01s")
    assert done.exit_code == 0, done.output
    assert 1 <= len(trials(labour.out)) <= 2
    check_rounds(trials(labour.out, "cora/rounds"))


def test_graphs(labour: Labour) -> None:
    few = ["--graphs", "cora,citeseer", "--trials", "2", "--workers", "2"]
    done = invoke(labour.out, *FEW, *few)
    assert done.exit_code == 0 and done.stderr.count("at most about") == 1, done.output
    found = json.loads((labour.out / "final_results.json").read_text())["graphs"]
    assert list(found) == ["cora", "citeseer"]
    for graph, part in found.items():
        assert [trial["outcome"] for trial in part["trials"]] == ["ok", "ok"]
        assert part["plan"]["graph"] == graph and part["winner"]["by"] == "rounds"
        check_rounds(trials(labour.out, f"{graph}/rounds"))
    best = tomllib.loads((labour.out / "best.toml").read_text())
    assert best == {graph: settings(part["winner"]["config"]) for graph, part in found.items()}


@pytest.mark.slow
def test_hosts_of_a_database(labour: Labour) -> None:
    a, b = labour.folder / "a", labour.folder / "b"
    labour.order(**{f"s__cora_{n}": ["wait"] for n in range(2, 6)})
    with Server() as server:
        url = server.url()
        argv = [*FEW, "--trials", "12", "--workers", "2", "--storage", url, "--study", "s"]
        argv += ["--grace", "10s"]
        with host(a, *argv) as first, host(b, *argv) as second:
            wait_for(lambda: all(labour.begun()[f"s/cora#{n}"] for n in range(2, 6)))
            server.restart()
            workers = children(first.pid)
            first.kill()
            first.wait()
            wait_for(lambda: not any(map(alive, workers)))
            labour.go()
            wait_for(lambda: labour.begun()["s/cora#7"])
            server.restart(signal.SIGQUIT)
            assert second.wait(120) == 0, b.with_suffix(".log").read_text()
        with open_store(b, url, join=True, read_only=True) as store:
            found, rounds = (
                store.get_all_trials(store.get_study_id_from_name(name))
                for name in ("s/cora", "s/cora/rounds")
            )
        begun = labour.begun()
        done = invoke(a, *argv)  # the host that was killed comes back
        assert done.exit_code == 0 and labour.begun() == begun
    dead = {trial.number for trial in found if trial.user_attrs["outcome"] == "lost"}
    assert len(dead & {2, 3, 4, 5}) == 2 and len(dead) == 2
    check_retries(found, dead)
    assert set(states(found + rounds)) == {"COMPLETE", "FAIL"} and 12 <= originals(found) <= 13
    assert set(begun.values()) == {1} and len(begun) == len(found + rounds)
    check_rounds(rounds)
    assert files(a)["final_results.json"] == files(b)["final_results.json"]


@pytest.mark.slow
def test_out_of_memory(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (tmp_path / "space.toml").write_text("embed_hops = [0, 1]\n[cora]\nhidden = [16, 65536]\n")
    (tmp_path / "first.toml").write_text("[large]\nhidden = 65536\n[small]\nhidden = 16\n")
    argv = [*(option for option in FEW if option not in ("--hidden", "16")), "--layers", "2"]
    argv += ["--space", str(tmp_path / "space.toml"), "--enqueue", str(tmp_path / "first.toml")]
    limit = "import resource; resource.setrlimit(resource.RLIMIT_AS, (3 * 2**30, 3 * 2**30))"
    with host(out, *argv, "--trials", "2", "--workers", "1", prelude=limit) as process:
        assert process.wait(300) == 0, out.with_suffix(".log").read_text()
    large, small = trials(out)
    assert large.user_attrs["outcome"] == "oom" and "allocate memory" in large.user_attrs["message"]
    assert large.state.name == "PRUNED" and small.state.name == "COMPLETE"
