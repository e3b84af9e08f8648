"""Claims about tables read by columns, each with a test below.

1. Whatever a table holds, the readers by columns give what the readers by rows give, or leave it to
   them: the same arrays, notices and fate of columns.
2. Plainly sound tables are read by columns: CSV, TSV, blanks, quotes around cells, parquet.
3. What pyarrow takes more kindly than the readers of rows is left to these.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nodejepa_ext.graphs import fast, graph
from nodejepa_ext.graphs.archives import GraphError
from nodejepa_ext.graphs.columns import Choices, Found

EDGES = "source,target,weight\n10,2,1.5\n2,30,2\n30,10,0.25\n"
NODES = "id,label,f,g\n30,a,1,0.1\n10,b,-2e3,7\n2,,0,1e-40\n"
cells = st.sampled_from(
    [
        "0",
        "1",
        "12",
        "007",
        "-3",
        "a",
        "b c",
        " 5 ",
        "1.5",
        "1e3",
        "nan",
        "",
        '"x"',
        "é",
        "2_0",
        "'",
    ]
)


def by_rows(monkeypatch: pytest.MonkeyPatch, *paths: Path) -> Any:
    with monkeypatch.context() as patch:
        patch.setattr(fast, "read", lambda *_: None)
        return result(*paths)


def result(*paths: Path) -> Any:
    """What becomes of tables of edges and, if any, nodes: a graph, or what is wrong."""
    try:
        read = graph.read_graph(
            edges=paths[0], nodes=paths[1] if paths[1:] else None, normalise="none", split=None
        )
    except GraphError as error:
        return error.problems
    arrays = {k: v.tolist() if torch.is_tensor(v) else v for k, v in read.data.to_dict().items()}
    ids, classes = (
        None if a is None else (a.dtype, a.tolist()) for a in (read.node_id, read.classes)
    )
    return arrays, ids, classes, read.notices, read.columns


@given(st.lists(st.lists(cells, min_size=2, max_size=3), min_size=1, max_size=6), st.booleans())
@settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_edges_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: list[list[str]], headed: bool
) -> None:
    path = tmp_path / "edges.csv"
    lines = [",".join(row) for row in rows]
    path.write_text("\n".join((["source,target,weight"] if headed else []) + lines) + "\n")
    assert result(path) == by_rows(monkeypatch, path)


@given(st.lists(st.lists(cells, min_size=4, max_size=4), min_size=1, max_size=5))
@settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_nodes_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: list[list[str]]
) -> None:
    edges, nodes = tmp_path / "edges.csv", tmp_path / "nodes.csv"
    ids = [row[0] for row in rows]
    edges.write_text("source,target\n" + "".join(f"{a},{ids[0]}\n" for a in ids))
    nodes.write_text("id,label,f,g\n" + "".join(",".join(row) + "\n" for row in rows))
    assert result(edges, nodes) == by_rows(monkeypatch, edges, nodes)


@pytest.mark.parametrize("kind", ["csv", "tsv", "blanks", "quoted", "text ids", "parquet", "edges"])
def test_sound_tables_are_read_by_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    edges, nodes = EDGES, NODES
    if kind == "text ids":
        edges, nodes = (
            text.replace("30", "n30").replace("\n2,", "\nn2,") for text in (EDGES, NODES)
        )
        edges = edges.replace(",2,", ",n2,")
    if kind == "quoted":
        edges = '"source","target"\n"10","2"\n"2","30"\n'
    paths = [tmp_path / "edges.csv", tmp_path / "nodes.csv"]
    if kind in ("tsv", "blanks"):
        paths = [tmp_path / "edges.tsv", tmp_path / "nodes.tsv"]
        mark = "\t" if kind == "tsv" else " "
        edges, nodes = edges.replace(",", mark), nodes.replace(",", mark)
    if kind == "blanks":
        paths, edges = [tmp_path / "edges.txt"], "# a comment\n10 2\n2 30\n"
    if kind == "edges":
        paths = paths[:1]
    for path, text in zip(paths, (edges, nodes), strict=False):
        path.write_text(text)
    if kind == "parquet":
        from pyarrow import csv, parquet

        for path in paths:
            parquet.write_table(csv.read_csv(path), path.with_suffix(".parquet"))
        paths = [path.with_suffix(".parquet") for path in paths]
    found, notices = Found(), list[str]()
    second = paths[1] if len(paths) > 1 else None
    assert fast.read(paths[0], second, notices, Choices(), found) is not None
    assert result(*paths) == by_rows(monkeypatch, *paths)


@pytest.mark.parametrize(
    "text",
    [
        'u,v\n1,"2\n',
        'u,v\n"1"2,3\n',
        'u,v\n"1\n2",3\n',
        'u,v\n1, "2"\n',
        "u,v\n01,1\n",
        "u,v\n+1,1\n",
    ],
)
def test_what_is_left_to_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    path = tmp_path / "edges.csv"
    path.write_text(text)
    assert result(path) == by_rows(monkeypatch, path)


def test_many_rows_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    pairs = rng.integers(0, 500, (4000, 2))
    x = rng.normal(size=(500, 3)) * 10.0 ** rng.integers(-30, 30, (500, 3))
    edges, nodes = tmp_path / "edges.csv", tmp_path / "nodes.csv"
    edges.write_text("u,v\n" + "".join(f"{u},{v}\n" for u, v in pairs))
    rows = (f"{i},{','.join(map(repr, row.tolist()))}\n" for i, row in enumerate(x))
    nodes.write_text("id,a,b,c\n" + "".join(rows))
    assert result(edges, nodes) == by_rows(monkeypatch, edges, nodes)
