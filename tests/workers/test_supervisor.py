"""Claims about the supervisor of worker processes, each with a test below.

1. Every job gets its own answer, whatever the order; as many processes as workers serve them all.
2. A job is drawn only when a worker is free, after the outcomes before it.
3. A worker has its threads and its own device, and imports the caller's modules from any folder.
4. A worker killed in mid-job costs one retry, in a new process, at another seat if there is one.
5. A job that two processes died at is an outcome; the message says how; all other jobs finish.
6. An exception, or an odd answer, fails its job, without a retry where there is no other seat; the
   next has a new process.
7. Workers that cannot start fail their jobs, unread, and the run ends.
8. What a worker and its children print never reaches the answers, and is dropped with the job;
   their stdin is empty.
9. Long lines pass in both directions.
10. No worker is left by a closed iterator, a job that is not JSON, or a parent that is killed.
11. Ctrl-C to the whole group ends no job by itself, and no worker prints a traceback.
12. A job that reports hears, each time, whether to go on; a retried one reports anew.
13. A job that takes longer than the time-out is an outcome, and its process is gone.
14. A process is replaced after the given number of jobs.
15. None from the jobs is asked again; the clock ticks while nothing is heard.
16. A seat at which everything fails at once costs no job: what failed there is done elsewhere, and
    after three failures in a row it gets no more. With no seat left the run ends.
17. A worker that ignores SIGTERM, or that does not read, holds up nobody; one whose children hold
    its pipes is seen to be dead, and they end with it.
18. A process that not even SIGKILL ends is abandoned with its seat, and nothing waits for it.
19. The module imports neither torch nor scikit-learn; counts below 1 are refused.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from nodejepa_ext.workers import ending
from nodejepa_ext.workers.supervisor import Outcome, run_jobs

ROOT = Path(__file__).parents[2]
WORKER = """
import fcntl, importlib.util, os, signal, subprocess, sys, time
from pathlib import Path
from nodejepa_ext.workers.supervisor import serve

os.write(1, b'noise at import')
here = Path(__file__).parent
held = open(here / f'{os.getpid()}.lock', 'w')  # as long as this process lives
fcntl.flock(held, fcntl.LOCK_EX)

def die(name, how):
    (here / name).open('a').write('x')
    sys.stderr.write('gave up\\n\\n')
    os.kill(os.getpid(), signal.SIGKILL) if how == 'SIGKILL' else sys.exit(how)

def work(job, report):
    said = os.fstat(2).st_size  # stderr is a file
    for count, how in enumerate(job.get('deaths', [])):
        if not (here / f'{job["n"]}-{count}').exists():
            die(f'{job["n"]}-{count}', how)
    if os.environ.get('CUDA_VISIBLE_DEVICES') in job.get('broken', []):
        raise OSError(5, 'Input/output error')
    if 'deaf' in job:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if 'orphan' in job and not (here / 'orphan').exists():
        child = os.fork()
        if not child:
            time.sleep(600)
        (here / 'orphan').write_text(str(child))
        os._exit(7)
    if 'sleep' in job:
        (here / f'{job["n"]}.busy').touch()
        time.sleep(job['sleep'])
    if job.get('shout'):
        print('{"answer": {"n": -1}}', flush=True)
        os.write(1, b'{"answer": {"n": -2}}\\n')
        subprocess.run([sys.executable, '-c', 'print(\\'{"answer": {"n": -3}}\\')'], check=True)
        assert sys.stdin.read() == ''
    answer = {'n': job['n'], 'pid': os.getpid(), 'said': said, 'blob': job.get('blob', '')}
    answer |= {name: os.environ.get(name) for name in job.get('env', [])}
    answer['run_full'] = importlib.util.find_spec('run_full').origin
    (here / f'{job.get("n")}.pid').write_text(str(os.getpid()))
    answer['heard'] = [report({'step': i}) for i in range(job.get('reports', 0))]
    if job.get('once') and not (here / 'once').exists():
        (here / 'once').touch()
        time.sleep(600)
    if job.get('odd'):
        answer['odd'] = {1, 2}
    return answer if 'n' in job else {}

serve(work)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the module `labour` lies, and what its processes write."""
    (tmp_path / "labour.py").write_text(WORKER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


def run(jobs: Any, workers: int = 2, **rest: Any) -> Iterator[Outcome]:
    return run_jobs(jobs, "labour", workers=workers, threads=1, **rest)


def living(folder: Path) -> int:
    """Worker processes that still hold their lock: a zombie holds none."""
    count = 0
    for path in folder.glob("*.lock"):
        with path.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                count += 1
    return count


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_every_job_gets_its_own_answer(folder: Path) -> None:
    outcomes = list(run({"n": n} for n in range(200)))
    assert all(o.status == "ok" and o.answer["n"] == o.job["n"] for o in outcomes)
    assert sorted(o.job["n"] for o in outcomes) == list(range(200))
    assert len({o.answer["pid"] for o in outcomes}) == 2 and living(folder) == 0


def test_jobs_may_go_by_outcomes(folder: Path) -> None:
    seen: list[int] = []
    sums = ({"n": sum(seen) + 1} for _ in range(6))
    for outcome in run(sums, workers=1):
        seen.append(outcome.answer["n"])
    assert seen == [1, 2, 4, 8, 16, 32]
    assert list(run([])) == []


def test_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "run_full.py").write_text("raise RuntimeError")
    monkeypatch.chdir(elsewhere)
    names = ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES"]
    jobs = [{"n": n, "env": names} for n in range(3)]
    outcomes = run_jobs(jobs, "labour", workers=3, threads=2, devices=["4", "5"])
    answers = {o.job["n"]: o.answer for o in outcomes}
    assert [[answers[n][name] for name in names] for n in range(3)] == [
        ["2", "2", "4"],
        ["2", "2", "5"],
        ["2", "2", "4"],
    ]
    assert {a["run_full"] for a in answers.values()} == {str(ROOT / "run_full.py")}


def test_killed_once_is_retried(folder: Path) -> None:
    events: list[str] = []
    jobs = [{"n": n, "deaths": ["SIGKILL"] if n == 3 else []} for n in range(8)]
    outcomes = list(run(jobs, on_event=events.append))
    assert {o.status for o in outcomes} == {"ok"} and len(outcomes) == 8
    assert [e.split(": ")[1] for e in events].count("killed by SIGKILL") == 1
    assert [e.split(": ")[1] for e in events].count("started") in (2, 3)


def test_killed_before_its_job_arrives(folder: Path) -> None:
    def murder(event: str) -> None:
        if event.endswith("started"):
            pid = int(event.split()[1].rstrip(":"))
            os.kill(pid, signal.SIGKILL)
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)

    (outcome,) = run([{"n": 0}], on_event=murder)
    assert outcome == Outcome({"n": 0}, "died", {}, "killed by SIGKILL, twice")


@pytest.mark.parametrize(
    ("deaths", "message"),
    [
        (["SIGKILL", "SIGKILL"], "killed by SIGKILL, twice"),
        ([3, 3], "exit code 3, twice: gave up"),
        (["SIGKILL", 0], "killed by SIGKILL, then exit code 0: gave up"),
        ([3, "SIGKILL"], "exit code 3, then killed by SIGKILL"),
    ],
)
def test_died_twice_has_failed(folder: Path, deaths: list[Any], message: str) -> None:
    jobs = [{"n": n, "deaths": deaths if n in (1, 4) else []} for n in range(8)]
    outcomes = {o.job["n"]: o for o in run(jobs)}
    assert len(outcomes) == 8
    for n, outcome in outcomes.items():
        if n in (1, 4):
            assert outcome == Outcome(jobs[n], "died", {}, message)
        else:
            assert outcome.status == "ok" and outcome.answer["n"] == n and outcome.message == ""


def test_exception_fails_without_retry(folder: Path) -> None:
    jobs = [{"n": 0}, {"m": 1}, {"n": 2, "odd": True}, {"n": 3}]
    first, missing, odd, last = run(jobs, workers=1)
    assert missing == Outcome({"m": 1}, "failed", {}, "KeyError: 'n'")
    assert odd.message == "TypeError: Object of type set is not JSON serializable"
    assert len({first.answer["pid"], last.answer["pid"]}) == 2


def test_reports_are_answered(folder: Path) -> None:
    heard: list[tuple[int, int]] = []

    def on_report(job: dict[str, Any], figures: dict[str, Any]) -> bool:
        heard.append((job["n"], figures["step"]))
        return job["n"] + figures["step"] < 3

    jobs = [{"n": n, "reports": 4, "deaths": ["SIGKILL"] if n == 1 else []} for n in range(3)]
    answers = {o.job["n"]: o.answer["heard"] for o in run(jobs, on_report=on_report)}
    assert answers == {n: [n + i < 3 for i in range(4)] for n in range(3)}
    assert sorted(heard) == [(n, i) for n in range(3) for i in range(4)]


def test_time_out(folder: Path) -> None:
    jobs = [{"n": 0, "sleep": 600}, {"n": 1}, {"n": 2}]
    outcomes = {o.job["n"]: o for o in run(jobs, workers=1, timeout=3.0)}
    assert outcomes[0] == Outcome(jobs[0], "timeout", {}, "took longer than 3 s")
    assert outcomes[1].answer["pid"] == outcomes[2].answer["pid"]
    assert living(folder) == 0


def test_recycled_after_some_jobs(folder: Path) -> None:
    pids = [o.answer["pid"] for o in run(({"n": n} for n in range(5)), workers=1, recycle=2)]
    assert [pids.index(pid) for pid in pids] == [0, 0, 2, 2, 4]


def test_none_is_asked_again(folder: Path) -> None:
    ticks: list[int] = []

    def jobs() -> Iterator[dict[str, Any] | None]:
        yield {"n": 0}
        while len(ticks) < 3:
            yield None
        yield {"n": 1}

    outcomes = list(run(jobs(), on_tick=lambda: ticks.append(1)))
    assert [o.answer["n"] for o in outcomes] == [0, 1] and len(ticks) >= 3


@pytest.mark.parametrize("module", ["no_such_module", "broken"])
def test_workers_that_cannot_start(folder: Path, module: str) -> None:
    (folder / "broken.py").write_text("import no_such_module")
    jobs = [{"n": n, "blob": "x" * 2**20} for n in range(3)]  # more than a pipe holds
    outcomes = list(run_jobs(jobs, module, workers=2, threads=1))
    assert len(outcomes) == 3 and {o.status for o in outcomes} == {"died"}
    for outcome in outcomes:
        assert outcome.message.startswith("exit code 1, twice: ")
        assert "No module named" in outcome.message and "no_such_module" in outcome.message + module


def test_prints_do_not_reach_the_answers(folder: Path) -> None:
    outcomes = list(run(({"n": n, "shout": True} for n in range(4)), workers=1))
    assert [(o.answer["n"], o.answer["said"]) for o in outcomes] == [(n, 0) for n in range(4)]


def test_long_lines(folder: Path) -> None:
    blob = "\u00e9\n" * 2**19
    outcomes = list(run({"n": n, "blob": blob} for n in range(4)))
    assert all(o.answer["blob"] == blob for o in outcomes) and len(outcomes) == 4


def test_closing_early_leaves_no_process(folder: Path) -> None:
    outcomes = run([{"n": 0}, {"n": 1, "sleep": 600}, {"n": 2, "sleep": 600}])
    assert next(outcomes).job["n"] == 0
    wait_for((folder / "1.busy").exists)
    assert living(folder) == 2
    outcomes.close()
    assert living(folder) == 0


def test_job_that_is_not_json(folder: Path) -> None:
    outcomes = run([{"n": 0}, {"n": {1}}], workers=1)
    assert next(outcomes).status == "ok" and living(folder) == 1
    with pytest.raises(TypeError, match="not JSON"):
        next(outcomes)
    assert living(folder) == 0


def test_a_broken_seat_costs_no_job(folder: Path) -> None:
    retired: list[tuple[str, str]] = []
    jobs = ({"n": n, "broken": ["6"], "sleep": 0.05} for n in range(40))
    devices = ["4", "5", "6", "7"]
    outcomes = list(
        run(
            jobs,
            workers=4,
            devices=devices,
            retire=3,
            on_retire=lambda seat, why: retired.append((seat, why)),
        )
    )
    assert len(outcomes) == 40 and {o.status for o in outcomes} == {"ok"}
    ((seat, why),) = retired
    assert seat == "seat 2 (GPU 6)" and why.startswith("3 failures of the machine in a row, last: ")
    assert "OSError: [Errno 5] Input/output error" in why


def test_no_seat_left(folder: Path) -> None:
    retired: list[str] = []
    jobs = ({"n": n, "broken": ["4", "5"]} for n in range(40))
    devices = ["4", "5"]
    outcomes = list(
        run(jobs, devices=devices, retire=3, on_retire=lambda seat, why: retired.append(seat))
    )
    assert sorted(retired) == ["seat 0 (GPU 4)", "seat 1 (GPU 5)"]
    assert {o.status for o in outcomes} == {"failed"} and len(outcomes) <= 6
    assert sorted(o.job["n"] for o in outcomes) == list(range(len(outcomes)))


def test_deaf_worker_is_killed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "GRACE", 0.3)
    jobs = [{"n": 0, "deaf": True, "sleep": 600}, {"n": 1}]
    first, second = run(jobs, workers=1, timeout=3.0)
    assert first.status == "timeout" and second.status == "ok" and living(folder) == 0


def test_children_that_hold_the_pipes(folder: Path) -> None:
    jobs = [{"n": 0, "orphan": True}, {"n": 1}]
    first, second = run(jobs, workers=1)
    assert first.status == second.status == "ok" and first.job["n"] == 0
    child = Path(f"/proc/{(folder / 'orphan').read_text()}/stat")
    wait_for(lambda: not child.exists() or child.read_text().rpartition(")")[2].split()[0] == "Z")


def test_a_worker_that_does_not_read(folder: Path) -> None:
    (folder / "still.py").write_text("import time; time.sleep(600)")
    jobs = [{"n": 0, "blob": "x" * 2**22}]
    (outcome,) = run_jobs(jobs, "still", workers=1, threads=1, timeout=1.0)
    assert outcome.status == "timeout"


def test_a_process_that_does_not_end(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in uninterruptible sleep: whoever waits for it waits in vain."""
    stuck: list[int] = []
    wait = subprocess.Popen.wait

    def waiting(process: subprocess.Popen[bytes], timeout: float | None = None) -> int:
        assert timeout is not None
        if process.pid in stuck:
            raise subprocess.TimeoutExpired("labour", timeout)
        return wait(process, timeout)

    def begun(job: dict[str, Any], figures: dict[str, Any]) -> bool:
        if job["n"] == 0 and not stuck:
            stuck.append(int((folder / "0.pid").read_text()))
        return True

    monkeypatch.setattr(subprocess.Popen, "wait", waiting)
    monkeypatch.setattr(ending, "GRACE", 0.1)
    said: list[str] = []
    retired: list[tuple[str, str]] = []
    jobs = [{"n": 0, "once": True, "reports": 1, "sleep": 0}, *({"n": n} for n in range(1, 6))]
    outcomes = list(
        run(
            jobs,
            timeout=3.0,
            on_event=said.append,
            on_report=begun,
            on_retire=lambda seat, why: retired.append((seat, why)),
        )
    )
    assert {o.status for o in outcomes} == {"ok"} and len(outcomes) == 6
    ((seat, why),) = retired
    assert why == "its worker does not end, not even by SIGKILL"
    line = f"worker {stuck[0]}: does not end, not even by SIGKILL, abandoned with its seat"
    assert said.count(line) == 1
    (process,) = ending.abandoned
    ending.abandoned.clear()
    assert wait(process) == -signal.SIGTERM


PARENT = """
import signal, sys, time
from pathlib import Path
from nodejepa_ext.workers.supervisor import run_jobs

if 'deaf' in sys.argv:
    signal.signal(signal.SIGINT, lambda *_: Path('interrupted').touch())
jobs = [{'n': 0}, {'n': 1, 'sleep': float(sys.argv[1])}]
tell = lambda event: print(event, file=sys.stderr)
for outcome in run_jobs(jobs, 'labour', workers=2, threads=1, on_event=tell):
    print(outcome.job['n'], outcome.status, flush=True)
    while 'pause' in sys.argv:
        time.sleep(1)
"""


@contextmanager
def parent(folder: Path, *argv: str) -> Iterator[subprocess.Popen[str]]:
    """A process at the head of its own group that runs two jobs, the second of which is busy."""
    pipe, env = subprocess.PIPE, os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"}
    command = [sys.executable, "-c", PARENT, *argv]
    with subprocess.Popen(
        command, env=env, cwd=folder, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    ) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "0 ok\n"
            wait_for((folder / "1.busy").exists)
            yield process
        finally:
            process.kill()


def test_killed_parent_leaves_no_orphan(folder: Path) -> None:
    with parent(folder, "600", "pause") as process:  # one worker is idle, one busy
        assert living(folder) == 2
        process.kill()
        process.communicate()
    wait_for(lambda: living(folder) == 0)


def test_ctrl_c_ends_workers_quietly(folder: Path) -> None:
    with parent(folder, "600") as process:
        os.killpg(process.pid, signal.SIGINT)
        _, message = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT and living(folder) == 0
    assert message.count("Traceback") == 1 and message.count("KeyboardInterrupt") == 1


def test_ctrl_c_ends_no_job_by_itself(folder: Path) -> None:
    with parent(folder, "1.5", "deaf") as process:
        os.killpg(process.pid, signal.SIGINT)
        out, message = process.communicate(timeout=60)
    assert process.returncode == 0 and (folder / "interrupted").exists() and living(folder) == 0
    assert out == "1 ok\n" and message.count("\n") == message.count("started") == 2


def test_import_is_light_and_counts_are_checked() -> None:
    code = "import sys, nodejepa_ext.workers.supervisor\n"
    code += "assert not {'torch', 'sklearn'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    for field in ("workers", "threads"):
        counts = {"workers": 1, "threads": 1} | {field: 0}
        with pytest.raises(ValueError, match=f"{field} = 0: expected at least 1"):
            next(run_jobs([], "labour", **counts))
