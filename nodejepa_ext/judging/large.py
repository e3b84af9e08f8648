"""What tasks.py asks of an embedding, of more nodes than are comfortably copied.

Apart from tasks.py and run_full.py, which say plainly what a judgement is: here the same figures
come from blocks of rows, so that beside z there is never a copy of it. Up to `NODES` nodes the
plain way is taken; above, choices and predictions are those of the plain way, and k-means alone is
another: see `clusters`. Shapes: N nodes, D dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.linalg.blas import dsyrk
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits
from torch import Tensor
from torch_geometric.data import Data

import run_full
from nodejepa_ext.training import batches
from run_full import Result

NODES = batches.NODES  # above which rows are looked at in blocks, and k-means starts from a sample
NUMBERS = 1 << 22  # in a block
STARTS = 10  # of k-means
Form = Callable[[Tensor], Tensor]  # rows [n, D] -> [n, D] float64


def blocks(z: Tensor, width: int = 0) -> Iterator[Tensor]:
    """z [N, D] in blocks of rows, each of about `NUMBERS` numbers, or of so many products with
    `width` others."""
    return iter(z.split(max(NUMBERS // max(z.shape[1], width), 1)))


def first_infinite(z: Tensor) -> tuple[int, int] | None:
    """Row and column of the first number of z [N, D] that is not finite."""
    start = 0
    for block in blocks(z):
        if not block.isfinite().all():
            row, column = (~block.isfinite()).nonzero()[0].tolist()
            return start + row, column
        start += len(block)
    return None


def mean_of(z: Tensor) -> Tensor:
    """[D] of the columns of z [N, D], float64."""
    total = torch.zeros(z.shape[1]).double()
    for block in blocks(z):
        total += block.sum(0, dtype=torch.float64)
    return total / len(z)


def moments(z: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (N - 1) [D] of the columns of z [N, D], float64."""
    mean = mean_of(z)
    square = torch.zeros_like(mean)
    for block in blocks(z):
        square += (block.double() - mean).square_().sum(0)
    return mean, (square / (len(z) - 1)).sqrt()


def standardised(rows: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """As the reference's probe."""
    return (rows.double() - mean) / std.clamp(min=1e-12) / rows.shape[1] ** 0.5


def unit(rows: Tensor) -> Tensor:
    return F.normalize(rows.double())


@threadpool_limits.wrap(limits=1)  # as in run_full
def linear_probe(z: Tensor, data: Data) -> Result:
    """`run_full.linear_probe`; of more than `NODES` nodes only the rows that are trained or chosen
    on are copied to float64, all others a block at a time, once, under what was chosen."""
    if len(z) <= NODES or "train_mask" not in data or "val_mask" not in data:
        return run_full.linear_probe(z, data)
    train, val, y = (data[name].cpu() for name in ("train_mask", "val_mask", "y"))
    best = Result(data, z)
    mean, std = moments(z)
    forms: dict[str, Form] = {"standardised": partial(standardised, mean=mean, std=std)}
    forms["unit"] = unit
    for scaling, form in forms.items():
        rows = form(z[train]).numpy()
        basis = np.linalg.svd(rows, full_matrices=False)[2].T  # all that weights can reach
        h, chosen_on = rows @ basis, form(z[val]).numpy() @ basis
        model = LogisticRegression(max_iter=5000, warm_start=True)
        for c in (2.0 ** np.arange(-6, 13, 2)).tolist():
            model.set_params(C=c).fit(h, y[train].numpy())
            right = model.predict(chosen_on)
            score = float((right == y[val].numpy()).mean())
            if (score, -c) > (best.val, -best.c):
                best = Result(data, z, score, c, scaling)
                chosen = basis @ model.coef_.T, model.intercept_.copy(), model.classes_
    weight, bias, classes = chosen
    if best.scaling == "standardised":  # which the weights can do as well, once for all rows
        weight /= (std.clamp(min=1e-12) * z.shape[1] ** 0.5).numpy()[:, None]
        bias -= mean.numpy() @ weight
    places = predictions(z, weight, bias, of_unit=best.scaling == "unit")
    return replace(best, predicted=classes[places])


def predictions(
    z: Tensor, weight: NDArray[np.float64], bias: NDArray[np.float64], of_unit: bool
) -> NDArray[np.intp]:
    """[N] places of the classes of the rows of z [N, D], of unit length or as they are, by a
    logistic regression: weight [D, C], bias [C], or [D, 1] and [1] for two classes, as scikit-learn
    has it."""
    found = []
    for block in blocks(z):
        scores = block.double().numpy() @ weight  # [rows, C]
        if of_unit:
            scores /= block.double().norm(dim=1, keepdim=True).clamp(min=1e-12).numpy()
        scores += bias
        two = scores.shape[1] == 1
        found.append((scores[:, 0] > 0).astype(np.intp) if two else scores.argmax(1))
    return np.concatenate(found)


def collapse(z: Tensor) -> dict[str, float]:
    """`run_full.collapse`, of more than `NODES` nodes by blocks."""
    n, width = z.shape
    if n <= NODES:
        return run_full.collapse(z)
    mean, total = mean_of(z), torch.zeros(width).double()
    lower = np.zeros((width, width), order="F")
    for block in blocks(z):
        rows = block.double()
        total += F.normalize(rows).sum(0)
        rows -= mean
        # half of a symmetric product: 48 ms against 101 of 8192 x 512 (AMD EPYC, one thread)
        lower = dsyrk(1.0, rows.numpy().T, 1.0, lower, lower=1, overwrite_c=1)
    gram = torch.from_numpy(lower)
    s = torch.linalg.eigvalsh(gram, UPLO="L").clamp(min=0).sqrt()
    std = (gram.diagonal() / (n - 1)).sqrt()
    rank = torch.special.entr(s / s.sum().clamp(min=1e-300)).sum().exp().item()
    cosine = (total.square().sum().item() - n) / (n * (n - 1))
    return {"effective_rank": rank, "cosine": cosine, "min_std": std.min().item()}


def nearest(rows: Tensor, train: Tensor, k: int) -> Tensor:
    """[N, k] the places among rows[train], nearest first, of the k of largest cosine; train: [N]
    bool. Of more than `NODES` nodes by products of blocks."""
    if len(rows) <= NODES:
        index = NearestNeighbors(metric="cosine").fit(rows[train].numpy())
        return torch.from_numpy(index.kneighbors(rows.numpy(), k, return_distance=False))
    others = F.normalize(rows[train]).t()  # [D, T]
    found = (F.normalize(b) @ others for b in blocks(rows, others.shape[1]))
    return torch.cat([scores.topk(k, dim=1).indices for scores in found])


def clusters(
    unit_rows: NDArray[np.floating[Any]], count: int, seed: int
) -> NDArray[np.integer[Any]]:
    """[N] clusters of k-means on [N, D]: the best inertia of 10 starts; of more than `NODES` nodes,
    those starts are of so many rows, drawn by the seed, and all rows go on from the best once."""
    n = len(unit_rows)
    if n <= NODES:
        return KMeans(count, n_init=STARTS, random_state=seed).fit_predict(unit_rows)
    some = np.sort(np.random.default_rng(seed).choice(n, NODES, replace=False))
    begun = KMeans(count, n_init=STARTS, random_state=seed).fit(unit_rows[some])
    whole = KMeans(count, init=begun.cluster_centers_, n_init=1, random_state=seed, copy_x=False)
    return whole.fit_predict(unit_rows)
