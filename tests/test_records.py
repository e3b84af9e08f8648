"""Claims about the records in ablations/, each with a test below. Nothing is trained.

1. Every record of `ablate` has its command, its rows and a README that ends in a Finding.
2. What report.json says of its rows, their accuracies say when they are averaged again.
3. The README shows every line of every report's tables.
4. Every command is a plan, and its rows are rows of that plan: the same settings.
5. The headline's rows are of seeds 1000 to 1019 and of the presets as they are, and both READMEs
   show their means.
6. The table of `auto` is what its rows say.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import run_full
from nodejepa_ext import commands
from nodejepa_ext.commands import app
from nodejepa_ext.rows import Rows, key

ROOT = Path(__file__).resolve().parents[1]
REPORTS = sorted((ROOT / "ablations").rglob("report.json"))
RECORDS = ("augmentation", "collapse", "encoder", "family", "masking", "positional")
LINES = [
    (name, line)
    for name in RECORDS
    for line in (ROOT / "ablations" / name / "command.sh").read_text().splitlines()
    if line.startswith("nodejepa-ext ablate")
]


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("name", RECORDS)
def test_records_are_whole(name: str) -> None:
    folder = ROOT / "ablations" / name
    text = (folder / "README.md").read_text()
    assert text.rstrip().splitlines()[-1].startswith("**Finding:** ")
    assert any(folder.rglob("rows.jsonl")) and "](command.sh)" in text
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", text):
        assert (folder / picture).is_file()


@pytest.mark.parametrize("path", REPORTS, ids=lambda path: str(path.parent.name))
def test_reports_agree_with_their_rows(path: Path) -> None:
    found, rows = json.loads(path.read_text()), rows_of(path.parent)
    for graph, part in found["graphs"].items():
        own = [row for row in rows if row["graph"] == graph]
        reference = {r["seed"]: r["val"] for r in own if r["arm"] == found["reference"]}
        for line in part["arms"]:
            seeds = {r["seed"]: r["val"] for r in own if r["arm"] == line["arm"] and "val" in r}
            assert line["n"] == len(seeds) and not line["missing"]
            assert line["mean"] == pytest.approx(np.mean(list(seeds.values())))
            if "against" in line:
                gaps = [seeds[seed] - reference[seed] for seed in seeds]
                assert line["against"]["difference"] == pytest.approx(np.mean(gaps))


@pytest.mark.parametrize("path", REPORTS, ids=lambda path: str(path.parent.name))
def test_readmes_show_their_reports(path: Path) -> None:
    record = next(p for p in path.parents if p.parent.name == "ablations")
    shown = (record / "README.md").read_text()
    text = path.with_name("report.md").read_text()
    for line in text.splitlines():
        assert line.removeprefix("**Finding:** ") in shown


@pytest.mark.parametrize(("name", "line"), LINES)
def test_commands_are_the_plans_of_their_rows(
    name: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans: list[Any] = []
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(commands.ablate, "carry_out", lambda plan, *_: plans.append(plan) or 0)
    done = CliRunner().invoke(app, line.split()[1:])
    assert done.exit_code == 0, done.output
    (plan,) = plans
    jobs = {key(job): job for job in plan.jobs}
    rows = {key(row): row["job"] for row in rows_of(ROOT / plan.out)}
    assert rows.keys() == jobs.keys() and plan.out.is_relative_to(f"ablations/{name}")
    with Rows(ROOT / plan.out, read_only=True) as kept:  # run again, the command continues
        assert not kept.strangers(plan.jobs)
    for one, job in jobs.items():
        for part in ("config", "parts"):
            assert rows[one][part].items() <= job[part].items()
        assert (rows[one]["kind"], rows[one]["final"]) == (job["kind"], job["final"])


@pytest.mark.parametrize("graph", run_full.GRAPHS)
def test_headline(graph: str) -> None:
    folder = ROOT / "ablations/recipe"
    rows = [json.loads(line) for line in (folder / "headline.jsonl").read_text().splitlines()]
    own = [row for row in rows if (row["graph"], row["method"]) == (graph, "best")]
    assert [row["seed"] for row in own] == [*range(1000, 1020)]
    preset = asdict(run_full.preset("best", graph))
    assert all(row["config"] | {"seed": 0} == preset for row in own)
    test = 100 * np.array([row["test"] for row in own])
    cell = f"{test.mean():.1f} ± {test.std(ddof=1):.1f} ["
    for readme in (ROOT / "README.md", folder / "README.md"):
        line = next(s for s in readme.read_text().splitlines() if s.startswith("| **`best`**"))
        assert cell in line.split("|")[2 + [*run_full.GRAPHS].index(graph)]


def test_auto_table() -> None:
    folder = ROOT / "ablations/auto"
    command = [sys.executable, str(folder / "measure.py"), "--table"]
    rows, here = (folder / "rows.jsonl").read_bytes(), os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, input=rows, env=here, capture_output=True, check=True)
    assert done.stdout.decode().strip() in (folder / "README.md").read_text()
