"""`nodejepa-ext evaluate`: what a run's embedding is good for, beside what trains nothing."""

from __future__ import annotations

from typing import Annotated

import typer

from nodejepa_ext.commands.console import print_json, print_parts, say, sentences
from nodejepa_ext.commands.embed import Edges, Nodes, Other, Run, source_of

EXAMPLES = """\b
Examples:
nodejepa-ext evaluate runs/mine
nodejepa-ext evaluate runs/mine --task linear,knn --json
nodejepa-ext evaluate runs/mine --task cluster --clusters 5
nodejepa-ext evaluate runs/mine --task link --seeds 5

linear: logistic regression. knn: nearest neighbours by cosine. Both on the graph's own split, else
on 20 random ones of 10/10/80 %. cluster: k-means on rows of unit length. link: 5 % and 10 % of the
edges are held out, then the run's settings are trained ANEW on the rest, once a seed. Validation
nodes or pairs choose C, k and scorer; test nodes and pairs count once.
Exit codes: 0; 2 usage, or a task that the graph does not permit; 3 no sound graph; 4 a model that
does not verify; 6 out of memory; 7 link's training diverged; 130 interrupted.
"""


def evaluate(
    run: Run,
    task: Annotated[
        str | None,
        typer.Option(
            metavar="T,T",
            help="Some of linear,knn,cluster,link.",
            show_default="all that the graph permits",
        ),
    ] = None,
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
) -> None:
    """Linear probe, neighbours, clusters and held-out edges; the untrained encoder, FastRP and raw
    features beside ours; meters of collapse."""
    with sentences("nodejepa-ext evaluate"):
        from nodejepa_ext.judging import report as judging

        report = judging.judge(
            run,
            source_of(graph, edges, nodes),
            task,
            clusters=clusters,
            seeds=seeds,
            say=say,
        )
    if as_json:
        return print_json(report)
    print_parts(judging.tables(report), 140)
