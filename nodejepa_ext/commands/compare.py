"""`nodejepa-ext compare`: ours and other methods on graphs, by one judge, in one table."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nodejepa_ext.commands import verb
from nodejepa_ext.commands.console import Quiet, on_terminate, say, sentences
from nodejepa_ext.commands.printing import print_json, print_parts
from nodejepa_ext.commands.rows import HOW, KEPT, carry_out, switch
from nodejepa_ext.files import atomic

if TYPE_CHECKING:
    from nodejepa_ext.ablation.costs import Request
    from nodejepa_ext.ablation.rows import Rows
    from nodejepa_ext.ablation.run import Plan

EXAMPLES = """\b
Examples:
nodejepa-ext compare cora --dry-run
nodejepa-ext compare cora citeseer --workers 2 --out results/compare
nodejepa-ext compare my_graph/ --methods ours,cca-ssg,sgc,fastrp --seeds 3
nodejepa-ext compare edges.csv --tasks link --json

GRAPH: as SOURCE of `nodejepa-ext data check`. Methods: ours (best; auto on a graph of one's own),
card, bgrl, cca-ssg, dgi, vgae, vicreg, graphcl and barlow-twins (of graphssl, if installed), sgc
and untrained, both also on the graph with our neighbours (-joined), fastrp (and -joined), raw,
fastrp-raw. No label reaches a method; all are judged at their last epoch by one probe, on splits
without the public test nodes. Written into --out: rows.jsonl, report.md, report.json and, with
matplotlib, compare.png. The same command continues where it was stopped.
Exit codes: 0; 2 usage; 3 no sound graph; 5 rows failed; 130, 143 interrupted, finished rows kept.
"""
PROG = "nodejepa-ext compare"


Graphs = Annotated[
    list[str],
    typer.Argument(
        help="Graphs; see below.",
        metavar="GRAPH...",
        show_default=False,
        autocompletion=verb.graphs,
    ),
]
Nodes = Annotated[
    Path | None, typer.Option(help="Table of nodes, where the one GRAPH is a table of edges.")
]
Methods = Annotated[
    str | None, typer.Option(metavar="M,M", help="Some of the methods.", show_default="all")
]
Tasks = Annotated[
    str | None,
    typer.Option(
        metavar="T,T",
        help="Some of linear,knn,cluster,link.",
        show_default="all that a graph permits",
    ),
]
Seeds = Annotated[
    int | None, typer.Option(min=1, help="Runs of a method.", show_default="5; PubMed 2")
]


def compare(
    graphs: Graphs,
    nodes: Nodes = None,
    methods: Methods = None,
    tasks: Tasks = None,
    seeds: Seeds = None,
    first_seed: Annotated[int, typer.Option(min=0, help="The seeds count up from it.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("results/compare"),
    final: Annotated[
        bool, switch("--final", "Score the public test nodes, once a row.", HOW)
    ] = False,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0: one a core, or a GPU.")] = 0,
    dry_run: Annotated[
        bool, switch("--dry-run", "Say how many rows, and roughly how long.", HOW)
    ] = False,
    quick: Annotated[
        bool, switch("--quick", "2 seeds of 5 epochs: figures that mean nothing.", HOW)
    ] = False,
    keep_old_rows: Annotated[
        bool, switch("--keep-old-rows", "Move rows that do not fit aside.", HOW)
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, not tables.")] = False,
    quiet: Quiet = False,
) -> None:
    """Ours beside its peers and controls: accuracy, neighbours, clusters, links and what they cost,
    paired by seed."""
    on_terminate(f"terminated{KEPT}")
    with sentences(PROG, f"interrupted{KEPT}"):
        from nodejepa_ext.ablation import costs

        for graph in graphs:
            verb.check_graph(graph)
        asked = costs.request(graphs, nodes, methods, tasks, seeds, out, final, quick, first_seed)
        if dry_run:
            return say(costs.forecast(asked, workers))
        code = carry_out(planned(asked, workers), False, keep_old_rows, as_json, show)
    if code:
        raise typer.Exit(code)


def planned(asked: Request, workers: int) -> Plan:
    """Here begins what takes seconds to import."""
    from nodejepa_ext.ablation import compare as comparing

    return comparing.plan(asked, workers, say)


def show(plan: Plan, rows: Rows, as_json: bool) -> None:
    """The report to stdout; report.md, report.json and the picture beside the rows."""
    from nodejepa_ext.ablation import comparison

    found = comparison.report(plan, rows)
    texts = {"report.md": comparison.markdown(found)}
    texts["report.json"] = json.dumps(found, indent=1) + "\n"
    for name, text in texts.items():
        with atomic(plan.out / name) as file:
            file.write(text.encode())
    if find_spec("matplotlib") is None:
        say("no picture: pip install 'nodejepa[plot]'")
    else:
        from nodejepa_ext.plots import compare as picture

        picture.draw(found, plan.out / "compare.png")
    if as_json:
        return print_json(found)
    print_parts(comparison.tables(found), str(plan.out / "report.md"))
