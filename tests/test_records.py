"""Claims about the records in ablations/, each with a test below. Nothing is trained.

1. Every record has its command, its rows and a README that ends in a Finding; what READMEs link to
   is there.
2. Every file of rows is called rows.jsonl and has the one format.
3. What report.json says of its rows, their accuracies say when they are averaged again.
4. The README shows every line of every report's tables.
5. Every command of `ablate` is a plan, and its jobs are those of its rows.
6. The headline's rows are of seeds 2000 to 2019 and of the presets as they are, and both READMEs
   show their means.
7. The table of `auto` is what its rows say.
8. Scripts that train recorded rows again need four names of run_full.
"""

from __future__ import annotations

import json
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
from nodejepa_ext.ablation.revisions import ADDED
from nodejepa_ext.ablation.rows import Rows, key
from nodejepa_ext.commands import app

ROOT = Path(__file__).resolve().parents[1]
ABLATIONS = ROOT / "ablations"
ALL = sorted(ABLATIONS.rglob("report.json"))
PEERS = ABLATIONS / "peers" / "report.json"
COMPARISONS = (PEERS, ABLATIONS / "links" / "report.json")  # of `compare`
REPORTS = [path for path in ALL if path not in COMPARISONS]
READMES = sorted(ABLATIONS.rglob("README.md"))
RECORDS = [p.parent for p in READMES if p.parent != ABLATIONS]
OTHERWISE = {"speed": "bench.json", "sweep": "final_results.json"}  # what a command writes itself
FILES = sorted(ABLATIONS.rglob("*.jsonl"))
ABLATE = ("augmentation", "collapse", "encoder", "family", "jepa_parts", "masking", "positional")
ABLATE += ("headline",)
LINES = [
    (name, line)
    for name in ABLATE
    for line in (ABLATIONS / name / "command.sh").read_text().splitlines()
    if line.startswith("nodejepa-ext ablate")
]
SETTINGS = set(asdict(run_full.Config()))
PLANNED = {"kind", "final", "parts", "revisions"}  # of a job, by `ablate`
COMPARED = {"method", "kind", "settings", "sha256", "tasks", "final", "revisions"}  # by `compare`


def called(path: Path) -> str:
    return str(path.relative_to(ABLATIONS))


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("folder", RECORDS, ids=called)
def test_records_are_whole(folder: Path) -> None:
    text = (folder / "README.md").read_text()
    assert text.rstrip().splitlines()[-1].startswith("**Finding:** ")
    assert "](command.sh)" in text and (folder / "command.sh").stat().st_mode & 0o100
    own = folder / OTHERWISE.get(called(folder), "rows.jsonl")
    assert own.is_file() or any(folder.rglob("rows.jsonl"))
    assert f"]({called(folder)})" in (ABLATIONS / "README.md").read_text()


@pytest.mark.parametrize("path", READMES, ids=lambda path: called(path.parent))
def test_links(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text()):
        assert target.startswith("https://") or (path.parent / target).exists(), target


@pytest.mark.parametrize("path", FILES, ids=called)
def test_rows_have_one_format(path: Path) -> None:
    assert path.name == "rows.jsonl"
    rows, by_ablate = rows_of(path.parent), path.relative_to(ABLATIONS).parts[0] in ABLATE
    assert len({key(row) for row in rows}) == len(rows) > 0
    for row in rows:
        job = row["job"]
        assert key(row) == key(job) and [type(part) for part in key(row)[:2]] == [str, str]
        assert row["seed"] is None or type(row["seed"]) is int
        judged = "auc" if job.get("kind") == "links" else "val"
        assert row["status"] == "ok" and 0 < row[judged] <= 1
        assert row.get("rounding", "older") == "older"
        assert not row.keys() & {"config", "hash", "method", "name", "setting", "trial"}
        config, parts = job.get("config", {}), PLANNED if by_ablate else set()
        parts = COMPARED if path.with_name("report.json") in COMPARISONS else parts
        if job.get("kind") == "links":
            parts = COMPARED - {"tasks", "final"}
        assert job.keys() - {"config", "dev"} == {"graph", "arm", "seed"} | parts
        assert config.keys() <= SETTINGS and config.get("skip", "none") in ("none", "linear")
        if by_ablate:
            assert config.keys() | ADDED.keys() == SETTINGS
            assert job["revisions"].keys() >= {"graph", "views", "encoder", "objective", "probe"}
        if "splits" in row:
            assert row["val"] == pytest.approx(np.mean(row["splits"]))
        if "validation" in row:
            seen = [val for epoch in row["validation"].values() for val, _ in epoch.values()]
            assert row["val"] == max(seen)


@pytest.mark.parametrize("path", REPORTS, ids=lambda path: str(path.parent.name))
def test_reports_agree_with_their_rows(path: Path) -> None:
    found, rows = json.loads(path.read_text()), rows_of(path.parent)
    measure = found.get("measure", "val")
    for graph, part in found["graphs"].items():
        own = [row for row in rows if row["graph"] == graph]
        reference = {r["seed"]: r[measure] for r in own if r["arm"] == found["reference"]}
        for line in part["arms"]:
            seeds = {r["seed"]: r[measure] for r in own if r["arm"] == line["arm"] and "val" in r}
            assert line["n"] == len(seeds) and not line["missing"]
            assert line["mean"] == pytest.approx(np.mean(list(seeds.values())))
            if "against" in line:
                gaps = [seeds[seed] - reference[seed] for seed in seeds]
                assert line["against"]["difference"] == pytest.approx(np.mean(gaps))


def test_peers() -> None:
    found, rows = json.loads(PEERS.read_text()), rows_of(PEERS.parent)
    shown = (ROOT / "README.md").read_text().splitlines()
    for graph, part in found["graphs"].items():
        assert part["measure"] == "test"
        for line in part["methods"]:
            own = [r for r in rows if (r["graph"], r["arm"]) == (graph, line["method"])]
            assert line["test"]["n"] == len(own) > 0 and not line["missing"]
            test = 100 * np.array([row["test"] for row in own])
            assert 100 * line["test"]["mean"] == pytest.approx(test.mean())
            place = 2 + [*run_full.GRAPHS].index(graph)
            for cells in (text.split("|") for text in shown if f"| `{line['method']}` " in text):
                assert f" {100 * line['test']['mean']:.1f}" in cells[place]


@pytest.mark.parametrize("path", ALL, ids=lambda path: str(path.parent.name))
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
    assert plan.out.is_relative_to(f"ablations/{name}")
    jobs = {key(job): job for job in plan.jobs}
    assert {key(row) for row in rows_of(ROOT / plan.out)} == jobs.keys()
    with Rows(ROOT / plan.out, read_only=True) as kept:  # run again, the command continues
        assert all(kept.finished(job) for job in plan.jobs)


@pytest.mark.parametrize("graph", run_full.GRAPHS)
def test_headline(graph: str) -> None:
    folder = ABLATIONS / "headline"
    own = [row for row in rows_of(folder) if (row["graph"], row["arm"]) == (graph, "best")]
    assert [row["seed"] for row in own] == [*range(2000, 2020)]
    preset = asdict(run_full.preset("best", graph))
    assert all(row["job"]["config"] | {"seed": 0} == preset for row in own)
    test = 100 * np.array([row["test"] for row in own])
    cell = f"{test.mean():.1f} ± {test.std(ddof=1):.1f} ["
    assert f"| best | 20 | {cell}" in (folder / "README.md").read_text()
    lines = (ROOT / "README.md").read_text().splitlines()
    line = next(line for line in lines if line.startswith("| **`best`**"))
    assert cell in line.split("|")[2 + [*run_full.GRAPHS].index(graph)]


def test_auto_table() -> None:
    folder = ABLATIONS / "auto"
    done = subprocess.run([sys.executable, folder / "table.py"], capture_output=True, check=True)
    assert done.stdout.decode().strip() in (folder / "README.md").read_text()


def test_replay_needs_little() -> None:
    text = (ABLATIONS / "replay.py").read_text()
    used = set(re.findall(r"run_full\.(\w+)\(", text))
    assert used <= {"Config", "load_graph", "train", "linear_probe"} and "from run_full" not in text
