"""What `--preset auto` and the settings it chooses between reach on several graphs, in validation
accuracy, beside the controls: rows for rows.jsonl, one a graph, setting and seed.

python ablations/auto/measure.py --graphs cora,graphs/actor.npz --splits 1 >> rows.jsonl
python ablations/auto/measure.py --table < rows.jsonl

Splits: the file's, else twenty random ones of 10/10/80. No test node is looked at.
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

SPLITS = 20  # where the file has none
OURS = ("propagated", "own", "joined", "joined, own")
JOINS = ("never", "words", "always")
RULES = [(joins, alike) for joins in JOINS for alike in (0.0, auto.ALIKE, 1.0)]
Row = dict[str, Any]


def settings(bare: Data) -> dict[str, run_full.Config]:
    """What `auto` chooses between: own features or not, on the graph with neighbours or without."""
    plain = replace(run_full.preset("best", "cora"), neighbours=0, eval_every=0, device="cpu")
    graphs = plain, replace(plain, **auto.joined(bare))
    both = [replace(cfg, own_features=own) for cfg in graphs for own in (False, True)]
    return dict(zip(OURS, both, strict=True))


def controls(bare: Data) -> Iterator[tuple[str, list[Tensor]]]:
    """Raw features, SGC of 1 to 10 hops, FastRP: embeddings of which validation takes the best."""
    yield "raw features", [bare.x]
    adj, h, hops = run_full.View.of(bare, run_full.Config(device="cpu")).adj, bare.x, []
    for _ in range(10):
        hops.append(h := run_full.product(adj, h))
    yield "SGC", hops
    yield "FastRP", [fastrp(bare, seed=0, features=features) for features in (False, True)]


def measured(name: str, seeds: int, splits: int) -> Iterator[Row]:
    """The rows of one graph: controls, then each setting trained and untrained, seed by seed."""
    data = read_graph(name, split=None).data
    official = "train_mask" in data
    parts = evaluate.node_splits(data, None if official else SPLITS)[: splits or None]
    bare = Data(x=data.x.to_dense(), edge_index=data.edge_index, edge_weight=data.edge_weight)
    alike, some = auto.likeness(bare), run_full.words(bare.x.float())

    def row(setting: str, seed: int, val: list[float], spent: float = 0.0) -> Row:
        found = {"graph": Path(name).stem, "setting": setting, "seed": seed, "val": val}
        return found | {"cpu_seconds": spent, "likeness": alike, "words": some is not None}

    def judged(z: Tensor) -> list[float]:
        return [run_full.linear_probe(z, part).val for part in parts]

    for control, several in controls(bare):
        yield row(control, 0, np.max([judged(z) for z in several], 0).tolist())
    for seed in range(seeds):
        for setting, cfg in settings(bare).items():
            own, start = replace(cfg, seed=seed), time.process_time()
            z = run_full.train(own, bare).z
            yield row(setting, seed, judged(z), time.process_time() - start)
            z = run_full.train(replace(own, epochs=0), bare).z
            yield row(f"untrained {setting}", seed, judged(z))


def table(rows: list[Row]) -> Iterator[str]:
    """Markdown: a line a graph. The rule of the column "left out" is that of RULES with the highest
    mean lead on the other graphs: accuracy minus that of the best control."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    alike, words = {}, {}
    for row in rows:
        found[row["graph"]][row["setting"]].append(100 * float(np.mean(row["val"])))
        alike[row["graph"]], words[row["graph"]] = row["likeness"], row["words"]
    mean = {g: {s: float(np.mean(v)) for s, v in by.items()} for g, by in found.items()}

    def chosen(graph: str, rule: tuple[str, float]) -> str:
        joins = rule[0] == "always" or rule[0] == "words" and words[graph]
        return OURS[2 * joins + (alike[graph] < rule[1])]

    def lead(graph: str, rule: tuple[str, float]) -> float:
        ours, by = chosen(graph, rule), mean[graph]
        others = [by[s] for s in ("raw features", "SGC", "FastRP", f"untrained {ours}")]
        return by[ours] - max(others)

    names = ("raw features", "SGC", "FastRP", *OURS)
    last = "`auto` | its untrained | lead | left out"
    yield f"| graph | words | likeness | {' | '.join(names)} | {last} |"
    yield "|" + "---|" * (len(names) + 7)
    for graph, by in mean.items():
        best = max(RULES, key=lambda r: np.mean([lead(g, r) for g in mean if g != graph]))
        rule = ("words", auto.ALIKE)
        ours = chosen(graph, rule)
        cells = [f"{by[name]:.1f}" for name in (*names, ours, f"untrained {ours}")]
        cells += [f"{lead(graph, rule):+.1f}", f"{lead(graph, best):+.1f}"]
        about = f"{'yes' if words[graph] else 'no'} | {alike[graph]:.2f}"
        yield f"| {graph} | {about} | " + " | ".join(cells) + " |"


def main() -> None:
    """Rows, a line each, or with --table the table of those on standard input."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--graphs", default="")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--splits", type=int, default=0, help="the first of them; 0: all")
    parser.add_argument("--table", action="store_true")
    args = parser.parse_args()
    if args.table:
        print("\n".join(table([json.loads(line) for line in sys.stdin])))
        return
    torch.set_num_threads(1)
    for name in args.graphs.split(","):
        for row in measured(name, args.seeds, args.splits):
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
