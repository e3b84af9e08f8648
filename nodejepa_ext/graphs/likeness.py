"""Whether edges join nodes of like features, which is seen without labels.

Apart from `positions`, which weighs columns by it: settings ask it of every graph.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor
from torch_geometric.data import Data

from run_full import comparable

PAIRS = 100_000  # drawn edges, and pairs, at most
ENTRIES = 10**8  # of their rows; wide rows take time


def likeness(data: Data) -> float:
    """Probability that the ends of an edge are more alike in features x [N, F] than a random pair
    of nodes, of as many drawn edges and pairs, ties counted half; 0.5 where there are no edges."""
    edges = data.edge_index
    generator = Generator().manual_seed(0)
    if not edges.numel():
        return 0.5
    x = comparable(data.x.to(edges.device))
    width = max(x.shape[1], 1)
    count = min(max(ENTRIES // width, 2_000), PAIRS)
    drawn = torch.randint(edges.shape[1], (count,), generator=generator)
    random = torch.randint(len(x), (2, count), generator=generator)
    ours = products(x, edges[:, drawn.to(edges.device)])
    others = products(x, random.to(edges.device))
    return float(((ours > others).float() + (ours == others).float() / 2).mean())


def products(x: Tensor, pairs: Tensor) -> Tensor:
    """Of rows of x [N, F] by pairs [2, n] of nodes -> [n], some at a time."""
    parts = pairs.split(10**6 // max(x.shape[1], 1) + 1, dim=1)
    return torch.cat([(x[first] * x[second]).sum(1) for first, second in parts])
