"""Jobs in worker processes: one that dies costs a retry of its job, and never another job.

A worker is `python -m MODULE`, which calls `serve`. It lives across jobs, since to import torch
takes seconds, and speaks one JSON object a line over its stdin and stdout. Nothing is pickled or
shared, so when the kernel kills for memory, or a library segfaults, one process is lost and no
queue is left broken. A job may report while it runs, and is told whether to go on. POSIX only:
`selectors` wait for no pipes elsewhere.
"""

from __future__ import annotations

import json
import math
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

GRACE = 5.0  # seconds that an ending process is given before SIGKILL
TICK = 1.0  # seconds between two looks at clocks while nothing is heard
PARENT = "NODEJEPA_PARENT"  # environment variable: the process id a worker must not outlive
REPLIES = {"answer", "error", "report"}
SIGNALS = {s.value: s.name for s in signal.Signals}


Job = dict[str, Any]  # a JSON object, as are answers and figures
Report = Callable[[dict[str, Any]], bool]  # figures so far -> whether to go on


class Outcome(NamedTuple):
    """How a job ended. "ok": `answer` is the worker's. Else `answer` is empty, and `message` says
    why: "failed" by an exception; "died" with two processes ("killed by SIGKILL, twice");
    "timeout"."""

    job: Job
    status: str
    answer: dict[str, Any]
    message: str


class Worker:
    """One process at a time: started for the first job, and anew after a death, an exception (it
    may have spoilt a CUDA context) and every `recycle` jobs, if that is not 0."""

    def __init__(
        self, module: str, env: dict[str, str], on_event: Callable[[str], None], recycle: int
    ) -> None:
        # -P: else a run_full.py in the current folder would replace the one that the caller runs
        self.command, self.env, self.on_event = [sys.executable, "-P", "-m", module], env, on_event
        self.recycle, self.served, self.since = recycle, 0, 0.0
        self.process: subprocess.Popen[bytes] | None = None
        self.job: Job | None = None
        self.deaths: list[str] = []  # at this job

    def start(self) -> subprocess.Popen[bytes]:
        """A fresh process, after the end of the one before."""
        self.close()
        pipe, self.partial, self.log = subprocess.PIPE, b"", tempfile.TemporaryFile(buffering=0)
        self.process = subprocess.Popen(
            self.command, env=self.env, stdin=pipe, stdout=pipe, stderr=self.log
        )
        self.on_event(f"worker {self.process.pid}: started")
        self.served = 0
        return self.process

    def send(self, job: Job) -> None:
        """Gives the process a job, started first if there is none fresh. TypeError: not JSON."""
        line, process = json.dumps(job), self.process
        worn = self.recycle and self.served >= self.recycle
        if process is None or worn or process.poll() is not None:
            process = self.start()
        self.job, self.since = job, time.monotonic()
        self.say(line)

    def say(self, line: str) -> None:
        assert self.process and self.process.stdin
        with suppress(BrokenPipeError):  # it died; the end of its stdout will say so
            self.process.stdin.write(f"{line}\n".encode())
            self.process.stdin.flush()

    def receive(self, on_report: Callable[[Job, dict[str, Any]], bool]) -> Outcome | None:
        """Reads once -> the job's outcome; None: not all of the answer, a report, or a retry."""
        assert self.job is not None and self.process and self.process.stdout
        chunk = os.read(self.process.stdout.fileno(), 2**16)
        *lines, self.partial = (self.partial + chunk).split(b"\n")
        reply = next(filter(None, map(parse, lines)), None)
        if reply and "report" in reply:
            self.say(json.dumps(on_report(self.job, reply["report"])))
        if chunk and (reply is None or "report" in reply):
            return None
        status = "ok" if reply and "answer" in reply else "failed"
        if reply is None:
            self.deaths.append(how_it_ended(reap(self.process)))
            self.on_event(f"worker {self.process.pid}: {self.deaths[-1]}")
            if len(self.deaths) == 1:
                self.send(self.job)
                return None
            status, reply = "died", {"error": self.obituary()}
        return self.finish(status, reply.get("answer", {}), reply.get("error", ""))

    def finish(self, status: str, answer: dict[str, Any], message: str) -> Outcome:
        """The job's outcome; a process that did not answer well is not used again."""
        assert self.job is not None
        job, self.job, self.deaths, self.served = self.job, None, [], self.served + 1
        if status == "ok":
            self.log.seek(0)  # the process shares the position: it goes on at the beginning
            self.log.truncate()
        else:
            self.close()
        return Outcome(job, status, answer, message)

    def expire(self, timeout: float) -> Outcome | None:
        """Ends a job that has taken longer, in seconds, and its process."""
        if self.job is None or time.monotonic() - self.since <= timeout:
            return None
        self.on_event(f"a job took longer than {timeout:g} s")
        return self.finish("timeout", {}, f"took longer than {timeout:g} s")

    def obituary(self) -> str:
        """How both processes ended and, where the last chose to, the last line of its stderr."""
        first, last = self.deaths
        text = f"{first}, twice" if first == last else f"{first}, then {last}"
        self.log.seek(-min(4096, self.log.seek(0, os.SEEK_END)), os.SEEK_END)
        said = self.log.read().decode(errors="replace").strip().split("\n")[-1]
        return f"{text}: {said}" if said and last.startswith("exit") else text

    def close(self) -> None:
        """Ends the process, busy or not."""
        if self.process is None:
            return
        self.process.terminate()
        reap(self.process)
        for stream in filter(None, (self.process.stdin, self.process.stdout, self.log)):
            with suppress(BrokenPipeError):  # part of a job, never read
                stream.close()
        self.process = None


def parse(line: bytes) -> dict[str, Any] | None:
    """A reply, or None: whatever else a module printed while it was imported."""
    try:
        reply = json.loads(line)
    except ValueError:
        return None
    return reply if isinstance(reply, dict) and reply.keys() & REPLIES else None


def reap(process: subprocess.Popen[bytes]) -> int:
    """The return code of a process that is ending."""
    try:
        return process.wait(GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def how_it_ended(code: int) -> str:
    return (
        f"exit code {code}" if code >= 0 else f"killed by {SIGNALS.get(-code, f'signal {-code}')}"
    )


def environment(threads: int, device: str | None) -> dict[str, str]:
    """This process's, with which the worker finds the same modules from any folder."""
    home = str(Path(__file__).resolve().parents[2])  # of this package and of run_full
    env = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    env |= {"PYTHONPATH": os.pathsep.join(filter(None, [home, env.get("PYTHONPATH")]))}
    env |= {PARENT: str(os.getpid())}
    return env if device is None else env | {"CUDA_VISIBLE_DEVICES": device}


def ready(busy: Sequence[Worker]) -> list[Worker]:
    """Waits a TICK at most -> those of whom there is something to read, be it their end."""
    with selectors.DefaultSelector() as selector:
        for worker in busy:
            assert worker.process and worker.process.stdout
            selector.register(worker.process.stdout, selectors.EVENT_READ, worker)
        return [key.data for key, _ in selector.select(TICK)]


def run_jobs(
    jobs: Iterable[Job | None],
    module: str,
    *,
    workers: int,
    threads: int,
    devices: Sequence[str] | None = None,
    timeout: float = math.inf,
    recycle: int = 0,
    on_event: Callable[[str], None] = lambda event: None,
    on_report: Callable[[Job, dict[str, Any]], bool] = lambda job, figures: True,
    on_tick: Callable[[], None] = lambda: None,
) -> Generator[Outcome, None, None]:
    """Outcomes as they come, in any order; jobs are JSON objects. A job is drawn when a worker is
    free, after the outcomes so far have been yielded: `jobs` may go by them, and None says to ask
    again later. Worker i has `threads` threads and sees CUDA device devices[i % len(devices)]
    alone. A worker's death in mid-job is followed by one retry in a new process; an exception, and
    a job of more than `timeout` seconds, is an outcome at once. Whatever ends the iteration ends
    the workers, and those of a killed caller end within about a second. `on_event` hears of starts
    and deaths, `on_report` answers reports, `on_tick` is called once a second or more often.
    ValueError: workers or threads below 1."""
    for name, value in (("workers", workers), ("threads", threads)):
        if value < 1:
            raise ValueError(f"{name} = {value}: expected at least 1")
    seats = [devices[i % len(devices)] if devices else None for i in range(workers)]
    crew = [Worker(module, environment(threads, seat), on_event, recycle) for seat in seats]
    remaining, end = iter(jobs), Job()
    job: Job | None = None
    try:
        while True:
            for worker in (w for w in crew if w.job is None):
                job = next(remaining, end)
                if not job:
                    break
                worker.send(job)
            busy = [w for w in crew if w.job is not None]
            if not busy and job is end:
                return
            yield from filter(None, (w.receive(on_report) for w in ready(busy)))
            yield from filter(None, (w.expire(timeout) for w in crew))
            on_tick()
    finally:
        for process in filter(None, [worker.process for worker in crew]):
            process.terminate()  # all at once, then wait for each
        for worker in crew:
            worker.close()


def serve(work: Callable[[Job, Report], dict[str, Any]]) -> None:
    """A worker's main: answers each job with work(job, report), until stdin ends; report(figures)
    says whether to go on. An exception is answered too. What `work` and its children print goes to
    stderr, and they read an empty stdin. Ctrl-C is left to the parent, which ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end_with_parent, args=(os.environ.get(PARENT),), daemon=True).start()
    with (
        open(os.dup(0), encoding="utf-8") as jobs,
        open(os.dup(1), "w", encoding="utf-8") as answers,
        open(os.devnull) as nothing,
    ):
        os.dup2(nothing.fileno(), 0)
        os.dup2(2, 1)
        sys.stdout.flush()
        sys.stdout = sys.stderr
        print(file=answers, flush=True)  # ends a line that an import may have begun

        def report(figures: dict[str, Any]) -> bool:
            print(json.dumps({"report": figures}), file=answers, flush=True)
            return bool(json.loads(jobs.readline()))

        for line in iter(jobs.readline, ""):
            try:
                reply = json.dumps({"answer": work(json.loads(line), report)})
            except Exception as error:
                reply = json.dumps({"error": f"{type(error).__name__}: {error}"})
            print(reply, file=answers, flush=True)


def end_with_parent(parent: str | None) -> None:
    """Ends this process, busy or not, once its parent is another than the one given."""
    expected = os.getppid() if parent is None else int(parent)
    while os.getppid() == expected:
        time.sleep(1.0)
    os._exit(1)
