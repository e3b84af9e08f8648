"""Claims about runs of a graph whose features say little, each with a test below; real files.

1. `train` says that positions come in, and why, run.json has how many, and the run is embedded,
   resumed and judged with them; names of features stay known. With --no-positions it is the run of
   the features alone, and says nothing.
2. What is handed on has them, and says of another graph that embeddings do not compare.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from nodejepa_ext.training import folder as runs
from nodejepa_ext.training import pretrained
from nodejepa_ext.training.embeddings import graph_for

SHORT = ["--hidden", "16", "--out-width", "8", "--epochs", "2", "--device", "cpu", "--threads", "1"]
SAID = "features say little of the edges"


def tables(folder: Path) -> Path:
    """Three blocks, and two columns of noise."""
    folder.mkdir()
    g = torch.Generator().manual_seed(0)
    y = torch.arange(90) % 3
    chance = torch.where(y[:, None] == y[None], 0.25, 0.03)
    pairs = (torch.rand(90, 90, generator=g) < chance).triu(1).nonzero().tolist()
    edges = "".join(f"{a},{b}\n" for a, b in pairs)
    (folder / "edges.csv").write_text(f"source,target\n{edges}")
    rows = torch.randn(90, 2, generator=g).tolist()
    nodes = "".join(f"{i},{a:.4f},{b:.4f}\n" for i, (a, b) in enumerate(rows))
    (folder / "nodes.csv").write_text(f"id,age,wage\n{nodes}")
    return folder


def command(*argv: object) -> str:
    """-> stderr."""
    told = [sys.executable, "-m", "nodejepa_ext", *map(str, argv)]
    done = subprocess.run(told, capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.slow
def test_train_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODEJEPA_CACHE", str(tmp_path / "cache"))
    graph, out, plain = tables(tmp_path / "g"), tmp_path / "r", tmp_path / "plain"
    said = command("train", graph, "--out", out, *SHORT)
    assert SAID in said and "16 positions are put beside them" in said
    meta = json.loads((out / "run.json").read_text())["graph"]
    assert (meta["positions"], meta["features"], meta["columns"]) == (16, 18, ["age", "wage"])
    model, source = runs.load_model(out), runs.source_graph(out)
    z = np.load(out / "embeddings.npz")["z"]
    assert np.allclose(model.embed(source.data).numpy(), z, atol=1e-6)
    assert SAID not in command("train", graph, "--out", plain, *SHORT, "--no-positions")
    meta = json.loads((plain / "run.json").read_text())["graph"]
    assert (meta["features"], meta["positions"]) == (2, 0)
    hub = tmp_path / "hub"
    command("export", out, "--hub", hub)
    found = pretrained.load(hub)
    assert found.scaling.positions == 16 and found.columns == ["age", "wage"]
    again = graph_for(found, hub, runs.Source.of(str(graph)))
    assert "embeddings do not compare" in again.notices[-1]
    assert np.allclose(found.embed(again.data).numpy(), z, atol=1e-6)
