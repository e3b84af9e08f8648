"""Development accuracy: what recipes, presets and defaults are chosen by.

Apart from tasks.py, which judges what is finished: 500 validation nodes cannot tell a point, so
settings are compared on many small splits of the nodes that no published figure is scored on. The
public test nodes have no say. Within a run validation alone goes on choosing epoch, C and scaling.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch_geometric.data import Data

from nodejepa_ext.judging.large import linear_probe
from run_full import score_test

SPLITS = 8
TRAIN, TRAIN_SHARE = 20, 0.4  # nodes of a class to train on, and at most that share of it
CHOOSE = 500  # nodes to choose C and scaling on, and at most half of what is left


def development_splits(data: Data, splits: int = SPLITS, seed: int = 0) -> list[Data]:
    """Of data's labelled nodes: y [N] and masks [N] bool, to be taken by `linear_probe`.

    Where data has one official split, its test nodes are in no mask and have the class -1; where
    it has none or several, every labelled node may be drawn. The same data and seed give the same
    splits, whatever the method that is judged. test_mask is every node neither trained nor chosen
    on. ValueError: splits below 1; no labels; fewer than two classes, or a class of one node."""
    if splits < 1:
        raise ValueError(f"splits = {splits}: expected at least 1")
    if "y" not in data:
        raise ValueError("development accuracy needs labels: data has no y")
    y = data.y.cpu().clone()
    official = data.get("test_mask")
    if official is not None and official.dim() == 1:
        y[official.cpu()] = -1
    classes = [np.flatnonzero(y.numpy() == c) for c in y[y >= 0].unique().tolist()]
    if len(classes) < 2 or min(map(len, classes)) < 2:
        counts = [len(nodes) for nodes in classes]
        raise ValueError(f"nodes a class, outside the test nodes: {counts}, expected two or more")
    streams = np.random.SeedSequence(seed).spawn(splits)
    return [one_split(y, classes, np.random.default_rng(stream)) for stream in streams]


def one_split(y: Tensor, classes: list[NDArray[np.int64]], rng: np.random.Generator) -> Data:
    """Some nodes of each class to train on; of the rest, some to choose on, the others scored."""
    train, rest = [], []
    for nodes in classes:
        drawn = rng.permutation(nodes)
        count = max(min(TRAIN, int(TRAIN_SHARE * len(nodes))), 1)
        train.append(drawn[:count])
        rest.append(drawn[count:])
    left = rng.permutation(np.concatenate(rest))
    chosen = min(CHOOSE, len(left) // 2)
    parts = {
        "train_mask": np.concatenate(train),
        "val_mask": left[:chosen],
        "test_mask": left[chosen:],
    }
    masks = {}
    for name, nodes in parts.items():
        masks[name] = torch.zeros(len(y), dtype=torch.bool)
        masks[name][torch.from_numpy(nodes)] = True
    return Data(y=y, num_nodes=len(y), **masks)


def development_accuracy(
    z: Tensor | ArrayLike, data: Data, *, splits: int = SPLITS, seed: int = 0
) -> dict[str, Any]:
    """Mean accuracy of `run_full.linear_probe` on the scored nodes of `development_splits`.

    z [N, D], a row a node. Returns mean and std, fractions, n, and rows {split, val, test, c,
    scaling}, in which `test` are the split's scored nodes, never the public test nodes. The splits
    share nodes: std is of the draw of splits. ValueError: as in `development_splits`, or z does
    not have N rows."""
    rows = torch.as_tensor(z).float()
    parts = development_splits(data, splits, seed)
    if rows.dim() != 2 or len(rows) != len(parts[0].y):
        raise ValueError(f"z {list(rows.shape)}: expected [{len(parts[0].y)}, D], a row a node")
    found: list[dict[str, Any]] = []
    for number, part in enumerate(parts):
        result = linear_probe(rows, part)
        found.append({"split": number, "val": result.val, "test": score_test(result)})
        found[-1] |= {"c": result.c, "scaling": result.scaling}
    scores = [row["test"] for row in found]
    spread = float(np.std(scores, ddof=1)) if len(scores) > 1 else 0.0
    return {"mean": float(np.mean(scores)), "std": spread, "n": len(scores), "rows": found}
