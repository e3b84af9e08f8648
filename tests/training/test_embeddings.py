"""Claims about `nodejepa-ext embed` and what it writes, each with a test below.

1. On the training graph: embeddings.npz, bit for bit, in all four formats, with the nodes' ids.
2. Any ids and numbers come back from csv, parquet and npz as they were.
3. Another graph: permuted rows give permuted embeddings; a node that is new is embedded, and
   changes others only through its edges; features are scaled as in training.
4. Features that do not fit are refused with both shapes, or by name where names are known.
5. A file is never replaced without --overwrite, and never half-written.
6. Usage exits 2, an unsound or changed graph 3, a model that does not verify 4: with sentences, and
   before any work where that can be known.
7. --help imports nothing heavy.
8. Parquet holds one list a node where that is asked for, and is read as features; batches join.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyarrow import parquet
from torch_geometric.data import Data
from typer.testing import CliRunner, Result

from nodejepa_ext.commands import app
from nodejepa_ext.graphs.archives import Array
from nodejepa_ext.graphs.columns import Choices
from nodejepa_ext.graphs.graph import read_graph
from nodejepa_ext.graphs.source import Source, read
from nodejepa_ext.training import embeddings
from nodejepa_ext.training import folder as runs
from run_full import Config

Floats = NDArray[np.float32]
SETTINGS = Config(hidden=8, out=4, epochs=4, warmup=1, eval_every=2, device="cpu")
ODD = ['a,"b"', " c ", "ü\n", "=1+1", "1e5"]


def call(*words: str | Path) -> Result:
    done = CliRunner().invoke(app, ["embed", *map(str, words)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def save(folder: Path, data: Data, order: list[int], names: list[str]) -> Path:
    """Two tables: nodes in that order, ids v0 and so on, features in units of their own."""
    folder.mkdir()
    ends = [f"v{a},v{b}\n" for a, b in data.edge_index.t().tolist()]
    (folder / "edges.csv").write_text("source,target\n" + "".join(ends))
    x = (10 * data.x - 2).tolist()
    rows = [",".join([f"v{i}", *map(str, x[i])]) for i in order]
    (folder / "nodes.csv").write_text("\n".join([f"id,{','.join(names)}", *rows]))
    return folder


NAMES = [f"f{i}" for i in range(12)]


@pytest.fixture
def folder(data: Data, tmp_path: Path) -> Path:
    """A run in `run`, trained on `graph`."""
    ready = read(Source.of(str(save(tmp_path / "graph", data, list(range(60)), NAMES))))
    runs.start(ready, SETTINGS, tmp_path / "run")
    return tmp_path


def csv_of(path: Path) -> tuple[list[str], Floats]:
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file, strict=True)
    assert header == ["id", *(f"z{i}" for i in range(len(header) - 1))]
    return [row[0] for row in rows], np.array([row[1:] for row in rows]).astype(np.float32)


def test_training_graph(folder: Path) -> None:
    with np.load(folder / "run/embeddings.npz", allow_pickle=False) as file:
        kept = dict(file)
    for suffix in embeddings.SUFFIXES:
        out = folder / f"emb{suffix}"
        done = call(folder / "run", "--out", out)
        assert done.exit_code == 0 and done.stdout == f"60 nodes, 4 dimensions: {out}\n"
    ids, z = csv_of(folder / "emb.csv")
    assert ids == kept["node_id"].tolist() == [f"v{i}" for i in range(60)]
    table = parquet.read_table(folder / "emb.parquet")
    with np.load(folder / "emb.npz", allow_pickle=False) as file:
        found = dict(file)
    assert table["id"].to_pylist() == found["node_id"].tolist() == ids
    columns = np.stack([table[f"z{i}"].to_numpy() for i in range(4)], 1)
    for array in z, columns, found["z"], np.load(folder / "emb.npy", allow_pickle=False):
        assert array.dtype == np.float32 and np.array_equal(array, kept["z"])


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(st.lists(TEXT.filter(lambda t: t[-1] != "\0"), unique=True, max_size=8), FLOATS)
def test_any_ids_and_numbers(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], number: float
) -> None:
    path, ids = tmp_path_factory.mktemp("ids") / "emb.csv", np.array([*names, *ODD][: len(names)])
    z = np.full((len(ids), 2), number, np.float32)
    if not len(ids):
        return
    embeddings.write(path, z, ids)
    embeddings.write(path.with_suffix(".parquet"), z, ids)
    found, numbers = csv_of(path)
    assert found == ids.tolist() and np.array_equal(numbers, z)
    assert parquet.read_table(path.with_suffix(".parquet"))["id"].to_pylist() == found


def test_ids_of_numbers(tmp_path: Path) -> None:
    z = np.array([[0.1, -1e-30], [3.4e38, 0.0]], np.float32)
    embeddings.write(tmp_path / "a.csv", z, None)
    assert (tmp_path / "a.csv").read_text() == "id,z0,z1\n0,0.1,-1e-30\n1,3.4e+38,0\n"
    embeddings.write(tmp_path / "b.parquet", z, np.array([7, 5]))
    assert parquet.read_table(tmp_path / "b.parquet")["id"].to_pylist() == [7, 5]


@pytest.mark.parametrize("ids", [np.arange(7, 14), np.array([*ODD, "v5", "v6"])])
def test_list_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ids: Array) -> None:
    z = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    monkeypatch.setattr(embeddings, "BATCH", 6)  # two rows
    embeddings.write(tmp_path / "nodes.parquet", z, ids, layout="list")
    table = parquet.read_table(tmp_path / "nodes.parquet")
    assert table.column_names == ["id", "z"] and table["id"].to_pylist() == ids.tolist()
    assert table.schema.field("z").type == pa.list_(pa.float32(), 3)
    assert np.array_equal(np.array(table["z"].to_pylist(), np.float32), z)
    ends = pa.table({"source": ids, "target": np.roll(ids, 1)})
    parquet.write_table(ends, tmp_path / "edges.parquet")
    again = read_graph(tmp_path, normalise="none")
    assert again.data.x is not None and np.array_equal(again.data.x.numpy(), z)
    embeddings.write(tmp_path / "a.csv", z, ids)
    found, numbers = csv_of(tmp_path / "a.csv")
    assert found == ids.astype(str).tolist() and np.array_equal(numbers, z)


def test_layouts_of_files(folder: Path) -> None:
    out = folder / "emb.parquet"
    done = call(folder / "run", "--out", out, "--layout", "list")
    assert done.exit_code == 0
    kept = np.load(folder / "run/embeddings.npz")["z"]
    assert np.array_equal(np.stack(parquet.read_table(out)["z"].to_numpy()), kept)
    for name, layout, text in [
        ("a.csv", "list", "expected a name that ends in .parquet"),
        ("a.parquet", "rows", "layout = 'rows': expected one of columns, list"),
    ]:
        done = call(folder / "run", "--out", folder / name, "--layout", layout)
        assert done.exit_code == 2 and text in done.stderr
        assert not (folder / name).exists()


def test_another_graph(folder: Path, data: Data) -> None:
    order = np.random.default_rng(0).permutation(60).tolist()
    turned = save(folder / "turned", data, order, NAMES)
    assert call(folder / "run", "--graph", turned, "--out", folder / "t.csv").exit_code == 0
    ids, z = csv_of(folder / "t.csv")
    kept = np.load(folder / "run/embeddings.npz")["z"]
    assert ids == [f"v{i}" for i in order] and np.allclose(z, kept[order], atol=1e-4)

    rows = (turned / "nodes.csv").read_text()
    (turned / "nodes.csv").write_text(rows + "\nnew" + ",40" * 12)
    tables = ["--edges", turned / "edges.csv", "--nodes", turned / "nodes.csv"]
    assert call(folder / "run", *tables, "--out", folder / "n.csv").exit_code == 0
    ids, grown = csv_of(folder / "n.csv")
    assert ids[-1] == "new" and np.allclose(grown[:-1], z, atol=1e-5)  # no edge, no say
    with (turned / "edges.csv").open("a") as file:
        file.write("new,v7\n")
    call(folder / "run", "--graph", turned, "--out", folder / "e.csv")
    joined = csv_of(folder / "e.csv")[1]
    seven = ids.index("v7")
    assert not np.allclose(joined[seven], grown[seven], atol=1e-4)
    near = {b for a, b in data.edge_index.t().tolist() if a == 7}
    near |= {a for a, b in data.edge_index.t().tolist() if b == 7} | {7}
    two = {b for a, b in data.edge_index.t().tolist() if a in near}
    two |= {a for a, b in data.edge_index.t().tolist() if b in near}
    far = [ids.index(f"v{i}") for i in range(60) if i not in near | two]
    assert far and np.allclose(joined[far], grown[far], atol=1e-5)


def test_features_that_do_not_fit(folder: Path, data: Data) -> None:
    narrow = data.clone()
    narrow.x = data.x[:, 1:]
    out = folder / "emb.csv"
    np.savez(folder / "narrow.npz", x=narrow.x.numpy(), edge_index=data.edge_index.numpy())
    done = call(folder / "run", "--graph", folder / "narrow.npz", "--out", out)
    assert done.exit_code == 2 and "[60, 11], expected [60, 12], as in training" in done.stderr
    np.savez(folder / "bare.npz", edge_index=data.edge_index.numpy())
    done = call(folder / "run", "--graph", folder / "bare.npz", "--out", out)
    assert done.exit_code == 2 and "no features for 60 nodes, expected [60, 12]" in done.stderr
    swapped = save(folder / "swapped", data, list(range(60)), ["f1", "f0", *NAMES[2:]])
    done = call(folder / "run", "--graph", swapped, "--out", out)
    assert done.exit_code == 2
    assert "feature 1 of 12 is 'f1', expected 'f0' of 12, as in training" in done.stderr
    assert not out.exists()


def test_no_features(data: Data, tmp_path: Path) -> None:
    np.savez(tmp_path / "bare.npz", edge_index=data.edge_index.numpy())
    run, out = tmp_path / "run", tmp_path / "emb.npz"
    runs.start(read(Source.of(str(tmp_path / "bare.npz"))), SETTINGS, run)
    assert call(run, "--out", out).exit_code == 0
    assert np.array_equal(np.load(out)["z"], np.load(run / "embeddings.npz")["z"])
    done = call(run, "--graph", tmp_path / "bare.npz", "--out", out, "--overwrite")
    assert done.exit_code == 0 and "of two graphs, embeddings do not compare" in done.stderr
    assert np.array_equal(np.load(out)["z"], np.load(run / "embeddings.npz")["z"])
    np.savez(tmp_path / "x.npz", x=data.x.numpy(), edge_index=data.edge_index.numpy())
    done = call(run, "--graph", tmp_path / "x.npz", "--out", out, "--overwrite")
    assert done.exit_code == 2 and "features [60, 12], expected none" in done.stderr


def test_files_are_kept(folder: Path) -> None:
    out = folder / "emb.csv"
    out.write_text("mine")
    done = call(folder / "run", "--out", out)
    assert done.exit_code == 2 and "--overwrite replaces" in done.stderr
    assert out.read_text() == "mine"
    z = np.zeros((3, 2), np.float32)
    ids = np.array(["a", "b", "\ud800"])  # what no file in UTF-8 can hold
    with pytest.raises(ValueError):
        embeddings.write(out, z, ids, overwrite=True)
    assert out.read_text() == "mine" and not list(folder.glob(".*"))
    assert call(folder / "run", "--out", out, "--overwrite").exit_code == 0
    assert len(csv_of(out)[0]) == 60


def test_exit_codes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = folder / "emb.csv"
    for words, text in [
        ((folder / "run", "--out", folder / "emb.txt"), "ends in .npy, .npz, .csv, .parquet"),
        ((folder / "run", "--out", folder / "no/emb.csv"), "no such folder"),
        ((folder / "none", "--out", out), "run.json"),
        ((folder / "run", "--graph", "corra", "--out", out), "expected cora"),
    ]:
        done = call(*words)
        assert done.exit_code == 2 and text in done.stderr, done.stderr
    (folder / "bad.csv").write_text("source,target\na\n")
    done = call(folder / "run", "--graph", folder / "bad.csv", "--out", out)
    assert done.exit_code == 3 and "row 2: ['a'], expected 2 columns" in done.stderr


def test_what_changed_since(folder: Path) -> None:
    run, out = folder / "run", folder / "emb.csv"
    edges = folder / "graph/edges.csv"
    edges.write_text(edges.read_text() + "v0,v59\n")
    done = call(run, "--out", out)
    assert done.exit_code == 3 and "has changed" in done.stderr
    assert call(run, "--graph", folder / "graph", "--out", out).exit_code == 0
    raw = bytearray((run / "model.safetensors").read_bytes())
    raw[-1] ^= 1
    (run / "model.safetensors").write_bytes(raw)
    done = call(run, "--graph", folder / "graph", "--out", folder / "other.csv")
    assert done.exit_code == 4 and "model.safetensors has SHA-256" in done.stderr
    meta = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(meta | {"status": "interrupted"}))
    done = call(run, "--out", folder / "other.csv")
    assert done.exit_code == 2 and "train --resume" in done.stderr


def test_help_is_light() -> None:
    code = (
        "import sys\nfrom nodejepa_ext.commands import app\n"
        "try: app([sys.argv[1], '--help'])\n"
        "finally: print({'torch', 'scipy', 'numpy'} & {*sys.modules}, file=sys.stderr)"
    )
    for verb in "embed", "evaluate", "export":
        command = [sys.executable, "-c", code, verb]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0 and done.stderr.strip() == "set()"
        assert f"nodejepa-ext {verb} runs/mine" in done.stdout


def test_another_graph_need_not_have_labels(tmp_path: Path) -> None:
    """Nor what was said to be no feature; an exported model knows it as the run does."""
    rng = np.random.default_rng(0)
    for name, header in ("one", "id,a,b,income,number"), ("new", "id,a,b"):
        folder = tmp_path / name
        folder.mkdir()
        edges = "\n".join(f"{i},{(i + 1) % 30}" for i in range(30))
        (folder / "edges.csv").write_text(f"source,target\n{edges}\n")
        rows = [f"{i},{rng.random():.3f},{rng.random():.3f}" for i in range(30)]
        more = [f",{i % 2},{1000 + i}" if "income" in header else "" for i in range(30)]
        lines = [header, *(row + end for row, end in zip(rows, more, strict=True))]
        (folder / "nodes.csv").write_text("\n".join(lines))
    said = Choices(not_features=("number",), label="income")
    run = tmp_path / "run"
    runs.start(read(Source.of(str(tmp_path / "one"), choices=said)), SETTINGS, run)
    assert runs.load_model(run).columns == ["a", "b"]
    app(["export", str(run), "--hub", str(tmp_path / "card")], standalone_mode=False)
    for model in run, tmp_path / "card":
        out = tmp_path / f"{model.name}.npy"
        words = ["embed", str(model), "--graph", str(tmp_path / "new"), "--out", str(out)]
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.output
        assert np.load(out).shape == (30, SETTINGS.latent)
    again = CliRunner().invoke(
        app,
        [*words[:2], "--graph", str(tmp_path / "one"), "--out", str(tmp_path / "again.npy")],
    )
    assert again.exit_code == 0, again.output  # income is left out of the features there too
