"""The command line, bench and plot.

1  --help imports neither torch, sklearn, optuna nor matplotlib, and every verb shows 3 examples.
2  Bad usage exits 2 with a sentence; Ctrl-C exits 130.
3  The textbook encoder computes what ours computes, and has as many weights that learn.
4  A textbook step learns: its loss falls; its target follows weights and buffers.
5  bench measures for real: four rows, positive figures, JSON on stdout alone; so it does the
   start of the command, by the CPU time of processes that it waited for.
6  bench compares with the textbook of the same graph by medians over the rounds.
7  A measurement that fails says so in its row, and bench exits 1.
8  plot writes valid pictures, lists them on stdout, and never shows a test figure.
9  plot without matplotlib exits 2 and says what to install.
10 A missing, empty or enclosing folder exits 3 and is named; nothing is written.
11 A torn last line is left out with a notice; any other bad line exits 3, with file and line.
12 Embeddings that are pickled, misshapen or not finite exit 3; a collapsed one is drawn.
13 A picture is replaced whole or not at all.
14 A mean curve has only epochs that every seed reached; a line on the same epoch wins.
15 bench parts measures for real; its residual is 0 for eigenvectors, and large for what is none.
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
from nodejepa_ext.plots import run as plot
from nodejepa_ext.plots.style import mean_series
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
    assert call("plot").exit_code == 2


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


def test_textbook_has_as_many_weights(cfg: Config, both_ways: Data) -> None:
    state = run_full.TrainState.new(cfg, both_ways, run_full.MLPPredictor)
    whole = run_full.View.of(both_ways, cfg)
    hidden = run_full.random_mask(both_ways, cfg.mask, state.streams["mask"])
    for loss in run_full.step_losses(cfg, state, whole, hidden, None):
        loss.backward()
    book = textbook.Textbook(cfg, both_ways)
    book.step()
    assert learning(state.encoder) == learning(book.encoder) > 0
    assert learning(state.predictor) == learning(book.predictor) > 0


def test_textbook_encoder_is_ours(cfg: Config, both_ways: Data) -> None:
    torch.manual_seed(0)
    ours = run_full.Encoder(cfg, both_ways.x.shape[1])
    book = textbook.Encoder(both_ways.x.shape[1], cfg.hidden, cfg.out)
    with torch.no_grad():
        ours.mask.copy_(torch.rand_like(ours.mask))
        book.mask.copy_(ours.mask)
        for i in range(cfg.layers):
            convolution, skip = ours.layers[i].weights
            book.get_parameter(f"convs.{i}.lin.weight").copy_(convolution.t())
            book.get_parameter(f"skips.{i}.weight").copy_(skip.t())
    hidden = torch.arange(len(both_ways.x)) % 3 == 0
    z = ours(run_full.View.of(both_ways, cfg), hidden)
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
    return lambda method, graph, steps: figures[method].pop(0)


def test_bench_compares_medians(monkeypatch: pytest.MonkeyPatch) -> None:
    def rounds(*seconds: float) -> list[dict[str, Any]]:
        return [{"seconds": s, "peak_mib": 100 * s, "note": "n"} for s in seconds]

    figures = {bench.TEXTBOOK: rounds(8, 4, 90), "ours, fp32": rounds(1, 2, 9)}
    figures |= {"ours, default": rounds(16, 16, 16), bench.GRAPHSSL: [{"note": "gone"}] * 3}
    monkeypatch.setattr(bench, "spawn", fake_spawn(figures))
    monkeypatch.setattr(bench, "startup", lambda: 0.25)
    report = bench.measure_all(["cora"], 2, 3, lambda text: None)
    rows = report["rows"]
    assert "--help takes 0.25 CPU s" in str(bench.tables(report)[-1])
    found = {r["method"]: (r["seconds_per_step"], r["times_as_fast"]) for r in rows}
    assert found[bench.TEXTBOOK] == (8, 1) and found["ours, fp32"] == (2, 4)
    assert found["ours, default"] == (16, 0.5) and found[bench.GRAPHSSL] == (None, None)
    assert [r["share_of_textbook_peak"] for r in rows] == [0.25, 2, 1, None]


def test_a_failed_measurement_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    said = bench.spawn(bench.TEXTBOOK, "no such graph", 1)
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


# 8 to 14


def line(method: str, seed: int, epoch: int, **more: Any) -> str:
    row = {"graph": "tiny", "method": method, "seed": seed, "epoch": epoch, "loss": -0.5}
    if epoch % 2 == 0:
        row |= {"val": 0.5 + epoch / 100, "effective_rank": 3.0 + seed, "cosine": 0.1 * epoch}
    return json.dumps(row | more)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two methods, two seeds, six epochs, forty nodes."""
    out = tmp_path / "results"
    (out / "tiny").mkdir(parents=True)
    rng = np.random.default_rng(0)
    z = rng.normal(size=(40, 6)) + 4 * np.eye(6)[np.arange(40) % 3]
    np.savez(out / "tiny/embeddings.npz", z=z, y=np.arange(40) % 3)
    lines = [line(m, s, e) for m in ("best", "bgrl") for s in (0, 1) for e in range(1, 7)]
    (out / "learning_curves.jsonl").write_text("".join(f"{text}\n" for text in lines))
    rows = [{"graph": "tiny", "method": "best", "seed": 0, "val": 0.5, "test": 0.4}]
    (out / "final_results.json").write_text(json.dumps({"commit": "abc1234", "rows": rows}))
    return out


def size_of_png(path: Path) -> tuple[int, int]:
    from matplotlib.image import imread

    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    pixels = imread(path)  # decodes all of it
    assert pixels[..., :3].std() > 0  # not blank
    return int(pixels.shape[1]), int(pixels.shape[0])


def test_plot_writes_pictures(folder: Path, tmp_path: Path) -> None:
    done = call("plot", folder, "--out", tmp_path / "a/b")
    assert done.exit_code == 0, done.stderr
    written = list(map(Path, done.stdout.split()))
    assert written == [tmp_path / "a/b/curves.png", tmp_path / "a/b/map_tiny.png"]
    assert all(min(size_of_png(path)) > 300 for path in written)
    done = call("plot", folder, "--json")
    assert [Path(p).parent for p in json.loads(done.stdout)["written"]] == [folder] * 2
    assert not list(folder.glob("*.tmp")) + list(folder.glob(".*"))


def test_plot_shows_no_test_figure(folder: Path) -> None:
    call("plot", folder)
    before = (folder / "curves.png").read_bytes()
    path = folder / "learning_curves.jsonl"
    path.write_text(path.read_text().replace('"loss"', '"test": 0.9, "loss"'))
    call("plot", folder)
    assert (folder / "curves.png").read_bytes() == before


def test_plot_without_matplotlib(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nodejepa_ext.commands.plot.find_spec", lambda name: None)
    done = call("plot", folder)
    assert done.exit_code == 2 and "pip install 'nodejepa[plot]'" in done.stderr


def test_a_folder_that_cannot_be_drawn(folder: Path, tmp_path: Path) -> None:
    (empty := tmp_path / "empty").mkdir()
    for bad, word in ((tmp_path / "gone", "gone"), (empty, "empty"), (tmp_path, str(folder))):
        done = call("plot", bad, "--out", tmp_path / "pictures")
        assert done.exit_code == 3 and word in done.stderr and done.stdout == ""
        assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "pictures").exists()
    (folder / "final_results.json").write_text("[1, 2")
    done = call("plot", folder)
    assert done.exit_code == 3 and "final_results.json" in done.stderr


def test_a_torn_last_line_is_left_out(folder: Path) -> None:
    path = folder / "learning_curves.jsonl"
    path.write_text(path.read_text() + line("best", 0, 8)[:50])
    done = call("plot", folder)
    assert done.exit_code == 0 and f"{path}, line 25: cut short" in done.stderr


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("%$!", "not JSON"),
        ("[1]", "object"),
        (
            '{"graph": "g", "method": "m", "seed": 0, "epoch": "two"}',
            "epoch is 'two', expected int",
        ),
        (line("best", 0, 2, val=None), "val is None, expected a number"),
    ],
)
def test_garbage_exits_3(folder: Path, bad: str, said: str) -> None:
    path = folder / "learning_curves.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:3], bad, *lines[3:]]) + "\n")
    done = call("plot", folder)
    assert done.exit_code == 3 and f"{path}, line 4: " in done.stderr and said in done.stderr
    assert not list(folder.glob("*.png"))


@pytest.mark.parametrize(
    "arrays",
    [
        {"z": np.array([{}, {}]), "y": np.arange(2)},
        {"z": np.ones((4, 2))},
        {"z": np.ones((4, 2)), "y": np.arange(3)},
        {"z": np.full((4, 2), np.nan), "y": np.arange(4)},
    ],
)
def test_bad_embeddings_exit_3(folder: Path, arrays: dict[str, Any]) -> None:
    np.savez(folder / "tiny/embeddings.npz", **arrays)
    done = call("plot", folder)
    assert done.exit_code == 3 and str(folder / "tiny/embeddings.npz") in done.stderr
    assert not list(folder.glob("*.png"))


def test_a_collapsed_embedding_is_drawn(folder: Path) -> None:
    for z in (np.ones((9, 3)), np.arange(9.0)[:, None]):
        np.savez(folder / "tiny/embeddings.npz", z=z, y=np.arange(9))
        done = call("plot", folder)
        assert done.exit_code == 0, done.stderr
        size_of_png(folder / "map_tiny.png")


def test_a_picture_is_replaced_whole(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    (folder / "curves.png").write_bytes(b"old")

    def full_disk(self: Figure, file: Any, **options: Any) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", full_disk)
    done = call("plot", folder)
    assert done.exit_code == 2 and "No space left" in done.stderr
    assert (folder / "curves.png").read_bytes() == b"old"
    assert not list(folder.glob(".*"))


def test_mean_curve() -> None:
    runs = [{2: 1.0, 4: 2.0, 6: 3.0}, {2: 3.0, 4: 4.0}]
    assert mean_series(runs) == {2: 2.0, 4: 3.0}
    curves = plot.Curves()
    for value in (0.1, 0.2):
        curves.add(json.loads(line("best", 0, 2, val=value)))
    assert curves.series["tiny", "best", "val"] == {0: {2: 0.2}}
