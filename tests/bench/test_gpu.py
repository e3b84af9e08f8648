"""Claims about `nodejepa-ext bench gpu`, each with a test below.

1. The dry run on the CPU measures equality and steps by the code that a GPU is measured by: every
   preset, part and objective; the report is one JSON object, kept beside.
2. Without a GPU it says so in one sentence, and exits 2; so do options without gpu.
3. Losses that differ, and bits that differ between two runs, are seen.
   Synchronising calls are counted a step, after the first; a peak is held against the forecast.
4. What fails is a row, others go on, and the command exits 1.
5. A run that is killed and gone on with has the bits of a whole one; one that ends too early is
   no proof. What is too wide exits 6.
6. A sweep is measured by one worker, two and four.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner, Result

from nodejepa_ext.bench import gpu, gpu_runs, gpu_steps
from nodejepa_ext.bench.gpu_steps import Place, Steps
from nodejepa_ext.commands import app
from nodejepa_ext.commands.bench import Part
from nodejepa_ext.parts.choice import Parts
from nodejepa_ext.parts.objectives import OBJECTIVES
from run_full import RunError

NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")


def call(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["bench", *map(str, words)])


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place("cpu", tmp_path, lambda text: None, **gpu.DRY)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODEJEPA_CACHE", str(tmp_path / "cache"))


# 1


def test_a_dry_run_measures(tmp_path: Path) -> None:
    done = call("gpu", "--device", "cpu", "--part", "step", "--out", tmp_path, "--json")
    assert done.exit_code == 0, done.stderr
    report = json.loads(done.stdout)
    (kept,) = tmp_path.glob("gpu-*/gpu.json")
    assert json.loads(kept.read_text()) == report and str(kept.parent) in done.stderr
    assert report["device"] == "cpu" and report["gpu"] is None and report["seconds"]["step"] > 0
    found = [(row["case"], row["precision"]) for row in report["rows"]]
    assert found == [(name, p) for name in ("best", "card", "bgrl") for p in ("fp32", "bf16")]
    assert all(row["ms"] > 0 and row["syncs"] is None for row in report["rows"])
    *_, text = gpu.tables(report)
    assert "figures mean nothing" in str(text) and "6 checks, 0 not as expected" in str(text)


@pytest.mark.slow
def test_equality_of_presets_parts_and_objectives(place: Place) -> None:
    few = ("card", "gat, [REG]", "own features", "laplacian", "bfs mask", "subgraphs", *OBJECTIVES)
    rows = {row["case"]: row for row in gpu_steps.equality(place)}
    assert {"best", "bgrl", "degree mask", "skip linear", "skip input", *few} <= rows.keys()
    for row in rows.values():
        assert row["ok"] and row["again"] and row["loss_off"] < 1e-6 and row["z_off"] < 1e-5, row


def test_cases_are_what_they_are_called(place: Place) -> None:
    cases = {case.name: case for case in gpu_steps.extras(place)}
    assert cases["gat, [REG]"].cfg.encoder == "gat" and cases["gat, [REG]"].cfg.reg_node
    assert cases["subgraphs"].nodes == gpu_steps.NODES and cases["laplacian"].parts.laplacian_pe
    assert cases["vicreg"].parts == Parts(objective="vicreg")
    assert cases["vicreg"].cfg.regulariser_weight == OBJECTIVES["vicreg"][1]
    whole = replace(place, tiny=False)
    wide = {case.name: case.cfg for case in gpu_steps.wide(whole)}
    assert wide["hidden 4096"].hidden == 4096 and wide["hidden 4096"].eval_every == 0
    assert [*gpu.PARTS, "all"] == [part.value for part in Part] and gpu.COLUMNS.keys() == {
        *gpu.PARTS
    }


# 2


@NO_GPU
def test_without_a_gpu(tmp_path: Path) -> None:
    done = call("gpu", "--out", tmp_path / "none")
    assert done.exit_code == 2 and done.stdout == ""
    text = "nodejepa-ext bench gpu: device 'cuda': not on this machine; found "
    assert done.stderr.startswith(text) and done.stderr.count("\n") == 1
    assert not (tmp_path / "none").exists()


def test_options_without_gpu_exit_2() -> None:
    for words in (["--device", "cpu"], ["parts", "--part", "step"], ["sweep", "--out", "x"]):
        done = call(*words)
        assert done.exit_code == 2 and "expected with gpu, or" in done.stderr
    assert call("gpu", "--part", "no-such").exit_code == 2


# 3, 4


def outcomes(monkeypatch: pytest.MonkeyPatch, *losses: float) -> None:
    """The CPU's run, and the first and second on the device, as they come."""
    z = torch.ones(3, 2)
    runs = iter([Steps([loss, loss], z, 1.0) for loss in losses])
    monkeypatch.setattr(gpu_steps, "take", lambda *_: next(runs))


@pytest.mark.parametrize(
    ("losses", "ok", "off", "again"),
    [
        ((-1.0, -1.0, -1.0), True, 0.0, True),
        ((-1.0, -1.001, -1.001), True, 1e-3, True),
        ((-1.0, -1.0, -1.0001), True, 0.0, False),
        ((-1.0, -1.01, -1.01), False, 1e-2, True),
        ((0.001, 0.0011, 0.0011), True, 0.0001 / gpu_steps.FLOOR, True),
    ],
)
def test_differences_are_seen(
    place: Place, monkeypatch: pytest.MonkeyPatch, losses: Any, ok: bool, off: float, again: bool
) -> None:
    outcomes(monkeypatch, *losses)
    row = gpu_steps.compared(place, next(gpu_steps.extras(place)))
    assert (row["ok"], row["again"]) == (ok, again) and row["loss_off"] == pytest.approx(off)


def test_synchronising_calls_are_counted(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[str] = []
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)

    def take(case: Any, data: Any, ready: Any, steps: int, on_step: Any) -> None:
        for number in range(steps):
            for _ in range(3 if number else 10):
                warnings.warn("called a synchronizing CUDA operation", stacklevel=1)
            warnings.warn("something else", stacklevel=1)
            on_step(number + 1)

    monkeypatch.setattr(gpu_steps, "take", take)
    case: Any = None
    assert gpu_steps.synchronising(case, case, case) == 3 and modes == ["warn", "default"]


@pytest.mark.parametrize(("share", "ok"), [(0.9, True), (1.2, True), (1.3, False)])
def test_a_peak_above_the_forecast(
    place: Place, monkeypatch: pytest.MonkeyPatch, share: float, ok: bool
) -> None:
    case = next(gpu_steps.presets(place))
    told = gpu_steps.taken(case)["forecast_mib"]
    monkeypatch.setattr(gpu_steps, "on_cuda", lambda cfg: True)
    for name in ("empty_cache", "reset_peak_memory_stats", "synchronize"):
        monkeypatch.setattr(torch.cuda, name, lambda: None)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda: 2**20)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: (1 + share * told) * 2**20)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda: 2 * told * 2**20)
    row = gpu_steps.taken(case)
    assert row["ok"] is ok and row["peak_mib"] == pytest.approx(share * told)
    assert row["reserved_mib"] == pytest.approx(2 * told)


def test_what_fails_is_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def part(place: Place) -> Iterator[dict[str, Any]]:
        for error in (RunError("diverged", 7), RuntimeError("CUDA error: no\nmore"), None):
            yield gpu_steps.attempt({"graph": "cora", "case": str(error)}, lambda e=error: work(e))

    def work(error: Exception | None) -> dict[str, Any]:
        if error:
            raise error
        return {"ok": True}

    monkeypatch.setitem(gpu.PARTS, "resume", part)
    done = call("gpu", "--device", "cpu", "--part", "resume", "--out", tmp_path)
    assert done.exit_code == 1 and "3 checks, 2 not as expected" in " ".join(done.stdout.split())
    (kept,) = tmp_path.glob("gpu-*/gpu.json")
    rows = json.loads(kept.read_text())["rows"]
    assert [row["note"] for row in rows] == ["diverged", "CUDA error: no", ""]
    assert [row["ok"] for row in rows] == [False, False, True]


# 5, 6


def test_a_command_that_does_not_do(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def instead(code: str) -> None:
        words = [sys.executable, "-c", code]
        monkeypatch.setattr(gpu_runs, "command", lambda *_: words)

    instead("")
    with pytest.raises(RuntimeError, match="ended with 0 before it was killed"):
        gpu_runs.killed(place, "early")
    instead("print('why', flush=True); raise SystemExit(3)")
    (row,) = gpu_runs.too_wide(place)
    assert not row["ok"] and row["note"] == "exit code 3, expected 6"
    rows = [*gpu_runs.sweep(place)]
    assert [row["workers"] for row in rows] == [1, 2, 4]
    assert all(not row["ok"] and "exit code 3, expected 0" in row["note"] for row in rows)
    assert (place.folder / "sweep-4.log").read_text() == "why\n"
    monkeypatch.setattr(gpu_runs, "LIMIT", 0.2)
    instead("import time; time.sleep(60)")
    with pytest.raises(RuntimeError, match="took longer than"):
        gpu_runs.called(place, "slow")
    with pytest.raises(RuntimeError, match="no checkpoint"):
        gpu_runs.killed(place, "idle")


@pytest.mark.slow
def test_commands_for_real(place: Place) -> None:
    rows = [*gpu_runs.resume(place), *gpu_runs.too_wide(place), *gpu_runs.sweep(place)]
    assert all(row["ok"] for row in rows) and len(rows) == 5, rows
    assert rows[0]["z_off"] == 0 and all(row["trials_per_minute"] > 0 for row in rows[2:])


def test_memory_of_a_dry_run(place: Place) -> None:
    rows = [*gpu_steps.memory(place)]
    assert len(rows) == 3 + len(gpu_steps.WIDE) and all(row["ok"] for row in rows), rows
    assert all(row["forecast_mib"] > 0 and row["peak_mib"] is None for row in rows)
