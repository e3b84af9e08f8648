"""Claims about judging many nodes in blocks, each with a test below. `NODES` is lowered, so that
small graphs take the way of large ones.

1 The probe chooses and predicts what the reference's does, of two classes and of more.
2 Test labels out of range change nothing but what is scored.
3 Meters of collapse equal the reference's, of a collapsed embedding too.
4 Neighbours are those of the plain search; a number that is not finite is found in any block.
5 k-means from a sample finds clusters that are there, and is the same for the same seed.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Generator, Tensor
from torch_geometric.data import Data

import run_full
from nodejepa_ext.judging import large, tasks
from run_full import score_test


@pytest.fixture
def in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large, "NODES", 100)
    monkeypatch.setattr(large, "NUMBERS", 200)


def drawn(classes: int, width: int, n: int = 400) -> tuple[Tensor, Data]:
    g = Generator().manual_seed(width)
    y = torch.randint(classes, (n,), generator=g)
    centres = torch.randn(classes, width, generator=g)
    z = centres[y] + 1.5 * torch.randn(n, width, generator=g) + 3
    order = torch.randperm(n, generator=g)
    data = Data(y=y, num_nodes=n)
    for name, some in zip(tasks.PARTS, order.tensor_split((60, 140)), strict=True):
        data[name] = torch.zeros(n, dtype=torch.bool)
        data[name][some] = True
    return z, data


@pytest.mark.parametrize(("classes", "width"), [(2, 5), (4, 16), (5, 90)])
def test_probe_is_the_references(classes: int, width: int, in_blocks: None) -> None:
    z, data = drawn(classes, width)
    for rows in (z, z * torch.linspace(0.1, 9, len(z))[:, None]):
        ours, theirs = large.linear_probe(rows, data), run_full.linear_probe(rows, data)
        assert (ours.val, ours.c, ours.scaling) == (theirs.val, theirs.c, theirs.scaling)
        assert np.array_equal(ours.predicted, theirs.predicted)
        assert tasks.linear(rows, data)["rows"][0]["test"] == score_test(theirs) > 1.2 / classes
    bare = Data(y=data.y, num_nodes=len(z))
    assert large.linear_probe(z, bare).val == -1.0


def test_test_labels_change_no_choice(in_blocks: None) -> None:
    z, data = drawn(4, 16)
    blind = data.clone()
    blind.y = torch.where(data.test_mask, 10**6, data.y)
    one, other = large.linear_probe(z, data), large.linear_probe(z, blind)
    assert np.array_equal(one.predicted, other.predicted) and one.c == other.c
    assert score_test(other) == 0.0 < score_test(one)


def test_meters_are_the_references(in_blocks: None) -> None:
    z = drawn(4, 16)[0]
    flat = torch.outer(torch.linspace(1, 2, 400), torch.ones(16))
    for rows in (z, flat, 1e-3 * z + 7):
        ours, theirs = large.collapse(rows), run_full.collapse(rows)
        assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-5)


def test_neighbours_are_those_of_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    z, data = drawn(4, 16)
    plain = large.nearest(z, data.train_mask, 7), tasks.knn(z, data)
    monkeypatch.setattr(large, "NODES", 100)
    monkeypatch.setattr(large, "NUMBERS", 200)
    assert torch.equal(large.nearest(z, data.train_mask, 7), plain[0])
    assert tasks.knn(z, data) == plain[1]
    z[333, 5] = torch.inf
    with pytest.raises(ValueError, match=r"z\[333, 5\] = inf: expected finite numbers"):
        tasks.knn(z, data)


def test_clusters_start_from_a_sample(in_blocks: None) -> None:
    z, data = drawn(3, 12)
    apart = torch.eye(12)[data.y] + 0.01 * z
    found = [tasks.cluster(apart, data, seeds=2) for _ in range(2)]
    assert found[0] == found[1] and found[0]["nmi"]["mean"] == pytest.approx(1.0)
