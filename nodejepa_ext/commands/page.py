"""`nodejepa-ext page`: a run, an ablation or a sweep as one HTML file."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nodejepa_ext.commands.console import Quiet, say, sentences, stop
from nodejepa_ext.commands.printing import print_json

if TYPE_CHECKING:
    from nodejepa_ext.plots.page import Page

PROG = "nodejepa-ext page"
MOST_NODES = 50_000  # as in plots.page_map, which is not imported for --help

EXAMPLES = """\b
Examples:
nodejepa-ext page runs/mine
nodejepa-ext page runs/mine --out mine.html --overwrite
nodejepa-ext evaluate runs/mine --json > runs/mine/evaluation.json; nodejepa-ext page runs/mine
nodejepa-ext page ablations/collapse
nodejepa-ext page sweeps/first --out sweep.html

One file with all that it needs: it opens without a network, and can be sent as it is. A run also
has its evaluation, where RUN holds the evaluation.json above, and a map of the embedding.
Exit codes: 0; 2 usage, or a file that cannot be written; 3 a folder that cannot be shown; 4 a model
that does not verify.
"""


def page(
    folder: Annotated[
        Path, typer.Argument(help="What train, ablate, table or sweep wrote.", metavar="RUN")
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Ends in .html.", show_default="RUN/page.html"),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace FILE.")] = False,
    nodes: Annotated[
        int, typer.Option(min=2, max=MOST_NODES, help="On the map, drawn from more.")
    ] = MOST_NODES,
    clusters: Annotated[
        int | None,
        typer.Option(
            min=2, max=1000, metavar="K", help="Of k-means.", show_default="the classes, or 8"
        ),
    ] = None,
    evaluation: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Of `nodejepa-ext evaluate`.",
            show_default="RUN/evaluation.json, if there is one",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, not a line.")] = False,
    quiet: Quiet = False,
) -> None:
    """One HTML file: what was read, settings and why, curves, evaluation, and a map of the
    embedding with each node's nearest neighbours; or an ablation's arms, or a sweep's trials."""
    if find_spec("plotly") is None:
        raise stop(PROG, "needs plotly: pip install 'nodejepa[page]'", 2)
    with sentences(PROG):
        from nodejepa_ext.plots import page as pages

        path = out or folder / "page.html"
        if folder.is_dir():
            pages.writable(path, overwrite)  # before the map is made, which takes its time
        how = {"nodes": nodes, "clusters": clusters or 0, "evaluation": evaluation}
        size = pages.write(built(folder, how), path, overwrite, say)
    if as_json:
        return print_json({"written": str(path), "bytes": size})
    typer.echo(f"{path}: {size / 1e6:.1f} MB")


def built(folder: Path, how: dict[str, Any]) -> Page:
    """The page of what is in the folder. ResultsError: nothing that has one."""
    from nodejepa_ext.plots import ablation, sweep
    from nodejepa_ext.plots.style import ResultsError

    if not folder.is_dir():
        raise ResultsError(f"{folder}: no such folder, expected one of train, ablate or sweep")
    if (folder / "run.json").exists():
        from nodejepa_ext.plots import page_run

        return page_run.build(folder, say, **how)
    if how["evaluation"]:
        raise ValueError("--evaluation: of a train run only")
    if (folder / ablation.ROWS).exists():
        from nodejepa_ext.plots import page_ablation

        return page_ablation.build(folder, say)
    if any((folder / name).exists() for name in sweep.FILES):
        from nodejepa_ext.plots import page_sweep

        return page_sweep.build(folder, say)
    wanted = "run.json of train, rows.jsonl of ablate or journal.jsonl of sweep"
    raise ResultsError(f"{folder}: expected {wanted}, found none")
