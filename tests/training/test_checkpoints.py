"""Claims about checkpoints, each with a test below.

1. A state saved and restored goes on bit for bit as one that was never interrupted, for every kind
   of target, encoder and predictor, and so do its random streams, rows and best epoch.
2. The last two are kept; a good one is not replaced before the next is whole.
3. A file cut at any tenth, or with one bit flipped, is found out, and the older one is used and
   said to be; in a manifest every bit counts.
4. All bad, or of other settings: RunError 4. None finished: the state stays new.
5. A pickle in place of a file, under a true hash too, is never executed.
6. One of another format is refused: RunError 4 names the format found and the one expected.
7. An atomic write is seen whole or not at all: after an error, a full disk or a SIGKILL in it.
"""

from __future__ import annotations

import json
import os
import pickle
import random
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import state_of
from torch_geometric.data import Data

import run_full
from nodejepa_ext.files import atomic
from nodejepa_ext.parts.positional import LaplacianPredictor
from nodejepa_ext.training.checkpoints import Checkpoints, manifest, verify, write
from run_full import Config, RunError, StopTraining, TrainState

ROOT = Path(__file__).parents[2]


def trained(cfg: Config, data: Data, folder: Path, steps: tuple[int, ...]) -> Checkpoints:
    """Checkpoints after the given steps."""
    kept = Checkpoints(folder)

    def hook(state: TrainState, row: dict[str, float]) -> None:
        if state.step in steps:
            kept.save(state)
        if state.step == max(steps):
            raise StopTraining

    run_full.train(cfg, data, on_epoch=hook)
    return kept


def same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return bool(a == b)


KINDS: list[dict[str, Any]] = [
    {},
    {"encoder": "gat", "momentum": 0.9},
    {"target": "online", "predictor": 0, "regulariser": "decorrelation", "own_features": True},
    {"target": "frozen", "reg_node": True, "norm": "none", "precision": "bf16"},
    {"eval_every": 0, "make": LaplacianPredictor},
]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_goes_on_bit_for_bit(
    cfg: Config,
    data: Data,
    kind: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NODEJEPA_CACHE", str(tmp_path / "cache"))
    make = kind.get("make", run_full.MLPPredictor)
    cfg = replace(cfg, epochs=9, **{k: v for k, v in kind.items() if k != "make"})
    kept = Checkpoints(tmp_path / "checkpoints")

    def save(state: TrainState, row: dict[str, float]) -> None:
        if state.step == 5:
            kept.save(state)

    whole = run_full.train(cfg, data, make_predictor=make, on_epoch=save)
    state = state_of(cfg, data, make)
    Checkpoints(tmp_path / "checkpoints").restore(state, pytest.fail)
    assert state.step == 5 and len(state.rows) == 5
    resumed = run_full.train(cfg, data, make_predictor=make, state=state)
    one, two = whole.state, resumed.state
    assert one and two and torch.equal(whole.z, resumed.z)
    assert one.rows == two.rows and same(one.best, two.best)
    for part in ("encoder", "target_encoder", "predictor", "optimizer"):
        assert same(getattr(one, part).state_dict(), getattr(two, part).state_dict())
    assert all(same(g.get_state(), two.streams[k].get_state()) for k, g in one.streams.items())


def test_the_last_two_are_kept(cfg: Config, data: Data, tmp_path: Path) -> None:
    trained(cfg, data, tmp_path, (1, 2, 4, 5))
    names = [f"step-{n:08d}.{kind}" for n in (4, 5) for kind in ("json", "safetensors")]
    assert sorted(p.name for p in tmp_path.iterdir()) == names
    (tmp_path / names[1]).write_bytes(b"")  # 4 goes bad, 5 is good
    (tmp_path / "notes.txt").touch()
    kept, state = Checkpoints(tmp_path), state_of(cfg, data)
    kept.restore(state, pytest.fail)
    state.step = 6
    kept.save(state)
    left = {p.name.split(".")[0] for p in tmp_path.iterdir()}
    assert left == {"notes", "step-00000005", "step-00000006"}


def damages() -> dict[str, Callable[[bytes], bytes]]:
    """Cut at each tenth; one bit flipped at each twentieth, all eight in turn; a byte too many."""
    found: dict[str, Callable[[bytes], bytes]] = {}
    for tenth in range(10):
        found[f"cut at {tenth}/10"] = lambda b, t=tenth: b[: len(b) * t // 10]
    for place in range(20):
        bit = 1 << place % 8

        def flip(b: bytes, place: int = place, bit: int = bit) -> bytes:
            at = len(b) * place // 20
            return b[:at] + bytes([b[at] ^ bit]) + b[at + 1 :]

        found[f"bit flipped at {place}/20"] = flip
    found["longer"] = lambda b: b + b"\0"
    return found


@pytest.mark.parametrize("kind", ["json", "safetensors"])
def test_damage_is_found_out(cfg: Config, data: Data, kind: str, tmp_path: Path) -> None:
    trained(cfg, data, tmp_path, (3, 5))
    path, state = tmp_path / f"step-00000005.{kind}", state_of(cfg, data)
    good = path.read_bytes()
    for name, damage in damages().items():
        path.write_bytes(damage(good))
        said: list[str] = []
        Checkpoints(tmp_path).restore(state, said.append)
        assert state.step == 3 and len(said) == 1 and "step-00000005: left out" in said[0], name
    path.write_bytes(good)
    Checkpoints(tmp_path).restore(state, pytest.fail)
    assert state.step == 5


def test_every_bit_of_a_manifest_counts(cfg: Config, data: Data, tmp_path: Path) -> None:
    trained(cfg, data, tmp_path, (3,))
    path, kept = tmp_path / "step-00000003.json", Checkpoints(tmp_path)
    good = path.read_bytes()
    assert json.loads(good).keys() == {"format", "file", "bytes", "sha256"}
    for at in range(len(good)):
        for bit in range(8):
            path.write_bytes(good[:at] + bytes([good[at] ^ 1 << bit]) + good[at + 1 :])
            with pytest.raises(ValueError, match="its manifest says"):
                kept.verified("step-00000003")


def test_all_bad_and_none(cfg: Config, data: Data, tmp_path: Path) -> None:
    state, said = state_of(cfg, data), list[str]()
    Checkpoints(tmp_path / "nowhere").restore(state, pytest.fail)
    trained(cfg, data, tmp_path, (3, 5))
    for path in tmp_path.glob("*.safetensors"):
        path.write_bytes(b"\0" * 100)
    with pytest.raises(RunError) as caught:
        Checkpoints(tmp_path).restore(state, said.append)
    assert caught.value.args[1] == 4 and "none of 2 checkpoints" in caught.value.args[0]
    assert len(said) == 2 and state.step == 0
    for path in tmp_path.glob("*.json"):
        path.unlink()
    Checkpoints(tmp_path).restore(state, pytest.fail)  # tensors alone: the first was never whole
    assert state.step == 0


def test_another_format_is_refused(cfg: Config, data: Data, tmp_path: Path) -> None:
    trained(cfg, data, tmp_path, (3,))
    (path,) = tmp_path.glob("*.safetensors")
    path.with_suffix(".json").write_bytes(manifest(path.name, path.read_bytes(), format=1))
    with pytest.raises(RunError, match="checkpoint of format 1, expected 2") as caught:
        Checkpoints(tmp_path).restore(state_of(cfg, data), lambda text: None)
    assert caught.value.args[1] == 4


class Bomb:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("archive", [False, True])
def test_pickles_are_not_executed(cfg: Config, data: Data, archive: bool, tmp_path: Path) -> None:
    folder, mark, state = tmp_path / "c", tmp_path / "executed", state_of(cfg, data)
    trained(cfg, data, folder, (3, 5))
    path = folder / "step-00000005.safetensors"
    if archive:
        torch.save({"facts": Bomb(mark)}, path)
    else:
        path.write_bytes(pickle.dumps(Bomb(mark)))
    for honest in (False, True):
        said: list[str] = []
        if honest:  # the hash is right, the content is not
            path.with_suffix(".json").write_bytes(manifest(path.name, path.read_bytes()))
        Checkpoints(folder).restore(state, said.append)
        assert state.step == 3 and len(said) == 1 and not mark.exists()
    path.with_suffix(".json").write_bytes(pickle.dumps(Bomb(mark)))
    Checkpoints(folder).restore(state, said.append)
    assert state.step == 3 and not mark.exists()


def test_a_state_of_other_settings_is_refused(cfg: Config, data: Data, tmp_path: Path) -> None:
    trained(cfg, data, tmp_path, (3,))
    said: list[str] = []
    with pytest.raises(RunError):
        Checkpoints(tmp_path).restore(state_of(replace(cfg, hidden=24), data), said.append)
    assert "no state of this run" in said[0]


def test_atomic_after_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with pytest.raises(KeyError), atomic(path) as file:
        file.write(b"new")
        raise KeyError
    assert path.read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["a"]
    sha256 = write(path, "new")
    assert verify(path, sha256) == b"new" and [p.name for p in tmp_path.iterdir()] == ["a"]
    for wrong in ("0" * 64, None):
        with pytest.raises(RunError, match="expected"):
            verify(path, wrong)
    with pytest.raises(RunError, match="No such file"):
        verify(tmp_path / "b", sha256)


WRITER = """
import sys
from pathlib import Path
from nodejepa_ext.training.checkpoints import write
path, n = Path(sys.argv[1]), 0
while True:
    n += 1
    write(path, bytes([n % 256]) * 2**20)
    print(n, flush=True)
"""


def test_atomic_under_sigkill(tmp_path: Path) -> None:
    path = tmp_path / "a"
    command = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout
        for _ in range(random.Random(0).randint(1, 40)):
            process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
    payload = path.read_bytes()
    assert len(payload) == 2**20 and payload == payload[:1] * 2**20


def test_full_disk_leaves_the_old_one(tmp_path: Path) -> None:
    path, before = tmp_path / "a", resource.getrlimit(resource.RLIMIT_FSIZE)
    write(path, b"old")
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write(path, b"new" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("a", b"old")]
