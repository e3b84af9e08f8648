"""Claims about tables read by columns, each with a test below.

1. Whatever a table holds, the readers by columns give what the readers by rows give, or leave it to
   them: the same graph, notices and fate of columns; wherever blocks of text end.
2. Every dialect of a sound table is read by columns, without the readers by rows: CSV, TSV, blanks,
   quotes with anything in them, gzip, parquet, gaps, words of truth, splits, lists, odd headers.
3. What pyarrow takes more kindly than the readers of rows is left to these.
"""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from nodejepa_ext.graphs import fast, fast_text, graph
from nodejepa_ext.graphs.archives import GraphError
from nodejepa_ext.graphs.columns import Choices, Found

EDGES = "source,target,weight\n10,2,1.5\n2,30,2\n30,10,0.25\n"
NODES = "id,label,f,g\n30,a,1,0.1\n10,b,-2e3,7\n2,,0,1e-40\n"
WORDS = "0 1 12 007 -3 a 1.5 1e3 nan 2_0 ' é 0xFFFFFFFF True -0 9223372036854775808 train".split()
cells = st.sampled_from([*WORDS, "b c", " 5 ", "", '"x"', '"x ""y"""', '"l\n2"', "x\u00a0y", '"'])
often = settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def result(*paths: Path) -> Any:
    """What becomes of tables of edges and, if any, nodes: a graph, or what is wrong."""
    nodes = paths[1] if paths[1:] else None
    try:
        read = graph.read_graph(edges=paths[0], nodes=nodes, normalise="none", split=None)
    except GraphError as error:
        return error.problems
    arrays = {k: v.tolist() if torch.is_tensor(v) else v for k, v in read.data.to_dict().items()}
    names = [None if a is None else (a.dtype, a.tolist()) for a in (read.node_id, read.classes)]
    return arrays, names, read.notices, read.columns


def by_rows(monkeypatch: pytest.MonkeyPatch, *paths: Path) -> Any:
    with monkeypatch.context() as patch:
        patch.setattr(fast, "read", lambda *_: None)
        return result(*paths)


def by_columns(*paths: Path) -> bool:
    second = paths[1] if len(paths) > 1 else None
    return fast.read(paths[0], second, [], Choices(), Found()) is not None


# 1


@given(
    st.lists(st.lists(cells, min_size=2, max_size=3), min_size=1, max_size=6),
    st.sampled_from(["source,target,weight\n", "", "from who,to whom,w\n", "x,y\n", "# c\n\n"]),
    st.sampled_from(["csv", "txt", "tsv"]),
    st.sampled_from([40, 64, 1 << 24]),
)
@often
def test_edges_agree(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    rows: list[list[str]],
    head: str,
    suffix: str,
    block: int,
) -> None:
    path = tmp_path / f"edges.{suffix}"
    text = head + "\n".join(",".join(row) for row in rows) + "\n"
    path.write_text(
        text if suffix == "csv" else text.replace(",", {"txt": "  ", "tsv": "\t"}[suffix])
    )
    with monkeypatch.context() as patch:
        patch.setattr(fast_text, "BLOCK", block)
        found = result(path)
    assert found == by_rows(monkeypatch, path)


@given(
    st.lists(st.lists(cells, min_size=4, max_size=4), min_size=1, max_size=5),
    st.sampled_from(["label,f,g", "split,f,g", "f,train,val", "f,split_0,split_1", "f,g,h"]),
    st.sampled_from([80, 1 << 24]),
)
@often
def test_nodes_agree(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    rows: list[list[str]],
    names: str,
    block: int,
) -> None:
    edges, nodes = tmp_path / "edges.csv", tmp_path / "nodes.csv"
    ids = [row[0] for row in rows]
    edges.write_text("source,target\n" + "".join(f"{a},{ids[0]}\n" for a in ids))
    nodes.write_text(f"id,{names}\n" + "".join(",".join(row) + "\n" for row in rows))
    with monkeypatch.context() as patch:
        patch.setattr(fast_text, "BLOCK", block)
        found = result(edges, nodes)
    assert found == by_rows(monkeypatch, edges, nodes)


texts = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=6)
floats = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(
    st.dictionaries(texts | st.integers(0, 99).map(str), st.tuples(floats, floats), min_size=2),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["", "\ufeff", '# a, comment\n% "another\n', "\n\n"]),
    st.sampled_from([64, 128, 1 << 24]),
)
@often
def test_what_is_written_is_read(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    rows: dict[str, tuple[float, float]],
    quoting: Any,
    end: str,
    before: str,
    block: int,
) -> None:
    """Tables of Python's own writer, by columns or not, hold the values that were written."""
    names = list(rows)
    for stem, header, table in (
        ("edges", ["source", "target"], [(a, names[0]) for a in names]),
        ("nodes", ["id", "f", "g"], [(a, *x) for a, x in rows.items()]),
    ):
        text = io.StringIO()
        csv.writer(text, quoting=quoting, lineterminator=end).writerows([header, *table])
        (tmp_path / f"{stem}.csv").write_bytes((before + text.getvalue()).encode())
    monkeypatch.setattr(fast_text, "BLOCK", block)
    read = graph.read_graph(tmp_path, normalise="none")
    ids = np.arange(len(names)) if read.node_id is None else read.node_id
    assert ids.astype(str).tolist() == names
    x = np.array(list(rows.values()), np.float32)
    if (x == x[0]).all():
        assert read.data.x is None
    else:
        assert np.array_equal(read.data.x.numpy(), x)


# 2


@pytest.mark.parametrize(
    "edges, nodes",
    [
        (EDGES, NODES),
        (EDGES.replace("\n", "\r\n"), "\ufeff" + NODES.replace("\n", "\r\n")),
        (EDGES.replace(",", ";"), NODES.replace(",", "\t")),
        ('"source","target"\n"10","2"\n"2","30"\n', NODES.replace("a,1", '"a ""x"", b",1')),
        (EDGES, NODES.replace("a,1", '"two\nlines",1')),
        (EDGES.replace("30", "n30"), NODES.replace("30", "n30")),
        (EDGES.replace("10", "0xFFFFFFFF"), NODES.replace("10", "0xFFFFFFFF")),
        (EDGES.replace("10", "-7"), NODES.replace("10", "-7")),
        (EDGES.replace("10", str(2**63)), NODES.replace("10", str(2**63))),
        (EDGES.replace("10", "007"), NODES.replace("10", "007")),
        (EDGES.replace("2,", " 2 ,"), NODES.replace("\n2,", "\n 2,")),
        (EDGES.split("\n", 1)[1], NODES),
        ("One,Other,w8\n" + EDGES.split("\n", 1)[1], NODES),
        (EDGES, "id,f,empty\n30,1,\n10,2,\n2,3,\n"),
        (EDGES, NODES.replace("a,1", "a,True").replace("0,1e", "false,1e")),
        (EDGES, NODES.replace("label", "split").replace(",a,", ",train,").replace(",b,", ",Val,")),
        (EDGES, "id,train,val,f\n30,1,0,1\n10,0,TRUE,2\n2,,,3\n"),
        (EDGES, "id,split_0,split_1,f\n30,train,val,1\n10,val,train,2\n2,,test,3\n"),
        (EDGES, "id,label,f\n30,7,1\n10,NA,2\n2,-1,3\n"),
        (EDGES, "id,label,f\n30,0.5,1\n10,0.25,2\n2,1.5,3\n"),
    ],
)  # fmt: skip
def test_sound_tables_are_read_by_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edges: str, nodes: str
) -> None:
    paths = tmp_path / "edges.csv", tmp_path / "nodes.csv"
    for path, text in zip(paths, (edges, nodes), strict=True):
        path.write_bytes(text.encode())
    assert by_columns(*paths)
    assert result(*paths) == by_rows(monkeypatch, *paths)
    assert not isinstance(result(*paths)[0], str)
    for path in paths:
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    packed = [path.with_name(f"{path.name}.gz") for path in paths]
    assert by_columns(*packed)
    assert result(*packed)[0] == result(*paths)[0]


@pytest.mark.parametrize(
    "name, text",
    [
        ("edges.csv", "alice,bob\nbob,carol\n"),
        ("edges.csv", "1,2\n2,3\n"),
        ("edges.csv", "0001,02\n02,3\n"),
        ("edges.csv", "Source Node,Target Node\na,b\nb,c\n"),
        ("edges.csv", "1,2,1700000000\n2,3,1700000001\n"),
        ("edges.txt", "# SNAP\n1\t2\n2\t3\n"),
        ("edges.txt", "  1  2 \n2 \t 3\n\n"),
        ("g.edgelist", "0 1 {}\n1 2 {}\n"),
        ("g.edgelist", "a b {'weight': 2.5}\nb c {'weight': 1}"),
        ("edges.tsv", "a b\tc\nc\td"),
    ],
)
def test_edges_alone_are_read_by_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    (path := tmp_path / name).write_text(text)
    assert by_columns(path)
    assert result(path) == by_rows(monkeypatch, path)


def days(count: int) -> pa.Array:
    return pa.array(range(count), pa.timestamp("s"))


@pytest.mark.parametrize(
    "columns, whole",
    [
        ({"f": pa.array([1, 2, 3], pa.int8()), "g": pa.array([0.5, 1, 2], pa.float16())}, True),
        ({"f": pa.array([True, False, True])}, True),
        ({"f": pa.array([1.0, 2.0, 3.0]), "g": pa.nulls(3)}, True),
        ({"x": pa.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])}, True),
        ({"x": pa.FixedSizeListArray.from_arrays(pa.array(range(6), pa.float32()), 2)}, True),
        ({"f": pa.array([1, 2, 3]), "x": pa.array([[1.0], [3.0], [5.0]])}, True),
        ({"label": pa.array(["a", None, "b"]).dictionary_encode(), "f": pa.array([1, 2, 3])}, True),
        ({"label": pa.array([1.0, None, 2.0]), "f": pa.array([1, 2, 3])}, True),
        ({"label": pa.array([1, None, 2]), "f": pa.array([1, 2, 3])}, True),
        ({"label": pa.array([True, False, True]), "f": pa.array([1, 2, 3])}, True),
        ({"label": pa.array([0.5, 1.5, 2.0]), "f": pa.array([1, 2, 3])}, True),
        ({"train": pa.array([True, False, None]), "label": pa.array(["a", "b", "c"])}, True),
        ({"split": pa.array(["train", None, "test"]), "label": pa.array(["a", "b", "c"])}, True),
        ({"x": pa.array([[1.0, 2.0], [3.0], [5.0, 6.0]])}, False),
        ({"f": pa.array([1.0, None, 3.0])}, False),
        ({"f": pa.array([1.0, float("nan"), 3.0])}, False),
        ({"f": days(3)}, False),
        ({"f": pa.array(["1", "2", "3"])}, False),
    ],
)
@pytest.mark.parametrize(
    "ids", [[30, 10, 2], [30.0, 10.0, 2.0], ["30", "10", "2"], ["a", "10", "2"], [-30, 10, 2]]
)
def test_parquet_agrees(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    columns: dict[str, pa.Array],
    whole: bool,
    ids: list[Any],
) -> None:
    parquet.write_table(pa.table({"node_id": ids, **columns}), tmp_path / "nodes.parquet")
    ends = {"src": ids, "dst": ids[1:] + ids[:1], "w": [1, 2, 3]}
    parquet.write_table(pa.table(ends), tmp_path / "edges.parquet")
    paths = tmp_path / "edges.parquet", tmp_path / "nodes.parquet"
    assert by_columns(*paths) == whole
    assert result(*paths) == by_rows(monkeypatch, *paths)


def test_names_of_parquet_columns_are_no_edge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "edges.parquet"
    for names in ("0", "1"), ("a", "b"):
        parquet.write_table(pa.table(dict(zip(names, ([5, 6], [6, 7]), strict=True))), path)
        assert by_columns(path) and result(path) == by_rows(monkeypatch, path)
        read = graph.read_graph(path)
        assert read.node_id is not None and read.node_id.tolist() == [5, 6, 7]
        assert any("are taken as those of source and target" in text for text in read.notices)


def test_many_rows_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    pairs = rng.integers(0, 500, (4000, 2))
    x = rng.normal(size=(500, 3)) * 10.0 ** rng.integers(-30, 30, (500, 3))
    edges, nodes = tmp_path / "edges.csv", tmp_path / "nodes.csv"
    edges.write_text("u,v\n" + "".join(f"{u},{v}\n" for u, v in pairs))
    rows = (f"{i},{','.join(map(repr, row.tolist()))}\n" for i, row in enumerate(x))
    nodes.write_text("id,a,b,c\n" + "".join(rows))
    monkeypatch.setattr(fast_text, "BLOCK", 1000)
    assert by_columns(edges, nodes)
    assert result(edges, nodes) == by_rows(monkeypatch, edges, nodes)


# 3


@pytest.mark.parametrize(
    "text",
    [
        'u,v\n1,"2\n',
        'u,v\n"1"2,3\n',
        'u,v\n1, "2"\n',
        'u,v\na"b,c\n',
        "u,v\n1,2,3\n",
        "u,v\n1\n",
        "u,v\n1,\x002\n",
        "u,v,w\n1,2,\n",
        "u,v\n1,\n",
        "u,v\n-1,2\n",
    ],
)
def test_what_is_left_to_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    (path := tmp_path / "edges.csv").write_text(text)
    assert not by_columns(path)
    assert result(path) == by_rows(monkeypatch, path)


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
def test_torn_and_flipped_gzip(tmp_path: Path, place: float) -> None:
    lines = "".join(f"{i},{i * 7919 % 1000}\n" for i in range(1000))
    raw = gzip.compress(f"source,target\n{lines}".encode())
    at = int(len(raw) * place)
    for damaged in (raw[:at], raw[:at] + bytes([raw[at] ^ 255]) + raw[at + 1 :]):
        (path := tmp_path / "edges.csv.gz").write_bytes(damaged)
        with pytest.raises(GraphError, match=r"edges\.csv\.gz"):
            graph.read_graph(path)
