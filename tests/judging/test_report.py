"""Claims about `nodejepa-ext evaluate` and `export`, each with a test below.

1. Figures of nodes are those of `evaluate` for the run's embedding, beside the untrained encoder,
   FastRP and raw features; tables and JSON say the same.
2. link trains the run's settings on what is left of the edges, once a seed, and no more is known of
   those held out: features made of the graph are made of what is left.
3. Tasks that the graph does not permit are left out, and said so; if that leaves none of those
   named, they are refused, with a word on what the graph does permit.
4. Another graph is judged by the same encoder.
5. Usage exits 2, a changed graph 3, with sentences; stdout is the result alone.
6. evaluation.json in the run is what --json prints, after every task and seed: what fails or is
   interrupted later loses nothing. Only of the run's own graph; --overwrite removes it.
7. --controls chooses what is set beside ours, with the same figures; splits are made once, and no
   two embeddings are held at a time.
8. export: a folder from which the card's own lines make the same embeddings, bit for bit; it names
   no path; no file is replaced without --overwrite.
"""

from __future__ import annotations

import json
import os
import re
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch_geometric.data import Data
from typer.testing import CliRunner, Result

import run_full
from nodejepa_ext.commands import app
from nodejepa_ext.graphs.graph import structural_features
from nodejepa_ext.graphs.source import Source, read
from nodejepa_ext.judging import report as judge
from nodejepa_ext.judging import tasks as evaluate
from nodejepa_ext.training import folder as runs
from nodejepa_ext.training.stopping import label_free, patience
from run_full import Config

SETTINGS = Config(hidden=8, out=4, epochs=4, warmup=1, eval_every=2, device="cpu")
METHODS = ["Node-JEPA", "raw features", "untrained", "FastRP", "FastRP on features"]


def call(*words: str | Path) -> Result:
    done = CliRunner().invoke(app, [*map(str, words)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def judged(*words: str | Path) -> Any:
    done = call("evaluate", *words, "--json")
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def save(path: Path, data: Data, *keys: str) -> Path:
    np.savez(path, **{key: data[key].numpy() for key in ("edge_index", *keys)})
    return path


@pytest.fixture
def run(data: Data, tmp_path: Path) -> Path:
    """With labels and masks."""
    source = save(tmp_path / "graph.npz", data, "x", "y", *evaluate.PARTS)
    runs.start(read(Source.of(str(source))), SETTINGS, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def bare(data: Data, tmp_path: Path) -> Path:
    """With edges alone."""
    source = save(tmp_path / "bare.npz", data)
    runs.start(read(Source.of(str(source))), SETTINGS, tmp_path / "other")
    return tmp_path / "other"


def test_nodes(run: Path) -> None:
    report = judged(run, "--task", "linear,knn,cluster", "--seeds", "2")
    graph, z = runs.source_graph(run).data, np.load(run / "embeddings.npz")["z"]
    edges = graph.edge_index.shape[1] // 2
    assert report["graph"] == {"nodes": 60, "edges": edges, "dimensions": 4}
    tasks = report["tasks"]
    assert [*tasks] == ["linear", "knn", "cluster"]
    assert all([*found] == METHODS for found in (*tasks.values(), report["collapse"]))
    controls = evaluate.controls(graph, out=4, seed=0, cfg=SETTINGS)
    for method, rows in {"Node-JEPA": z, **controls}.items():
        assert tasks["linear"][method] == evaluate.linear(rows, graph)
        assert tasks["knn"][method] == evaluate.knn(rows, graph, [5, 10])  # 12 training nodes
        assert tasks["cluster"][method] == evaluate.cluster(rows, graph, seeds=2)
        assert report["collapse"][method] == evaluate.collapse(rows)
    done = call("evaluate", run, "--task", "linear,knn,cluster", "--seeds", "2")
    ours = next(line for line in done.stdout.splitlines() if "Node-JEPA" in line)
    assert f"{100 * tasks['linear']['Node-JEPA']['mean']:.1f}" in ours
    nmi = tasks["cluster"]["Node-JEPA"]["nmi"]
    assert f"{100 * nmi['mean']:.1f} ± {100 * nmi['std']:.1f}" in ours
    assert "cluster: 2 k-means seeds" in done.stdout


def test_link(run: Path) -> None:
    done = call("evaluate", run, "--task", "link", "--seeds", "2", "--json")
    found = json.loads(done.stdout)["tasks"]["link"]
    assert re.search(r"seed 1: training anew on \d+ edges, 4 epochs", done.stderr)
    assert {*found} == {*METHODS, "common neighbours", "Adamic-Adar"}
    graph = runs.source_graph(run).data
    for seed in 0, 1:
        split = evaluate.split_edges(graph, seed=seed)
        left = Data(x=split.data.x, edge_index=split.data.edge_index)
        z = run_full.train(replace(SETTINGS, seed=seed), left, keep=label_free, on_epoch=patience).z
        assert found["Node-JEPA"]["rows"][seed] == {"seed": seed, **evaluate.link(z, split)}
        for name, report in evaluate.link_controls(split).items():
            assert found[name]["rows"][seed] == {"seed": seed, **report}
    rows = [row["auc"] for row in found["Node-JEPA"]["rows"]]
    assert found["Node-JEPA"]["auc"]["mean"] == pytest.approx(np.mean(rows))
    shown = call("evaluate", run, "--task", "link", "--seeds", "1").stdout
    assert "hits@20" not in shown and "common neighbours" in shown  # fewer pairs than 20


def test_a_graph_is_built_once(
    run: Path, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = save(tmp_path / "graph.npz", data, "x", "y", *evaluate.PARTS)
    joined = replace(SETTINGS, neighbours=2)
    runs.start(read(Source.of(str(source))), joined, tmp_path / "joined")
    calls, plain = [], run_full.join_neighbours

    def counted(*args: Any) -> Data:
        calls.append(args)
        return plain(*args)

    monkeypatch.setattr(run_full, "join_neighbours", counted)
    judge.judge(tmp_path / "joined", None, "linear,cluster", None, 2, lambda text: None)
    assert len(calls) == 1
    judge.judge(tmp_path / "joined", None, "link", None, 2, lambda text: None)
    assert len(calls) == 1 + 1 + 2  # ours, and with each seed a graph of other edges


def test_link_without_features(bare: Path) -> None:
    """Features of degrees and positions would tell of the edges held out."""
    found = judged(bare, "--task", "link", "--seeds", "1")["tasks"]["link"]
    split = evaluate.split_edges(runs.source_graph(bare).data)
    split.data.x = structural_features(split.data)
    left = Data(x=split.data.x, edge_index=split.data.edge_index)
    z = run_full.train(SETTINGS, left, keep=label_free, on_epoch=patience).z
    assert found["Node-JEPA"]["rows"] == [{"seed": 0, **evaluate.link(z, split)}]


def test_what_the_graph_permits(run: Path, bare: Path) -> None:
    for task in "linear", "knn":
        done = call("evaluate", bare, "--task", task)
        assert done.exit_code == 2 and done.stdout == ""
        assert "no labels; cluster with --clusters K, and link, need none" in done.stderr
    done = call("evaluate", bare, "--task", "cluster")
    assert done.exit_code == 2 and "expected --clusters K" in done.stderr
    found = judged(bare, "--task", "cluster", "--clusters", "3")["tasks"]["cluster"]["Node-JEPA"]
    assert found["n_clusters"] == 3 and {*found} == {"n_clusters", "silhouette", "rows"}
    done = call("evaluate", bare, "--seeds", "1", "--json")
    assert [*json.loads(done.stdout)["tasks"]] == ["link"]
    assert done.stderr.count("left out: the graph has no labels") == 3
    assert [*judged(run, "--seeds", "1")["tasks"]] == [*judge.TASKS]
    shown = call("evaluate", bare, "--task", "cluster", "--clusters", "3").stdout
    assert "silhouette" in shown and "NMI" not in shown and "rank" in shown


def test_what_is_finished_is_kept(
    run: Path, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = run / "evaluation.json"
    report = judged(run, "--task", "linear")
    assert json.loads(kept.read_text()) == report and report["left_out"] == {}
    words = ("--task", "linear,cluster", "--clusters", "60", "--json")
    done = call("evaluate", run, *words)
    assert done.exit_code == 0 and "cluster left out: n_clusters = 60" in done.stderr
    assert [*json.loads(done.stdout)["tasks"]] == ["linear"]
    assert [*json.loads(kept.read_text())["left_out"]] == ["cluster"]
    plain = judge.trained

    def cut(cfg: Config, *args: Any, **more: Any) -> Any:
        if cfg.seed == 1:
            raise KeyboardInterrupt
        return plain(cfg, *args, **more)

    monkeypatch.setattr(judge, "trained", cut)
    done = call("evaluate", run, "--task", "knn,link")
    assert done.exit_code == 130 and "interrupted; finished tasks are kept" in done.stderr
    assert "kNN" in done.stdout and "auc" in done.stdout
    tasks = json.loads(kept.read_text())["tasks"]
    assert [*tasks] == ["knn", "link"] and len(tasks["link"]["Node-JEPA"]["rows"]) == 1
    assert judge.reported(kept)["tasks"] == tasks
    before = kept.read_bytes()
    judged(run, "--graph", save(tmp_path / "other.npz", data, "x", "y"), "--task", "knn")
    assert kept.read_bytes() == before
    runs.start(read(Source.of(str(tmp_path / "graph.npz"))), SETTINGS, run, overwrite=True)
    assert not kept.exists()


def test_controls(run: Path, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = ("--task", "knn,link", "--seeds", "1")
    whole = judged(run, *both, "--controls", "all")
    for words, methods in [("none", METHODS[:1]), ("fastrp,raw", ["Node-JEPA", *METHODS[1:4:2]])]:
        found = judged(run, *both, "--controls", words)
        assert [*found["collapse"]] == methods and judge.reported(run / "evaluation.json") == found
        for task, figures in found["tasks"].items():
            assert [*figures] == methods
            assert figures == {method: whole["tasks"][task][method] for method in methods}
    found = judged(run, *both, "--controls", "common")
    assert [*found["tasks"]["knn"]] == METHODS[:1]
    assert [*found["tasks"]["link"]] == ["Node-JEPA", "common neighbours"]
    done = call("evaluate", run, "--controls", "raw,rew")
    assert (
        done.exit_code == 2 and "--controls rew: expected none, all, or some of raw" in done.stderr
    )

    calls, plain = [], judge.node_splits
    other = save(tmp_path / "other.npz", data, "x", "y")  # 20 random splits

    def counted(*args: Any, **more: Any) -> Any:
        calls.append(args)
        return plain(*args, **more)

    monkeypatch.setattr(judge, "node_splits", counted)
    judged(run, "--graph", other, "--task", "linear,knn", "--controls", "none")
    assert len(calls) == 1


def test_embeddings_are_held_one_at_a_time(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Raw features are the graph's own, and take nothing."""
    alive: list[weakref.ref[Any]] = []
    plain = judge.judge_nodes

    def watched(task: str, z: torch.Tensor, **more: Any) -> Any:
        assert all(ref() is None for ref in alive)
        if z.data_ptr() != more["data"].x.data_ptr():
            alive.append(weakref.ref(z))
        report = plain(task, z, **more)
        return report

    monkeypatch.setattr(judge, "judge_nodes", watched)
    judged(run, "--task", "linear")
    assert len(alive) == 4


def test_a_control_that_fails_leaves_the_task_out(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of all methods, so that a report says the same of each."""
    plain, seen = judge.judge_nodes, []

    def broken(task: str, z: torch.Tensor, **more: Any) -> Any:
        seen.append(task)
        if task == "knn" and seen.count("knn") == 3:
            raise ValueError("no neighbours")
        return plain(task, z, **more)

    monkeypatch.setattr(judge, "judge_nodes", broken)
    found = judged(run, "--task", "linear,knn")
    assert found["left_out"] == {"knn": "no neighbours"} and [*found["tasks"]] == ["linear"]
    assert [*found["tasks"]["linear"]] == METHODS and seen.count("knn") == 3


def test_another_graph(run: Path, data: Data, tmp_path: Path) -> None:
    """Without masks: 20 random splits, which have a spread."""
    other = save(tmp_path / "other.npz", data, "x", "y")
    found = judged(run, "--graph", other, "--task", "knn")
    assert found["tasks"]["knn"]["Node-JEPA"]["n"] == 20  # of 6 training nodes each
    small = data.subgraph(torch.arange(60) < 15)
    done = call("evaluate", run, "--graph", save(tmp_path / "small.npz", small, "x", "y"),
                "--task", "linear")  # fmt: skip
    assert done.exit_code == 2 and "15 labelled nodes, expected at least 20" in done.stderr
    narrow = data.clone()
    narrow.x = data.x[:, 2:]
    done = call("evaluate", run, "--graph", save(tmp_path / "narrow.npz", narrow, "x", "y"))
    assert done.exit_code == 2 and "[60, 10], expected [60, 12]" in done.stderr


def test_exit_codes(run: Path, data: Data, tmp_path: Path) -> None:
    for words, text in [
        ((run, "--task", "linear,knm"), "--task knm: expected some of linear,knn,cluster,link"),
        ((tmp_path / "none",), "run.json"),
        ((run, "--task", "cluster", "--clusters", "60"), "expected from 2 to 59"),
        ((run, "--seeds", "0"), "--seeds"),
    ]:
        done = call("evaluate", *words)
        assert done.exit_code == 2 and text in done.stderr and done.stdout == "", done.stderr
    save(tmp_path / "graph.npz", data, "x")
    done = call("evaluate", run)
    assert done.exit_code == 3 and "has changed" in done.stderr


def test_export(run: Path, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for columns in False, True:  # features in units of their own have statistics to keep
        if columns:
            data.x = 10 * data.x - 3
            source = save(tmp_path / "graph.npz", data, "x", "y")
            runs.start(read(Source.of(str(source))), SETTINGS, run, overwrite=True)
        hub = tmp_path / f"hub/{columns}"
        done = call("export", run, "--hub", hub)
        assert done.exit_code == 0 and done.stdout == f"{hub}\n"
        assert sorted(os.listdir(hub)) == ["README.md", "config.json", "model.safetensors"]
        card = (hub / "README.md").read_text()
        assert card.startswith("---\nlibrary_name: nodejepa\n") and "12 features in, 4" in card
        assert ("chose the epoch" in card) != columns
        settings = json.loads((hub / "config.json").read_text())
        assert settings["config"]["hidden"] == 8 and str(tmp_path) not in json.dumps(settings)
        (block,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
        names: dict[str, Any] = {}
        monkeypatch.chdir(hub.parent)
        exec(block.replace("mygraph/", str(tmp_path / "graph.npz")), names)
        assert np.array_equal(names["z"], np.load(run / "embeddings.npz")["z"])
    done = call("export", run, "--hub", tmp_path / "hub/False")
    assert done.exit_code == 2 and "--overwrite replaces" in done.stderr
    assert call("export", run, "--hub", tmp_path / "hub/False", "--overwrite").exit_code == 0
    done = call("export", run, "--hub", tmp_path / "graph.npz")
    assert done.exit_code == 2 and "Traceback" not in done.stderr
