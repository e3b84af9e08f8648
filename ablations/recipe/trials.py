"""Trains recorded trials again: validation accuracy and log-loss now, beside the recorded ones.

python ablations/recipe/trials.py [--graph cora] [--trial P] [--stage s7] [--seed 300]

Labels of all nodes but those of training and validation are taken out before anything runs.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from torch import Tensor
from torch_geometric.data import Data

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
import run_full

GRID = (2.0 ** np.arange(-4, 9, 2)).tolist()  # coarser at its ends than the probe of the table


def judged(z: Tensor, data: Data) -> tuple[float, float]:
    """Highest accuracy and lowest log-loss on validation nodes over scalings and C of z [N, D]."""
    train, val, y = data.train_mask.numpy(), data.val_mask.numpy(), data.y.numpy()
    z64, found = z.double(), []
    standard = (z64 - z64.mean(0)) / z64.std(0).clamp(min=1e-12) / z.shape[1] ** 0.5
    for form in (standard, F.normalize(z64)):
        h = form.numpy() @ np.linalg.svd(form.numpy()[train], full_matrices=False)[2].T
        model = LogisticRegression(max_iter=2000, warm_start=True)
        for c in GRID:
            p = model.set_params(C=c).fit(h[train], y[train]).predict_proba(h[val])
            found.append((float((p.argmax(1) == y[val]).mean()), float(log_loss(y[val], p))))
    return max(a for a, _ in found), min(loss for _, loss in found)


def again(row: dict[str, Any], data: Data) -> str:
    """One line: the last epoch of a trial, after each number of propagation steps."""
    cfg = run_full.Config(**row["config"] | {"eval_every": 0, "device": "cpu"}, seed=row["seed"])
    bare = Data(x=data.x, edge_index=data.edge_index)
    z = run_full.train(cfg, bare).z
    whole = run_full.View.of(bare, run_full.replace(cfg, precision="fp32"))
    parts = []
    for hops, (val, loss) in row["validation"][f"epoch {cfg.epochs}"].items():
        now = judged(whole.average(z, int(hops)), data)
        parts.append(
            f"{hops} hops {100 * now[0]:.1f} / {now[1]:.3f} ({100 * val:.1f} / {loss:.3f})"
        )
    return f"{row['graph']} {row['stage']} {row['trial']} {row['seed']}: {', '.join(parts)}"


def main() -> None:
    """One line a trial, of those that the options choose."""
    parser = argparse.ArgumentParser(description=__doc__)
    for flag in ("--graph", "--trial", "--stage", "--seed"):
        parser.add_argument(flag, type=int if flag == "--seed" else str)
    wanted = {k: v for k, v in vars(parser.parse_args()).items() if v is not None}
    torch.set_num_threads(1)
    lines = (Path(__file__).parent / "rows.jsonl").read_text().splitlines()
    for row in map(json.loads, lines):
        if any(row[key] != value for key, value in wanted.items()):
            continue
        if row["beyond"]:
            print(row["graph"], row["trial"], "needs what run_full.py has not:", row["beyond"])
            continue
        data = run_full.load_graph(row["graph"])
        data.y[~(data.train_mask | data.val_mask)] = -1
        print(again(row, data), flush=True)


if __name__ == "__main__":
    main()
