"""Claims about `nodejepa-ext table`, each with a test below; real worker processes.

1. By default: best, all graphs, seeds 2000 to 2019, test nodes scored; bgrl only if asked for.
2. bgrl is the toolkit's preset whatever is given for the other, and every control is there: SGC on
   joined neighbours where the preset joins some, and each trained preset's untrained encoder.
3. The report pairs bgrl with the preset, gives intervals, CPU seconds and what was published, and
   says what intervals leave out; nothing is paired without bgrl.
4. --validation-only scores no test node, and the table says Validation; --dry-run writes nothing.
5. The same command continues, and makes the same report; other settings are refused.
6. The command that a sweep ends with runs, with the settings of its best.toml.
7. Mistakes are a sentence and exit 2.
8. A table's folder can be drawn.
9. The commands work from any folder.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from typer.testing import CliRunner, Result

import run_full
from nodejepa_ext.ablation import headline, report
from nodejepa_ext.ablation.arms import CONTROL
from nodejepa_ext.ablation.rows import Rows
from nodejepa_ext.ablation.run import Plan
from nodejepa_ext.commands import app
from nodejepa_ext.commands import sweep as sweep_command
from nodejepa_ext.training.settings import preset
from run_full import Config

TINY = ["--graphs", "cora", "--hidden", "16", "--out-width", "8", "--device", "cpu"]
TINY += ["--threads", "1", "--epochs", "2", "--seeds", "2"]
PLAIN = {"raw features", "SGC", "FastRP", "FastRP on features"}


def invoke(*argv: str) -> Result:
    return CliRunner().invoke(app, ["table", *argv])


def core(*argv: str) -> argparse.Namespace:
    return headline.parse_core(list(argv), "test")


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "rows.jsonl").read_text().splitlines()]


# 1, 2


def test_what_is_trained_by_default() -> None:
    plan = headline.plan(core(), 1)
    assert plan.graphs == [*run_full.GRAPHS] and plan.out == Path("results/table/best")
    own = [job for job in plan.jobs if job["arm"] == "best"]
    assert {job["seed"] for job in own} == {*range(2000, 2020)} and len(own) == 60
    assert all(job["final"] for job in plan.jobs) and [arm.name for arm in plan.arms] == ["best"]
    for job in own:
        assert Config(**job["config"] | {"seed": 0}) == run_full.preset("best", job["graph"])


@pytest.mark.parametrize(("name", "joined"), [("best", True), ("card", False)])
def test_controls(name: str, joined: bool) -> None:
    given = core("--preset", name, "--graphs", "cora", "--controls", "full", "--lr", "0.5")
    plan = headline.plan(given, 1)
    own, fair = f"{name}, lr=0.5", "bgrl"
    assert [arm.name for arm in plan.arms] == [own, fair]
    named = {job["arm"].removeprefix(CONTROL): job for job in plan.jobs}
    expected = {own, fair, f"untrained {own}", f"untrained {fair}", *PLAIN}
    assert named.keys() == (expected | {"SGC, our input"} if joined else expected)
    configs = {arm: Config(**job["config"] | {"seed": 0}) for arm, job in named.items()}
    assert configs[fair] == preset("bgrl", "cora") and configs[own].lr == 0.5
    assert configs[f"untrained {fair}"] == replace(configs[fair], epochs=0)
    assert configs[f"untrained {own}"] == replace(configs[own], epochs=0)
    if joined:
        neighbours = configs[own].neighbours, configs[own].neighbour_weight
        alike = configs["SGC, our input"]
        assert (alike.neighbours, alike.neighbour_weight) == neighbours
        assert alike.transform == configs[own].transform == "root"


# 3


def made(plan: Plan, values: dict[str, list[float]], folder: Path) -> Rows:
    """Rows with given test accuracies, of validation accuracy 0.5."""
    rows, first = Rows(folder), plan.jobs[0]["seed"]
    for job in plan.jobs:
        own = values.get(job["arm"], [])
        if job["seed"] - first < len(own):
            row = {k: job[k] for k in ("graph", "arm", "seed")} | {"job": job, "status": "ok"}
            row |= {"val": 0.5, "effective_rank": 9.0, "cosine": 0.5, "cpu_seconds": 7.0}
            rows.add(row | {"test": own[job["seed"] - first], "wall_seconds": 1.0})
    return rows


def test_report(tmp_path: Path) -> None:
    plan = headline.plan(core("--graphs", "cora", "--seeds", "4", "--controls", "full"), 1)
    ours, theirs = [0.83, 0.84, 0.835, 0.85], [0.82, 0.81, 0.815, 0.83]
    values = {"best": ours, "bgrl": theirs, CONTROL + "SGC": [0.8]}
    with made(plan, values, tmp_path) as rows:
        found = report.report(plan, rows)
    best, bgrl = found["graphs"]["cora"]["arms"]
    low, high = stats.t.interval(0.95, 3, np.mean(ours), stats.sem(ours))
    assert (best["low"], best["high"]) == pytest.approx((low, high)) and best["n"] == 4
    assert bgrl["against"]["difference"] == pytest.approx(np.mean(theirs) - np.mean(ours))
    assert bgrl["against"]["holm"] == pytest.approx(stats.ttest_rel(theirs, ours).pvalue)
    text = report.markdown(found)
    cell = f"{100 * np.mean(ours):.1f} ± 0.9 [{100 * low:.1f}, {100 * high:.1f}]"
    assert f"| best | 4 | {cell} |" in text and "| *SGC* | 1 | 80.0 |" in text
    assert "| published, test: GraphMAE (Hou et al. 2022) |  | 84.2 |" in text
    for words in ("Test accuracy", "chosen on validation", "seeds only", "does not cancel", "CPU"):
        assert words in text
    assert text.rstrip().splitlines()[-1].startswith("**Finding:** On cora bgrl is")
    assert found["published"] == run_full.PUBLISHED


def test_nothing_is_paired_without_bgrl(tmp_path: Path) -> None:
    plan = headline.plan(core("--graphs", "cora", "--seeds", "2"), 1)
    with made(plan, {"best": [0.8, 0.9]}, tmp_path) as rows:
        text = report.markdown(report.report(plan, rows))
    assert "Finding" not in text and "paired" not in text and "| best | 2 | 85.0 ± 7.1 [" in text


def test_a_quick_table_says_so(tmp_path: Path) -> None:
    plan = headline.plan(core("--graphs", "cora", "--quick"), 1)
    with made(plan, {"best": [0.8, 0.9]}, tmp_path) as rows:
        assert "these figures mean nothing" in report.markdown(report.report(plan, rows))


# 4, 5, 8


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small table in full."""
    out = tmp_path_factory.mktemp("table") / "out"
    done = invoke(*TINY, "--workers", "2", "--out", str(out))
    assert done.exit_code == 0, done.output
    assert "Test accuracy" in done.stdout and "published, test: GraphMAE" in done.stdout
    return out


@pytest.mark.slow
def test_rows_are_of_every_seed_and_scored(finished: Path) -> None:
    rows = lines(finished)
    own = "best, epochs=2, hidden=16, out=8"
    names = PLAIN | {"SGC, our input", f"untrained {own}"}
    assert {row["arm"] for row in rows} == {own} | {CONTROL + name for name in names}
    assert {row["seed"] for row in rows if row["arm"] == own} == {2000, 2001}
    assert all(0 < row["test"] < 1 and row["status"] == "ok" for row in rows)
    sgc = {row["arm"]: row["val"] for row in rows if "SGC" in row["arm"]}
    assert sgc[f"{CONTROL}SGC"] == pytest.approx(0.812, abs=0.01)
    assert sgc[f"{CONTROL}SGC, our input"] == pytest.approx(0.826, abs=0.01)


@pytest.mark.slow
def test_the_same_command_continues(finished: Path) -> None:
    before = (finished / "rows.jsonl").read_bytes(), (finished / "report.md").read_text()
    done = invoke(*TINY, "--json", "--out", str(finished))
    assert done.exit_code == 0 and "0 rows to train" in done.stderr
    assert json.loads(done.stdout)["measure"] == "test"
    assert before == ((finished / "rows.jsonl").read_bytes(), (finished / "report.md").read_text())
    done = invoke(*TINY, "--validation-only", "--out", str(finished))
    assert done.exit_code == 2 and "final: True -> False" in done.stderr


def test_validation_only_and_dry_run(tmp_path: Path) -> None:
    done = invoke(*TINY, "--validation-only", "--dry-run", "--out", str(tmp_path / "out"))
    assert done.exit_code == 0 and not (tmp_path / "out").exists() and not done.stdout
    assert "2 rows of" in done.stderr
    plan = headline.plan(core("--graphs", "cora", "--seeds", "2", "--validation-only"), 1)
    assert not any(job["final"] for job in plan.jobs)
    with made(plan, {"best": [0.1, 0.1]}, tmp_path) as rows:
        text = report.markdown(report.report(plan, rows))
    assert "| best | 2 | 50.0 ± 0.0" in text and "Validation accuracy" in text
    assert "1000 test nodes" not in text


@pytest.mark.slow
def test_a_table_can_be_drawn(finished: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["plot", str(finished), "--out", str(tmp_path)])
    assert done.exit_code == 0 and (tmp_path / "ablation-cora.png").is_file(), done.output


# 6


@pytest.mark.slow
def test_a_sweep_ends_with_the_command_of_its_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "a sweep"
    out.mkdir()
    cfg = replace(run_full.preset("best", "cora"), hidden=16, out=8, epochs=2, mask=0.25)
    fields = {k: v for k, v in vars(cfg).items() if k not in ("seed", "device", "precision")}
    text = "".join(f"{name} = {json.dumps(value)}\n" for name, value in fields.items())
    (out / "best.toml").write_text(f"[cora]\n{text}")
    found = {"graphs": {"cora": {"winner": {}}, "pubmed": {"winner": None}}}
    found["graphs"]["cora"]["winner"] = {"number": 3}
    sweep_command.say_next(found, out)
    said = capsys.readouterr().err
    words = shlex.split(said.splitlines()[-1].split("its table: ")[1])
    assert words[:2] == ["nodejepa-ext", "table"]
    assert words[2:] == ["--config", str(out / "best.toml"), "--graphs", "cora"]
    plan = headline.plan(core(*words[2:]), 1)
    (own,) = {json.dumps(j["config"] | {"seed": 0}) for j in plan.jobs if j["arm"].startswith("be")}
    assert Config(**json.loads(own)) == cfg and plan.arms[0].name == "best, best.toml"
    done = invoke(*words[2:], "--device", "cpu", "--dry-run")
    assert done.exit_code == 0 and "cora, best, best.toml: 20 rows of" in done.stderr, done.output


# 7, 9


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--preset", "bgrl", "--controls", "full"], "expected another --preset than bgrl"),
        (["--graphs", "corra"], "'corra': expected one of cora"),
        (["--seeds", "0"], "--seeds 0"),
        (["--config", "nowhere.toml"], "nowhere.toml"),
        (["--mask", "2"], "mask = 2.0"),
    ],
)
def test_refusals(argv: list[str], said: str, tmp_path: Path) -> None:
    done = invoke(*argv, "--out", str(tmp_path / "out"))
    assert done.exit_code == 2 and said in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_unknown_options(tmp_path: Path) -> None:
    done = invoke("--maks", "0.5")
    assert done.exit_code == 2 and "no such option: --maks; did you mean --mask?" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "argv",
    [
        ["ablate", "--bfs-mask", "--dry-run", "--graphs", "cora", "--epochs", "2"],
        ["sweep", "--gpus", "4", "--dry-run", "--graphs", "cora"],
        ["table", "--dry-run", "--graphs", "cora", "--epochs", "2"],
    ],
)
def test_any_folder_will_do(argv: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "nodejepa_ext", *argv]
    home = str(Path(run_full.__file__).parent)
    env = os.environ | {"PYTHONPATH": home, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "minutes" in done.stderr and not list(tmp_path.iterdir())
