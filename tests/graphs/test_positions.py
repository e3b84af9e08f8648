"""Claims about positions beside features, each with a test below.

1. Positions come in where an edge joins nodes hardly more alike than chance: with noise, with weak
   signal, where likeness misleads; not with features that tell classes, nor without edges, nor
   in an embedded graph. No label has a say.
2. Beside features they vary a share as much after two hops, whatever the units of either: all of
   it where features say nothing, less as they say more. Where a graph has fewer, columns of zeros
   stand in; the features themselves stay as they are.
3. What was decided is kept: asked for, positions come in where features are good; 0 leaves them
   out. A graph without features has its own, as before.
4. `auto` decides by the features alone, joins no neighbours beside positions, and takes own
   features only where that edges mislead is more than chance.
5. With edges held out, positions are made of those left; the features are the same.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected

import run_full
from nodejepa_ext.graphs.graph import read_graph, structural_features
from nodejepa_ext.graphs.likeness import likeness
from nodejepa_ext.graphs.positions import (
    COLUMNS,
    LEAST,
    WEAK,
    beside,
    positions,
    weakness,
    weight,
)
from nodejepa_ext.graphs.scaling import Scaling, prepared, remade
from nodejepa_ext.graphs.source import Source, subject
from nodejepa_ext.judging.tasks import split_edges
from nodejepa_ext.training.settings import auto
from run_full import Config, Graph


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODEJEPA_CACHE", str(tmp_path / "cache"))


def planted(signal: float, columns: int = 5) -> Data:
    """240 nodes in three classes, about ten edges each, eight of them within; x has a mean a class,
    signal apart, and unit normal noise."""
    g = torch.Generator().manual_seed(3)
    y = torch.arange(240) % 3
    chance = torch.where(y[:, None] == y[None], 0.1, 0.0125)
    edges = (torch.rand(240, 240, generator=g) < chance).triu(1).nonzero().t()
    x = signal * torch.randn(3, columns, generator=g)[y]
    x += torch.randn(240, columns, generator=g)
    return Data(x=x, edge_index=to_undirected(edges, num_nodes=240), y=y)


def graph(data: Data) -> Graph:
    bare = Data(x=data.x, edge_index=data.edge_index)
    return Graph.of(bare, Config(device="cpu"))


def spread(data: Data, columns: Tensor) -> float:
    smooth = graph(data).average(columns, 2)
    return float((smooth - smooth.mean(0)).norm())


@pytest.mark.parametrize(("signal", "weak"), [(0.0, True), (0.5, True), (2.0, False)])
def test_rule(signal: float, weak: bool) -> None:
    data = planted(signal)
    assert bool(weakness(data)) == weak == (likeness(data) < WEAK)
    found = subject(read_graph(data, normalise="none"), None, None)
    said = [notice for notice in found.graph.notices if "16 positions are put beside" in notice]
    assert bool(said) == weak and found.scaling.positions == COLUMNS * weak
    assert found.graph.data.x.shape == (240, 5 + COLUMNS * weak)
    other = data.clone()
    other.y = other.y.flip(0)
    assert torch.equal(
        subject(read_graph(other, normalise="none"), None, None).graph.data.x, found.graph.data.x
    )


def test_rule_where_edges_mislead_or_are_none() -> None:
    sides = torch.arange(60) % 2
    x = torch.nn.functional.one_hot(sides, 2).float()
    across = torch.stack([torch.arange(60), (torch.arange(60) + 1) % 60])
    data = Data(x=x, edge_index=to_undirected(across))
    assert "probability 0.25, below 0.65" in weakness(data)
    assert weakness(Data(x=x, edge_index=torch.empty(2, 0, dtype=torch.long))) == ""


@pytest.mark.parametrize("name", ["cora", "citeseer"])
def test_good_features_stay_alone(name: str) -> None:
    data = run_full.load_graph(name)
    assert weakness(data) == ""
    source = Source.of(name)
    assert subject(source.graph(), source, None).scaling.positions == 0


def test_weight() -> None:
    data = planted(0.5)
    for units in (1.0, 1e-4, 300.0):
        x = units * data.x
        both = beside(x, data, 8)
        assert torch.equal(both[:, :5], x)
        share = weight(likeness(Data(x=x, edge_index=data.edge_index)))
        assert LEAST < share < 1
        assert spread(data, both[:, 5:]) == pytest.approx(share * spread(data, x), rel=1e-4)
    where = positions(data, 8)
    ratio = both[:, 5:] / where
    assert torch.allclose(ratio, ratio[:1].expand_as(ratio), rtol=1e-3)  # one scale for all


def test_weight_falls_as_features_say_more() -> None:
    assert weight(0.25) == weight(0.5) == 1.0
    assert weight(0.56) == pytest.approx(0.36)
    assert weight(0.64) == weight(WEAK) == weight(0.9) == LEAST


def test_small_graphs_have_fewer() -> None:
    path = Data(x=torch.rand(4, 2), edge_index=to_undirected(torch.tensor([[0, 1], [1, 2]])))
    assert positions(path).shape == (4, 2)  # a path of three nodes, and one alone
    both = beside(path.x, path, 16)
    assert both.shape == (4, 18) and not both[:, 4:].any() and not both[3, 2:].any()


def test_what_was_decided_is_kept() -> None:
    good, weak = (read_graph(planted(signal), normalise="none") for signal in (2.0, 0.0))
    asked = subject(good, None, 4)
    assert asked.scaling.positions == 4 and asked.graph.data.x.shape == (240, 9)
    without = subject(weak, None, 0)
    assert without.scaling.positions == 0
    assert torch.equal(without.graph.data.x, Scaling.fit(weak.data.x).prepare(weak).x)
    again = subject(weak, None, None).scaling.prepare(weak, 5 + COLUMNS)
    assert torch.equal(again.x, subject(weak, None, None).graph.data.x)
    with pytest.raises(ValueError, match=r"expected \[240, 6\], as in training"):
        subject(weak, None, None).scaling.prepare(weak, 6 + COLUMNS)
    bare = Data(edge_index=planted(0.0).edge_index, num_nodes=240)
    found = subject(read_graph(bare, normalise="none"))
    assert found.scaling == Scaling("structural")
    assert torch.equal(found.graph.data.x, structural_features(bare))


def test_auto() -> None:
    noise = read_graph(planted(0.0), normalise="none")
    _, data, _ = prepared(noise)
    alike = likeness(Data(x=data.x[:, :5], edge_index=data.edge_index))
    assert alike == pytest.approx(0.5, abs=0.03)
    cfg, why = auto(data)
    assert not cfg.own_features and f"{alike:.2f}" in why
    words = planted(0.0, 30)
    words.x = (words.x > 0).float()
    _, data, _ = prepared(read_graph(words, normalise="none"))
    cfg, why = auto(data)
    assert data.positions == COLUMNS and cfg.neighbours == 0 and "joined" not in why
    assert cfg.transform == "none"
    sides = torch.arange(60) % 2
    x = torch.nn.functional.one_hot(sides, 2).float()
    across = torch.stack([torch.arange(60), (torch.arange(60) + 1) % 60])
    apart = Data(x=x, edge_index=to_undirected(across))
    _, data, _ = prepared(read_graph(apart, normalise="none"))
    assert auto(data)[0].own_features and data.positions == COLUMNS


def test_held_out_edges_make_no_positions() -> None:
    _, data, _ = prepared(read_graph(planted(0.0), normalise="none"))
    split = split_edges(data)
    x = remade(split.data, data)
    assert torch.equal(x[:, :5], data.x[:, :5]) and x.shape == data.x.shape
    assert torch.equal(x, beside(data.x[:, :5], split.data, COLUMNS))
    assert not torch.allclose(x[:, 5:], data.x[:, 5:], atol=1e-3)
    bare = Data(edge_index=data.edge_index, num_nodes=240)
    made = subject(read_graph(bare, normalise="none")).graph.data
    left = split_edges(made)
    assert torch.equal(remade(left.data, made), structural_features(left.data))
    good, _ = prepared(read_graph(planted(2.0), normalise="none"))[1:]
    assert torch.equal(remade(split_edges(good).data, good), good.x)
