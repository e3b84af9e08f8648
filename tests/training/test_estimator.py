"""Claims about the estimator NodeJEPA, each with a test below.

1. It keeps scikit-learn's conventions as far as they apply to a graph: clone, get_params,
   set_params, tags, repr, NotFittedError, set_output, names of the output, pipelines and grids.
2. fit twice, and fit and fit_transform, give equal bits; transform of the training graph too.
3. Any way to give a graph gives the same graph: Data, (x, edges[, weights]), dense, sparse,
   tensor, adjacency, networkx, Graph; edges [2, E] or [E, 2], and [2, 2] is [2, E].
4. Labels never enter, neither y nor those of a Data.
5. Inductive: permuted nodes give permuted embeddings; another graph is scaled as the first was;
   a new node changes no other but through its edges.
6. What does not fit is refused, with both shapes; no sound graph, no fit.
7. Every field of Config can be set, by one way only; None leaves it to the preset.
8. A graph without features gets structural ones, and says so.
9. Scaling of the training graph is read_graph's, bit for bit.
"""

from __future__ import annotations

from typing import Any

import networkx as nx
import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import kneighbors_graph
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks as conventions
from torch_geometric.data import Data

import nodejepa_ext
from nodejepa_ext.graphs.graph import GraphError, read_graph
from nodejepa_ext.graphs.scaling import Scaling
from nodejepa_ext.training.estimator import NodeJEPA, graph_of
from run_full import Config

SMALL: dict[str, Any] = dict(epochs=3, hidden=8, out=4, device="cpu")


@pytest.mark.parametrize(
    "check",
    [
        "check_estimator_cloneable",
        "check_estimator_repr",
        "check_estimator_tags_renamed",
        "check_valid_tag_types",
        "check_mixin_order",
        "check_no_attributes_set_in_init",
        "check_do_not_raise_errors_in_init_or_set_params",
        "check_parameters_default_constructible",
        "check_get_params_invariance",
        "check_set_params",
        "check_get_feature_names_out_error",
    ],
)
def test_conventions(check: str) -> None:
    """The checks that need no table X [n, features], which a graph is not: its nodes depend on
    each other, so those that take a subset of rows, or one row, do not apply."""
    getattr(conventions, check)("NodeJEPA", NodeJEPA())


def test_life_of_an_estimator(data: Data) -> None:
    model = NodeJEPA("card", **SMALL, settings={"regulariser": "decorrelation"})
    with pytest.raises(NotFittedError):
        model.transform(data)
    with pytest.raises(NotFittedError):
        model.get_feature_names_out()
    before = model.get_params()
    assert model.fit(data) is model and model.get_params() == before
    copied = clone(model).set_params(out=6)
    assert not hasattr(copied, "embedding_") and copied.fit(data).embedding_.shape == (60, 6)
    assert model.n_features_in_ == 12 and len(model.loss_curve_) == 3
    assert model.embedding_.dtype == np.float32 and model.embedding_.shape == (60, 4)
    assert model.get_feature_names_out().tolist() == [f"nodejepa{i}" for i in range(4)]
    assert isinstance(model.set_output(transform="default").transform(data), np.ndarray)
    joined = make_pipeline(NodeJEPA(**SMALL), LogisticRegression()).fit(data, data.y.numpy())
    assert joined.predict(data).shape == (60,)


def test_example_of_the_documentation(data: Data) -> None:
    z = nodejepa_ext.NodeJEPA(epochs=100, seed=0).fit_transform(data)
    assert z.shape == (60, 512) and np.isfinite(z).all()


def test_equal_bits(data: Data) -> None:
    model = NodeJEPA(**SMALL)
    first = model.fit(data).embedding_
    assert np.array_equal(model.transform(data), first)
    assert np.array_equal(model.fit(data).embedding_, first)
    assert np.array_equal(NodeJEPA(**SMALL).fit_transform(data), first)
    assert not np.array_equal(NodeJEPA(**SMALL, seed=1).fit_transform(data), first)


def test_ways_to_give_a_graph(data: Data) -> None:
    x, edges = data.x.numpy(), data.edge_index.numpy()
    weight = np.linspace(1, 2, edges.shape[1])
    drawn = nx.Graph(edges.T.tolist())
    for i, row in enumerate(x):
        drawn.add_node(i, x=row.tolist())
    order = list(drawn)
    plain = NodeJEPA(**SMALL).fit(data)
    adjacency = sparse.coo_array((np.ones(edges.shape[1]), tuple(edges)), (60, 60))
    for graph in [
        (x, edges),
        (x, edges.T),
        (x, edges.T.tolist()),
        (data.x, data.edge_index),
        (data.x.to_sparse_csr(), data.edge_index),
        (sparse.csc_matrix(x), edges),
        (x, adjacency),
        (x, adjacency.tocsr()),
        read_graph(data, normalise="none"),
    ]:
        assert np.array_equal(plain.transform(graph), plain.embedding_)
    assert np.allclose(plain.transform(drawn), plain.embedding_[order], atol=1e-5)
    weighted = NodeJEPA(**SMALL).fit((x, edges, weight)).embedding_
    adjacency.data[:] = weight
    for graph in (x, adjacency), (x, edges.T, weight), Data(**data.to_dict(), edge_weight=weight):
        assert np.array_equal(NodeJEPA(**SMALL).fit_transform(graph), weighted)
    assert not np.allclose(weighted, plain.embedding_)
    assert NodeJEPA(**SMALL).fit_transform((x, kneighbors_graph(x, 3))).shape == (60, 4)
    square = graph_of((np.eye(3), [[0, 1], [2, 0]])).data.edge_index
    assert {*map(tuple, square.t().tolist())} == {(0, 2), (2, 0), (1, 0), (0, 1)}


def test_labels_never_enter(data: Data) -> None:
    first = NodeJEPA(**SMALL).fit_transform(data, data.y.numpy())
    other = data.clone()
    other.y, other.train_mask = torch.full((60,), -5), torch.ones(60, dtype=torch.bool)
    for graph in other, Data(x=data.x, edge_index=data.edge_index):
        assert np.array_equal(NodeJEPA(**SMALL).fit_transform(graph), first)


def test_inductive(data: Data) -> None:
    model = NodeJEPA(**SMALL, normalise="rows").fit(data)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(1))
    place = order.argsort()
    turned = (data.x[order], place[data.edge_index])
    assert np.allclose(model.transform(turned), model.embedding_[order], atol=1e-5)
    more = torch.cat([data.x, data.x[:1] * 7])
    alone = model.transform((more, data.edge_index))
    assert np.allclose(alone[:60], model.embedding_, atol=1e-6) and len(alone) == 61
    joined = model.transform((more, torch.cat([data.edge_index, torch.tensor([[60], [0]])], 1)))
    hops = model.config_.layers * model.config_.hops + model.config_.embed_hops
    graph = nx.Graph(data.edge_index.t().tolist())
    graph.add_nodes_from(range(60))
    reached = set(nx.single_source_shortest_path_length(graph, 0, hops))
    same = np.isclose(joined[:60], alone[:60], atol=1e-6).all(1)
    assert not same[0] and same[[i for i in range(60) if i not in reached]].all()


def test_a_node_without_edges_has_neighbours(data: Data) -> None:
    words, edges = (data.x > 0.3).float(), data.edge_index
    lone = Data(x=words, edge_index=edges[:, (edges != 7).all(0)])
    joined, apart = (NodeJEPA(**SMALL, settings=s).fit(lone) for s in (None, {"neighbours": 0}))
    assert joined.config_.neighbours == 20
    other = words.roll(1, dims=1)
    other[7] = words[7]
    pairs = [(m.transform((other, lone.edge_index)), m.embedding_) for m in (apart, joined)]
    assert [bool(np.allclose(z[7], was[7], atol=1e-6)) for z, was in pairs] == [True, False]


def test_scaled_as_in_training(data: Data) -> None:
    x = data.x.numpy() * 30 - 4  # in units of its own
    model = NodeJEPA(**SMALL).fit((x, data.edge_index))
    assert model.scaling_.rule == "columns"
    part = data.subgraph(torch.arange(60) < 30)  # its mean and variance are others
    alone, beside = (model.transform((rows, part.edge_index))[:30] for rows in (x[:30], x))
    assert np.allclose(alone, beside, atol=1e-5)
    assert not np.allclose(Scaling.fit(torch.tensor(x[:30])).mean, model.scaling_.mean, atol=0.1)


@pytest.mark.parametrize("rule", ["auto", "rows", "columns", "none"])
def test_scaling_is_that_of_read_graph(data: Data, sparse_data: Data, rule: str) -> None:
    for some in data, sparse_data, Data(x=9 * data.x - 3, edge_index=data.edge_index):
        some.x[:, 3] = 2.5  # a constant column
        graph = read_graph(some, normalise="none")
        ours = Scaling.fit(graph.data.x, rule).prepare(graph).x
        assert torch.equal(ours, read_graph(some, normalise=rule).data.x)


def test_no_features(data: Data) -> None:
    model = NodeJEPA(**SMALL).fit((None, data.edge_index))
    assert any("no features" in notice for notice in model.notices_)
    assert model.scaling_.rule == "structural" and model.embedding_.shape == (60, 4)
    assert np.array_equal(model.transform((None, data.edge_index)), model.embedding_)
    with pytest.raises(ValueError, match=r"features \[60, 12\], expected none"):
        model.transform(data)


def test_refusals(data: Data) -> None:
    model = NodeJEPA(**SMALL).fit(data)
    x, edges = data.x.numpy(), data.edge_index.numpy()
    with pytest.raises(ValueError, match=r"features \[60, 11\], expected \[60, 12\]"):
        model.transform((x[:, 1:], edges))
    with pytest.raises(ValueError, match=r"no features for 60 nodes, expected \[60, 12\]"):
        model.transform((None, edges))
    for bad in np.where(x > 0.9, np.nan, x), x[:40], x.astype(object):
        with pytest.raises(GraphError):
            NodeJEPA(**SMALL).fit((bad, edges))
    for graph in (x, edges[0]), (x, np.ones((3, 5), int)), (x, sparse.eye(60), np.ones(60)), 3:
        with pytest.raises(ValueError, match="expected"):
            NodeJEPA(**SMALL).fit(graph)
    assert not hasattr(NodeJEPA(**SMALL), "encoder_")


def test_settings(data: Data) -> None:
    model = NodeJEPA(
        "card", **SMALL, mask=0.5, seed=3, settings={"momentum": 0.9, "edge1": 0.5}
    ).fit(data)
    wanted = Config(**SMALL, seed=3, momentum=0.9)
    assert model.config_ == wanted
    for changes, text in [
        ({"settings": {"hidden": 8}}, "settings: hidden: expected some of "),
        ({"settings": {"momentun": 8}}, "settings: momentun: expected some of .*momentum"),
        ({"settings": {"momentum": 2.0}}, "momentum = 2.0: expected"),
        ({"epochs": "3"}, "epochs = '3': expected"),
        ({"preset": "worst"}, "preset worst: expected one of auto"),
        ({"normalise": "cells"}, "normalise = 'cells': expected one of"),
        ({"device": "tpu"}, "device 'tpu': not on this machine"),
    ]:
        with pytest.raises(ValueError, match=text):
            clone(model).set_params(**changes).fit(data)
