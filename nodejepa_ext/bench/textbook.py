"""One training step of Node-JEPA as plain PyG has it: what `step` holds the reference against.

The same computation as `run_full.train_step` with target "ema", on dense features and stock
modules, written the way a competent user would. Shapes: N nodes, F features, D latents.
"""

from __future__ import annotations

import copy
from itertools import chain
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import GCNConv
from torch_geometric.utils import dropout_edge, remove_self_loops

if TYPE_CHECKING:
    from torch_geometric.data import Data

    from run_full import Config


class Encoder(nn.Module):
    """Two GCN layers, each + a linear skip if there is one, then batch norm and PReLU; a learnt
    [MASK] for hidden nodes. ValueError: skip "input"."""

    def __init__(self, num_features: int, hidden: int, out: int, skip: str = "none") -> None:
        super().__init__()
        if skip not in ("none", "linear"):
            raise ValueError(f"skip = {skip!r}: expected none or linear")
        self.mask = nn.Parameter(torch.zeros(num_features))
        widths = ((num_features, hidden), (hidden, out))  # no biases: batch norm has its own
        self.convs = nn.ModuleList(GCNConv(i, o, bias=False) for i, o in widths)
        self.skips = nn.ModuleList()
        if skip == "linear":
            self.skips.extend(nn.Linear(i, o, bias=False) for i, o in widths)
        self.norms = nn.ModuleList(nn.BatchNorm1d(o) for _, o in widths)
        self.activations = nn.ModuleList(nn.PReLU() for _ in widths)

    def forward(self, x: Tensor, edge_index: Tensor, hidden: Tensor | None = None) -> Tensor:
        """x [N, F], edge_index [2, 2E], hidden [N] bool: seen as [MASK] -> z [N, D]."""
        h = x if hidden is None else torch.where(hidden[:, None], self.mask, x)
        for i, conv in enumerate(self.convs):
            out = conv(h, edge_index)
            if self.skips:
                out = out + self.skips[i](h)
            h = self.activations[i](self.norms[i](out))
        return h


def mask_columns(x: Tensor, rate: float) -> Tensor:
    """x [N, F] with feature columns zeroed at this rate."""
    return x * (torch.rand(x.shape[1]) >= rate)


def random_mask(num_nodes: int, ratio: float) -> Tensor:
    """hidden [N] bool, round(ratio * N) of them True."""
    return torch.randperm(num_nodes) < round(ratio * num_nodes)


def cosine_loss(prediction: Tensor, target: Tensor) -> Tensor:
    return -F.cosine_similarity(prediction, target, dim=1).mean()


@torch.no_grad()
def update_target(target: nn.Module, online: nn.Module, momentum: float) -> None:
    """target <- momentum * target + (1 - momentum) * online; integer buffers are copied."""
    mine = chain(target.parameters(), target.buffers())
    theirs = chain(online.parameters(), online.buffers())
    for to, fro in zip(mine, theirs, strict=True):
        if to.is_floating_point():
            to.lerp_(fro, 1 - momentum)
        else:
            to.copy_(fro)


class Textbook:
    """A run at a constant learning rate and momentum; the schedules cost nothing measurable."""

    def __init__(self, cfg: Config, data: Data) -> None:
        """data.x [N, F] dense, data.edge_index [2, 2E] with both directions of every edge."""
        self.cfg, self.x = cfg, data.x
        self.edge_index = remove_self_loops(data.edge_index)[0]
        self.encoder = Encoder(data.x.shape[1], cfg.hidden, cfg.out, cfg.skip)
        self.target_encoder = copy.deepcopy(self.encoder).requires_grad_(False)
        self.predictor = nn.Sequential(
            nn.Linear(cfg.out, 512), nn.BatchNorm1d(512), nn.PReLU(), nn.Linear(512, cfg.out)
        )
        weights = chain(self.encoder.parameters(), self.predictor.parameters())
        self.optimizer = torch.optim.AdamW(weights, cfg.lr, weight_decay=cfg.weight_decay)

    def step(self) -> float:
        """One full-batch update -> the loss before it, between -1 and 1."""
        cfg = self.cfg
        x1, x2 = mask_columns(self.x, cfg.feat1), mask_columns(self.x, cfg.feat2)  # [N, F]
        edges1 = dropout_edge(self.edge_index, cfg.edge1, force_undirected=True)[0]
        edges2 = dropout_edge(self.edge_index, cfg.edge2, force_undirected=True)[0]
        hidden = random_mask(len(self.x), cfg.mask)  # [N]
        z1, z2 = self.encoder(x1, edges1, hidden), self.encoder(x2, edges2)  # [N, D]
        with torch.no_grad():
            t1, t2 = self.target_encoder(x1, edges1), self.target_encoder(x2, edges2)  # [N, D]
        forth = cosine_loss(self.predictor(z1[hidden]), t2[hidden])
        back = cosine_loss(self.predictor(z2), t1)
        loss = (forth + back) / 2
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        update_target(self.target_encoder, self.encoder, cfg.momentum)
        return loss.item()
