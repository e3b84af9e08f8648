"""Positions as input features: beside features that say little of the edges, or where there are
none.

Apart from parts/positional.py, which computes them: here is how many a graph has, when features
are too weak to go without, and how much positions weigh. Measured in ablations/weak_features.
Shapes: N nodes, F features, k positions.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import degree

import run_full
from nodejepa_ext.graphs.likeness import likeness
from nodejepa_ext.parts.positional import MOST_NODES, laplacian_pe
from run_full import Config

COLUMNS = 16
WEAK = 0.65  # of `likeness`: planted classes had .50 to .69, Photo, the least of the good, .73
LEAST = 0.1  # of `weight`, for positions that are asked for where features say much
HOPS = 2  # as many as the default encoder's layers average over


def positions(data: Data, k: int = COLUMNS) -> Tensor:
    """[N, k'] float32, k' Laplacian positions as `count` has it (`positional.laplacian_pe`).
    ValueError: over 500,000 nodes."""
    k = count(data, k)
    return laplacian_pe(data, k) if k else torch.empty(int(data.num_nodes), 0)


def count(data: Data, k: int = COLUMNS) -> int:
    """k, or as many positions as a small graph has, down to 0."""
    n = int(data.num_nodes)
    alone = int((degree(data.edge_index[0], n) == 0).sum())
    return min(k, n - alone - (components(data) - alone))


def components(data: Data) -> int:
    """Of the graph, isolated nodes among them."""
    n, ends = int(data.num_nodes), data.edge_index.numpy()
    adj = sparse.csr_array((np.ones(ends.shape[1]), ends), (n, n))
    return int(connected_components(adj, directed=False)[0])


def weakness(data: Data) -> str:
    """Why x [N, F] says too little of the edges to go without positions, or ""; no label has a
    say. "" as well where there are no edges, or too many nodes for eigenvectors."""
    if not data.edge_index.numel() or len(data.x) > MOST_NODES:
        return ""
    alike = likeness(data)
    if alike >= WEAK:
        return ""
    text = f"an edge joins nodes of more similar features than chance with probability {alike:.2f}"
    return f"features say little of the edges ({text}, below {WEAK})"


def wanted(asked: bool | None, preset: str) -> int | None:
    """How many columns: as asked, else none, but under `auto` where features are weak: None."""
    if asked is None and preset == "auto":
        return None
    return COLUMNS if asked else 0


def weight(alike: float) -> float:
    """How much positions vary, as a share of what features do, by their `likeness`: as much at
    chance and below, less by the square up to WEAK. Half as much cost 3 points beside noise, and
    also 11 beside 20 features that each say a little (.60), see ablations/weak_features."""
    little = (WEAK - alike) / (WEAK - 0.5)
    return max(min(max(little, 0.0), 1.0) ** 2, LEAST)


def weight_of(data: Data) -> Tensor:
    """`weight` of a graph, [] float64. It is estimated from some edges: another order of the nodes
    has it a little otherwise."""
    return torch.tensor(weight(likeness(data)), dtype=torch.float64)


def beside(x: Tensor, data: Data, k: int, share: Tensor | None = None) -> Tensor:
    """x [N, F] and k positions, [N, F + k], zeros where the graph has fewer. Positions are scaled
    until they vary `share` times as much as x after two hops of averaging: positions hardly change
    from a node to the next, features that say little do, and would be averaged away beside them.
    share: None: `weight_of` this graph. edge_index and, if any, edge_weight are data's. ValueError:
    as in `positions`."""
    found = positions(data, k)
    found = F.pad(found, (0, k - found.shape[1]))
    if share is None:
        share = weight_of(Data(x=x, edge_index=data.edge_index))
    bare = Data(x=x[:, :0], edge_index=data.edge_index, edge_weight=data.edge_weight)
    graph = run_full.Graph.of(bare, Config(device="cpu"))

    def spread(columns: Tensor) -> Tensor:
        smooth = graph.average(columns, HOPS)
        return (smooth - smooth.mean(0)).norm()

    scale = float(share) * spread(x) / spread(found).clamp(min=1e-12)
    return torch.cat([x, scale * found], 1)
