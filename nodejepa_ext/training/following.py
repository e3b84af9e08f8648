"""What ranks but the first do of a run: they train along, and write nothing.

Apart from `folder`, which is rank 0's: here a rank needs the graph where rank 0 found it, and not
the run's folder.
"""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import torch

import run_full
from nodejepa_ext.graphs.source import Subject
from nodejepa_ext.parts.choice import Parts, seams
from nodejepa_ext.training.folder import batch_nodes_of, same_subject
from nodejepa_ext.training.group import Group
from nodejepa_ext.training.memory import check_memory
from run_full import Config, EpochHook, TrainState


def start(
    ready: Subject, cfg: Config, parts: Parts, batch_nodes: int, group: Group, watch: EpochHook
) -> None:
    """Beside `folder.start` or `folder.resume`, after the group's check. RunError: 6 memory, 7 the
    loss is not finite; Lost: another rank has ended."""
    data = ready.graph.data
    check_memory(data, cfg, group.room(cfg), batch_nodes)
    given = seams(parts)
    make = given.get("make_predictor", run_full.MLPPredictor)
    state = TrainState.new(cfg, data, run_full.Encoder, make)
    group.train(cfg, data, batch_nodes, state=state, on_epoch=watch, **given)


def resume(folder: Path, group: Group, watch: EpochHook) -> None:
    """Beside `folder.resume`, whose rank says what to go on with. RunError 3: this rank does not
    find the graph, or finds another; others as in `start`."""
    meta = json.loads(group.send(b""))
    if meta["status"] == "finished":
        return
    settings, extra = meta["settings"], {f.name for f in fields(Parts)}
    parts = Parts(**{k: v for k, v in settings.items() if k in extra})
    core = settings.keys() - extra - {"batch_nodes"}
    cfg = Config(**{k: settings[k] for k in core})
    torch.set_num_threads(meta["threads"])
    ready = same_subject(folder, meta)
    batch_nodes = batch_nodes_of(meta)
    group.check(ready, cfg, parts, batch_nodes)
    start(ready, cfg, parts, batch_nodes, group, watch)
