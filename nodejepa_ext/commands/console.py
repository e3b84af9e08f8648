"""What all verbs do alike: a mistake becomes a sentence and an exit code, a result goes to stdout,
all else to stderr. Nothing heavy is imported before something has gone wrong.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Annotated, Self

import typer

from nodejepa_ext.interrupts import end_of_import
from nodejepa_ext.records import Damaged

NO_MEMORY = "can't allocate memory"  # as torch has it in a RuntimeError
SECONDS = 10.0  # between plain lines of progress
silent = False  # whether the command that runs was given --quiet


def hush(wanted: bool) -> bool:
    """From here on `say` says nothing, or again something."""
    global silent
    silent = wanted
    return wanted


Quiet = Annotated[
    bool, typer.Option("--quiet", callback=hush, help="Say nothing on stderr but errors.")
]


def say(text: str) -> None:
    """To stderr, unless --quiet."""
    if not silent:
        typer.echo(text, err=True)


def say_new(notices: Iterable[str], said: Iterable[str] = ()) -> None:
    """Notices about a graph, but those that were said before, when the run was trained."""
    before = set(said)
    for notice in notices:
        if notice not in before:
            say(notice)


def stop(prog: str, problems: str | Iterable[object], code: int) -> typer.Exit:
    """Says each problem, also with --quiet -> what to raise."""
    for problem in [problems] if isinstance(problems, str) else problems:
        typer.echo(f"{prog}: {problem}", err=True)
    return typer.Exit(code)


def refusal(error: Exception) -> tuple[Sequence[str], int] | None:
    """The sentences and the exit code of an error that a user can mend; None: it is none."""
    if isinstance(error, Damaged):
        return [str(error)], 3
    if isinstance(error, MemoryError) or NO_MEMORY in str(error):
        return ["out of memory; a smaller graph, or more memory, is needed"], 6
    if isinstance(error, OSError) and error.filename and error.strerror:
        return [f"{error.filename}: {error.strerror}"], 2
    if isinstance(error, ValueError | OSError | ImportError):
        return [str(error)], 2
    from nodejepa_ext.graphs.archives import GraphError
    from nodejepa_ext.plots.style import ResultsError

    if isinstance(error, GraphError):
        return error.problems, 3
    if isinstance(error, ResultsError):
        return [str(error)], 3
    from run_full import RunError  # with torch, which some verbs do without

    return ([str(error.args[0])], int(error.args[1])) if isinstance(error, RunError) else None


@contextmanager
def sentences(prog: str, interrupted: str = "interrupted; nothing was written") -> Iterator[None]:
    """A user's mistake ends the command with a sentence and its exit code, not a traceback; so
    does Ctrl-C, with the words for it."""
    try:
        yield
    except typer.Exit:
        raise
    except KeyboardInterrupt as error:
        raise stop(prog, *(error.args or (interrupted, 130))) from None
    except Exception as error:
        found = refusal(error)
        if found is None:
            raise
        raise stop(prog, *found) from None


def on_terminate(message: str) -> None:
    """SIGTERM is as Ctrl-C, with these words and code 143."""

    def terminate(number: int, frame: FrameType | None) -> None:
        end_of_import(frame, message, 143)
        raise KeyboardInterrupt(message, 143)

    signal.signal(signal.SIGTERM, terminate)


class Progress:
    """How far it is and how long it takes: a bar on a terminal, else a line every 10 s; with
    --quiet nothing. lines=False: the bar alone."""

    def __init__(self, lines: bool = True) -> None:
        self.lines = lines

    def __enter__(self) -> Self:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        console = Console(stderr=True, quiet=silent)
        columns = TextColumn("{task.description}"), BarColumn(10), TimeRemainingColumn(compact=True)
        self.bar = Bar(*columns, console=console, transient=True, disable=not console.is_terminal)
        self.task, self.plain = (
            self.bar.add_task("starting", total=None),
            self.lines and not console.is_terminal,
        )
        self.began, self.shown, self.first = time.monotonic(), 0.0, -1
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def begins(self, done: int) -> None:
        """So many were done before the first that is told of, as after a resume; heard once."""
        if self.first < 0:
            self.first = done

    def __call__(self, text: str, done: int, total: int) -> None:
        """done of total; without `begins` all but one were done before the first call."""
        now = time.monotonic()
        self.begins(done - 1)
        self.bar.update(self.task, description=text, completed=done, total=total)
        if self.plain and (now - self.shown > SECONDS or done == total):
            self.shown = now
            left = (now - self.began) * (total - done) / (done - self.first)
            say(f"{text}, {left:.0f} s left")
