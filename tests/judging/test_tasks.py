"""Claims about the judging of frozen embeddings, each with a test below.

1. Separated classes score 1 in every node task; random labels score chance.
2. Splits are disjoint, seeded, of the shares promised, cover the labelled nodes and no other; the
   graph's own masks are used as they are.
3. Test labels, or test pairs, out of range change no choice: C, scaling, k, scorer.
4. linear is run_full's probe; knn is a majority vote counted by hand.
5. Clustering figures: NMI and ARI of known partitions, silhouette of a seeded sample; a collapsed
   embedding is judged, not refused.
6. Held-out edges are absent from the graph in both directions; nothing else that could tell of
   them is left in it; the parts make up all edges.
7. Negatives are distinct pairs, no edges, no self-pairs, uniform, even where few are left.
8. AUC counts pairs, AP sums precision, Hits@K by hand; perfect, inverted and constant scores.
9. The scorer is the better on validation; common neighbours and Adamic-Adar by set arithmetic.
10. Everything is deterministic, JSON-able, and the same for tensors, arrays and sparse rows.
11. Controls are what they say, and see no labels.
12. Weights of edges stay with the edges that are left.
13. What does not fit is refused by name.
"""

from __future__ import annotations

import json
import math
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torch_geometric.utils as pyg
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import silhouette_score
from torch import Generator, Tensor
from torch_geometric.data import Data

import run_full
from nodejepa_ext.judging import tasks as evaluate
from nodejepa_ext.judging.baselines import fastrp
from nodejepa_ext.judging.splits import PARTS, labelled, node_splits, random_splits
from nodejepa_ext.judging.tasks import (
    LinkSplit,
    cluster,
    collapse,
    controls,
    knn,
    linear,
    link,
    link_controls,
    ranking,
    split_edges,
)
from run_full import Config, linear_probe, score_test

KS = (1, 3, 5)
UNMASKED = Data(y=torch.arange(240) % 3)


def noise(n: int, d: int, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=Generator().manual_seed(seed))


def separated(data: Data) -> Tensor:
    """[N, 3]: classes far apart."""
    return F.one_hot(data.y).float() + 0.01 * noise(len(data.y), 3)


def random_graph(n: int, share: float, seed: int) -> Data:
    drawn = torch.rand(n, n, generator=Generator().manual_seed(seed)) < share
    return Data(x=torch.eye(n), edge_index=drawn.triu(1).nonzero().t())


def pairs(index: Tensor) -> set[tuple[int, int]]:
    return set(map(tuple, index.t().tolist()))


def test_separated_classes_score_one(data: Data) -> None:
    for graph, n in ((data, 1), (UNMASKED, 20)):
        for found in (linear(separated(graph), graph), knn(separated(graph), graph, KS[:2])):
            assert (found["mean"], found["n"]) == (1.0, n)
    found = cluster(separated(data), data, seeds=2)
    assert found["nmi"]["mean"] == found["ari"]["mean"] == pytest.approx(1.0)
    assert found["silhouette"]["mean"] > 0.95 and found["n_clusters"] == 3


def test_random_labels_score_chance() -> None:
    y = torch.arange(400) % 4
    z, graph = noise(400, 3), Data(y=y[torch.randperm(400, generator=Generator().manual_seed(1))])
    assert abs(linear(z, graph, splits=4)["mean"] - 0.25) < 0.06
    assert abs(knn(z, graph)["mean"] - 0.25) < 0.06
    found = cluster(z, graph, seeds=3)
    assert found["nmi"]["mean"] < 0.05 and abs(found["ari"]["mean"]) < 0.05


@given(n=st.integers(20, 90), unlabelled=st.integers(0, 20), seed=st.integers(0, 99))
def test_random_splits(n: int, unlabelled: int, seed: int) -> None:
    y = torch.cat([torch.full((unlabelled,), -1), torch.arange(n) % 2 * 3])
    found = random_splits(y, 3, seed)  # [3, N, 3]
    assert torch.equal(found.sum(0), (y >= 0).long()[:, None].expand(-1, 3))
    tenth = round(n / 10)
    assert found.sum(1).tolist() == [[tenth] * 3, [tenth] * 3, [n - 2 * tenth] * 3]
    assert torch.equal(random_splits(y, 2, seed), found[:, :, :2])
    assert not torch.equal(found[:, :, 0], found[:, :, 1])
    assert not torch.equal(found, random_splits(y, 3, seed + 1))


def test_weights_stay_with_their_edges(data: Data) -> None:
    edges = pyg.to_undirected(data.edge_index)
    told = Data(x=data.x, edge_index=edges, edge_weight=1.0 + edges.sum(0))
    left = split_edges(told, val=0.2, test=0.2).data
    assert torch.equal(left.edge_weight, 1.0 + left.edge_index.sum(0))
    assert torch.equal(left.edge_index, split_edges(data, val=0.2, test=0.2).data.edge_index)


def test_official_masks(data: Data) -> None:
    (only,) = node_splits(data)
    assert all(torch.equal(only[part], data[part]) for part in PARTS)
    assert len(node_splits(data, 3)) == 3 and len(node_splits(UNMASKED)) == 20
    many = data.clone()  # of WikiCS's shape: k training and validation masks, one of test
    many.train_mask = torch.stack([data.train_mask, data.val_mask], 1)
    many.val_mask = torch.stack([data.val_mask, data.train_mask], 1)
    a, b = node_splits(many)
    assert torch.equal(a.train_mask, b.val_mask) and torch.equal(a.test_mask, b.test_mask)
    assert linear(data.x, many)["rows"][0] == linear(data.x, data)["rows"][0]
    many.y[::2] = -1
    for part in node_splits(many):
        assert not torch.stack([part[name] for name in PARTS])[:, ::2].any()


@pytest.mark.parametrize("official", [True, False])
def test_test_labels_change_no_choice(data: Data, official: bool) -> None:
    graph, splits = (data, None) if official else (UNMASKED, 1)
    (part,) = node_splits(graph, splits)
    blind = graph.clone()
    blind.y = torch.where(part.test_mask, 10**6, graph.y)
    z = separated(graph) + 0.5 * noise(len(graph.y), 3, 1)
    for honest, spoilt in (
        (linear(z, graph, splits=splits), linear(z, blind, splits=splits)),
        (knn(z, graph, KS, splits=splits), knn(z, blind, KS, splits=splits)),
    ):
        assert honest["mean"] > 0.5 and spoilt["mean"] == 0.0
        assert honest["rows"][0] | {"test": 0.0} == spoilt["rows"][0]


def test_test_pairs_change_no_choice(data: Data) -> None:
    split = split_edges(data, val=0.2, test=0.2)
    swapped = split._replace(test=split.test_negative, test_negative=split.test)
    for z in (data.x, noise(60, 4), separated(data)):
        honest, spoilt = link(z, split), link(z, swapped)
        assert (honest["scorer"], honest["val"]) == (spoilt["scorer"], spoilt["val"])
        assert honest["auc"] == pytest.approx(1 - spoilt["auc"])


def test_linear_is_the_probe(data: Data) -> None:
    found, result = linear(data.x, data), linear_probe(data.x, data)
    row = {"split": 0, "val": result.val, "test": score_test(result)}
    assert found["rows"] == [row | {"c": result.c, "scaling": result.scaling}]
    assert found["mean"] == row["test"] and found["n"] == 1 and found["std"] is None
    found = linear(data.x, data, splits=4, seed=1)
    tests = [row["test"] for row in found["rows"]]
    half = 3.18245 * np.std(tests, ddof=1) / 2  # t of 3 degrees of freedom, 95%
    assert found["mean"] == pytest.approx(np.mean(tests))
    assert found["high"] == pytest.approx(np.mean(tests) + half, rel=1e-5)


def test_knn_counts_votes(data: Data) -> None:
    z = F.normalize(data.x + 0.3 * noise(60, 12)).double()
    train, said = data.train_mask.nonzero()[:, 0].tolist(), {}
    for k in KS:
        near = [sorted(train, key=lambda t, v=v: -float(z[v] @ z[t]))[:k] for v in range(60)]
        votes = [[int(data.y[t]) for t in some] for some in near]
        said[k] = np.array([min(set(v), key=lambda c, v=v: (-v.count(c), c)) for v in votes])
    val = {k: (said[k] == data.y.numpy())[data.val_mask].mean() for k in KS}
    best = max(KS, key=lambda k: (val[k], k))
    test = (said[best] == data.y.numpy())[data.test_mask].mean()
    expected = {"split": 0, "val": val[best], "test": test, "k": best}
    assert knn(z, data, KS)["rows"] == [pytest.approx(expected)]
    assert knn(separated(data), data, KS)["rows"][0]["k"] == 5  # all score 1: the largest


def test_clusters(data: Data) -> None:
    z, merged = separated(data), data.clone()
    merged.y = torch.where(data.y == 2, -1, data.y)  # the third class has no label
    found = cluster(z, merged, n_clusters=3, seeds=2)
    assert found["nmi"]["mean"] == pytest.approx(1.0)
    merged.y = data.y.clamp(max=1)  # 3 clusters of 20 against classes of 20 and 40
    found = cluster(z, merged, n_clusters=3, seeds=1)
    classes = math.log(3) - 2 / 3 * math.log(2)  # nats; all of it is shared
    assert found["nmi"]["mean"] == pytest.approx(2 * classes / (classes + math.log(3)))
    alone = cluster(z, n_clusters=3, seeds=1)
    assert alone["silhouette"] == found["silhouette"] and "nmi" not in alone
    scaled = cluster(z * (1 + 9 * (torch.arange(60) % 2))[:, None], data, seeds=1)
    assert scaled["ari"]["mean"] == pytest.approx(1.0)  # length says nothing


def test_silhouette_of_a_sample(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    unit = F.normalize(separated(data)).numpy()
    whole = evaluate.silhouette(unit, data.y.numpy(), 0)
    assert whole == pytest.approx(silhouette_score(unit, data.y.numpy()))
    monkeypatch.setattr(evaluate, "SILHOUETTE_NODES", 30)
    some = [evaluate.silhouette(unit, data.y.numpy(), seed) for seed in (0, 0, 1)]
    assert some[0] == some[1] != some[2] and some == pytest.approx([whole] * 3, abs=0.02)


def test_collapsed_embeddings_are_judged(data: Data) -> None:
    found = cluster(torch.ones(60, 4), data, seeds=2)
    assert found["silhouette"]["mean"] == found["nmi"]["mean"] == 0.0
    ranks = link(torch.ones(60, 4), split_edges(data, val=0.2, test=0.2))
    assert (ranks["auc"], ranks["scorer"], ranks["hits@20"]) == (0.5, "cosine", 0.0)
    z = noise(60, 4)
    assert collapse(z.numpy()) == run_full.collapse(z)


@given(
    n=st.integers(5, 30), share=st.floats(0.3, 1), seed=st.integers(0, 99), held=st.floats(0.1, 0.4)
)
def test_held_out_edges(n: int, share: float, seed: int, held: float) -> None:
    graph = random_graph(n, share, seed)
    edges = pairs(graph.edge_index)
    total, loops = len(edges), torch.arange(n).expand(2, -1)
    free = n * (n - 1) // 2 - total
    graph.edge_index = torch.cat([graph.edge_index, graph.edge_index.flip(0), loops], 1)
    counts = [round(held * total), round(0.2 * total)]
    if min(counts) < 1 or sum(counts) >= total or free < sum(counts):
        with pytest.raises(ValueError, match="expected at least"):
            split_edges(graph, val=held, test=0.2, seed=seed)
        return
    split = split_edges(graph, val=held, test=0.2, seed=seed)
    left, *parts = map(pairs, (split.data.edge_index, *split[1:]))
    val, val_negative, test, test_negative = parts
    assert [len(part) for part in parts] == [counts[0]] * 2 + [counts[1]] * 2
    assert split.val.shape == split.val_negative.shape == (2, counts[0])
    assert left == {(v, u) for u, v in left} and not left & {(v, v) for v in range(n)}
    upper = {(u, v) for u, v in left if u < v}
    assert upper | val | test == edges and len(upper) + sum(counts) == total
    assert all(u < v < n for u, v in val_negative | test_negative)
    assert not (val_negative | test_negative) & edges and not val_negative & test_negative


def test_nothing_tells_of_the_held_out(data: Data) -> None:
    told = data.clone()
    told.edge_attr = torch.ones(data.edge_index.shape[1], 2)
    told.full_edge_index = data.edge_index
    split = split_edges(told)
    total = data.edge_index.shape[1]
    assert set(split.data.keys()) == {"x", "y", "edge_index", "num_nodes", *PARTS}
    assert split.val.shape[1] == round(0.05 * total) and split.test.shape[1] == round(0.1 * total)
    assert torch.equal(data.edge_index, told.edge_index)  # the input is as it was


def test_all_non_edges_alike() -> None:
    """A path of 4 nodes has 3 pairs without an edge; a complete graph but for a triangle, 3."""
    path = torch.tensor([[0, 1, 2], [1, 2, 3]])
    rest = torch.tensor([p for p in combinations(range(9), 2) if p[0] < 6 or p[1] < 6]).t()
    for edges, n, free in (
        (path, 4, {(0, 2), (0, 3), (1, 3)}),
        (rest, 9, {(6, 7), (6, 8), (7, 8)}),
    ):
        rng = np.random.default_rng(0)
        assert pairs(evaluate.non_edges(edges, n, 3, rng)) == free
        drawn = [pairs(evaluate.non_edges(edges, n, 1, rng)).pop() for _ in range(300)]
        assert all(60 < drawn.count(pair) < 140 for pair in free)


def test_ranking_by_hand() -> None:
    found = ranking([0.9, 0.5, 0.1], [0.8, 0.5], ks=(1, 2, 3))
    assert found == pytest.approx(
        # 0.9 beats both; 0.5 ties with one; 0.1 loses
        {"auc": 2.5 / 6, "ap": (1 + 2 / 4 + 3 / 5) / 3, "hits@1": 1 / 3, "hits@2": 1 / 3}
    )
    high, low = np.arange(100.0, 200), np.arange(100.0)
    assert ranking(high, low) == {"auc": 1, "ap": 1, "hits@20": 1, "hits@50": 1, "hits@100": 1}
    assert ranking(low, high)["auc"] == ranking(low, high)["hits@100"] == 0.0
    constant = ranking(np.ones(50), np.ones(50))
    assert constant == {"auc": 0.5, "ap": 0.5, "hits@20": 0.0, "hits@50": 0.0}


scores = st.lists(st.integers(0, 9), min_size=1, max_size=20)


@given(positive=scores, negative=scores)
def test_ranking_by_the_slow_formulas(positive: list[int], negative: list[int]) -> None:
    found = ranking(positive, negative, ks=(1, 3))
    wins = [(p > q) + (p == q) / 2 for p in positive for q in negative]
    assert found["auc"] == pytest.approx(np.mean(wins))
    precision = 0.0
    for level in set(positive):  # average precision: at every threshold, precision x new recall
        hits, false = sum(p >= level for p in positive), sum(q >= level for q in negative)
        precision += hits / (hits + false) * positive.count(level) / len(positive)
    assert found["ap"] == pytest.approx(precision)
    for k in (1, 3):
        assert (f"hits@{k}" in found) == (k <= len(negative))
        above = [sum(q >= p for q in negative) < k for p in positive]
        assert found.get(f"hits@{k}", np.mean(above)) == pytest.approx(np.mean(above))


def test_scorers() -> None:
    """Rows in which length alone tells of an edge, and rows in which direction does."""
    short, long = torch.tensor([0, 1]), torch.tensor([2, 3])
    z = torch.tensor([[1.0, 0.0], [1.0, 0.1], [9.0, 0.0], [6.0, 6.0]])
    graph = Data(x=z, edge_index=torch.empty(2, 0, dtype=torch.long), num_nodes=4)
    by_length = LinkSplit(graph, long[:, None], short[:, None], long[:, None], short[:, None])
    assert link(z, by_length) == {"scorer": "inner product", "val": 1.0, "auc": 1.0, "ap": 1.0}
    by_angle = LinkSplit(graph, short[:, None], long[:, None], long[:, None], short[:, None])
    assert link(z, by_angle) == {"scorer": "cosine", "val": 1.0, "auc": 0.0, "ap": 0.5}


def test_link_controls(data: Data) -> None:
    split = split_edges(data, val=0.1, test=0.1)
    near = {
        v: set(split.data.edge_index[1][split.data.edge_index[0] == v].tolist()) for v in range(60)
    }

    def sums(index: Tensor, rarity: bool) -> list[float]:
        common = [near[u] & near[v] for u, v in index.t().tolist()]
        return [sum(1 / math.log(len(near[w])) if rarity else 1.0 for w in c) for c in common]

    found = link_controls(split)
    for name, rarity in (("common neighbours", False), ("Adamic-Adar", True)):
        test = ranking(sums(split.test, rarity), sums(split.test_negative, rarity))
        assert {key: found[name][key] for key in test} == pytest.approx(test)
    cosine = F.cosine_similarity
    raw = [cosine(data.x[u], data.x[v]) for u, v in (split.test, split.test_negative)]
    assert found["raw features"]["auc"] == pytest.approx(ranking(*raw)["auc"])


def test_adamic_adar_prefers_rare_neighbours() -> None:
    """0 and 2 share a node of degree 2; 3 and 5 one of degree 3."""
    half = torch.tensor([[0, 1, 3, 4, 4], [1, 2, 4, 5, 6]])
    graph = Data(x=torch.eye(7), edge_index=torch.cat([half, half.flip(0)], 1))
    rare, common = torch.tensor([[0], [2]]), torch.tensor([[3], [5]])
    found = link_controls(LinkSplit(graph, rare, common, rare, common))
    assert found["Adamic-Adar"] == {"scorer": "sum", "val": 1.0, "auc": 1.0, "ap": 1.0}
    assert found["common neighbours"]["auc"] == found["raw features"]["auc"] == 0.5


def test_deterministic_and_plain(data: Data) -> None:
    z = separated(data) + 0.3 * noise(60, 3, 2)
    frozen = z.numpy().copy()
    frozen.flags.writeable = False
    split = split_edges(data, seed=3)
    assert all(map(torch.equal, split[1:], split_edges(data, seed=3)[1:]))
    assert not torch.equal(split.test, split_edges(data, seed=4).test)
    forms = (z.clone().requires_grad_(), frozen, frozen.astype(float), z.to_sparse())
    for judge in (
        lambda z: linear(z, data),
        lambda z: knn(z, data, KS, splits=3),
        lambda z: cluster(z, data, seeds=1),
        lambda z: link(z, split),
        collapse,
    ):
        found = judge(z)
        assert json.loads(json.dumps(found, allow_nan=False)) == found
        assert all(judge(form) == found for form in forms)


def test_controls(data: Data) -> None:
    found = controls(data, out=8, seed=3)
    assert torch.equal(found["raw features"], data.x)
    bare = Data(x=data.x, edge_index=data.edge_index)
    untrained = run_full.train(Config(out=8, seed=3, epochs=0), bare).z
    assert torch.equal(found["untrained"], untrained) and untrained.shape == (60, 8)
    assert torch.equal(found["FastRP"], fastrp(data, 8, seed=3))
    assert torch.equal(found["FastRP on features"], fastrp(data, 8, features=True, seed=3))
    other = data.clone()
    other.y, other.train_mask = torch.full((60,), -1), torch.zeros(60, 5, dtype=torch.bool)
    assert all(map(torch.equal, controls(other, out=8, seed=3).values(), found.values()))
    gat = controls(data, out=8, cfg=Config(encoder="gat", hidden=16))["untrained"]
    assert gat.shape == (60, 8) and not torch.equal(gat, controls(data, out=8)["untrained"])


def test_embeddings_that_do_not_fit_are_refused(data: Data) -> None:
    split, holed = split_edges(data), data.x.clone()
    holed[3, 1] = math.nan
    for judge in (
        lambda z: linear(z, data),
        lambda z: knn(z, data, KS),
        lambda z: cluster(z, data),
        lambda z: link(z, split),
    ):
        with pytest.raises(ValueError, match=r"z has shape \(59, 12\): expected 60 rows"):
            judge(data.x[1:])
        with pytest.raises(ValueError, match=r"z\[3, 1\] = nan: expected finite"):
            judge(holed)
    with pytest.raises(ValueError, match=r"z has shape \(60,\): expected \[N, D\]"):
        collapse(data.x[:, 0])


def test_labels_that_do_not_fit_are_refused(data: Data) -> None:
    few = torch.where(torch.arange(60) < 19, data.y, -1)
    for changes, message in (
        ({"y": None}, "data.y: missing"),
        ({"y": data.y.float()}, "data.y: torch.float32 of shape"),
        ({"y": data.y[:, None]}, r"data.y: torch.int64 of shape \(60, 1\)"),
        ({"y": data.y * 0}, "data.y: the training nodes of split 0 are of one class"),
        ({"y": torch.full((60,), -1)}, "train_mask: no labelled node in split 0"),
        ({"val_mask": None}, "val_mask: missing, expected all of"),
        ({"val_mask": data.train_mask}, "they overlap in split 0"),
        ({"test_mask": data.y < 0}, "test_mask: no labelled node in split 0"),
        ({"val_mask": data.val_mask[1:]}, r"val_mask has shape \(59,\): expected \(60,\)"),
        ({"y": few} | dict.fromkeys(PARTS), "data.y: 19 labelled nodes, expected at least 20"),
    ):
        graph = data.clone()
        for name, value in changes.items():
            graph[name] = value
        with pytest.raises(ValueError, match=message):
            linear(data.x, graph)


def test_settings_out_of_range_are_refused(data: Data) -> None:
    for ks in ((), (0, 3), (5, 13)):
        with pytest.raises(ValueError, match=r"ks = .*: expected from 1 to 12"):
            knn(data.x, data, ks)
    with pytest.raises(ValueError, match="splits = 0"):
        linear(data.x, data, splits=0)
    with pytest.raises(ValueError, match="n_clusters = 0: expected from 2 to 59"):
        cluster(data.x)
    with pytest.raises(ValueError, match="n_clusters = 60: expected from 2 to 59"):
        cluster(data.x, data, n_clusters=60)
    with pytest.raises(ValueError, match="seeds = 0"):
        cluster(data.x, data, seeds=0)
    for val, test in ((0.0, 0.1), (0.1, 0.001), (0.5, 0.5), (-0.1, 0.1)):
        with pytest.raises(ValueError, match=f"val = {val}, test = {test}: .* edges, expected"):
            split_edges(data, val=val, test=test)
    complete = random_graph(6, 1.1, 0)
    with pytest.raises(ValueError, match="data.edge_index: 0 pairs have no edge"):
        split_edges(complete, val=0.2, test=0.2)


def refuse(value: Any) -> bool:
    raise TypeError("boolean value of NA is ambiguous")


def test_labels_alone_are_data_enough() -> None:
    y = torch.arange(300) % 3
    z = F.one_hot(y).float() + 0.01 * noise(300, 3)
    names = np.array(["c", "a", "b"], object)[y.numpy()]
    for labels in y, y.numpy(), y.tolist(), names:
        assert linear(z.numpy(), labels, splits=2)["mean"] == 1.0
        assert knn(z, labels, (1,), splits=2)["mean"] == 1.0
        assert cluster(z, labels, seeds=1)["nmi"]["mean"] == 1.0
    some = labelled([None, "x", "", "y", float("nan")])
    assert some.y.tolist() == [-1, 0, -1, 1, -1]
    absent = type("NAType", (), {"__eq__": lambda self, other: self, "__bool__": refuse})()
    assert labelled(np.array(["x", absent, "y"], object)).y.tolist() == [0, -1, 1]  # as pandas' NA
    assert labelled(np.array([1.0, np.nan, 3.0])).y.tolist() == [0, -1, 1]
    for bad, text in ([[1, 2]], "shape"), ([0.5, 1.0], "holds 0.5: expected classes"):
        with pytest.raises(ValueError, match=text):
            labelled(bad)


def test_a_rare_class_is_drawn_again() -> None:
    """Of ten nodes to train on some draws have one class; and few neighbours are asked for."""
    y = torch.zeros(100, dtype=torch.long)
    y[:10] = 1
    z = F.one_hot(y).float() + 0.01 * noise(100, 2)
    assert linear(z, y)["mean"] > 0.9 and knn(z, y)["mean"] > 0.5
    drawn = random_splits(y, 20, 0)  # [3, N, 20]
    assert all(len(y[drawn[0, :, i]].unique()) == 2 for i in range(20))
