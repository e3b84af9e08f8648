"""`nodejepa-ext embed`: a trained run's embeddings, of its graph or of another, as one file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nodejepa_ext.commands.console import Quiet, say_new, sentences
from nodejepa_ext.commands.printing import print_json
from nodejepa_ext.commands.verb import check_graph, check_tables, graphs

if TYPE_CHECKING:
    from nodejepa_ext.graphs.source import Source

EXAMPLES = """\b
Examples:
nodejepa-ext embed runs/mine --out emb.csv
nodejepa-ext embed runs/mine --graph grown.npz --out emb.parquet
nodejepa-ext embed hub/mine --graph grown.npz --out emb.csv
nodejepa-ext embed runs/mine --graph edges.csv --nodes nodes.csv --out emb.npz --overwrite
nodejepa-ext embed runs/mine --out emb.parquet --layout list

SOURCE: as in `nodejepa-ext data check`: the training graph with more nodes and edges, or another
with the same features in the same order, which are scaled as in training. Nothing is trained.
.csv and .parquet: id, z0, z1 and so on, with --layout list id and z, a list, as vector stores read
it; .npz: z and node_id; .npy: z, in the order of the nodes.
Exit codes: 0; 2 usage, other features, or a file that cannot be written; 3 no sound graph;
4 a model that does not verify.
"""
Run = Annotated[Path, typer.Argument(help="What train or export wrote.", metavar="RUN")]
Trained = Annotated[Path, typer.Argument(help="What train wrote.", metavar="RUN")]
Other = Annotated[
    str | None,
    typer.Option(
        "--graph",
        metavar="SOURCE",
        help="Another graph.",
        show_default="that of RUN",
        autocompletion=graphs,
    ),
]
Edges = Annotated[Path | None, typer.Option(help="In place of SOURCE: its table of edges.")]
Nodes = Annotated[Path | None, typer.Option(help="And, if any, of nodes.")]


def source_of(graph: str | None, edges: Path | None, nodes: Path | None) -> Source | None:
    """Where the other graph is; None: there is none."""
    check_tables(graph, edges, nodes)
    check_graph(graph)
    from nodejepa_ext.graphs.source import Source

    return Source.of(graph, edges, nodes) if graph or edges or nodes else None


def embed(
    run: Run,
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="Ends in .npy, .npz, .csv or .parquet.")
    ],
    graph: Other = None,
    edges: Edges = None,
    nodes: Nodes = None,
    layout: Annotated[
        str, typer.Option(metavar="columns|list", help="Of .parquet: a column a number, or a list.")
    ] = "columns",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace FILE.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, not a line.")] = False,
    quiet: Quiet = False,
) -> None:
    """Write the embedding of every node, with its id."""
    with sentences("nodejepa-ext embed"):
        import torch

        from nodejepa_ext.training import embeddings, pretrained
        from nodejepa_ext.training.folder import Model, batch_nodes_of, load_model
        from nodejepa_ext.training.memory import check_inference

        embeddings.writable(out, overwrite, layout)
        model = pretrained.load(run) if pretrained.holds(run) else load_model(run)
        source = source_of(graph, edges, nodes)
        if source is None and isinstance(model, Model):
            torch.set_num_threads(model.meta["threads"])  # the bits of embeddings.npz
        read = embeddings.graph_for(model, run, source)
        say_new(read.notices, model.meta.get("notices", []) if isinstance(model, Model) else [])
        each = 8 if read.node_id is None else read.node_id.itemsize
        embeddings.roomy(out, len(read.data.x), model.cfg.latent, each)
        chunk = batch_nodes_of(model.meta) if isinstance(model, Model) else model.batch_nodes
        check_inference(read.data, model.cfg, chunk)
        z = model.embed(read.data).numpy()
        embeddings.write(out, z, read.node_id, overwrite=overwrite, layout=layout)
    n, width = z.shape
    if as_json:
        about = {"written": str(out), "nodes": n, "dimensions": width, "notices": read.notices}
        return print_json(about)
    typer.echo(f"{n} nodes, {width} dimensions: {out}")
