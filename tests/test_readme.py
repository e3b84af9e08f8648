"""Claims about README.md, each with a test below.

1. Its Python blocks run as they stand, given a graph.
2. Every `python run_full.py` line has flags that exist; every `nodejepa-ext` verb exists.
3. Its files and folders exist, and no placeholder is left.
4. Every `nodejepa-ext ablate` line is a plan of at least two arms.
5. It has at most 120 lines, none over 160 characters.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch_geometric.data import Data
from typer.main import get_command
from typer.testing import CliRunner

import run_full
from nodejepa_ext import commands
from nodejepa_ext.commands import app

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
COMMANDS = re.findall(r"^python run_full\.py(.*?)(?:#.*)?$", README, re.MULTILINE)
ABLATIONS = re.findall(r"^nodejepa-ext ablate(.*?)(?:#.*)?$", README, re.MULTILINE)


def test_python_blocks_run(
    data: Data, cfg: run_full.Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NODEJEPA_CACHE", str(tmp_path / "cache"))
    (tmp_path / "mygraph").mkdir()
    edges = "".join(f"v{a},v{b}\n" for a, b in data.edge_index.t().tolist())
    (tmp_path / "mygraph/edges.csv").write_text(f"source,target\n{edges}")
    rows = (",".join(map(str, [f"v{i}", *row])) for i, row in enumerate(data.x.tolist()))
    names = ",".join(f"f{i}" for i in range(data.x.shape[1]))
    (tmp_path / "mygraph/nodes.csv").write_text("\n".join([f"id,{names}", *rows]))
    names = {"data": data, "other": data, "torch": torch, "run_full": run_full, "cfg": cfg}
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        exec(block.replace("epochs=100", "epochs=2"), names)
    assert names["z"].shape == (60, 512) and "silhouette" in names["report"]


@pytest.mark.parametrize("line", COMMANDS)
def test_flags_exist(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_full.main([*line.split(), "--graphs", "nowhere"]) == 2
    assert "'nowhere': expected one of" in capsys.readouterr().err  # all else was understood


def test_verbs_exist() -> None:
    verbs = set(re.findall(r"nodejepa-ext ([a-z]+)", README))
    assert verbs == {*get_command(app).commands}
    for verb in verbs:
        assert CliRunner().invoke(app, [verb, "--help"]).exit_code == 0


def test_links_and_placeholders() -> None:
    assert "@@" not in README
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
    assert len(COMMANDS) >= 3 and len(ABLATIONS) >= 2


@pytest.mark.parametrize("line", ABLATIONS)
def test_ablations_make_plans(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that `ablate` does before it trains; an unknown option or field would end it."""
    plans: list[Any] = []
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(commands.ablate, "carry_out", lambda plan, *_: plans.append(plan) or 0)
    done = CliRunner().invoke(app, ["ablate", *line.split()])
    assert done.exit_code == 0, done.output
    assert len(plans[0].arms) > 1 and len(plans[0].jobs) > 10


def test_lengths() -> None:
    lines = README.splitlines()
    assert len(lines) <= 120 and max(map(len, lines)) <= 160
