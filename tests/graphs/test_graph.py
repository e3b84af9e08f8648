"""Claims about reading graphs, each with a test below.

1  The embedded graphs read as run_full.load_graph reads them, entry for entry.
2  One small graph reads the same from csv, tsv, txt, parquet, npz, pt, SciPy, PyG and networkx.
3  Byte-order marks, Windows line ends, comments, quoted commas and semicolons change nothing;
   neither does the order of the rows of edges.
4  Self-loops, repeats and single directions are mended and counted; weights follow the rule.
5  Names are given back: strings, integers, 2**63; classes are numbered in their order.
6  Splits: a column of names, one of each split, columns of flags, [N] and [N, k] masks.
7  Features: rows as in run_full, columns standardised, or as they are.
8  Every bad row is named by file, row and column, all at once, at most 20.
9  Every bad array is named with its entry, value and what was expected.
10 A pickle is never run: not in .npz, not in .npy, not in .pt.
11 Bombs, lying headers, torn and corrupt archives are refused, with one sentence.
12 Whatever bytes, text or arrays are read: a sound graph or a GraphError, nothing else.
13 write_graph and read_graph are inverse; a file is written whole or not at all.
14 describe: golden numbers; its model of memory and time is near what was measured.
15 Structural features: degrees one-hot and positions; a graph without features then trains.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
import torch
from conftest import SMALL
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected

import run_full
from nodejepa_ext.graphs import archives as graph_files
from nodejepa_ext.graphs.archives import read_npy
from nodejepa_ext.graphs.graph import (
    Graph,
    GraphError,
    read_graph,
    structural_features,
    write_graph,
)
from nodejepa_ext.training.facts import describe

EDGES = "source,target\na,b\nb,c\nc,a\nc,d\n"
NODES = "id,label,split,f,g\na,red,train,1,0\nb,blue,train,0,2.5\nc,red,val,1,1\nd,,,0,3\n"
INDEX = np.array([[0, 1, 2, 2], [1, 2, 0, 3]])
ARRAYS: dict[str, Any] = {
    "edge_index": INDEX,
    "x": np.array([[1, 0], [0, 2.5], [1, 1], [0, 3]], np.float32),
    "y": np.array(["red", "blue", "red", ""]),
    "train_mask": np.array([True, True, False, False]),
    "val_mask": np.array([False, False, True, False]),
    "node_id": np.array(list("abcd")),
}
DEVELOPMENT = sorted((Path(__file__).parents[3] / "shared/data/graphs").glob("*.npz"))
slow_io = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def put(folder: Path, **texts: str | bytes) -> Path:
    """Files by name, `_` for the dot: edges_csv="..."."""
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        raw = text if isinstance(text, bytes) else text.encode()
        (folder / name.replace("_", ".")).write_bytes(raw)
    return folder


def save(path: Path, **changes: Any) -> Path:
    arrays = {key: value for key, value in (ARRAYS | changes).items() if value is not None}
    np.savez_compressed(path, **arrays)
    return path


def same(a: Graph, b: Graph) -> None:
    assert {*a.data.keys()} == {*b.data.keys()}
    for key, value in a.data.items():
        if isinstance(value, torch.Tensor):
            torch.testing.assert_close(value, b.data[key], rtol=0, atol=0)
        else:
            assert value == b.data[key]
    for one, other in ((a.node_id, b.node_id), (a.classes, b.classes)):
        assert (one is None) == (other is None)
        assert one is None or other is None or (one == other).all()


def refused(*parts: str, **how: Any) -> tuple[str, ...]:
    """The problems; every part is in the first sentence, which is one line."""
    with pytest.raises(GraphError) as caught:
        read_graph(**how)
    for part in parts:
        assert part in str(caught.value)
    assert "\n" not in str(caught.value) and str(caught.value) == caught.value.problems[0]
    return caught.value.problems


# 1


@pytest.mark.parametrize("name", ["cora", "citeseer"])
def test_embedded_graphs(name: str) -> None:
    ours, reference = read_graph(name, normalise="auto"), run_full.load_graph(name)
    assert {*ours.data.keys()} == {*reference.keys()}
    for key, value in reference.items():
        assert ours.data[key].dtype == value.dtype and torch.equal(ours.data[key], value)
    assert ours.node_id is None and ours.classes is None


@pytest.mark.parametrize("path", DEVELOPMENT, ids=lambda path: path.stem)
def test_development_graphs(path: Path, tmp_path: Path) -> None:
    raw = np.load(path, allow_pickle=False)
    graph = read_graph(path, normalise="none", split=None)
    expected = to_undirected(torch.from_numpy(raw["edge_index"].astype(np.int64)))
    expected = expected[:, expected[0] != expected[1]]
    assert torch.equal(graph.data.edge_index, expected)
    assert (graph.data.y.numpy() == raw["y"]).all()
    if "x" in raw:
        assert (graph.data.x.numpy() == raw["x"]).all()
    if "train_mask" in raw:
        assert (graph.data.train_mask.numpy() == raw["train_mask"]).all()
        third = read_graph(path, split=3).data
        assert (third.test_mask.numpy() == raw["test_mask"][:, 3]).all()
    write_graph(graph, tmp_path / "g.npz")
    same(graph, read_graph(tmp_path / "g.npz", normalise="none", split=None))


# 2


@pytest.fixture
def reference(tmp_path: Path) -> Graph:
    return read_graph(put(tmp_path / "reference", edges_csv=EDGES, nodes_csv=NODES))


def test_golden(reference: Graph) -> None:
    data, node_id, classes, _, columns = reference
    assert columns is not None and columns.features == ["f", "g"] and columns.label == "label"
    assert data.edge_index.tolist() == [[0, 0, 1, 1, 2, 2, 2, 3], [1, 2, 0, 2, 0, 1, 3, 2]]
    assert data.y.tolist() == [1, 0, 1, -1]
    assert data.train_mask.tolist() == [True, True, False, False]
    assert data.val_mask.tolist() == [False, False, True, False] and "test_mask" not in data
    assert node_id is not None and node_id.tolist() == list("abcd")
    assert classes is not None and classes.tolist() == ["blue", "red"]
    scaled = read_graph(data, normalise="auto")
    torch.testing.assert_close(scaled.data.x.mean(0), torch.zeros(2), rtol=0, atol=1e-6)
    assert "columns standardised" in scaled.notices[-1]


@pytest.mark.parametrize("kind", ["csv", "tsv", "txt", "npz", "networkx"])
def test_formats_agree(kind: str, tmp_path: Path, reference: Graph) -> None:
    same(reference, read_graph(**written(kind, tmp_path)))


def written(kind: str, folder: Path) -> dict[str, Any]:
    """The small graph in a format, as arguments of read_graph."""
    if kind in ("csv", "tsv"):
        mark = {"csv": ",", "tsv": "\t"}[kind]
        texts = {f"edges_{kind}": EDGES, f"nodes_{kind}": NODES}
        put(folder, **{name: text.replace(",", mark) for name, text in texts.items()})
        return {"edges": folder / f"edges.{kind}", "nodes": folder / f"nodes.{kind}"}
    if kind == "txt":
        text = "# a graph\n# of SNAP's\n" + EDGES.split("\n", 1)[1].replace(",", " \t ")
        put(folder, links_txt=text, people_csv=NODES)
        return {"source": str(folder / "links.txt"), "nodes": str(folder / "people.csv")}
    if kind == "npz":
        return {"source": save(folder / "g.npz")}
    graph = nx.DiGraph()
    for i, node in enumerate("abcd"):
        label = {"label": ARRAYS["y"][i]} if i < 3 else {}
        split = {"split": ["train", "train", "val"][i]} if i < 3 else {}
        graph.add_node(node, x=ARRAYS["x"][i], **label, **split)
    graph.add_edges_from((a, b) for a, b in zip(*np.array(list("abcd"))[INDEX], strict=True))
    return {"source": graph}


def pyg_data() -> Data:
    tensors = {k: torch.from_numpy(v) for k, v in ARRAYS.items() if v.dtype.kind != "U"}
    return Data(**tensors, y=torch.tensor([[1], [0], [1], [-1]]), node_id=list("abcd"))


@pytest.mark.filterwarnings("ignore:Sparse")
def test_pyg(tmp_path: Path, reference: Graph) -> None:
    data, reference = pyg_data(), reference._replace(classes=None)  # integers have no names
    before = data.clone()
    same(reference, read_graph(data))
    assert all(torch.equal(before[key], data[key]) for key in ("x", "edge_index", "y"))
    data.y = torch.tensor([1.0, 0.0, 1.0, float("nan")])
    torch.save(data, tmp_path / "g.pt")
    same(reference, read_graph(tmp_path / "g.pt"))
    torch.save({"x": data.x}, tmp_path / "d.pt")
    refused("d.pt", "holds a dict, expected a PyG Data", source=tmp_path / "d.pt")
    dense = data.x
    for x in dense.to_sparse_coo(), dense.to_sparse_csr():
        data.x = x
        same(reference, read_graph(data))
    data.x = dense.to_sparse_csc()
    refused("data, x: a torch.sparse_csc tensor", "dense", source=data)


@pytest.mark.parametrize("form", ["coo", "csr", "csc"])
def test_scipy_adjacency(form: str, tmp_path: Path) -> None:
    weight = np.array([2.0, 1.0, 0.5, 0.0])
    matrix = sparse.csr_array((weight, INDEX), (5, 5)).asformat(form)
    sparse.save_npz(tmp_path / "a.npz", matrix)
    graph = read_graph(tmp_path / "a.npz")
    assert graph.data.num_nodes == 5 and graph.data.x is None
    assert graph.data.edge_index.tolist() == [[0, 0, 1, 1, 2, 2], [1, 2, 0, 2, 0, 1]]
    assert graph.data.edge_weight.tolist() == [2.0, 0.5, 2.0, 1.0, 0.5, 1.0]
    assert "1 zeros kept in the sparse matrix are no edges" in graph.notices
    sparse.save_npz(tmp_path / "b.npz", matrix != 0)
    assert "edge_weight" not in read_graph(tmp_path / "b.npz").data
    sparse.save_npz(tmp_path / "c.npz", sparse.csr_array((2, 3)))
    refused("c.npz", "[2, 3], expected [N, N]", source=tmp_path / "c.npz")
    sparse.save_npz(tmp_path / "d.npz", sparse.dia_array((3, 3)))
    refused("d.npz", "'dia', expected a whole coo, csr or csc", source=tmp_path / "d.npz")


def test_parquet(tmp_path: Path, reference: Graph) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    nodes = {"id": list("abcd"), "label": ["red", "blue", "red", None]}
    nodes |= {"split": ["train", "train", "val", None], "x": ARRAYS["x"].tolist()}
    parquet.write_table(pa.table(nodes), tmp_path / "nodes.parquet")
    ends = np.array(list("abcd"))[INDEX]
    table = pa.table({"Source": ends[0], "Target": ends[1]})
    parquet.write_table(table, tmp_path / "edges.parquet")
    same(reference, read_graph(tmp_path))
    nodes["x"][2] = [1.0, float("nan")]
    nodes["x"][3] = [1.0]
    parquet.write_table(pa.table(nodes), tmp_path / "nodes.parquet")
    problems = refused("nodes.parquet, row 3, column x: nan", source=tmp_path)
    assert "row 4: 1, expected 2 features" in problems[1]
    put(tmp_path, edges_parquet=b"PAR1 is not enough")
    (tmp_path / "nodes.parquet").unlink()
    refused("edges.parquet", "expected a whole parquet file", source=tmp_path)


# 3


@pytest.mark.parametrize(
    "edges, nodes",
    [
        ("\ufeff" + EDGES, "\ufeff" + NODES),
        (EDGES.replace("\n", "\r\n"), NODES.replace("\n", "\r\n")),
        (EDGES.replace("\n", "\r"), NODES.replace("\n", "\r")),
        (EDGES.replace(",", ";"), NODES.replace(",", ";")),
        (EDGES.replace(",", " , "), NODES.replace(",", " , ")),
        (EDGES.rstrip("\n"), "\n\n" + NODES.replace("\n", "\n\n")),
        ("# comment\n%x\n" + EDGES, "# comment, too\n" + NODES),
        ("To,note,FROM\n" + EDGES.split("\n", 1)[1].replace(",", ",x,"), NODES),
        (EDGES.split("\n", 1)[1], NODES.replace("id,label", "Node_ID,Class")),
    ],
    ids=["bom", "crlf", "cr", "semicolon", "spaces", "blank", "comments", "names", "headerless"],
)
def test_dialects(edges: str, nodes: str, tmp_path: Path, reference: Graph) -> None:
    same(reference, read_graph(put(tmp_path, edges_csv=edges, nodes_csv=nodes)))


def test_quoted_commas(tmp_path: Path) -> None:
    text = 'source,target\n"Doe, Jane","a ""b"""\n"a ""b""",c\n'
    graph = read_graph(put(tmp_path, edges_csv=text))
    assert graph.node_id is not None and graph.node_id.tolist() == ["Doe, Jane", 'a "b"', "c"]


@slow_io
@given(st.permutations(range(4)), st.booleans())
def test_row_order_is_nothing(tmp_path: Path, order: list[int], flip: bool) -> None:
    rows = [EDGES.split()[1:][i].split(",") for i in order]
    text = "".join(",".join(row[::-1] if flip else row) + "\n" for row in rows)
    graph = read_graph(put(tmp_path, edges_csv=text) / "edges.csv")
    same(graph, read_graph(put(tmp_path / "same", edges_csv=EDGES)))


# 4


def test_mending_is_counted(tmp_path: Path) -> None:
    text = "u,v,w\n0,1,1\n0,1,2\n1,0,4\n1,2,1\n2,1,1\n3,3,7\n3,2,.5\n"
    graph = read_graph(put(tmp_path, edges_csv=text) / "edges.csv")
    assert graph.data.edge_index.tolist() == [[0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 3, 2]]
    assert graph.data.edge_weight.tolist() == [4, 4, 1, 1, 0.5, 0.5]
    assert graph.node_id is None
    for notice in (
        "1 self-loops left out",
        "1 edges given again were merged, their weights summed",
        "1 of 3 edges are given in one direction only",
        "1 edges have a weight for each direction: the larger was kept",
        "no features",
    ):
        assert any(notice in text for text in graph.notices), notice


@given(
    st.lists(
        st.tuples(st.integers(0, 7), st.integers(0, 7), st.floats(0.5, 4, width=16)), max_size=30
    )
)
@settings(deadline=None)
def test_edges_equal_the_obvious_way(rows: list[tuple[int, int, float]]) -> None:
    slow: dict[tuple[int, int], float] = {}
    for a, b, w in rows:
        if a != b:
            slow[a, b] = slow.get((a, b), 0) + w
    slow = {(a, b): max(w, slow.get((b, a), 0)) for (a, b), w in slow.items()}
    slow |= {(b, a): w for (a, b), w in slow.items()}
    ends = torch.tensor([row[:2] for row in rows], dtype=torch.long).reshape(-1, 2).t()
    weight = torch.tensor([row[2] for row in rows])
    graph = read_graph(Data(edge_index=ends, edge_weight=weight, num_nodes=8))
    found = zip(graph.data.edge_index.t().tolist(), graph.data.edge_weight.tolist(), strict=True)
    assert [(tuple(pair), w) for pair, w in found] == sorted(slow.items())


def test_no_edges_and_isolated_nodes(tmp_path: Path) -> None:
    nodes = "id,f\n5,1\n7,2\n"
    graph = read_graph(put(tmp_path, edges_csv="source,target\n", nodes_csv=nodes))
    assert graph.data.edge_index.shape == (2, 0) and "2 of 2 nodes have no edges" in graph.notices
    assert describe(graph.data)["components"] == 2
    refused("1 nodes, expected at least 2", source=put(tmp_path, nodes_csv="id,f\n5,1\n"))
    refused("0 nodes", source=tmp_path / "edges.csv")


# 5


@pytest.mark.parametrize(
    "ids, expected",
    [
        (["10", "9", "2"], [2, 9, 10]),
        (["2", "0", "1"], None),
        (["007", "7", "8"], ["007", "7", "8"]),
        ([str(2**63), "5", str(2**63 - 1)], ["5", str(2**63 - 1), str(2**63)]),
        (["9" * 900, "1", "2"], ["1", "2", "9" * 900]),
        (["b", "a", "10"], ["10", "a", "b"]),
        (["ü", "z", "日本"], ["z", "ü", "日本"]),
    ],
)
def test_names_are_given_back(ids: list[str], expected: Any, tmp_path: Path) -> None:
    rows = f"{ids[0]} {ids[1]}\n{ids[1]} {ids[2]}\n"
    graph = read_graph(put(tmp_path, e_txt=rows) / "e.txt")
    assert (graph.node_id.tolist() if graph.node_id is not None else None) == expected
    names = graph.node_id.tolist() if graph.node_id is not None else [0, 1, 2]
    found = {
        frozenset((str(names[a]), str(names[b]))) for a, b in graph.data.edge_index.t().tolist()
    }
    assert found == {frozenset(ids[:2]), frozenset(ids[1:])}


@pytest.mark.parametrize(
    "y, expected, classes",
    [
        ([0, 1, 2, -1], [0, 1, 2, -1], None),
        ([3, 7, 3, 5], [0, 2, 0, 1], [3, 5, 7]),
        (["b", "a", "", "b"], [1, 0, -1, 1], ["a", "b"]),
        (["10", "9", "", "10"], [1, 0, -1, 1], [9, 10]),
        ([b"b", b"a", b"", b"b"], [1, 0, -1, 1], ["a", "b"]),
        ([1.0, 0.0, np.nan, 1.0], [1, 0, -1, 1], None),
        ([True, False, True, True], [1, 0, 1, 1], None),
        ([4, 4, 4, 4], [0, 0, 0, 0], [4]),
        ([-1, -1, -1, -1], None, None),
    ],
)
def test_classes(y: list[Any], expected: Any, classes: Any, tmp_path: Path) -> None:
    graph = read_graph(save(tmp_path / "g.npz", y=np.array(y)))
    assert (graph.data.y.tolist() if "y" in graph.data else None) == expected
    assert (graph.classes.tolist() if graph.classes is not None else None) == classes
    assert any("classes: labels can choose" in n for n in graph.notices) == (len({*y} - {-1}) < 2)


# 6


def test_splits(tmp_path: Path) -> None:
    def read(header: str, *rows: str, **how: Any) -> Data:
        body = "".join(f"{i},{i % 2},{row}\n" for i, row in enumerate(rows))
        put(tmp_path, nodes_csv=f"id,y,{header}\n{body}", edges_csv="0,1\n1,2\n2,3\n")
        return read_graph(tmp_path, **how).data

    one = read("split", "train", "Valid", "test", "")
    flags = read("train,val_mask,Test", "1,0,0", "false,TRUE,0", ",,1", "0,0,0")
    two = read("split_0,split_1", "train,test", "val,train", "test,val", "none,")
    for data in (one, flags):
        assert data.train_mask.tolist() == [True, False, False, False]
        assert data.val_mask.tolist() == [False, True, False, False]
        assert data.test_mask.tolist() == [False, False, True, False]
    assert torch.equal(two.train_mask, one.train_mask)
    rows = "train,test", "val,train", "test,val", "none,"
    assert read("split_0,split_1", *rows, split=1).train_mask.nonzero().tolist() == [[1]]
    assert read("split_0,split_1", *rows, split=None).train_mask.shape == (4, 2)
    with pytest.raises(GraphError, match=r"masks of \[2\] splits, expected split 2"):
        read("split_0,split_1", *rows, split=2)
    with pytest.raises(GraphError, match=r"masks of \[2\] splits, expected split -1"):
        read("split_0,split_1", *rows, split=-1)
    with pytest.raises(GraphError, match="row 2, column split: 'maybe', expected one of train"):
        read("split", "maybe", "", "", "")
    with pytest.raises(GraphError, match="row 3, column test: '2', expected one of 1, true, 0"):
        read("test", "1", "2", "", "")
    with pytest.raises(GraphError, match=r"train_mask and val_mask\[0, 0\]: True, expected a node"):
        read("train,val", "1,1", "0,0", "0,0", "0,0")
    with pytest.raises(GraphError, match="splits in one way"):
        read("train,split", "1,", "0,", "0,", "0,")


def test_masks_keep_labelled_nodes_only(tmp_path: Path) -> None:
    test = np.array([False, False, False, True])
    graph = read_graph(save(tmp_path / "g.npz", test_mask=test))
    assert "test_mask: 1 nodes without a label left out" in graph.notices
    assert "test_mask left out: it holds no node" in graph.notices
    graph = read_graph(save(tmp_path / "g.npz", y=None))
    assert "train_mask, val_mask left out: there are no labels" in graph.notices


# 7


def test_normalise(tmp_path: Path) -> None:
    words = np.array([[1, 0, 0, 3], [0, 0, 0, 0], [0, 2, 0, 0], [0.25, 0, 0, 0]], np.float32)
    path = save(tmp_path / "g.npz", x=words)
    rows = [[0.25, 0, 0, 0.75], [0, 0, 0, 0], [0, 1, 0, 0], [0.25, 0, 0, 0]]
    assert read_graph(path, normalise="auto").data.x.tolist() == rows
    assert read_graph(path, normalise="rows").data.x.tolist() == rows
    assert read_graph(path).data.x.tolist() == words.tolist()
    x = read_graph(path, normalise="columns").data.x
    expected = (words - words.mean(0)) / np.where(words.std(0) > 0, words.std(0), 1)
    torch.testing.assert_close(x, torch.from_numpy(expected))
    assert any("1 constant ones to 0" in n for n in read_graph(path, normalise="columns").notices)
    dense = read_graph(save(path, x=words - 1), normalise="auto").notices
    assert any("columns standardised" in notice for notice in dense)
    with pytest.raises(ValueError, match="normalise = 'row': expected one of auto"):
        read_graph(path, normalise="row")


def test_sparse_features(tmp_path: Path) -> None:
    x = sparse.random_array((4, 6), density=0.4, rng=0).tocsr()
    parts = dict(x=None, x_data=x.data, x_indices=x.indices, x_indptr=x.indptr, x_shape=x.shape)
    graph = read_graph(save(tmp_path / "g.npz", **parts), normalise="none")
    assert (graph.data.x.numpy() == x.toarray().astype(np.float32)).all()
    twice = dict(parts, x_data=[1, 2.0], x_indices=[3, 3], x_indptr=[0, 2, 2, 2, 2])
    graph = read_graph(save(tmp_path / "g.npz", **twice), normalise="none")
    assert graph.data.x[0, 3] == 3 and "1 entries of x given twice were summed" in graph.notices


# 8


@pytest.mark.parametrize(
    "edges, parts",
    [
        ("", ["edges.csv: empty, expected rows of source, target"]),
        ("# only this\n", ["empty"]),
        ("source\n1\n", ["row 1: ['source'], expected columns source, target"]),
        ("source,colour\n1,2\n", ["row 1", "expected columns source, target"]),
        ("src,u,dst\n1,2,3\n", ["columns 'src' and 'u', expected one for the source"]),
        ("u,v\n1,2\n1\n", ["row 3: ['1'], expected 2 columns"]),
        ("1,2\n1,2,3\n", ["row 2", "expected 2 columns"]),
        ("1,2\n\n3,\n", ["row 3, column target: '', expected an id of 1 to 1000"]),
        ("1,2\n2," + "9" * 1001, ["row 2, column target", "expected an id of 1 to 1000"]),
        ("1,2\n3,-4\n", ["row 2: '-4', expected an id of at least 0"]),
        ("u,v,w\n1,2,x\n", ["row 2, column weight: 'x', expected a finite number above 0"]),
        ("u,v,w\n1,2,nan\n", ["row 2, column weight: 'nan'"]),
        ("u,v,w\n1,2,-inf\n", ["row 2, column weight: '-inf'"]),
        ("u,v,w\n1,2,1e39\n", ["row 2, column weight: '1e39'"]),
        ("u,v,w\n1,2,-1\n", ["row 2, column weight: '-1'"]),
        ("u,v,w\n1,2,1e38\n1,2,3e38\n", ["edge_weight", "a sum that is finite"]),
        ('u,v\n1,"2\n', ["after row 1", "unexpected end of data"]),
        ("u,v\n1,2\n1," + "x" * 200_000 + "\n", ["after row 2", "field larger"]),
        (b"u,v\n1,\xff\n", ["not UTF-8 text"]),
        ("5,5\n", ["1 nodes, expected at least 2"]),
    ],
)
def test_bad_edges(edges: str | bytes, parts: list[str], tmp_path: Path) -> None:
    refused(*parts, source=put(tmp_path, edges_csv=edges))


@pytest.mark.parametrize(
    "nodes, parts",
    [
        ("", ["nodes.csv: [], expected a header with a column id"]),
        ("a,1\nb,2\n", ["nodes.csv: ['a', '1'], expected a header"]),
        ("id,f,f\na,1,1\n", ["no name twice"]),
        ("id,y,label\na,1,1\n", ["columns 'y' and 'label', expected one for the label"]),
        ("id,f\na,1\nb\nc,1\nd,1\n", ["row 3: ['b'], expected 2 columns"]),
        ("id,f\na,1\nb,2\nc,x\nd,1\n", ["row 4, column f: 'x', expected a finite number (a class"]),
        ("id,f\na,1\nb,\nc,1\nd,1\n", ["row 3, column f: ''"]),
        ("id,f\na,1\nb,inf\nc,1\nd,1\n", ["row 3, column f: 'inf'"]),
        ("id,f\na,1\nb,1e39\nc,1\nd,1\n", ["row 3, column f: '1e39'"]),
        (
            "id,f\na,1\na,2\nb,1\nc,1\nd,1\n",
            ["row 3, column id: 'a', expected an id of no earlier"],
        ),
        ("id,f\n,1\na,2\nb,1\nc,1\nd,1\n", ["row 2, column id: '', expected an id"]),
        ("id,f\na,1\nb,2\nc,1\n", ["edges.csv, row 5, column target: 'd', expected an id of"]),
    ],
)
def test_bad_nodes(nodes: str, parts: list[str], tmp_path: Path) -> None:
    refused(*parts, source=put(tmp_path, edges_csv=EDGES, nodes_csv=nodes))


def test_all_problems_at_once(tmp_path: Path) -> None:
    nodes = "id,f,split\na,x,train\nb,1,dev?\nc,nan,\n"
    folder = put(tmp_path, edges_csv="u,v,w\na,b,-1\nz,a,1\na\n", nodes_csv=nodes)
    problems = refused("nodes.csv, row 2, column f: 'x'", source=folder)
    places = ["row 3, column split", "row 2, column weight"]
    places += ["row 3, column source: 'z'", "row 4: ['a']"]
    assert len(problems) == 5 and problems[0].endswith("; 2 rows are like it")
    assert all(place in problem for place, problem in zip(places, problems[1:], strict=True))
    many = "u,v,w\n" + "a,b,-1\n" * 100
    (one,) = refused("row 2", source=put(tmp_path / "many", edges_csv=many))
    assert one.endswith("; 100 rows are like it")
    wide = "id," + ",".join(f"f{i}" for i in range(50)) + "\na" + ",x" * 50 + "\n"
    assert (
        len(refused("row 2", source=put(tmp_path / "wide", edges_csv="u,v\na,a\n", nodes_csv=wide)))
        == 20
    )


def test_sources(tmp_path: Path) -> None:
    refused("no.csv: No such file", source=tmp_path / "no.csv")
    refused("no.npz: No such file", source=tmp_path / "no.npz")
    refused("holds none, expected one table called edges", source=tmp_path)
    put(tmp_path, edges_csv=EDGES, edges_tsv=EDGES)
    refused("edges.csv, edges.tsv, expected one table called edges", source=tmp_path)
    for how in (
        {"source": "corra"},
        {"source": 3},
        {},
        {"nodes": "n.csv"},
        {"source": "e.csv", "edges": "f.csv"},
        {"source": "g.npz", "nodes": "n.csv"},
    ):
        with pytest.raises(ValueError, match="expected cora, citeseer, pubmed, a folder"):
            read_graph(**how)
    with pytest.raises(ValueError, match=r"e.xlsx: expected a table: .csv"):
        read_graph(edges="e.xlsx")


# 9


@pytest.mark.parametrize(
    "changes, parts",
    [
        ({"edge_index": None}, ["expected edge_index as well"]),
        ({"edge_index": INDEX.T}, ["edge_index: (4, 2), expected [2, E]"]),
        ({"edge_index": INDEX[0]}, ["edge_index: int64 (4,), expected integers [2, E]"]),
        ({"edge_index": INDEX * 1.0}, ["edge_index: float64 (2, 4), expected integers"]),
        ({"edge_index": INDEX - 1}, ["edge_index[0, 0]: -1, expected 0 to 3, as of 4 nodes"]),
        ({"edge_index": INDEX + 1}, ["edge_index[1, 3]: 4, expected 0 to 3"]),
        ({"edge_index": np.array([[0], [2**63]], np.uint64)}, [f"{2**63}, expected 0 to 3"]),
        ({"edge_weight": [1, 2, 3]}, ["edge_weight: 3, expected 4, one an edge"]),
        ({"edge_weight": [1, 2, 3, np.nan]}, ["edge_weight[3]: nan, expected finite, above 0"]),
        ({"edge_weight": [1, -2, 3, 0]}, ["edge_weight[1]: -2.0"]),
        ({"x": ARRAYS["x"][:3]}, ["rows of x 3, y 4", "expected one a node in each"]),
        ({"x": np.where(ARRAYS["x"] == 3, np.inf, 0)}, ["x[3, 1]: inf, expected a finite number"]),
        ({"x": np.full((4, 2), 1e39)}, ["x[0, 0]: 1e+39"]),
        ({"x": np.array([["1"] * 2] * 4)}, ["x: <U1 (4, 2), expected numbers [N, F]"]),
        ({"x": np.ones((4, 2), complex)}, ["x: complex128, expected numbers or strings"]),
        ({"x": np.ones((4, 2, 1))}, ["x: 64 bytes"]),
        ({"y": [0, 1, -2, 1]}, ["y[2]: -2, expected a class from 0"]),
        ({"y": [0, 1, 0.5, 1]}, ["y[2]: 0.5, expected a class, an integer"]),
        ({"y": [0, 1, np.inf, 1]}, ["y[2]: inf"]),
        ({"y": np.eye(4)}, ["y: float64 (4, 4), expected integers or strings [N]"]),
        ({"y": np.array(3)}, ["y: int64 (), expected"]),
        ({"train_mask": [1, 0, 0, 0]}, ["train_mask: int64 (4,), expected booleans [N] or [N, k]"]),
        ({"train_mask": [True] * 4}, ["train_mask and val_mask[2, 0]: True, expected a node"]),
        ({"node_id": list("abca")}, ["node_id[3]: 'a', expected an id once only"]),
        ({"node_id": list("abc")}, ["node_id 3", "expected one a node"]),
        ({"x": None, "x_data": [1]}, ["expected x_indices as well"]),
        ({"x": None, "y": None, "train_mask": None, "val_mask": None, "node_id": None}
         | {"edge_index": [[0], [10**12]]}, ["without large gaps"]),
    ],
)  # fmt: skip
def test_bad_arrays(changes: dict[str, Any], parts: list[str], tmp_path: Path) -> None:
    refused("g.npz", *parts, source=save(tmp_path / "g.npz", **changes))


@pytest.mark.parametrize(
    "changes, part",
    [
        ({"x_indptr": [0, 1, 2]}, "indptr [0, 1, 2], expected 5 numbers from 0 to 2"),
        ({"x_indptr": [0, 1, 2, 2, 9]}, "expected 5 numbers from 0 to 2"),
        ({"x_indptr": [0, 2, 1, 2, 2]}, "indptr falls"),
        ({"x_indices": [0, 3]}, "index 3, expected 0 to 2"),
        ({"x_indices": [0, -1]}, "index -1, expected 0 to 2"),
        ({"x_indices": [0.0, 1.0]}, "x_indices: float64 (2,), expected integers"),
        ({"x_data": [1.0]}, "x_data: 1 values, expected 2"),
        ({"x_data": [1.0, np.nan]}, "x[2, 1]: nan"),
        ({"x_shape": [4]}, "x_shape: [4], expected [N, F]"),
        ({"x_shape": [4, -3]}, "x_shape: [4, -3]"),
        ({"x_shape": [4, 2**60]}, "MiB in memory"),
        ({"x": np.ones((4, 2))}, "expected one of these"),
    ],
)
def test_bad_sparse_features(changes: dict[str, Any], part: str, tmp_path: Path) -> None:
    parts = {"x_data": [1.0, 2.0], "x_indices": [0, 1], "x_indptr": [0, 1, 1, 2, 2]}
    path = save(tmp_path / "g.npz", **{"x": None, "x_shape": [4, 3]} | parts | changes)
    refused("g.npz", part, source=path)


# 10


class Trap:
    """Unpickled, it would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_pickles_never_run(tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    objects = np.array([Trap(sprung)] * 4, dtype=object)
    path = save(tmp_path / "g.npz", y=objects)
    refused("g.npz, y: Python objects, never unpickled", source=path)
    records = np.zeros(4, dtype=[("a", object)])
    refused("Python objects", source=save(tmp_path / "h.npz", y=records))
    buffer = io.BytesIO()
    np.save(buffer, objects)
    with zipfile.ZipFile(tmp_path / "i.npz", "w") as archive:
        archive.writestr("edge_index.npy", buffer.getvalue())
    refused("edge_index: Python objects", source=tmp_path / "i.npz")
    for name, held in {"a": Trap(sprung), "b": {"x": Trap(sprung)}, "c": trapped(sprung)}.items():
        torch.save(held, tmp_path / f"{name}.pt")
        refused(f"{name}.pt", "it asks for", source=tmp_path / f"{name}.pt")
    torch.save(Trap(sprung), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    refused("old.pt", "expected torch.save of a PyG Data", source=tmp_path / "old.pt")
    assert not sprung.exists()


def trapped(path: Path) -> Data:
    data = Data(x=torch.ones(2, 1), edge_index=torch.tensor([[0], [1]]))
    data.extra = Trap(path)
    return data


# 11


def npy(shape: Any, dtype: str = "<f8", body: bytes = b"", order: bool = False) -> bytes:
    header = repr({"descr": dtype, "fortran_order": order, "shape": shape}).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + body


@pytest.mark.parametrize(
    "raw, part",
    [
        (npy((10**12, 10**6)), "0 bytes, expected 8000000000000000000"),
        (npy((2,), body=bytes(8)), "8 bytes, expected 16"),
        (npy((-1, -8), "|u1", bytes(8)), "8 bytes, expected 8"),
        (npy((0, 10**30)), "0 bytes, expected 0"),
        (npy((10**18,), "<U0"), "expected numbers or strings"),
        (npy((1,), "<U1", b"\xff\xff\xff\xff"), "what is no text"),
        (npy((1,), "|V8", bytes(8)), "expected numbers or strings"),
        (npy("(" * 5000), "expected an array of numpy's"),
        (b"\x93NUMPY\x09\x00" + bytes(90), "expected an array of numpy's"),
        (b"", "expected an array of numpy's"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}", "expected an array of numpy's"),
    ],
)
def test_lying_headers(raw: bytes, part: str) -> None:
    with pytest.raises(GraphError) as caught:
        read_npy("x", raw)
    assert part in str(caught.value)


def test_fortran_order_and_byte_order() -> None:
    numbers = np.arange(6, dtype=">i4").reshape(2, 3)
    raw = npy((2, 3), ">i4", numbers.tobytes("F"), order=True)
    assert (read_npy("x", raw) == numbers).all() and read_npy("x", raw).dtype == np.int32
    assert read_npy("x", npy((2, 0))).shape == (2, 0)


def test_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("x.npy", "w", force_zip64=True) as member:
            for _ in range(300):
                member.write(bytes(1 << 20))
    refused("bomb.npz", "expected at most 200 times as many", source=tmp_path / "bomb.npz")
    path = save(tmp_path / "g.npz")
    raw = bytearray(path.read_bytes())
    at = raw.index(b"PK\x01\x02")  # the first member's size in the central directory
    raw[at + 24 : at + 28] = struct.pack("<I", 0xFFFFFFF0)
    (tmp_path / "lie.npz").write_bytes(raw)
    refused("lie.npz", "expected", source=tmp_path / "lie.npz")
    monkeypatch.setattr(graph_files, "room", lambda: 100)
    refused("MiB in memory, expected at most", source=path)
    refused("MiB in memory, expected at most", source=put(tmp_path, edges_csv=EDGES * 10))


def test_torn_and_corrupt(tmp_path: Path) -> None:
    raw = save(tmp_path / "g.npz").read_bytes()
    for size in (0, 1, 100, len(raw) // 2, len(raw) - 1):
        refused(
            "t.npz", "expected a whole .npz file", source=put(tmp_path, t_npz=raw[:size]) / "t.npz"
        )
    with zipfile.ZipFile(tmp_path / "g.npz") as archive:
        place = archive.getinfo("x.npy").header_offset + 60
    flipped = raw[:place] + bytes([raw[place] ^ 255]) + raw[place + 1 :]
    refused("f.npz", "expected a whole .npz file", source=put(tmp_path, f_npz=flipped) / "f.npz")


# 12


def sound_or_refused(**how: Any) -> None:
    try:
        graph = read_graph(**how)
    except GraphError as error:
        assert all("\n" not in problem for problem in error.problems)
        return
    data, n = graph.data, graph.data.num_nodes
    ends = data.edge_index
    assert n >= 2 and ends.shape[0] == 2 and not (ends[0] == ends[1]).any()
    assert torch.equal(ends, to_undirected(ends, num_nodes=n))
    assert ends.numel() == 0 or 0 <= ends.min() <= ends.max() < n
    assert data.x is None or (data.x.isfinite().all() and len(data.x) == n)
    assert graph.node_id is None or len({*graph.node_id.tolist()}) == n
    assert data.y is None or (data.y >= -1).all() and len({*data.y.tolist()} - {-1}) >= 1
    json.dumps(describe(data), allow_nan=False)


@slow_io
@given(data=st.data())
def test_flipped_bytes(tmp_path: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["g.npz", "g.pt", "a.npz"]))
    path = tmp_path / name
    if not path.exists():
        np.savez(tmp_path / "g.npz", **ARRAYS)
        sparse.save_npz(tmp_path / "a.npz", sparse.csr_array(np.eye(4)[::-1]), compressed=False)
        torch.save(pyg_data(), tmp_path / "g.pt")
    raw = bytearray(path.read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(raw) - 1), max_size=4)):
        raw[place] = data.draw(st.integers(0, 255))
    (broken := tmp_path / f"broken{path.suffix}").write_bytes(raw)
    sound_or_refused(source=broken)


@slow_io
@given(data=st.data())
def test_any_members(tmp_path: Path, data: st.DataObject) -> None:
    """Unlike flipped bytes, these pass the archive's own checksums."""
    names = data.draw(
        st.lists(st.sampled_from([*graph_files.FORMAT, *graph_files.SCIPY]), max_size=6)
    )
    with zipfile.ZipFile(tmp_path / "g.npz", "w") as archive:
        for name in {*names, "edge_index"}:
            shape = tuple(data.draw(st.lists(st.integers(0, 5), max_size=3)))
            kind = data.draw(
                st.sampled_from(["<i8", "<u8", "|b1", "<f4", "<f8", "<U1", "|S3", "|O"])
            )
            size = int(np.prod(shape)) * np.dtype(kind).itemsize
            body = data.draw(st.sampled_from([bytes(size), b"\x01" * size, b"\xff" * size]))
            archive.writestr(f"{name}.npy", npy(shape, kind, body))
    sound_or_refused(source=tmp_path / "g.npz")


cells = st.sampled_from(
    ["", "0", "1", "-1", "a", "nan", "1e999", '"', '"x"', " 2", "\u00e9", "\x00"]
)
lines = st.lists(cells, max_size=4).map(",".join)
headers = st.sampled_from(["", "source,target", "u,v,w", "id,label,f", "id,split", "id,x,y,train"])


@slow_io
@given(headers, st.lists(lines, max_size=6), st.none() | headers, st.lists(lines, max_size=4))
def test_any_tables(
    tmp_path: Path, head: str, edges: list[str], top: str | None, nodes: list[str]
) -> None:
    folder = put(tmp_path, edges_csv="\n".join([head, *edges]))
    (folder / "nodes.csv").unlink(missing_ok=True)
    if top is not None:
        put(folder, nodes_csv="\n".join([top, *nodes]))
    sound_or_refused(source=folder)


@slow_io
@given(st.binary(max_size=200))
def test_any_bytes(tmp_path: Path, raw: bytes) -> None:
    for name in ("e_csv", "e_txt", "e_npz", "e_pt"):
        sound_or_refused(source=put(tmp_path, **{name: raw}) / name.replace("_", "."))


# 13


def test_round_trip(tmp_path: Path) -> None:
    two = np.array([[True, False], [False, True], [False, False], [False, False]])
    changes: dict[str, dict[str, Any]] = {
        "whole": {},
        "weights": {"edge_weight": [0.1, 2, 3e-5, 4e8]},
        "splits": {"train_mask": two, "y": [0, 3, 3, -1]},
        "sparse": {"x": np.eye(4, 300, dtype=np.float32) / 3},
        "counts": {"x": np.eye(4, 300) * 255},
        "bare": {
            "x": None,
            "y": None,
            "train_mask": None,
            "val_mask": None,
            "node_id": [0, 1, 2, 3],
        },
        "numbered": {"node_id": [5, 3, 2**62, 0]},
    }
    for name, change in changes.items():
        raw = read_graph(save(tmp_path / "g.npz", **change), normalise="none", split=None)
        write_graph(raw, tmp_path / f"{name}.npz")
        again = read_graph(tmp_path / f"{name}.npz", normalise="none", split=None)
        same(raw, again)
        same(read_graph(tmp_path / "g.npz"), read_graph(tmp_path / f"{name}.npz"))
    lonely = read_graph(Data(edge_index=torch.tensor([[0], [1]]), num_nodes=9))
    write_graph(lonely, tmp_path / "lonely.npz")
    same(lonely, read_graph(tmp_path / "lonely.npz"))
    assert np.load(tmp_path / "counts.npz")["x_data"].dtype == np.uint8
    assert not list(tmp_path.glob(".*"))


def test_writes_whole_or_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = read_graph(save(tmp_path / "g.npz"))
    before = (tmp_path / "g.npz").read_bytes()
    with pytest.raises(FileExistsError, match="there is such a file"):
        write_graph(graph, tmp_path / "g.npz")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        write_graph(graph, tmp_path / "no" / "g.npz")
    with pytest.raises(ValueError, match="ends in .npz"):
        write_graph(graph, tmp_path / "g.zip")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_graph(graph, tmp_path / "g.npz", overwrite=True)
    assert (tmp_path / "g.npz").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["g.npz"]


# 14


def test_describe(tmp_path: Path) -> None:
    path = save(tmp_path / "g.npz", x=np.eye(4), node_id=None)
    facts = describe(read_graph(path, normalise="none").data)
    expected = {"nodes": 4, "edges": 4, "components": 1, "isolated": 0, "mean_degree": 2.0}
    expected |= {"max_degree": 3, "features": 4, "kind": "binary", "nonzero": 0.25, "min": 0.0}
    expected |= {"max": 1.0, "normalise": "rows", "classes": 2, "labelled": 3, "train": 2, "val": 1}
    expected |= {"density": 4 / 6, "homophily": pytest.approx(1 / 3), "splits": 1}
    assert {key: facts[key] for key in expected} == expected
    assert {*facts} - {*expected} == {"step_seconds", "train_mib"}
    kinds = {"counts": np.eye(4) * 7, "real": np.eye(4) - 0.5}
    for kind, x in kinds.items():
        assert describe(read_graph(save(path, x=x), normalise="none").data)["kind"] == kind


@pytest.mark.parametrize("name, seconds, mib", [("cora", 0.247, 143), ("citeseer", 0.318, 223)])
def test_model_is_near_what_was_measured(name: str, seconds: float, mib: float) -> None:
    """A step of the default settings in fp32, on one thread, and the peak of three of them."""
    facts = describe(read_graph(name, normalise="none").data)
    assert facts["step_seconds"] == pytest.approx(seconds, rel=0.25)
    assert mib < facts["train_mib"] < 1.5 * mib  # what is promised includes a checkpoint


# 15


def test_structural_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODEJEPA_CACHE", str(tmp_path / "cache"))
    star = Data(edge_index=torch.tensor([[0, 0, 0, 4], [1, 2, 3, 5]]), num_nodes=7)
    data = read_graph(star).data
    assert data.x is None
    x = structural_features(data)
    bins = [[0, 0, 1], [0, 1, 0], [0, 1, 0], [0, 1, 0], [0, 1, 0], [0, 1, 0], [1, 0, 0]]
    assert x[:, :3].tolist() == bins  # degree 3: log2(4) = 2; 1: 1; 0: 0
    assert x.shape == (7, 3 + 4) and x.isfinite().all()  # 6 linked nodes of 2 components
    assert structural_features(data, 2).shape == (7, 5)
    none = read_graph(Data(edge_index=torch.empty(2, 0, dtype=torch.long), num_nodes=3)).data
    assert structural_features(none).tolist() == [[1.0], [1.0], [1.0]]
    data.x = x
    assert run_full.train(SMALL, data).z.shape == (7, 8)


def test_a_read_graph_trains(reference: Graph) -> None:
    result = run_full.train(SMALL, reference.data)
    assert result.z.shape == (4, 8) and result.val >= 0


@pytest.mark.parametrize(
    ("text", "edges"),
    [
        (",user,friend\n0,0,1\n1,1,2\n2,2,3\n3,3,0\n", 4),  # as pandas writes a frame
        ("Unnamed: 0,a,b,c\n0,0,1,2.5\n1,1,2,1\n", 2),
        (",0,1\n0,0,1\n1,1,2\n2,2,3\n3,3,0\n", 4),
        ("Smith, John;Bob\nAnn, Lee;Kim\nSmith, John;Ann\n", 3),  # commas are in names
    ],
)
def test_what_separates_and_what_is_a_row_number(text: str, edges: int, tmp_path: Path) -> None:
    (tmp_path / "edges.csv").write_text(text)
    found = read_graph(tmp_path / "edges.csv")
    assert found.data.edge_index.shape[1] == 2 * edges
    assert ("weight" in text or ",2.5" in text) == (found.data.edge_weight is not None)
    if "Smith" in text:
        assert sorted(found.node_id.tolist()) == ["Ann", "Ann, Lee", "Bob", "Kim", "Smith, John"]


def test_a_name_that_is_also_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cora").mkdir()
    assert "the embedded graph cora is read; ./cora is the one here" in read_graph("cora").notices
    with pytest.raises(ValueError, match="corra: expected .*; nothing of that name is here"):
        read_graph("corra")
