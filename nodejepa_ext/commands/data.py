"""`nodejepa-ext data`: look at graphs, check files, bring them into one format."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from nodejepa_ext.graphs import Graph

EXAMPLES = """\b
Examples:
nodejepa-ext data list
nodejepa-ext data check my_graph/
nodejepa-ext data check edges.csv --nodes nodes.csv --json
nodejepa-ext data convert my_graph/ my_graph.npz

SOURCE: cora, citeseer or pubmed; a folder of edges.csv and, if any, nodes.csv; edges.csv itself
(.csv .tsv .txt .edges .parquet); .npz of the project's format or of scipy.sparse.save_npz; .pt of
a PyG Data. Exit codes: 0; 2 usage, or a file that cannot be written; 3 no sound graph.
"""
app = typer.Typer(
    help="Look at graphs, check files, bring them into one format.",
    no_args_is_help=True,
    epilog=EXAMPLES,
)
Source = Annotated[
    str | None, typer.Argument(help="A graph; see below.", show_default=False, metavar="SOURCE")
]
Nodes = Annotated[
    Path | None,
    typer.Option(help="Table: id, and label, split, features if any.", show_default=False),
]
Edges = Annotated[
    Path | None, typer.Option(help="Table: source, target, and weight if any.", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object, not tables.")]


def stop(verb: str, problems: Iterable[object], code: int) -> typer.Exit:
    for problem in problems:
        typer.echo(f"nodejepa-ext data {verb}: {problem}", err=True)
    return typer.Exit(code)


def read(verb: str, source: str | None, edges: Path | None, nodes: Path | None) -> Graph:
    """As the files hold it: features not normalised, all splits. GraphError; usage exits 2."""
    from nodejepa_ext.graphs import read_graph

    try:
        return read_graph(source, edges=edges, nodes=nodes, split=None, normalise="none")
    except (ValueError, ImportError) as error:
        raise stop(verb, [error], 2) from None


def show(header: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
    """A table on stdout; fractions with 4 digits."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*header, show_header=any(header))
    for row in rows:
        table.add_row(*(Text(f"{v:.4g}" if isinstance(v, float) else str(v)) for v in row))
    Console(width=None if sys.stdout.isatty() else 120).print(table)


@app.command("list", epilog=EXAMPLES)
def list_graphs(as_json: AsJson = False) -> None:
    """The graphs that come with the package."""
    from nodejepa_ext.graphs import GraphError, describe
    from run_full import GRAPHS

    try:
        facts = {name: describe(read("list", name, None, None).data) for name in GRAPHS}
    except GraphError as error:
        raise stop("list", error.problems, 3) from None
    if as_json:
        typer.echo(json.dumps(facts, indent=1))
        return
    keys = ("nodes", "edges", "features", "classes", "homophily", "train", "val", "test")
    show(("", *keys), ((name, *map(fact.get, keys)) for name, fact in facts.items()))


@app.command("check", epilog=EXAMPLES)
def check(
    source: Source = None, nodes: Nodes = None, edges: Edges = None, as_json: AsJson = False
) -> None:
    """What the files hold and what would be mended; or all that is wrong with them, up to 20.

    step_seconds and train_mib are rough: one core, fp32, hidden 512, out 256."""
    from nodejepa_ext.graphs import GraphError, describe

    try:
        graph = read("check", source, edges, nodes)
    except GraphError as error:
        if as_json:
            typer.echo(json.dumps({"sound": False, "problems": error.problems}, indent=1))
            raise typer.Exit(3) from None
        raise stop("check", error.problems, 3) from None
    facts, notices = describe(graph.data), graph.notices
    if as_json:
        typer.echo(json.dumps({"sound": True, "graph": facts, "notices": notices}, indent=1))
        return
    show(("", ""), facts.items())
    show(("notices",), ((notice,) for notice in notices))


@app.command("convert", epilog=EXAMPLES)
def convert(
    source: Annotated[str, typer.Argument(help="A graph, or its edges.", metavar="SOURCE")],
    out: Annotated[Path, typer.Argument(help="The file to write.", metavar="OUT.npz")],
    nodes: Nodes = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT.npz.")] = False,
) -> None:
    """Keeps the graph, if it is sound, as one .npz that reads back as the same graph."""
    from nodejepa_ext.graphs import GraphError, writable, write_graph

    try:
        writable(out, overwrite)
        graph = read("convert", source, None, nodes)
        write_graph(graph, out, overwrite=overwrite)
    except GraphError as error:
        raise stop("convert", error.problems, 3) from None
    except (ValueError, OSError) as error:
        raise stop("convert", [error], 2) from None
    for notice in graph.notices:
        typer.echo(notice, err=True)
    typer.echo(out)
