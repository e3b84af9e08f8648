"""Claims about a graph that is mapped while a run trains on it, each with a test below.

1. Features that are written to under a run end it by their hash, exit code 3, before what was
   learnt of them is kept; with the file put back it goes on, and ends as an undisturbed run.
2. A file that is only touched, replaced by another or removed ends nothing: what is mapped is as it
   was.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch_geometric.data import Data

from nodejepa_ext.graphs.graph import read_graph, write_graph
from nodejepa_ext.graphs.source import Source, read
from nodejepa_ext.training import folder as runs
from run_full import Config, RunError, TrainState

CFG = Config(hidden=8, out=4, epochs=6, warmup=1, eval_every=2, device="cpu")


@pytest.fixture
def mapped(data: Data, tmp_path: Path) -> Path:
    data.x = (data.x > 0.5).float()  # taken as they are: nothing copies them
    write_graph(read_graph(data), tmp_path / "mapped")
    return tmp_path / "mapped"


def trained(mapped: Path, out: Path, change: Callable[[Path], Any]) -> Path:
    """A run during whose third step the file of features is changed."""

    def watch(state: TrainState, row: dict[str, float]) -> None:
        if state.step == 3:
            change(mapped / "x.npy")

    runs.start(read(Source.of(str(mapped))), CFG, out, every=2, watch=watch)
    return out


def spoil(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(-4, os.SEEK_END)
        file.write(b"\0\0\0\x40")


def digest(out: Path) -> Any:
    return json.loads((out / "run.json").read_text())["files"]["embeddings.npz"]


def test_a_file_that_is_written_to(mapped: Path, tmp_path: Path) -> None:
    whole = trained(mapped, tmp_path / "whole", lambda path: None)
    kept = shutil.copy2(mapped / "x.npy", tmp_path / "kept.npy")
    with pytest.raises(RunError, match=r"x\.npy has changed: SHA-256 .* put the file back") as end:
        trained(mapped, tmp_path / "run", spoil)
    assert end.value.args[1] == 3
    held = sorted(path.name for path in (tmp_path / "run/checkpoints").glob("*.json"))
    assert held == ["step-00000002.json"]
    assert json.loads((tmp_path / "run/run.json").read_text())["status"] == "failed"
    shutil.copy2(kept, mapped / "x.npy")
    runs.resume(tmp_path / "run", say=lambda text: None)
    assert digest(tmp_path / "run") == digest(whole)


def test_a_file_that_is_not(mapped: Path, tmp_path: Path) -> None:
    def replaced(path: Path) -> None:
        other = path.with_name("other")
        other.write_bytes(bytes(path.stat().st_size))
        other.replace(path)

    whole = trained(mapped, tmp_path / "whole", lambda path: None)
    for name, change in {"touched": os.utime, "replaced": replaced, "gone": os.unlink}.items():
        copy = tmp_path / f"{name}.mapped"
        shutil.copytree(mapped, copy)
        assert digest(trained(copy, tmp_path / name, change)) == digest(whole)
