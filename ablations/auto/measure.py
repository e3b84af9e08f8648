"""What `--preset auto` and the settings it chooses between reach on several graphs, in validation
accuracy, beside the controls: rows for rows.jsonl, one a graph, setting and seed.

python ablations/auto/measure.py --graphs cora,graphs/actor.npz --splits 1 >> rows.jsonl

Splits: the file's, else twenty random ones of 10/10/80. No test node is looked at.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import sparse
from table import OURS
from torch import Tensor
from torch_geometric.data import Data

import run_full
from nodejepa_ext import fastrp, read_graph
from nodejepa_ext.graphs.likeness import likeness
from nodejepa_ext.judging import tasks
from nodejepa_ext.training.settings import recipe

SPLITS = 20  # where the file has none
Row = dict[str, Any]


def settings(bare: Data) -> dict[str, run_full.Config]:
    """What `auto` chooses between: own features or not, on the graph with neighbours or without."""
    plain = replace(run_full.BEST, mask=0.3, eval_every=0, device="cpu")
    weight = round(0.2 * max(bare.edge_index.shape[1] / len(bare.x), 1.0), 2)
    graphs = plain, replace(plain, neighbours=20, neighbour_weight=weight)
    both = [replace(cfg, own_features=own) for cfg in graphs for own in (False, True)]
    return dict(zip(OURS, both, strict=True))


def propagated(bare: Data) -> list[Tensor]:
    """x [N, F] after 1 to 10 hops of D^-1/2 (A + I) D^-1/2, as SGC has it."""
    n, weight = len(bare.x), bare.edge_weight
    value = np.ones(bare.edge_index.shape[1]) if weight is None else weight.double().numpy()
    adj = sparse.csr_array((value, bare.edge_index.numpy()), (n, n))
    adj.setdiag(0)
    adj = adj.maximum(adj.T) + sparse.eye_array(n)
    scale = sparse.diags_array(adj.sum(1) ** -0.5)
    adj, h, hops = (scale @ adj @ scale).tocsr(), bare.x.double().numpy(), []
    for _ in range(10):
        hops.append(torch.from_numpy(h := adj @ h))
    return hops


def controls(bare: Data) -> Iterator[tuple[str, list[Tensor]]]:
    """Raw features, SGC of 1 to 10 hops, FastRP: embeddings of which validation takes the best."""
    yield "raw features", [bare.x]
    yield "SGC", propagated(bare)
    yield "FastRP", [fastrp(bare, seed=0, features=features) for features in (False, True)]


def measured(name: str, seeds: int, splits: int) -> Iterator[Row]:
    """The rows of one graph: controls, then each setting trained and untrained, seed by seed."""
    data = read_graph(name, split=None).data
    official = "train_mask" in data
    parts = tasks.node_splits(data, None if official else SPLITS)[: splits or None]
    bare = Data(x=data.x.to_dense(), edge_index=data.edge_index, edge_weight=data.edge_weight)
    alike, words = likeness(bare), recipe(bare).neighbours > 0

    def row(arm: str, seed: int, val: list[float], spent: float = 0.0) -> Row:
        job = {"graph": Path(name).stem, "arm": arm, "seed": seed}
        found = job | {"status": "ok", "job": job, "val": sum(val) / len(val)}
        return found | {"cpu_seconds": spent, "likeness": alike, "words": words, "splits": val}

    def judged(z: Tensor) -> list[float]:
        return [run_full.linear_probe(z, part).val for part in parts]

    for control, several in controls(bare):
        yield row(control, 0, np.max([judged(z) for z in several], 0).tolist())
    for seed in range(seeds):
        for arm, cfg in settings(bare).items():
            own, start = replace(cfg, seed=seed), time.process_time()
            z = run_full.train(own, bare).z
            yield row(arm, seed, judged(z), time.process_time() - start)
            z = run_full.train(replace(own, epochs=0), bare).z
            yield row(f"untrained {arm}", seed, judged(z))


def main() -> None:
    """Rows, a line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--graphs", required=True)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--splits", type=int, default=0, help="the first of them; 0: all")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for name in args.graphs.split(","):
        for row in measured(name, args.seeds, args.splits):
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
