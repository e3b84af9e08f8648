"""Peers that train an encoder of PyG's convolutions: CCA-SSG, DGI and VGAE.

Written from their papers, with PyG's own modules where it has them; settings are in peers.py.
Shapes: N nodes, F features, D latent dimensions, A directed edges (both directions).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import VGAE, DeepGraphInfomax, GCNConv

import run_full
from nodejepa_ext.judging.draws import seeded
from run_full import RunError

Edges = tuple[Tensor, Tensor | None]  # edge_index [2, A], edge_weight [A] or None


def inputs(data: Data) -> tuple[Tensor, Edges]:
    """x [N, F], dense, and the edges."""
    return data.x.to_dense().float(), (data.edge_index, data.edge_weight)


def fit(modules: nn.Module, loss_of: Callable[[], Tensor], lr: float, epochs: int) -> None:
    """Adam on the whole graph. RunError 7: the loss is not finite."""
    adam = torch.optim.Adam(modules.parameters(), lr=lr)
    modules.train()
    for epoch in range(epochs):
        adam.zero_grad()
        loss = loss_of()
        if not loss.isfinite():
            raise RunError(f"epoch {epoch + 1}: the loss is {loss.item()}, expected finite", 7)
        loss.backward()
        adam.step()
    modules.eval()


class GCN(nn.Module):
    """ReLU between layers, the last one linear."""

    def __init__(self, widths: list[int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(GCNConv(a, b) for a, b in pairwise(widths))

    def forward(self, x: Tensor, edges: Edges) -> Tensor:
        """-> [N, D]."""
        for i, layer in enumerate(self.layers):
            x = layer(x if i == 0 else x.relu(), *edges)
        return x


def cca_ssg(
    data: Data,
    seed: int,
    *,
    hidden: int,
    layers: int,
    balance: float,
    feat: float,
    edge: float,
    lr: float,
    epochs: int,
) -> Tensor:
    """Zhang et al. 2021, eq. 4: two views, feature columns zeroed at rate feat and directed edges
    dropped at rate edge; columns standardised over nodes; -<z1, z2> / N + balance (|C1 - I|^2 +
    |C2 - I|^2). z [N, hidden] of the whole graph."""
    x, (index, weight) = inputs(data)

    def view() -> tuple[Tensor, Edges]:
        columns = torch.rand(x.shape[1], device=x.device) >= feat  # [F]
        left = torch.rand(index.shape[1], device=x.device) >= edge  # [A]
        return x * columns, (index[:, left], None if weight is None else weight[left])

    def loss() -> Tensor:
        z1, z2 = net(*view()), net(*view())  # [N, D]
        generator = torch.Generator()
        away = run_full.latent_loss("standardised", z1, z2)
        return away + balance * run_full.decorrelation(z1, z2, generator)

    with seeded(seed):
        net = GCN([x.shape[1], *[hidden] * layers]).to(x.device)
        fit(net, loss, lr, epochs)
    with torch.no_grad():
        return net(x, (index, weight)).cpu()


class PReLUGCN(nn.Module):
    """One layer, its graph normalised once for all epochs."""

    def __init__(self, width_in: int, width: int) -> None:
        super().__init__()
        self.layer = GCNConv(width_in, width, cached=True)
        self.prelu = nn.PReLU(width)

    def forward(self, x: Tensor, edges: Edges) -> Tensor:
        """-> [N, D]."""
        return self.prelu(self.layer(x, *edges))


def dgi(data: Data, seed: int, *, hidden: int, lr: float, epochs: int) -> Tensor:
    """Velickovic et al. 2019: nodes against the mean of all, and nodes of shuffled features.
    z [N, hidden]."""
    x, edges = inputs(data)

    def shuffled(x: Tensor, edges: Edges) -> tuple[Tensor, Edges]:
        return x[torch.randperm(len(x), device=x.device)], edges

    def summary(z: Tensor, *_: Any) -> Tensor:
        return z.mean(0).sigmoid()  # [D]

    with seeded(seed):
        net = DeepGraphInfomax(hidden, PReLUGCN(x.shape[1], hidden), summary, shuffled).to(x.device)
        fit(net, lambda: net.loss(*net(x, edges)), lr, epochs)
    with torch.no_grad():
        return net.encoder(x, edges).cpu()


class Variational(nn.Module):
    """A hidden layer, then one of means and one of logarithms of deviations."""

    def __init__(self, width_in: int, hidden: int, out: int) -> None:
        super().__init__()
        self.first = GCNConv(width_in, hidden)
        self.mean, self.spread = GCNConv(hidden, out), GCNConv(hidden, out)

    def forward(self, x: Tensor, edges: Edges) -> tuple[Tensor, Tensor]:
        """-> [N, D], [N, D]."""
        h = self.first(x, *edges).relu()
        return self.mean(h, *edges), self.spread(h, *edges)


def vgae(data: Data, seed: int, *, hidden: int, out: int, lr: float, epochs: int) -> Tensor:
    """Kipf and Welling 2016: edges from inner products of sampled latents, as many pairs without an
    edge drawn anew every epoch. z [N, out], the means."""
    x, edges = inputs(data)

    def loss() -> Tensor:
        z = net.encode(x, edges)
        return net.recon_loss(z, edges[0]) + net.kl_loss() / len(x)

    with seeded(seed):
        net = VGAE(Variational(x.shape[1], hidden, out)).to(x.device)
        fit(net, loss, lr, epochs)
    with torch.no_grad():
        return net.encode(x, edges).cpu()
