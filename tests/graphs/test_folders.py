"""Claims about graphs as folders of .npy, each with a test below.

1 A folder reads back as the .npz of the same graph does: values, names, splits, whatever it has.
2 Features are mapped, not copied; a folder may be converted onto itself.
3 Wherever a conversion ends before its end, nothing reads as whole, and the next one works; one
  that replaces leaves the old graph until all of the new one is on disk.
4 What is not of the format is never replaced: other files, links, another's graph.json.
5 A file that changed is refused and named; a copy without times is hashed and taken.
6 An unsound graph is refused whatever its hashes say; so is a manifest of another kind.
7 Too little disk is said before anything is written.
8 train, embed, evaluate and check take the folder; a run whose graph changed is refused, exit 3.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch_geometric.data import Data
from typer.testing import CliRunner

from nodejepa_ext.commands import app
from nodejepa_ext.graphs import folders
from nodejepa_ext.graphs.graph import Graph, GraphError, read_graph, write_graph
from nodejepa_ext.graphs.source import Source, read

TABLES = {
    "edges.csv": "source,target,weight\na,b,1\nb,c,2\nc,a,3\nc,d,.5\n",
    "nodes.csv": "id,label,split,f,g\na,red,train,1,0\nb,blue,train,0,2.5\n"
    "c,red,val,1,1\nd,,,0,3\ne,red,test,1,1\n",
}


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


@pytest.fixture
def small(tmp_path: Path) -> Graph:
    source = tmp_path / "tables"
    source.mkdir()
    for name, text in TABLES.items():
        (source / name).write_text(text)
    return read_graph(source, split=None)


def both_ways(graph: Graph, folder: Path) -> None:
    write_graph(graph, folder / "g.npz", overwrite=True)
    write_graph(graph, f"{folder}/g/", overwrite=True)
    for split in (None, 0):
        same(read_graph(folder / "g.npz", split=split), read_graph(folder / "g", split=split))


@pytest.mark.parametrize("name", ["cora", "citeseer"])
def test_embedded_graphs(name: str, tmp_path: Path) -> None:
    both_ways(read_graph(name, split=None), tmp_path)
    columns = read_graph(tmp_path / "g", normalise="columns")
    same(columns, read_graph(tmp_path / "g.npz", normalise="columns"))


def test_tables(small: Graph, tmp_path: Path) -> None:
    both_ways(small, tmp_path)
    again = read_graph(tmp_path / "g", split=None)
    same(small, again)
    assert again.node_id is not None and again.node_id.tolist() == ["a", "b", "c", "d", "e"]
    assert "1 of 5 nodes have no edges" in again.notices
    assert "1 of 5 nodes have no label" in again.notices


@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_any_graph(tmp_path: Path, data: st.DataObject) -> None:
    n = data.draw(st.integers(2, 7))
    ends = st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=12)
    edges = torch.tensor(data.draw(ends), dtype=torch.long).reshape(-1, 2).T
    graph = Data(edge_index=edges, num_nodes=n)
    if data.draw(st.booleans()):
        numbers = st.floats(-1e6, 1e6, width=32)
        graph.x = torch.tensor(data.draw(st.lists(numbers, min_size=2 * n, max_size=2 * n)))
        graph.x = graph.x.reshape(n, 2)
    if data.draw(st.booleans()):
        weights = st.floats(2**-20, 1e6, width=32)
        count = edges.shape[1]
        drawn = data.draw(st.lists(weights, min_size=count, max_size=count))
        graph.edge_weight = torch.tensor(drawn, dtype=torch.float32)
    if data.draw(st.booleans()):
        classes = st.sampled_from([-1, 0, 1, 5])
        graph.y = torch.tensor(data.draw(st.lists(classes, min_size=n, max_size=n)))
        parts = torch.tensor(data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n)))
        for i, mask in enumerate(("train_mask", "val_mask", "test_mask")):
            graph[mask] = torch.stack([parts == i, parts == (i + 1) % 3], 1)
    both_ways(read_graph(graph, split=None), tmp_path)


def test_constant_features(small: Graph, tmp_path: Path) -> None:
    small.data.x = torch.full_like(small.data.x, 2.5)
    both_ways(small, tmp_path)
    again = read_graph(tmp_path / "g", split=None)
    assert again.data.x is None and "2 features are constant" in " ".join(again.notices)


def test_features_are_mapped(tmp_path: Path) -> None:
    write_graph(read_graph("cora"), tmp_path / "g")
    x = read_graph(tmp_path / "g").data.x
    held = Path("/proc/self/maps").read_text() if Path("/proc/self/maps").exists() else "x.npy"
    assert "x.npy" in held and x.dtype == torch.float32
    before = read_graph(tmp_path / "g", split=None)
    write_graph(before, tmp_path / "g", overwrite=True)
    same(read_graph(tmp_path / "g", split=None), read_graph("cora", split=None))
    with pytest.raises(FileExistsError, match="--overwrite replaces it"):
        write_graph(before, tmp_path / "g")


class Killed(BaseException):
    """In place of a signal at one moment."""


@pytest.mark.parametrize("old", [False, True])
def test_interrupted_anywhere(
    old: bool, small: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, replace, cora = tmp_path / "g", Path.replace, read_graph("citeseer")
    for moment in range(40):
        shutil.rmtree(out, ignore_errors=True)
        if old:
            write_graph(cora, out)
        left = [moment]

        def dying(path: Path, target: Path, left: list[int] = left) -> Path:
            if not left[0]:
                raise Killed
            left[0] -= 1
            return replace(path, target)

        monkeypatch.setattr(Path, "replace", dying)
        try:
            write_graph(small, out, overwrite=old)
        except Killed:
            pass
        else:
            break
        finally:
            monkeypatch.setattr(Path, "replace", replace)
        if old and moment == 0:
            same(read_graph(out, split=None), read_graph("citeseer", split=None))
        else:
            with pytest.raises((GraphError, ValueError)):
                read_graph(out)
        write_graph(small, out, overwrite=old)
        same(small, read_graph(out, split=None))
    assert moment > 3 and left[0] == 0
    same(small, read_graph(out, split=None))
    assert {p.name for p in out.iterdir()} <= folders.OWN


def test_others_files_stay(small: Graph, tmp_path: Path) -> None:
    out = tmp_path / "g"
    out.mkdir()
    np.save(out / "x.npy", np.arange(3))
    with pytest.raises(ValueError, match=r"without a graph.json of a graph, nothing is replaced"):
        write_graph(small, out, overwrite=True)
    assert np.load(out / "x.npy").tolist() == [0, 1, 2]
    (out / "graph.json").write_text('{"nodes": [], "links": []}')
    with pytest.raises(ValueError, match="nothing is replaced"):
        write_graph(small, out, overwrite=True)
    (out / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"holds notes.txt, expected a new or an empty folder"):
        write_graph(small, out, overwrite=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="a file, expected a folder"):
        write_graph(small, f"{tmp_path}/file/")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        write_graph(small, tmp_path / "no" / "g")
    linked = tmp_path / "linked"
    write_graph(small, linked)
    (linked / "x.npy").rename(tmp_path / "elsewhere.npy")
    (linked / "x.npy").symlink_to(tmp_path / "elsewhere.npy")
    with pytest.raises(ValueError, match=r"x.npy: no regular file, nothing is replaced"):
        write_graph(small, linked, overwrite=True)
    with folders.alone(out), pytest.raises(ValueError, match="another process is converting"):
        folders.alone(out).__enter__()


def change(path: Path, raw: bytes, keep_time: bool = False) -> None:
    found = path.stat()
    path.write_bytes(raw)
    times = (found.st_atime_ns, found.st_mtime_ns if keep_time else found.st_mtime_ns + 10**9)
    os.utime(path, ns=times)


def test_changed_files(small: Graph, tmp_path: Path) -> None:
    out = tmp_path / "g"
    write_graph(small, out)
    before = read(Source.of(str(out))).sha256
    for path in sorted(out.glob("*.npy")):
        raw = path.read_bytes()
        change(path, raw)
        assert read(Source.of(str(out))).sha256 == before  # another time, the same bytes
        change(path, raw[:-1] + bytes([raw[-1] ^ 1]))
        with pytest.raises(GraphError, match=rf"{path.name} has changed: SHA-256 \w+, expected"):
            read_graph(out)
        change(path, raw[:-1], keep_time=True)
        with pytest.raises(GraphError, match=rf"{path.name} has changed: {len(raw) - 1} bytes"):
            read_graph(out)
        path.unlink()
        with pytest.raises(GraphError, match=rf"{path.name}: No such file"):
            read_graph(out)
        change_back(path, raw, out)
    shutil.copytree(out, tmp_path / "copy", copy_function=shutil.copyfile)
    same(read_graph(tmp_path / "copy", split=None), small)


def change_back(path: Path, raw: bytes, folder: Path) -> None:
    path.write_bytes(raw)
    told = json.loads((folder / "graph.json").read_text())
    os.utime(path, ns=(0, told["files"][path.stem]["mtime_ns"]))


UNSOUND: list[tuple[str, Any, str]] = [
    ("indices", lambda a: a + 90, "index 9"),
    ("indices", lambda a: a[::-1].copy(), "indices fall"),
    ("indices", lambda a: np.array([0, 2, 0, 2, 0, 1, 3, 2], a.dtype), "a self-loop"),
    ("indices", lambda a: np.array([1, 2, 0, 2, 0, 1, 4, 2], a.dtype), "one direction only"),
    ("indptr", lambda a: a[::-1].copy(), "indptr"),
    ("indptr", lambda a: a[:2], "1 nodes, expected at least 2"),
    ("edge_weight", lambda a: np.arange(1, 9, dtype=a.dtype), "of two weights"),
    ("edge_weight", lambda a: -a, "above 0"),
    ("edge_weight", lambda a: a[:3], "3, expected 8"),
    ("x", lambda a: np.full_like(a, np.inf), "a finite number"),
    ("x", lambda a: a[:4], "4 rows, expected 5"),
    ("x", lambda a: a.astype(np.float64), "<f4"),
    ("y", lambda a: a + 7, "a class"),
    ("train_mask", lambda a: (a.view(np.uint8) + 7).view(bool), "expected booleans"),
    ("val_mask", np.ones_like, "a node in one of them only"),
    ("node_id", lambda a: a[[0] * len(a)], "an id once only"),
    ("node_id", lambda a: (a.view(np.uint32) + 0x200000).view(a.dtype), "expected Unicode"),
]


@pytest.mark.parametrize(("name", "how", "part"), UNSOUND)
def test_unsound_arrays(name: str, how: Any, part: str, small: Graph, tmp_path: Path) -> None:
    out = tmp_path / "g"
    write_graph(small, out)
    array = how(np.load(out / f"{name}.npy"))
    np.save(out / f"{name}.npy", array)
    told = json.loads((out / "graph.json").read_text())
    raw, found = (out / f"{name}.npy").read_bytes(), (out / f"{name}.npy").stat()
    entry = {"sha256": hashlib.sha256(raw).hexdigest(), "bytes": len(raw)}
    entry |= {"mtime_ns": found.st_mtime_ns, "dtype": array.dtype.str, "shape": list(array.shape)}
    told["files"][name] = entry
    (out / "graph.json").write_text(json.dumps(told))
    with pytest.raises(GraphError, match=part):
        read_graph(out, split=None)


@pytest.mark.parametrize(
    ("key", "value", "part"),
    [
        ("format", "another", "format = 'another'"),
        ("version", 2, "version = 2"),
        ("version", True, "expected int"),
        ("status", "done", "status = 'done'"),
        ("status", "converting", "did not end"),
        ("files", {}, "no indptr"),
        ("files", {"../x": None}, "expected dict"),
        ("files", 3, "expected dict"),
    ],
)
def test_manifests(key: str, value: Any, part: str, small: Graph, tmp_path: Path) -> None:
    out = tmp_path / "g"
    write_graph(small, out)
    told = json.loads((out / "graph.json").read_text())
    (out / "graph.json").write_text(json.dumps(told | {key: value}))
    with pytest.raises(GraphError, match=part):
        read_graph(out)
    (out / "graph.json").write_text(json.dumps(told)[:-9])
    with pytest.raises(GraphError, match="expected JSON"):
        read_graph(out)
    told["files"]["other"] = told["files"]["x"]
    (out / "graph.json").write_text(json.dumps(told))
    with pytest.raises(GraphError, match="files: 'other'"):
        read_graph(out)


def test_little_disk(small: Graph, tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    vast = np.broadcast_to(np.float32(1), (5, free // 20 + 2**20))  # takes no memory
    with pytest.raises(OSError, match=r"MiB are free on its disk, expected \d+") as caught:
        folders.write(tmp_path / "g", {"x": vast})
    assert caught.value.filename == str(tmp_path / "g") and not (tmp_path / "g").exists()


def call(*words: str | Path) -> Any:
    return CliRunner().invoke(app, [*map(str, words)])


def test_commands(tmp_path: Path) -> None:
    out, run = tmp_path / "cora.mapped", tmp_path / "run"
    done = call("data", "convert", "cora", f"{out}/")
    assert done.exit_code == 0 and done.stdout.strip() == f"{out}/"
    assert call("data", "convert", "cora", f"{out}/").exit_code == 2
    assert call("data", "convert", "cora", f"{out}/", "--overwrite").exit_code == 0
    facts = [
        json.loads(call("data", "check", at, "--json").stdout)["graph"] for at in ("cora", out)
    ]
    assert facts[0] == facts[1]
    small = ("--hidden", "16", "--out-width", "8", "--epochs", "2", "--eval-every", "2")
    assert call("train", out, "--out", run, *small).exit_code == 0
    assert call("embed", run, "--out", tmp_path / "z.npz").exit_code == 0
    assert np.load(tmp_path / "z.npz")["z"].shape[0] == 2708
    x = out / "x.npy"
    raw = x.read_bytes()
    change(x, raw[:-1] + b"\1")
    told = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(told | {"status": "interrupted"}))
    resumed = call("train", "--resume", run)
    (run / "run.json").write_text(json.dumps(told))
    for done in (
        resumed,
        call("embed", run, "--out", tmp_path / "y.npz"),
        call("evaluate", run, "--task", "linear"),
        call("data", "check", out),
    ):
        assert done.exit_code == 3 and f"{x} has changed: SHA-256" in done.stderr
