"""Claims about `nodejepa-ext data`, each with a test below.

1 --help imports nothing heavy and shows the sources; bad usage exits 2 with a sentence.
2 list: the embedded graphs with their published sizes, as a table or as JSON.
3 check: what a sound graph holds and every notice on stdout; exit 0.
4 check: every problem of an unsound one on stderr, or as JSON on stdout; exit 3.
5 convert: one .npz that reads back as the same graph; never over a file without --overwrite.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

from nodejepa_ext.commands import app
from nodejepa_ext.graphs.graph import read_graph

EDGES = "source,target,weight\na,b,1\nb,c,2\nc,a,3\nc,c,1\n"
NODES = "id,label,split_0,split_1,f\na,[red],train,val,1\nb,blue,val,train,0\nc,,test,,2\n"


def call(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["data", *map(str, words)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "edges.csv").write_text(EDGES)
    (tmp_path / "nodes.csv").write_text(NODES)
    return tmp_path


def test_help_and_usage(folder: Path) -> None:
    code = (
        "import sys\nfrom nodejepa_ext.commands import app\n"
        "try: app(['data', 'check', '--help'])\n"
        "finally: print({'torch', 'scipy', 'numpy'} & {*sys.modules}, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stderr.strip() == "set()"
    assert done.stdout.count("nodejepa-ext data") >= 3 and "SOURCE: cora" in done.stdout
    for words in (["check"], ["check", "corra"], ["convert", "corra", folder / "o.npz"]):
        done = call(*words)
        assert done.exit_code == 2 and "expected cora, citeseer, pubmed" in done.stderr
    assert call("convert", "cora", folder / "o.zip").exit_code == 2
    assert call("convert", "cora", folder / "no" / "o.npz").exit_code == 2


def test_list() -> None:
    facts = json.loads(call("list", "--json").stdout)
    sizes = {
        name: [fact[k] for k in ("nodes", "edges", "features")] for name, fact in facts.items()
    }
    assert sizes == {
        "cora": [2708, 5278, 1433],
        "citeseer": [3327, 4552, 3703],
        "pubmed": [19717, 44324, 500],
    }
    shown = call("list").stdout
    assert all(word in shown for word in ("pubmed", "44324", "homophily", "140"))


def test_check(folder: Path) -> None:
    done = call("check", folder)
    assert done.exit_code == 0 and done.stderr == ""
    for part in ("homophily", "1 self-loops left out", "'[red]'", "1 of 3 nodes have no label"):
        assert part in done.stdout
    edges, nodes = folder / "edges.csv", folder / "nodes.csv"
    report = json.loads(call("check", folder, "--json").stdout)
    for words in ([edges, "--nodes", nodes], ["--edges", edges, "--nodes", nodes]):
        assert json.loads(call("check", *words, "--json").stdout) == report
    assert report["sound"] and report["graph"]["splits"] == 2 and report["graph"]["nodes"] == 3


def test_check_unsound(folder: Path) -> None:
    (folder / "nodes.csv").write_text(NODES.replace(",1\n", ",one\n").replace(",2\n", ",\n"))
    done = call("check", folder)
    assert done.exit_code == 3 and done.stdout == "" and "Traceback" not in done.stderr
    first, second = done.stderr.splitlines()
    assert first.startswith("nodejepa-ext data check: ") and "row 2, column f: 'one'" in first
    assert "row 4, column f: ''" in second
    done = call("check", folder, "--json")
    report = json.loads(done.stdout)
    assert done.exit_code == 3 and not report["sound"] and len(report["problems"]) == 2
    assert call("check", folder / "missing.npz").exit_code == 3


def test_convert(folder: Path) -> None:
    out = folder / "out.npz"
    done = call("convert", folder, out)
    assert done.exit_code == 0 and done.stdout.strip() == str(out)
    assert "self-loops" in done.stderr
    for how in ({"normalise": "none", "split": None}, {"split": 1}):
        ours, theirs = read_graph(out, **how), read_graph(folder, **how)
        for key, value in theirs.data.items():
            assert torch.equal(value, ours.data[key])
        assert (ours.node_id == theirs.node_id).all() and (ours.classes == theirs.classes).all()
    before = out.read_bytes()
    done = call("convert", folder, out)
    assert done.exit_code == 2 and "--overwrite replaces it" in done.stderr
    assert call("convert", "cora", out, "--overwrite").exit_code == 0
    assert before != out.read_bytes() and np.load(out)["y"].shape == (2708,)
    (folder / "nodes.csv").write_text("id\n")
    again = out.read_bytes()
    assert call("convert", folder, out, "--overwrite").exit_code == 3
    assert out.read_bytes() == again and not list(folder.glob(".*"))
