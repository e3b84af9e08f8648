"""Claims about development accuracy, each with a test below.

1. A split trains on 20 nodes a class, chooses on 500, scores all others; small classes give less.
2. No public test node is in a part, whatever its class: moving their labels moves no figure.
3. Several official splits count as none: every labelled node may be drawn.
4. Splits are those of graph and seed alone: the same for every embedding.
5. An embedding that is the class is judged 1, noise about as well as chance.
6. What cannot be judged is said: no labels, one class, a z of other rows.
"""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Data

import run_full
from nodejepa_ext.judging import development_accuracy, development_splits


@pytest.fixture(scope="module")
def cora() -> Data:
    return run_full.load_graph("cora")


def planted(counts: list[int]) -> Data:
    y = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    return Data(y=y, num_nodes=len(y))


def test_sizes_on_an_embedded_graph(cora: Data) -> None:
    for part in development_splits(cora):
        assert [int(n) for n in part.y[part.train_mask].bincount()] == [20] * 7
        assert int(part.val_mask.sum()) == 500
        assert int(part.test_mask.sum()) == 2708 - 1000 - 140 - 500


@given(st.lists(st.integers(2, 80), min_size=2, max_size=5), st.integers(0, 9))
@settings(deadline=None, max_examples=30)
def test_parts_are_disjoint_and_whole(counts: list[int], seed: int) -> None:
    data = planted(counts)
    for part in development_splits(data, 2, seed):
        parts = torch.stack([part.train_mask, part.val_mask, part.test_mask]).int()
        assert (parts.sum(0) == 1).all()
        wanted = [max(min(20, int(0.4 * n)), 1) for n in counts]
        assert part.y[part.train_mask].bincount().tolist() == wanted
        assert int(part.val_mask.sum()) == (sum(counts) - sum(wanted)) // 2


def test_test_nodes_have_no_say(cora: Data) -> None:
    z = cora.x @ torch.randn(cora.x.shape[1], 16, generator=torch.Generator().manual_seed(0))
    moved = cora.clone()
    moved.y[cora.test_mask] = 99
    for part in development_splits(moved, 3):
        used = part.train_mask | part.val_mask | part.test_mask
        assert not (used & cora.test_mask).any()
        assert (part.y[cora.test_mask] == -1).all()
    assert development_accuracy(z, cora, splits=3) == development_accuracy(z, moved, splits=3)


def test_several_official_splits_count_as_none() -> None:
    data = planted([30, 30])
    data.test_mask = torch.ones(60, 2, dtype=torch.bool)
    part = development_splits(data, 1)[0]
    assert int((part.train_mask | part.val_mask | part.test_mask).sum()) == 60


def test_splits_are_those_of_graph_and_seed(cora: Data) -> None:
    first, again = development_splits(cora, 2), development_splits(cora, 2)
    assert all(torch.equal(a.train_mask, b.train_mask) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0].train_mask, first[1].train_mask)
    other = development_splits(cora, 2, seed=1)
    assert not torch.equal(first[0].train_mask, other[0].train_mask)


def test_classes_are_found_and_noise_is_not() -> None:
    data = planted([200, 200, 200])
    told = development_accuracy(torch.nn.functional.one_hot(data.y).float(), data, splits=4)
    assert told["mean"] == 1.0 and told["n"] == 4 and len(told["rows"]) == 4
    noise = torch.randn(600, 8, generator=torch.Generator().manual_seed(0))
    assert abs(development_accuracy(noise, data, splits=4)["mean"] - 1 / 3) < 0.1


def test_what_cannot_be_judged() -> None:
    data = planted([5, 5])
    with pytest.raises(ValueError, match="splits = 0"):
        development_splits(data, 0)
    with pytest.raises(ValueError, match="no y"):
        development_splits(Data(num_nodes=3))
    with pytest.raises(ValueError, match=r"\[10\], expected two or more"):
        development_splits(Data(y=torch.zeros(10, dtype=torch.long), num_nodes=10))
    with pytest.raises(ValueError, match=r"z \[3, 2\]: expected \[10, D\]"):
        development_accuracy(torch.zeros(3, 2), data)
