"""What people really have, and what becomes of it: a case each in tests/cases/own-graphs.

The table is the claim: of each case the exit code of `data check` and what is said, or what a
script of its own prints. Nothing becomes a feature, a class or a weight in silence; a common file
is read; what is refused is one sentence with its cause and a count. Files of tests/cases/fuzz, made
by flipping bits of sound ones, end in a graph or in one sentence.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch_geometric.data import Data
from typer.testing import CliRunner, Result

from nodejepa_ext.commands import app
from nodejepa_ext.graphs.graph import GraphError, read_graph, write_graph

CASES = Path(__file__).parents[1] / "cases"
OWN = CASES / "own-graphs"

SAID: dict[str, tuple[int, str, list[str]]] = {  # case -> exit code, file in it, what is said
    "bipartite": (
        3,
        ".",
        ["column target: 'i1', expected an id of", "; 48 rows are like it"],
    ),
    "constant_feature": (0, ".", ["2 features are constant: they say nothing", "features: none"]),
    "float_ids_edges": (
        3,
        ".",
        ["24 ids equal those of", "as numbers, not as text"],
    ),
    "float_label": (0, ".", ["column 'label' holds fractions: no classes, left out"]),
    "gephi": (
        0,
        ".",
        [
            "'timeset' left out: without a value in any row",
            "column 'Label' has 24 values on 24 nodes: no classes, left out",
            "edge weights: column 'Weight', from 1 to 1",
        ],
    ),
    "gz": (0, ".", ["features: 'f0', 'f1' (2 columns)", "label: column 'label'"]),
    "huge_scale": (3, ".", ["at most 3.4e+38 as float32 has them; 21 rows are like it"]),
    "label_unknown_words": (0, ".", ["12 of 24 nodes have no label", "'a', 'b'"]),
    "mtx": (0, "graph.mtx", ["no features"]),
    "musae_names": (0, ".", ["row 1, 'id_1', 'id_2', is taken as a header"]),
    "npz_shchur": (0, "amazon.npz", ["arrays in the layout of Shchur et al. 2018"]),
    "nx_graphml": (0, "g.graphml", ["no features"]),
    "pandas_index": (
        0,
        ".",
        ["'' left out: row numbers, by their names", "features: 'f0', 'f1' (2 columns)"],
    ),
    "pq_timestamp": (3, ".", ["column f0: '2020-01-01 00:00:00'", "24 rows are like it"]),
    "pt_collated": (0, "g.pt", ["the one graph of a processed dataset"]),
    "pt_hetero": (0, "g.pt", ["a HeteroData of one type of nodes, 'a'"]),
    "pt_multilabel": (0, "g.pt", ["y holds 3 values a node: no classes, left out"]),
    "pt_uint8": (0, "g.pt", ["train_mask: 0 and 1 are taken as false and true"]),
    "single_class": (0, ".", ["1 classes: labels can choose and judge nothing"]),
    "target_leak": (
        0,
        ".",
        ["'target' taken as features, though their names are those of answers", "--label COL"],
    ),
    "text_feature": (3, ".", ["'NY'", "--not-features f0 leaves it out", "24 rows are like it"]),
    "three_cols_ts_nohead": (
        0,
        "edges.txt",
        ["the third column looks like times", "--weight none leaves it out"],
    ),
    "title_edges_only": (0, "edges.csv", ["'Source Node', 'Target Node', is taken as a header"]),
    "unicode_nfc_nfd": (3, ".", ["24 ids equal those of", "as composed characters"]),
}
PRINTED: dict[str, tuple[int, str]] = {  # case -> exit code of its script, what it prints
    "py_bare_array": (1, "expected (X, edges)"),
    "py_dataframe_index": (0, "index ignored"),
    "py_edge_attr": (0, "edge_attr used True edge_weight used True"),
    "py_karate": (0, ""),
    "py_readme_reading": (0, "auto z differs by 1."),
}


def check(*argv: object) -> Result:
    return CliRunner().invoke(app, ["data", "check", *map(str, argv)])


def test_every_case_is_claimed() -> None:
    assert {*SAID, *PRINTED} == {path.name for path in OWN.iterdir()}


@pytest.mark.parametrize("case", SAID)
def test_what_is_said(case: str) -> None:
    code, file, said = SAID[case]
    done = check(OWN / case / file, "--json")
    assert done.exit_code == code, done.output
    told = json.loads(done.stdout)
    sentences = told["notices"] if told["sound"] else told["problems"]
    assert all(any(text in sentence for sentence in sentences) for text in said), sentences
    assert told["sound"] or len(sentences) == 1


@pytest.mark.parametrize(
    "case", [*[*PRINTED][:2], *(pytest.param(c, marks=pytest.mark.slow) for c in [*PRINTED][2:])]
)
def test_what_a_script_prints(case: str, tmp_path: Path) -> None:
    code, text = PRINTED[case]
    script = OWN / case / "case.py"
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == code and text in done.stdout + done.stderr, done.stderr
    last = (done.stderr.strip().splitlines() or [""])[-1]
    assert len(last) < 500  # no array is printed


@pytest.mark.parametrize("path", sorted((CASES / "fuzz").iterdir()), ids=lambda path: path.name)
def test_damaged_archives(path: Path) -> None:
    done = check(path)
    assert done.exit_code in (0, 3) and "Traceback" not in done.stderr, done.stderr
    assert done.exit_code == 0 or len(done.stderr.strip().splitlines()) == 1


def columns_of(*argv: object) -> dict[str, Any]:
    done = check(*argv, "--json")
    assert done.exit_code == 0, done.output
    columns: dict[str, Any] = json.loads(done.stdout)["columns"]
    return columns


def test_options_settle_it(tmp_path: Path) -> None:
    (tmp_path / "edges.csv").write_text("source,target,count,when\na,b,2,7\nb,c,0,8\nc,a,4,9\n")
    (tmp_path / "nodes.csv").write_text("id,f,target,g\na,1,x,2\nb,2,y,3\nc,3,x,4\n")
    assert check(tmp_path).exit_code == 3  # target holds text
    found = columns_of(tmp_path, "--label", "target", "--weight", "count")
    assert found["features"] == ["f", "g"] and found["label"] == "target"
    assert found["weight"] == "column 'count'" and found["weight_range"] == [2.0, 4.0]
    assert columns_of(tmp_path, "--not-features", "target")["features"] == ["f", "g"]
    assert columns_of(tmp_path, "--features", "g")["features"] == ["g"]
    done = check(tmp_path, "--features", "h")
    assert done.exit_code == 3 and "no column 'h', as --features asks" in done.stderr
    done = check(tmp_path, "--not-features", "target", "--weight", "count")
    assert "1 edges of weight 0 left out" in done.stdout.replace("\n", " ")


def test_networkx_edge_lists(tmp_path: Path) -> None:
    (tmp_path / "g.edgelist").write_text("0 1 {}\n1 2 {}\n")
    assert check(tmp_path / "g.edgelist").exit_code == 0
    (tmp_path / "w.edgelist").write_text("0 1 {'weight': 2.5}\n1 2 {'weight': 1, 'c': 'x'}\n")
    assert columns_of(tmp_path / "w.edgelist")["weight_range"] == [1.0, 2.5]


def test_words_of_truth_are_numbers(tmp_path: Path) -> None:
    (tmp_path / "edges.csv").write_text("source,target\na,b\n")
    (tmp_path / "nodes.csv").write_text("id,f,g\na,True,1\nb,False,1_000\n")
    done = check(tmp_path)
    assert done.exit_code == 3 and "column g: '1_000'" in done.stderr
    (tmp_path / "nodes.csv").write_text("id,f,g\na,True,1\nb,False,1000\n")
    assert columns_of(tmp_path)["features"] == ["f", "g"]


@pytest.mark.parametrize("cell", ["a\0b", "b\0"])
def test_nul_is_refused(tmp_path: Path, cell: str) -> None:
    (tmp_path / "edges.csv").write_text(f"source,target\n{cell},c\n")
    done = check(tmp_path)
    assert done.exit_code == 3 and "NUL" in done.stderr
    (tmp_path / "edges.csv").write_text("source,target\na,c\n")
    (tmp_path / "nodes.csv").write_text(f"id,label\na,{cell}\nc,x\n")
    done = check(tmp_path)
    assert done.exit_code == 3 and "NUL" in done.stderr


@pytest.mark.parametrize("name", ["g.npz", "g.pt", "edges.csv", "edges.parquet", "g.mtx", "g.gml"])
def test_only_regular_files_are_read(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    done = check(tmp_path / name)
    assert done.exit_code == 3 and "no regular file, expected one to read" in done.stderr
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to("/dev/zero")
    done = check(tmp_path / name)
    assert done.exit_code == 3 and "no regular file, expected one to read" in done.stderr


def test_a_socket_is_not_read(tmp_path: Path) -> None:
    with contextlib.chdir(tmp_path), socket.socket(socket.AF_UNIX) as door:
        door.bind("edges.csv")
        done = check(Path("edges.csv"))
    assert done.exit_code == 3 and "edges.csv: " in done.stderr and "to read" in done.stderr


@pytest.mark.slow
def test_a_line_has_a_limit(tmp_path: Path) -> None:
    """Of a file of 70 kB."""
    with gzip.open(tmp_path / "edges.csv.gz", "wb") as file:
        file.write(b"source,target\n")
        for _ in range(70):
            file.write(b"0" * 1_000_000)
    done = check(tmp_path / "edges.csv.gz")
    assert done.exit_code == 3 and len(done.stderr) < 1000, done.stderr[:300]
    assert "line 2: longer, expected at most" in done.stderr


def test_much_made_of_little_is_refused(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    edges = torch.tensor([[0, 1], [1, 0]])
    wide = torch.zeros(1).expand(50_000, 40_000)  # stride 0: 8 GB of 4 bytes
    torch.save(Data(x=wide, edge_index=edges), tmp_path / "g.pt")
    done = check(tmp_path / "g.pt")
    assert done.exit_code == 3 and ("bytes become" in done.stderr or "MiB" in done.stderr)
    table = pa.table({"source": pa.array([0] * 10**6), "target": pa.array([1] * 10**6)})
    with parquet.ParquetWriter(tmp_path / "edges.parquet", table.schema) as writer:
        for _ in range(100):
            writer.write_table(table)
    done = check(tmp_path / "edges.parquet")
    assert done.exit_code == 3 and ("bytes become" in done.stderr or "MiB" in done.stderr)


def test_a_gzip_bomb_is_refused(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "edges.csv.gz", "wb") as file:
        file.write(b"source,target\n")
        for _ in range(300):
            file.write(b"0,1\n" * 250_000)
    done = check(tmp_path / "edges.csv.gz")
    assert done.exit_code == 3 and ("bytes become" in done.stderr or "MiB" in done.stderr)


def test_a_sum_beyond_float32_is_refused() -> None:
    x = torch.zeros(3, 40)
    x[0, :2] = 3e38
    data = Data(x=x, edge_index=torch.tensor([[0, 1], [1, 2]]))
    with pytest.raises(GraphError, match="row 0: its sum is beyond float32"):
        read_graph(data, normalise="rows")


def test_unsigned_labels_with_gaps_are_written_and_read(tmp_path: Path) -> None:
    y = np.array([0, 7, 255, 7], np.uint8)
    np.savez(tmp_path / "g.npz", edge_index=np.array([[0, 1, 2], [1, 2, 3]]), y=y)
    graph = read_graph(tmp_path / "g.npz")
    write_graph(graph, tmp_path / "h.npz")
    assert read_graph(tmp_path / "h.npz").classes.tolist() == [0, 7, 255]
