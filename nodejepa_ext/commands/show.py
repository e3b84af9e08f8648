"""`nodejepa-ext show`: what a sweep has found so far, or found."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nodejepa_ext.commands.console import sentences
from nodejepa_ext.commands.printing import print_json, print_parts

EXAMPLES = """\b
Examples:
nodejepa-ext show sweeps/first
nodejepa-ext show sweeps/first --top 25
nodejepa-ext show sweeps/first --json
nodejepa-ext show sweeps/first --storage postgresql://db/sweeps --study first

Reads only, also beside a sweep that runs. Pictures: nodejepa-ext plot.
Exit codes: 0; 1 a server that stays away; 2 usage, or no sweep; 3 a damaged journal.
"""


def show(
    folder: Annotated[Path, typer.Argument(help="What nodejepa-ext sweep has as its --out.")],
    storage: Annotated[
        str | None, typer.Option(metavar="URL", help="PostgreSQL that the studies lie in.")
    ] = None,
    study: Annotated[str, typer.Option(metavar="NAME", help="The sweep's name there.")] = "",
    top: Annotated[int, typer.Option(min=1, help="Trials in the table of the best.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, not tables.")] = False,
) -> None:
    """A sweep's best trials, its winner on fresh seeds, winner's curse, what mattered."""
    with sentences("nodejepa-ext show", "interrupted"):
        from nodejepa_ext.sweep import report

        found = report.read(folder, storage, study)
    if as_json:
        return print_json(found)
    print_parts(report.tables(found, top))
