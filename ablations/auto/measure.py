"""What `--preset auto` and the settings it chooses between reach on several graphs, in validation
accuracy, beside the controls: rows for rows.jsonl, one a graph, setting and seed.

python ablations/auto/measure.py --graphs cora,graphs/actor.npz --seeds 1 >> rows.jsonl
python ablations/auto/measure.py --table < rows.jsonl

Splits: the file's, at most five, else five random ones of 10/10/80. No test node is looked at.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

import run_full
from nodejepa_ext import auto, evaluate
from nodejepa_ext.baselines import fastrp
from nodejepa_ext.graphs import read_graph

SPLITS = 5
OURS = ("propagated", "own")
Row = dict[str, Any]


def settings() -> dict[str, run_full.Config]:
    """What `auto` chooses between."""
    plain = replace(run_full.preset("best", "cora"), neighbours=0, eval_every=0, device="cpu")
    return {"propagated": plain, "own": replace(plain, own_features=True)}


def controls(bare: Data) -> Iterator[tuple[str, list[Tensor]]]:
    """Raw features, SGC of 1 to 10 hops, FastRP: embeddings of which validation takes the best."""
    yield "raw features", [bare.x]
    adj, h, hops = run_full.View.of(bare, run_full.Config(device="cpu")).adj, bare.x, []
    for _ in range(10):
        hops.append(h := run_full.product(adj, h))
    yield "SGC", hops
    yield "FastRP", [fastrp(bare, seed=0, features=features) for features in (False, True)]


def measured(name: str, seeds: int) -> Iterator[Row]:
    """The rows of one graph: controls, then each setting trained and untrained, seed by seed."""
    data = read_graph(name, split=None).data
    official = "train_mask" in data
    parts = evaluate.node_splits(data, None if official else SPLITS)[:SPLITS]
    bare = Data(x=data.x.to_dense(), edge_index=data.edge_index, edge_weight=data.edge_weight)

    def row(setting: str, seed: int, val: list[float], spent: float = 0.0) -> Row:
        found = {"graph": Path(name).stem, "setting": setting, "seed": seed, "val": val}
        return found | {"cpu_seconds": spent, "likeness": auto.likeness(bare)}

    def judged(z: Tensor) -> list[float]:
        return [run_full.linear_probe(z, part).val for part in parts]

    for control, several in controls(bare):
        yield row(control, 0, np.max([judged(z) for z in several], 0).tolist())
    for seed in range(seeds):
        for setting, cfg in settings().items():
            own, start = replace(cfg, seed=seed), time.process_time()
            z = run_full.train(own, bare).z
            yield row(setting, seed, judged(z), time.process_time() - start)
            z = run_full.train(replace(own, epochs=0), bare).z
            yield row(f"untrained {setting}", seed, judged(z))


def table(rows: list[Row]) -> Iterator[str]:
    """Markdown: a line a graph. The threshold of the column "left out" is the best, of none, that
    of `auto`, and all, by the mean over the other graphs of accuracy minus the best control."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    alike = {}
    for row in rows:
        found[row["graph"]][row["setting"]].append(100 * float(np.mean(row["val"])))
        alike[row["graph"]] = row["likeness"]
    mean = {g: {s: float(np.mean(v)) for s, v in by.items()} for g, by in found.items()}

    def chosen(graph: str, threshold: float) -> str:
        return OURS[alike[graph] < threshold]

    def lead(graph: str, threshold: float) -> float:
        ours, by = chosen(graph, threshold), mean[graph]
        others = [v for s, v in by.items() if s not in OURS and "untrained" not in s]
        return by[ours] - max(*others, by[f"untrained {ours}"])

    names = ("raw features", "SGC", "FastRP", *OURS, *(f"untrained {s}" for s in OURS))
    yield "| graph | likeness | " + " | ".join(names) + " | `auto` | against the best | left out |"
    yield "|" + "---|" * (len(names) + 5)
    for graph, by in mean.items():
        cells = [f"{by[name]:.1f}" for name in names]
        others = [g for g in mean if g != graph]
        best = max((0.0, auto.ALIKE, 1.0), key=lambda t: np.mean([lead(g, t) for g in others]))
        ours = by[chosen(graph, auto.ALIKE)]
        cells += [f"{ours:.1f}", f"{lead(graph, auto.ALIKE):+.1f}", f"{lead(graph, best):+.1f}"]
        yield f"| {graph} | {alike[graph]:.2f} | " + " | ".join(cells) + " |"


def main() -> None:
    """Rows, a line each, or with --table the table of those on standard input."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--graphs", default="")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--table", action="store_true")
    args = parser.parse_args()
    if args.table:
        print("\n".join(table([json.loads(line) for line in sys.stdin])))
        return
    torch.set_num_threads(1)
    for name in args.graphs.split(","):
        for row in measured(name, args.seeds):
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
