"""Training on subgraphs, and inference in chunks of nodes: for graphs that do not fit at once.

Apart from run_full.py, which has the only training loop: here is a Sampler for it, of subgraphs
that cover every node once a pass, and an Embedder, of the whole graph in chunks. Batch norm,
regulariser and degrees of a step are the subgraph's. Shapes: N nodes, N' with a [REG] node, E
undirected edges, F features, D latent dimensions, C nodes of a chunk, H heads.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
import torch_geometric.utils as pyg
from scipy import sparse
from torch import Tensor, nn
from torch_geometric.data import Data

import run_full
from nodejepa_ext.parts.choice import Parts
from nodejepa_ext.training.passes import Passes
from run_full import Config, Embedder, Graph, Layer, Result, Sampler, matrix, product

Rows = Callable[[slice], Tensor]  # of some of the N' nodes


def check(batch_nodes: Any, parts: Parts, n: int | None = None) -> None:
    """ValueError: no size of subgraphs, or parts that do without those of a graph of n nodes."""
    if not isinstance(batch_nodes, int) or batch_nodes < 0 or batch_nodes == 1:
        raise ValueError(f"batch_nodes = {batch_nodes!r}: expected 0, for none, or at least 2")
    if parts.laplacian_pe and 0 < batch_nodes < (n or 0):
        text = "expected 0, for laplacian_pe knows the positions in the whole graph only"
        raise ValueError(f"batch_nodes = {batch_nodes}: {text}")


def train(cfg: Config, data: Data, batch_nodes: int, **seams: Any) -> Result:
    """`run_full.train`, its errors and seams, each of its cfg.epochs steps on another subgraph of
    at most batch_nodes nodes, every node once in ceil(N / batch_nodes) steps; 0 or at least N: on
    the whole graph. Every evaluation is of the whole graph, as by `embed`. mask_fn and regulariser
    see subgraphs alone. ValueError: make_encoder without an embedder, for inference in chunks knows
    `run_full.Encoder` alone."""
    within = 0 < batch_nodes < len(data.x)
    if within and "make_encoder" in seams and "embedder" not in seams:
        text = "expected an embedder beside make_encoder"
        raise ValueError(f"batch_nodes = {batch_nodes}: {text}")
    given = prepared(cfg, data, batch_nodes)._asdict() | seams
    return run_full.train(cfg, data, **given)


class Prepared(NamedTuple):
    """A graph ready for `run_full.train`, built once."""

    sampler: Sampler
    embedder: Embedder


def prepared(cfg: Config, data: Data, batch_nodes: int) -> Prepared:
    """To train on subgraphs of batch_nodes nodes and to embed in chunks of as many; 0 or at least
    N: on the whole graph, at once. ValueError: edge weights, and gat."""
    if 0 < batch_nodes < len(data.x):
        parts = Subgraphs(cfg, data, batch_nodes)
        return Prepared(parts.sample, parts.embed)
    graph = Graph.of(data, cfg)
    return Prepared(lambda step: graph, lambda encoder: run_full.embed(encoder, graph))


class Subgraphs:
    """A Sampler and an Embedder of a graph that does not fit at once. The subgraph of a step
    follows from cfg.seed and the step, so that a run goes on bit for bit."""

    def __init__(self, cfg: Config, data: Data, nodes: int) -> None:
        self.data = joined_for(cfg, data)
        self.cfg = replace(cfg, neighbours=0)  # they are joined already
        self.nodes = nodes
        self.passes = Passes(self.data, adjacency(self.data), nodes, cfg.seed)

    def sample(self, step: int) -> Graph:
        """The Sampler: of about `nodes` nodes, see `Passes`."""
        return Graph.of(self.passes.subgraph(step), self.cfg)

    def embed(self, encoder: nn.Module) -> Tensor:
        """The Embedder: z [N, D], in chunks of `nodes` nodes."""
        return layered(encoder, self.data.x, self.bare, self.nodes)

    @cached_property
    def bare(self) -> Graph:
        """All edges, and x [N, 0]."""
        edges, weight = self.data.edge_index, self.data.edge_weight
        bare = Data(x=self.data.x[:, :0], edge_index=edges, edge_weight=weight)
        return Graph.of(bare, self.cfg)


def adjacency(data: Data) -> sparse.csr_array:
    """Weights [N, N] of the edges both ways, merged as `Graph.of` merges them; no self-loops."""
    n = len(data.x)
    edges, weight = pyg.remove_self_loops(data.edge_index, run_full.edge_weights(data))
    edges, weight = pyg.to_undirected(edges, weight, n, reduce="max")
    return sparse.csr_array((weight.numpy(), edges.numpy()), (n, n))


def embed(encoder: Any, data: Data, chunk: int) -> Tensor:
    """`run_full.embed`, z [N, D], to rounding: layer by layer, in chunks of so many nodes; 0 or at
    least N: at once. It holds up to four matrices as wide as a layer, [N', width]; no copy of x and
    nothing that wide for every edge. encoder: a `run_full.Encoder`. ValueError: edge weights, and
    gat."""
    return prepared(encoder.cfg, data, chunk).embedder(encoder)


def joined_for(cfg: Config, data: Data) -> Data:
    """data on the cpu, with cfg.neighbours of each node, which take x to find."""
    data = copy.copy(data).cpu()
    if not cfg.neighbours:
        return data
    return run_full.join_neighbours(data, cfg.neighbours, cfg.neighbour_weight)


@torch.no_grad()
def layered(encoder: Any, x: Tensor, whole: Graph, chunk: int) -> Tensor:
    """`embed` by a `run_full.Encoder`, x [N, F] being apart from the graph."""
    n = len(x)
    mode = encoder.training
    encoder.eval()

    def features(rows: slice) -> Tensor:
        part = x[rows].to(whole.x.device).float()
        return torch.cat([part, encoder.reg[None]]) if rows.stop > n else part

    z = forward(encoder.layers[0], whole, features, chunk)
    for i, layer in enumerate(encoder.layers[1:]):
        if encoder.cfg.skip == "input":
            for rows in spans(len(z), chunk):
                z[rows] += features(rows) @ encoder.inputs[i]
        z = forward(layer, whole, z.__getitem__, chunk)
    z = z[:n]
    if encoder.own is not None:
        z = torch.cat([z, filled(n, chunk, lambda rows: features(rows) @ encoder.own)], 1)
    encoder.train(mode)
    return whole.average(z, encoder.cfg.embed_hops).cpu()


def forward(layer: Layer, whole: Graph, inputs: Rows, chunk: int) -> Tensor:
    """`Layer.forward` without gradient: inputs of N' nodes [C, width_in] -> [N', width]."""
    n = len(whole.adj)
    h = filled(n, chunk, lambda rows: inputs(rows) @ layer.weight)
    for _ in range(layer.hops):
        h = filled(n, chunk, attended(layer.gat, whole, h) if layer.gat else averaged(whole, h))
    for rows in spans(n, chunk):
        part = h[rows]
        if layer.bias is not None:
            part = part + layer.bias
        if layer.skip is not None:
            part = part + inputs(rows) @ layer.skip
        h[rows] = layer.finish(part)
    return h


def averaged(whole: Graph, h: Tensor) -> Rows:
    """Rows of whole.adj @ h [N', width]."""
    at, value = starts(whole), whole.adj.values()

    def some(rows: slice) -> Tensor:
        """[C, width], by a product with these rows of the adjacency."""
        own = slice(at[rows.start], at[rows.stop])
        index = whole.entries[:, own].clone()
        index[0] -= rows.start
        shape = rows.stop - rows.start, len(h)
        return product(matrix(index, value[own], shape), h)

    return some


def attended(gat: Any, whole: Graph, h: Tensor) -> Rows:
    """Rows of what a GATConv whose linear map is the identity makes of h [N', width]. A head is one
    sparse product, so that there are no messages [E, width]."""
    at, heads = starts(whole), gat.heads
    fro, to = (h @ torch.block_diag(*a[0, :, :, None]) for a in (gat.att_src, gat.att_dst))
    h = h.view(len(h), heads, -1).transpose(0, 1).contiguous()  # [H, N', width / H]

    def some(rows: slice) -> Tensor:
        """[C, width], attention over the neighbours of these rows."""
        index = whole.entries[:, at[rows.start] : at[rows.stop]].clone()
        score = F.leaky_relu(to[index[0]] + fro[index[1]], gat.negative_slope)  # [entries, H]
        index[0] -= rows.start
        shape = rows.stop - rows.start, h.shape[1]
        share = pyg.softmax(score, index[0], num_nodes=shape[0]).t().contiguous()
        pairs = zip(share, h, strict=True)
        return torch.cat([product(matrix(index, a, shape), v) for a, v in pairs], 1)

    return some


def starts(whole: Graph) -> list[int]:
    """Where the entries of each of N' rows begin, and the last end [N' + 1]."""
    degree = torch.bincount(whole.entries[0], minlength=len(whole.adj))
    return [0, *degree.cumsum(0).tolist()]


def spans(n: int, chunk: int) -> Iterable[slice]:
    return (slice(start, min(start + chunk, n)) for start in range(0, n, chunk))


def filled(n: int, chunk: int, rows_of: Rows) -> Tensor:
    """[n, width] of its rows, a chunk at a time; none is held twice."""
    out: Tensor | None = None
    for rows in spans(n, chunk):
        part = rows_of(rows)
        out = part.new_empty(n, part.shape[1]) if out is None else out
        out[rows] = part
    assert out is not None
    return out
