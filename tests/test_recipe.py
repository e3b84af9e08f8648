"""Claims about the recipe for every graph, each with a test below.

1. The square roots of a row's shares of its sum are as computed by hand, dense or sparse, whatever
   a row sums to; x stays as it was; a negative feature is refused.
2. What the recipe decides takes x and edges alone, and is as expected on small graphs; y and masks
   change nothing.
3. On the embedded graphs it decides what the record says.
4. Chunked inference sees the same features as the whole graph does.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Generator, Tensor
from torch_geometric.data import Data

import run_full
from nodejepa_ext.training import batches, settings
from run_full import BEST, Config, Encoder, Graph, recipe, transformed

X = torch.tensor([[1.0, 3.0, 0.0], [0.0, 0.0, 0.0], [0.0, 5.0, 0.0]])
ROOTS = torch.tensor([[0.5, 0.75**0.5, 0.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
N = 60


def ring(step: int) -> Tensor:
    """edge_index [2, 2N] of N nodes, each joined to the one `step` further."""
    at = torch.arange(N)
    edges = torch.stack([at, (at + step) % N])
    return torch.cat([edges, edges.flip(0)], 1)


def numbers() -> Tensor:
    """[N, 4] of one sort where i is even, of another where it is odd; none is negative."""
    drawn = torch.rand(N, 4, generator=Generator().manual_seed(0))
    drawn[::2, :2] += 2
    drawn[1::2, 2:] += 2
    return drawn


def csr(x: Tensor) -> Tensor:
    with warnings.catch_warnings(action="ignore"):  # "CSR support is in beta"
        return x.to_sparse_csr()


@pytest.mark.parametrize("times", [1.0, 7.0])
def test_square_roots(times: float) -> None:
    for x in (times * X, csr(times * X), (times * X).to_sparse_coo()):
        before = x.to_dense().clone()
        assert torch.allclose(transformed(x, "root").to_dense(), ROOTS)
        assert torch.equal(transformed(x, "none").to_dense(), before)
        assert torch.equal(x.to_dense(), before)
    with pytest.raises(ValueError, match="transform = root: expected features of at least 0"):
        transformed(-X, "root")


@pytest.mark.parametrize(
    ("x", "step", "changes"),
    [
        (numbers(), 2, {"transform": "root"}),
        (numbers() - 1, 2, {}),  # some are negative
        (numbers(), 1, {"transform": "root", "own_features": True}),  # edges join unlike nodes
    ],
)
def test_what_x_and_edges_decide(x: Tensor, step: int, changes: dict[str, object]) -> None:
    bare, at = Data(x=x, edge_index=ring(step)), torch.arange(N)
    expected = replace(BEST, **changes)
    assert settings.recipe(bare) == expected
    assert recipe(bare) == replace(expected, own_features=False)  # that is the toolkit's to decide
    masks = {f"{name}_mask": at % 3 == i for i, name in enumerate(("train", "val", "test"))}
    assert settings.recipe(Data(x=x, edge_index=ring(step), y=at % 2, **masks)) == expected
    assert settings.recipe(Data(x=csr(x), edge_index=ring(step))) == expected


def test_neighbours_of_words() -> None:
    words = (numbers() > 2).float()
    cfg = recipe(Data(x=words, edge_index=ring(2), edge_weight=torch.full((2 * N,), 5.0)))
    assert (cfg.neighbours, cfg.neighbour_weight) == (20, 2.0)  # a fifth of two edges of weight 5
    assert (cfg.layers, cfg.hops) == (1, 2)
    few = recipe(Data(x=words, edge_index=ring(2)), most_joined=N - 1)
    assert (few.layers, few.hops, few.neighbours) == (1, 2, 0)


@pytest.mark.parametrize(
    ("graph", "words"),
    [
        ("cora", {"layers": 1, "hops": 2, "neighbours": 20, "neighbour_weight": 0.78}),
        ("citeseer", {"layers": 1, "hops": 2, "neighbours": 20, "neighbour_weight": 0.55}),
        ("pubmed", {}),
    ],
)
def test_embedded_graphs(graph: str, words: dict[str, Any]) -> None:
    expected = replace(BEST, transform="root", **words)
    assert run_full.preset("best", graph) == expected
    assert settings.recipe(run_full.load_graph(graph)) == expected


def test_chunks_see_the_same_features() -> None:
    data = Data(x=numbers(), edge_index=ring(1))
    cfg = Config(hidden=8, out=4, transform="root", own_features=True, device="cpu", norm="none")
    torch.manual_seed(0)
    encoder = Encoder(cfg, 4)
    whole = run_full.embed(encoder, Graph.of(data, cfg))
    assert torch.allclose(batches.embed(encoder, data, 7), whole, atol=1e-6)
    plain = run_full.embed(encoder, Graph.of(data, replace(cfg, transform="none")))
    assert not torch.allclose(plain, whole, atol=1e-2)
