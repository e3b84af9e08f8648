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
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from nodejepa_ext.workers import ending
from nodejepa_ext.workers.ending import NO_END, end_group, how_it_ended, reap
from nodejepa_ext.workers.faults import words
from nodejepa_ext.workers.roster import Roster, Task, told

TICK = 1.0  # seconds between two looks at clocks while nothing is heard
PARENT = "NODEJEPA_PARENT"  # environment variable: the process id a worker must not outlive
REPLIES = {"answer", "error", "report"}


Job = dict[str, Any]  # a JSON object, as are answers and figures
Report = Callable[[dict[str, Any]], bool]  # figures so far -> whether to go on


class Outcome(NamedTuple):
    """How a job ended. "ok": `answer` is the worker's. Else `answer` is empty, and `message` says
    why: "failed" by an exception; "died" with its process, mostly with two of them ("killed by
    SIGKILL, twice"); "timeout"."""

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
        self.task: Task | None = None
        self.unsent = b""  # of what the process is told
        self.ending = False  # it was not alive at the last look
        self.stuck = False  # it had a process that not even SIGKILL ends

    def start(self) -> subprocess.Popen[bytes]:
        """A fresh process, after the end of the one before, and in a group of its own, so that
        what it starts ends with it."""
        self.close()
        pipe, self.partial, self.log = subprocess.PIPE, b"", tempfile.TemporaryFile(buffering=0)
        self.process = subprocess.Popen(
            self.command,
            env=self.env,
            stdin=pipe,
            stdout=pipe,
            stderr=self.log,
            bufsize=0,
            process_group=0,
        )
        assert self.process.stdin
        os.set_blocking(self.process.stdin.fileno(), False)
        self.on_event(f"worker {self.process.pid}: started")
        self.served = 0
        return self.process

    def send(self, task: Task) -> None:
        """Gives the process a job, started first if there is none fresh. TypeError: not JSON."""
        line, process = json.dumps(task.job), self.process
        worn = self.recycle and self.served >= self.recycle
        if process is None or worn or process.poll() is not None:
            process = self.start()
        self.task, self.since = task, time.monotonic()
        self.ending = False
        self.say(line)

    def say(self, line: str) -> None:
        self.unsent += f"{line}\n".encode()
        self.push()

    def push(self) -> None:
        """Writes as much as the pipe takes: a process that does not read must not hold up others.
        If it died, the end of its stdout will say so."""
        assert self.process and self.process.stdin
        try:
            self.unsent = self.unsent[self.process.stdin.write(self.unsent) or 0 :]
        except BrokenPipeError:
            self.unsent = b""

    def receive(self, on_report: Callable[[Job, dict[str, Any]], bool]) -> Outcome | None:
        """Reads once -> how the job ended; None: not all of the answer, or a report."""
        assert self.task is not None and self.process and self.process.stdout
        chunk = os.read(self.process.stdout.fileno(), 2**16)
        *lines, self.partial = (self.partial + chunk).split(b"\n")
        reply = next(filter(None, map(parse, lines)), None)
        if reply and "report" in reply:
            self.say(json.dumps(on_report(self.task.job, reply["report"])))
        if chunk and (reply is None or "report" in reply):
            return None
        if reply is None:
            return self.buried()
        if "answer" in reply:
            return self.finish("ok", reply["answer"], "")
        return self.finish("failed", {}, reply.get("error", ""))

    def buried(self) -> Outcome:
        """The process has ended, or closed its stdout: its job's outcome says how and, where it
        chose to, the last line of its stderr."""
        assert self.process
        code = reap(self.process)
        self.stuck = code is None
        how = NO_END if code is None else how_it_ended(code)
        self.on_event(f"worker {self.process.pid}: {how}")
        self.log.seek(-min(4096, self.log.seek(0, os.SEEK_END)), os.SEEK_END)
        said = self.log.read().decode(errors="replace").strip().split("\n")[-1]
        return self.finish("died", {}, f"{how}: {said}" if said and "exit" in how else how)

    def finish(self, status: str, answer: dict[str, Any], message: str) -> Outcome:
        """The job's outcome; a process that did not answer well is not used again."""
        assert self.task is not None
        job, self.task, self.served = self.task.job, None, self.served + 1
        if status == "ok":
            self.log.seek(0)  # the process shares the position: it goes on at the beginning
            self.log.truncate()
        else:
            self.close()
        return Outcome(job, status, answer, message)

    def expire(self, timeout: float) -> Outcome | None:
        """Ends a job that has taken longer, in seconds, and its process."""
        if self.task is None or time.monotonic() - self.since <= timeout:
            return None
        self.on_event(f"a job took longer than {timeout:g} s")
        return self.finish("timeout", {}, f"took longer than {timeout:g} s")

    def silent_end(self) -> Outcome | None:
        """The job's outcome where the process is dead though its stdout is open: what it started
        holds it. What it had to say was read: it was dead already at the look before this one."""
        assert self.process
        if not self.ending:
            self.ending = self.process.poll() is not None
            return None
        return self.buried()

    def close(self, patience: float | None = None) -> None:
        """Ends the process, busy or not, and what it has started; one that does not end within
        twice `patience` seconds (ending.GRACE) is abandoned."""
        if self.process is None:
            return
        self.process.terminate()
        self.stuck = reap(self.process, 0.0 if self.stuck else patience) is None
        if self.stuck:
            self.on_event(f"worker {self.process.pid}: {NO_END}, abandoned with its seat")
            ending.abandoned.append(self.process)
        end_group(self.process.pid)
        for stream in filter(None, (self.process.stdin, self.process.stdout, self.log)):
            stream.close()
        self.process, self.unsent = None, b""


def parse(line: bytes) -> dict[str, Any] | None:
    """A reply, or None: whatever else a module printed while it was imported."""
    try:
        reply = json.loads(line)
    except ValueError:
        return None
    return reply if isinstance(reply, dict) and reply.keys() & REPLIES else None


def environment(threads: int, device: str | None) -> dict[str, str]:
    """This process's, with which the worker finds the same modules from any folder."""
    home = str(Path(__file__).resolve().parents[2])  # of this package and of run_full
    env = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    env |= {"PYTHONPATH": os.pathsep.join(filter(None, [home, env.get("PYTHONPATH")]))}
    env |= {PARENT: str(os.getpid())}
    return env if device is None else env | {"CUDA_VISIBLE_DEVICES": device}


END = Job()  # stands after the last job


def seat_name(number: int, device: str | None) -> str:
    return f"seat {number}" if device is None else f"seat {number} (GPU {device})"


def ready(busy: Sequence[Worker]) -> list[Worker]:
    """Waits a TICK at most -> those of whom there is something to read, be it their end."""
    found = []
    with selectors.DefaultSelector() as selector:
        for worker in busy:
            assert worker.process and worker.process.stdout and worker.process.stdin
            selector.register(worker.process.stdout, selectors.EVENT_READ, worker)
            if worker.unsent:
                selector.register(worker.process.stdin, selectors.EVENT_WRITE, worker)
        for key, event in selector.select(TICK):
            if event == selectors.EVENT_READ:
                found.append(key.data)
            else:
                key.data.push()
    return found


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
    retire: int = 0,
    on_retire: Callable[[str, str], None] = lambda seat, why: None,
) -> Generator[Outcome, None, None]:
    """Outcomes as they come, in any order; jobs are JSON objects. A job is drawn when a worker is
    free, after the outcomes so far have been yielded: `jobs` may go by them, and None says to ask
    again later. Worker i has `threads` threads and sees CUDA device devices[i % len(devices)]
    alone. A job that fails is tried once more, at another worker's seat or, if its process died
    and there is no other, there. `retire` failures of the machine in a row (`faults`), if not 0,
    end the use of a seat, as does a process that cannot be ended; with none left the iteration
    ends early. Whatever ends it ends the workers, and those of a killed caller end within about a
    second. `on_event` hears of starts and deaths, `on_report` answers reports, `on_tick` is called
    once a second or more often, `on_retire` hears of a seat and why. ValueError: counts below 1."""
    positive(workers=workers, threads=threads)
    places = [devices[i % len(devices)] if devices else None for i in range(workers)]
    crew = [Worker(module, environment(threads, place), on_event, recycle) for place in places]
    roster = Roster([seat_name(i, place) for i, place in enumerate(places)], retire, on_retire)
    remaining = iter(jobs)
    job: Job | None = None
    try:
        while True:
            job = hand_out(crew, roster, remaining, job)
            busy = [worker for worker in crew if worker.task is not None]
            if not busy and (job is END or not roster.living()):
                yield from (gone(task) for task in roster.left())
                return
            for seat, task, outcome in ended(crew, busy, on_report, timeout):
                yield from judged(roster, seat, task, outcome)
                if crew[seat].stuck:
                    roster.retire(seat, f"its worker {NO_END}")
            on_tick()
    finally:
        end_all(crew)


def hand_out(
    crew: Sequence[Worker], roster: Roster, remaining: Iterator[Job | None], job: Job | None
) -> Job | None:
    """Gives every idle seat a task, if there is one -> the job that was drawn last; END: no more
    will come."""
    for seat in (i for i in roster.living() if crew[i].task is None):
        task = roster.again(seat)
        if task is None and job is not END and roster.trusted(seat):
            job = next(remaining, END)
            task = Task(job) if job else None
        if task is not None:
            crew[seat].send(task)
    return job


def ended(
    crew: Sequence[Worker],
    busy: Sequence[Worker],
    on_report: Callable[[Job, dict[str, Any]], bool],
    timeout: float,
) -> Iterator[tuple[int, Task, Outcome]]:
    """Waits a TICK at most -> seat, task and outcome of what has ended."""
    heard = ready(busy)
    for worker in busy:
        task = worker.task
        assert task is not None
        outcome = worker.receive(on_report) if worker in heard else worker.silent_end()
        if outcome is None:
            outcome = worker.expire(timeout)
        if outcome is not None:
            yield crew.index(worker), task, outcome


def positive(**counts: int) -> None:
    for name, value in counts.items():
        if value < 1:
            raise ValueError(f"{name} = {value}: expected at least 1")


def end_all(crew: Sequence[Worker]) -> None:
    """Ends all at once, then waits for each."""
    for process in filter(None, [worker.process for worker in crew]):
        process.terminate()
    until = time.monotonic() + ending.GRACE
    for worker in crew:
        worker.close(max(0.1, until - time.monotonic()))


def judged(roster: Roster, seat: int, task: Task, outcome: Outcome) -> Iterator[Outcome]:
    """The outcome of a task that is not tried again."""
    if outcome.status == "ok":
        roster.succeeded(seat, task)
        yield outcome
    elif not roster.failed(seat, task, outcome.status, outcome.message):
        yield outcome._replace(message=told(task.ends))


def gone(task: Task) -> Outcome:
    """The outcome of a task that no seat is left for."""
    return Outcome(task.job, task.ends[-1][0], {}, told(task.ends))


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
                reply = json.dumps({"error": words(error)})
            print(reply, file=answers, flush=True)


def end_with_parent(parent: str | None) -> None:
    """Ends this process, busy or not, once its parent is another than the one given."""
    expected = os.getppid() if parent is None else int(parent)
    while os.getppid() == expected:
        time.sleep(1.0)
    os._exit(1)
