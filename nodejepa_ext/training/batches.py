"""Training on subgraphs, and inference in chunks of nodes: for graphs that do not fit at once.

Apart from run_full.py, which has the only training loop: here is a Sampler for it, of subgraphs
that cover every node once a pass, and an Embedder, of the whole graph in chunks. Batch norm,
regulariser and degrees of a step are the subgraph's. Shapes: N nodes, N' with a [REG] node, E
undirected edges, F features, D latent dimensions, C nodes of a chunk, H heads.
"""

from __future__ import annotations

import copy
import math
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
from nodejepa_ext.parts.choice import Parts, seams
from nodejepa_ext.training import similar
from nodejepa_ext.training.memory import SEEN
from nodejepa_ext.training.passes import Passes
from run_full import Config, Embedder, Graph, Layer, Result, Sampler, TrainState, matrix, product

NODES = SEEN  # above which a training's own evaluations see a part of them
DEFAULTS: dict[str, Any] = {
    "make_encoder": run_full.Encoder,
    "make_predictor": run_full.MLPPredictor,
}
Rows = Callable[[slice], Tensor]  # of some of the N' nodes
Fill = Callable[[int, int, Rows], Tensor]  # as `filled`


def check(batch_nodes: Any, parts: Parts, n: int | None = None) -> None:
    """ValueError: no size of subgraphs, or parts that do without those of a graph of n nodes."""
    if not isinstance(batch_nodes, int) or batch_nodes < 0 or batch_nodes == 1:
        raise ValueError(f"batch_nodes = {batch_nodes!r}: expected 0, for none, or at least 2")
    if parts.laplacian_pe and 0 < batch_nodes < (n or 0):
        text = "expected 0, for laplacian_pe knows the positions in the whole graph only"
        raise ValueError(f"batch_nodes = {batch_nodes}: {text}")


def check_suits(cfg: Config, parts: Parts, data: Data, batch_nodes: int) -> None:
    """`check`, and ValueError: settings that the graph, or its first step, would refuse."""
    n = len(data.x)
    check(batch_nodes, parts, n)
    if 0 < batch_nodes < n and n // math.ceil(n / batch_nodes) < 2:
        text = f"expected at least 3, for of {n} nodes one would be alone"
        raise ValueError(f"batch_nodes = {batch_nodes}: {text}")
    if data.edge_weight is not None and cfg.encoder == "gat":
        raise ValueError("encoder = gat: expected gcn, where edges have weights")
    x = data.x.values() if data.x.is_sparse_csr else data.x
    if cfg.transform == "root" and x.numel() and x.min() < 0:
        raise ValueError("transform = root: expected features of at least 0")
    groups = getattr(seams(parts).get("regulariser"), "groups", 1)
    if cfg.latent % groups:
        text = f"expected a multiple of {groups}, which its groups of dimensions are"
        raise ValueError(f"objective = {parts.objective}, D = {cfg.latent}: {text}")


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
    given = dict(seams)
    if not {"sampler", "embedder"} <= seams.keys():
        given = prepared(cfg, data, batch_nodes)._asdict() | seams
    if within and len(data.x) > NODES:
        return train_judged(cfg, data, given)
    return run_full.train(cfg, data, **given)


def train_judged(cfg: Config, data: Data, given: dict[str, Any]) -> Result:
    """`run_full.train`, whose evaluations see z at the nodes of `judged` alone: the reference's
    probe and meters make several float64 copies of what they see. predicted: of these nodes."""
    nodes = judged(data, cfg.seed)
    seen = Seen(given["embedder"], nodes)
    if not given.get("state"):
        make = (given.get(name, default) for name, default in DEFAULTS.items())
        given["state"] = TrainState.new(cfg, data, *make)
    result = run_full.train(cfg, part_of(data, nodes), **(given | {"embedder": seen}))
    return replace(result, data=data, z=seen.whole(result))


def judged(data: Data, seed: int) -> Tensor:
    """Nodes, ascending, that evaluations of a training see: those to train and choose on, and
    others at random, `NODES` in all, unless the former are more."""
    n = len(data.x)
    first = torch.zeros(n, dtype=torch.bool)
    for name in ("train_mask", "val_mask"):
        if name in data:
            first |= data[name].cpu().reshape(n, -1).any(1)
    others = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    others = others[~first[others]][: max(NODES - int(first.sum()), 0)]
    first[others] = True
    return first.nonzero()[:, 0]


def collapse(z: Tensor, data: Data, seed: int) -> dict[str, float]:
    """`run_full.collapse` of what evaluations of a training see of z [N, D]."""
    return run_full.collapse(z if len(z) <= NODES else z[judged(data, seed)])


def part_of(data: Data, nodes: Tensor) -> Data:
    """x, y and masks of some nodes; no edges."""
    part = Data(x=data.x[nodes], num_nodes=len(nodes))
    for name in ("y", "train_mask", "val_mask", "test_mask"):
        if name in data:
            part[name] = data[name].cpu()[nodes]
    return part


class Seen:
    """An Embedder that shows some nodes, and keeps z [N, D] of all from the last time."""

    def __init__(self, embedder: Embedder, nodes: Tensor) -> None:
        self.embedder, self.nodes = embedder, nodes
        self.z: Tensor | None = None
        self.shown: Tensor | None = None

    def __call__(self, encoder: nn.Module) -> Tensor:
        self.z = None  # before there is another
        self.z = self.embedder(encoder)
        self.shown = self.z[self.nodes]
        return self.shown

    def whole(self, result: Result) -> Tensor:
        """z [N, D] of which the result has some nodes."""
        if result.z is not self.shown:  # an earlier epoch was kept
            assert result.state
            self(result.state.encoder)
        assert self.z is not None
        return self.z


class Prepared(NamedTuple):
    """A graph ready for `run_full.train`, built once."""

    sampler: Sampler
    embedder: Embedder


def prepared(cfg: Config, data: Data, batch_nodes: int, fill: Fill | None = None) -> Prepared:
    """To train on subgraphs of batch_nodes nodes and to embed in chunks of as many, by `fill`, by
    default `filled`; 0 or at least N: on the whole graph, at once. ValueError: edge weights, and
    gat."""
    if 0 < batch_nodes < len(data.x):
        parts = Subgraphs(cfg, data, batch_nodes, fill or filled)
        return Prepared(parts.sample, parts.embed)
    graph = similar.graph_of(data, cfg)
    return Prepared(lambda step: graph, lambda encoder: run_full.embed(encoder, graph))


class Subgraphs:
    """A Sampler and an Embedder of a graph that does not fit at once. The subgraph of a step
    follows from cfg.seed and the step, so that a run goes on bit for bit."""

    def __init__(self, cfg: Config, data: Data, nodes: int, fill: Fill) -> None:
        self.data, self.fill = joined_for(cfg, data), fill
        self.cfg = replace(cfg, neighbours=0)  # they are joined already
        self.nodes = nodes

    def sample(self, step: int) -> Graph:
        """The Sampler: of about `nodes` nodes, see `Passes`."""
        return Graph.of(self.passes.subgraph(step), self.cfg)

    def embed(self, encoder: nn.Module) -> Tensor:
        """The Embedder: z [N, D], in chunks of `nodes` nodes."""
        return layered(encoder, self.data.x, self.bare, self.nodes, self.fill)

    @cached_property
    def passes(self) -> Passes:
        """To embed alone, none are made."""
        return Passes(self.data, adjacency(self.data), self.nodes, self.cfg.seed)

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
    return similar.joined(data, cfg)


@torch.no_grad()
def layered(encoder: Any, x: Tensor, whole: Graph, chunk: int, fill: Fill) -> Tensor:
    """`embed` by a `run_full.Encoder`, x [N, F] being apart from the graph."""
    n = len(x)
    mode = encoder.training
    encoder.eval()

    def features(rows: slice) -> Tensor:
        part = x[rows].float()
        if encoder.cfg.transform != "none":
            part = run_full.transformed(part, encoder.cfg.transform)
        part = part.to_dense().to(whole.x.device)
        return torch.cat([part, encoder.reg[None]]) if rows.stop > n else part

    h, skip = lifted(encoder.layers[0], whole, features, chunk, fill)
    z = forward(encoder.layers[0], whole, h, skip, chunk, fill)
    for i, layer in enumerate(encoder.layers[1:]):
        if encoder.cfg.skip == "input":
            for rows in spans(len(z), chunk):
                z[rows] += features(rows) @ encoder.inputs[i]
        h, skip = lifted(layer, whole, z.__getitem__, chunk, fill)
        del z  # which no one needs from here on
        z = forward(layer, whole, h, skip, chunk, fill)
    z = z[:n]
    if encoder.own is not None:
        z = torch.cat([z, fill(n, chunk, lambda rows: features(rows) @ encoder.own)], 1)
    encoder.train(mode)
    return whole.average(z, encoder.cfg.embed_hops).cpu()


def early(layer: Layer) -> int:
    """How many of a layer's hops are taken before its weight: all where that takes less."""
    return layer.hops if layer.gat is None and layer.weight.shape[0] < layer.weight.shape[1] else 0


def lifted(
    layer: Layer, whole: Graph, inputs: Rows, chunk: int, fill: Fill
) -> tuple[Tensor, Tensor | None]:
    """What `forward` goes on from, [N', width] each: the inputs of N' nodes [C, width_in] by the
    weight, after the `early` hops, and by the weight of the skip, if any."""
    n, given, skip = len(whole.adj), inputs, None
    for _ in range(early(layer)):
        h = fill(n, chunk, given)
        h = fill(n, chunk, averaged(whole, h))
        given = h.__getitem__
    if (weight := layer.skip) is not None:
        skip = fill(n, chunk, lambda rows: inputs(rows) @ weight)
    return fill(n, chunk, lambda rows: given(rows) @ layer.weight), skip


def forward(
    layer: Layer, whole: Graph, h: Tensor, skip: Tensor | None, chunk: int, fill: Fill
) -> Tensor:
    """`Layer.forward` without gradient, of what `lifted` made of its inputs -> [N', width]."""
    n = len(whole.adj)
    for _ in range(layer.hops - early(layer)):
        h = fill(n, chunk, attended(layer.gat, whole, h) if layer.gat else averaged(whole, h))
    for rows in spans(n, chunk):
        part = h[rows]
        if layer.bias is not None:
            part = part + layer.bias
        if skip is not None:
            part = part + skip[rows]
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
