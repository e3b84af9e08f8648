"""Training on subgraphs, and inference in chunks of nodes: for graphs that do not fit at once.

Apart from run_full.py, which has the only training loop: here that loop is called for one step at a
time, each on another subgraph grown breadth-first. Batch norm, regulariser and degrees are then the
subgraph's; embeddings are always of the whole graph. Shapes: N nodes, N' with a [REG] node, E
undirected edges, F features, D latent dimensions, B nodes of a subgraph, C of a chunk, H heads.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import torch_geometric.utils as pyg
from numpy.typing import NDArray
from scipy import sparse
from torch import Generator, Tensor
from torch_geometric.data import Data

import run_full
from nodejepa_ext.parts.choice import Parts
from run_full import Config, Encoder, EpochHook, Layer, Result, TrainState, View

REGION = 512  # nodes that a root is expected to grow to: a subgraph begins with B / REGION
Ints = NDArray[np.int64]
Rows = Callable[[slice], Tensor]  # of some of the N' nodes


class NextBatch(Exception):
    """From the hook of a subgraph, which has had its step."""


def check(batch_nodes: Any, parts: Parts, n: int | None = None) -> None:
    """ValueError: no size of subgraphs, or parts that do without those of a graph of n nodes."""
    if not isinstance(batch_nodes, int) or batch_nodes < 0 or batch_nodes == 1:
        raise ValueError(f"batch_nodes = {batch_nodes!r}: expected 0, for none, or at least 2")
    if parts.laplacian_pe and 0 < batch_nodes < (n or 0):
        text = "expected 0, for laplacian_pe knows the positions in the whole graph only"
        raise ValueError(f"batch_nodes = {batch_nodes}: {text}")


def train(
    cfg: Config,
    data: Data,
    batch_nodes: int,
    *,
    on_epoch: EpochHook | None = None,
    state: TrainState | None = None,
    **seams: Any,
) -> Result:
    """`run_full.train`, its errors and seams, each of its cfg.epochs steps on another subgraph of
    batch_nodes nodes; 0 or at least N: on the whole graph. Every evaluation is of the whole graph,
    by `embed`. The subgraph of a step follows from cfg.seed and the step, so that `state` continues
    a run bit for bit. mask_fn and regulariser see subgraphs alone."""
    if not 0 < batch_nodes < len(data.x):
        return run_full.train(cfg, data, on_epoch=on_epoch, state=state, **seams)
    make = seams.get("make_predictor", run_full.MLPPredictor)
    state, joined = state or TrainState.new(cfg, data, make), joined_for(cfg, data)
    graph = adjacency(joined)

    def after_step(state: TrainState, row: dict[str, float]) -> None:
        """An EpochHook: as `run_full.train` does after an epoch, but of the whole graph."""
        if state.step == cfg.epochs or cfg.eval_every and state.step % cfg.eval_every == 0:
            now = run_full.linear_probe(layered(state.encoder, joined, batch_nodes), data)
            row |= run_full.collapse(now.z) | ({"val": now.val} if now.val >= 0 else {})
            if now.val > state.best.get("val", -1.0):
                weights = copy.deepcopy(state.encoder.state_dict())
                state.best = {"epoch": state.step, "val": now.val, "weights": weights}
        if on_epoch:
            on_epoch(state, row)
        raise NextBatch

    blind = replace(cfg, eval_every=0, neighbours=0)  # they are joined already
    while state.step < cfg.epochs:
        part = batch(joined, graph, batch_nodes, cfg.seed, state.step)
        with suppress(NextBatch):
            run_full.train(blind, part, on_epoch=after_step, state=state, **seams)
            break  # on_epoch has raised StopTraining
    if state.best:
        state.encoder.load_state_dict(state.best["weights"])
    z = layered(state.encoder, joined, batch_nodes)
    return replace(run_full.linear_probe(z, data), state=state)


def adjacency(data: Data) -> sparse.csr_array:
    """Weights [N, N] of the edges both ways, merged as `View.of` merges them; no self-loops."""
    n, edges, weight = len(data.x), data.edge_index.cpu(), data.edge_weight
    weight = torch.ones(edges.shape[1]) if weight is None else weight.float()
    edges, weight = pyg.to_undirected(*pyg.remove_self_loops(edges, weight), n, reduce="max")
    return sparse.csr_array((weight.numpy(), edges.numpy()), (n, n))


def batch(data: Data, graph: sparse.csr_array, nodes: int, seed: int, step: int) -> Data:
    """The subgraph of a step: x [B, F], all edges between its nodes both ways, and their weights if
    any; no labels, no masks. graph: `adjacency` of data."""
    word = np.random.SeedSequence(seed, spawn_key=(step,)).generate_state(1)[0]
    return induced(data, graph, grow(graph, nodes, Generator().manual_seed(int(word))))


def induced(data: Data, graph: sparse.csr_array, nodes: Ints) -> Data:
    """Of `batch`, for given nodes [B]."""
    inner = graph[nodes][:, nodes].tocoo()
    edges = torch.from_numpy(np.stack(inner.coords).astype(np.int64))
    weight = None if data.edge_weight is None else torch.from_numpy(inner.data)
    return Data(x=data.x[torch.from_numpy(nodes)], edge_index=edges, edge_weight=weight)


def grow(graph: sparse.csr_array, count: int, generator: Generator) -> Ints:
    """nodes [count], sorted, count <= N: balls around random roots that grow a layer at a time, the
    last layer cut at random. Where they fill their components, more roots follow, as many as those
    before let expect to be enough."""
    order = torch.randperm(graph.shape[0], generator=generator).numpy()
    rank, inside = np.argsort(order), np.zeros(len(order), bool)
    layer, used, left = order[:0], 0, count
    while left > 0:
        if not len(layer):
            order = order[~inside[order]]
            layer = order[: math.ceil(left * used / (count - left) if used else left / REGION)]
            used += len(layer)
        layer = layer[np.argsort(rank[layer])][:left]
        inside[layer] = True
        left -= len(layer)
        reached = np.unique(graph[layer].indices)
        layer = reached[~inside[reached]]
    return np.flatnonzero(inside)


def embed(encoder: Encoder, data: Data, chunk: int) -> Tensor:
    """`run_full.embed`, z [N, D], to rounding: layer by layer, in chunks of so many nodes; 0 or at
    least N: at once. It holds up to four matrices as wide as a layer, [N', width]; no copy of x and
    nothing that wide for every edge. ValueError: edge weights, and gat."""
    if not 0 < chunk < len(data.x):
        return run_full.embed(encoder, data)
    return layered(encoder, joined_for(encoder.cfg, data), chunk)


def joined_for(cfg: Config, data: Data) -> Data:
    """data with cfg.neighbours of each node, which take x to find."""
    if not cfg.neighbours:
        return data
    return run_full.join_neighbours(data, cfg.neighbours, cfg.neighbour_weight)


@torch.no_grad()
def layered(encoder: Encoder, data: Data, chunk: int) -> Tensor:
    """`embed` of a graph with its neighbours joined."""
    n, cfg, mode = len(data.x), encoder.cfg, encoder.training
    whole = View.of(bare(data), replace(cfg, precision="fp32", neighbours=0))
    encoder.eval()

    def features(rows: slice) -> Tensor:
        x = data.x[rows].to(whole.x.device).float()
        return torch.cat([x, encoder.reg[None]]) if rows.stop > n else x

    inputs: Rows = features
    for layer in encoder.layers:
        z = forward(layer, whole, inputs, chunk)
        inputs = z.__getitem__
    z = z[:n]
    if cfg.own_features:
        z = torch.cat([z, filled(n, chunk, lambda rows: features(rows) @ encoder.own)], 1)
    encoder.train(mode)
    return whole.average(z, cfg.embed_hops).cpu()


def bare(data: Data) -> Data:
    """The graph alone, with x [N, 0]."""
    return Data(x=data.x[:, :0], edge_index=data.edge_index, edge_weight=data.edge_weight)


def forward(layer: Layer, whole: View, inputs: Rows, chunk: int) -> Tensor:
    """`Layer.forward` without gradient: inputs of N' nodes [C, width_in] -> [N', width]."""
    n = len(whole.adj)
    h = filled(n, chunk, lambda rows: inputs(rows) @ layer.weights[0])
    for _ in range(layer.hops):
        h = filled(n, chunk, attended(layer.gat, whole, h) if layer.gat else averaged(whole, h))
    for rows in spans(n, chunk):
        part = h[rows] if layer.bias is None else h[rows] + layer.bias
        skip = [inputs(rows) @ weight for weight in layer.weights[1:]]
        h[rows] = layer.finish(sum(skip, part))
    return h


def averaged(whole: View, h: Tensor) -> Rows:
    """Rows of whole.adj @ h [N', width]."""
    at, value = starts(whole), whole.adj.values()

    def some(rows: slice) -> Tensor:
        """[C, width], by a product with these rows of the adjacency."""
        own = slice(at[rows.start], at[rows.stop])
        index = whole.entries[:, own].clone()
        index[0] -= rows.start
        shape = rows.stop - rows.start, len(h)
        return run_full.product(run_full.matrix(index, value[own], shape), h)

    return some


def attended(gat: Any, whole: View, h: Tensor) -> Rows:
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
        return torch.cat(
            [run_full.product(run_full.matrix(index, a, shape), v) for a, v in pairs], 1
        )

    return some


def starts(whole: View) -> list[int]:
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
