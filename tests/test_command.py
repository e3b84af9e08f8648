"""Claims about `python run_full.py`, each with a test below; real processes, real signals.

1. Importing run_full has no side effect and pulls in nothing but the packages it may.
2. The file stands alone: copied elsewhere it runs with --data, and without says where it looked.
3. Unknown names, bad values, a folder that can't be written: exit 2, one sentence.
4. A corrupt graph: exit 3, naming the file and its hash.
5. Every Config field is a flag with a help line; preset < --quick < flags.
6. final_results.json has the rows, a trained one with its curve, and nothing else is written; a
   second run makes a folder of its own.
7. SIGTERM and Ctrl-C: exit 143 and 130, the finished seeds are in final_results.json.
8. Seeds that diverge are named, do not stop the others, and end the command with exit 7.
9. The table marks collapsed runs and shows intervals that equal scipy's.
10. Two runs of one command write the same numbers.
11. --validation-only: no row has "test", the title says Validation, score_test is never called, and
    test labels out of range change nothing. --quick says that its figures mean nothing.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from scipy import stats

import run_full

SCRIPT = Path(run_full.__file__)
FAST = ["--graphs", "cora", "--hidden", "16", "--out-width", "8", "--device", "cpu"]
ENV = os.environ | {"OMP_NUM_THREADS": "1"}


def run(*argv: str, script: Path = SCRIPT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(script), *argv]
    return subprocess.run(command, capture_output=True, text=True, env=ENV, timeout=300)


def only_folder(out: Path) -> Path:
    (folder,) = out.iterdir()
    return folder


def results(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((only_folder(out) / "final_results.json").read_text())
    return found


def test_import_is_clean(tmp_path: Path) -> None:
    code = (
        "import sys, torch; before = torch.get_rng_state(); threads = torch.get_num_threads()\n"
        "import run_full\n"
        "assert torch.equal(before, torch.get_rng_state()) and threads == torch.get_num_threads()\n"
        "bad = {'nodejepa_ext', 'typer', 'optuna', 'matplotlib', 'safetensors', 'pytest'}\n"
        "print(sorted(bad & {name.split('.')[0] for name in sys.modules}))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=SCRIPT.parent, timeout=120)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


@pytest.mark.slow
def test_a_copied_file_stands_alone(tmp_path: Path) -> None:
    copied = tmp_path / "elsewhere" / "run_full.py"
    copied.parent.mkdir()
    shutil.copy(SCRIPT, copied)
    lost = run(*FAST, "--out", str(tmp_path / "r"), script=copied)
    assert lost.returncode == 3 and "Traceback" not in lost.stderr
    assert str(copied.parent / "nodejepa_ext") in lost.stderr and "--data" in lost.stderr
    data = str(SCRIPT.parent / "nodejepa_ext" / "datasets")
    found = run(
        *FAST,
        "--epochs",
        "1",
        "--seeds",
        "1",
        "--data",
        data,
        "--out",
        str(tmp_path / "r"),
        script=copied,
    )
    assert found.returncode == 0, found.stderr


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--graphs", "cora,corra"], "'corra': expected one of cora, citeseer, pubmed"),
        (["--preset", "worst"], "worst"),
        (["--maks", "0.5"], "--maks"),
        (["--mask", "1.5"], "mask = 1.5"),
        (["--mask", "nan"], "mask = nan"),
        (["--encoder", "gin"], "gcn or gat"),
        (["--encoder", "gat", "--heads", "5"], "heads = 5"),
        (["--device", "cuda:93"], "cuda:93"),
        (["--seeds", "0"], "--seeds"),
        (["--config", "best.toml"], "unrecognized arguments: --config"),
        (["--controls", "full"], "unrecognized arguments: --controls"),
        (["--skip", "true"], "skip = 'true'"),
    ],
)
def test_usage_errors(
    argv: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = run_full.main([*argv, "--out", str(tmp_path / "r")])
    except SystemExit as exit_:
        code = int(exit_.code or 0)
    message = capsys.readouterr().err
    assert code == 2 and said in message and "Traceback" not in message
    assert not list(tmp_path.glob("r/*/*.json"))


def test_a_folder_that_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (taken := tmp_path / "taken").write_text("a file")
    assert run_full.main([*FAST, "--out", str(taken)]) == 2
    assert str(taken) in capsys.readouterr().err


def test_corrupt_graph(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "cora.npz").write_bytes(b"PK not really")
    assert run_full.main([*FAST, "--data", str(tmp_path), "--out", str(tmp_path / "r")]) == 3
    message = capsys.readouterr().err
    assert "cora.npz" in message and run_full.GRAPHS["cora"] in message


def test_every_field_is_a_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run_full.main(["--help"])
    text = capsys.readouterr().out
    for f in fields(run_full.Config):
        flag = "out-width" if f.name == "out" else f.name.replace("_", "-")
        assert f.name == "seed" or f"--{flag}" in text
        assert f.name == "seed" or f.metadata["help"].split()[-1].rstrip(")") in text
    for group in ("run:", "model:", "objective:", "views:", "training:"):
        assert f"\n{group}" in text


@pytest.mark.slow
def test_files_and_repetition(tmp_path: Path) -> None:
    given = ["--epochs", "4", "--eval-every", "2", "--mask", "0.4", "--seeds", "2"]
    given += ["--first-seed", "5", "--out", str(tmp_path)]
    done = run(*FAST, *given)
    assert done.returncode == 0, done.stderr
    assert "Test accuracy" in done.stdout and "published: GraphMAE" in done.stdout
    assert [path.name for path in only_folder(tmp_path).iterdir()] == ["final_results.json"]
    found = results(tmp_path)
    assert found.keys() == {"command", "published", "rows"}
    rows = found["rows"]
    ours = [row for row in rows if row["method"] == "best"]
    assert [row["seed"] for row in ours] == [5, 6]
    cfg = ours[0]["config"]
    assert (cfg["epochs"], cfg["mask"], cfg["hidden"], cfg["layers"]) == (4, 0.4, 16, 1)
    names = {"best", "untrained", "raw features", "SGC", "SGC, our input"}
    assert {row["method"] for row in rows} == names
    assert all(0 < row["test"] < 1 and 0 < row["val"] < 1 and row["c"] > 0 for row in rows)
    need = {"scaling", "epoch", "curve", "effective_rank", "cosine", "min_std", "cpu_seconds"}
    assert need <= ours[0].keys()
    for row in ours:
        assert [epoch["epoch"] for epoch in row["curve"]] == [1, 2, 3, 4]
        judged = [epoch for epoch in row["curve"] if "val" in epoch]
        assert row["val"] == max(epoch["val"] for epoch in judged) and len(judged) == 2
        assert all("test" not in epoch for epoch in row["curve"])
    again = run(*FAST, *given)
    assert again.returncode == 0 and len(list(tmp_path.iterdir())) == 2
    first, second = (
        [{k: v for k, v in row.items() if k != "cpu_seconds"} for row in report["rows"]]
        for report in (json.loads(path.read_text()) for path in tmp_path.glob("*/*.json"))
    )
    assert first == second


def here(out: Path, *argv: str) -> list[dict[str, Any]]:
    """The rows of a run in this process."""
    quick = [*FAST, "--quick", "--neighbours", "0", "--out", str(out)]
    assert run_full.main([*quick, *argv]) == 0
    rows: list[dict[str, Any]] = results(out)["rows"]
    return [{k: v for k, v in row.items() if k != "cpu_seconds"} for row in rows]


@pytest.mark.slow
def test_quick_says_what_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = here(tmp_path, "--mask", "0.4")
    assert "these figures mean nothing" in capsys.readouterr().out
    ours = [row for row in rows if row["method"] == "best"]
    assert [row["config"]["epochs"] for row in ours] == [5] and ours[0]["config"]["mask"] == 0.4
    rows = here(tmp_path / "flags", "--epochs", "2")  # which win
    assert [len(row["curve"]) for row in rows if row["method"] == "best"] == [2]


@pytest.mark.slow
def test_validation_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The nodes' own labels, then test labels of no class: equal rows, none of them scored."""

    def never(result: run_full.Result) -> float:
        raise AssertionError("score_test was called")

    monkeypatch.setattr(run_full, "score_test", never)
    clean = here(tmp_path / "clean", "--validation-only")
    load = run_full.load_graph

    def spoilt(name: str, folder: Path | None = None) -> Any:
        data = load(name, folder)
        data.y[data.test_mask] = 99
        return data

    monkeypatch.setattr(run_full, "load_graph", spoilt)
    assert here(tmp_path / "spoilt", "--validation-only") == clean
    assert all("test" not in row and 0 < row["val"] < 1 for row in clean)


@pytest.mark.slow
def test_the_title_of_validation_only(tmp_path: Path) -> None:
    given = ["--epochs", "1", "--seeds", "1", "--neighbours", "0", "--validation-only"]
    done = run(*FAST, *given, "--out", str(tmp_path))
    assert done.returncode == 0 and "Validation accuracy" in done.stdout, done.stderr
    assert "Test accuracy" not in done.stdout
    assert not any("test" in row for row in results(tmp_path)["rows"])


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals_keep_finished_seeds(number: signal.Signals, code: int, tmp_path: Path) -> None:
    argv = [*FAST, "--epochs", "40", "--seeds", "500", "--out", str(tmp_path)]
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), *argv], stderr=subprocess.PIPE, text=True, env=ENV
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("*/final_results.json")) and time.monotonic() < deadline:
        time.sleep(0.2)
    time.sleep(1.0)
    process.send_signal(number)
    _, message = process.communicate(timeout=60)
    assert process.returncode == code and "Traceback" not in message
    rows = results(tmp_path)["rows"]
    assert rows and all(0 < row["test"] < 1 for row in rows)
    assert not list(tmp_path.glob("*/*.tmp"))


@pytest.mark.slow
def test_divergence_stops_one_seed_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One graph's settings are wild; the other's seeds are as ever."""
    wild = replace(run_full.BEST, lr=10.0, layers=8)
    tame = replace(run_full.BEST, epochs=1)
    monkeypatch.setattr(run_full, "recipe", lambda data: wild if len(data.x) == 2708 else tame)
    run_full.preset.cache_clear()
    small = ["--hidden", "16", "--out-width", "8", "--device", "cpu", "--seeds", "2"]
    assert run_full.main([*small, "--graphs", "cora,citeseer", "--out", str(tmp_path)]) == 7
    shown = capsys.readouterr()
    assert shown.err.count("first tensor not finite") == 2 and "cora, best, seed 1" in shown.err
    assert "none finished" in shown.out
    ours = [row for row in results(tmp_path)["rows"] if row["method"] == "best"]
    assert [(row["graph"], row["seed"]) for row in ours] == [("citeseer", 0), ("citeseer", 1)]
    run_full.preset.cache_clear()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MemoryError(), 6),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), 6),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), 6),
        (RuntimeError("tensors refer to a single memory location"), None),
        (ValueError("a slip of ours"), None),
    ],
)
def test_out_of_memory_and_what_is_not(
    error: Exception,
    code: int | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def train(*_: object, **given: object) -> None:
        raise error

    monkeypatch.setattr(run_full, "run", train)
    if code is None:
        with pytest.raises(type(error)):
            run_full.main([])
        return
    assert run_full.main([]) == code
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "out of memory; half of --hidden" in said


def test_mps_without_sparse_products_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.mps, "device_count", lambda: 1)
    monkeypatch.setattr(torch, "eye", Mock(side_effect=NotImplementedError("SparseMPS")))
    assert run_full.accelerator.__wrapped__() == "cpu"
    monkeypatch.setattr(torch, "eye", Mock())
    monkeypatch.setattr(torch, "ones", Mock())
    torch.eye.return_value.to_sparse_coo().to().__matmul__ = Mock()
    assert run_full.accelerator.__wrapped__() == "mps"


def test_a_card_without_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    card = torch.device("cuda", 0)
    monkeypatch.setattr(torch, "empty", lambda *_, device: SimpleNamespace(device=card))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla V100")
    with pytest.raises(ValueError, match="precision = bf16: Tesla V100 has no units for it"):
        run_full.placement(run_full.Config(device="cuda", precision="bf16"))
    for precision in ("auto", "fp32"):
        cfg = run_full.Config(device="cuda", precision=precision)
        assert run_full.placement(cfg) == (card, False)


def test_cells() -> None:
    tests = [0.81, 0.83, 0.84]
    low, high = stats.t.interval(0.95, 2, loc=np.mean(tests), scale=stats.sem(tests))
    rows: list[dict[str, Any]] = [
        {"test": test, "val": 0.5, "effective_rank": rank}
        for test, rank in zip(tests, (50.0, 1.2, 40.0), strict=True)
    ]
    cell = run_full.cell(rows, "test")
    assert cell == f"82.7 ± 1.5 [{100 * low:.1f}, {100 * high:.1f}] 3, 1 collapsed"
    assert run_full.cell(rows[:1], "val") == "50.0" and run_full.cell([], "val") == "none finished"
