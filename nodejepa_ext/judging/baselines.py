"""Embeddings that train nothing, to hold ours against: judged by the same linear probe."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
import torch_geometric.utils as pyg
from scipy import sparse
from torch import Tensor
from torch_geometric.data import Data

from run_full import edge_weights, matrix, product

ROWS = 1 << 10  # that stay in the cache


def fastrp(
    data: Data,
    out: int = 512,
    *,
    weights: Sequence[float] = (0.0, 1.0, 1.0, 7.81, 45.28),
    beta: float = 0.0,
    density: float | None = None,
    features: bool = False,
    seed: int = 0,
) -> Tensor:
    """FastRP (Chen et al. 2019, algorithm 1): z [N, out] float32, the sum over k of weights[k]
    times the rows of (D^-1 A)^k L R scaled to length 1. The weights are the authors' example; its
    beta, -0.628, gave less than 0 on validation nodes of the three embedded graphs by structure.

    R [N, out] is very sparse: a share `density` of its entries, 1 / sqrt(rows of R) if None, is
    -1 or 1 at random, the rest 0 (Li et al. 2006). L = (degree / 2m)^beta; the m edges are taken
    as undirected, loops left out, and count by data's edge_weight, if any, the larger of the two
    directions: so the graph that `run_full.join_neighbours` gives is walked as encoders see it.
    features: X R, R [F, out], stands for R, a control that sees what an encoder sees. A node
    without neighbours has its power 0 only. ValueError: out below 1, density outside (0, 1], no
    weights, or a weight or beta that is not finite."""
    if out < 1:
        raise ValueError(f"out = {out}: expected at least 1")
    if not len(weights) or not np.isfinite(weights).all():
        raise ValueError(f"weights = {weights}: expected finite numbers, one a power from 0")
    if not np.isfinite(beta):
        raise ValueError(f"beta = {beta}: expected a finite number")
    n, rng = data.num_nodes, np.random.default_rng(seed)
    rows = data.x.shape[1] if features else n
    density = rows**-0.5 if density is None else density
    if not 0 < density <= 1:
        raise ValueError(f"density = {density}: expected above 0 and at most 1")
    edges, known = pyg.remove_self_loops(data.edge_index.cpu(), edge_weights(data).cpu())
    edges, known = pyg.to_undirected(edges, known, n, reduce="max")  # sorted
    adj = matrix(edges, known, (n, n))
    total = torch.zeros(n).index_add_(0, edges[0], known)[:, None]  # [N, 1]
    degree = torch.where(total > 0, total, 1.0)
    signs = partial(rng.choice, np.array([-1, 1], np.float32))
    start = sparse.random(rows, out, density, "csr", np.float32, rng, signs)  # R
    h = projected(data.x, start) if features else torch.from_numpy(start.toarray())
    h *= (degree / total.sum().clamp(min=1)) ** beta  # [N, out] L R
    z = torch.zeros_like(h)
    add(z, weights[0], h)
    for weight in weights[1:]:
        h = product(adj, h)
        h /= degree
        add(z, weight, h)
    return z


def projected(x: Tensor, start: sparse.csr_array) -> Tensor:
    """[N, out]: x [N, F], dense or sparse, by R [F, out]."""
    if x.layout == torch.strided:
        return x.cpu().float() @ torch.from_numpy(start.toarray())
    x = x.cpu().float().to_sparse_coo().coalesce()
    rows = sparse.csr_array((x.values().numpy(), x.indices().numpy()), x.shape)
    return torch.from_numpy((rows @ start).toarray())


def add(z: Tensor, weight: float, h: Tensor) -> None:
    """Adds the rows of h [N, out] at length 1, times the weight, to z; no copy of h is made."""
    for to, some in zip(z.split(ROWS), h.split(ROWS), strict=True):
        to.addcmul_(some, weight / some.norm(dim=1, keepdim=True).clamp(min=1e-30))
