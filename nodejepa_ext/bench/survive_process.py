"""Commands as processes that may be killed, cut short or starved: forked from this one, in which
everything is imported already, so that a command takes tenths of a second, not the four of torch.

Apart from what is done to them: here is how one begins, how it is waited for, and what counts as a
good end. A forked process is as real as any other: it has files, limits and a death of its own.
"""

from __future__ import annotations

import gc
import json
import os
import re
import resource
import select
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

MODULES = """nodejepa_ext.__main__ nodejepa_ext.commands nodejepa_ext.graphs.graph
nodejepa_ext.training.folder nodejepa_ext.training.facts nodejepa_ext.training.pretrained
nodejepa_ext.training.embeddings nodejepa_ext.judging.report nodejepa_ext.sweep.pool
nodejepa_ext.sweep.report nodejepa_ext.plots.run rich.table pyarrow.parquet pyarrow.csv
pyarrow.compute""".split()
OPTIONAL = "networkx matplotlib.pyplot plotly.graph_objects".split()
LIMIT = 60.0  # seconds of a command that reads a small file
MEMORY = 3 << 30  # bytes of address space beside what is there when a process begins
LONGEST = 2000  # characters of a sentence
FAULTS = ("lost", "run", "hung", "tracebacks")
UNCAUGHT = 70  # exit code of what ended in an exception


class Ended(NamedTuple):
    """How a process ended. code: negative where a signal ended it."""

    words: list[str]
    code: int
    out: str
    err: str
    hung: bool = False


@dataclass
class Tally:
    """What one kind of trouble came to. exits: exit code -> how many ended well with it."""

    what: str
    cases: int = 0
    exits: Counter[int] = field(default_factory=Counter)
    lost: int = 0  # a result that is gone, half-written, or another without a word
    run: int = 0  # a program inside a file was run
    hung: int = 0
    tracebacks: int = 0  # and crashes, exit codes that --help does not name, no sentence
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def fault(self, kind: str, text: str) -> None:
        """kind: of FAULTS."""
        setattr(self, kind, getattr(self, kind) + 1)
        self.faults.append(f"{kind}: {text}")

    def take(self, end: Ended) -> bool:
        """Counts the end of a command -> whether it was a good one."""
        found = wrong_end(end)
        if found is None:
            self.exits[end.code] += 1
            return True
        self.fault(*found)
        return False

    def row(self) -> dict[str, Any]:
        """For the table and for JSON."""
        exits = {str(code): self.exits[code] for code in sorted(self.exits)}
        found: dict[str, Any] = {"what": self.what, "cases": self.cases, "exits": exits}
        found |= {kind: getattr(self, kind) for kind in FAULTS}
        return found | {"faults": self.faults, "notes": self.notes}


def preload() -> None:
    """Imports what commands import, once, so that forked ones need not."""
    for name in MODULES:
        import_module(name)
    for name in OPTIONAL:
        try:
            import_module(name)
        except ImportError:
            continue
    gc.collect()
    gc.freeze()  # pages of these objects stay shared


def documented(verb: str) -> set[int]:
    """The exit codes of its --help."""
    text = " ".join(import_module(f"nodejepa_ext.commands.{verb}").EXAMPLES.split())
    return set(map(int, re.findall(r"[:;,] (\d+)\b", text.partition("Exit codes")[2]))) | {0, 6}


def wrong_end(end: Ended) -> tuple[str, str] | None:
    """(kind, text) of an end that is none a user should see; None: it was a good one."""
    told = f"{' '.join(end.words)}: exit code {end.code}: {end.err[-600:]}"
    if end.hung:
        return "hung", told
    if end.code not in documented(end.words[0]) or "Traceback" in end.err:
        return "tracebacks", told
    if end.code:
        *_, last = end.err.splitlines() or [""]
        if not last.startswith(f"nodejepa-ext {end.words[0]}") or len(last) > LONGEST:
            return "tracebacks", f"no sentence: {told}"
    return None


def call(words: list[str]) -> int:
    """The command in this process -> its exit code."""
    sys.argv = ["nodejepa-ext", *words]
    try:
        import_module("nodejepa_ext.__main__").main()
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
        return UNCAUGHT
    return 0


def fork(run: Callable[[], int]) -> int:
    """A process group of its own that runs it and ends with what it returns -> its id."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = UNCAUGHT
    try:
        os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM):
            own = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, own)
        code = run()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code & 0xFF)
    return 0  # not reached


def to_files(log: Path) -> None:
    """The streams of this process, whoever writes to them, in log.out and log.err."""
    for number, suffix in ((1, ".out"), (2, ".err")):
        found = os.open(f"{log}{suffix}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        os.dup2(found, number)
        os.close(found)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.stdout, sys.stderr = (os.fdopen(n, "w", closefd=False) for n in (1, 2))


def begin(
    words: list[str], folder: Path, log: Path, limit: Callable[[], None] | None = None
) -> int:
    """The command in `folder` -> its process; limit: called in it first."""

    def run() -> int:
        to_files(log)
        os.chdir(folder)
        if limit is not None:
            limit()
        return call(words)

    return fork(run)


def waited(pid: int, seconds: float) -> int | None:
    """Its exit code; None: it has not ended in that time."""
    until = time.monotonic() + seconds
    while True:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= until:
            return None
        time.sleep(0.002)


def end_group(pid: int) -> None:
    """Kills a process of `fork` and what it began, and waits for it."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        pass


def finished(pid: int, words: list[str], log: Path, seconds: float = LIMIT) -> Ended:
    """Waits for it; one that takes longer is killed, and has hung."""
    code = waited(pid, seconds)
    if code is None:
        end_group(pid)
    out, err = (Path(f"{log}{s}").read_text(errors="replace") for s in (".out", ".err"))
    return Ended(words, -signal.SIGKILL if code is None else code, out, err, code is None)


def command(
    words: list[str], folder: Path, log: Path, limit: Callable[[], None] | None = None
) -> Ended:
    """A whole command; seconds: three times LIMIT, for some train."""
    return finished(begin(words, folder, log, limit), words, log, 3 * LIMIT)


def scarce() -> None:
    """From here on this process has MEMORY bytes more, and leaves no core."""
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, held + MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


Trial = Callable[[int], list[tuple[str, Any]]]


def many(trial: Trial, count: int, log: Path, seconds: float = LIMIT) -> Iterator[list[Any]]:
    """trial(0), ... trial(count - 1), many in a process, each within `seconds` and MEMORY -> of
    each a list of ("exit", code) and (a fault's kind, text). What ends its process or its time is
    itself a fault, and the next go on in another process."""
    at = 0
    while at < count:
        reader, writer = os.pipe()
        first = at

        def run(first: int = first, reader: int = reader, writer: int = writer) -> int:
            os.close(reader)
            to_files(log)
            scarce()
            for number in range(first, count):
                os.write(writer, json.dumps(trial(number)).encode() + b"\n")
            return 0

        pid = fork(run)
        os.close(writer)
        with os.fdopen(reader, "rb", buffering=0) as pipe:
            for line in lines(pipe, seconds):
                at += 1
                yield json.loads(line)
        code = waited(pid, 1.0 if at < count else seconds)
        if code is None:
            end_group(pid)
        if at < count:
            told = f"case {at}: {Path(f'{log}.err').read_text(errors='replace')[-600:]}"
            kind = "hung" if code is None else "tracebacks"
            yield [(kind, f"{told} (its process: {code})")]
            at += 1


def lines(pipe: Any, seconds: float) -> Iterator[bytes]:
    """Whole lines until the end, or until none comes for so long."""
    held = b""
    while select.select([pipe], [], [], seconds)[0]:
        read = os.read(pipe.fileno(), 1 << 16)
        if not read:
            return
        *whole, held = (held + read).split(b"\n")
        yield from whole
