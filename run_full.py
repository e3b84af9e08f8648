"""Node-JEPA: self-supervised embeddings of the nodes of one graph. The whole method in one file.

A context encoder f sees view 1 of the graph, some nodes hidden behind a learnt [MASK]; a predictor
q guesses what a target encoder g says of these nodes in view 2. No decoder, no negatives.
  card: L = (l(q(f(view 1, hidden)), g(view 2)) at hidden nodes + l(q(f(view 2)), g(view 1))) / 2,
        l the negative cosine, g a moving average of f, without gradient
  best: L = -<z1, z2> / N + c (|C1 - I|^2 + |C2 - I|^2), z1 = f(view 1, hidden), z2 = f(view 2) with
        standardised columns, C their correlations; no q, and f is its own g (the loss of CCA-SSG,
        Zhang et al. 2021, with hidden nodes), linear where x is words; one `recipe`, without labels
Then f is frozen and judged by logistic regression. The default is `best`: test accuracy Cora 83.6,
CiteSeer 72.6, PubMed 82.0 %, std 0.5, 0.8, 0.6, n = 20 seeds of the public split, 4, 8 and 79 CPU
seconds a seed on one thread of an AMD EPYC (ablations/headline).

Where to change what: which nodes are hidden, `random_mask`; the objective, `latent_loss`; against
collapse, `decorrelation`; the encoder, `Encoder`; the order of a step, `step_loss`; settings,
`Config` and `recipe`. Or pass your own part: train(cfg, data, mask_fn=my_mask).
Shapes: N nodes, N' = N + 1 with a [REG] node, E undirected edges, F features, D latents, M hidden.
"""

from __future__ import annotations

import argparse
import copy
import ctypes
import hashlib
import json
import math
import os
import signal
import sys
import time
import warnings
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
import torch_geometric.utils as pyg
from rich.console import Console
from rich.table import Table
from scipy import sparse, stats
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits
from torch import Generator, Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GATConv


def knob(default: Any, group: str, text: str, *valid: Any) -> Any:
    """A Config field: its --help group and line, and the names, or low and high, it may hold."""
    if valid:
        text = f"{text} ({(' or ' if isinstance(default, str) else ' to ').join(map(str, valid))})"
    return field(default=default, metadata={"group": group, "help": text, "valid": valid})


def check_fields(settings: Any) -> None:
    """ValueError names the first field of a dataclass of knobs that holds what it may not."""
    for f in fields(settings):
        value = getattr(settings, f.name)
        kind = type(f.default)
        valid = f.metadata["valid"]
        good = isinstance(value, kind) or (kind is float and isinstance(value, int))
        if isinstance(value, bool):
            good = kind is bool
        if good and kind is str and valid:
            good = value in valid
        elif good and valid:
            good = valid[0] <= value <= valid[1]
        if not good:
            raise ValueError(f"{f.name} = {value!r}: expected {f.metadata['help']}")


@dataclass(frozen=True)
class Config:
    """Everything that decides a run; ValueError names a field that holds what it may not."""

    encoder: str = knob("gcn", "model", "graph convolution", "gcn", "gat")
    transform: str = knob("none", "model", "root: square roots of a row's shares", "none", "root")
    heads: int = knob(4, "model", "attention heads of gat, concatenated", 1, 64)
    hidden: int = knob(512, "model", "width of every layer but the last", 1, 65536)
    out: int = knob(256, "model", "width of the last layer", 1, 65536)
    layers: int = knob(2, "model", "layers of the encoder", 1, 8)
    hops: int = knob(1, "model", "propagation steps a layer", 1, 32)
    norm: str = knob("batch", "model", "before PReLU; none: last layer linear", "batch", "none")
    skip: str = knob("none", "model", "linear map of input or x, added", "none", "linear", "input")
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

    @property
    def latent(self) -> int:
        """D, the width of an embedding."""
        return 2 * self.out if self.own_features else self.out


# Of every graph; `recipe` adds what x and the edges decide.
BEST = Config(
    hidden=1024,
    out=512,
    norm="none",
    predictor=0,
    loss="standardised",
    loss_nodes="all",
    directions=1,
    target="online",
    regulariser="decorrelation",
    mask=0.3,
    feat1=0.0,
    edge1=0.7,
    feat2=0.0,
    edge2=0.7,
    warmup=0,
    epochs=30,
    eval_every=15,
)
CARD = {
    "cora": Config(),
    "citeseer": Config(encoder="gat", lr=2e-3, warmup=50, epochs=1500, edge1=0.4, edge2=0.4),
    "pubmed": Config(mask=0.6, edge1=0.4),
}
PRESETS = ("best", "card")
JOINED = 20  # neighbours of a node
MOST_JOINED = 20_000  # nodes of a graph up to which they are sought
SHARE = 0.2  # of a node's mean edge weights together: what its neighbours weigh
LOOK_EVERY = {"cuda": 10}  # steps between two looks at the loss; 1 elsewhere
GRAPHS = {  # SHA-256 of the files; public splits of Yang et al. 2016
    "cora": "01754b720176174ade4e1fa45f48112bc912c4794477f5eca5e0787f107b395c",
    "citeseer": "025c982d93b36b1f59e65e99fadd3a7e9659394cf9aebf93cda094350298fa9f",
    "pubmed": "6cc6a686a09f106303d1839c32e4b97b131c854d54ea6cb9b27c62038cc4f665",
}
OUT_OF_MEMORY = ("out of memory", "not enough memory", "allocate memory")  # what torch says
PUBLISHED = {  # frozen encoder, linear probe, public split, %
    "Node-JEPA card, best seed": {"cora": 84.2, "citeseer": 70.7, "pubmed": 83.2},
    "GraphMAE (Hou et al. 2022)": {"cora": 84.2, "citeseer": 73.4, "pubmed": 81.1},
    "BGRL (run by Hou et al. 2022)": {"cora": 82.8, "citeseer": 71.1, "pubmed": 79.6},
}


class MaskFn(Protocol):
    def __call__(self, data: Data, ratio: float, generator: Generator) -> Tensor:
        """-> hidden [N] bool, about ratio * N True: nodes the context encoder must not see."""


class EncoderFactory(Protocol):
    def __call__(self, cfg: Config, num_features: int) -> nn.Module:
        """-> a module: forward(view: Graph, hidden [N] bool | None) -> z [N, D]."""


class PredictorFactory(Protocol):
    def __call__(self, cfg: Config, data: Data) -> nn.Module:
        """-> a module: forward(z [N, D], hidden [N] bool | None, generator) -> latents guessed of
        the hidden nodes [M, D], or of all nodes [N, D] where hidden is None."""


class Regulariser(Protocol):
    def __call__(self, z1: Tensor, z2: Tensor, generator: Generator) -> Tensor:
        """The online encoder's z1 and z2 [N, D] of both views, z1 with hidden nodes -> scalar."""


class Sampler(Protocol):
    def __call__(self, step: int) -> Graph:
        """-> what this step trains on: by default the whole graph, every step."""


class Embedder(Protocol):
    def __call__(self, encoder: nn.Module) -> Tensor:
        """-> z [N, D] of the whole graph, on the cpu: by default by `embed`, all nodes at once."""


class KeepRule(Protocol):
    def __call__(self, state: TrainState, row: dict[str, float]) -> bool:
        """Whether the epoch of this row, just judged, is kept in place of state.best."""


class EpochHook(Protocol):
    def __call__(self, state: TrainState, row: dict[str, float]) -> None:
        """After every epoch, or after ten for each of them (LOOK_EVERY), the state being that after
        the last: observes and saves; raises StopTraining to end the run here."""


class StopTraining(Exception):
    """From an EpochHook: training ends, the epoch kept so far is the result."""


class RunError(Exception):
    """(message, exit code): what ends a run with one sentence."""


def load_graph(name: str, folder: Path | None = None) -> Data:
    """x [N, F] row-normalised, edge_index [2, 2E], y [N], masks [N] bool. ValueError: unknown;
    RunError 3: the file is missing or is not the published graph."""
    if name not in GRAPHS:
        raise ValueError(f"{name!r}: expected one of {', '.join(GRAPHS)}")
    path = (folder or Path(__file__).parent / "nodejepa_ext/datasets") / f"{name}.npz"
    if not path.is_file():
        raise RunError(f"no file {path}; --data DIR names another folder", 3)
    if (sha := hashlib.sha256(path.read_bytes()).hexdigest()) != GRAPHS[name]:
        raise RunError(f"{path} has SHA-256 {sha}, expected {GRAPHS[name]}", 3)
    a = dict(np.load(path, allow_pickle=False))
    rows = sparse.csr_array((a["x_data"], a["x_indices"], a["x_indptr"]), a["x_shape"]).toarray()
    x = torch.from_numpy(rows).float()
    x /= x.sum(1, keepdim=True).clamp(min=1)
    edges = pyg.to_undirected(torch.from_numpy(a["edge_index"]).long(), num_nodes=len(x))
    masks = {key: torch.from_numpy(mask) for key, mask in a.items() if key.endswith("_mask")}
    return Data(x=x, edge_index=edges, y=torch.from_numpy(a["y"]).long(), **masks)


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
    by rarity, log(N / count)."""
    x = x.to_dense().float()
    if (some := words(x)) is not None:
        x = torch.where(some, (len(x) / some.sum(0).clamp(min=1)).log(), 0)
    return F.normalize(x)


def recipe(data: Data, most_joined: int = MOST_JOINED) -> Config:
    """`best` for any graph, x [N, F] dense or CSR, decided by x and edges alone: square roots of
    features where none is negative; where they are words, one linear layer of two hops and, up to
    most_joined nodes, neighbours."""
    cfg = BEST
    x = data.x.to_dense().float()
    if x.numel() and x.min() >= 0:
        cfg = replace(cfg, transform="root")
    if words(x) is not None:
        cfg = replace(cfg, layers=1, hops=2)
        if len(x) <= most_joined:
            mean = float(edge_weights(data).sum()) / len(x)  # of a node's edges together
            weight = round(SHARE * max(mean, 1.0), 2)
            cfg = replace(cfg, neighbours=JOINED, neighbour_weight=weight)
    return cfg


@cache
def preset(name: str, graph: str, folder: Path | None = None) -> Config:
    """The settings called `name` for an embedded graph; errors as in `load_graph`."""
    if name not in PRESETS:
        raise ValueError(f"{name!r}: expected one of {', '.join(PRESETS)}")
    data = load_graph(graph, folder)
    return CARD[graph] if name == "card" else recipe(data)


def edge_weights(data: Data) -> Tensor:
    """Of every column of edge_index, float32; 1 in a graph without."""
    if data.edge_weight is None:
        return torch.ones(data.edge_index.shape[1])
    return data.edge_weight.float()


def transformed(x: Tensor, kind: str) -> Tensor:
    """x [N, F] dense or sparse -> what the encoder takes in, COO; root: in rows of length 1."""
    x = x.float().to_sparse_coo().coalesce()
    if kind == "none":
        return x
    if (x.values() < 0).any():
        raise ValueError("transform = root: expected features of at least 0")
    sums = x.sum(1).to_dense().clamp(min=1e-30)  # [N]
    shares = x.values() / sums[x.indices()[0]]
    return torch.sparse_coo_tensor(
        x.indices(), shares.sqrt(), x.shape, is_coalesced=True, check_invariants=False
    )


def join_neighbours(data: Data, k: int, total: float, device: torch.device | str = "cpu") -> Data:
    """data's x and edges, and from each node edges of weight total / k to the k others most alike
    in features, sought on the device. In time N^2."""
    n = len(data.x)
    x = comparable(data.x.to(device))
    found = []
    for rows in torch.arange(n, device=device).split(2**25 // n + 1):  # 128 MiB of cosines
        cosine = x[rows] @ x.t()  # [rows, N]
        cosine[rows - rows[0], rows] = 0.0  # a node is not its own neighbour
        near, others = cosine.topk(min(k, n - 1))  # [rows, k]
        found.append(torch.stack([rows[:, None].expand_as(others), others])[:, near > 0])
    added = torch.cat(found, 1).cpu()
    weight = torch.cat([edge_weights(data), torch.full((added.shape[1],), total / k)])
    edges = torch.cat([data.edge_index, added], 1)
    return Data(x=data.x, edge_index=edges, edge_weight=weight)


def matrix(index: Tensor, value: Tensor, shape: tuple[int, ...]) -> Tensor:
    """[n, m] from sorted index [2, nnz]: CSR on cpu and cuda, which have its products, else COO."""
    layout = torch.sparse_csr if index.device.type in ("cpu", "cuda") else torch.sparse_coo
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse ")  # CSR is in beta; invariants are not checked
        return pyg.to_torch_sparse_tensor(index, value, shape, is_coalesced=True, layout=layout)


def product(a: Tensor, b: Tensor) -> Tensor:
    """Sparse a [n, m] @ dense b [m, D], in b's precision."""
    if a.layout == torch.sparse_csr and a.is_cpu:
        return torch.sparse.mm(a.to(b.dtype), b, "sum")  # the fastest kernel, and needs no MKL
    return a.to(b.dtype) @ b


def send(t: Tensor, device: torch.device) -> Tensor:
    """t on the device; to a GPU from pinned memory, for which the step need not wait."""
    return t.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else t.to(device)


@dataclass(frozen=True)
class Graph:
    """A graph as it is trained on, built once a run; or a view of it, with fewer edges."""

    cfg: Config
    data: Data  # as given, on the cpu: what masks are shown
    x: Tensor  # [N, F] float32, CSR where few entries are not 0, else dense; the same in all views
    edges: Tensor  # [2, E] of the whole graph, each undirected edge once
    weight: Tensor  # [E] 1 in a graph without
    columns: Any = None  # [F] bool: the feature columns that a view has left
    entries: Any = None  # [2, nnz] of adj, sorted: edges left, both ways, self-loops, [REG]'s
    adj: Any = None  # [N', N'] D^-1/2 (A + I) D^-1/2 (Kipf and Welling 2017)

    @classmethod
    def of(cls, data: Data, cfg: Config) -> Graph:
        """Edges are made symmetric and merged, the larger edge_weight staying; every node gets a
        self-loop of weight 1. ValueError: edge weights, and gat."""
        if data.edge_weight is not None and cfg.encoder == "gat":
            raise ValueError("encoder = gat: expected gcn, where edges have weights")
        device = placement(cfg)[0]
        data = copy.copy(data).cpu()  # a copy, for Data.cpu changes what it is called on
        joined = data
        if cfg.neighbours:
            joined = join_neighbours(data, cfg.neighbours, cfg.neighbour_weight, device)
        edges, weight = pyg.remove_self_loops(joined.edge_index, edge_weights(joined))
        edges, weight = pyg.to_undirected(edges, weight, data.x.shape[0], reduce="max")
        once = edges[0] < edges[1]
        x = transformed(data.x, cfg.transform)
        few = x.values().numel() < 0.05 * x.numel()  # where sparse products take less time
        if few and device.type != "mps":
            x = matrix(x.indices(), x.values(), x.shape)
        else:
            x = x.to_dense()
        x, edges, weight = x.to(device), edges[:, once].to(device), weight[once].to(device)
        return cls(cfg, data, x, edges, weight).view(0, 0, Generator())

    def view(self, feat: float, edge: float, generator: Generator) -> Graph:
        """Zeroes feature columns at rate feat and drops undirected edges at rate edge."""
        device = self.edges.device
        columns = torch.rand(self.x.shape[1], generator=generator) >= feat  # [F]
        left = torch.rand(self.edges.shape[1], generator=generator) >= edge  # [E]
        left = send(left.nonzero()[:, 0], device)  # numbers: a mask would make a GPU wait
        edges = self.edges[:, left]
        weight = self.weight[left]
        n = self.x.shape[0]
        if self.cfg.reg_node:  # node N is joined to all others, by edges that are never dropped
            nodes = torch.arange(n, device=device)
            edges = torch.cat([edges, torch.stack([nodes, torch.full_like(nodes, n)])], 1)
            weight = torch.cat([weight, weight.new_ones(n)])
            n += 1
        loops = torch.arange(n, device=device).expand(2, n)
        entries = torch.cat([edges, edges.flip(0), loops], 1)
        weight = torch.cat([weight, weight, weight.new_ones(n)])
        scale = weight.new_zeros(n).index_add_(0, entries[1], weight).pow(-0.5)  # D^-1/2 [n]
        weight = scale[entries[0]] * weight * scale[entries[1]]
        entries, weight = pyg.sort_edge_index(entries, weight, n)
        adj = matrix(entries, weight, (n, n))
        return replace(self, columns=send(columns, device), entries=entries, adj=adj)

    def average(self, z: Tensor, hops: int) -> Tensor:
        """z [N, D] propagated by adj, hops times; the [REG] node has no say."""
        for _ in range(hops):
            padded = F.pad(z, (0, 0, 0, len(self.adj) - len(z)))  # [N', D]
            z = product(self.adj, padded)[: len(z)]
        return z


def random_mask(data: Data, ratio: float, generator: Generator) -> Tensor:
    """The default MaskFn: round(ratio * N) nodes at random, at least one and never all."""
    n = data.x.shape[0]
    count = min(max(round(ratio * n), 1), n - 1)
    return torch.randperm(n, generator=generator) < count


def glorot(rows: int, columns: int) -> nn.Parameter:
    return nn.Parameter(nn.init.xavier_uniform_(torch.empty(rows, columns)))


class LeakyReLU(torch.autograd.Function):
    """PReLU on a CPU, forth and back 2.7 times as fast as torch's in fp32, 5.8 times in bf16
    (2708 x 512, AMD EPYC); a step of `card` on Cora takes a sixth less."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: Tensor) -> Tensor:
        """x [N, D], slope [1] -> [N, D]."""
        ctx.save_for_backward(x, slope)
        return F.leaky_relu(x, slope.item())

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor]:
        """g [N, D] -> gradients of x and slope."""
        x, slope = ctx.saved_tensors
        d_x = torch.ops.aten.leaky_relu_backward(g, x, slope.item(), False)
        return d_x, (x.clamp(max=0) * g).sum().float()[None]


class PReLU(nn.PReLU):
    def forward(self, x: Tensor) -> Tensor:
        """x [N, D] -> [N, D]."""
        return LeakyReLU.apply(x, self.weight) if x.is_cpu else super().forward(x)


def norm_prelu(norm: str, width: int) -> nn.Sequential:
    """BatchNorm or nothing, then PReLU."""
    return nn.Sequential(nn.BatchNorm1d(width) if norm == "batch" else nn.Identity(), PReLU())


class Layer(nn.Module):
    """GCN (Kipf and Welling 2017) or GAT (Velickovic et al. 2018), then norm and PReLU. Skip is a
    linear map of the layer's input, added before these, or of x, added to a later layer's input."""

    def __init__(self, cfg: Config, width_in: int, width: int, last: bool) -> None:
        super().__init__()
        self.hops = cfg.hops
        self.weight = glorot(width_in, width)
        self.skip = glorot(width_in, width) if cfg.skip == "linear" else None
        self.bias = nn.Parameter(torch.zeros(width)) if cfg.norm == "none" else None
        self.gat: Any = None
        if cfg.encoder == "gat":  # its own linear map is the identity: there is self.weight
            self.gat = GATConv(1, width // cfg.heads, cfg.heads, add_self_loops=False, bias=False)
            self.gat.lin = nn.Identity()
        linear = last and cfg.norm == "none"
        self.finish = nn.Identity() if linear else norm_prelu(cfg.norm, width)

    def forward(self, view: Graph, h: Tensor, skip: Tensor | None) -> Tensor:
        """h: the layer's input @ self.weight; skip: its input @ self.skip -> [N', width] each."""
        for _ in range(self.hops):
            if self.gat is None:
                h = product(view.adj, h)
            else:
                h = self.gat(h.float(), view.entries)
        if self.bias is not None:
            h += self.bias.to(h.dtype)  # in place, here and below: half the memory
        if skip is not None:
            h += skip
        return self.finish(h)


class Encoder(nn.Module):
    """Layers, and the learnt features [MASK] and [REG]; with norm "none" the last is linear."""

    def __init__(self, cfg: Config, num_features: int) -> None:
        super().__init__()
        self.cfg = cfg
        widths = [num_features, *[cfg.hidden] * (cfg.layers - 1), cfg.out]
        self.layers: Any = nn.ModuleList()
        for i in range(cfg.layers):
            self.layers.append(Layer(cfg, widths[i], widths[i + 1], last=i == cfg.layers - 1))
        self.mask = nn.Parameter(torch.zeros(num_features))
        self.reg = nn.Parameter(torch.zeros(num_features))
        self.own = glorot(num_features, cfg.out) if cfg.own_features else None
        self.inputs = nn.ParameterList()  # of x, added to what later layers take in (BGRL's skip)
        if cfg.skip == "input":
            self.inputs.extend(glorot(num_features, cfg.hidden) for _ in range(cfg.layers - 1))

    def forward(self, view: Graph, hidden: Tensor | None = None) -> Tensor:
        """-> z [N, D]; hidden [N] bool: seen as [MASK]."""
        lift = partial(self.lift, view, hidden)
        h = view.x
        for i, layer in enumerate(self.layers):
            if i and self.cfg.skip == "input":
                h = h + lift(self.inputs[i - 1])
            times = h.matmul if i else lift
            skip = None
            if layer.skip is not None:
                skip = times(layer.skip)
            h = layer(view, times(layer.weight), skip)  # [N', width]
        if self.own is not None:
            h = torch.cat([h, lift(self.own)], 1)
        return h[: view.x.shape[0]].float()

    def lift(self, view: Graph, hidden: Tensor | None, weight: Tensor) -> Tensor:
        """x @ weight [N', width]. Zeroed columns of x are zeroed rows of weight, and [MASK] and
        [REG] enter after the product, so that one x serves every view."""
        w = weight * view.columns[:, None]
        if view.x.layout == torch.strided:
            h = view.x @ w
        else:
            w = w.bfloat16() if torch.is_autocast_enabled(w.device.type) else w
            h = product(view.x, w)
        if hidden is not None:
            h = torch.where(hidden[:, None], (self.mask @ weight).to(h.dtype), h)
        if self.cfg.reg_node:
            h = torch.cat([h, (self.reg @ weight)[None].to(h.dtype)])
        return h


class MLPPredictor(nn.Module):
    """Guesses a node's target latent from its own context latent; cfg.predictor layers deep."""

    def __init__(self, cfg: Config, data: Data) -> None:
        super().__init__()
        d = cfg.latent
        self.layers = nn.Sequential()
        if cfg.predictor == 1:
            self.layers.append(nn.Linear(d, d))
        if cfg.predictor == 2:
            norm = norm_prelu(cfg.predictor_norm, 512)
            self.layers.extend([nn.Linear(d, 512), norm, nn.Linear(512, d)])

    def forward(self, z: Tensor, hidden: Tensor | None, generator: Generator) -> Tensor:
        """z [N, D] -> [M, D] at the hidden nodes, [N, D] where hidden is None; draws nothing."""
        return self.layers(z if hidden is None else z[hidden]).float()


def latent_loss(kind: str, prediction: Tensor, target: Tensor) -> Tensor:
    """Of two [M, D]: minus the mean cosine of rows (BYOL, eq. 2) or, standardised, minus the inner
    product of columns standardised over the rows, divided by M (CCA-SSG, eq. 4)."""
    if kind == "cosine":
        norms = prediction.norm(dim=1) * target.norm(dim=1)  # [M]
        return -((prediction * target).sum(1) / norms.clamp(min=1e-16)).mean()
    p = prediction - prediction.mean(0)
    t = target - target.mean(0)
    spread = p.square().sum(0) * t.square().sum(0) + 1e-12  # [D]
    return -((p * t).sum(0) * spread.rsqrt()).sum()


def decorrelation(z1: Tensor, z2: Tensor, generator: Generator) -> Tensor:
    """||C1 - I||^2 + ||C2 - I||^2, C a view's correlation of columns [D, D] (CCA-SSG, eq. 4)."""
    total = z1.new_zeros(())
    eye = torch.eye(z1.shape[1], device=z1.device)
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
    lr = cfg.lr * (1 + math.cos(math.pi * after)) / 2
    if step < warmup:
        lr = cfg.lr * (step + 1) / warmup
    momentum = 1 - (1 - cfg.momentum) * (1 + math.cos(math.pi * step / cfg.epochs)) / 2
    return lr, momentum


@torch.no_grad()
def update_target(target: nn.Module, online: nn.Module, momentum: float) -> None:
    """target <- momentum * target + (1 - momentum) * online, parameters and buffers alike."""
    for to, fro in zip(target.state_dict().values(), online.state_dict().values(), strict=True):
        if to.is_floating_point():
            to.lerp_(fro, 1 - momentum)
        else:
            to.copy_(fro)  # BatchNorm's count


@cache
def accelerator() -> str:
    """What device "auto" is: cuda, else mps where it has products of sparse matrices, else cpu."""
    if torch.cuda.is_available():
        return "cuda"
    if torch.mps.device_count():
        with suppress(RuntimeError):
            torch.eye(2).to_sparse_coo().to("mps") @ torch.ones(2, 2, device="mps")
            return "mps"
    return "cpu"


def placement(cfg: Config) -> tuple[torch.device, bool]:
    """The device, and whether matrix products are bf16: on a CPU with units for it, or as asked.
    ValueError: the device is not here, or is a card without bf16."""
    found = accelerator()
    try:
        device = torch.empty(0, device=found if cfg.device == "auto" else cfg.device).device
    except (RuntimeError, AssertionError):
        raise ValueError(f"device {cfg.device!r}: not on this machine; found {found}") from None
    if device.type == "cuda" and cfg.precision == "bf16":
        if not torch.cuda.is_bf16_supported(including_emulation=False):
            name = torch.cuda.get_device_name(device)
            raise ValueError(f"precision = bf16: {name} has no units for it, expected fp32")
    units = device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()
    return device, cfg.precision == "bf16" or (cfg.precision == "auto" and units)


@dataclass
class TrainState:
    """A run between two steps: all that must be kept to continue it bit for bit."""

    cfg: Config
    encoder: nn.Module
    target_encoder: nn.Module
    predictor: nn.Module
    optimizer: torch.optim.Optimizer
    streams: dict[str, Generator]  # view1, view2, mask, predictor, regulariser
    step: int = 0
    best: dict[str, Any] = field(default_factory=dict)  # epoch, val, weights of the encoder
    rows: list[dict[str, float]] = field(default_factory=list)  # one an epoch
    unread: list[Tensor] = field(default_factory=list)  # losses of the last rows, on the device

    @classmethod
    def new(
        cls, cfg: Config, data: Data, make_encoder: EncoderFactory, make_predictor: PredictorFactory
    ) -> TrainState:
        """Each part draws from a stream of its own, so a changed part leaves the others alone."""
        device = placement(cfg)[0]
        seeds = np.random.SeedSequence(cfg.seed).generate_state(7).tolist()
        names = ("view1", "view2", "mask", "predictor", "regulariser")
        streams = {k: Generator().manual_seed(s) for k, s in zip(names, seeds[2:], strict=True)}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seeds[0])
            encoder = make_encoder(cfg, data.x.shape[1]).to(device)
            torch.manual_seed(seeds[1])
            predictor = make_predictor(cfg, data).to(device)
        target_encoder = copy.deepcopy(encoder).requires_grad_(False)
        for module in target_encoder.modules():
            if isinstance(module, nn.BatchNorm1d):
                module.momentum = 0.0  # its running statistics come by the moving average alone
        weights = [*encoder.parameters(), *predictor.parameters()]
        adamw = torch.optim.AdamW(weights, cfg.lr, weight_decay=cfg.weight_decay, fused=True)
        return cls(cfg, encoder, target_encoder, predictor, adamw, streams)


def learn(loss: Tensor) -> Tensor:
    """Adds to the gradients -> the loss, which nothing waits for."""
    loss.backward()
    return loss.detach()


def direction_loss(
    state: TrainState, graph: Graph, z: Tensor, target: Tensor, at: Tensor | None
) -> Tensor:
    """A direction's share of the loss: latents guessed from z [N, D] against the target encoder's
    [N, D], at the nodes where at [N] bool is True, or at all."""
    cfg = state.cfg
    prediction = state.predictor(z, at, state.streams["predictor"])  # [M, D] or [N, D]
    target = graph.average(target, cfg.target_hops)
    if at is not None:
        target = target[at]
    return latent_loss(cfg.loss, prediction, target) / cfg.directions


def step_loss(state: TrainState, graph: Graph, mask_fn: MaskFn, term: Regulariser | None) -> Tensor:
    """The objective of one step, a scalar, whose gradients are left in the parameters."""
    cfg = state.cfg
    encoder = state.encoder
    streams = state.streams
    device, fast = placement(cfg)
    autocast = partial(torch.autocast, device.type, torch.bfloat16, enabled=fast)
    guess = partial(direction_loss, state, graph)

    # 1. Two views of the graph, and the nodes that the context encoder must not see in the first.
    view1 = graph.view(cfg.feat1, cfg.edge1, streams["view1"])
    view2 = graph.view(cfg.feat2, cfg.edge2, streams["view2"])
    hidden = None
    if cfg.mask:
        hidden = send(mask_fn(graph.data, cfg.mask, streams["mask"]), device)  # [N]
    at = hidden if cfg.loss_nodes == "hidden" else None

    # 2. Targets [N, D]: what the target encoder says of each view, with no node hidden.
    if cfg.target != "online":
        with torch.no_grad(), autocast():
            t2 = state.target_encoder(view2)
            if cfg.directions == 2:
                t1 = state.target_encoder(view1)

    # 3. Direction 1: guess view 2 from view 1. Direction 2: guess view 1 from view 2, at all nodes.
    if cfg.target != "online" and term is None:
        with autocast():
            loss = guess(encoder(view1, hidden), t2, at)
        total = learn(loss)  # before direction 2 is built: a fifth less memory
        if cfg.directions == 2:
            with autocast():
                loss = guess(encoder(view2), t1, None)
            total = total + learn(loss)
        return total

    # Or both at once, where gradients go through both views, or a term sees both.
    with autocast():
        z1 = encoder(view1, hidden)  # [N, D]
        z2 = encoder(view2)
        if cfg.target == "online":
            t2 = z2
            if cfg.directions == 2:
                t1 = encoder(view1)
        loss = guess(z1, t2, at)
        if cfg.directions == 2:
            loss = loss + guess(z2, t1, None)
        if term is not None:
            loss = loss + cfg.regulariser_weight * term(z1, z2, streams["regulariser"])
    return learn(loss)


def read_losses(state: TrainState, graph: Graph) -> None:
    """Of the steps since the last look, into their rows. RunError 7: one is not finite; it names
    the epoch and, where that is the last, what first is not."""
    losses = torch.stack(state.unread).tolist()
    state.unread.clear()
    for row, loss in zip(state.rows[-len(losses) :], losses, strict=True):
        row["loss"] = loss
        if not math.isfinite(loss):
            named = {"data.x": graph.x.to_dense()}
            if row is state.rows[-1]:  # parameters are those that the loss was of
                named |= dict(state.encoder.named_parameters())
            bad = [name for name, t in named.items() if not t.isfinite().all()] + ["the loss"]
            raise RunError(f"epoch {row['epoch']}: {bad[0]} is the first tensor not finite", 7)


def train_step(
    state: TrainState, graph: Graph, mask_fn: MaskFn, term: Regulariser | None, look: bool = True
) -> None:
    """One update of encoder, predictor and target encoder, and a row of what it was; look: at the
    loss, or leave it for a later step to look at."""
    cfg = state.cfg
    state.optimizer.zero_grad()
    loss = step_loss(state, graph, mask_fn, term)
    lr, momentum = schedule(state.step, cfg)
    state.unread.append(loss)
    state.rows.append({"epoch": state.step + 1, "loss": math.nan, "lr": lr, "momentum": momentum})
    if look:
        read_losses(state, graph)

    # 4. Encoder and predictor take a step; the target encoder follows.
    state.optimizer.param_groups[0]["lr"] = lr
    state.optimizer.step()
    if cfg.target == "ema":
        update_target(state.target_encoder, state.encoder, momentum)
    state.step += 1


def best_on_validation(state: TrainState, row: dict[str, float]) -> bool:
    """The default KeepRule: a higher accuracy on validation nodes; the latest without labels."""
    return "val" not in row or row["val"] > state.best.get("val", -1.0)


def look_every(cfg: Config) -> int:
    """Steps between two looks at the loss: on a GPU each look waits for all that is at work."""
    return LOOK_EVERY.get(placement(cfg)[0].type, 1)


def judge(state: TrainState, now: Result, keep: KeepRule) -> bool:
    """Puts into the last row what the embedding is worth -> whether keep took its weights."""
    row = state.rows[-1]
    row |= collapse(now.z)
    if now.val >= 0:
        row["val"] = now.val
    kept = keep(state, row)
    if kept:
        weights = copy.deepcopy(state.encoder.state_dict())
        state.best = {"epoch": state.step, "val": now.val, "weights": weights}
    return kept


def train(
    cfg: Config,
    data: Data,
    *,
    graph: Graph | None = None,
    mask_fn: MaskFn = random_mask,
    make_encoder: EncoderFactory = Encoder,
    make_predictor: PredictorFactory = MLPPredictor,
    regulariser: Regulariser | None = None,
    sampler: Sampler | None = None,
    embedder: Embedder | None = None,
    keep: KeepRule = best_on_validation,
    on_epoch: EpochHook | None = None,
    state: TrainState | None = None,
) -> Result:
    """Pre-trains on x and edge_index. Labels, where data has them, choose the epoch only, on
    validation nodes. graph: `Graph.of(data, cfg)`, if at hand; `state` continues a run. RunError 7:
    the loss is not finite."""
    if sampler is None or embedder is None:
        whole = graph or Graph.of(data, cfg)
        sampler = sampler or (lambda step: whole)
        embedder = embedder or (lambda encoder: embed(encoder, whole))
    state = state or TrainState.new(cfg, data, make_encoder, make_predictor)
    term = regulariser or REGULARISERS[cfg.regulariser]
    every = look_every(cfg)
    kept: Result | None = None
    told = len(state.rows)
    while state.step < cfg.epochs:
        step = state.step + 1
        judged = step == cfg.epochs or (cfg.eval_every > 0 and step % cfg.eval_every == 0)
        look = judged or step % every == 0
        train_step(state, sampler(state.step), mask_fn, term, look)
        if judged:
            now = linear_probe(embedder(state.encoder), data)
            if judge(state, now, keep):
                kept = now
        if on_epoch is None or not look:
            continue
        try:
            for row in state.rows[told:]:
                on_epoch(state, row)
        except StopTraining:
            break
        told = step
    if state.best:
        state.encoder.load_state_dict(state.best["weights"])
    if kept is None:  # judged before the run was continued, or never: z is not in state.best
        kept = linear_probe(embedder(state.encoder), data)
    return replace(kept, state=state)


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
def embed(encoder: nn.Module, graph: Graph) -> Tensor:
    """z [N, D] on the cpu, of the clean graph, by the encoder in evaluation mode, in fp32."""
    mode = encoder.training
    z = graph.average(encoder.eval()(graph), graph.cfg.embed_hops)
    encoder.train(mode)
    return z.cpu()


def effective_rank(z: Tensor) -> float:
    """exp of the entropy of the normalised singular values of z [N, D] column-centred."""
    z = z.double() - z.double().mean(0)
    s = torch.linalg.eigvalsh(z.t() @ z).clamp(min=0).sqrt()  # cheaper than svdvals(z)
    return torch.special.entr(s / s.sum().clamp(min=1e-300)).sum().exp().item()


def collapse(z: Tensor) -> dict[str, float]:
    """Meters of collapse: effective rank, mean pairwise cosine, smallest column std of z [N, D]."""
    n = len(z)
    total = F.normalize(z.double()).sum(0).square().sum().item()  # of all cosines, n * n of them
    cosine = (total - n) / (n * (n - 1))
    return {"effective_rank": effective_rank(z), "cosine": cosine, "min_std": z.std(0).min().item()}


@threadpool_limits.wrap(limits=1)  # small products, where more threads only wait
def linear_probe(z: Tensor, data: Data) -> Result:
    """Multinomial logistic regression on z [N, D]. Rows standardised or of unit length and C from
    2^-6 to 2^12 are chosen on validation; ties go to the smaller C, then to standardised rows.
    RunError 7: z is not finite."""
    if not z.isfinite().all():
        raise RunError("the embedding is not finite", 7)
    best = Result(data, z)
    if "train_mask" not in data or "val_mask" not in data:
        return best
    train, val, y = (data[name].cpu().numpy() for name in ("train_mask", "val_mask", "y"))
    z64 = z.double()
    standard = (z64 - z64.mean(0)) / z64.std(0).clamp(min=1e-12) / z.shape[1] ** 0.5
    for scaling, form in {"standardised": standard, "unit": F.normalize(z64)}.items():
        basis = np.linalg.svd(form.numpy()[train], full_matrices=False)[2]
        h = form.numpy() @ basis.T  # all that weights can reach
        model = LogisticRegression(max_iter=5000, warm_start=True)
        for c in (2.0 ** np.arange(-6, 13, 2)).tolist():
            model.set_params(C=c).fit(h[train], y[train])
            predicted = model.predict(h)
            score = float((predicted == y)[val].mean())
            if (score, -c) > (best.val, -best.c):
                best = Result(data, z, score, c, scaling, predicted)
    return best


def score_test(result: Result) -> float:
    """Accuracy on the test nodes, a fraction. Nothing else reads the test mask."""
    right = result.predicted == result.data.y.cpu().numpy()
    return float(right[result.data.test_mask.cpu().numpy()].mean())


def controls(graph: Graph, deepest: int = 10) -> dict[str, Result]:
    """What trains nothing: raw features, and SGC (Wu et al. 2019), hops by validation, on x and
    edges as they came and, where they are not what the encoder takes in, on these too."""
    data = graph.data
    found = {"raw features": linear_probe(data.x.to_dense(), data)}
    graphs = {"SGC": Graph.of(data, Config(device="cpu"))}
    if graph.cfg.neighbours or graph.cfg.transform != "none":
        graphs["SGC, our input"] = graph
    for name, one in graphs.items():
        x = one.x.to_dense()
        hops = []
        for _ in range(deepest):
            x = one.average(x, 1)
            hops.append(linear_probe(x.cpu(), data))
        found[name] = max(hops, key=lambda result: result.val)
    return found


def command_line(*more: type) -> argparse.ArgumentParser:
    """The options of a run, and those of `more` dataclasses of knobs. A field of Config or of
    `more` that is not given is absent from what is parsed."""
    parser = argparse.ArgumentParser(usage="%(prog)s [options]", allow_abbrev=False)
    section = cache(parser.add_argument_group)  # one a name
    add = section("run").add_argument
    add("--preset", default="best", choices=PRESETS, help="settings to start from (best)")
    add("--graphs", default=",".join(GRAPHS), help="some of cora,citeseer,pubmed (all)")
    add("--seeds", default=5, type=int, metavar="N", help="runs of a graph (5)")
    add("--first-seed", default=0, type=int, help="the seeds count up from it (0)")
    add("--data", type=Path, help="folder of the graphs' .npz files")
    add("--out", dest="folder", default="results", type=Path, help="folder of results (results)")
    add("--threads", default=0, type=int, help="of torch; 0: its own choice (0)")
    add("--validation-only", action="store_true", help="leave the test nodes unscored")
    add("--quick", action="store_true", help="in a minute: 1 seed, 5 epochs, SGC of 2 hops")
    for settings in (Config, *more):
        for f in fields(settings):
            if f.name == "seed":
                continue
            flag = "--out-width" if f.name == "out" else f"--{f.name.replace('_', '-')}"
            kind: dict[str, Any] = {"type": type(f.default), "metavar": "V"}
            if isinstance(f.default, bool):
                kind = {"action": argparse.BooleanOptionalAction}
            add = section(f.metadata["group"]).add_argument
            add(flag, dest=f.name, default=argparse.SUPPRESS, help=f.metadata["help"], **kind)
    return parser


def configure(args: argparse.Namespace, graph: str) -> Config:
    """preset < --quick < options."""
    cfg = preset(args.preset, graph, args.data)
    if args.quick:
        cfg = replace(cfg, epochs=min(cfg.epochs, 5), eval_every=5)
    return replace(cfg, **{k: v for k, v in vars(args).items() if k in Config.__dataclass_fields__})


def row_of(result: Result, scored: bool, **names: Any) -> dict[str, Any]:
    """A row of final_results.json; scored: on the test nodes as well."""
    row = names | {"val": result.val, "c": result.c, "scaling": result.scaling}
    if scored:
        row["test"] = score_test(result)
    if result.state is not None:
        row |= {"epoch": result.state.best.get("epoch", 0), "curve": result.state.rows}
        row |= collapse(result.z)
    return row


def save(folder: Path, rows: list[dict[str, Any]]) -> None:
    """Whole or not at all."""
    with (temp := folder / "final_results.tmp").open("w") as file:
        json.dump({"command": sys.argv, "published": PUBLISHED, "rows": rows}, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    temp.replace(folder / "final_results.json")


def cell(rows: list[dict[str, Any]], measure: str) -> str:
    """Mean ± sample standard deviation [95% t interval] n, in %; of one row, its accuracy."""
    values = [100 * row[measure] for row in rows]
    if len(values) < 2:
        return f"{values[0]:.1f}" if values else "none finished"
    mean, std, n = np.mean(values), np.std(values, ddof=1), len(values)
    low, high = stats.t.interval(0.95, n - 1, mean, std / n**0.5) if std else (mean, mean)
    collapsed = sum(row.get("effective_rank", 2) < 2 for row in rows)
    text = f"{mean:.1f} ± {std:.1f} [{low:.1f}, {high:.1f}] {n}"
    return f"{text}, {collapsed} collapsed" if collapsed else text


def table(rows: list[dict[str, Any]], graphs: list[str], args: argparse.Namespace) -> Table:
    """What was measured, what it cost, and what was published."""
    measure, name = ("val", "Validation") if args.validation_only else ("test", "Test")
    table = Table("%", *graphs, title=f"{name} accuracy: mean ± std [95% interval over seeds] n")
    if args.quick:
        table.title = f"A quick run: these figures mean nothing ({name.lower()} accuracy)"
    nodes = "" if args.validation_only else ": 1000 test nodes add ±1.2 to ±1.4 to each row"
    table.caption = f"Epoch and probe chosen on validation. Intervals cover seeds only{nodes}."
    spent = dict.fromkeys(graphs, 0.0)
    for row in rows:
        spent[row["graph"]] += row.get("cpu_seconds", 0.0)
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method]
        of = [[row for row in own if row["graph"] == graph] for graph in graphs]
        table.add_row(method, *(cell(some, measure) for some in of))
    table.add_section()
    table.add_row(
        "CPU seconds to train, all seeds", *(f"{seconds:.0f}" for seconds in spent.values())
    )
    table.add_section()
    for paper, figures in PUBLISHED.items():
        table.add_row(f"published: {paper}", *(str(figures[graph]) for graph in graphs))
    return table


def planned(args: argparse.Namespace) -> dict[str, Config]:
    """Settings by graph. RunError 2: an option holds what it may not; 3: as `load_graph`."""
    try:
        if args.seeds < 1 or args.threads < 0:
            raise ValueError(f"--seeds {args.seeds}, --threads {args.threads}: expected >= 1, >= 0")
        configs = {graph: configure(args, graph) for graph in args.graphs.split(",")}
        for cfg in configs.values():
            placement(cfg)
    except ValueError as error:
        raise RunError(str(error), 2) from None
    return configs


def run(args: argparse.Namespace, configs: dict[str, Config]) -> int:
    """Every graph and seed, each row written at once -> 0, or 7 if a seed diverged."""
    if args.threads:
        torch.set_num_threads(args.threads)
    if args.quick:
        args.seeds = 1
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    loaded = {graph: load_graph(graph, args.data) for graph in configs}
    folder = args.folder / f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{os.getpid()}"
    folder.mkdir(parents=True)
    scored = not args.validation_only
    rows: list[dict[str, Any]] = []
    code = 0
    for name, plain in configs.items():
        graph = Graph.of(loaded[name], plain)
        for seed in seeds:
            cfg = replace(plain, seed=seed)
            names = {"graph": name, "seed": seed, "config": asdict(cfg)}
            began = time.process_time()
            try:
                result = train(cfg, loaded[name], graph=graph)
            except RunError as error:
                message, code = error.args
                print(f"{name}, {args.preset}, seed {seed}: {message}", file=sys.stderr)
                continue
            spent = time.process_time() - began
            rows.append(row_of(result, scored, method=args.preset, **names, cpu_seconds=spent))
            untrained = train(replace(cfg, epochs=0), loaded[name], graph=graph)
            rows.append(row_of(untrained, scored, method="untrained", **names))
            save(folder, rows)
            said = f"validation {100 * result.val:.1f} %, {spent:.0f} CPU s"
            print(f"{name}, {args.preset}, seed {seed}: {said}", file=sys.stderr)
        for method, control in controls(graph, 2 if args.quick else 10).items():
            rows.append(row_of(control, scored, method=method, graph=name, seed=None))
        save(folder, rows)
    Console(width=None if sys.stdout.isatty() else 120).print(table(rows, [*configs], args))
    print(f"kept in {folder}", file=sys.stderr)
    return code


def keep_freed_memory() -> None:
    """Of glibc: what tensors leave stays with the process, and is not zeroed by the kernel again
    each time: the default job takes a quarter less CPU seconds on two threads (AMD EPYC)."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(-4, 0)  # M_MMAP_MAX
        libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD


def terminate(*_: Any) -> None:
    raise KeyboardInterrupt("terminated", 143)


def main(argv: list[str] | None = None) -> int:
    """-> 0; 2 usage; 3 data; 6 out of memory; 7 diverged; 130, 143 interrupted, seeds kept."""
    args = command_line().parse_args(argv)
    signal.signal(signal.SIGTERM, terminate)
    keep_freed_memory()
    try:
        return run(args, planned(args))
    except OSError as error:
        message, code = str(error), 2
    except (MemoryError, RuntimeError) as error:
        full = any(words in str(error) for words in OUT_OF_MEMORY)
        if isinstance(error, RuntimeError) and not full:
            raise
        message, code = "out of memory; half of --hidden and --out-width takes about half", 6
    except (RunError, KeyboardInterrupt) as error:
        message, code = error.args or ("interrupted", 130)
    print(f"run_full.py: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
