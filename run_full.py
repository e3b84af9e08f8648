"""Node-JEPA: self-supervised node embeddings of one graph. The whole method, in one file.

Two augmented views of a graph. A context encoder f sees view 1 with some nodes hidden behind a
learnt [MASK]; a predictor q guesses, at the hidden nodes, what a target encoder g says of view 2:
    L = 1/2 [ l(q(f(view 1, hidden)), g(view 2)) at hidden nodes + l(q(f(view 2)), g(view 1)) ]
l: negative cosine; g: moving average of f, no gradient. No decoder, no negatives. Afterwards f is
frozen and judged by a logistic regression. `Config` spans the family; README.md has the results.
Shapes: N nodes, E undirected edges, F features, D latent dimensions, M hidden nodes.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import math
import os
import resource
import signal
import subprocess
import sys
import time
import tomllib
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
import torch.nn.functional as F
import torch_geometric.utils as pyg
from rich.console import Console
from rich.table import Table
from scipy import sparse, stats
from sklearn.linear_model import LogisticRegression
from torch import Generator, Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GATConv


def knob(default: Any, group: str, text: str, *valid: Any) -> Any:
    """A Config field: its --help group and line, and the names, or low and high, it may hold."""
    span = (" or " if isinstance(default, str) else " to ").join(map(str, valid))
    meta = {"group": group, "help": f"{text} ({span})" if valid else text, "valid": valid}
    return field(default=default, metadata=meta)


def check_fields(settings: Any) -> None:
    """ValueError names the first field of a dataclass of knobs that holds what it may not."""
    for f in fields(settings):
        value, kind, valid = getattr(settings, f.name), type(f.default), f.metadata["valid"]
        good = isinstance(value, (int, float) if kind is float else kind)
        if good and valid:
            good = value in valid if kind is str else valid[0] <= value <= valid[1]
        if not good:
            raise ValueError(f"{f.name} = {value!r}: expected {f.metadata['help']}")


@dataclass(frozen=True)
class Config:
    """Everything that decides a run; ValueError names a field that holds what it may not."""

    encoder: str = knob("gcn", "model", "graph convolution", "gcn", "gat")
    heads: int = knob(4, "model", "attention heads of gat, concatenated", 1, 64)
    hidden: int = knob(512, "model", "width of every layer but the last", 1, 65536)
    out: int = knob(256, "model", "width of the last layer", 1, 65536)
    layers: int = knob(2, "model", "layers of the encoder", 1, 8)
    hops: int = knob(1, "model", "propagation steps a layer", 1, 32)
    norm: str = knob("batch", "model", "before PReLU; none: last layer linear", "batch", "none")
    skip: bool = knob(True, "model", "add a linear map of the layer's input")
    reg_node: bool = knob(False, "model", "join a learnt [REG] node to all nodes")
    own_features: bool = knob(False, "model", "append a linear map of x to z")
    embed_hops: int = knob(0, "model", "propagation steps on the frozen embedding", 0, 32)
    neighbours: int = knob(0, "model", "nodes of similar features joined to each node", 0, 1024)
    neighbour_weight: float = knob(1.0, "model", "of those edges together", 0.0, 1e6)
    predictor: int = knob(2, "objective", "layers of the predictor; 0: none", 0, 2)
    predictor_norm: str = knob("batch", "objective", "inside the predictor", "batch", "none")
    loss: str = knob("cosine", "objective", "distance of latents", "cosine", "standardised")
    loss_nodes: str = knob("hidden", "objective", "nodes of direction 1", "hidden", "all")
    directions: int = knob(2, "objective", "1: view 1 to 2 only; 2: and back", 1, 2)
    target: str = knob("ema", "objective", "the target encoder", "ema", "online", "frozen")
    target_hops: int = knob(0, "objective", "hops that target latents are averaged over", 0, 32)
    momentum: float = knob(0.99, "objective", "of the EMA at first; 1 at last", 0.0, 1.0)
    regulariser: str = knob("none", "objective", "term against collapse", "none", "decorrelation")
    regulariser_weight: float = knob(1e-3, "objective", "its weight", 0.0, 1e6)
    mask: float = knob(0.5, "views", "share of nodes hidden in view 1", 0.0, 0.99)
    feat1: float = knob(0.5, "views", "rate of zeroed feature columns, view 1", 0.0, 0.99)
    edge1: float = knob(0.5, "views", "rate of dropped edges, view 1", 0.0, 1.0)
    feat2: float = knob(0.3, "views", "rate of zeroed feature columns, view 2", 0.0, 0.99)
    edge2: float = knob(0.5, "views", "rate of dropped edges, view 2", 0.0, 1.0)
    lr: float = knob(1e-3, "training", "peak learning rate of AdamW", 0.0, 10.0)
    weight_decay: float = knob(1e-5, "training", "decoupled weight decay", 0.0, 10.0)
    warmup: int = knob(100, "training", "warm-up steps, at most half of epochs", 0, 10**7)
    epochs: int = knob(1000, "training", "full-batch steps; 0: untrained", 0, 10**7)
    eval_every: int = knob(50, "training", "epochs between probes; 0: only the last", 0, 10**7)
    seed: int = knob(0, "training", "of every random stream", 0, 2**62)
    device: str = knob("auto", "training", "auto (cuda, mps, cpu), cpu, cuda, cuda:1, mps")
    precision: str = knob("auto", "training", "of matrix products", "auto", "fp32", "bf16")

    def __post_init__(self) -> None:
        check_fields(self)
        if self.encoder == "gat" and (self.hidden % self.heads or self.out % self.heads):
            raise ValueError(f"heads = {self.heads}: expected a divisor of hidden and of out")
        if self.encoder == "gat" and self.neighbours:
            raise ValueError(f"neighbours = {self.neighbours}: expected 0 with encoder gat")


GRAPHS = {  # SHA-256 of the files; public splits of Yang et al. 2016
    "cora": "01754b720176174ade4e1fa45f48112bc912c4794477f5eca5e0787f107b395c",
    "citeseer": "025c982d93b36b1f59e65e99fadd3a7e9659394cf9aebf93cda094350298fa9f",
    "pubmed": "6cc6a686a09f106303d1839c32e4b97b131c854d54ea6cb9b27c62038cc4f665",
}
_GAT = dict(encoder="gat", lr=2e-3, warmup=50, epochs=1500, edge1=0.4, edge2=0.4)
_CCA = dict(target="online", predictor=0, directions=1, loss_nodes="all", loss="standardised")
_CCA |= dict(regulariser="decorrelation", norm="none", skip=False, out=512, warmup=0)
_BEST = _CCA | dict(hidden=1024, neighbours=20, mask=0.3, feat1=0.0, feat2=0.0, epochs=30)
_BEST |= dict(eval_every=15)
_BGRL = dict(mask=0.0, skip=False, epochs=150, warmup=15, eval_every=10)
_WIDE = dict(layers=1, hops=2, out=1024, neighbours=20, epochs=60, warmup=6, eval_every=20)
PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "best": {
        "cora": _BEST,
        "citeseer": _BEST
        | dict(layers=1, out=1024, embed_hops=1, mask=0.5, feat1=0.4)
        | dict(regulariser_weight=1.2e-4, epochs=60),
        "pubmed": _BEST | dict(neighbour_weight=0.4, feat1=0.3, feat2=0.3, epochs=25),
    },
    "card": {"cora": {}, "citeseer": _GAT, "pubmed": dict(mask=0.6, edge1=0.4)},
    "bgrl": {
        "cora": _BGRL | _WIDE | dict(embed_hops=2),
        "citeseer": _BGRL | _WIDE | dict(embed_hops=1, lr=2e-3),
        "pubmed": _BGRL | dict(feat1=0.2, edge1=0.2, feat2=0.1, edge2=0.3, epochs=60, warmup=6),
    },
}
PUBLISHED = {  # frozen encoder, linear probe, public split, %
    "Node-JEPA card, best seed": {"cora": 84.2, "citeseer": 70.7, "pubmed": 83.2},
    "GraphMAE (Hou et al. 2022)": {"cora": 84.2, "citeseer": 73.4, "pubmed": 81.1},
    "BGRL (run by Hou et al. 2022)": {"cora": 82.8, "citeseer": 71.1, "pubmed": 79.6},
}


def preset(name: str, graph: str) -> Config:
    """The settings called `name` for an embedded graph; ValueError if there are none."""
    for value, valid in ((name, PRESETS), (graph, GRAPHS)):
        if value not in valid:
            raise ValueError(f"{value!r}: expected one of {', '.join(valid)}")
    return Config(**PRESETS[name][graph])


class MaskFn(Protocol):
    def __call__(self, data: Data, ratio: float, generator: Generator) -> Tensor:
        """The nodes the context encoder must not see: hidden [N] bool, about ratio * N True."""


class PredictorFactory(Protocol):
    def __call__(self, cfg: Config, data: Data) -> nn.Module:
        """Built once a run. forward(z [N, D], hidden [N] bool | None, generator) -> latents of
        the hidden nodes [M, D], or of all nodes [N, D] where hidden is None."""


class Regulariser(Protocol):
    def __call__(self, z1: Tensor, z2: Tensor, generator: Generator) -> Tensor:
        """The online encoder's z1 and z2 [N, D] of both views, z1 with hidden nodes -> scalar."""


class EpochHook(Protocol):
    def __call__(self, state: TrainState, row: dict[str, float]) -> None:
        """After every epoch: observes and saves; raises StopTraining to end the run here."""


class StopTraining(Exception):
    """From an EpochHook: training ends, the best epoch so far is the result."""


class RunError(Exception):
    """(message, exit code): what ends a run with one sentence."""


def load_graph(name: str, folder: Path | None = None) -> Data:
    """x [N, F] row-normalised, edge_index [2, 2E], y [N], masks [N] bool. ValueError: unknown;
    RunError 3: the file is missing or is not the published graph."""
    preset("card", name)
    path = (folder or Path(__file__).parent / "nodejepa_ext/datasets") / f"{name}.npz"
    if not path.is_file():
        raise RunError(f"no file {path}; --data DIR names another folder", 3)
    if (sha := hashlib.sha256(path.read_bytes()).hexdigest()) != GRAPHS[name]:
        raise RunError(f"{path} has SHA-256 {sha}, expected {GRAPHS[name]}", 3)
    a = dict(np.load(path, allow_pickle=False))
    x = sparse.csr_array((a["x_data"], a["x_indices"], a["x_indptr"]), a["x_shape"]).toarray()
    x, edges, y = (torch.from_numpy(array) for array in (x, a["edge_index"], a["y"]))
    x = x.float() / x.float().sum(1, keepdim=True).clamp(min=1)
    edges = pyg.to_undirected(edges.long(), num_nodes=len(x))
    masks = {key: torch.from_numpy(mask) for key, mask in a.items() if key.endswith("_mask")}
    return Data(x=x, edge_index=edges, y=y.long(), **masks)


def words(x: Tensor) -> Tensor | None:
    """Which words a node has, [N, F] bool, where features x [N, F] are words: a row has one value
    beside 0, as a bag of words has, or each column two values, as words standardised have."""
    low, high = x.aminmax(dim=0)  # [F]
    if torch.equal(x, torch.where(x > low, high, low)):
        return x > low
    some = x != 0
    return some if torch.equal(x, some * x.amax(1, keepdim=True)) else None


def comparable(x: Tensor) -> Tensor:
    """x [N, F] as rows of unit length, whose products say how alike nodes are; words are weighted
    by rarity, log N / count."""
    x = x.to_dense().float().cpu()
    if (some := words(x)) is not None:
        x = torch.where(some, (len(x) / some.sum(0).clamp(min=1)).log(), 0)
    return F.normalize(x)


def join_neighbours(data: Data, k: int, total: float) -> Data:
    """x, edges [2, E'] and edge_weight [E'] of data, and from each node edges of weight total / k
    to the k others most similar in features (`comparable`)."""
    n, x, weight, found = len(data.x), comparable(data.x), data.edge_weight, list[Tensor]()
    for rows in torch.arange(n).split(2**25 // n + 1):
        cosine = (x[rows] @ x.t()).index_put_((rows - rows[0], rows), torch.tensor(0.0))
        near, others = cosine.topk(min(k, n - 1))  # [rows, k]
        found.append(torch.stack([rows[:, None].expand_as(others), others])[:, near > 0])
    near = torch.cat(found, 1)
    weight = torch.ones(data.edge_index.shape[1]) if weight is None else weight.float().cpu()
    weight = torch.cat([weight, torch.full((near.shape[1],), total / k)])
    edges = torch.cat([data.edge_index.cpu(), near], 1)
    return Data(x=data.x, edge_index=edges, edge_weight=weight)


def matrix(index: Tensor, value: Tensor, shape: tuple[int, ...]) -> Tensor:
    """[n, m] from sorted index [2, nnz]: CSR on cpu and cuda, which have its products, else COO."""
    layout = torch.sparse_csr if index.device.type in ("cpu", "cuda") else torch.sparse_coo
    with warnings.catch_warnings(action="ignore"):  # "CSR support is in beta"
        return pyg.to_torch_sparse_tensor(index, value, shape, True, layout)


def product(a: Tensor, b: Tensor) -> Tensor:
    """Any [n, m] @ dense [m, D]. The CPU kernel for CSR is the fastest and needs no MKL."""
    a, csr = a.to(b.dtype), a.layout == torch.sparse_csr and a.is_cpu
    return torch.sparse.mm(a, b, "sum") if csr else a @ b


class Product(torch.autograd.Function):
    """Sparse a [n, m] @ dense b [m, D]; its transpose a_t [m, n] brings b's gradient, as fast."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, a_t: Tensor, b: Tensor) -> Tensor:
        """-> a @ b [n, D]."""
        ctx.save_for_backward(a_t)
        return product(a, b)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[None, None, Tensor]:
        """g [n, D] -> the gradient of b alone, [m, D]."""
        (a_t,) = ctx.saved_tensors
        return None, None, product(a_t, g.contiguous())


def thinned(a: Tensor, rows: Tensor | None, columns: Tensor | None) -> Tensor:
    """Coalesced COO a [n, m] without rows and columns that are False in [n] and [m]; None: all."""
    row, column = a.indices()
    some = [kept[index] for kept, index in ((rows, row), (columns, column)) if kept is not None]
    at = torch.stack(some).all(0).nonzero()[:, 0]
    left = a.indices().index_select(1, at), a.values()[at]
    return torch.sparse_coo_tensor(*left, a.shape, is_coalesced=True, check_invariants=False)


class View(NamedTuple):
    """A graph as one augmentation leaves it; N' = N, or N + 1 with a [REG] node."""

    x: Tensor  # [N, F] dense, the same in all views; or COO, where faster, of the columns left
    x_t: Tensor  # [F, N] its transpose, COO; of a dense x, x
    columns: Tensor  # [F] bool: the feature columns left
    num_edges: int  # undirected ones, before any is dropped
    edge: Tensor  # [nnz] the edge that an entry comes from; num_edges: none, it is never dropped
    weight: Tensor  # [nnz] its weight, 1 in a graph without
    entries: Tensor  # [2, nnz] target and source: edges both ways, self-loops, [REG]'s; sorted
    adj: Tensor  # [N', N'] D^-1/2 (A + I) D^-1/2 of the entries (Kipf and Welling 2017)

    @classmethod
    def of(cls, data: Data, cfg: Config) -> View:
        """The whole graph: edges made symmetric and merged (the larger edge_weight [2E] stays),
        self-loops of weight 1 given to every node. ValueError: edge weights, and gat."""
        (device, fast), n = placement(cfg), data.x.shape[0]
        if cfg.neighbours:
            data = join_neighbours(data, cfg.neighbours, cfg.neighbour_weight)
        x = data.x.float().to_sparse_coo().coalesce()
        few = x.values().numel() < (0.05 if fast else 0.2) * x.numel()  # bf16 GEMM is quick
        x = (x if few and device.type != "mps" else x.to_dense()).to(device)
        x = x.bfloat16() if fast else x
        weight = data.edge_weight
        if weight is not None and cfg.encoder == "gat":
            raise ValueError("encoder = gat: expected gcn, where edges have weights")
        weight = torch.ones(data.edge_index.shape[1]) if weight is None else weight.float()
        edges, weight = pyg.remove_self_loops(data.edge_index, weight)
        edges, weight = pyg.to_undirected(edges, weight, n, reduce="max")
        once = edges[0] < edges[1]
        edges, weight = edges[:, once], weight[once]
        star = torch.stack([torch.arange(n), torch.full((n,), n)])[:, : n * cfg.reg_node]
        fixed = torch.cat([torch.arange(n + cfg.reg_node).expand(2, -1), star, star.flip(0)], 1)
        entries = torch.cat([edges, edges.flip(0), fixed], 1)
        weight = torch.cat([weight, weight, torch.ones(fixed.shape[1])])
        edge = torch.arange(edges.shape[1])
        edge = torch.cat([edge, edge, torch.full(fixed.shape[1:], len(edge))])
        order = (entries[0] * (n + 1) + entries[1]).argsort()
        entries, weight, edge = (t[..., order].to(device) for t in (entries, weight, edge))
        x_t = x.t().coalesce() if x.is_sparse else x
        whole = cls(x, x_t, edge, edges.shape[1], edge, weight, entries, weight)
        return whole.augment(0, 0, Generator())  # brings columns and adj

    def augment(self, feat: float, edge: float, generator: Generator) -> View:
        """Zeroes feature columns at rate feat and drops undirected edges at rate edge."""
        columns = torch.rand(self.x.shape[1], generator=generator) >= feat
        stays = torch.rand(self.num_edges, generator=generator) >= edge
        columns, stays = columns.to(self.x.device), F.pad(stays, (0, 1), value=True)
        at = stays.to(self.x.device)[self.edge].nonzero()[:, 0]
        entries, weight = self.entries.index_select(1, at), self.weight[at]
        row, col = entries
        scale = torch.bincount(row, weight).float().rsqrt()  # [N']; finite: all have self-loops
        adj = matrix(entries, scale[row] * scale[col] * weight, (len(scale), len(scale)))
        x, x_t = self.x, self.x_t
        if x.is_sparse:
            x, x_t = thinned(x, None, columns), thinned(x_t, columns, None)
        return View(x, x_t, columns, self.num_edges, self.edge[at], weight, entries, adj)

    def without(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """x and x_t without hidden nodes: dense, [N - M, F]; else with empty rows, columns."""
        if not self.x.is_sparse:
            return self.x[~hidden], self.x_t
        return thinned(self.x, ~hidden, None), thinned(self.x_t, None, ~hidden)

    def average(self, z: Tensor, hops: int) -> Tensor:
        """z [N, D] averaged over neighbours, hops times; the [REG] node has no say."""
        for _ in range(hops):
            z = product(self.adj, F.pad(z, (0, 0, 0, len(self.adj) - len(z))))[: len(self.x)]
        return z


class BatchNormPReLU(torch.autograd.Function):
    """PReLU(batch norm(x)) on a CPU, x [N, D] in fp32 or bf16, statistics in fp32. What one pass
    leaves of a block of rows is still in the processor's cache when the next takes it up."""

    ROWS = 512  # of a block: at D = 512 in bf16 half a MiB

    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: Tensor, *weights: Tensor) -> Tensor:
        """x [N, D]; weights: scale, shift, running mean and variance [D] -> [N, D]."""
        scale, shift, mean, var = weights
        mean, var = torch.batch_norm_update_stats(x, mean, var, 0.1)
        ctx.save_for_backward(x, slope, scale, shift, mean, var)
        y, rows = torch.empty_like(x), BatchNormPReLU.ROWS
        for part, out in zip(x.split(rows), y.split(rows), strict=True):
            part = F.batch_norm(part, mean, var, scale, shift)
            torch.ops.aten.leaky_relu.out(part, slope.item(), out=out)
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        """g [N, D] -> gradients of x, slope, scale and shift."""
        x, slope, scale, shift, mean, var = ctx.saved_tensors
        rstd, rows, leak = (var + 1e-5).rsqrt(), BatchNormPReLU.ROWS, slope.item()
        gain, shift = (scale * rstd).to(x.dtype), (shift - mean * scale * rstd).to(x.dtype)  # [D]
        d_slope, d_y = torch.zeros_like(slope), torch.empty_like(x)  # y: x normalised
        for part, g_part, out in zip(*(t.split(rows) for t in (x, g, d_y)), strict=True):
            y = torch.addcmul(shift, part, gain)
            torch.ops.aten.leaky_relu_backward.grad_input(g_part, y, leak, False, grad_input=out)
            d_slope += y.clamp_(max=0).mul_(g_part).sum()
        batch_norm_backward = torch.ops.aten.native_batch_norm_backward
        saved = scale, None, None, mean, rstd, True, 1e-5, [True] * 3
        d_x, d_scale, d_shift = batch_norm_backward(d_y, x, *saved)
        return d_x, d_slope, d_scale, d_shift, None, None


class NormPReLU(nn.Module):
    """BatchNorm1d or nothing, then PReLU. The running statistics follow training with gradient
    only: the target encoder's come by EMA."""

    def __init__(self, norm: str, width: int) -> None:
        super().__init__()
        self.norm, self.slope = norm, nn.Parameter(torch.tensor(0.25))
        self.scale, self.shift = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.mean, self.var = nn.Buffer(torch.zeros(width)), nn.Buffer(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """x [N, D] -> [N, D]."""
        mean, var = (s if torch.is_grad_enabled() else s.clone() for s in (self.mean, self.var))
        weights = self.scale, self.shift
        if self.norm == "batch" and self.training and x.is_cpu:
            return BatchNormPReLU.apply(x, self.slope, *weights, mean, var)
        x = F.batch_norm(x, mean, var, *weights, self.training) if self.norm == "batch" else x
        return torch.lerp(F.relu(x), x, self.slope.to(x.dtype))


class Layer(nn.Module):
    """GCN (Kipf and Welling 2017) or GAT (Velickovic et al. 2018), + skip, then norm and PReLU."""

    def __init__(self, cfg: Config, width_in: int, width: int, linear: bool) -> None:
        super().__init__()
        weights = torch.empty(1 + cfg.skip, width_in, width)  # the convolution's, the skip's
        self.weights = nn.ParameterList(map(nn.init.xavier_uniform_, weights))
        self.bias = nn.Parameter(torch.zeros(width)) if cfg.norm == "none" else None
        self.hops, self.finish = cfg.hops, nn.Identity() if linear else NormPReLU(cfg.norm, width)
        self.gat: Any = None
        if cfg.encoder == "gat":  # without its own linear map, which is weights[0]
            self.gat = GATConv(1, width // cfg.heads, cfg.heads, add_self_loops=False, bias=False)
            self.gat.lin = nn.Identity()

    def forward(self, view: View, h: Tensor, *skip: Tensor) -> Tensor:
        """h [N', width]: the layer's input @ weights[0]; skip: its input @ weights[1], if any."""
        for _ in range(self.hops):
            adj, edges = view.adj, view.entries.flip(0)
            h = self.gat(h.float(), edges) if self.gat else Product.apply(adj, adj, h)
        h = h if self.bias is None else h + self.bias.to(h.dtype)
        return self.finish(sum(skip, h))


class Encoder(nn.Module):
    """Layers, and the learnt features [MASK] and [REG]; with norm "none" the last is linear."""

    def __init__(self, cfg: Config, num_features: int) -> None:
        super().__init__()
        self.cfg, widths = cfg, [num_features, *[cfg.hidden] * (cfg.layers - 1), cfg.out]
        linear = [False] * (cfg.layers - 1) + [cfg.norm == "none"]
        self.layers: Any = nn.ModuleList(map(partial(Layer, cfg), widths, widths[1:], linear))
        self.mask, self.reg = (nn.Parameter(torch.zeros(num_features)) for _ in range(2))
        own = torch.empty(num_features * cfg.own_features, cfg.out)
        self.own = nn.Parameter(nn.init.xavier_uniform_(own))

    def forward(self, view: View, hidden: Tensor | None = None) -> Tensor:
        """-> z [N, D], D = out, twice that with own_features; hidden [N] bool: seen as [MASK]."""
        x, x_t = (view.x, view.x_t) if hidden is None else view.without(hidden)
        if not (dense := not x.is_sparse):
            x, x_t = (matrix(a.indices(), a.values(), a.shape) for a in (x, x_t))

        def lift(weight: Tensor) -> Tensor:
            """x @ weight [N', width]. x is not copied: its zero columns are zero rows of weight."""
            w = weight.to(x.dtype)
            h = product(x, w * view.columns[:, None]) if dense else Product.apply(x, x_t, w)
            if hidden is not None:  # [MASK] enters after the product
                token, seen = (self.mask @ weight).to(x.dtype), (~hidden).nonzero()[:, 0]
                wide = token.expand(len(hidden), -1)  # [N, width]
                h = wide.index_copy(0, seen, h) if dense else h.addr_(hidden.to(h.dtype), token)
            return torch.cat([h, (self.reg @ weight)[None].to(h.dtype)]) if self.cfg.reg_node else h

        # Views of weights: of themselves autocast would keep a bf16 copy and add up its gradients.
        h = self.layers[0](view, *(lift(w.view_as(w)) for w in self.layers[0].weights))
        for layer in self.layers[1:]:
            h = layer(view, *(h @ w.view_as(w) for w in layer.weights))
        h = torch.cat([h, lift(self.own)], 1) if self.cfg.own_features else h
        return (h[:-1] if self.cfg.reg_node else h).float()


class MLPPredictor(nn.Module):
    """Guesses a node's target latent from its own context latent; cfg.predictor layers deep."""

    def __init__(self, cfg: Config, data: Data) -> None:
        super().__init__()
        d = cfg.out * (1 + cfg.own_features)
        deep = (nn.Linear(d, 512), NormPReLU(cfg.predictor_norm, 512), nn.Linear(512, d))
        self.layers = nn.Sequential(*[(), (nn.Linear(d, d),), deep][cfg.predictor])

    def forward(self, z: Tensor, hidden: Tensor | None, generator: Generator) -> Tensor:
        """z [N, D] -> [M, D] at the hidden nodes, [N, D] where hidden is None; draws nothing."""
        return self.layers(z if hidden is None else z[hidden.nonzero()[:, 0]]).float()


def random_mask(data: Data, ratio: float, generator: Generator) -> Tensor:
    """round(ratio * N) nodes at random, at least one and never all."""
    n = data.x.shape[0]
    return torch.randperm(n, generator=generator) < min(max(round(ratio * n), 1), n - 1)


def latent_loss(kind: str, prediction: Tensor, target: Tensor) -> Tensor:
    """Minus the mean cosine of rows (BYOL, eq. 2) or, standardised, minus the inner product of
    columns standardised over the N rows, divided by N (CCA-SSG, eq. 4)."""
    if kind == "cosine":
        norms = prediction.norm(dim=1) * target.norm(dim=1)  # [N]
        return -((prediction * target).sum(1) / norms.clamp(min=1e-16)).mean()
    p, t = prediction - prediction.mean(0), target - target.mean(0)
    spread = p.square().sum(0) * t.square().sum(0) + 1e-12  # [D]
    return -((p * t).sum(0) * spread.rsqrt()).sum()


def decorrelation(z1: Tensor, z2: Tensor, generator: Generator) -> Tensor:
    """||C1 - I||^2 + ||C2 - I||^2, C a view's correlation of columns [D, D] (CCA-SSG, eq. 4)."""
    eye, total = torch.eye(z1.shape[1], device=z1.device), z1.new_zeros(())
    for z in (z1 - z1.mean(0), z2 - z2.mean(0)):
        gram = (z.t() @ z).float()
        scale = (gram.diagonal() + 1e-12).rsqrt()
        total = total + (gram * scale * scale[:, None] - eye).square().sum()
    return total


REGULARISERS: dict[str, Regulariser | None] = {"none": None, "decorrelation": decorrelation}


def schedule(step: int, cfg: Config) -> tuple[float, float]:
    """Learning rate (linear warm-up, then a cosine to 0) and EMA momentum (a cosine to 1)."""
    warmup = min(cfg.warmup, cfg.epochs // 2)
    after = (step - warmup) / max(cfg.epochs - warmup, 1)
    lr = cfg.lr * ((step + 1) / warmup if step < warmup else (1 + math.cos(math.pi * after)) / 2)
    return lr, 1 - (1 - cfg.momentum) * (1 + math.cos(math.pi * step / cfg.epochs)) / 2


@torch.no_grad()
def update_target(target: nn.Module, online: nn.Module, momentum: float) -> None:
    """target <- momentum * target + (1 - momentum) * online, parameters and buffers alike."""
    for to, fro in zip(target.state_dict().values(), online.state_dict().values(), strict=True):
        to.lerp_(fro, 1 - momentum)


def placement(cfg: Config) -> tuple[torch.device, bool]:
    """The device, and whether matrix products are bf16: on a CPU with units for it, or as asked."""
    found = "cuda" if torch.cuda.is_available() else "mps" if torch.mps.device_count() else "cpu"
    try:
        device = torch.empty(0, device=found if cfg.device == "auto" else cfg.device).device
    except (RuntimeError, AssertionError):
        raise ValueError(f"device {cfg.device!r}: not on this machine; found {found}") from None
    units = device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()
    return device, cfg.precision == "bf16" or cfg.precision == "auto" and units


@dataclass
class TrainState:
    """A run between two steps: all that must be kept to continue it bit for bit."""

    encoder: Encoder
    target_encoder: Encoder
    predictor: nn.Module
    optimizer: torch.optim.Optimizer
    streams: dict[str, Generator]  # view1, view2, mask, predictor, regulariser
    step: int = 0
    best: dict[str, Any] = field(default_factory=dict)  # epoch, val, weights of the encoder
    rows: list[dict[str, float]] = field(default_factory=list)

    @classmethod
    def new(cls, cfg: Config, data: Data, make_predictor: PredictorFactory) -> TrainState:
        """Each part draws from a stream of its own, so a changed part leaves the others alone."""
        names = ("view1", "view2", "mask", "predictor", "regulariser")
        first, second, *seeds = np.random.SeedSequence(cfg.seed).generate_state(7).tolist()
        streams = {k: Generator().manual_seed(s) for k, s in zip(names, seeds, strict=True)}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(first)
            encoder = Encoder(cfg, data.x.shape[1]).to(placement(cfg)[0])
            torch.manual_seed(second)
            predictor = make_predictor(cfg, data).to(placement(cfg)[0])
        weights = [*encoder.parameters(), *predictor.parameters()]
        adamw = torch.optim.AdamW(weights, cfg.lr, weight_decay=cfg.weight_decay, fused=True)
        return cls(encoder, copy.deepcopy(encoder).requires_grad_(False), predictor, adamw, streams)


def step_losses(
    cfg: Config, state: TrainState, whole: View, hidden: Tensor | None, term: Regulariser | None
) -> Iterator[Tensor]:
    """The objective of one step in parts, whose sum it is: what is kept for the backward pass of
    one is gone before the next is built. hidden [N] bool: the nodes not to be seen in view 1."""
    (device, fast), streams, online = placement(cfg), state.streams, cfg.target == "online"
    autocast = partial(torch.autocast, device.type, torch.bfloat16, enabled=fast)
    view1 = whole.augment(cfg.feat1, cfg.edge1, streams["view1"])
    view2 = whole.augment(cfg.feat2, cfg.edge2, streams["view2"])
    first = hidden if cfg.loss_nodes == "hidden" else None

    def guess(z: Tensor, t: Tensor, at: Tensor | None) -> Tensor:
        """A direction's share of the loss, from its context z [N, D] and target t [N, D]."""
        t = whole.average(t, cfg.target_hops)
        prediction = state.predictor(z, at, streams["predictor"])  # [M, D] at hidden, or [N, D]
        loss = latent_loss(cfg.loss, prediction, t if at is None else t[at])
        return loss / cfg.directions

    if not online:
        with torch.no_grad(), autocast():
            t2 = state.target_encoder(view2)  # [N, D]
            t1 = state.target_encoder(view1) if cfg.directions == 2 else t2  # [N, D]
    if term is None and not online:
        directions = (view1, hidden, t2, first), (view2, None, t1, None)
        for view, unseen, t, at in directions[: cfg.directions]:
            with autocast():
                loss = guess(state.encoder(view, unseen), t, at)
            yield loss
        return
    with autocast():  # both views at once: a term needs them, or gradients go through both
        z1, z2 = state.encoder(view1, hidden), state.encoder(view2)  # [N, D]
        t2, t1 = (z2, z1) if online else (t2, t1)
        loss = guess(z1, t2, first)
        if cfg.directions == 2:
            loss = loss + guess(z2, state.encoder(view1) if online else t1, None)
        if term:
            loss = loss + cfg.regulariser_weight * term(z1, z2, streams["regulariser"])
    yield loss


def train(
    cfg: Config,
    data: Data,
    *,
    mask_fn: MaskFn = random_mask,
    make_predictor: PredictorFactory = MLPPredictor,
    regulariser: Regulariser | None = None,
    on_epoch: EpochHook | None = None,
    state: TrainState | None = None,
) -> Result:
    """Pre-trains on x and edge_index. Labels, where data has them, choose the epoch only, on
    validation nodes. `state` continues a run. RunError 7: the loss is not finite."""
    device, whole = placement(cfg)[0], View.of(data, cfg)
    state = state or TrainState.new(cfg, data, make_predictor)
    term = regulariser or REGULARISERS[cfg.regulariser]
    while state.step < cfg.epochs:
        lr, momentum = schedule(state.step, cfg)
        state.optimizer.zero_grad()  # first: no gradient is held while the next step is built
        hidden = mask_fn(data, cfg.mask, state.streams["mask"]).to(device) if cfg.mask else None
        total = 0.0
        for loss in step_losses(cfg, state, whole, hidden, term):
            if not loss.isfinite():
                named = {"data.x": whole.x.to_dense(), **dict(state.encoder.named_parameters())}
                bad = [name for name, t in named.items() if not t.isfinite().all()] + ["the loss"]
                message = f"{bad[0]} is the first tensor not finite"
                raise RunError(f"epoch {state.step + 1}: {message}", 7)
            loss.backward()
            total += loss.item()
        state.optimizer.param_groups[0]["lr"] = lr
        state.optimizer.step()
        if cfg.target == "ema":
            update_target(state.target_encoder, state.encoder, momentum)
        state.step += 1
        row = {"epoch": state.step, "loss": total, "lr": lr, "momentum": momentum}
        if state.step == cfg.epochs or cfg.eval_every and state.step % cfg.eval_every == 0:
            now = linear_probe(embed(state.encoder, data), data)
            row |= collapse(now.z) | ({"val": now.val} if now.val >= 0 else {})
            if now.val > state.best.get("val", -1.0):
                weights = copy.deepcopy(state.encoder.state_dict())
                state.best = {"epoch": state.step, "val": now.val, "weights": weights}
        state.rows.append(row)
        try:
            on_epoch and on_epoch(state, row)
        except StopTraining:
            break
    if state.best:
        state.encoder.load_state_dict(state.best["weights"])
    return replace(linear_probe(embed(state.encoder, data), data), state=state)


@dataclass(frozen=True)
class Result:
    """A frozen embedding, judged on validation; `score_test` alone looks at test nodes."""

    data: Data
    z: Tensor  # [N, D]
    val: float = -1.0  # accuracy on the validation nodes, a fraction; -1 without labels
    c: float = 0.0  # of the logistic regression
    scaling: str = ""  # of its inputs
    predicted: np.ndarray = field(default_factory=lambda: np.empty(0))  # [N] classes
    state: TrainState | None = None  # None: nothing was trained


@torch.no_grad()
def embed(encoder: Encoder, data: Data) -> Tensor:
    """z [N, D] on the cpu, of the clean graph, by the encoder in evaluation mode, in fp32."""
    whole, mode = View.of(data, replace(encoder.cfg, precision="fp32")), encoder.training
    z = whole.average(encoder.eval()(whole), encoder.cfg.embed_hops)
    encoder.train(mode)
    return z.cpu()


def effective_rank(z: Tensor) -> float:
    """exp of the entropy of the normalised singular values of z [N, D] column-centred."""
    z = z.double() - z.double().mean(0)
    s = torch.linalg.eigvalsh(z.t() @ z).clamp(min=0).sqrt()
    return torch.special.entr(s / s.sum().clamp(min=1e-300)).sum().exp().item()


def collapse(z: Tensor) -> dict[str, float]:
    """Meters of collapse: effective rank, mean pairwise cosine, smallest column std of z [N, D]."""
    total, n = F.normalize(z.double()).sum(0).square().sum().item(), len(z)
    cosine = (total - n) / (n * (n - 1))
    return {"effective_rank": effective_rank(z), "cosine": cosine, "min_std": z.std(0).min().item()}


def linear_probe(z: Tensor, data: Data) -> Result:
    """Multinomial logistic regression on z [N, D]. Rows standardised or of unit length and C from
    2^-6 to 2^12 are chosen on validation; ties go to the smaller C, then to standardised rows."""
    best, z64 = Result(data, z), z.double()
    if "train_mask" not in data or "val_mask" not in data:
        return best
    train, val, y = data.train_mask.numpy(), data.val_mask.numpy(), data.y.numpy()
    standard = (z64 - z64.mean(0)) / z64.std(0).clamp(min=1e-12) / z.shape[1] ** 0.5
    for scaling, form in {"standardised": standard, "unit": F.normalize(z64)}.items():
        h = form.numpy() @ np.linalg.svd(form.numpy()[train], full_matrices=False)[2].T
        model = LogisticRegression(max_iter=5000, warm_start=True)  # h: all that weights can reach
        for c in (2.0 ** np.arange(-6, 13, 2)).tolist():
            predicted = model.set_params(C=c).fit(h[train], y[train]).predict(h)
            score = float((predicted == y)[val].mean())
            if (score, -c) > (best.val, -best.c):
                best = Result(data, z, score, c, scaling, predicted)
    return best


def score_test(result: Result) -> float:
    """Accuracy on the test nodes, a fraction. Nothing else reads the test mask."""
    right = result.predicted == result.data.y.numpy()
    return float(right[result.data.test_mask.numpy()].mean())


def controls(data: Data, cfg: Config | None = None) -> dict[str, Result]:
    """What trains nothing: raw features, and SGC (Wu et al. 2019), 1-10 hops by validation, on the
    graph and, if cfg joins neighbours, with them."""
    found, cfg = {"raw features": linear_probe(data.x, data)}, cfg or Config()
    for k in dict.fromkeys((0, cfg.neighbours)):
        own = replace(Config(device="cpu"), neighbours=k, neighbour_weight=cfg.neighbour_weight)
        h, adj = data.x, View.of(data, own).adj
        hops = [linear_probe(h := product(adj, h), data) for _ in range(10)]
        found["SGC" + ", neighbours" * (k > 0)] = max(hops, key=lambda r: r.val)
    return found


def command_line(*more: type) -> argparse.ArgumentParser:
    """The options of a run, and those of `more` dataclasses of knobs. A field of Config or of
    `more` that is not given is absent from what is parsed."""
    parser = argparse.ArgumentParser(usage="%(prog)s [options]", allow_abbrev=False)
    section = cache(parser.add_argument_group)
    add = section("run").add_argument
    add("--preset", default="best", choices=PRESETS, help="settings to start from (best)")
    add("--graphs", default=",".join(GRAPHS), help="some of cora,citeseer,pubmed (all)")
    add("--seeds", default=5, type=int, metavar="N", help="runs of a graph (5)")
    add("--first-seed", default=0, type=int, help="the seeds count up from it (0)")
    add("--controls", default="cheap", choices=["cheap", "full"], help="full: trains bgrl as well")
    add("--config", type=Path, help="TOML of Config fields, with a section a graph; flags win")
    add("--data", type=Path, help="folder of the graphs' .npz files")
    add("--out", dest="folder", default="results", type=Path, help="folder of results (results)")
    add("--threads", default=0, type=int, help="of torch; 0: its own choice (0)")
    add("--quick", action="store_true", help="all of it in a minute: 2 seeds, 5 epochs")
    for f in (f for s in (Config, *more) for f in fields(s) if f.name != "seed"):
        add, text = section(f.metadata["group"]).add_argument, f.metadata["help"]
        flag = "--" + f.name.replace("_", "-") + "-width" * (f.name == "out")  # --out: the folder
        kind: dict[str, Any] = {"type": type(f.default), "metavar": "V"}
        kind = {"action": argparse.BooleanOptionalAction} if f.type == "bool" else kind
        add(flag, dest=f.name, default=argparse.SUPPRESS, help=text, **kind)  # absent: not given
    return parser


def configure(args: argparse.Namespace, graph: str, method: str) -> Config:
    """preset < --config (its top level < its section of the graph) < flags."""
    values, file, toml = asdict(preset(method, graph)), args.config, {}
    if args.quick:
        values |= {"epochs": min(values["epochs"], 5), "eval_every": 5}
    try:
        toml = tomllib.loads(file.read_text()) if file else {}
        toml = {k: v for k, v in toml.items() if k not in GRAPHS} | toml.get(graph, {})
    except (ValueError, TypeError) as error:
        raise ValueError(f"{file}: {error}") from None
    if bad := toml.keys() - values.keys():
        raise ValueError(f"{file}: {', '.join(bad)}: expected some of {', '.join(values)}")
    return Config(**values | toml | {k: v for k, v in vars(args).items() if k in values})


class Run:
    """One command: every graph, method and seed is trained, scored and written down at once."""

    def __init__(self, args: argparse.Namespace) -> None:
        if args.seeds < 1 or args.threads < 0:
            raise ValueError(f"--seeds {args.seeds}, --threads {args.threads}: expected >= 1, >= 0")
        torch.set_num_threads(args.threads or torch.get_num_threads())
        self.args, self.graphs = args, list(dict.fromkeys(args.graphs.split(",")))
        methods = [args.preset] + ["bgrl"] * (args.controls == "full")
        configs = {(g, m): configure(args, g, m) for g in self.graphs for m in methods}
        seeds = range(args.first_seed, args.first_seed + (2 if args.quick else args.seeds))
        self.jobs = [(*key, replace(cfg, seed=s)) for key, cfg in configs.items() for s in seeds]
        self.data = {graph: load_graph(graph, args.data) for graph in self.graphs}
        self.work = sum(cfg.epochs * len(self.data[graph].x) for graph, _, cfg in self.jobs)
        self.done, self.began, self.shown = 0, time.time(), 0.0
        self.out = args.folder / f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{os.getpid()}"
        for graph in self.graphs:
            (self.out / graph).mkdir(parents=True)
        self.rows: list[dict[str, Any]] = []
        self.status = Console(stderr=True).status("starting")
        git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
        try:
            commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
        except OSError:  # no git here
            commit = ""
        packages = ("torch", "torch-geometric", "scikit-learn", "numpy", "scipy")
        versions = {"python": sys.version.split()[0]} | {p: version(p) for p in packages}
        self.report: Any = {"command": [Path(sys.argv[0]).name, *args.argv], "versions": versions}
        self.report |= {"commit": commit or None, "threads": torch.get_num_threads()}
        self.report |= {"machine": os.uname().machine, "cores": os.cpu_count()}
        self.report |= {"published": PUBLISHED, "rows": self.rows}

    def __call__(self) -> int:
        """-> the exit code: 0, or 7 if a seed diverged. The preset's seeds bring the controls."""
        code = 0
        for graph, method, cfg in self.jobs:
            cpu, wall, data = time.process_time(), time.time(), self.data[graph]
            names = {"graph": graph, "method": method, "seed": cfg.seed}
            try:
                result = train(cfg, data, on_epoch=partial(self.watch, names, {}))
            except RunError as error:
                message, code = error.args
                self.status.console.print(f"{graph}, {method}, seed {cfg.seed}: {message}")
                continue
            spent = {"cpu_seconds": time.process_time() - cpu, "wall_seconds": time.time() - wall}
            self.keep(names | {"config": asdict(cfg)} | spent, result)
            if method == self.args.preset:
                self.keep(names | {"method": "untrained"}, train(replace(cfg, epochs=0), data))
            if method == self.args.preset and cfg.seed == self.args.first_seed:
                temp = self.out / graph / "embeddings.tmp.npz"
                np.savez(temp, z=result.z.numpy(), y=data.y.numpy())
                temp.replace(temp.with_name("embeddings.npz"))
                for name, control in controls(data, cfg).items():
                    self.keep({"graph": graph, "method": name, "seed": None}, control)
        return code

    def watch(self, names: dict[str, Any], last: Any, state: TrainState, row: Any) -> None:
        """The learning curve to its file; a live line, or every 10 s a plain one, to stderr."""
        with (self.out / "learning_curves.jsonl").open("a") as file:
            file.write(json.dumps(names | row) + "\n")
        last |= row  # what is not measured every epoch stays in sight
        self.done, now = self.done + len(self.data[names["graph"]].x), time.time()
        left = (now - self.began) * (self.work / self.done - 1)
        text = "{graph}, {method}, seed {seed}, epoch ".format(**names)
        text += f"{state.step}/{state.encoder.cfg.epochs}"
        for meter in ("loss", "val", "effective_rank", "cosine"):
            text += f" {meter} {last[meter]:.3g}" if meter in last else ""
        self.status.update(f"{text}, {left:.0f} s left")
        if not self.status.console.is_terminal and now - self.shown > 10:
            self.shown = now
            print(f"{text}, {left:.0f} s left", file=sys.stderr)

    def keep(self, row: dict[str, Any], result: Result) -> None:
        """Scores on the test nodes; final_results.json gets the row whole or not at all."""
        row |= {"val": result.val, "test": score_test(result), "c": result.c}
        row |= {"scaling": result.scaling} | collapse(result.z)
        if result.state:
            row["losses"] = [epoch["loss"] for epoch in result.state.rows]
            row["epoch"] = result.state.best.get("epoch", 0)
        row["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # so far
        self.rows.append(row)
        with (temp := self.out / "final_results.tmp").open("w") as file:
            json.dump(self.report, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        temp.replace(self.out / "final_results.json")

    def table(self) -> Table:
        """Test accuracy in %: mean ± sample standard deviation [95% t interval] and n."""
        table = Table("%", *self.graphs)
        table.title = "Test accuracy: mean ± std [95% interval over seeds] n"
        table.caption = "Epoch and probe chosen on validation. Intervals: seeds only; 1000 test"
        table.caption += f" nodes add about ±1.2 to all. Device: {placement(self.jobs[0][2])[0]}."
        table.caption += f" Kept in {self.out}."
        for method in dict.fromkeys(row["method"] for row in self.rows):
            table.add_row(method, *(self.cell(graph, method) for graph in self.graphs))
        table.add_section()
        for method in dict.fromkeys(row["method"] for row in self.rows if "cpu_seconds" in row):
            own = [row for row in self.rows if row["method"] == method]
            cpu = (sum(r["cpu_seconds"] for r in own if r["graph"] == g) for g in self.graphs)
            table.add_row(f"CPU seconds, {method}", *map("{:.0f}".format, cpu))
        table.add_section()
        for name, figures in PUBLISHED.items():
            table.add_row(f"published: {name}", *(str(figures[graph]) for graph in self.graphs))
        return table

    def cell(self, graph: str, method: str) -> str:
        """One method on one graph; with a single row, its accuracy alone."""
        rows = [row for row in self.rows if (row["graph"], row["method"]) == (graph, method)]
        test, n = 100 * np.array([row["test"] for row in rows]), len(rows)
        if n < 2:
            return f"{test[0]:.1f}" if n else "none finished"
        std, collapsed = test.std(ddof=1), sum(row["effective_rank"] < 2 for row in rows)
        low, high = test.mean() + stats.t.ppf([0.025, 0.975], n - 1) * std / n**0.5
        text = f"{test.mean():.1f} ± {std:.1f} [{low:.1f}, {high:.1f}] {n}"
        return text + f", {collapsed} collapsed" * (collapsed > 0)


def main(argv: list[str] | None = None) -> int:
    """-> 0; 2 usage; 3 data; 7 diverged; 130, 143 interrupted, finished seeds being kept."""
    argv = sys.argv[1:] if argv is None else argv
    args = command_line().parse_args(argv, argparse.Namespace(argv=argv))

    def terminate(*_: Any) -> None:
        raise KeyboardInterrupt("terminated", 143)

    signal.signal(signal.SIGTERM, terminate)
    try:
        run = Run(args)
        with run.status:
            code = run()
        Console(width=None if sys.stdout.isatty() else 140).print(run.table())
        return code
    except (ValueError, OSError) as error:
        message, code = str(error), 2
    except (RunError, KeyboardInterrupt) as error:
        message, code = error.args or ("interrupted", 130)
    print(f"run_full.py: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
