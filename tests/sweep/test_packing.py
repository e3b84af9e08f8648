"""Claims about how many workers of a sweep share a GPU, each with a test below.

1. As many as fit into 80 % of the free memory of the smallest GPU, by the largest configuration of
   the largest graph; at most four, at most as many as there are cores a GPU, and at least one.
2. A graph of over 20,000 nodes has a GPU alone; so has every graph where memory is unknown.
3. The question for free memory is put to another process; without GPUs there is no answer.
4. A sweep says how many share, has so many workers, and --per-gpu or --workers decide otherwise.
5. Devices keep the names that CUDA_VISIBLE_DEVICES gives them; of MIG instances CUDA shows a
   process one, whatever is named, and all of them count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from nodejepa_ext.commands import app
from nodejepa_ext.sweep import packing
from nodejepa_ext.sweep.space import Choice, Range, Space
from nodejepa_ext.workers.seats import visible_gpus
from run_full import Config

SPACE = Space(Config(hidden=64, out=32, device="cuda"), {"hidden": Range({}, 64, 512, 64)})
FIXED = Space(Config(hidden=64, out=32, device="cuda"), {})
GIB = 1 << 30


def per_gpu(
    monkeypatch: pytest.MonkeyPatch, free: list[int], cores: int = 64, space: Space = FIXED
) -> int:
    monkeypatch.setattr(packing, "free_bytes", lambda devices: free)
    monkeypatch.setattr(packing, "cores", lambda: cores)
    return packing.per_gpu({"cora": space}, None, [str(i) for i in range(max(len(free), 1))])


def test_memory_and_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    n, small = packing.needed(FIXED, "cora", None)
    large = packing.needed(SPACE, "cora", None)[1]
    assert n == 2708 and large > small > packing.CONTEXT
    two = int(2 * small / packing.SHARE) + 2
    assert per_gpu(monkeypatch, [80 * GIB]) == 4
    assert per_gpu(monkeypatch, [two, 80 * GIB]) == 2
    assert per_gpu(monkeypatch, [two - 4, 80 * GIB]) == 1
    assert per_gpu(monkeypatch, [two], space=SPACE) == 1
    assert per_gpu(monkeypatch, [small // 2]) == 1
    assert per_gpu(monkeypatch, [80 * GIB] * 2, cores=6) == 3
    assert per_gpu(monkeypatch, [80 * GIB] * 4, cores=2) == 1


def test_what_else_takes_memory() -> None:
    """Online targets and a regulariser keep two graphs of gradients; views without dropped edges
    have more of them."""
    knobs = {"target": Choice({}, ("ema", "online")), "edge1": Range({}, 0.0, 0.9)}
    knobs |= {"regulariser": Choice({}, ("none", "decorrelation"))}
    base = Config(hidden=64, out=32, device="cuda", edge1=0.9)
    most = replace(base, target="online", regulariser="decorrelation", edge1=0.0)
    found = packing.needed(Space(base, knobs), "cora", None)
    assert found == packing.needed(Space(most, {}), "cora", None)
    assert found > packing.needed(Space(base, {}), "cora", None)


def test_large_or_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    assert per_gpu(monkeypatch, []) == 1
    monkeypatch.setattr(packing, "SMALL", 2707)
    assert per_gpu(monkeypatch, [80 * GIB]) == 1


def test_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    assert packing.free_bytes(["0"]) == []
    monkeypatch.setattr(packing, "QUESTION", "print('[5, 7]')")
    assert packing.free_bytes(["0", "1"]) == [5, 7]
    monkeypatch.setattr(packing, "QUESTION", "print('none')")
    assert packing.free_bytes(["0", "1"]) == []


@pytest.mark.parametrize(
    ("given", "expected"),
    [([], 6), (["--per-gpu", "2"], 4), (["--workers", "5"], 5), (["--device", "cpu"], 8)],
)
def test_a_sweep(
    given: list[str],
    expected: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[Any] = []

    def asked(spaces: Any, folder: Any, devices: Sequence[str]) -> int:
        assert devices == ["0", "1"] and set(spaces) == {"cora"}
        return 3

    def carry_out(plan: Any, *rest: Any) -> int:
        seen.append(plan)
        return 0

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr("nodejepa_ext.workers.seats.cores", lambda: 8)
    monkeypatch.setattr(packing, "per_gpu", asked)
    monkeypatch.setattr("nodejepa_ext.commands.sweep.carry_out", carry_out)
    words = ["sweep", "--graphs", "cora", "--out", str(tmp_path), *given]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert seen[0].workers == expected
    assert ("3 workers a GPU" in done.stderr) == (not given)


@pytest.mark.parametrize(
    ("seen", "count", "names"),
    [
        ("", 2, ["0", "1"]),
        ("3,GPU-5e1", 2, ["3", "GPU-5e1"]),
        ("3,9", 1, ["3"]),  # there is no ninth
        ("MIG-a1,MIG-b2,MIG-c3", 1, ["MIG-a1", "MIG-b2", "MIG-c3"]),
        ("MIG-a1,MIG-b2", 0, []),
    ],
)
def test_names_of_devices(
    seen: str, count: int, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", seen)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    assert visible_gpus() == names
