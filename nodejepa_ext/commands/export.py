"""`nodejepa-ext export`: a run as a folder that the Hugging Face Hub takes as it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nodejepa_ext.commands.console import sentences
from nodejepa_ext.commands.embed import Trained

if TYPE_CHECKING:
    from nodejepa_ext.training.folder import Model
    from nodejepa_ext.training.pretrained import Pretrained

EXAMPLES = """\b
Examples:
nodejepa-ext export runs/mine --hub hub/mine
nodejepa-ext export runs/mine --hub hub/mine --overwrite

Written: config.json, model.safetensors and README.md, the model card. Nothing is sent anywhere;
`hf upload OWNER/NAME hub/mine` would.
Exit codes: 0; 2 usage, or a file that cannot be written; 4 a model that does not verify.
"""


def export(
    run: Trained,
    hub: Annotated[Path, typer.Option(metavar="FOLDER", help="Made if there is none.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace its files.")] = False,
) -> None:
    """Write config.json, model.safetensors and a model card; local files only."""
    with sentences("nodejepa-ext export"):
        from nodejepa_ext.training import pretrained
        from nodejepa_ext.training.folder import load_model

        model = load_model(run)
        pretrained.save(handed_on(model), hub, trained(model), overwrite=overwrite)
    typer.echo(hub)


def handed_on(model: Model) -> Pretrained:
    """All that embeds, and how it was trained; no paths."""
    from nodejepa_ext.training.folder import batch_nodes_of
    from nodejepa_ext.training.pretrained import Pretrained

    meta, graph = model.meta, model.meta["graph"]
    about: dict[str, Any] = {"graph": {key: graph[key] for key in ("nodes", "edges", "sha256")}}
    about |= {"figures": meta["figures"], "versions": meta["versions"]}
    return Pretrained(
        model.encoder,
        model.cfg,
        model.scaling,
        model.features,
        graph.get("columns"),
        batch_nodes_of(meta),
        about,
        model.choices,
    )


def trained(model: Model) -> str:
    """What the model card says of the training."""
    graph, figures = model.meta["graph"], model.meta["figures"]
    labels = "labels of validation nodes chose the epoch" if "val" in figures else "no labels"
    return (
        f"Trained on {graph['nodes']} nodes and {graph['edges']} edges, {figures['epoch']} epochs,"
        f" seed {model.cfg.seed}; {labels}. Effective rank in training:"
        f" {figures['effective_rank']:.1f} of {model.cfg.latent}; mean pairwise cosine"
        f" {figures['cosine']:.3f}."
    )
