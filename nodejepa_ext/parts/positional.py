"""Where a node sits in its graph: Laplacian eigenvectors, and a predictor that is told them.

A hidden node's context latent says little of which node it is; its position does, as the position
of a patch does in I-JEPA (Assran et al. 2023). Shapes: N nodes, E edges, D latents, M hidden nodes.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch_geometric.utils as pyg
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from torch import Generator, Tensor, nn

from nodejepa_ext.files import atomic
from run_full import Config, MLPPredictor

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch_geometric.data import Data

    Array = NDArray[Any]

VERSION = 1  # of the algorithm; part of the cache's key
MOST_NODES = 500_000
DENSE = 1500  # nodes up to which LAPACK is quick
TOLERANCE, ACCEPTED = 1e-7, 1e-3  # ||A v - lambda v||, v of unit length: to stop at; at last
GUARD = 8  # vectors beyond the k wanted: convergence depends on the gap after the last of them
SWEEPS = 20


def laplacian_pe(data: Data, k: int, *, cache: Path | None = None) -> Tensor:
    """Positions [N, k] float32 on the cpu: the eigenvectors of the normalised Laplacian
    I - A, A = D^-1/2 Adj D^-1/2, with the k smallest non-trivial eigenvalues, smallest first
    (Belkin and Niyogi 2003; Dwivedi and Bresson 2021, section 2).

    The graph is taken as undirected: edges made symmetric and merged, self-loops removed. Every
    component has one trivial eigenvector, sqrt(degree) on its nodes and eigenvalue 0: these are
    left out, so in a graph of several components a column may be zero on all but one. A node
    without edges has the position 0. Columns have mean square 1 over the N nodes; of each, the
    entry largest in magnitude (the first of equals) is positive. Where an eigenvalue is repeated,
    any rotation within its eigenspace is as good: a fixed random start picks one, and the same
    graph with the same numbering always gets the same.

    The result is kept in the folder `cache`, by default $NODEJEPA_CACHE, else
    $XDG_CACHE_HOME/nodejepa, else ~/.cache/nodejepa, under a hash of the edges, N and k. A file
    that cannot be read is computed anew, a folder that cannot be written does without.

    Up to 1500 nodes by LAPACK, else to a residual of 1e-7, or what 20 sweeps of the iteration reach
    where eigenvalues crowd as on a path of 100,000 nodes: not over 1e-3.

    ValueError: k < 1, or more than the graph has; over 500,000 nodes; no convergence."""
    n = int(data.num_nodes)
    if k < 1:
        raise ValueError(f"k = {k}: expected at least 1 eigenvector")
    if n > MOST_NODES:
        raise ValueError(
            f"data.num_nodes = {n}: expected at most {MOST_NODES} for Laplacian eigenvectors; "
            "train without them, with masking.bfs_mask, or take baselines.fastrp as positions"
        )
    edges = pyg.remove_self_loops(data.edge_index.cpu().long())[0]
    edges = pyg.to_undirected(edges, num_nodes=n).int().numpy()  # [2, 2E] sorted, int32: quicker
    key = hashlib.sha256(repr((VERSION, n, k)).encode())
    key.update(edges[:, edges[0] < edges[1]].tobytes())
    path = (cache or default_cache()) / f"laplacian-{key.hexdigest()}.npz"
    pe = read(path, (n, k))
    if pe is None:
        pe = eigenvectors(edges, n, k)
        write(path, pe)
    return torch.from_numpy(pe)


def eigenvectors(edges: Array, n: int, k: int) -> Array:
    """edges [2, 2E], each both ways -> positions [n, k] float32, as `laplacian_pe` has them."""
    degree = np.bincount(edges[0], minlength=n)
    linked = degree > 0
    scale = 1 / np.sqrt(degree[edges[0]] * degree[edges[1]])
    whole = sparse.csr_array((scale, (edges[0], edges[1])), (n, n))
    adj, degree = whole[linked][:, linked], degree[linked]  # [n', n'] without isolated nodes
    components, label = connected_components(adj, directed=False)
    if k > (most := len(degree) - components):
        raise ValueError(f"k = {k}: expected at most {most}, the graph's non-trivial eigenvectors")
    share = np.sqrt(degree / np.bincount(label, degree)[label])
    trivial = sparse.csr_array((share, label, np.arange(len(label) + 1)), (len(label), components))
    if len(degree) <= max(DENSE, 4 * k):
        shifted = (adj - 2.5 * (trivial @ trivial.T)).toarray()  # eigenvalue 1 becomes -1.5
        v = np.linalg.eigh(shifted)[1][:, : -k - 1 : -1]  # [n', k]
    else:
        v = filtered_subspace(adj, trivial, k)
    peak = np.abs(v * n**0.5).round(6).argmax(0)
    pe = np.zeros((n, k), np.float32)
    pe[linked] = v * np.sign(v[peak, np.arange(k)]) * n**0.5
    return pe


def filtered_subspace(adj: sparse.csr_array, trivial: sparse.csr_array, k: int) -> Array:
    """Orthonormal eigenvectors [n, k] of the symmetric adj [n, n], eigenvalues in [-1, 1], with the
    k largest eigenvalues but for the eigenvalue 1 of the columns of trivial [n, components].

    Subspace iteration with a Chebyshev filter (Zhou et al. 2006): a sweep takes the block to
    T_m(adj), m so high that the leading Ritz vector grows a millionfold against eigenvalues below
    the block's own, then rotates it to Ritz vectors. A block finds all copies of a repeated
    eigenvalue; Lanczos from one vector (scipy's eigsh) finds one of each pair of a square grid,
    even at a tolerance of 1e-8. lobpcg, without a preconditioner, took four times as long."""
    deflate, low = 2.5 * trivial.T.tocsr(), -1.5

    def apply(x: Array) -> Array:
        """x [n, b] -> (adj - 2.5 trivial trivial^T) x: all but the wanted lies in [low, 1]."""
        return adj @ x - trivial @ (deflate @ x)

    x = np.random.default_rng(0).standard_normal((adj.shape[0], k + GUARD))
    for sweep in range(1, SWEEPS + 1):
        x = np.linalg.qr(x)[0]
        y = apply(x)
        ritz, rotation = np.linalg.eigh(x.T @ y)
        x, y, ritz = x @ rotation[:, ::-1], y @ rotation[:, ::-1], ritz[::-1]
        residual = np.linalg.norm(y[:, :k] - x[:, :k] * ritz[:k], axis=0).max()
        if residual < (TOLERANCE if sweep < SWEEPS else ACCEPTED):
            return x[:, :k]
        cut = ritz[-1] - 1e-5  # below it: else a repeated eigenvalue would fill the block and stall
        centre, radius = (cut + low) / 2, (cut - low) / 2
        degree = min(int(np.log(1e6) / np.arccosh((ritz[0] - centre) / radius)) + 1, 1000)
        y = (y - centre * x) / radius
        for _ in range(degree - 1):  # T_m+1 = 2 t T_m - T_m-1
            following = apply(y)
            following -= centre * y
            following *= 2 / radius
            following -= x
            x, y = y, following
        x = y / np.abs(y).max(0)
    raise ValueError(f"k = {k}: residual {residual:.1e} in {SWEEPS} sweeps, expected {ACCEPTED}")


def default_cache() -> Path:
    """The folder where positions are kept unless another is named."""
    if own := os.environ.get("NODEJEPA_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nodejepa"


def read(path: Path, shape: tuple[int, int]) -> Array | None:
    """What `write` wrote, float32 of this shape and finite; None: there is no such file."""
    try:
        with path.open("rb") as file:
            pe: Array = np.load(file, allow_pickle=False)["pe"]
    except Exception:  # whatever is wrong with the file, it can be computed anew
        return None
    return pe if pe.shape == shape and pe.dtype == np.float32 and np.isfinite(pe).all() else None


def write(path: Path, pe: Array) -> None:
    """Whole or not at all, and without complaint."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic(path) as file:
            np.savez(file, pe=pe)


class LaplacianPredictor(MLPPredictor):
    """MLPPredictor told where the node it guesses sits: its input is z_i + W pe_i, W [D, k].

    A PredictorFactory, with `functools.partial(LaplacianPredictor, k=4)` for another k. W is drawn
    after the MLP's weights, which thus are those of MLPPredictor from the same seed. The sign of
    an eigenvector means nothing, so every call flips each at random (Dwivedi et al. 2020).
    ValueError: cfg.predictor is 0, or as in `laplacian_pe`."""

    def __init__(self, cfg: Config, data: Data, k: int = 8) -> None:
        if cfg.predictor == 0:
            raise ValueError("predictor = 0: expected 1 or 2 layers to take in a node's position")
        super().__init__(cfg, data)
        self.position = nn.Linear(k, cfg.latent, bias=False)
        self.pe = nn.Buffer(laplacian_pe(data, k), persistent=False)  # [N, k]

    def forward(self, z: Tensor, hidden: Tensor | None, generator: Generator) -> Tensor:
        """z [N, D] -> [M, D] at the hidden nodes, [N, D] where hidden is None; draws k signs."""
        signs = 2 * torch.randint(2, (self.pe.shape[1],), generator=generator) - 1
        pe = self.pe * signs.to(self.pe)  # [N, k]
        z, pe = (z, pe) if hidden is None else (z[hidden], pe[hidden])
        return super().forward(z + self.position(pe), None, generator)
