"""A small sound file of every format that the project reads, as commands and libraries write them,
and which command reads which.
"""

from __future__ import annotations

import gzip
import json
import shutil
import warnings
from collections.abc import Callable
from contextlib import chdir
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from nodejepa_ext.bench.survive_process import call, fork, to_files, waited

NODES, SECONDS = 45, 300.0
MASKS = ("train", "val", "test")
SMALL = "--hidden 16 --out-width 8 --device cpu --threads 1".split()
SEARCH = [*"--graphs cora --trials 3 --best 1 --fresh 1 --seeds 1 --workers 1".split(), *SMALL]
SEARCH += "--epochs 4 --eval-every 2 --neighbours 0 --pruner none --enqueue first.toml".split()
ARMS = [*"--bfs-mask --graphs cora --seeds 1 --workers 1 --epochs 2".split(), *SMALL]
TRAIN = [*SMALL, *"--preset card --epochs 40 --warmup 2 --eval-every 2".split()]


@dataclass(frozen=True)
class Kind:
    """A file to damage, and a command that reads it; paths are relative to the folder of all.
    answer: what it writes, which must be what it is of the sound file, whatever the damage of
    bytes, for a checksum stands over them."""

    path: str
    words: tuple[str, ...]
    answer: str = ""  # "-": its stdout


def graph(path: str, source: str = "", *more: str) -> Kind:
    """A graph's file, see `survive_fuzz.graph_case`."""
    return Kind(path, ("data", "check", source or path, *more))


GRAPHS = (
    graph("tables/edges.csv", "tables"),
    graph("tables/nodes.csv", "tables"),
    graph("tabbed/edges.tsv", "tabbed"),
    graph("tabbed/nodes.tsv", "tabbed"),
    graph("columns/edges.parquet", "columns"),
    graph("columns/nodes.parquet", "columns"),
    graph("packed/edges.csv.gz", "packed"),
    graph("packed/nodes.csv.gz", "packed"),
    graph("list.edgelist"),
    graph("attributes.edgelist"),
    graph("g.graphml"),
    graph("g.gml"),
    graph("g.mtx"),
    graph("graph.npz"),
    graph("scipy.npz"),
    graph("shchur.npz"),
    graph("platonov.npz"),
    graph("g.pt"),
    graph("again/nodes.csv", "again/edges.csv", "--nodes", "again/nodes.csv"),
    graph("again/nodes.parquet", "again/edges.csv", "--nodes", "again/nodes.parquet"),
    graph("mapped/graph.json", "mapped"),
    graph("mapped/indptr.npy", "mapped"),
    graph("mapped/indices.npy", "mapped"),
    graph("mapped/x.npy", "mapped"),
    graph("mapped/y.npy", "mapped"),
    graph("mapped/train_mask.npy", "mapped"),
)


def kind(path: str, words: str, answer: str = "") -> Kind:
    return Kind(path, tuple(words.split()), answer)


EMBED, EXPORT, AGAIN = "embed run --out e.csv", "export run --hub h", "train --resume stopped"
OTHER = "embed hub --graph graph.npz --out e.csv"
BACK = (
    kind("run/run.json", EMBED),
    kind("run/run.json", EXPORT),
    kind("run/run.json", "evaluate run --task cluster"),
    kind("run/run.json", "train graph.npz --out run --overwrite --epochs 2 --hidden 16"),
    kind("run/config.toml", EMBED, "e.csv"),
    kind("run/config.toml", "train --resume run"),
    kind("run/metrics.jsonl", "page run --out p.html"),
    kind("run/embeddings.npz", "page run --out p.html"),
    kind("run/embeddings.npz", "plot run --out p"),
    kind("run/model.safetensors", EMBED, "e.csv"),
    kind("run/model.safetensors", EXPORT, "h/model.safetensors"),
    kind("run/evaluation.json", "page run --out p.html"),
    kind("stopped/run.json", AGAIN),
    kind("stopped/config.toml", AGAIN, "stopped/embeddings.npz"),
    kind("stopped/metrics.jsonl", AGAIN, "stopped/embeddings.npz"),
    kind("stopped/checkpoints/step-00000006.json", AGAIN, "stopped/embeddings.npz"),
    kind("stopped/checkpoints/step-00000006.safetensors", AGAIN, "stopped/embeddings.npz"),
    kind("hub/config.json", OTHER),
    kind("hub/model.safetensors", OTHER),
    kind("ablation/rows.jsonl", "plot ablation --out p"),
    kind("ablation/rows.jsonl", "page ablation --out p.html"),
    kind("ablation/report.json", "page ablation --out p.html"),
    kind("results/final_results.json", "plot results --out p"),
    kind("results/cora/embeddings.npz", "plot results --out p"),
    kind("older/learning_curves.jsonl", "plot older --out p"),
    kind("search/final_results.json", "plot search --out p"),
    kind("search/final_results.json", "page search --out p.html"),
    kind("search/journal.jsonl", "show search --json", "-"),
    kind("given.toml", "train graph.npz --config given.toml --out new"),
)


def blocks() -> dict[str, Any]:
    """edge_index [2, E], x [N, 3], y [N] and masks of a graph of three communities."""
    rng = np.random.default_rng(0)
    y = np.arange(NODES) % 3
    chance = np.where(y[:, None] == y, 0.3, 0.02)
    drawn = np.triu(rng.random((NODES, NODES)) < chance, 1)
    x = (np.eye(3)[y] + 0.5 * rng.random((NODES, 3))).astype(np.float32)
    masks = {f"{m}_mask": np.arange(NODES) // 3 % 3 == i for i, m in enumerate(MASKS)}
    return {"edge_index": np.stack(drawn.nonzero()), "x": x, "y": y, **masks}


def tables(home: Path, arrays: dict[str, Any]) -> None:
    """The graph as text, packed text and parquet."""
    import pyarrow as pa
    from pyarrow import parquet

    ends, x, y = arrays["edge_index"].T.tolist(), arrays["x"], arrays["y"]
    edges = [["source", "target", "weight"]]
    edges += [[f"n{a}", f"n{b}", str(1 + (a + b) % 3)] for a, b in ends]
    nodes = [["id", "f0", "f1", "f2", "label", "split"]]
    nodes += [
        [f"n{i}", *(f"{v:.4f}" for v in x[i]), f"class {y[i]}", MASKS[i // 3 % 3]]
        for i in range(NODES)
    ]
    for folder, suffix, by in (("tables", ".csv", ","), ("tabbed", ".tsv", "\t")):
        (home / folder).mkdir()
        for name, rows in (("edges", edges), ("nodes", nodes)):
            text = "".join(by.join(row) + "\n" for row in rows)
            (home / folder / f"{name}{suffix}").write_text(text)
    for folder in ("packed", "columns"):
        (home / folder).mkdir()
    for name, rows in (("edges", edges), ("nodes", nodes)):
        plain = (home / "tables" / f"{name}.csv").read_bytes()
        (home / "packed" / f"{name}.csv.gz").write_bytes(gzip.compress(plain, mtime=0))
        values = [*zip(*rows[1:], strict=True)]
        as_numbers = [[float(v) for v in c] if c[0][0].isdigit() else [*c] for c in values]
        table = pa.table(dict(zip(rows[0], as_numbers, strict=True)))
        parquet.write_table(table, home / "columns" / f"{name}.parquet")


def archives(home: Path, arrays: dict[str, Any]) -> None:
    """The graph in the layouts of others."""
    import torch
    from scipy import io, sparse
    from torch_geometric.data import Data

    np.savez(home / "graph.npz", **arrays)
    row, col = arrays["edge_index"]
    matrix = sparse.coo_array((np.ones(len(row)), (row, col)), (NODES, NODES))
    sparse.save_npz(home / "scipy.npz", sparse.csr_matrix(matrix))
    io.mmwrite(home / "g.mtx", matrix)
    parts = {"adj": sparse.csr_matrix(matrix), "attr": sparse.csr_matrix(arrays["x"])}
    names: dict[str, Any] = {}
    for name, part in parts.items():
        names |= {f"{name}_data": part.data, f"{name}_indices": part.indices}
        names |= {f"{name}_indptr": part.indptr, f"{name}_shape": np.array(part.shape)}
    np.savez(home / "shchur.npz", **names, labels=arrays["y"])
    masks = {f"{m}_masks": arrays[f"{m}_mask"][None] for m in MASKS}
    features = {"node_features": arrays["x"], "node_labels": arrays["y"]}
    np.savez(home / "platonov.npz", **features, **masks, edges=arrays["edge_index"].T)
    torch.save(Data(**{k: torch.from_numpy(v) for k, v in arrays.items()}), home / "g.pt")


def networks(home: Path, arrays: dict[str, Any]) -> None:
    """The graph as networkx writes it, or by hand where there is none."""
    ends = arrays["edge_index"].T.tolist()
    (home / "list.edgelist").write_text("".join(f"{a} {b}\n" for a, b in ends))
    lines = (f"{a} {b} {{'weight': {1 + a % 2}}}\n" for a, b in ends)
    (home / "attributes.edgelist").write_text("".join(lines))
    try:
        import networkx
    except ImportError:
        for name in ("g.graphml", "g.gml"):
            (home / name).write_text("<graphml></graphml>\n")
        return
    made = networkx.Graph(ends)
    for i in range(NODES):
        made.add_node(i, f0=float(arrays["x"][i, 0]), f1=float(arrays["x"][i, 1]))
        made.nodes[i]["label"] = f"c{arrays['y'][i]}"
    networkx.write_graphml(made, home / "g.graphml")
    networkx.write_gml(made, home / "g.gml")


def results(home: Path) -> None:
    """As run_full.py writes them, today and earlier; settings as a user does."""
    (home / "results/cora").mkdir(parents=True)
    z = np.random.default_rng(0).normal(size=(20, 4))
    np.savez(home / "results/cora/embeddings.npz", z=z, y=np.arange(20) % 3)
    curve = [{"epoch": e, "loss": 0.1, "val": 0.5, "effective_rank": 3.0} for e in (1, 2)]
    row = {"graph": "cora", "method": "best", "seed": 0, "val": 0.5, "test": 0.4, "curve": curve}
    (home / "results/final_results.json").write_text(json.dumps({"commit": "a", "rows": [row]}))
    shutil.copytree(home / "results", home / "older")
    told = "".join(json.dumps(row | point) + "\n" for point in curve)
    (home / "older/learning_curves.jsonl").write_text(told)
    given = 'hidden = 16\nout = 8\nepochs = 2\neval_every = 2\nencoder = "gcn"\n'
    (home / "given.toml").write_text(given)
    first = "".join(
        f"[{name}]\nlr = {lr}\n" for name, lr in (("a", 1e-3), ("b", 3e-3), ("c", 1e-2))
    )
    (home / "first.toml").write_text(first)


def stop_after(epochs: int) -> Callable[[], int]:
    """What `start` asks after each epoch."""
    codes = iter([0] * epochs + [143])
    return lambda: next(codes)


def runs(home: Path) -> None:
    """A run that was stopped, with two checkpoints; what it becomes; what is made of that."""
    from nodejepa_ext.graphs.source import Source, read
    from nodejepa_ext.training.folder import start
    from run_full import Config, RunError

    cfg = Config(hidden=16, out=8, epochs=8, warmup=2, eval_every=2, device="cpu")
    (home / "stopped").mkdir()
    try:
        ready = read(Source.of(str(home / "graph.npz")))
        start(ready, cfg, home / "stopped", stop=stop_after(5), every=1)
    except RunError:
        shutil.copytree(home / "stopped", home / "run")
    every: list[list[str]] = [["train", "--resume", "run"], ["export", "run", "--hub", "hub"]]
    every += [["data", "convert", "graph.npz", "mapped/"]]
    every += [["embed", "run", "--out", f"again/nodes.{s}"] for s in ("csv", "parquet")]
    (home / "again").mkdir()
    for words in every:
        expect_0(words)
    ends = np.load(home / "graph.npz")["edge_index"].T.tolist()
    text = "source,target\n" + "".join(f"{a},{b}\n" for a, b in ends)
    (home / "again/edges.csv").write_text(text)


def expect_0(words: list[str]) -> None:
    """RuntimeError: a command on sound files ended otherwise."""
    if code := call(words):
        raise RuntimeError(f"nodejepa-ext {' '.join(words)} ended with exit code {code}")


def evaluation(home: Path) -> None:
    from nodejepa_ext.judging.report import judge

    found = judge(home / "run", None, "linear,cluster", 3, 1, lambda text: None)
    (home / "run/evaluation.json").write_text(json.dumps(found))


def make(home: Path) -> int:
    """All of them, in a process of its own."""
    warnings.simplefilter("ignore")
    with chdir(home):
        arrays = blocks()
        tables(home, arrays)
        archives(home, arrays)
        networks(home, arrays)
        results(home)
        runs(home)
        evaluation(home)
    return 0


def make_slow(home: Path) -> int:
    """An ablation and a sweep."""
    with chdir(home):
        expect_0(["ablate", *ARMS, "--out", "ablation"])
        expect_0(["sweep", *SEARCH, "--out", "search"])
    return 0


def sound(home: Path, slow: bool = True) -> Path:
    """Makes them -> their folder. RuntimeError: that failed."""
    home.mkdir()
    for what in (make, make_slow)[: 1 + slow]:
        log = home.with_name(f"{home.name}-{what.__name__}")

        def run(what: Callable[[Path], int] = what, log: Path = log) -> int:
            to_files(log)
            return what(home)

        code = waited(fork(run), SECONDS)
        if code != 0:
            told = Path(f"{log}.err").read_text(errors="replace")[-2000:]
            raise RuntimeError(f"no sound files to begin with ({code}): {told}")
    return home


def fresh(home: Path, place: Path, paths: tuple[str, ...]) -> None:
    """place, empty but for copies of what is at these paths."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    for path in dict.fromkeys(Path(path).parts[0] for path in paths):
        if (home / path).exists():
            copy = shutil.copytree if (home / path).is_dir() else partial(shutil.copy)
            copy(home / path, place / path)
