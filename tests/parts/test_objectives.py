"""Claims about the regularisers, each with a test below.

1. SIGReg's statistic equals a slow sum over integration points, and the Epps-Pulley double sum.
2. It is 1.06 / N on N standard normal rows, 100 times that or more on a collapsed batch.
3. Its directions come from the generator alone; a call is N times the mean of both views.
4. Minimising it turns a nearly collapsed batch into one of full effective rank.
5. VICReg, cross-correlation and group sparsity equal loops over columns, and known values.
6. Gradients are those of finite differences, also where the batch is collapsed.
7. Autocast changes nothing; views change places and nodes change order without effect.
8. Each runs in `train`, in fp32 and bf16, and changes the losses. Bad settings are refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator, Tensor
from torch_geometric.data import Data

from nodejepa_ext.parts.objectives import (
    OBJECTIVES,
    GroupSparsity,
    SIGReg,
    cross_decorrelation,
    vicreg,
)
from run_full import Config, Regulariser, effective_rank, train

NAMES = list(OBJECTIVES)


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def normal(n: int, width: int, seed: int = 0) -> Tensor:
    return torch.randn(n, width, generator=seeded(seed), dtype=torch.float64)


def whitened(n: int, width: int) -> Tensor:
    """Columns of mean 0, variance 1 and no correlation."""
    z = normal(n, width)
    return torch.linalg.qr(z - z.mean(0)).Q * (n - 1) ** 0.5


def projections(z: Tensor, slices: int) -> Tensor:
    """What SIGReg draws from seeded(): z on unit directions [N, S]."""
    directions = torch.randn(z.shape[1], slices, generator=seeded())
    return z @ (directions / directions.norm(dim=0)).to(z)


@pytest.mark.parametrize("points", [3, 17, 41])
def test_sigreg_equals_sum_over_points(points: int) -> None:
    z, total = normal(30, 4), 0.0
    for column in projections(z, 5).t():
        values = []
        for t in torch.linspace(-5, 5, points, dtype=torch.float64):
            phi = torch.exp(-t * t / 2)
            values.append((torch.exp(1j * t * column).mean() - phi).abs() ** 2 * phi)
        total += torch.trapezoid(torch.stack(values), dx=10 / (points - 1)).item() / 5
    ours = SIGReg(5, points).statistic(z, seeded())
    assert ours.item() == pytest.approx(total, rel=1e-6)


def test_sigreg_equals_epps_pulley_double_sum() -> None:
    """Integrals of exp(-t^2 / 2) cos(at), exp(-t^2) cos(at) and exp(-3 t^2 / 2) in closed form."""
    for z in (normal(50, 3), normal(50, 3).clamp(min=0) * 0.3 + 0.5):
        x = projections(z, 4)  # [N, S]
        pairs = math.sqrt(2 * math.pi) * torch.exp(-((x[:, None] - x[None]) ** 2) / 2)
        single = math.sqrt(math.pi) * torch.exp(-(x**2) / 4)
        exact = pairs.mean((0, 1)) - 2 * single.mean(0) + math.sqrt(2 * math.pi / 3)
        ours = SIGReg(4).statistic(z, seeded())
        assert ours.item() == pytest.approx(exact.mean().item(), abs=2e-5)


def test_sigreg_on_gaussian_and_on_collapsed() -> None:
    n, measure, g = 500, SIGReg(slices=256).statistic, seeded(1)
    null = math.sqrt(2 * math.pi) * (1 - 3**-0.5)
    assert null == pytest.approx(1.06, abs=1e-3)
    drawn = [measure(torch.randn(n, 64, generator=g), g).item() for _ in range(20)]
    assert n * sum(drawn) / 20 == pytest.approx(null, rel=0.05)
    zero = measure(torch.zeros(n, 64), g).item()
    assert zero == pytest.approx(math.sqrt(2 * math.pi) * (1 - 2**0.5 + 3**-0.5), rel=1e-4)
    for collapsed in (0.0, 0.1, 1.0, 3.0):
        equal_rows = collapsed * torch.randn(1, 64, generator=g).expand(n, -1)
        assert measure(equal_rows, g).item() > 100 * null / n
    line = torch.randn(n, 1, generator=g) * torch.randn(1, 64, generator=g)  # rank 1
    assert measure(line, g).item() > 10 * null / n


def test_sigreg_draws_from_its_generator() -> None:
    z1, z2, sigreg = normal(20, 6), normal(20, 6, 1), SIGReg(slices=3)
    torch.manual_seed(5)
    first = sigreg(z1, z2, seeded())
    torch.manual_seed(6)
    assert torch.equal(sigreg(z1, z2, seeded()), first)
    assert not torch.equal(sigreg(z1, z2, seeded(1)), first)
    g = seeded()
    both = [sigreg.statistic(z1, g), sigreg.statistic(z2, g)]
    torch.testing.assert_close(first, 20 * torch.stack(both).mean())
    assert not torch.equal(sigreg(z1, z2, g), first)  # anew at every call


def test_sigreg_undoes_collapse() -> None:
    line = 0.3 * normal(200, 1) @ normal(1, 8, 1)
    z = (line + 0.015 * normal(200, 8, 2)).float().requires_grad_()
    before, optimizer, g = effective_rank(z.detach()), torch.optim.Adam([z], 0.05), seeded()
    for _ in range(150):
        optimizer.zero_grad()
        SIGReg(16)(z, z, g).backward()
        optimizer.step()
    assert before < 3 and effective_rank(z.detach()) > 7.5
    assert z.std(0).min() > 0.8 and z.std(0).max() < 1.2


def slow_vicreg(z1: Tensor, z2: Tensor) -> float:
    total = 0.0
    for z in (z1, z2):
        n, width = z.shape
        for i in range(width):
            total += max(0.0, 1 - math.sqrt(z[:, i].var().item() + 1e-4)) / width
            for j in (j for j in range(width) if j != i):
                pair = (z[:, i] - z[:, i].mean()) @ (z[:, j] - z[:, j].mean()) / (n - 1)
                total += pair.item() ** 2 / width / 25
    return total


def slow_cross_decorrelation(z1: Tensor, z2: Tensor) -> float:
    total, width = 0.0, z1.shape[1]
    for i in range(width):
        for j in range(width):
            c = torch.corrcoef(torch.stack([z1[:, i], z2[:, j]]))[0, 1].item()
            total += (1 - c) ** 2 if i == j else 0.005 * c**2
    return total


def slow_group_sparsity(z1: Tensor, z2: Tensor) -> float:
    total, size = 0.0, z1.shape[1] // 8
    for row in torch.cat([z1, z2]):
        for start in range(0, len(row), size):
            total += math.sqrt(sum(v**2 for v in row[start : start + size].tolist()) / size)
    return total / 2 / len(z1)


SLOW = {
    vicreg: slow_vicreg,
    cross_decorrelation: slow_cross_decorrelation,
    GroupSparsity(8): slow_group_sparsity,
}


@pytest.mark.parametrize(("ours", "slow"), SLOW.items())
def test_equal_loops(ours: Regulariser, slow: Callable[[Tensor, Tensor], float]) -> None:
    for scale in (0.3, 2.0):
        z1, z2 = scale * normal(12, 16), normal(12, 16, 1) + 4
        assert ours(z1, z2, seeded()).item() == pytest.approx(slow(z1, z2), rel=1e-6)


def test_known_values() -> None:
    z, zero = whitened(50, 8), torch.zeros(50, 8, dtype=torch.float64)
    assert vicreg(z, z, seeded()) < 1e-12
    assert vicreg(z, zero, seeded()).item() == pytest.approx(1 - 0.01)
    assert vicreg(z, z[:, :1].expand(-1, 8), seeded()).item() == pytest.approx(7 / 25)
    assert cross_decorrelation(z, 3 * z + 1, seeded()) < 1e-12
    assert cross_decorrelation(z, -z, seeded()).item() == pytest.approx(8 * 4)
    assert cross_decorrelation(z, z.roll(1, 1), seeded()).item() == pytest.approx(8 + 8 * 0.005)
    assert cross_decorrelation(zero, z, seeded()).item() == pytest.approx(8)
    ones = torch.ones(50, 8)
    assert GroupSparsity(4)(ones, ones, seeded()).item() == pytest.approx(4)
    half = torch.cat([ones[:, :4], torch.zeros(50, 4)], 1)  # two of four groups are silent
    assert GroupSparsity(4)(half, -half, seeded()).item() == pytest.approx(2)
    spread = half[:, [0, 4, 1, 5, 2, 6, 3, 7]]  # as much energy, and no group silent
    assert GroupSparsity(4)(spread, spread, seeded()).item() == pytest.approx(8**0.5)


@pytest.mark.parametrize("name", NAMES)
def test_gradients(name: str) -> None:
    term = OBJECTIVES[name][0]
    z1, z2 = normal(7, 8).requires_grad_(), (0.5 * normal(7, 8, 1)).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: term(a, b, seeded()), (z1, z2))
    for collapsed in (torch.zeros(7, 8), torch.ones(7, 8)):
        z = collapsed.requires_grad_()
        loss = term(z, z, seeded())
        loss.backward()
        assert loss.isfinite() and z.grad is not None and z.grad.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_autocast_changes_nothing(name: str) -> None:
    term, z = OBJECTIVES[name][0], (normal(40, 16) + 3).float()
    z1, z2 = z.clone().requires_grad_(), z.flip(0).clone().requires_grad_()
    exact = term(z1, z2, seeded())
    expected = torch.autograd.grad(exact, (z1, z2))
    with torch.autocast("cpu", torch.bfloat16):
        rough = term(z1, z2, seeded())
    assert rough.dtype == torch.float32 and torch.equal(rough, exact)
    assert all(map(torch.equal, torch.autograd.grad(rough, (z1, z2)), expected))


@given(st.integers(0, 99), st.sampled_from(NAMES))
@settings(max_examples=40, deadline=None)
def test_order_of_nodes_and_views(seed: int, name: str) -> None:
    term, z1, z2 = OBJECTIVES[name][0], normal(15, 8, seed), 2 * normal(15, 8, seed + 100)
    value, order = term(z1, z2, seeded()), torch.randperm(15, generator=seeded(seed))
    torch.testing.assert_close(term(z1[order], z2[order], seeded()), value)
    assert value >= 0
    if name != "sigreg":  # whose views meet directions of their own
        torch.testing.assert_close(term(z2, z1, seeded()), value)


@pytest.mark.parametrize("name", NAMES)
def test_runs_in_train(cfg: Config, data: Data, name: str) -> None:
    term, weight = OBJECTIVES[name]
    for precision in ("fp32", "bf16"):
        short = replace(cfg, regulariser_weight=weight, precision=precision, eval_every=0)
        plain, ours = train(short, data), train(short, data, regulariser=term)
        again = train(short, data, regulariser=term)
        losses = [[row["loss"] for row in run.state.rows] for run in (plain, ours, again)]
        assert losses[1] == losses[2] and torch.equal(ours.z, again.z)
        assert losses[1][0] > losses[0][0]  # the first step differs by the term alone
        assert not set(losses[0]) & set(losses[1]) and not torch.equal(plain.z, ours.z)


def test_bad_settings() -> None:
    with pytest.raises(ValueError, match="slices = 0: expected at least 1"):
        SIGReg(slices=0)
    for points in (1, 16):
        with pytest.raises(ValueError, match=f"points = {points}: expected an odd number"):
            SIGReg(points=points)
    with pytest.raises(ValueError, match="groups = 0"):
        GroupSparsity(0)
    with pytest.raises(ValueError, match="groups = 3: expected a divisor of D = 8"):
        GroupSparsity(3)(normal(4, 8), normal(4, 8), seeded())
