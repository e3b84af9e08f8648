"""Claims about README.md, each with a test below.

1. Its Python blocks run as they stand, given a graph.
2. Every `python run_full.py` line has flags that exist; every `nodejepa-ext` verb exists.
3. Its files and folders exist, and no placeholder is left.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch_geometric.data import Data
from typer.testing import CliRunner

import run_full
from nodejepa_ext.commands import app

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
COMMANDS = re.findall(r"^python run_full\.py(.*?)(?:#.*)?$", README, re.MULTILINE)


def test_python_blocks_run(data: Data, cfg: run_full.Config) -> None:
    names = {"data": data, "other": data, "torch": torch, "run_full": run_full, "cfg": cfg}
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        exec(block.replace("epochs=200", "epochs=2"), names)
    assert names["z"].shape == names["z_new"].shape == (60, 128)


@pytest.mark.parametrize("line", COMMANDS)
def test_flags_exist(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_full.main([*line.split(), "--graphs", "nowhere"]) == 2
    assert "'nowhere': expected one of" in capsys.readouterr().err  # all else was understood


def test_verbs_exist() -> None:
    verbs = set(re.findall(r"nodejepa-ext ([a-z]+)", README))
    assert verbs == {"bench", "plot"}
    for verb in verbs:
        assert CliRunner().invoke(app, [verb, "--help"]).exit_code == 0


def test_links_and_placeholders() -> None:
    assert "@@" not in README
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
    assert len(COMMANDS) >= 5
