"""Results on stdout: tables that fit where they are read, and JSON.

On a terminal, or where COLUMNS says so, a table has as many columns as fit, and says which are left
out; no word is cut. In a pipe or a file without COLUMNS every row is whole, on a line of its own.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

ENDLESS = 10_000  # columns of a pipe
NAMES = 24  # columns that the names of rows have before a column of figures is left out


def print_json(found: Any, indent: int | None = None) -> None:
    """The result as one JSON object, to stdout."""
    typer.echo(json.dumps(found, indent=indent))


def room() -> int:
    """Columns of stdout: what COLUMNS says, else the terminal's; in a pipe or file no end."""
    said = os.environ.get("COLUMNS", "")
    if said.isdecimal() and int(said) > 0:
        return int(said)
    return os.get_terminal_size(1).columns if sys.stdout.isatty() else ENDLESS


def print_parts(parts: Iterable[Any], rest: str = "--json") -> None:
    """The result as Rich's tables and text, to stdout; rest: where columns are that do not fit."""
    from rich.console import Console
    from rich.table import Table

    width = room()
    console = Console(width=width)
    for part in parts:
        left = fit(part, console) if isinstance(part, Table) else []
        console.print(part, soft_wrap=isinstance(part, str) and width == ENDLESS)
        if left:
            console.print(
                f"Left out, not to be too wide: {', '.join(left)}; see {rest}", style="dim"
            )


def fit(table: Table, console: Console) -> list[str]:
    """Leaves out columns, the last first, until the table fits -> their heads. Names of rows may
    go over several lines before that; figures may not."""
    from rich import box

    if table.box is not None and widest(table, console) > console.width:
        table.box, table.padding = box.SIMPLE_HEAD, (0, 1, 0, 0)
    names, *figures = table.columns
    for column in figures:
        column.no_wrap = True
    if widest(table, console) > console.width:
        names.max_width = NAMES
    left = []
    while len(table.columns) > 2 and widest(table, console) > console.width:
        left.append(str(table.columns.pop().header).replace("\n", " "))
    names.max_width = None
    for column in table.columns[1:]:
        column.no_wrap = widest(table, console) <= console.width or len(table.columns) > 2
    return left[::-1]


def widest(table: Table, console: Console) -> int:
    """Columns that the table takes if nothing wraps but names of rows."""
    options = console.options.update_width(ENDLESS)
    return table.__rich_measure__(console, options).maximum
