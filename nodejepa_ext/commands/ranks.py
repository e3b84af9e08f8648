"""How several processes of one command, as torchrun begins them, speak with one voice."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING

import typer

from nodejepa_ext.commands.console import refusal, sentences, stop

if TYPE_CHECKING:
    from nodejepa_ext.training.group import Group
    from nodejepa_ext.training.ranks import Alone


@contextmanager
def one_voice(prog: str, interrupted: str, asked: Callable[[], int]) -> Iterator[Alone]:
    """`sentences`. Of several processes one says what ended any of them, rank 0 if it can; all end
    with the exit code of that, and ranks but 0 say nothing else. asked: as in `ranks.Alone`."""
    with sentences(prog, interrupted):
        if os.environ.get("WORLD_SIZE", "1") != "1":  # before torch is imported
            os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # lost ranks are told by us
        from nodejepa_ext.training.ranks import Alone, several

        if not several():
            yield Alone(asked)
            return
        from nodejepa_ext.training.meeting import join

        try:
            group = join(asked)
        except KeyboardInterrupt as error:
            if second():
                raise typer.Exit((error.args or (interrupted, 130))[1]) from None
            raise
    try:
        with silence(group.rank):
            yield group
            group.wait()
    except typer.Exit:
        raise
    except BaseException as error:
        for one in (signal.SIGTERM, signal.SIGINT):  # torchrun sends them to the ranks left
            signal.signal(one, signal.SIG_IGN)
        raise end_of(group, prog, interrupted, error) from None
    finally:
        group.leave()


def second() -> bool:
    """Whether the environment tells of a process that speaks for this one as well."""
    return os.environ.get("WORLD_SIZE", "1") != "1" and os.environ.get("RANK", "0") != "0"


@contextmanager
def silence(wanted: object) -> Iterator[None]:
    """What Python prints goes nowhere, if wanted; an error that ends the block does not change."""
    if not wanted:
        yield
        return
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        yield


def end_of(group: Group, prog: str, interrupted: str, error: BaseException) -> BaseException:
    """What to raise, once it was said; an error that no user can mend is itself."""
    from nodejepa_ext.training.group import Lost

    found = ended_by(error, interrupted)
    if isinstance(error, KeyboardInterrupt) and (first := group.reported()):
        found = [first[0]], first[1]  # torchrun ends the ranks that are left
    if group.rank == 0 or not isinstance(error, Lost | KeyboardInterrupt):
        problems, code = found or ([f"{type(error).__name__}: {error}"], 1)
        group.report("; ".join(problems), code)
    group.close()
    speaks = group.speaks()
    if found is None or (isinstance(error, SystemExit) and not group.rank):
        return error
    return stop(prog, found[0], found[1]) if speaks else typer.Exit(found[1])


def ended_by(error: BaseException, interrupted: str) -> tuple[list[str], int] | None:
    """The sentences and the exit code; None: a user can mend nothing."""
    if isinstance(error, KeyboardInterrupt):
        message, code = error.args or (interrupted, 130)
        return [message], code
    if isinstance(error, SystemExit):  # of the parser, which has said why
        return ["its options are not those of train"], 2
    if not isinstance(error, Exception):
        return None
    found = refusal(error)
    return found and ([*found[0]], found[1])
