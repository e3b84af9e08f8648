"""Validation accuracy against CPU seconds of training, `best` and `bgrl`, from folders of results.

python ablations/archive/headline/figure.py results/A results/B ... --out cost.png

A point is a probe of `learning_curves.jsonl`, at the run's CPU seconds times the share of epochs
done; at 0 the untrained encoder. Mean and sample standard deviation over seeds. No test figure.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

GRAPHS = ("cora", "citeseer", "pubmed")
COLOURS = {"best": "tab:blue", "bgrl": "tab:orange"}
Points = dict[tuple[str, str, int], list[tuple[float, float]]]  # graph, method, epoch


def points(folders: list[Path]) -> Points:
    """(CPU seconds, validation accuracy in %) of every seed."""
    found: Points = defaultdict(list)
    for folder in folders:
        rows = json.loads((folder / "final_results.json").read_text())["rows"]
        curves = [
            json.loads(s) for s in (folder / "learning_curves.jsonl").read_text().splitlines()
        ]
        cost = {}
        for row in rows:
            if row["method"] in COLOURS:
                cost[row["graph"], row["seed"]] = row["cpu_seconds"] / len(row["losses"])
                method = row["method"]
        for row in rows:
            if row["method"] == "untrained":
                found[row["graph"], method, 0].append((0.0, 100 * row["val"]))
        for row in curves:
            if "val" in row and (row["graph"], row["seed"]) in cost:
                spent = row["epoch"] * cost[row["graph"], row["seed"]]
                key = row["graph"], row["method"], row["epoch"]
                found[key].append((spent, 100 * row["val"]))
    return found


def main() -> None:
    """One panel a graph, to --out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    found = points(args.folders)
    figure, panels = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
    for axes, graph in zip(panels, GRAPHS, strict=True):
        for method, colour in COLOURS.items():
            keys = sorted(k for k in found if k[:2] == (graph, method))
            if not keys:
                continue
            both = np.array([np.mean(found[k], 0) for k in keys])  # [points, 2]
            std = [np.std([v for _, v in found[k]], ddof=1) for k in keys]
            label = f"{method}, n = {len(found[keys[-1]])}"
            axes.errorbar(*both.T, std, color=colour, marker="o", capsize=3, label=label)
        axes.set(title=graph, xlabel="CPU seconds a seed, one thread")
        axes.legend(loc="lower right", frameon=False)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("validation accuracy, %")
    figure.savefig(args.out, dpi=150)


if __name__ == "__main__":
    main()
