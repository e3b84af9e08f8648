"""Development accuracy of settings that one recipe for all graphs was chosen from.

python ablations/one_recipe/measure.py FOLDER STAGE [GRAPH,... [SEED,...]]   adds to rows.jsonl

FOLDER holds amazon_photo, cora_ml (Shchur et al. 2018; Bojchevski and Guennemann 2018),
chameleon_filtered (Platonov et al. 2023) and actor (Pei et al. 2020) as .npz. A row is one graph,
arm and seed: `val` is development accuracy after the last epoch, `hops` the same of the embedding
averaged over neighbours once and twice. One thread. Rows that are there are not made again.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import fields, replace
from itertools import product
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Data

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
import run_full
from nodejepa_ext import read_graph
from nodejepa_ext.judging import development_accuracy

ROWS = Path(__file__).with_name("rows.jsonl")
FILES = {"photo": "amazon_photo", "cora_ml": "cora_ml", "chameleon": "chameleon_filtered"}
FILES |= {"actor": "actor"}
GRAPHS = (*run_full.GRAPHS, *FILES)
BASE: dict[str, Any] = dict(mask=0.5, edge1=0.5, edge2=0.5, epochs=30, neighbours=20)
WIDE: dict[str, Any] = dict(hidden=1024, out=512)
CHOSEN = "chosen"
STAGES: dict[str, dict[str, dict[str, Any]]] = {
    "recipe": {"as it is": {}},
    "transform": {"none": {"transform": "none"}},
    "length": {
        "60 epochs": {"epochs": 60},
        "60 epochs, decorrelation 5e-4": {"epochs": 60, "regulariser_weight": 5e-4},
    },
    "decorrelation": {
        "5e-4": {"regulariser_weight": 5e-4},
        "2e-3": {"regulariser_weight": 2e-3},
    },
    "masks": {
        "hidden 0": {"mask": 0.0},
        "hidden .3": {"mask": 0.3},
        "hidden .7": {"mask": 0.7},
        "features .2": {"feat1": 0.2, "feat2": 0.2},
        "edges .3": {"edge1": 0.3, "edge2": 0.3},
    },
    "edges": {
        ".7": {"edge1": 0.7, "edge2": 0.7},
        ".9": {"edge1": 0.9, "edge2": 0.9},
        ".7, hidden .3": {"edge1": 0.7, "edge2": 0.7, "mask": 0.3},
        ".8, hidden .2": {"edge1": 0.8, "edge2": 0.8, "mask": 0.2},
    },
    CHOSEN: {"as `recipe` has it": {}},
    "width": {"512 and 512": {"hidden": 512, "out": 512}},
    "neighbours": {"none": {"neighbours": 0}},
    "own features": {"beside": {"own_features": True}},
    "parts": {
        "batch norm": {"norm": "batch"},
        "moving average and predictor": {
            "norm": "batch",
            "target": "ema",
            "predictor": 2,
            "directions": 2,
            "loss_nodes": "hidden",
            "loss": "cosine",
            "regulariser": "none",
        },
    },
}


def graph_of(name: str, folder: Path) -> Data:
    """All nodes and masks; rows of x by their sum, as run_full has them."""
    if name in run_full.GRAPHS:
        return run_full.load_graph(name)
    return read_graph(str(folder / f"{FILES[name]}.npz"), normalise="rows", split=None).data


def transformed(x: Tensor, kind: str) -> Tensor:
    """x [N, F]; root: square roots, rows of unit length, the same whatever rows sum to."""
    return F.normalize(x.sqrt()) if kind == "root" else x


def config(data: Data, changes: dict[str, Any]) -> run_full.Config:
    """Of a stage's arm; together neighbours weigh a fifth of a node's mean edges."""
    cfg = replace(run_full.BEST, **WIDE, **BASE, eval_every=0, device="cpu")
    cfg = replace(cfg, own_features=run_full.likeness(data) < 0.5)
    weight = round(0.2 * max(data.edge_index.shape[1] / len(data.x), 1.0), 2)
    cfg = replace(cfg, neighbour_weight=weight)
    return replace(cfg, **changes)


def measured(data: Data, x: Tensor, cfg: run_full.Config) -> dict[str, Any]:
    """Trains and judges; labels have no say before."""
    bare = Data(x=x, edge_index=data.edge_index)
    graph = run_full.Graph.of(bare, cfg)
    began = time.process_time()
    result = run_full.train(cfg, bare, graph=graph)
    spent = time.process_time() - began
    hops = [development_accuracy(graph.average(result.z, k), data)["mean"] for k in range(3)]
    rank = run_full.effective_rank(result.z)
    return {"val": hops[0], "hops": hops, "cpu_seconds": spent, "effective_rank": rank}


def job_of(name: str, arm: str, cfg: run_full.Config) -> dict[str, Any]:
    """What identifies a row, with the fields that are not as `Config` has them."""
    changed = {f.name: getattr(cfg, f.name) for f in fields(cfg)}
    changed = {f.name: changed[f.name] for f in fields(cfg) if changed[f.name] != f.default}
    return {"graph": name, "arm": arm, "seed": cfg.seed, "config": changed}


def main() -> None:
    """Adds the rows that are not there."""
    torch.set_num_threads(1)
    folder, stage, *more = sys.argv[1:]
    names = more[0].split(",") if more else GRAPHS
    seeds = [int(seed) for seed in more[1].split(",")] if len(more) > 1 else [0]
    done = [json.loads(line)["job"] for line in ROWS.open()] if ROWS.exists() else []
    for name, seed, arm in product(names, seeds, STAGES[stage]):
        data = graph_of(name, Path(folder))
        changes = dict(STAGES[stage][arm])
        transform = changes.pop("transform", "root")
        cfg = replace(config(data, changes), seed=seed)
        if stage == CHOSEN:
            transform = "none"  # it is the recipe's own
            cfg = replace(run_full.recipe(data), eval_every=0, device="cpu", seed=seed)
        job = job_of(name, f"{stage}: {arm}", cfg)
        if job in done:
            continue
        row = {k: job[k] for k in ("graph", "arm", "seed")} | {"status": "ok"}
        row |= measured(data, transformed(data.x, transform), cfg) | {"job": job}
        with ROWS.open("a") as file:
            file.write(json.dumps(row) + "\n")
        said = ", ".join(f"{100 * hop:.1f}" for hop in row["hops"])
        print(f"{name}, {job['arm']}, {seed}: {said}; {row['cpu_seconds']:.0f} s", flush=True)


if __name__ == "__main__":
    main()
