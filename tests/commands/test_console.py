"""Claims about what all verbs do alike, each with a test below.

1. A mistake of a user is a sentence and the exit code of its kind; a fault of ours is raised.
2. Ctrl-C and SIGTERM end a verb with its words, and 130 or 143.
3. Progress says how far it is and how long it takes, a plain line where stderr is no terminal.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
import typer

from nodejepa_ext.commands import console
from nodejepa_ext.commands.console import Progress, on_terminate, sentences
from nodejepa_ext.graphs import GraphError
from nodejepa_ext.plots import ResultsError
from run_full import RunError


@pytest.fixture
def handler() -> Iterator[None]:
    """SIGTERM is handled as before, afterwards."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    ("error", "said", "code"),
    [
        (ValueError("no"), "verb: no\n", 2),
        (FileNotFoundError("gone"), "verb: gone\n", 2),
        (ImportError("pip"), "verb: pip\n", 2),
        (MemoryError(), "verb: out of memory; a smaller graph, or more memory, is needed\n", 6),
        (GraphError("one", "two"), "verb: one\nverb: two\n", 3),
        (ResultsError("bad"), "verb: bad\n", 3),
        (RunError("diverged", 7), "verb: diverged\n", 7),
        (KeyboardInterrupt(), "verb: interrupted; nothing was written\n", 130),
    ],
)
def test_mistakes_are_sentences(
    error: BaseException, said: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as found, sentences("verb"):
        raise error
    assert found.value.exit_code == code and capsys.readouterr().err == said


def test_faults_are_raised() -> None:
    with pytest.raises(ZeroDivisionError), sentences("verb"):
        raise ZeroDivisionError
    with pytest.raises(typer.Exit) as found, sentences("verb"):
        raise typer.Exit(5)
    assert found.value.exit_code == 5


def test_signals(handler: None, capsys: pytest.CaptureFixture[str]) -> None:
    on_terminate("terminated; kept")
    with pytest.raises(typer.Exit) as found, sentences("verb"):
        os.kill(os.getpid(), signal.SIGTERM)
        signal.sigtimedwait([], 5)
    assert found.value.exit_code == 143
    assert capsys.readouterr().err == "verb: terminated; kept\n"


def test_progress(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "silent", False)  # whatever a command before was given
    with Progress() as line:
        for step in (11, 12, 20):
            line(f"step {step}", step, 20)
    said = capsys.readouterr().err
    assert "step 20, 0 s left" in said and "step 12" not in said


def test_progress_told_in_tens(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time left goes by all that were done, not by the last of those told together."""
    clock = iter([100.0, 120.0, 140.0])
    monkeypatch.setattr(console, "silent", False)
    monkeypatch.setattr(console.time, "monotonic", lambda: next(clock))
    with Progress() as line:
        for done in (10, 20):
            line.begins(done - 10)
            line(f"epoch {done}", done, 40)
    said = capsys.readouterr().err.splitlines()
    assert said == ["epoch 10, 60 s left", "epoch 20, 40 s left"]
