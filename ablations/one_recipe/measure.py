"""Development accuracy of settings that one recipe for all graphs was chosen from.

python ablations/one_recipe/measure.py FOLDER STAGE [GRAPH,... [SEED,... [ARM;...]]]

Rows are added to rows.jsonl.

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
from nodejepa_ext.graphs.likeness import likeness
from nodejepa_ext.judging import development_accuracy
from nodejepa_ext.training.settings import recipe

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


LATER: dict[str, dict[str, Any]] = {  # of the recipe, after it was committed
    "as it is": {},
    "decorrelation 5e-4": {"regulariser_weight": 5e-4},
    "20 epochs": {"epochs": 20},
    "45 epochs": {"epochs": 45},
    "60 epochs, lr 5e-4": {"epochs": 60, "lr": 5e-4},
    "1 layer of 2 hops": {"layers": 1, "hops": 2},
    "features .1": {"feat1": 0.1, "feat2": 0.1},
    "features .3 in view 1": {"feat1": 0.3},
    "features .2, decorrelation 5e-4": {"feat1": 0.2, "feat2": 0.2, "regulariser_weight": 5e-4},
    "features .2, hidden .1": {"feat1": 0.2, "feat2": 0.2, "mask": 0.1},
    "edges .85 and .5": {"edge1": 0.85, "edge2": 0.5},
    "neighbours 40": {"neighbours": 40},
    "neighbours 10": {"neighbours": 10},
    "output 256": {"out": 256},
    "output 1024": {"out": 1024},
    "weight decay 1e-3": {"weight_decay": 1e-3},
    "idf": {"transform": "idf"},
    "root of idf": {"transform": "root of idf"},
}
DEEP = {"layers": run_full.BEST.layers, "hops": run_full.BEST.hops}  # the recipe's, on all graphs
FLAT: dict[str, Any] = {"layers": 1, "hops": 2}
LINEAR: dict[str, dict[str, Any]] = {  # of the recipe with one layer of two hops, a linear map
    "as it is": FLAT,
    "output 1024": FLAT | {"out": 1024},
    "output 2048": FLAT | {"out": 2048},
    "3 hops": FLAT | {"hops": 3},
    "decorrelation 5e-4": FLAT | {"regulariser_weight": 5e-4},
    "output 1024, decorrelation 5e-4": FLAT | {"out": 1024, "regulariser_weight": 5e-4},
    "60 epochs": FLAT | {"epochs": 60},
    "15 epochs": FLAT | {"epochs": 15},
    "batch norm": FLAT | {"norm": "batch"},
    "hidden .5": FLAT | {"mask": 0.5},
    "hidden 0": FLAT | {"mask": 0.0},
    "edges .5": FLAT | {"edge1": 0.5, "edge2": 0.5},
    "features .1": FLAT | {"feat1": 0.1, "feat2": 0.1},
    "lr 3e-3": FLAT | {"lr": 3e-3},
    "neighbours 40": FLAT | {"neighbours": 40},
    "neighbours of twice the weight": FLAT | {"neighbour_weight": 2.0},
    "no neighbours": FLAT | {"neighbours": 0},
    "edges .85": FLAT | {"edge1": 0.85, "edge2": 0.85},
    "own features": FLAT | {"own_features": True},
}
ONE_WAY: dict[str, Any] = {"predictor": 2}
CARDLIKE: dict[str, Any] = ONE_WAY | {"target": "ema"}
PARTS: dict[str, dict[str, Any]] = {  # of the recipe: what ablations/jepa_parts asks
    "the recipe": {},
    "no hidden nodes": {"mask": 0.0},
    "no dropped edges": {"edge1": 0.0, "edge2": 0.0},
    "a predictor": ONE_WAY,
    "a predictor and a moving average": CARDLIKE,
    "no decorrelation": {"regulariser": "none"},
    "a predictor and a moving average, no decorrelation": CARDLIKE | {"regulariser": "none"},
}
BGRL = run_full.Config(
    layers=1,
    hops=2,
    out=1024,
    mask=0.0,
    warmup=6,
    epochs=60,
    eval_every=0,
    device="cpu",
)
NARROW: dict[str, Any] = dict(layers=2, hops=1, hidden=512, out=256)
MILD: dict[str, Any] = dict(feat1=0.2, edge1=0.2, feat2=0.1, edge2=0.3)
FAIR: dict[str, dict[str, Any]] = {  # of BGRL on what the recipe's encoder takes in
    "1 layer of 2 hops, 1024": {},
    "1 layer of 2 hops, 512": {"out": 512},
    "1 layer of 1 hop": {"hops": 1},
    "1 layer of 3 hops": {"hops": 3},
    "2 layers, 512 and 256": NARROW,
    "2 layers, 512 and 256, mild rates": NARROW | MILD,
    "2 layers, 512 and 256, 200 epochs": NARROW | {"epochs": 200, "warmup": 20},
    "2 layers, 1024 and 512": NARROW | {"hidden": 1024, "out": 512},
    "30 epochs": {"epochs": 30, "warmup": 3},
    "120 epochs": {"epochs": 120, "warmup": 12},
    "lr 2e-3": {"lr": 2e-3},
    "lr 5e-4": {"lr": 5e-4},
    "mild rates": MILD,
    "features .2 and .1, edges .5": {"feat1": 0.2, "feat2": 0.1},
    "features 0, edges .7": {"feat1": 0.0, "feat2": 0.0, "edge1": 0.7, "edge2": 0.7},
    "edges .7": {"edge1": 0.7, "edge2": 0.7},
    "momentum .95": {"momentum": 0.95},
    "momentum .999": {"momentum": 0.999},
    "predictor of 1 layer": {"predictor": 1},
    "predictor of 1 layer, 30 epochs": {"predictor": 1, "epochs": 30, "warmup": 3},
    "predictor of 1 layer, lr 2e-3": {"predictor": 1, "lr": 2e-3},
    "predictor without norm": {"predictor_norm": "none"},
    "transform none": {"transform": "none"},
    "no neighbours": {"neighbours": 0},
}
AFTER = {
    "later": LATER,
    "linear": LINEAR,
    "jepa": PARTS,
    "bgrl": FAIR,
}  # stages after the recipe was committed


def graph_of(name: str, folder: Path) -> Data:
    """All nodes and masks; rows of x by their sum, as run_full has them."""
    if name in run_full.GRAPHS:
        return run_full.load_graph(name)
    return read_graph(str(folder / f"{FILES[name]}.npz"), normalise="rows", split=None).data


def transformed(x: Tensor, kind: str) -> Tensor:
    """x [N, F]; root: square roots, rows of unit length, the same whatever rows sum to."""
    if "idf" in kind:
        x = x * (len(x) / (x > 0).sum(0).clamp(min=1)).log()
    if kind == "idf":
        return F.normalize(x)
    return F.normalize(x.clamp(min=0).sqrt()) if "root" in kind else x


def settings(stage: str, arm: str, data: Data) -> tuple[run_full.Config, str]:
    """Of an arm of AFTER, and what x is turned into before the encoder has its say."""
    own = recipe(data)
    if stage in ("later", "linear"):
        own = replace(own, **DEEP)
    changes = dict(AFTER[stage][arm])
    x = "none"
    if changes.get("transform") in ("idf", "root of idf"):
        x = changes.pop("transform")
        changes["transform"] = "none"
    if stage != "bgrl":
        cfg = replace(own, eval_every=0, device="cpu")
        if not cfg.neighbours:
            changes.pop("neighbours", None)
        if arm == "neighbours of twice the weight":
            changes["neighbour_weight"] = 2 * cfg.neighbour_weight
        return replace(cfg, **changes), x
    cfg = replace(BGRL, neighbours=own.neighbours, neighbour_weight=own.neighbour_weight)
    cfg = replace(cfg, transform=own.transform, own_features=own.own_features)
    return replace(cfg, **changes), x


def config(data: Data, changes: dict[str, Any]) -> run_full.Config:
    """Of a stage's arm; together neighbours weigh a fifth of a node's mean edges."""
    cfg = replace(run_full.BEST, **WIDE, **BASE, eval_every=0, device="cpu")
    cfg = replace(cfg, own_features=likeness(data) < 0.5)
    weight = round(0.2 * max(data.edge_index.shape[1] / len(data.x), 1.0), 2)
    cfg = replace(cfg, neighbour_weight=weight)
    return replace(cfg, **changes)


def measured(data: Data, x: Tensor, cfg: run_full.Config, deepest: int) -> dict[str, Any]:
    """Trains and judges; labels have no say before."""
    bare = Data(x=x, edge_index=data.edge_index)
    graph = run_full.Graph.of(bare, cfg)
    began = time.process_time()
    result = run_full.train(cfg, bare, graph=graph)
    spent = time.process_time() - began
    hops = [
        development_accuracy(graph.average(result.z, k), data)["mean"] for k in range(deepest + 1)
    ]
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
    arms = AFTER.get(stage) or STAGES[stage]
    if len(more) > 2:
        arms = {arm: arms[arm] for arm in more[2].split(";")}
    done = [json.loads(line)["job"] for line in ROWS.open()] if ROWS.exists() else []
    deepest = 0 if stage == "jepa" else 2
    for name, seed, arm in product(names, seeds, arms):
        data = graph_of(name, Path(folder))
        if stage in AFTER:
            cfg, transform = settings(stage, arm, data)
        elif stage == CHOSEN:
            cfg = replace(recipe(data), **DEEP, eval_every=0, device="cpu")
            transform = "none"  # it is the recipe's own
        else:
            changes = dict(STAGES[stage][arm])
            transform = changes.pop("transform", "root")
            cfg = config(data, changes)
        cfg = replace(cfg, seed=seed)
        job = job_of(name, f"{stage}: {arm}", cfg)
        if job in done:
            continue
        row = {k: job[k] for k in ("graph", "arm", "seed")} | {"status": "ok"}
        row |= measured(data, transformed(data.x, transform), cfg, deepest) | {"job": job}
        with ROWS.open("a") as file:
            file.write(json.dumps(row) + "\n")
        said = ", ".join(f"{100 * hop:.1f}" for hop in row["hops"])
        print(f"{name}, {job['arm']}, {seed}: {said}; {row['cpu_seconds']:.0f} s", flush=True)


if __name__ == "__main__":
    main()
