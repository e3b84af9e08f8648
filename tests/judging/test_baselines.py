"""Claims about FastRP, each with a test below.

1. It equals the dense formula with explicit matrix powers, on the published recipe and others.
2. Weights that pick one power give that power; with features, power 0 is a projection of x.
3. A node without neighbours is zero from power 1 on; all is finite, also without any edge.
4. The projection keeps inner products on average; a seed decides it alone.
5. With features, permuted nodes permute the rows. Directions, loops, repeats of edges do not count.
6. It separates the blocks of a block model. Bad settings are refused.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Data

from nodejepa_ext.judging.baselines import fastrp
from run_full import linear_probe

PAPER = (0.0, 1.0, 1.0, 7.81, 45.28)


@pytest.fixture
def tiny() -> Data:
    """A triangle 0-1-2 with a tail 2-3-4, and 5 alone; features of width 3."""
    edge_index = torch.tensor([[0, 1, 2, 2, 3], [1, 2, 0, 3, 4]])
    return Data(x=torch.arange(18.0).view(6, 3).cos(), edge_index=edge_index)


def one_hot(power: int) -> list[float]:
    return [0.0] * power + [1.0]


def only(data: Data, power: int, out: int = 16, **changes: Any) -> Tensor:
    return fastrp(data, out, weights=one_hot(power), density=1.0, **changes)


def dense(data: Data, start: Tensor, weights: tuple[float, ...], beta: float) -> Tensor:
    """The formula from start [N, out], the projection before L, by explicit matrix powers."""
    adj = torch.zeros(6, 6, dtype=torch.float64)
    adj[tuple(data.edge_index)] = 1
    adj = adj + adj.t()
    degree = adj.sum(1, keepdim=True)
    transition = adj / degree.clamp(min=1)
    scaled = (degree.clamp(min=1) / adj.sum()) ** beta * start.double()
    powers = [torch.linalg.matrix_power(transition, k) @ scaled for k in range(len(weights))]
    return sum(w * F.normalize(p) for w, p in zip(weights, powers, strict=True))


@pytest.mark.parametrize("features", [False, True])
@pytest.mark.parametrize(("weights", "beta"), [(PAPER, -0.628), ((1.0, -2.0, 3.0), 0.5)])
def test_equals_dense_formula(
    tiny: Data, features: bool, weights: tuple[float, ...], beta: float
) -> None:
    if features:
        identity = Data(x=torch.eye(3), edge_index=torch.empty(2, 0, dtype=torch.long))
        start = tiny.x @ only(identity, 0, features=True) * 4  # the rows of R, of length 4, back
    else:
        start = only(tiny, 0) * 4
    assert set(start.abs().round(decimals=6).flatten().tolist()) == {1.0} or features
    ours = fastrp(tiny, 16, weights=weights, beta=beta, density=1.0, features=features)
    assert ours.dtype == torch.float32 and ours.shape == (6, 16)
    torch.testing.assert_close(ours.double(), dense(tiny, start, weights, beta), rtol=0, atol=5e-5)


def test_one_hot_weights_give_that_power(tiny: Data) -> None:
    powers = [only(tiny, k) for k in range(5)]
    total = sum(w * p for w, p in zip(PAPER, powers, strict=True))
    torch.testing.assert_close(fastrp(tiny, 16, weights=PAPER, density=1.0), total)
    for power in powers[1:]:
        torch.testing.assert_close(power[:5].norm(dim=1), torch.ones(5))
    torch.testing.assert_close(powers[1][4], powers[0][3])  # node 4 has one neighbour, node 3
    torch.testing.assert_close(powers[2][4], powers[1][3])
    mean = F.normalize(powers[0][[2, 4]].mean(0), dim=0)
    torch.testing.assert_close(only(tiny, 1, beta=0.0)[3], mean)


def test_nodes_without_neighbours(tiny: Data) -> None:
    for features in (False, True):
        z = fastrp(tiny, 8, features=features)
        assert z.isfinite().all() and not z[5].any() and z[:5].any(1).all()
    own = only(tiny, 0, features=True)
    torch.testing.assert_close(own[5].norm(), torch.tensor(1.0))
    bare = Data(x=tiny.x, edge_index=torch.empty(2, 0, dtype=torch.long))
    assert not fastrp(bare, 8, beta=-1.0).any()
    assert only(bare, 0, beta=-1.0).isfinite().all()


def test_seed_decides(data: Data) -> None:
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    for features in (False, True):
        z = fastrp(data, 32, features=features)
        assert torch.equal(z, fastrp(data, 32, features=features, seed=0))
        assert not torch.equal(z, fastrp(data, 32, features=features, seed=1))
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()


@pytest.mark.parametrize("density", [0.2, 1.0, None])
def test_projection_keeps_cosines(data: Data, density: float | None) -> None:
    z = fastrp(data, 20_000, weights=[1.0], density=density, features=True)
    x = F.normalize(data.x)
    assert z.shape == (60, 20_000)
    assert (z @ z.t() - x @ x.t()).abs().max() < 0.06


def test_permutation_and_form_of_edges(data: Data) -> None:
    order = torch.randperm(60, generator=torch.Generator().manual_seed(1))
    place = torch.empty(60, dtype=torch.long).scatter_(0, order, torch.arange(60))
    permuted = Data(x=data.x[order], edge_index=place[data.edge_index])
    z = fastrp(data, 32, features=True)
    torch.testing.assert_close(fastrp(permuted, 32, features=True), z[order])
    loops = torch.arange(60).expand(2, -1)
    many = Data(x=data.x, edge_index=torch.cat([data.edge_index, data.edge_index.flip(0)], 1))
    many.edge_index = torch.cat([many.edge_index, loops, data.edge_index], 1)
    torch.testing.assert_close(fastrp(many, 32, features=True), z)
    compressed = Data(x=data.x.to_sparse_coo(), edge_index=data.edge_index)
    torch.testing.assert_close(fastrp(compressed, 32, features=True), z)
    nodes = Data(edge_index=data.edge_index, num_nodes=60)  # structure needs no x
    assert torch.equal(fastrp(nodes, 32), fastrp(data, 32))


def test_blocks_are_separated(data: Data) -> None:
    for features in (False, True):
        assert linear_probe(fastrp(data, 64, features=features), data).val > 0.9


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"out": 0}, "out = 0: expected at least 1"),
        ({"weights": ()}, "weights = \\(\\): expected finite numbers"),
        ({"weights": (1.0, float("nan"))}, "weights = .*: expected finite numbers"),
        ({"beta": float("inf")}, "beta = inf: expected a finite number"),
        ({"density": 0.0}, "density = 0.0: expected above 0 and at most 1"),
        ({"density": 1.5}, "density = 1.5: expected above 0 and at most 1"),
    ],
)
def test_bad_settings(tiny: Data, changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        fastrp(tiny, **changes)
