"""A trained encoder as a folder to hand on: config.json, model.safetensors and a model card.

Apart from folder.py, whose folders hold a whole run: here is what embeds other graphs, in the
layout of the Hugging Face Hub, of a run or of a fitted estimator. Nothing is sent or fetched unless
a function of that name is called. Shapes: N nodes, F features, D latent dimensions.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch
from torch import Tensor, nn
from torch_geometric.data import Data

import run_full
from nodejepa_ext.graphs.columns import Choices
from nodejepa_ext.graphs.scaling import Scaling
from nodejepa_ext.parts.choice import Parts
from nodejepa_ext.records import read_bytes, read_json
from nodejepa_ext.training import batches
from nodejepa_ext.training.checkpoints import encoder_of, scaling_of, write
from run_full import Config, RunError

TYPE = "node-jepa"
MODEL, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
LARGEST = 1 << 20  # bytes of config.json
WEIGHTS = 1 << 40  # bytes of model.safetensors
TEXT = """---
library_name: nodejepa
tags:
- graph-machine-learning
- self-supervised-learning
- node-embeddings
---

# Node embeddings by Node-JEPA

A self-supervised {encoder} of one graph's nodes: {features} features in, {dimensions} dimensions
out. {trained} It embeds that graph, the same graph with more nodes, and others with the same
features in the same order. Embeddings of another encoder do not compare with its own.

```python
from nodejepa_ext import NodeJEPA, read_graph

model = NodeJEPA.from_pretrained({folder})
z = model.transform(read_graph("mygraph/"))  # [N, {dimensions}]
```
"""


class Pretrained(NamedTuple):
    """What embeds a graph."""

    encoder: nn.Module  # a run_full.Encoder in evaluation mode
    cfg: Config
    scaling: Scaling
    features: int  # F
    columns: list[str] | None = None  # [F] names of the features, where they are known
    batch_nodes: int = 0  # of the chunks to embed in; 0: at once
    about: dict[str, Any] | None = None  # of the training, for those who read config.json
    choices: Choices = Choices()  # what was said of the columns of the training graph

    def embed(self, data: Data) -> Tensor:
        """z [N, D] on the cpu, of features that `scaling` prepared."""
        return batches.embed(self.encoder, data, self.batch_nodes)


def save(model: Pretrained, folder: Path, trained: str, *, overwrite: bool = False) -> None:
    """Writes the layout, config.json last; trained: a sentence of the card. FileExistsError: one of
    its files is there already, which overwrite replaces only where config.json, or weights that a
    kill left without one, are of this project. OSError: it cannot be written."""
    if held := [name for name in (CARD, CONFIG, MODEL) if os.path.lexists(folder / name)]:
        text = f"{folder}: holds {', '.join(held)}"
        if not (ours(folder / CONFIG) if CONFIG in held else left(folder / MODEL)):
            text += f" and no {CONFIG} of a model of this project: nothing is replaced"
            raise FileExistsError(text)
        if not overwrite:
            raise FileExistsError(f"{text}; --overwrite replaces")
    tensors = model.encoder.state_dict() | model.scaling.tensors()
    tensors = {k: t.cpu().contiguous() for k, t in tensors.items()}
    settings: dict[str, Any] = {"model_type": TYPE, "config": asdict(model.cfg)}
    settings["config"]["device"] = "auto"
    settings["features"] = model.features
    settings["scaling"] = model.scaling.rule
    settings["positions"] = model.scaling.positions
    settings["columns"] = model.columns
    settings["batch_nodes"] = model.batch_nodes
    settings["choices"] = model.choices._asdict()
    card = TEXT.format(
        encoder=model.cfg.encoder.upper(),
        features=model.features,
        dimensions=model.cfg.latent,
        trained=trained,
        folder=json.dumps(folder.name),
    )
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / MODEL, safetensors.torch.save(tensors, {"model_type": TYPE}))
    write(folder / CARD, card)
    write(folder / CONFIG, json.dumps(settings | (model.about or {}), indent=1) + "\n")


def ours(path: Path) -> bool:
    """Whether it is a config.json of the layout."""
    try:
        settings_in(path)
    except (OSError, ValueError):
        return False
    return not path.is_symlink()


def left(path: Path) -> bool:
    """Whether it is a model.safetensors of the layout, by its own words."""
    try:
        with safetensors.safe_open(path, "pt") as file:
            said = file.metadata() or {}
    except (OSError, safetensors.SafetensorError):
        return False
    return said.get("model_type") == TYPE and not path.is_symlink()


def holds(folder: Path) -> bool:
    """Whether it is a folder of this layout, rather than one of a run."""
    return (folder / CONFIG).exists() and not (folder / "run.json").exists()


def load(folder: Path) -> Pretrained:
    """From a folder of the layout. RunError 4: it is none, or its files do not fit each other."""
    try:
        settings = settings_in(folder / CONFIG)
        cfg = Config(**settings["config"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise RunError(f"{folder / CONFIG}: {error}; expected a model of this project", 4) from None
    try:
        run_full.placement(cfg)
    except ValueError:  # trained on another machine
        cfg = replace(cfg, device="auto")
    path = folder / MODEL
    try:
        tensors = safetensors.torch.load(read_bytes(path, WEIGHTS))
        rule, width = settings["scaling"], settings["features"]
        scaling = scaling_of(rule, width, tensors, settings["positions"])
        encoder = encoder_of(cfg, settings["features"], tensors)
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise RunError(f"{path}: {error}; expected those of {folder / CONFIG}", 4) from None
    encoder = encoder.to(run_full.placement(cfg)[0]).eval()
    return Pretrained(
        encoder,
        cfg,
        scaling,
        settings["features"],
        settings.get("columns"),
        settings.get("batch_nodes", 0),
        choices=chosen(settings.get("choices", {})),
    )


def settings_in(path: Path) -> dict[str, Any]:
    """config.json of the layout. ValueError: it is another's, too long, or of other types."""
    settings: dict[str, Any] = read_json(path, {"model_type": str}, LARGEST)
    if settings["model_type"] != TYPE:
        raise ValueError(f"model_type {settings['model_type']!r}: expected model_type {TYPE!r}")
    settings.setdefault("positions", 0)
    wanted = {"config": dict, "features": int, "scaling": str, "positions": int}
    for name, kind in wanted.items():
        if type(settings.get(name)) is not kind:  # true is no number of features
            raise ValueError(f"{name} = {settings.get(name)!r}: expected {kind.__name__}")
    if settings["scaling"] not in ("rows", "columns", "none", "structural"):
        raise ValueError(f"scaling = {settings['scaling']!r}: expected a rule")
    if not 0 < settings["features"] < 2**31:
        raise ValueError(f"features = {settings['features']}: expected a number above 0")
    own = settings["features"] - settings["positions"]
    if not 0 < own <= settings["features"]:
        raise ValueError(f"positions = {settings['positions']}: expected fewer than features")
    columns = settings.get("columns")
    if columns is not None:
        named = isinstance(columns, list) and all(isinstance(name, str) for name in columns)
        if not named or len(columns) != own:
            raise ValueError(f"columns: expected {own} names")
    batches.check(settings.get("batch_nodes", 0), Parts())
    chosen(settings.get("choices", {}))
    return settings


def chosen(found: Any) -> Choices:
    """What config.json has of `Choices`. ValueError: it is none."""
    sound = isinstance(found, dict) and found.keys() <= {*Choices._fields}
    if sound:
        lists = [found.get("features") or [], found.get("not_features") or []]
        names = [found.get("label"), found.get("weight")]
        sound = all(isinstance(some, list) for some in lists)
        sound = sound and all(isinstance(name, str) for some in lists for name in some)
        sound = sound and all(name is None or isinstance(name, str) for name in names)
    if not sound:
        raise ValueError(f"choices = {found!r}: expected {', '.join(Choices._fields)}")
    features = found.get("features")
    kept = None if features is None else tuple(features)
    return Choices(kept, tuple(found.get("not_features") or ()), *names)


def fetch(where: str | Path, **hub: Any) -> Path:
    """The folder `where`, or that of a model of this name on the Hugging Face Hub, downloaded; hub:
    what `huggingface_hub.snapshot_download` takes, such as revision, token, local_files_only.
    FileNotFoundError: no such folder, and no name of the Hub. ImportError: no huggingface_hub."""
    if Path(where).is_dir():
        return Path(where)
    name = str(where)
    if name.count("/") != 1 or name.startswith((".", "/", "~")) or name.endswith("/"):
        raise FileNotFoundError(f"{where}: expected a folder, or OWNER/NAME of the Hub")
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(name, allow_patterns=[CARD, CONFIG, MODEL], **hub))


def push(model: Pretrained, name: str, trained: str, **hub: Any) -> str:
    """Sends the layout to the Hub, as OWNER/NAME -> the address of the commit; hub: what
    `huggingface_hub.ModelHubMixin.push_to_hub` takes, such as token, private, commit_message.
    ImportError: no huggingface_hub."""
    from huggingface_hub import ModelHubMixin

    class Layout(ModelHubMixin):
        def _save_pretrained(self, save_directory: Path) -> None:
            save(model, save_directory, trained)

    return str(Layout().push_to_hub(name, **hub))
