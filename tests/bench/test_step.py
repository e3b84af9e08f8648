"""`nodejepa-ext bench`, and what the command line does alike for all verbs.

1  --help imports neither torch, sklearn, optuna nor matplotlib, and every verb shows 3 examples.
2  Bad usage exits 2 with a sentence; Ctrl-C exits 130.
3  The textbook encoder computes what ours computes, and has as many weights that learn.
4  A textbook step learns: its loss falls; its target follows weights and buffers.
5  bench measures for real: four rows, positive figures, JSON on stdout alone; so it does the
   start of the command, by the CPU time of processes that it waited for.
6  bench compares with the textbook of the same graph by medians over the rounds.
7  A measurement that fails says so in its row, and bench exits 1.
8  bench parts measures for real; its residual is 0 for eigenvectors, and large for what is none.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected
from typer.testing import CliRunner, Result

import run_full
from nodejepa_ext.bench import parts as bench_parts
from nodejepa_ext.bench import step as bench
from nodejepa_ext.bench import textbook
from nodejepa_ext.bench.process import fresh
from nodejepa_ext.commands import app
from run_full import Config

ROOT = Path(run_full.__file__).parent
ENV = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
HEAVY = ("torch", "sklearn", "optuna", "matplotlib")


def call(*words: str | Path) -> Result:
    return CliRunner().invoke(app, list(map(str, words)))


# 1, 2


@pytest.mark.parametrize("verb", [[], ["ablate"], ["bench"], ["plot"]])
def test_help_imports_nothing_heavy(verb: list[str]) -> None:
    code = (
        "import sys\nfrom nodejepa_ext.commands import app\n"
        f"try: app({[*verb, '--help']!r})\n"
        f"finally: print([m for m in {HEAVY} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=ENV, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr.strip() == "[]"
    if verb:
        assert done.stdout.count(f"nodejepa-ext {verb[0]} ") >= 3


def test_bad_usage_exits_2() -> None:
    done = call("bench", "--graphs", "cora,corra")
    assert done.exit_code == 2 and "'corra'" in done.stderr and done.stdout == ""
    assert call("bench", "--steps", "0").exit_code == 2
    done = call("bench", "--skip", "input")
    assert done.exit_code == 2 and "--skip input: expected none or linear" in done.stderr
    assert call("plot").exit_code == 2


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="SIGINT to another process")
def test_ctrl_c_exits_130() -> None:
    command = [sys.executable, "-m", "nodejepa_ext", "bench", "--graphs", "cora"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=ENV, stdout=pipe, stderr=pipe, text=True) as running:
        assert running.stderr and running.stderr.readline().startswith("cora, ")  # it has begun
        running.send_signal(signal.SIGINT)
        said = running.stderr.read()
    assert running.returncode == 130 and "Traceback" not in said


# 3, 4


@pytest.fixture
def both_ways(data: Data) -> Data:
    return Data(x=data.x, edge_index=to_undirected(data.edge_index, num_nodes=len(data.x)))


def learning(*modules: torch.nn.Module) -> int:
    """Weights that the last backward reached."""
    return sum(p.numel() for m in modules for p in m.parameters() if p.grad is not None)


@pytest.mark.parametrize("skip", ["none", "linear"])
def test_textbook_has_as_many_weights(skip: str, cfg: Config, both_ways: Data) -> None:
    cfg = replace(cfg, skip=skip)
    state = run_full.TrainState.new(cfg, both_ways, run_full.Encoder, run_full.MLPPredictor)
    graph = run_full.Graph.of(both_ways, cfg)
    run_full.train_step(state, graph, run_full.random_mask, None)
    book = textbook.Textbook(cfg, both_ways)
    book.step()
    assert learning(state.encoder) == learning(book.encoder) > 0
    assert learning(state.predictor) == learning(book.predictor) > 0


@pytest.mark.parametrize("skip", ["none", "linear"])
def test_textbook_encoder_is_ours(skip: str, cfg: Config, both_ways: Data) -> None:
    cfg = replace(cfg, skip=skip)
    torch.manual_seed(0)
    ours = run_full.Encoder(cfg, both_ways.x.shape[1])
    book = textbook.Encoder(both_ways.x.shape[1], cfg.hidden, cfg.out, skip)
    with torch.no_grad():
        ours.mask.copy_(torch.rand_like(ours.mask))
        book.mask.copy_(ours.mask)
        for i in range(cfg.layers):
            layer = ours.layers[i]
            book.get_parameter(f"convs.{i}.lin.weight").copy_(layer.weight.t())
            if skip == "linear":
                book.get_parameter(f"skips.{i}.weight").copy_(layer.skip.t())
    hidden = torch.arange(len(both_ways.x)) % 3 == 0
    z = ours(run_full.Graph.of(both_ways, cfg), hidden)
    torch.testing.assert_close(
        book(both_ways.x, both_ways.edge_index, hidden), z, atol=1e-5, rtol=1e-4
    )


def test_textbook_learns(cfg: Config, both_ways: Data) -> None:
    torch.manual_seed(0)
    book = textbook.Textbook(replace(cfg, lr=1e-2, feat1=0.1, feat2=0.1), both_ways)
    losses = [book.step() for _ in range(60)]
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.1


def test_textbook_target_follows(cfg: Config, both_ways: Data) -> None:
    online, target = (textbook.Encoder(12, 8, 4) for _ in range(2))
    online(both_ways.x, both_ways.edge_index)  # moves the running statistics, and counts
    before = {k: v.clone() for k, v in target.state_dict().items()}
    textbook.update_target(target, online, 0.75)
    for key, value in online.state_dict().items():
        far = value.is_floating_point()
        expected = 0.75 * before[key] + 0.25 * value if far else value
        torch.testing.assert_close(target.state_dict()[key], expected)


# 5, 6, 7


@pytest.mark.slow
def test_bench_measures() -> None:
    command = [sys.executable, "-m", "nodejepa_ext", "bench", "--graphs", "cora"]
    command += ["--steps", "2", "--json"]
    done = subprocess.run(command, env=ENV, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["threads"] == 1 and report["processor"] and report["versions"]["torch"]
    assert report["startup_seconds"] > 0
    assert [row["method"] for row in report["rows"]] == list(bench.METHODS)
    for row in report["rows"]:
        if row["note"] != "not installed":
            assert row["seconds_per_step"] > 0 and row["peak_mib"] > 0
            assert row["times_as_fast"] > 0 and row["share_of_textbook_peak"] > 0


def test_bench_parts() -> None:
    rows = bench_parts.balls(300, 900) + bench_parts.positions(400, 3)
    assert all(row["seconds"] > 0 for row in rows) and len(rows) == 5
    assert all(row["residual"] < 1e-5 for row in rows[2:]) and rows[0]["against_seconds"] > 0
    ring = torch.arange(12)
    data = Data(x=torch.empty(12, 0), edge_index=torch.stack([ring, ring.roll(-1)]))
    wave = torch.stack([(2 * torch.pi * ring / 12).cos(), (2 * torch.pi * ring / 12).sin()], 1)
    assert bench_parts.residual(data, wave) < 1e-6
    assert bench_parts.residual(data, torch.eye(12)[:, :2]) > 0.5
    assert bench_parts.grid(3).num_edges == 12 and bench_parts.communities(100, 50).num_nodes == 100


@pytest.mark.slow
def test_bench_parts_command() -> None:
    command = [sys.executable, "-m", "nodejepa_ext", "bench", "parts", "--json"]
    done = subprocess.run(command, env=ENV, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["rows"]
    assert len(rows) == 8 and max(row.get("residual", 0.0) for row in rows) < 1e-3


def test_bench_measures_the_start() -> None:
    before, seconds, after = os.times(), bench.startup(1), os.times()
    spent = sum(after[2:4]) - sum(before[2:4])  # of children: user, system
    assert seconds == pytest.approx(spent, abs=0.05) and seconds > 0
    assert fresh("nodejepa_ext", "--no-such").returncode == 2


def fake_spawn(figures: dict[str, list[dict[str, Any]]]) -> Any:
    return lambda method, graph, steps, skip: figures[method].pop(0)


def test_bench_compares_medians(monkeypatch: pytest.MonkeyPatch) -> None:
    def rounds(*seconds: float) -> list[dict[str, Any]]:
        return [{"seconds": s, "peak_mib": 100 * s, "note": "n"} for s in seconds]

    figures = {bench.TEXTBOOK: rounds(8, 4, 90), "ours, fp32": rounds(1, 2, 9)}
    figures |= {"ours, default": rounds(16, 16, 16), bench.GRAPHSSL: [{"note": "gone"}] * 3}
    monkeypatch.setattr(bench, "spawn", fake_spawn(figures))
    monkeypatch.setattr(bench, "startup", lambda: 0.25)
    report = bench.measure_all(["cora"], 2, 3, "none", lambda text: None)
    rows = report["rows"]
    assert "--help takes 0.25 CPU s" in str(bench.tables(report)[-1])
    found = {r["method"]: (r["seconds_per_step"], r["times_as_fast"]) for r in rows}
    assert found[bench.TEXTBOOK] == (8, 1) and found["ours, fp32"] == (2, 4)
    assert found["ours, default"] == (16, 0.5) and found[bench.GRAPHSSL] == (None, None)
    assert [r["share_of_textbook_peak"] for r in rows] == [0.25, 2, 1, None]


@pytest.mark.slow
def test_a_failed_measurement_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    said = bench.spawn(bench.TEXTBOOK, "no such graph", 1, "none")
    assert "no such graph" in said["error"]
    good = {"seconds": 1.0, "peak_mib": 1.0, "note": ""}
    figures = {m: [good if m == "ours, fp32" else said] * 2 for m in bench.METHODS}
    monkeypatch.setattr(bench, "spawn", fake_spawn(figures))
    monkeypatch.setattr(bench, "startup", lambda: 0.25)
    done = call("bench", "--graphs", "cora", "--json")
    assert done.exit_code == 1
    rows = json.loads(done.stdout)["rows"]
    assert [row["error"] for row in rows] == [None] + [said["error"]] * 3
    done = call("bench", "--graphs", "cora")
    assert done.exit_code == 1 and "failed" in done.stdout
