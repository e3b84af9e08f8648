"""Claims about examples/, each with a test below. All of them run as a reader runs them.

1. Every script runs as it stands, in seconds, and prints what its first lines promise.
2. Every script but the tutorial has fewer than 60 lines.
3. A CSV of edges goes in and a CSV of embeddings, a line a node, comes out.
4. The masks and objectives in them are what their seams ask for, and never read test nodes.
5. The tutorial runs as a notebook and shows its pictures (slow).
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch_geometric.data import Data

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
SCRIPTS = sorted(path for path in EXAMPLES.glob("*.py") if path.stem != "tutorial")
PROMISED = {
    "own_graph": "nearest to",
    "own_mask": "difference",
    "own_objective": "mean cosine",
}
NOTEBOOK = all(find_spec(name) for name in ("jupytext", "nbclient", "ipykernel"))


def run(*command: str | Path, folder: Path) -> str:
    """What a process of python prints, the project's root on its path and nothing else."""
    here = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, *map(str, command)]
    done = subprocess.run(words, cwd=folder, env=here, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def load(name: str) -> ModuleType:
    spec = spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(path, id=path.stem, marks=[] if path.stem == "own_graph" else pytest.mark.slow)
        for path in SCRIPTS
    ],
)
def test_scripts_run(script: Path, tmp_path: Path) -> None:
    assert PROMISED[script.stem] in run(script, folder=tmp_path)
    assert not any(tmp_path.iterdir())  # nothing is left where the reader stands
    assert len(script.read_text().splitlines()) < 60
    assert f"python examples/{script.name}" in script.read_text()


def test_own_graph_reads_and_writes_csv(tmp_path: Path) -> None:
    ring = [(f"v{i}", f"v{(i + 1) % 40}") for i in range(40)]
    lines = [("source", "target"), *ring]
    (tmp_path / "edges.csv").write_text("\n".join(map(",".join, lines)))
    run(EXAMPLES / "own_graph.py", "edges.csv", "z.csv", folder=tmp_path)
    header, *rows = csv.reader((tmp_path / "z.csv").read_text().splitlines())
    assert header == ["id", *(f"z{i}" for i in range(32))]
    assert sorted(row[0] for row in rows) == sorted(f"v{i}" for i in range(40))
    assert all(torch.tensor([float(v) for v in row[1:]]).isfinite().all() for row in rows)


def test_own_mask_is_a_mask(data: Data) -> None:
    hub_mask = load("own_mask").hub_mask
    first, again = (hub_mask(data, 0.4, torch.Generator().manual_seed(1)) for _ in range(2))
    assert first.dtype == torch.bool and first.shape == (60,) and first.sum() == 24
    assert torch.equal(first, again)
    degree = torch.bincount(data.edge_index[0], minlength=60)
    assert degree[first].min() >= degree[~first].max()


def test_own_objective_is_least_where_latents_are_orthogonal() -> None:
    spread, apart, alike = load("own_objective").spread, torch.eye(8), torch.ones(8, 8)
    assert spread(apart, apart, torch.Generator()).abs() < 1e-6
    assert spread(alike, alike, torch.Generator()) == pytest.approx(1, abs=1e-5)
    z = torch.rand(600, 4, requires_grad=True)
    spread(z, z, torch.Generator()).backward()
    assert z.grad is not None and z.grad.isfinite().all()


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_examples_leave_test_nodes_alone(path: Path) -> None:
    assert "test_mask" not in path.read_text() and "score_test" not in path.read_text()


@pytest.mark.slow
@pytest.mark.skipif(not NOTEBOOK, reason="jupytext, nbclient or ipykernel is not installed")
def test_tutorial_runs_as_a_notebook(tmp_path: Path) -> None:
    notebook = tmp_path / "tutorial.ipynb"
    source = EXAMPLES / "tutorial.py"
    run("-m", "jupytext", "--to", "ipynb", "--output", notebook, source, folder=tmp_path)
    execute = "import sys, nbformat, nbclient; p = sys.argv[1]; n = nbformat.read(p, 4);"
    execute += "nbclient.NotebookClient(n, timeout=300).execute(); nbformat.write(n, p)"
    run("-c", execute, notebook, folder=tmp_path)
    cells = json.loads(notebook.read_text())["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", ())]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 3
    printed = "".join("".join(output.get("text", "")) for output in outputs)
    assert "same class" in printed and "2708 nodes, 5278 edges" in printed
