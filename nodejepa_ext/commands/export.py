"""`nodejepa-ext export`: a run as a folder that the Hugging Face Hub takes as it is."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nodejepa_ext.commands.console import sentences
from nodejepa_ext.commands.embed import Run

if TYPE_CHECKING:
    from nodejepa_ext.training.folder import Model

EXAMPLES = """\b
Examples:
nodejepa-ext export runs/mine --hub hub/mine
nodejepa-ext export runs/mine --hub hub/mine --overwrite

Written: config.json, model.safetensors and README.md, the model card. Nothing is sent anywhere;
`hf upload OWNER/NAME hub/mine` would.
Exit codes: 0; 2 usage, or a file that cannot be written; 4 a model that does not verify.
"""
CARD = """---
library_name: nodejepa
tags:
- graph-machine-learning
- self-supervised-learning
- node-embeddings
---

# Node embeddings by Node-JEPA

A self-supervised {encoder} of one graph's nodes: {features} features in, {dimensions} dimensions
out. Trained on {nodes} nodes and {edges} edges, {epoch} epochs, seed {seed}; {labels}. It embeds
that graph, the same graph with more nodes, and others with the same features in the same order.
Embeddings of another encoder do not compare with its own. Effective rank in training:
{effective_rank:.1f} of {dimensions}; mean pairwise cosine {cosine:.3f}.

```python
import json
from pathlib import Path

from safetensors.torch import load_file

from nodejepa_ext import read_graph
from nodejepa_ext.graphs.scaling import Scaling
from run_full import Config, Encoder, Graph, embed

folder = Path("{folder}")
settings = json.loads((folder / "config.json").read_text())
tensors = load_file(folder / "model.safetensors")
mean, scale = (tensors.pop(f"scaling.{{name}}", None) for name in ("mean", "scale"))
cfg = Config(**settings["config"])
encoder = Encoder(cfg, settings["features"])
encoder.load_state_dict(tensors)

graph = read_graph("mygraph/", normalise="none")
scaling = Scaling(settings["scaling"], mean, scale)  # features as in training
data = scaling.prepare(graph, settings["features"])
z = embed(encoder, Graph.of(data, cfg))  # [N, {dimensions}]
```
"""


def export(
    run: Run,
    hub: Annotated[Path, typer.Option(metavar="FOLDER", help="Made if there is none.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace its files.")] = False,
) -> None:
    """Write config.json, model.safetensors and a model card; local files only."""
    with sentences("nodejepa-ext export"):
        from nodejepa_ext.training.checkpoints import verify, write
        from nodejepa_ext.training.folder import load_model

        model = load_model(run)
        weights = verify(run / "model.safetensors", model.meta["files"]["model.safetensors"])
        settings = settings_of(model)
        files: dict[str, bytes | str] = {"model.safetensors": weights}
        files |= {"README.md": card(model, settings, hub)}
        files |= {"config.json": json.dumps(settings, indent=1) + "\n"}
        held = [name for name in files if (hub / name).exists()]
        if held and not overwrite:
            text = f"{hub}: holds {', '.join(sorted(held))}; --overwrite replaces"
            raise FileExistsError(text)
        hub.mkdir(parents=True, exist_ok=True)
        for name, payload in files.items():
            write(hub / name, payload)
    typer.echo(hub)


def settings_of(model: Model) -> dict[str, Any]:
    """config.json: all that rebuilds the encoder, and how it was trained; no paths."""
    meta, graph = model.meta, model.meta["graph"]
    config = asdict(model.cfg) | {"device": "auto"}
    about = {"model_type": "node-jepa", "config": config, "features": model.features}
    about |= {"scaling": model.scaling.rule, "columns": graph.get("columns")}
    about |= {"graph": {key: graph[key] for key in ("nodes", "edges", "sha256")}}
    return about | {"figures": meta["figures"], "versions": meta["versions"]}


def card(model: Model, settings: dict[str, Any], folder: Path) -> str:
    """The model card, README.md of the layout."""
    figures, cfg = settings["figures"], model.cfg
    labels = "labels of validation nodes chose the epoch" if "val" in figures else "no labels"
    return CARD.format(
        **settings["graph"],
        **{key: figures[key] for key in ("epoch", "effective_rank", "cosine")},
        encoder=cfg.encoder.upper(),
        features=model.features,
        dimensions=cfg.out * (1 + cfg.own_features),
        seed=cfg.seed,
        labels=labels,
        folder=folder,
    )
