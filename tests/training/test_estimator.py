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
10. Rows of a data frame are nodes by id: node_id_, feature_names_in_ and the index of pandas'
    output are theirs, edges in a frame name ids, whatever their order or library.
11. A table without edges is refused with the way to judge instead, also by cross_val_score.
12. `out` is the width of the embedding, also beside own features.
13. Weights of edges are used, and said.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import kneighbors_graph
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks as conventions
from torch_geometric.data import Data

import nodejepa_ext
from nodejepa_ext.graphs.graph import GraphError, read_graph
from nodejepa_ext.graphs.objects import graph_of
from nodejepa_ext.graphs.scaling import Scaling
from nodejepa_ext.training.estimator import NodeJEPA
from run_full import Config

SMALL: dict[str, Any] = dict(epochs=3, hidden=8, out=4, device="cpu")


class OnRing(NodeJEPA):
    """Takes a table, as scikit-learn's checks give: its rows are the nodes of a ring."""

    def fit(self, X: Any, y: Any = None) -> OnRing:
        return super().fit(ring(X))

    def transform(self, X: Any) -> Any:
        return super().transform(ring(X))

    def fit_transform(self, X: Any, y: Any = None) -> Any:
        return self.fit(X).embedding_


class Tabular(OnRing):
    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True  # else there would be no checks to run
        return tags


def ring(x: Any) -> tuple[Any, np.ndarray]:
    nodes = np.arange(x.shape[0] if hasattr(x, "shape") else len(x))
    return x, np.stack([nodes, np.roll(nodes, -1)])


SENTENCE = "GraphError, which is no ValueError, names the array and what was expected of it"
NOT_APPLICABLE = {  # scikit-learn's check -> why not
    "check_complex_data": SENTENCE,
    "check_dtype_object": SENTENCE,
    "check_estimators_empty_data_messages": SENTENCE,
    "check_estimators_nan_inf": SENTENCE,
    "check_fit1d": SENTENCE,
    "check_fit2d_predict1d": SENTENCE,
    "check_fit2d_1sample": "one node is no graph",
    "check_methods_subset_invariance": "a node's embedding depends on the others",
    "check_methods_sample_order_invariance": "on a ring, another order is another graph",
    "check_transformer_data_not_an_array": "a graph is not one array",
    "check_array_api_input": "runs only where SciPy's array API is switched on",
}
CHECKS = {}
for found in conventions._yield_all_checks(Tabular(), legacy=True):
    CHECKS[getattr(found, "func", found).__name__] = found


@pytest.mark.parametrize("name", sorted(CHECKS.keys() - NOT_APPLICABLE.keys()))
@pytest.mark.filterwarnings("ignore")
def test_conventions(name: str) -> None:
    CHECKS[name]("NodeJEPA", OnRing(epochs=2, hidden=8, out=4, device="cpu"))


def test_checks_left_out_are_checks() -> None:
    assert NOT_APPLICABLE.keys() <= CHECKS.keys()


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
    square = graph_of((np.eye(3), [[0, 1], [2, 0]])).graph.data.edge_index
    assert {*map(tuple, square.t().tolist())} == {(0, 2), (2, 0), (1, 0), (0, 1)}


def test_labels_never_enter(data: Data) -> None:
    first = NodeJEPA(**SMALL).fit_transform(data, data.y.numpy())
    other = data.clone()
    other.y, other.train_mask = torch.full((60,), -5), torch.ones(60, dtype=torch.bool)
    for graph in other, Data(x=data.x, edge_index=data.edge_index):
        assert np.array_equal(NodeJEPA(**SMALL).fit_transform(graph), first)


def test_inductive(data: Data) -> None:
    model = NodeJEPA(**SMALL, normalise="rows", positions=False).fit(data)
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
    own: Any = dict(SMALL, positions=False)
    joined, apart = (NodeJEPA(**own, settings=s).fit(lone) for s in (None, {"neighbours": 0}))
    assert joined.config_.neighbours == 20
    other = words.roll(1, dims=1)
    other[7] = words[7]
    pairs = [(m.transform((other, lone.edge_index)), m.embedding_) for m in (apart, joined)]
    assert [bool(np.allclose(z[7], was[7], atol=1e-6)) for z, was in pairs] == [True, False]


def test_scaled_as_in_training(data: Data) -> None:
    x = data.x.numpy() * 30 - 4  # in units of its own
    model = NodeJEPA(**SMALL, positions=False).fit((x, data.edge_index))
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
        ({"preset": "worst"}, "preset = 'worst': expected one of auto"),
        ({"normalise": "cells"}, "normalise = 'cells': expected one of"),
        ({"device": "tpu"}, "device 'tpu': not on this machine"),
    ]:
        with pytest.raises(ValueError, match=text):
            clone(model).set_params(**changes).fit(data)


FRAMES = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "pyarrow": pa.table}


@pytest.mark.parametrize("library", FRAMES)
def test_frames_hold_nodes_by_id(library: str) -> None:
    frame, rng = FRAMES[library], np.random.default_rng(0)
    x = rng.normal(size=(6, 3))
    ids = [f"n{i}" for i in (5, 4, 3, 2, 1, 0)]
    columns = {"node_id": ids, **{f"f{i}": x[:, i] for i in range(3)}}
    ends = {"source": ["n0", "n1", "n2", "n3", "n4"], "target": ["n1", "n2", "n3", "n4", "n5"]}
    model = NodeJEPA(**SMALL).fit((frame(columns), frame(ends)))
    assert model.node_id_.tolist() == ids
    assert model.feature_names_in_.tolist() == ["f0", "f1", "f2"]
    places = np.array([[5, 4, 3, 2, 1], [4, 3, 2, 1, 0]])
    assert np.array_equal(model.embedding_, NodeJEPA(**SMALL).fit_transform((x, places)))
    with pytest.raises(GraphError, match=r"edges: 1 ids of no row of x: 'x'"):
        NodeJEPA(**SMALL).fit((frame(columns), frame({"source": ["n0"], "target": ["x"]})))
    turned = frame({name: columns[name] for name in ("node_id", "f1", "f0", "f2")})
    with pytest.raises(ValueError, match="feature 'f1', expected 'f0', as in training"):
        model.transform((turned, frame(ends)))


def test_the_index_of_pandas_is_the_id() -> None:
    x = pd.DataFrame(np.random.default_rng(0).normal(size=(6, 2)), index=[5, 4, 3, 2, 1, 0])
    edges = pd.DataFrame({"source": [0, 1, 2, 0, 0], "target": [1, 2, 3, 4, 5]})
    unnamed = NodeJEPA(**SMALL).fit((x, edges))
    assert unnamed.feature_names_in_.tolist() == ["0", "1"]
    x.columns = ["a", "b"]
    assert np.array_equal(unnamed.embedding_, NodeJEPA(**SMALL).fit_transform((x, edges)))
    model = NodeJEPA(**SMALL).set_output(transform="pandas")
    z = model.fit_transform((x, edges))
    assert z.index.tolist() == [5, 4, 3, 2, 1, 0] and z.index.name == "id"
    assert z.columns.tolist() == [f"nodejepa{i}" for i in range(4)]
    assert np.array_equal(z.loc[[0, 5]].to_numpy(), model.embedding_[[5, 0]])
    by_place = NodeJEPA(**SMALL).fit_transform((x.to_numpy(), edges))
    assert not np.array_equal(model.embedding_, by_place)
    with pytest.raises(GraphError, match=r"x, its index: 1 missing"):
        NodeJEPA().fit((x.set_axis([5.0, 4, 3, 2, 1, None]), edges))
    with pytest.raises(GraphError, match=r"x, column 'a': String, expected numbers"):
        NodeJEPA().fit((x.assign(a="word"), edges))


def test_edges_alone_name_the_nodes() -> None:
    edges = pd.DataFrame({"from": ["b", "a", "c"], "to": ["c", "b", "d"], "w": [1.0, 2.0, 3.0]})
    model = NodeJEPA(**SMALL).fit((None, edges))
    assert model.node_id_.tolist() == ["a", "b", "c", "d"]
    assert "edge weights used, from 1 to 3" in model.notices_


def test_rows_without_edges_are_no_graph() -> None:
    x = np.random.default_rng(0).normal(size=(30, 4))
    for table in x, pd.DataFrame(x), sparse.csr_array(x), torch.tensor(x), x.tolist():
        with pytest.raises(ValueError, match=r"rows without edges .* expected \(X, edges\)"):
            NodeJEPA().fit(table)
    steps = make_pipeline(NodeJEPA(**SMALL), LogisticRegression())
    with pytest.raises(ValueError, match=r"cannot be split by rows: .* nodejepa_ext.evaluate"):
        cross_val_score(steps, x, np.arange(30) % 2, cv=3, error_score="raise")


def test_out_is_the_width(data: Data) -> None:
    for out, own, width in (4, True, 2), (4, None, 4), (5, None, 5):
        model = NodeJEPA(epochs=1, hidden=8, out=out, own_features=own, device="cpu").fit(data)
        assert model.embedding_.shape == (60, out) and model.config_.out == width
    with pytest.raises(ValueError, match="out = 5: expected an even number with own_features"):
        NodeJEPA(epochs=1, hidden=8, out=5, own_features=True, device="cpu").fit(data)


def test_weights_are_said(data: Data) -> None:
    weight = torch.ones(data.edge_index.shape[1]) * 2
    assert (
        "edge weights used, from 2 to 2"
        in (
            NodeJEPA(**SMALL).fit(Data(x=data.x, edge_index=data.edge_index, edge_weight=weight))
        ).notices_
    )


@pytest.mark.parametrize("how", ["auto", "columns", "none"])
def test_another_graph_is_scaled_as_the_first_however_it_was_read(how: str, data: Data) -> None:
    other = Data(x=data.x + 4, edge_index=data.edge_index)
    first, second = (read_graph(graph, normalise=how).data for graph in (data, other))
    model = NodeJEPA(**SMALL, normalise="columns").fit(first)
    assert np.allclose(model.transform(first), model.embedding_)
    assert np.abs(model.transform(second) - model.embedding_).max() > 0.01
    raw = NodeJEPA(**SMALL, normalise="columns").fit(data)
    assert np.allclose(raw.embedding_, model.embedding_, atol=1e-3)


def test_answers_of_a_frame_are_left_behind() -> None:
    """A label, splits and row numbers of a frame are no features, as they are none of a table."""
    rng = np.random.default_rng(0)
    x = pd.DataFrame(rng.normal(size=(6, 2)), columns=["a", "b"])
    edges = pd.DataFrame({"source": [0, 1, 2, 0, 0], "target": [1, 2, 3, 4, 5]})
    answers = {"Label": [0, 1] * 3, "split": ["train"] * 6, "test_mask": [0, 1] * 3}
    model = NodeJEPA(**SMALL).fit((x.assign(**answers, **{"Unnamed: 0": range(6)}), edges))
    assert model.feature_names_in_.tolist() == ["a", "b"]
    assert np.array_equal(model.embedding_, NodeJEPA(**SMALL).fit_transform((x, edges)))
    said = "'Label', 'split', 'test_mask', 'Unnamed: 0' of x left out"
    assert any(notice.startswith(said) for notice in model.notices_)


def test_columns_of_a_graph_are_compared(tmp_path: Path) -> None:
    """However it is given: read, or by its folder."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(6, 2)).round(3).tolist()
    for name, header in ("one", "id,a,b"), ("other", "id,b,a"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "edges.csv").write_text("source,target\n0,1\n1,2\n2,3\n3,4\n4,5\n")
        lines = [header, *(f"{i},{u},{v}" for i, (u, v) in enumerate(rows))]
        (folder / "nodes.csv").write_text("\n".join(lines))
    model = NodeJEPA(**SMALL).fit(read_graph(tmp_path / "one"))
    assert model.feature_names_in_.tolist() == ["a", "b"]
    model.transform(tmp_path / "one")
    for given in (read_graph(tmp_path / "other"), str(tmp_path / "other")):
        with pytest.raises(ValueError, match="feature 'b', expected 'a', as in training"):
            model.transform(given)
