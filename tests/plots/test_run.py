"""Pictures of a run of run_full.py, and `nodejepa-ext plot`.

1. plot writes valid pictures, lists them on stdout, and never shows a test figure.
2. plot without matplotlib exits 2 and says what to install.
3. A missing, empty or enclosing folder exits 3 and is named; nothing is written.
4. A torn last line is left out with a notice; any other bad line exits 3, with file and line, and
   so does a bad row, with its number.
5. Embeddings that are pickled, misshapen or not finite exit 3; a collapsed one is drawn.
6. A picture is replaced whole or not at all.
7. A mean curve has only epochs that every seed reached; a line on the same epoch wins.
8. Curves are those of the rows; where a folder is of an older run, the lines beside them. A bad
   row exits 3, with file and row; rows that were not trained have no curve.
9. What run_full.py writes of a real run is drawn.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import run_full
from nodejepa_ext.commands import app
from nodejepa_ext.plots import run as plot
from nodejepa_ext.plots.style import mean_series

ROOT = Path(run_full.__file__).parent
ENV = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
HEAVY = ("torch", "sklearn", "optuna", "matplotlib")


def call(*words: str | Path) -> Result:
    return CliRunner().invoke(app, list(map(str, words)))


def line(method: str, seed: int, epoch: int, **more: Any) -> str:
    row = {"graph": "tiny", "method": method, "seed": seed, "epoch": epoch, "loss": -0.5}
    if epoch % 2 == 0:
        row |= {"val": 0.5 + epoch / 100, "effective_rank": 3.0 + seed, "cosine": 0.1 * epoch}
    return json.dumps(row | more)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """As older runs left it: two methods, two seeds, six epochs, forty nodes."""
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

    assert call("plot", folder).exit_code == 0
    old = (folder / "curves.png").read_bytes()

    def full_disk(self: Figure, file: Any, **options: Any) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", full_disk)
    done = call("plot", folder)
    assert done.exit_code == 2 and "No space left" in done.stderr
    assert (folder / "curves.png").read_bytes() == old
    assert not list(folder.glob(".*"))


@pytest.fixture
def rows(tmp_path: Path) -> tuple[Path, list[dict[str, Any]]]:
    """A run as it is written now: two seeds, an untrained encoder, a control without a seed."""
    kept = []
    for seed in (0, 1):
        epochs = [json.loads(line("best", seed, e, min_std=0.1, lr=1e-3)) for e in range(1, 7)]
        curve = [
            {k: v for k, v in e.items() if k not in plot.NAMED or k == "epoch"} for e in epochs
        ]
        names = {"graph": "tiny", "seed": seed, "config": {}, "val": 0.5, "test": 0.4}
        kept.append(names | {"method": "best", "curve": curve, "cpu_seconds": 1.0})
        kept.append(names | {"method": "untrained", "curve": []})
    kept.append({"graph": "tiny", "method": "SGC", "seed": None, "val": 0.5, "test": 0.4})
    (out := tmp_path / "now").mkdir()
    return out, kept


def keep(folder: Path, rows: list[Any]) -> None:
    found = {"command": [], "published": {}, "rows": rows}
    (folder / "final_results.json").write_text(json.dumps(found))


def test_curves_of_rows(rows: tuple[Path, list[dict[str, Any]]], folder: Path) -> None:
    keep(*rows)
    done = call("plot", rows[0])
    assert done.exit_code == 0, done.stderr
    assert done.stdout.split() == [str(rows[0] / "curves.png")]
    assert min(size_of_png(rows[0] / "curves.png")) > 300
    found = [
        plot.read_curves(at, plot.read_results(at / plot.RESULTS), print)
        for at in (rows[0], folder)
    ]
    now, before = (
        {key[2]: dict(runs) for key, runs in curves.series.items() if key[1] == "best"}
        for curves in found
    )
    assert now == before and now["val"][1] == {2: 0.52, 4: 0.54, 6: 0.56}
    assert found[0].methods == ["best"]  # a legend of what has a curve


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("best", "expected a JSON object"),
        ({"graph": "tiny", "seed": 0}, "method is None, expected str"),
        ({"graph": "tiny", "method": "best", "seed": 0, "curve": 3}, "curve is 3, expected a list"),
        ({"graph": "tiny", "method": "best", "seed": 0, "curve": [7]}, "expected a JSON object"),
        (
            {"graph": "tiny", "method": "best", "curve": [{"epoch": 1}]},
            "seed is None, expected int",
        ),
    ],
)
def test_a_bad_row_exits_3(rows: tuple[Path, list[dict[str, Any]]], bad: Any, said: str) -> None:
    out, kept = rows
    keep(out, [*kept, bad])
    done = call("plot", out)
    assert done.exit_code == 3 and said in done.stderr
    assert f"{out / 'final_results.json'}, row 6: " in done.stderr
    assert not list(out.glob("*.png"))


def test_controls_alone_have_no_curves(rows: tuple[Path, list[dict[str, Any]]]) -> None:
    out, kept = rows
    keep(out, [row for row in kept if not row.get("curve")])
    done = call("plot", out)
    assert done.exit_code == 0 and "no evaluated epoch" in done.stderr
    assert not list(out.glob("*.png"))


def test_a_real_run_is_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["--graphs", "cora", "--quick", "--hidden", "16", "--out-width", "8", "--device", "cpu"]
    assert run_full.main([*argv, "--neighbours", "0", "--out", str(tmp_path)]) == 0
    (out,) = tmp_path.iterdir()
    assert [path.name for path in out.iterdir()] == ["final_results.json"]
    done = call("plot", out)
    assert done.exit_code == 0, done.stderr
    assert min(size_of_png(out / "curves.png")) > 300


def test_mean_curve() -> None:
    runs = [{2: 1.0, 4: 2.0, 6: 3.0}, {2: 3.0, 4: 4.0}]
    assert mean_series(runs) == {2: 2.0, 4: 3.0}
    curves = plot.Curves()
    for value in (0.1, 0.2):
        curves.add(json.loads(line("best", 0, 2, val=value)))
    assert curves.series["tiny", "best", "val"] == {0: {2: 0.2}}


@pytest.mark.parametrize("graph", ["a/../../x", "..", ".x", "a\nb"])
def test_a_graph_cannot_be_a_path(tmp_path: Path, graph: str) -> None:
    """Of every kind of folder: what is in a file decides no place to write to."""
    folder = tmp_path / "deep" / "er"
    folder.mkdir(parents=True)
    plan = {"graph": graph, "objective": "val"}
    part = {"plan": plan, "trials": [], "counts": {"ok": 1}}
    (folder / "final_results.json").write_text(json.dumps({"graphs": {graph: part}}))
    (folder / "best.toml").write_text("")
    before = {*tmp_path.rglob("*")}
    done = CliRunner().invoke(app, ["plot", str(folder)])
    assert done.exit_code in (2, 3) and "expected a file's name" in done.stderr, done.stderr
    assert {*tmp_path.rglob("*")} == before


def test_dollars_are_no_formula(tmp_path: Path) -> None:
    epochs = [{"epoch": e, "loss": -0.1, "val": 0.5, "effective_rank": 3.0} for e in (1, 2)]
    row = {"graph": "a$b$", "method": "$\\frac$", "seed": 0, "val": 0.5, "curve": epochs}
    (tmp_path / "final_results.json").write_text(json.dumps({"rows": [row]}))
    done = CliRunner().invoke(app, ["plot", str(tmp_path)])
    assert done.exit_code == 0, done.stderr
