"""Pictures of a run of run_full.py, and `nodejepa-ext plot`.

1. plot writes valid pictures, lists them on stdout, and never shows a test figure.
2. plot without matplotlib exits 2 and says what to install.
3. A missing, empty or enclosing folder exits 3 and is named; nothing is written.
4. A torn last line is left out with a notice; any other bad line exits 3, with file and line.
5. Embeddings that are pickled, misshapen or not finite exit 3; a collapsed one is drawn.
6. A picture is replaced whole or not at all.
7. A mean curve has only epochs that every seed reached; a line on the same epoch wins.
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
