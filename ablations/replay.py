"""Trains recorded rows again, from the settings in them: validation accuracy now, and as recorded.

python ablations/replay.py ROWS [--graph cora] [--arm best] [--seed 1000]; ROWS: a rows.jsonl

Rows of the recipe's trials (`validation` in them) are judged as they were, at their last epoch:
accuracy / log-loss; with --hops 1 or 2 after that many steps of propagation. Labels of all nodes
but those of training and validation are taken out before anything runs.
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

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import run_full

GRID = (2.0 ** np.arange(-4, 9, 2)).tolist()  # of the trials: coarser at its ends than the probe's


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


def again(row: dict[str, Any], data: Data, hops: int) -> str:
    """What a row's settings give now, beside what they gave."""
    settings = row["job"]["config"] | {"seed": row["seed"], "device": "cpu"}
    if "validation" not in row:
        now = run_full.train(run_full.Config(**settings), data).val
        return f"{100 * now:.1f}, recorded {100 * row['val']:.1f}"
    cfg = run_full.Config(**settings | {"eval_every": 0, "embed_hops": hops})
    val, loss = judged(run_full.train(cfg, data).z, data)
    then = row["validation"][f"epoch {cfg.epochs}"][str(hops)]
    return f"{100 * val:.1f} / {loss:.3f}, recorded {100 * then[0]:.1f} / {then[1]:.3f}"


def main() -> None:
    """One line a row, of those that the options choose and that have settings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=Path)
    for flag in ("--graph", "--arm", "--stage", "--seed"):
        parser.add_argument(flag, type=int if flag == "--seed" else str)
    parser.add_argument("--hops", type=int, default=0, choices=(0, 1, 2))
    args = parser.parse_args()
    wanted = {k: v for k, v in vars(args).items() if v is not None and k not in ("rows", "hops")}
    torch.set_num_threads(1)
    for row in map(json.loads, args.rows.read_text().splitlines()):
        if any(row.get(key) != value for key, value in wanted.items()):
            continue
        name = f"{row['graph']}, {row['arm']}, seed {row['seed']}"
        if "config" not in row["job"] or row.get("beyond") or row["job"].get("kind"):
            print(f"{name}: left out: its settings are not all of it", flush=True)
            continue
        data = run_full.load_graph(row["graph"])
        data.y[~(data.train_mask | data.val_mask)] = -1
        print(f"{name}: {again(row, data, args.hops)}", flush=True)


if __name__ == "__main__":
    main()
