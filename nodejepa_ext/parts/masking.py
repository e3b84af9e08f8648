"""Which nodes to hide: whole neighbourhoods, or hubs or leaves first, instead of scattered nodes.

A scattered hidden node is given away by its neighbours, which the encoder still sees; inside a
hidden neighbourhood it is not. Block masks of images rest on the same idea (I-JEPA, Assran et al.
2023, section 3). The masks here are `run_full.MaskFn`s, their options bound by functools.partial.
Each draws one permutation of the nodes, as random_mask does, hides as many nodes, and hides the
same ones where the graph says nothing: without edges, or where all degrees are equal.
"""

from __future__ import annotations

import weakref
from typing import NamedTuple

import numpy as np
import torch
import torch_geometric.utils as pyg
from numpy.typing import NDArray
from torch import Generator, Tensor
from torch_geometric.data import Data

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class Neighbours(NamedTuple):
    """An undirected graph in compressed rows: node v is joined to indices[indptr[v]:indptr[v+1]],
    sorted, each once, itself not among them."""

    indptr: Ints  # [N + 1]
    indices: Ints  # [2E]

    def around(self, nodes: Ints) -> tuple[Ints, Ints]:
        """nodes [M], M >= 1 -> their neighbours end to end, and how many each of them has [M]."""
        start = self.indptr[nodes]
        degree = self.indptr[nodes + 1] - start
        end = degree.cumsum()
        place = np.arange(end[-1]) + np.repeat(start - end + degree, degree)
        return self.indices[place], degree


_latest: tuple[weakref.ref[Tensor], int, int, Neighbours] | None = None


def neighbours(data: Data) -> Neighbours:
    """The graph of data, edges both ways, duplicates and self-loops merged. The latest is kept
    until edge_index is another tensor or changes in place (by torch: numpy leaves no trace)."""
    global _latest
    edges, n, known = data.edge_index, data.x.shape[0], _latest
    version = -1 if edges.is_inference() else edges._version  # -1: its changes are not counted
    if known and known[0]() is edges and known[1:3] == (version, n) and version >= 0:
        return known[3]
    both = pyg.to_undirected(pyg.remove_self_loops(edges.cpu())[0], num_nodes=n)
    row, col = both.numpy()  # [2E] each, sorted
    found = Neighbours(np.searchsorted(row, np.arange(n + 1)), col)
    _latest = weakref.ref(edges), version, n, found
    return found


def ball(adjacency: Neighbours, root: int, hops: int) -> Ints:
    """The nodes at most hops edges from root, sorted: the set of PyG's k_hop_subgraph, but in time
    that grows with hops and the ball, not with the graph. ValueError: no such root, hops < 0."""
    n = len(adjacency.indptr) - 1
    if not 0 <= root < n or hops < 0:
        raise ValueError(f"root = {root}, hops = {hops}: expected 0 to {n - 1}, and at least 0")
    nodes, end = np.array([root]), np.array([n])
    for _ in range(hops):
        reached = np.concatenate([nodes, adjacency.around(nodes)[0], end])
        reached.sort()  # half the time of np.unique
        inner, nodes = nodes, reached[:-1][reached[1:] != reached[:-1]]
        if len(nodes) == len(inner):
            break
    return nodes


def bfs_mask(
    data: Data,
    ratio: float,
    generator: Generator,
    *,
    hops: int = 2,
    block: int = 0,
    blocks: int = 0,
) -> Tensor:
    """Hides blocks: each is grown breadth-first from a random root, through nodes not yet hidden.

    hops: edges from its root to a block's farthest node, at most. block: nodes of one, at most; 0:
    no limit. blocks: how many, in equal shares and of any radius; 0: as many as it takes. The ratio
    always wins: the last block is cut, farthest nodes first and at random among equals, and where
    blocks end early, in small components, more are grown. Blocks of a round (of 1, 1, 2, 4, ... or
    all `blocks`) grow at once, a layer at a time: fast however small they are, slow if very long.

    -> hidden [N] bool on the cpu, round(ratio * N) True, at least one and never all. ValueError:
    hops < 1, block or blocks < 0, or both of these given.
    """
    for name, value, least in (("hops", hops, 1), ("block", block, 0), ("blocks", blocks, 0)):
        if not isinstance(value, int) or value < least:
            raise ValueError(f"{name} = {value!r}: expected an integer of at least {least}")
    if block and blocks:
        raise ValueError(f"block = {block}, blocks = {blocks}: expected one of the two to be 0")
    adjacency, (rank, left) = neighbours(data), _draw(data, ratio, generator)
    hidden, order, grown = np.zeros(len(rank), bool), np.argsort(rank), 0
    while left > 0:
        order = order[~hidden[order]]
        roots = order[: min(grown or blocks or 1, left)]
        shares = left // len(roots) + (np.arange(len(roots)) < left % len(roots))
        most = shares if blocks else np.full(len(roots), block or left)
        nodes = _grow(adjacency, roots, most, len(rank) if blocks else hops, rank, hidden)[:left]
        hidden[nodes] = True
        left, grown = left - len(nodes), grown + len(roots)
    return torch.from_numpy(hidden)


def degree_mask(data: Data, ratio: float, generator: Generator, *, first: str = "hubs") -> Tensor:
    """Hides the nodes of most neighbours ("hubs") or of fewest ("leaves"), at random among equals.

    -> hidden [N] bool on the cpu, as many True as of bfs_mask. ValueError: another `first`."""
    if first not in ("hubs", "leaves"):
        raise ValueError(f"first = {first!r}: expected hubs or leaves")
    degree, (rank, count) = np.diff(neighbours(data).indptr), _draw(data, ratio, generator)
    order = np.lexsort((rank, -degree if first == "hubs" else degree))
    hidden = torch.zeros(len(rank), dtype=torch.bool)
    hidden[order[:count]] = True
    return hidden


def _draw(data: Data, ratio: float, generator: Generator) -> tuple[Ints, int]:
    """A random rank for every node [N], and how many nodes to hide, as of run_full.random_mask."""
    n = data.x.shape[0]
    return torch.randperm(n, generator=generator).numpy(), min(max(round(ratio * n), 1), n - 1)


def _grow(
    adjacency: Neighbours, roots: Ints, most: Ints, hops: int, rank: Ints, hidden: Bools
) -> Ints:
    """Blocks grown at once from roots [B], at most most [B] nodes each -> their nodes, block after
    block, each by distance from its root and then by rank. Of two blocks the first comes first."""
    taken, first, size = hidden.copy(), np.empty_like(rank), np.zeros_like(roots)
    layers = [(roots, np.arange(len(roots)))]
    for _ in range(hops):
        node, block = layers[-1]  # sorted by block
        taken[node] = True
        size += np.bincount(block, minlength=len(roots))
        node, degree = adjacency.around(node)
        block = np.repeat(block, degree)
        claim = np.flatnonzero(~taken[node])
        first[node[claim[::-1]]] = claim[::-1]  # of several claims to a node, written last
        claim = claim[first[node[claim]] == claim]
        claim = claim[np.lexsort((rank[node[claim]], block[claim]))]
        node, block = node[claim], block[claim]
        place = np.arange(len(block)) - np.searchsorted(block, block)  # in the block's layer
        fits = size[block] + place < most[block]
        if not fits.any():
            break
        layers.append((node[fits], block[fits]))
    node, block = np.concatenate(layers, axis=1)
    return node[np.argsort(block, kind="stable")]
