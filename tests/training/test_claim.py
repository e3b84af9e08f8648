"""Claims about room for a run, each with a test below; real files and a real limit.

1. Where there is no room for a new run beside the old one, --overwrite leaves the old one as it
   was, to the byte, and the error names the folder; with room it is replaced.
2. The room that is asked for is at least what a run takes, with a third checkpoint in the making,
   and not much more.
3. A large run is not begun on a disk without room for it, and the sentence has what would do; so
   it is with an embedding and with a graph as one file. Too little memory to embed is said, too.
"""

from __future__ import annotations

import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch.nn import Module

import run_full
from nodejepa_ext.bench.survive_files import blocks
from nodejepa_ext.graphs import graph
from nodejepa_ext.graphs.source import Source, Subject, read
from nodejepa_ext.parts.choice import Parts
from nodejepa_ext.training.checkpoints import Checkpoints
from nodejepa_ext.training.embeddings import roomy
from nodejepa_ext.training.folder import resume, start
from nodejepa_ext.training.memory import SHARE, check_inference, inference_bytes
from run_full import Config, RunError, TrainState

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
    start(ready, replace(cfg, seed=1), out, overwrite=True)
    after = contents(out)
    assert after.keys() == before.keys()
    assert after["model.safetensors"] != before["model.safetensors"]


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


def test_nothing_begins_without_room(
    ready: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, cfg = tmp_path / "run", Config(hidden=16, out=8, epochs=2, **SHORT)
    usage = shutil.disk_usage(tmp_path)._replace(free=5 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    start(ready, cfg, out)  # of a small run the forecast is mostly margin
    with pytest.raises(
        OSError, match=r"5 MiB are free on its disk, expected \d+ for the run; free"
    ):
        start(ready, Config(hidden=4096, out=2048, epochs=1, **SHORT), tmp_path / "wide")
    assert not [*tmp_path.glob("wide/*")]
    for name, size in ("z.npy", 4), ("z.csv", 10):
        n = (5 << 20) // (size * 256 + 8)
        roomy(tmp_path / name, n, 256)
        with pytest.raises(OSError, match="expected 6 for the embedding") as caught:
            roomy(tmp_path / name, n + 50, 256)
        assert caught.value.filename == str(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(graph, "LARGE", 0)
        graph.write_graph(ready.graph, tmp_path / "g2.npz")
        patch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10))
        with pytest.raises(OSError, match="0 MiB are free on its disk, expected 1 for the graph"):
            graph.write_graph(ready.graph, tmp_path / "g3.npz")
    data = ready.graph.data
    chunked = inference_bytes(len(data.x), data.edge_index.shape[1] // 2, cfg)
    whole = chunked + 4 * data.x.numel() + 40 * int(data.x.count_nonzero())
    for batch_nodes, least in ((20, chunked / SHARE), (0, whole / SHARE)):
        check_inference(data, cfg, batch_nodes, free=int(least) + 1)
        with pytest.raises(RunError, match="embedding takes about .* with more") as refused:
            check_inference(data, cfg, batch_nodes, free=int(least) - 1)
        assert refused.value.args[1] == 6


def test_a_run_that_is_told_of_epochs_in_tens(
    ready: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU: the same rows, checkpoints at looks, and stopped at a look it goes on."""
    cfg, saved = Config(hidden=16, out=8, **SHORT | {"epochs": 27, "eval_every": 0}), list[int]()
    start(ready, cfg, tmp_path / "each")
    monkeypatch.setattr(run_full, "LOOK_EVERY", {"cpu": 10})
    plain = Checkpoints.save

    def save(self: Checkpoints, state: TrainState) -> None:
        saved.append(state.step)
        plain(self, state)

    monkeypatch.setattr(Checkpoints, "save", save)
    start(ready, cfg, tmp_path / "tens", every=15)
    assert saved == [20, 27]
    wanted = (tmp_path / "each" / "metrics.jsonl").read_bytes()
    assert wanted.count(b"\n") == 27 and (tmp_path / "tens/metrics.jsonl").read_bytes() == wanted
    with pytest.raises(run_full.RunError, match="stopped after epoch 10, which is kept"):
        start(ready, cfg, tmp_path / "cut", stop=lambda: 143)
    resume(tmp_path / "cut")
    for name in ("metrics.jsonl", "model.safetensors"):
        one, other = (tmp_path / run / name for run in ("each", "cut"))
        assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize(
    ("changes", "parts", "nodes", "said"),
    [
        ({"transform": "root"}, {}, 0, "transform = root: expected features of at least 0"),
        ({"out": 12}, {"objective": "group_sparsity"}, 0, "D = 12: expected a multiple of 8"),
        ({}, {"bfs_mask": True, "bfs_block": 4, "bfs_blocks": 4}, 0, "one of the two to be 0"),
        ({}, {}, 2, "batch_nodes = 2: expected at least 3"),
    ],
)
def test_settings_that_do_not_suit_leave_the_old_run(
    ready: Subject, changes: Any, parts: Any, nodes: int, said: str, tmp_path: Path
) -> None:
    """They are refused before anything of it is removed."""
    cfg, out = Config(hidden=16, out=8, epochs=2, **SHORT), tmp_path / "run"
    data = ready.graph.data
    data.x = data.x - data.x.mean()
    if len(data.x) % 2 == 0:  # of an odd number one node would be alone
        arrays = blocks()
        kept = len(data.x) - 1
        inner = (arrays["edge_index"] < kept).all(0)
        arrays = {k: v[:kept] if len(v) == kept + 1 else v for k, v in arrays.items()}
        arrays["edge_index"] = arrays["edge_index"][:, inner]
        arrays["x"] = arrays["x"] - 0.5
        np.savez(tmp_path / "odd.npz", **arrays)
        ready = read(Source.of(str(tmp_path / "odd.npz")))
    start(ready, cfg, out)
    before = contents(out)
    with pytest.raises(ValueError, match=said):
        given = replace(cfg, **changes)
        start(ready, given, out, parts=Parts(**parts), batch_nodes=nodes, overwrite=True)
    assert contents(out) == before


def test_long_ids_and_neighbours_are_in_the_room(tmp_path: Path) -> None:
    arrays = blocks()
    n = len(arrays["x"])
    arrays["x"] = (arrays["x"] > 0.5).astype(np.float32)
    arrays["node_id"] = np.array([f"{i:0300d}" for i in range(n)])
    np.savez(tmp_path / "long.npz", **arrays)
    ready, out = read(Source.of(str(tmp_path / "long.npz"))), tmp_path / "run"
    cfg = Config(hidden=16, out=8, epochs=2, **SHORT)
    make: type[Module] = run_full.MLPPredictor
    state = TrainState.new(cfg, ready.graph.data, run_full.Encoder, make)
    short, long = (Checkpoints(out).footprint(state, n, ids) for ids in (None, ready.graph.node_id))
    assert long - short == n * (4 * 300 - 8)
    start(ready, cfg, out)
    assert size(out) <= long
