"""Claims about `python run_full.py`, each with a test below; real processes, real signals.

1. Importing run_full has no side effect and pulls in nothing but the packages it may.
2. The file stands alone: copied elsewhere it runs with --data, and without says where it looked.
3. Unknown names, bad values, bad --config, a folder that can't be written: exit 2, one sentence.
4. A corrupt graph: exit 3, naming the file and its hash.
5. Every Config field is a flag with a help line; preset < --config < its section < flags.
6. Rows, curves and embeddings are written; a second run makes a folder of its own.
7. SIGTERM and Ctrl-C: exit 143 and 130, the finished seeds are in final_results.json.
8. Seeds that diverge are named, do not stop the others, and end the command with exit 7.
9. The table marks collapsed runs and shows intervals that equal scipy's.
10. Two runs of one command write the same numbers.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
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
        (["--config", "nowhere.toml"], "nowhere.toml"),
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


def test_bad_config_files_and_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    toml, taken = tmp_path / "c.toml", tmp_path / "taken"
    taken.write_text("a file")
    cases = {"lr = ": "c.toml", "lrr = 1": "lrr", "[cora]\nlr = 'x'": "lr = 'x'"}
    for text, said in cases.items():
        toml.write_text(text)
        assert run_full.main(["--config", str(toml), "--graphs", "cora"]) == 2
        assert said in capsys.readouterr().err
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


def test_precedence_and_files(tmp_path: Path) -> None:
    toml = tmp_path / "c.toml"
    toml.write_text("epochs = 4\nlr = 0.01\nmask = 0.2\n[cora]\nlr = 0.02\nmask = 0.3\n")
    out = tmp_path / "r"
    given = ["--config", str(toml), "--mask", "0.4", "--seeds", "2", "--first-seed", "5"]
    done = run(*FAST, *given, "--out", str(out))
    assert done.returncode == 0, done.stderr
    rows = results(out)["rows"]
    ours = [row for row in rows if row["method"] == "best"]
    assert [row["seed"] for row in ours] == [5, 6]
    cfg = ours[0]["config"]
    assert (cfg["epochs"], cfg["lr"], cfg["mask"], cfg["hidden"]) == (4, 0.02, 0.4, 16)
    names = {"best", "untrained", "raw features", "SGC", "SGC, neighbours"}
    assert {row["method"] for row in rows} == names
    need = {
        "val",
        "test",
        "c",
        "scaling",
        "epoch",
        "losses",
        "effective_rank",
        "cosine",
        "peak_mib",
    }
    assert need | {"cpu_seconds", "wall_seconds", "config"} <= ours[0].keys()
    assert {"command", "commit", "versions", "published"} <= results(out).keys()
    lines = (only_folder(out) / "learning_curves.jsonl").read_text().splitlines()
    curve = [json.loads(line) for line in lines]
    assert [row["epoch"] for row in curve] == [1, 2, 3, 4] * 2 and "test" not in curve[-1]
    with np.load(only_folder(out) / "cora" / "embeddings.npz", allow_pickle=False) as npz:
        assert npz["z"].shape == (2708, 8) and npz["y"].shape == (2708,)
    again = run(*FAST, *given, "--out", str(out))
    assert again.returncode == 0 and len(list(out.iterdir())) == 2
    both = [
        json.loads((folder / "final_results.json").read_text())["rows"] for folder in out.iterdir()
    ]
    varies = {"cpu_seconds", "wall_seconds", "peak_mib"}
    first, second = (
        [{k: v for k, v in row.items() if k not in varies} for row in rows] for rows in both
    )
    assert first == second


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


def test_divergence_stops_one_seed_only(tmp_path: Path) -> None:
    toml, out = tmp_path / "c.toml", tmp_path / "r"
    toml.write_text("epochs = 1\n[cora]\nlr = 10.0\nlayers = 8\nepochs = 30\nnorm = 'none'\n")
    small = ["--hidden", "16", "--out-width", "8", "--device", "cpu", "--seeds", "2"]
    done = run(*small, "--graphs", "cora,citeseer", "--config", str(toml), "--out", str(out))
    assert done.returncode == 7 and "Traceback" not in done.stderr
    assert done.stderr.count("first tensor not finite") == 2 and "cora, best, seed 1" in done.stderr
    ours = [row for row in results(out)["rows"] if row["method"] == "best"]
    assert [(row["graph"], row["seed"]) for row in ours] == [("citeseer", 0), ("citeseer", 1)]


def test_cells(tmp_path: Path) -> None:
    tests = [0.81, 0.83, 0.84]
    low, high = stats.t.interval(0.95, 2, loc=np.mean(tests), scale=stats.sem(tests))
    command = run_full.Run.__new__(run_full.Run)
    command.graphs = ["cora"]
    command.rows = [
        {"graph": "cora", "method": "best", "test": t, "effective_rank": r, "cpu_seconds": 2.0}
        for t, r in zip(tests, (50.0, 1.2, 40.0), strict=True)
    ]
    cell = command.cell("cora", "best")
    assert cell == f"82.7 ± 1.5 [{100 * low:.1f}, {100 * high:.1f}] 3, 1 collapsed"
