"""`nodejepa-ext evaluate`: what a run's embedding is good for, beside what trains nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from nodejepa_ext.commands.console import Quiet, on_terminate, say, say_new, sentences
from nodejepa_ext.commands.embed import Edges, Nodes, Other, Trained, source_of
from nodejepa_ext.commands.printing import print_json, print_parts
from nodejepa_ext.files import atomic

EXAMPLES = """\b
Examples:
nodejepa-ext evaluate runs/mine
nodejepa-ext evaluate runs/mine --task linear,knn --json
nodejepa-ext evaluate runs/mine --task cluster --clusters 5
nodejepa-ext evaluate runs/mine --task link --seeds 5
nodejepa-ext evaluate runs/mine --task linear --controls none

linear: logistic regression. knn: nearest neighbours by cosine. Both on the graph's own split, else
on 20 random ones of 10/10/80 %. cluster: k-means on rows of unit length. link: 5 % and 10 % of the
edges are held out, then the run's settings are trained ANEW on the rest, once a seed. Validation
nodes or pairs choose C, k and scorer; test nodes and pairs count once.
--controls: raw (features), untrained (the encoder), fastrp, fastrp-features, and of link common
(neighbours) and adamic-adar; they are embedded and judged one after another, after ours.
A task that the graph does not permit is left out, and said so. Written: RUN/evaluation.json, what
--json prints, after every task of ours, every control and every seed of link, where RUN's own graph
is judged; `nodejepa-ext page` shows it. What is finished is printed, too, when a later task fails
or is interrupted.
Exit codes: 0; 2 usage, or no task that the graph permits; 3 no sound graph; 4 a model that does
not verify; 6 out of memory; 7 link's training diverged; 130, 143 interrupted.
"""
KEPT = "; finished tasks are kept"
EVALUATION = "evaluation.json"
Tasks = Annotated[
    str | None,
    typer.Option(
        metavar="T,T",
        help="Some of linear,knn,cluster,link.",
        show_default="all that the graph permits",
    ),
]
Controls = Annotated[
    str | None,
    typer.Option(
        metavar="C,C",
        help="none, all, or some of raw,untrained,fastrp,fastrp-features,common,adamic-adar.",
        show_default="all",
    ),
]


def evaluate(
    run: Trained,
    task: Tasks = None,
    controls: Controls = None,
    graph: Other = None,
    edges: Edges = None,
    nodes: Nodes = None,
    clusters: Annotated[
        int | None, typer.Option(min=2, metavar="K", help="Clusters.", show_default="the classes")
    ] = None,
    seeds: Annotated[
        int, typer.Option(min=1, help="Of k-means; of link, each of which trains.")
    ] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, not tables.")] = False,
    quiet: Quiet = False,
) -> None:
    """Linear probe, neighbours, clusters and held-out edges; the untrained encoder, FastRP and raw
    features beside ours; meters of collapse."""
    found: dict[str, Any] = {}
    failed = None
    own_graph = not (graph or edges or nodes)

    def keep(report: dict[str, Any]) -> None:
        found.update(report)
        if own_graph:
            write(run / EVALUATION, report)

    on_terminate(f"terminated{KEPT}")
    try:
        with sentences("nodejepa-ext evaluate", f"interrupted{KEPT}"):
            from nodejepa_ext.judging import report as judging

            source = source_of(graph, edges, nodes)
            how: Any = {"clusters": clusters, "seeds": seeds, "say": say, "controls": controls}
            keep(judging.judge(run, source, task, **how, keep=keep, said=say_new))
    except typer.Exit as error:
        failed = error
    if found and as_json:
        print_json(found)
    elif found:
        print_parts(judging.tables(found))
    if failed:
        raise failed


def write(path: Path, report: dict[str, Any]) -> None:
    """As JSON; where it cannot be, that is said, and no reason to stop."""
    try:
        with atomic(path) as file:
            file.write(f"{json.dumps(report)}\n".encode())
    except OSError as error:
        say(f"{path}: not written: {error.strerror}")
