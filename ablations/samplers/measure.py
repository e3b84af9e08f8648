"""Development accuracy after as many steps on subgraphs, by how the subgraphs are drawn.

python ablations/samplers/measure.py FOLDER   (of amazon_photo.npz) -> rows.jsonl beside this file

Arms: "regions", every node once a pass, see `nodejepa_ext.training.passes`; "balls", breadth-first
from one random root in 512 nodes, drawn anew each step; "random nodes". Settings of `best` without
neighbours at widths of 256, the last epoch, one thread.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch_geometric.data import Data

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
import run_full
from nodejepa_ext import read_graph
from nodejepa_ext.judging import development_accuracy
from nodejepa_ext.training import batches
from nodejepa_ext.training.passes import Passes, induced

HERE = Path(__file__).parent
STEPS, WIDTH, SEEDS = 60, 256, 3


def planted(n: int = 5000, k: int = 10, seed: int = 0) -> Data:
    """k communities of mean degree 10, two edges within for one between; 20 faint columns."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % k
    u, w = rng.integers(0, n, (2, 5 * n))
    within = rng.random(5 * n) < 2 / 3
    v = np.where(within, w - y[w] + y[u], w) % n
    x = rng.normal(size=(n, 20)) + 0.3 * rng.normal(size=(k, 20))[y]
    edges = torch.from_numpy(np.stack([np.r_[u, v], np.r_[v, u]]))
    return Data(x=torch.from_numpy(x).float(), edge_index=edges, y=torch.from_numpy(y))


def ball(adjacency: Any, nodes: int, rng: np.random.Generator) -> np.ndarray:
    """[nodes] around random roots, layer by layer, the last cut at random."""
    inside = np.zeros(adjacency.shape[0], bool)
    layer = rng.permutation(len(inside))[: math.ceil(nodes / 512)]
    while inside.sum() < nodes:
        if not len(layer):
            layer = rng.permutation(np.flatnonzero(~inside))[:1]
        inside[rng.permutation(layer)[: nodes - inside.sum()]] = True
        reached = np.unique(adjacency[layer].indices)
        layer = reached[~inside[reached]]
    return np.flatnonzero(inside)


def samplers(data: Data, cfg: run_full.Config, nodes: int) -> dict[str, Callable[[int], Any]]:
    """Arm -> a `run_full.Sampler`."""
    adjacency, n = batches.adjacency(data), len(data.x)
    place, passes = np.full(n, -1), Passes(data, adjacency, nodes, cfg.seed)

    def drawn(step: int, some: Callable[[np.random.Generator], np.ndarray]) -> run_full.Graph:
        chosen = np.sort(some(np.random.default_rng([cfg.seed, step])))
        return run_full.Graph.of(induced(data, adjacency, chosen, place), cfg)

    return {
        "regions": lambda step: run_full.Graph.of(passes.subgraph(step), cfg),
        "balls": lambda step: drawn(step, lambda rng: ball(adjacency, nodes, rng)),
        "random nodes": lambda step: drawn(step, lambda rng: rng.permutation(n)[:nodes]),
    }


def graphs(folder: Path) -> dict[str, tuple[Data, int]]:
    """Name -> the graph and the nodes of a subgraph; rows of x of unit length."""
    found = {"planted": (planted(), 1024)}
    for name, source, nodes in (
        ("amazon_photo", str(folder / "amazon_photo.npz"), 1024),
        ("pubmed", "pubmed", 2048),
    ):
        data = read_graph(source, normalise="none").data
        data.x = F.normalize(data.x)
        found[name] = data, nodes
    return found


def main() -> None:
    torch.set_num_threads(1)
    base = replace(run_full.BEST, neighbours=0, hidden=WIDTH, out=WIDTH, eval_every=0)
    with (HERE / "rows.jsonl").open("w") as file:
        for name, (data, nodes) in graphs(Path(sys.argv[1])).items():
            bare = Data(x=data.x, edge_index=data.edge_index)
            for seed in range(SEEDS):
                cfg = replace(base, epochs=STEPS, seed=seed)
                whole = run_full.Graph.of(bare, cfg)
                for arm, sampler in samplers(bare, cfg, nodes).items():
                    began = time.process_time()
                    result = run_full.train(
                        cfg,
                        bare,
                        sampler=sampler,
                        embedder=lambda encoder, whole=whole: run_full.embed(encoder, whole),
                    )
                    spent = time.process_time() - began
                    val = development_accuracy(result.z, data)["mean"]
                    job = {"graph": name, "arm": arm, "seed": seed}
                    row = job | {"status": "ok", "val": val, "job": job, "cpu_seconds": spent}
                    file.write(json.dumps(row) + "\n")
                    print(name, arm, seed, round(100 * val, 1), f"{spent:.1f}", flush=True)


if __name__ == "__main__":
    main()
