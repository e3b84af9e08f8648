"""Claims about replacing a run by another, each with a test below; real files and a real limit.

1. Where there is no room for a new run beside the old one, --overwrite leaves the old one as it
   was, to the byte, and the error names the folder; with room it is replaced.
2. The room that is asked for is at least what a run takes, with a third checkpoint in the making,
   and not much more.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch.nn import Module

import run_full
from nodejepa_ext.bench.survive_files import blocks
from nodejepa_ext.graphs.source import Source, Subject, read
from nodejepa_ext.training.checkpoints import Checkpoints
from nodejepa_ext.training.folder import start
from run_full import Config, TrainState

SHORT: Any = dict(warmup=2, eval_every=2, device="cpu")


@pytest.fixture
def ready(tmp_path: Path) -> Subject:
    np.savez(tmp_path / "g.npz", **blocks())
    return read(Source.of(str(tmp_path / "g.npz")))


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """Bytes; for this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def size(folder: Path) -> int:
    return sum(len(held) for held in contents(folder).values())


def test_an_old_run_outlives_a_new_one_without_room(ready: Subject, tmp_path: Path) -> None:
    out, cfg = tmp_path / "run", Config(hidden=16, out=8, epochs=2, **SHORT)
    start(ready, cfg, out, overwrite=True)
    (out / "notes.txt").write_text("mine")
    before = contents(out)
    with no_file_beyond(300_000), pytest.raises(OSError, match="the run there is kept") as refused:
        start(ready, cfg, out, overwrite=True)
    assert refused.value.filename == str(out) and contents(out) == before
    start(ready, cfg, out, overwrite=True)
    after = contents(out)
    assert after.keys() == before.keys() and after["run.json"] != before["run.json"]


@pytest.mark.parametrize("encoder", ["gcn", "gat"])
@pytest.mark.parametrize("width", [16, 128])
def test_the_room_that_a_run_takes(
    ready: Subject, encoder: str, width: int, tmp_path: Path
) -> None:
    cfg = Config(encoder=encoder, hidden=width, out=width // 2, epochs=8, **SHORT)
    out, taken = tmp_path / "run", list[int]()

    def watch(state: TrainState, row: dict[str, float]) -> None:
        taken.append(size(out))

    start(ready, cfg, out, every=1, watch=watch)
    third = max(path.stat().st_size for path in out.glob("checkpoints/*"))
    make: type[Module] = run_full.MLPPredictor
    state = TrainState.new(cfg, ready.graph.data, run_full.Encoder, make)
    asked = Checkpoints(out).footprint(state, int(ready.graph.data.num_nodes))
    assert max(*taken, size(out)) + third <= asked < 2 * size(out) + (1 << 20)
