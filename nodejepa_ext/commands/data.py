"""`nodejepa-ext data`: look at graphs, check files, bring them into one format."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nodejepa_ext.commands.console import Quiet, say, sentences
from nodejepa_ext.commands.printing import print_json, print_parts
from nodejepa_ext.commands.verb import check_graph, check_tables, graphs

if TYPE_CHECKING:
    from nodejepa_ext.graphs.columns import Choices
    from nodejepa_ext.graphs.graph import Graph

EXAMPLES = """\b
Examples:
nodejepa-ext data list
nodejepa-ext data check my_graph/
nodejepa-ext data check edges.csv --nodes nodes.csv --json
nodejepa-ext data convert my_graph/ my_graph.npz
nodejepa-ext data convert my_graph/ my_graph.mapped/

SOURCE: cora, citeseer or pubmed; a folder of edges.csv and, if any, nodes.csv, or one that convert
wrote; edges.csv itself
(.csv .tsv .txt .edges .edgelist, also .gz; .parquet); .npz of the project's format, of
scipy.sparse.save_npz, or in the layouts of Shchur et al. and of Platonov et al.; .pt of a PyG
Data; .mtx, .graphml, .gml. What became of each column is said.
Exit codes: 0; 2 usage, or a file that cannot be written; 3 no sound graph.
"""
PROG = "nodejepa-ext data"
app = typer.Typer(
    help="Look at graphs, check files, bring them into one format.",
    no_args_is_help=True,
    epilog=EXAMPLES,
)
Source = Annotated[
    str | None,
    typer.Argument(
        help="A graph; see below.", show_default=False, metavar="SOURCE", autocompletion=graphs
    ),
]
Nodes = Annotated[
    Path | None,
    typer.Option(help="Table: id, and label, split, features if any.", show_default=False),
]
Edges = Annotated[
    Path | None, typer.Option(help="Table: source, target, and weight if any.", show_default=False)
]
Features = Annotated[
    str | None,
    typer.Option(help="Columns of nodes to take as features: a,b.", show_default="all others"),
]
NotFeatures = Annotated[
    str | None, typer.Option(help="Columns of nodes to leave out: a,b.", show_default=False)
]
Label = Annotated[
    str | None,
    typer.Option(help="Column that holds the class, or none.", show_default="label, y or class"),
]
Weight = Annotated[
    str | None,
    typer.Option(help="Column of edges that holds the weight, or none.", show_default="weight, w"),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object, not tables.")]


def choices_of(
    features: str | None, not_features: str | None, label: str | None, weight: str | None
) -> Choices:
    """Of the four options."""
    from nodejepa_ext.graphs.columns import Choices

    named = None if features is None else tuple(filter(None, features.split(",")))
    return Choices(named, tuple(filter(None, (not_features or "").split(","))), label, weight)


def read(
    source: str | None,
    edges: Path | None,
    nodes: Path | None,
    choices: Choices | None = None,
) -> Graph:
    """As the files hold it: features not normalised, all splits."""
    check_tables(source, edges, nodes)
    check_graph(source)
    from nodejepa_ext.graphs.columns import Choices
    from nodejepa_ext.graphs.graph import read_graph

    return read_graph(
        source,
        edges=edges,
        nodes=nodes,
        split=None,
        normalise="none",
        choices=choices or Choices(),
    )


def show(header: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
    """A table on stdout; fractions with 4 digits."""
    from rich.table import Table
    from rich.text import Text

    table = Table(*header, show_header=any(header))
    for row in rows:
        table.add_row(*(Text(f"{v:.4g}" if isinstance(v, float) else str(v)) for v in row))
    print_parts([table])


@app.command("list", epilog=EXAMPLES)
def list_graphs(as_json: AsJson = False) -> None:
    """The graphs that come with the package."""
    with sentences(f"{PROG} list"):
        from nodejepa_ext.training.facts import describe
        from run_full import GRAPHS

        facts = {name: describe(read(name, None, None).data) for name in GRAPHS}
    if as_json:
        return print_json(facts, indent=1)
    keys = ("nodes", "edges", "features", "classes", "homophily", "train", "val", "test")
    show(("", *keys), ((name, *map(fact.get, keys)) for name, fact in facts.items()))


@app.command("check", epilog=EXAMPLES)
def check(
    source: Source = None,
    nodes: Nodes = None,
    edges: Edges = None,
    features: Features = None,
    not_features: NotFeatures = None,
    label: Label = None,
    weight: Weight = None,
    as_json: AsJson = False,
) -> None:
    """What the files hold and what would be mended; or all that is wrong with them, up to 20.

    step_seconds and train_mib are rough: one core, fp32, hidden 512, out 256."""
    with sentences(f"{PROG} check"):
        from nodejepa_ext.graphs.archives import GraphError
        from nodejepa_ext.training.facts import describe

        try:
            choices = choices_of(features, not_features, label, weight)
            graph = read(source, edges, nodes, choices)
        except GraphError as error:
            if not as_json:
                raise
            print_json({"sound": False, "problems": error.problems}, indent=1)
            raise typer.Exit(3) from None
        facts, notices = describe(graph.data), graph.notices
    if as_json:
        told = {"sound": True, "graph": facts, "notices": notices}
        told["columns"] = None if graph.columns is None else graph.columns.report()
        return print_json(told, indent=1)
    show(("", ""), facts.items())
    show(("notices",), ((notice,) for notice in notices))


@app.command("convert", epilog=EXAMPLES)
def convert(
    source: Annotated[str, typer.Argument(help="A graph, or its edges.", metavar="SOURCE")],
    out: Annotated[str, typer.Argument(help="The file, or the folder.", metavar="OUT.npz|OUT/")],
    nodes: Nodes = None,
    features: Features = None,
    not_features: NotFeatures = None,
    label: Label = None,
    weight: Weight = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT.")] = False,
    quiet: Quiet = False,
) -> None:
    """Keeps the graph, if it is sound, as one .npz, or as a folder of .npy: it reads back as the
    same graph, from a folder without features being copied into memory."""
    with sentences(f"{PROG} convert"):
        from nodejepa_ext.graphs.graph import writable, write_graph

        writable(out, overwrite)
        graph = read(source, None, nodes, choices_of(features, not_features, label, weight))
        write_graph(graph, out, overwrite=overwrite)
    for notice in graph.notices:
        say(notice)
    typer.echo(out)
