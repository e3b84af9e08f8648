"""What all verbs do alike: a mistake becomes a sentence and an exit code, a result goes to stdout,
all else to stderr. Nothing heavy is imported before something has gone wrong.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

import typer

from nodejepa_ext.interrupts import end_of_import
from nodejepa_ext.records import Damaged

NO_MEMORY = "can't allocate memory"  # as torch has it in a RuntimeError
SECONDS = 10.0  # between plain lines of progress


def say(text: str) -> None:
    """To stderr."""
    typer.echo(text, err=True)


def stop(prog: str, problems: str | Iterable[object], code: int) -> typer.Exit:
    """Says each problem -> what to raise."""
    for problem in [problems] if isinstance(problems, str) else problems:
        say(f"{prog}: {problem}")
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


def print_json(found: Any, indent: int | None = None) -> None:
    """The result as one JSON object, to stdout."""
    typer.echo(json.dumps(found, indent=indent))


def print_parts(parts: Iterable[Any], width: int) -> None:
    """The result as Rich's tables and text, to stdout; width: in columns, where that is a file."""
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else width)
    for part in parts:
        console.print(part)


class Progress:
    """How far it is and how long it takes: a live line on a terminal, else a line every 10 s."""

    def __enter__(self) -> Self:
        from rich.console import Console

        self.console = Console(stderr=True)
        self.began, self.shown, self.first = time.monotonic(), 0.0, -1
        self.status = self.console.status("starting")
        self.status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.status.stop()

    def __call__(self, text: str, done: int, total: int) -> None:
        """done of total, which the first call already begins at, as after a resume."""
        now = time.monotonic()
        self.first = done - 1 if self.first < 0 else self.first
        left = (now - self.began) * (total - done) / (done - self.first)
        self.status.update(f"{text}, {left:.0f} s left")
        if not self.console.is_terminal and (now - self.shown > SECONDS or done == total):
            self.shown = now
            say(f"{text}, {left:.0f} s left")
