"""Which nodes a judgement trains, chooses and scores on.

Apart from tasks.py, whose tasks share them: a graph's own splits, or random ones, and labels as
they come. Shapes: N nodes, k splits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Generator, Tensor
from torch_geometric.data import Data

PARTS = ("train_mask", "val_mask", "test_mask")
RANDOM_SPLITS, FEWEST_LABELLED = 20, 20  # fewer nodes than that leave a part with one
REDRAWS = 100  # of a split whose training nodes are of one class


def missing(value: Any) -> bool:
    """None, nan, "", or what pandas has in their place, which is equal to nothing."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return bool(value != value or value == "")


def labelled(data: Data | ArrayLike) -> Data:
    """data itself, or a Data of labels [N]: integers, -1 where there is none, or names, of which
    None, nan and "" are none; classes are numbered in the order of their names. ValueError: labels
    of another shape, or fractions."""
    if isinstance(data, Data):
        return data
    y = np.asarray(data.detach().cpu() if isinstance(data, Tensor) else data)
    if y.ndim != 1 or not len(y):
        raise ValueError(f"y has shape {y.shape}: expected one label a node")
    if y.dtype.kind == "b":
        y = y.astype(np.int64)
    if y.dtype.kind not in "iu":
        known = np.array([not missing(value) for value in y])
        named = y[known]
        if named.dtype.kind == "f" and (named != np.floor(named)).any():
            bad = named[named != np.floor(named)][0]
            raise ValueError(f"y holds {bad}: expected classes, integers or names")
        codes = np.full(len(y), -1)
        codes[known] = np.unique(named.astype(str), return_inverse=True)[1]
        y = codes
    return Data(y=torch.from_numpy(y.astype(np.int64)), num_nodes=len(y))


def node_splits(data: Data | ArrayLike, splits: int | None = None, seed: int = 0) -> list[Data]:
    """The graph's own masks [N] or [N, k], k splits; without any, or with `splits`, that many (20)
    random ones: uniformly 10% training, 10% validation, 80% test (BGRL, Thakoor et al. 2022).

    Each: y [N] and the three masks [N] bool, on the cpu; a node labelled -1 is in none.
    ValueError: no labels, or not one integer a node; a mask missing or misshapen; random splits of
    fewer than 20 labelled nodes; a split whose parts overlap, one of which is empty, or whose
    training nodes are of one class."""
    data = labelled(data)
    y = labels(data)  # [N]
    if splits is None and any(part in data for part in PARTS):
        drawn = official_splits(data, len(y))
    else:
        drawn = random_splits(y, RANDOM_SPLITS if splits is None else splits, seed)
    found = []
    for i, masks in enumerate((drawn & (y >= 0)[:, None]).unbind(2)):  # masks [3, N]
        for name, mask in zip(PARTS, masks, strict=True):
            if not mask.any():
                raise ValueError(f"{name}: no labelled node in split {i}, expected at least one")
        if (masks.sum(0) > 1).any():
            raise ValueError(f"{', '.join(PARTS)}: they overlap in split {i}, expected disjoint")
        if len(y[masks[0]].unique()) < 2:
            text = f"the training nodes of split {i} are of one class, expected at least two; a "
            text += "column split of train, val and test decides which they are"
            raise ValueError(f"data.y: {text}")
        found.append(Data(y=y, num_nodes=len(y), **dict(zip(PARTS, masks, strict=True))))
    return found


def official_splits(data: Data, n: int) -> Tensor:
    """[3, N, k] bool; a mask [N] beside others [N, k] is that of all k."""
    if missing := [part for part in PARTS if part not in data]:
        raise ValueError(f"{missing[0]}: missing, expected all of {', '.join(PARTS)}, or none")
    masks = {part: data[part].cpu().bool() for part in PARTS}
    k = max(mask.shape[-1] if mask.ndim == 2 else 1 for mask in masks.values())
    for part, mask in masks.items():
        if tuple(mask.shape) not in {(n,), (n, 1), (n, k)}:
            raise ValueError(f"{part} has shape {tuple(mask.shape)}: expected ({n},) or ({n}, {k})")
    return torch.stack([mask.reshape(n, -1).expand(n, k) for mask in masks.values()])


def random_splits(y: Tensor, splits: int, seed: int) -> Tensor:
    """[3, N, splits] bool, over the labelled nodes of y [N]; the first of more are those of few."""
    nodes, generator = (y >= 0).nonzero()[:, 0], Generator().manual_seed(seed)
    if len(nodes) < FEWEST_LABELLED:
        text = f"{len(nodes)} labelled nodes, expected at least {FEWEST_LABELLED}"
        raise ValueError(f"data.y: {text} for random splits")
    if splits < 1:
        raise ValueError(f"splits = {splits}: expected at least 1")
    tenth = round(len(nodes) / 10)
    drawn = torch.zeros(3, len(y), splits, dtype=torch.bool)
    for i in range(splits):
        order = nodes[torch.randperm(len(nodes), generator=generator)]
        for _ in range(REDRAWS):  # a rare class may be missed
            if len(y[order[:tenth]].unique()) > 1:
                break
            order = nodes[torch.randperm(len(nodes), generator=generator)]
        for part, some in enumerate(order.tensor_split((tenth, 2 * tenth))):
            drawn[part, some, i] = True
    return drawn


def labels(data: Data) -> Tensor:
    """data.y [N] on the cpu; ValueError: there is none, or it is not one integer a node."""
    if "y" not in data:
        raise ValueError("data.y: missing, expected one integer a node, -1 where there is no label")
    y = data.y.cpu()
    if y.ndim != 1 or y.is_floating_point():
        text = f"{y.dtype} of shape {tuple(y.shape)}, expected one integer a node"
        raise ValueError(f"data.y: {text}")
    return y.long()
