"""Which nodes each step of a training on subgraphs sees: every node once a pass.

Apart from batches.py, which trains on them: here a graph is cut anew for every pass, into regions
that grow breadth-first around random roots, and regions are packed into subgraphs of nearly equal
size. A cut takes time in N + E once a pass, so that a step takes time in its own subgraph alone.
Shapes: N nodes, E undirected edges, B nodes of a subgraph.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from torch_geometric.data import Data

REGION = 512  # nodes that a root is expected to grow to
Ints = NDArray[np.int64]


class Passes:
    """The subgraphs of a graph, by step. They follow from the seed and the step, so that a run goes
    on bit for bit; the cut of the present pass is kept."""

    def __init__(self, data: Data, graph: sparse.csr_array, nodes: int, seed: int) -> None:
        """graph: the weights [N, N] of data's edges, both ways; nodes: B, at least 1."""
        self.data, self.graph, self.seed = data, graph, seed
        self.steps = math.ceil(graph.shape[0] / nodes)  # of a pass
        self.component = connected_components(graph, directed=False)[1]  # [N]
        self.place = np.full(graph.shape[0], -1)  # [N] of the nodes of a subgraph within it
        self.current = -1
        self.parts: list[Ints] = []

    def nodes(self, step: int) -> Ints:
        """[B] of a step, ascending; those of a pass are disjoint and together all N."""
        number, part = divmod(step, self.steps)
        if number != self.current:
            rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(number,)))
            self.parts = np.array_split(cut(self.graph, self.component, rng), self.steps)
            self.current = number
        return np.sort(self.parts[part])

    def subgraph(self, step: int) -> Data:
        """x [B, F], all edges between the step's nodes both ways, and their weights if any; no
        labels, no masks."""
        return induced(self.data, self.graph, self.nodes(step), self.place)


def induced(data: Data, graph: sparse.csr_array, nodes: Ints, place: Ints) -> Data:
    """Of `Passes.subgraph`, for nodes [B]. place [N]: all -1, and so again afterwards."""
    rows = graph[nodes]  # [B, N]
    place[nodes] = np.arange(len(nodes))
    source = np.repeat(np.arange(len(nodes)), np.diff(rows.indptr))
    target = place[rows.indices]
    place[nodes] = -1
    inside = target >= 0
    edges = torch.from_numpy(np.stack([source[inside], target[inside]]).astype(np.int64))
    weight = None if data.edge_weight is None else torch.from_numpy(rows.data[inside])
    return Data(x=data.x[torch.from_numpy(nodes)], edge_index=edges, edge_weight=weight)


def cut(graph: sparse.csr_array, component: Ints, rng: np.random.Generator) -> Ints:
    """All N nodes, region after region; within one, those nearer to its root come first.
    component [N]: of the connected components, the number each node is in."""
    n = graph.shape[0]
    roots = drawn(component, rng)
    region, depth = np.full(n, -1), np.zeros(n, np.int64)
    region[roots] = np.arange(len(roots))
    grow(graph, roots, region, depth, rng)
    rank = rng.permutation(len(roots))  # regions come in a random order
    return np.lexsort((depth, rank[region]))


def drawn(component: Ints, rng: np.random.Generator) -> Ints:
    """Roots: of every component one in REGION nodes, at least one, at random."""
    order = rng.permutation(len(component))
    order = order[np.argsort(component[order], kind="stable")]  # component by component
    sizes = np.bincount(component)
    starts = np.cumsum(sizes) - sizes
    place = np.arange(len(order)) - np.repeat(starts, sizes)  # within the component
    return order[place * REGION < np.repeat(sizes, sizes)]


def grow(
    graph: sparse.csr_array, layer: Ints, region: Ints, depth: Ints, rng: np.random.Generator
) -> None:
    """From the nodes of layer, layer by layer, over nodes of no region: sets the region [N] of all
    that are reached, a node between several at random, and the depth [N] at which."""
    steps = 0
    while len(layer):
        steps += 1
        rows = graph[layer]
        source = np.repeat(layer, np.diff(rows.indptr))
        free = np.flatnonzero(region[rows.indices] < 0)
        free = rng.permutation(free)
        reached, first = np.unique(rows.indices[free], return_index=True)
        region[reached] = region[source[free[first]]]
        depth[reached] = steps
        layer = reached
