"""Jobs in worker processes: one that dies costs a retry of its job, and never another job.

A worker is `python -m MODULE`, which calls `serve`. It lives across jobs, since to import torch
takes seconds, and speaks one JSON object a line over its stdin and stdout. Nothing is pickled or
shared, so when the kernel kills for memory, or a library segfaults, one process is lost and no
queue is left broken. POSIX only: `selectors` wait for no pipes elsewhere.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

GRACE = 5.0  # seconds that an ending process is given before SIGKILL
PARENT = "NODEJEPA_PARENT"  # environment variable: the process id a worker must not outlive
SIGNALS = {s.value: s.name for s in signal.Signals}


class Outcome(NamedTuple):
    """How a job ended. "ok": `answer` is the worker's. "failed": `answer` is empty, and `message`
    is the exception's, or says how two processes ended ("killed by SIGKILL, twice")."""

    job: dict[str, Any]
    status: str
    answer: dict[str, Any]
    message: str


class Worker:
    """One process at a time: started for the first job, and anew after a death."""

    def __init__(self, module: str, env: dict[str, str], on_event: Callable[[str], None]) -> None:
        # -P: else a run_full.py in the current folder would replace the one that the caller runs
        self.command, self.env, self.on_event = [sys.executable, "-P", "-m", module], env, on_event
        self.process: subprocess.Popen[bytes] | None = None
        self.job: dict[str, Any] | None = None
        self.deaths: list[str] = []  # at this job

    def start(self) -> subprocess.Popen[bytes]:
        """A fresh process, after the end of the one before."""
        self.close()
        pipe, self.partial, self.log = subprocess.PIPE, b"", tempfile.TemporaryFile(buffering=0)
        self.process = subprocess.Popen(
            self.command, env=self.env, stdin=pipe, stdout=pipe, stderr=self.log
        )
        self.on_event(f"worker {self.process.pid}: started")
        return self.process

    def send(self, job: dict[str, Any]) -> None:
        """Gives the process a job, started first if there is none alive. TypeError: not JSON."""
        line, process = json.dumps(job), self.process
        if process is None or process.poll() is not None:
            process = self.start()
        self.job = job
        assert process.stdin
        with suppress(BrokenPipeError):  # it died; the end of its stdout will say so
            process.stdin.write(f"{line}\n".encode())
            process.stdin.flush()

    def receive(self) -> Outcome | None:
        """Reads once -> the job's outcome; None: not all of the answer, or the job is retried."""
        assert self.job is not None and self.process and self.process.stdout
        chunk = os.read(self.process.stdout.fileno(), 2**16)
        *lines, self.partial = (self.partial + chunk).split(b"\n")
        reply = next(filter(None, map(parse, lines)), None)
        if chunk and reply is None:
            return None
        if reply is None:
            self.deaths.append(how_it_ended(reap(self.process)))
            self.on_event(f"worker {self.process.pid}: {self.deaths[-1]}")
            if len(self.deaths) == 1:
                self.send(self.job)
                return None
            reply = {"error": self.obituary()}
        job, self.job, self.deaths = self.job, None, []
        self.log.seek(0)  # the process shares the position: it goes on writing at the beginning
        self.log.truncate()
        if "error" in reply:
            return Outcome(job, "failed", {}, reply["error"])
        return Outcome(job, "ok", reply["answer"], "")

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
    return reply if isinstance(reply, dict) and reply.keys() & {"answer", "error"} else None


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
    home = str(Path(__file__).resolve().parent.parent)  # of this package and of run_full
    env = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    env |= {"PYTHONPATH": os.pathsep.join(filter(None, [home, env.get("PYTHONPATH")]))}
    env |= {PARENT: str(os.getpid())}
    return env if device is None else env | {"CUDA_VISIBLE_DEVICES": device}


def ready(busy: Sequence[Worker]) -> list[Worker]:
    """Waits -> those of whom there is something to read, be it their end."""
    with selectors.DefaultSelector() as selector:
        for worker in busy:
            assert worker.process and worker.process.stdout
            selector.register(worker.process.stdout, selectors.EVENT_READ, worker)
        return [key.data for key, _ in selector.select()]


def run_jobs(
    jobs: Iterable[dict[str, Any]],
    module: str,
    *,
    workers: int,
    threads: int,
    devices: Sequence[str] | None = None,
    on_event: Callable[[str], None] = lambda event: None,
) -> Iterator[Outcome]:
    """Outcomes as they come, in any order; jobs are JSON objects. A job is drawn when a worker is
    free, after the outcomes so far have been yielded: `jobs` may go by them. Worker i has `threads`
    threads and sees CUDA device devices[i % len(devices)] alone. A worker's death in mid-job is
    followed by one retry in a new process; an exception is the job's outcome at once. Whatever ends
    the iteration ends the workers, and those of a killed caller end within about a second.
    `on_event` hears of starts and deaths. ValueError: workers or threads below 1."""
    for name, value in (("workers", workers), ("threads", threads)):
        if value < 1:
            raise ValueError(f"{name} = {value}: expected at least 1")
    seats = [devices[i % len(devices)] if devices else None for i in range(workers)]
    crew = [Worker(module, environment(threads, device), on_event) for device in seats]
    remaining = iter(jobs)
    try:
        while True:
            free = (w for w in crew if w.job is None)
            for worker, job in zip(free, remaining, strict=False):  # draws a job last
                worker.send(job)
            busy = [w for w in crew if w.job is not None]
            if not busy:
                return
            yield from filter(None, map(Worker.receive, ready(busy)))
    finally:
        for process in filter(None, [worker.process for worker in crew]):
            process.terminate()  # all at once, then wait for each
        for worker in crew:
            worker.close()


def serve(work: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """A worker's main: answers each job with work(job), until stdin ends. An exception is answered
    too; the worker lives on. What `work` and its children print goes to stderr, and they read an
    empty stdin. Ctrl-C is left to the parent, which ends its workers."""
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
        for line in jobs:
            try:
                reply = json.dumps({"answer": work(json.loads(line))})
            except Exception as error:
                reply = json.dumps({"error": f"{type(error).__name__}: {error}"})
            print(reply, file=answers, flush=True)


def end_with_parent(parent: str | None) -> None:
    """Ends this process, busy or not, once its parent is another than the one given."""
    expected = os.getppid() if parent is None else int(parent)
    while os.getppid() == expected:
        time.sleep(1.0)
    os._exit(1)
