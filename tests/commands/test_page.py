"""`nodejepa-ext page` and `plot` of a train run, as a user meets them.

1. A page is written, named with its size, and as JSON; what is there stays without --overwrite.
2. Refused with a sentence and its code, before anything is written: no folder, one of nothing, no
   .html, no folder for it, a link, a pipe, a bad evaluation, options out of range, no plotly.
3. `plot` of a train run: curves with the loss, and a map; of one that has not finished, curves.
4. Neither torch nor scikit-learn nor plotly is loaded for --help.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from nodejepa_ext.commands import app
from nodejepa_ext.graphs.source import Source, read
from nodejepa_ext.plots import train
from nodejepa_ext.training import folder as runs
from run_full import Config

ROOT = Path(__file__).parents[2]


def call(*words: object) -> Result:
    return CliRunner().invoke(app, list(map(str, words)))


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a ring of 20 nodes from a table, without labels or features."""
    home = tmp_path_factory.mktemp("plain")
    lines = [f"n{i},n{(i + 1) % 20}" for i in range(20)]
    (path := home / "edges.csv").write_text("\n".join(["source,target", *lines, ""]))
    cfg = Config(hidden=8, out=4, epochs=4, warmup=1, eval_every=2, device="cpu")
    runs.start(read(Source.of(None, path)), cfg, home / "run")
    return home / "run"


@pytest.fixture
def run(kept: Path, tmp_path: Path) -> Path:
    shutil.copytree(kept, out := tmp_path / "run")
    return out


def test_a_page_is_written(run: Path, tmp_path: Path) -> None:
    done = call("page", run)
    assert done.exit_code == 0, done.stderr
    path = run / "page.html"
    assert done.stdout == f"{path}: {path.stat().st_size / 1e6:.1f} MB\n"
    first = path.read_bytes()
    done = call("page", run)
    assert done.exit_code == 2 and "--overwrite" in done.stderr and path.read_bytes() == first
    path.write_text("mine")
    done = call("page", run, "--overwrite", "--json", "--clusters", "3")
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert found == {"written": str(path), "bytes": path.stat().st_size}
    assert not list(run.glob(".*"))


def test_refused(run: Path, tmp_path: Path) -> None:
    (empty := tmp_path / "empty").mkdir()
    (link := tmp_path / "link.html").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(pipe := tmp_path / "pipe.html")
    (bad := tmp_path / "bad.json").write_text("[")
    before = sorted(tmp_path.rglob("*"))
    ablation = ROOT / "ablations/encoder"
    cases: list[tuple[tuple[object, ...], int, str]] = [
        ((tmp_path / "gone",), 3, "gone: no such folder"),
        ((empty, "--out", tmp_path / "a.html"), 3, "expected run.json of train"),
        ((run, "--out", tmp_path / "a.pdf"), 2, "ends in .html"),
        ((run, "--out", tmp_path / "no/a.html"), 2, "no: no such folder"),
        ((run, "--out", link, "--overwrite"), 2, "is a link"),
        ((run, "--out", pipe, "--overwrite"), 2, "no regular file"),
        ((run, "--evaluation", bad), 3, "bad.json"),
        ((run, "--evaluation", tmp_path / "none.json"), 2, "none.json"),
        ((run, "--nodes", 50_001), 2, "50000"),
        ((ablation, "--evaluation", bad, "--out", tmp_path / "a.html"), 2, "of a train run only"),
    ]
    for words, code, said in cases:
        done = call("page", *words)
        assert done.exit_code == code, (words, done.stderr, done.exception)
        assert said in done.stderr and done.stdout == "", words
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("run.json", "{", 3),
        ("run.json", '{"format": 1}', 3),
        ("run.json", {"notices": 5}, 3),
        ("run.json", {"figures": {"epoch": "last"}}, 3),
        ("run.json", {"why": ["a", "b"]}, 3),
        ("metrics.jsonl", '{"epoch": 1, "loss": "low"}\n{"epoch": 2}\n', 3),
        ("metrics.jsonl", "no\n{}\n", 3),
        ("config.toml", "epochs = 5\n", 3),
    ],
)
def test_a_damaged_run(run: Path, name: str, text: str | dict[str, Any], code: int) -> None:
    if isinstance(text, dict):
        text = json.dumps(json.loads((run / name).read_text()) | text)
    (run / name).write_text(text)
    for verb in ("page", "plot"):
        done = call(verb, run)
        assert done.exit_code == code and name in done.stderr, (verb, done.stderr, done.exception)
        assert len(done.stderr.strip().splitlines()) == 1
    assert not list(run.glob("*.html")) + list(run.glob("*.png"))


def test_without_plotly(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nodejepa_ext.commands.page.find_spec", lambda name: None)
    done = call("page", run)
    assert done.exit_code == 2 and "pip install 'nodejepa[page]'" in done.stderr


def test_plot_of_a_train_run(run: Path, tmp_path: Path) -> None:
    done = call("plot", run, "--out", tmp_path / "pictures")
    assert done.exit_code == 0, done.stderr
    names = [Path(line).name for line in done.stdout.split()]
    assert names == ["curves.png", "map.png"]
    found = train.read(run, print)
    figure = train.draw_curves(found, "run")
    labels = [axes.get_ylabel().replace("\n", " ") for axes in figure.axes]
    assert labels[:2] == ["loss", "effective rank"]  # no labels, no accuracy
    (line, kept) = figure.axes[0].lines
    assert len(np.asarray(line.get_xdata())) == 4 and found.kept is not None
    assert np.asarray(kept.get_xdata()).tolist() == [found.kept] * 2


def test_plot_of_a_run_that_was_stopped(run: Path, tmp_path: Path) -> None:
    meta = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(meta | {"status": "interrupted"}))
    done = call("plot", run, "--out", tmp_path)
    assert done.exit_code == 0 and "no embedding to show" in done.stderr
    assert [Path(line).name for line in done.stdout.split()] == ["curves.png"]
    (run / "metrics.jsonl").unlink()
    done = call("plot", run, "--out", tmp_path)
    assert done.exit_code == 3 and "expected an epoch" in done.stderr


def test_help_loads_nothing_heavy() -> None:
    code = "import sys; from nodejepa_ext.commands import page; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert not {"torch", "sklearn", "plotly", "matplotlib"} & {*done.stdout.split()}
