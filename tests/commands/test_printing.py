"""Claims about what verbs print on stdout, each with a test below.

1. Where COLUMNS says 80, a table keeps to it: columns are left out and named, no word is cut.
2. In a pipe without COLUMNS every column is there, and a row is one line.
"""

from __future__ import annotations

import pytest
from rich.table import Table

from nodejepa_ext.commands.printing import print_parts

HEADS = ["arm", *(f"figure{i}" for i in range(12))]
NAMES = ["a long name of an arm with some settings in it, and more", "reference"]


def wide() -> Table:
    table = Table(*HEADS, title="a graph", caption=" ".join(["words"] * 40))
    for name in NAMES:
        table.add_row(name, *(f"{i}1.5 ± 0.{i}" for i in range(12)))
    return table


def test_fits_80(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    print_parts([wide(), "text " * 60], "report.md")
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80 and "…" not in shown
    assert {word for name in NAMES for word in name.split()} <= {*shown.split()}
    kept = [head for head in HEADS if head in shown.partition("Left out")[0]]
    assert kept == HEADS[: len(kept)] and len(kept) >= 4
    told = " ".join(shown.partition("Left out")[2].split())
    assert all(head in told for head in HEADS[len(kept) :]) and "see report.md" in told


def test_a_pipe_is_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    print_parts([wide(), "text " * 60])
    lines = capsys.readouterr().out.splitlines()
    assert all(any(head in line for line in lines) for head in HEADS)
    for name in NAMES:
        (row,) = [line for line in lines if name in line]
        assert all(f"{i}1.5 ± 0.{i}" in row for i in range(12))
    assert lines[-1].count("text") == 60
