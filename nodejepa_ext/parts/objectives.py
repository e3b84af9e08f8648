"""Regularisers that a run may add to its latent loss: `train(cfg, data, regulariser=vicreg)`.

Each is a published answer to collapse, or to dense latents, in the form of `run_full.Regulariser`:
(z1 [N, D], z2 [N, D], generator) -> scalar. All compute in the precision of z, even under autocast:
they square small differences, which bf16 would lose. `OBJECTIVES` names them, with weights.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor
from torch.autograd.function import once_differentiable

from run_full import Regulariser


def full_precision(z: Tensor) -> torch.autocast:
    """A context in which autocast lets matrix products alone."""
    return torch.autocast(z.device.type, enabled=False)


class EppsPulley(torch.autograd.Function):
    """Squared distance of the empirical characteristic function of each column of x [N, S] from
    exp(-t^2 / 2), integrated over t with weight exp(-t^2 / 2), averaged over columns.

    Trapezoid rule on `points` values of t in [-5, 5]; -t and t are alike and 0 adds nothing. The
    functions at t = k h are powers of e^{ihx}, and their slopes one polynomial in it (Horner)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, points: int) -> Tensor:
        """x [N, S], points odd -> scalar."""
        h = 10 / (points - 1)
        t = h * torch.arange(1, points // 2 + 1, dtype=x.dtype, device=x.device)[:, None]  # [K, 1]
        phi = (-t.square() / 2).exp()
        weight = 2 * h * phi
        weight[-1] /= 2
        unit = torch.polar(torch.ones_like(x), h * x)  # [N, S] e^{ihx}
        power, means = unit.clone(), []
        for _ in t:
            means.append(power.mean(0))
            power *= unit
        gap = torch.stack(means) - phi  # [K, S]
        ctx.save_for_backward(unit, 2j * weight * t * gap.conj() / x.numel())
        return (weight * gap.abs().square()).sum(0).mean()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        """g, a scalar -> the gradient of x [N, S]; points have none."""
        unit, slopes = ctx.saved_tensors
        total = slopes[-1] * unit  # [N, S]
        for slope in slopes[:-1].flip(0):
            total.add_(slope).mul_(unit)
        return g * total.real, None


class SIGReg:
    """Sketched isotropic Gaussian regularisation (LeJEPA, Balestriero and LeCun 2025, section 4):
    the Epps-Pulley statistic of z on random unit directions, against N(0, I). Linear in N and D.

    slices: directions, drawn anew at every call (the paper: 256 to 1024). points: of the integral,
    as the paper's. ValueError: slices below 1; points even or below 3."""

    def __init__(self, slices: int = 64, points: int = 17) -> None:
        if slices < 1:
            raise ValueError(f"slices = {slices}: expected at least 1")
        if points < 3 or points % 2 == 0:
            raise ValueError(f"points = {points}: expected an odd number from 3")
        self.slices, self.points = slices, points

    def statistic(self, z: Tensor, generator: Generator) -> Tensor:
        """z [N, D] -> scalar. About 1.06 / N on N rows of N(0, I): the integral of
        (1 - e^{-t^2}) e^{-t^2 / 2} is sqrt(2 pi) (1 - 3^{-1/2}). On zeros 0.41, whatever N."""
        directions = torch.randn(z.shape[1], self.slices, generator=generator)
        directions = F.normalize(directions, dim=0).to(z)  # [D, S]
        with full_precision(z):
            return EppsPulley.apply(z @ directions, self.points)

    def __call__(self, z1: Tensor, z2: Tensor, generator: Generator) -> Tensor:
        """N times the statistic, as the paper's loss has it, averaged over the two views."""
        return len(z1) * (self.statistic(z1, generator) + self.statistic(z2, generator)) / 2


def vicreg(z1: Tensor, z2: Tensor, generator: Generator) -> Tensor:
    """v(z1) + v(z2) + [c(z1) + c(z2)] / 25 (VICReg, Bardes et al. 2022, eqs. 1-4 and 6): v the mean
    over columns of max(0, 1 - std), c the squared covariances of different columns over D. The
    paper's mu = 25, nu = 1 become 1 and 1 / 25; its invariance term is the run's latent loss."""
    total = z1.new_zeros(())
    with full_precision(z1):
        for z in (z1 - z1.mean(0), z2 - z2.mean(0)):
            covariance = z.t() @ z / (len(z) - 1)  # [D, D]
            variance = covariance.diagonal()  # [D]
            total = total + F.relu(1 - (variance + 1e-4).sqrt()).mean()
            between = covariance - variance.diag()
            total = total + between.square().sum() / z.shape[1] / 25
    return total


def cross_decorrelation(z1: Tensor, z2: Tensor, generator: Generator) -> Tensor:
    """Squared distance of C, the correlations [D, D] of columns of z1 with columns of z2, from the
    identity, off-diagonal entries weighted by 0.005 (Barlow Twins, Zbontar et al. 2021, eqs. 1-2).
    A constant column correlates with nothing."""
    a, b = z1 - z1.mean(0), z2 - z2.mean(0)
    a, b = (z * (z.square().sum(0) + 1e-12).rsqrt() for z in (a, b))
    with full_precision(z1):
        c = a.t() @ b  # [D, D]
    same = c.diagonal()
    return (1 - same).square().sum() + 5e-3 * (c - same.diag()).square().sum()


class GroupSparsity:
    """Group lasso (Yuan and Lin 2006): the sum over groups of consecutive latent dimensions of
    |z_group| / sqrt(size), averaged over nodes and the two views, so that whole groups fall silent.

    After SparseJEPA (Hartman and Varshney 2025), guided by oi-VAE (Ainsworth et al. 2018), whose
    lasso is on the weights from latents to data. A run has no such decoder: a lasso on the latents
    themselves is our assumption. ValueError: groups below 1 or, when called, no divisor of D."""

    def __init__(self, groups: int = 8) -> None:
        if groups < 1:
            raise ValueError(f"groups = {groups}: expected at least 1")
        self.groups = groups

    def __call__(self, z1: Tensor, z2: Tensor, generator: Generator) -> Tensor:
        """z1, z2 [N, D] -> scalar, about `groups` where every dimension has mean square 1."""
        n, width = z1.shape
        if width % self.groups:
            raise ValueError(f"groups = {self.groups}: expected a divisor of D = {width}")
        z = torch.cat([z1, z2]).view(2 * n, self.groups, -1)  # [2N, groups, size]
        return torch.linalg.vector_norm(z, dim=2).sum(1).mean() / z.shape[2] ** 0.5


# name -> (regulariser, its weight where none is given). The weights translate what was published
# to a latent loss of -cosine, half the squared distance of unit rows. None was tuned here.
OBJECTIVES: dict[str, tuple[Regulariser, float]] = {
    # (1 - l) |z - mean of views|^2 / D + l SIGReg, l = 0.02: 2 l / (1 - l) = 0.04 for two views
    # at the authors' batch of 256; the factor N makes that 0.04 * 256 / N, here for Cora's 2708
    "sigreg": (SIGReg(), 0.004),
    # 25 |z1 - z2|^2 / D, as the authors' code has it, is 50 (1 - cosine), against 25 v
    "vicreg": (vicreg, 0.5),
    # a whole loss as published, with no other beside it: 1 / 256 brings its D = 256 squares to 1
    "cross_decorrelation": (cross_decorrelation, 1 / 256),
    # none known: a guess, under a tenth of the latent loss where latents have variance 1
    "group_sparsity": (GroupSparsity(), 0.01),
}
