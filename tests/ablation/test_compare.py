"""Claims about `nodejepa-ext compare`, each with a test below.

1. What is asked for is checked first: unknown methods and tasks, two graphs of one name, --final
   without an official split; --dry-run says rows and time without importing torch.
2. Jobs: a method that draws nothing has one row; held-out edges have rows of their own; a method
   that does not fit is left out, and why is said.
3. Every method gives z [N, D], finite, the same for a seed; a label reaches none.
4. The interval over test nodes is that of the nodes on which two methods differ, whatever they have
   in common; bits of test nodes survive being packed, and others are refused.
5. A run makes rows, a report and a picture; the same command goes on and trains nothing twice;
   ours is paired with the others by seed. (slow: processes)
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch_geometric.data import Data
from typer.testing import CliRunner

from nodejepa_ext.ablation import compare, comparison, costs
from nodejepa_ext.commands import app
from nodejepa_ext.judging.contest import packed, unpacked
from nodejepa_ext.judging.peers import PEERS, subject_of


def request(folder: Path, **changes: object) -> costs.Request:
    asked = costs.request([str(folder)], None, None, None, None, folder / "out", False, True)
    return asked._replace(**changes)


@pytest.fixture
def folder(tmp_path: Path, data: Data) -> Path:
    folder = tmp_path / "mine"
    folder.mkdir()
    np.savez(
        folder / "g.npz", x=data.x.numpy(), edge_index=data.edge_index.numpy(), y=data.y.numpy()
    )
    pairs = "".join(f"{u},{v}\n" for u, v in data.edge_index.t().tolist())
    (folder / "edges.csv").write_text("source,target\n" + pairs)
    names = ",".join(f"f{i}" for i in range(12))
    rows = (
        f"{i},{int(y)},{','.join(map(str, x))}\n"
        for i, (x, y) in enumerate(zip(data.x.tolist(), data.y, strict=True))
    )
    (folder / "nodes.csv").write_text(f"id,label,{names}\n" + "".join(rows))
    return folder


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["cora", "--methods", "ours,best-of-all"], "--methods best-of-all: expected some of"),
        (["cora", "--tasks", "sorting"], "--tasks sorting: expected some of linear"),
        (["a/g.npz", "b/g.npz"], "g"),
        (["cora", "citeseer", "--nodes", "n.csv"], "--nodes n.csv: expected with one GRAPH"),
        (["cora", "--final", "--tasks", "knn"], "expected linear among them"),
    ],
)
def test_what_is_asked_is_checked(words: list[str], text: str) -> None:
    done = CliRunner().invoke(app, ["compare", *words])
    assert done.exit_code == 2 and text in done.stderr


def test_dry_run_needs_no_torch() -> None:
    code = (
        "import sys\nfrom nodejepa_ext.commands import app\n"
        "try: app(['compare', 'cora', '--dry-run'])\n"
        "finally: print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.strip().endswith("False")
    assert "minutes" in done.stderr + done.stdout or "hours" in done.stderr + done.stdout


def test_jobs(folder: Path) -> None:
    said: list[str] = []
    asked = request(folder, methods=["ours", "sgc", "sgc-joined", "fastrp"])
    jobs = compare.plan(asked, 1, said.append).jobs
    names = [(job["arm"], job["seed"]) for job in jobs]
    assert names.count(("sgc", 0)) == 1 and ("sgc", 1) not in names and ("ours", 1) in names
    assert ("ours, links", 0) in names and ("sgc, links", 1) in names
    left = [text for text in said if "sgc-joined left out" in text]
    joined = [name for name, _ in names if name == "sgc-joined"]
    assert bool(left) != bool(joined)
    assert len({json.dumps(job, sort_keys=True) for job in jobs}) == len(jobs)
    with pytest.raises(ValueError, match="--final: mine has no official split"):
        compare.plan(asked._replace(final=True), 1, said.append)


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_every_method_embeds(peer: object, data: Data) -> None:
    bare = Data(x=data.x, edge_index=data.edge_index, edge_weight=None)
    settings = peer.settings(subject_of("", bare, False))
    if isinstance(settings, str):
        assert settings  # the reason why it is left out
        return
    settings = compare.shortened(settings)
    for width in ("hidden", "out"):
        if isinstance(settings.get(width), int):
            settings[width] = 8
    first, again = (peer.embed(bare, 3, **settings) for _ in range(2))
    assert first.shape[0] == 60 and first.isfinite().all() and torch.equal(first, again)
    if peer.seeded:
        assert not torch.equal(first, peer.embed(bare, 4, **settings))


def test_first_seed(folder: Path) -> None:
    asked = request(folder, methods=["ours", "sgc"], tasks=["linear"], first=2000)
    seeds = [(job["arm"], job["seed"]) for job in compare.plan(asked, 1, print).jobs]
    assert seeds == [("ours", 2000), ("sgc", 2000), ("ours", 2001)]


@given(st.lists(st.booleans(), max_size=40))
def test_bits(right: list[bool]) -> None:
    assert unpacked(packed(np.array(right, bool))).tolist() == right


@pytest.mark.parametrize("text", ["", "3", "9:ff", "x:ff", "8:fg", "-8:ff", "8:ffff"])
def test_other_bits(text: str) -> None:
    with pytest.raises(ValueError):
        unpacked(text)


def test_interval_over_test_nodes() -> None:
    rng = np.random.default_rng(1)
    both, one = rng.random(1000) < 0.8, rng.random(1000) < 0.1  # one: where the methods differ

    def rows(method: str, right: np.ndarray, seeds: range) -> list[dict[str, object]]:
        job = {"method": method}
        return [{"graph": "g", "seed": s, "job": job, "right": packed(right)} for s in seeds]

    found = rows("ours", both | one, range(3)) + rows("dgi", both, range(2))
    low, high = comparison.over_nodes(found, "g", "dgi")
    p = (one & ~both).mean()
    half = 1.96 * np.sqrt(p * (1 - p) / 1000)
    assert low == pytest.approx(p - half, abs=1.5e-3) and high == pytest.approx(
        p + half, abs=1.5e-3
    )
    assert comparison.over_nodes(found, "g", "ours") == [0.0, 0.0]
    assert comparison.over_nodes(found, "g", "vgae") is None
    once = comparison.over_nodes(found + rows("sgc", both, range(7, 8)), "g", "sgc")
    assert once == [low, high]
    with pytest.raises(ValueError, match=r"\[999, 1000\] test nodes"):
        comparison.over_nodes(found + rows("vgae", both[:999], range(3)), "g", "vgae")


@pytest.mark.slow
def test_a_comparison(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["compare", str(folder), "--quick", "--methods", "ours,sgc,fastrp", "--out", str(out)]
    done = CliRunner().invoke(app, [*words, "--workers", "2", "--json"])
    assert done.exit_code == 0, done.stderr
    report = json.loads(done.stdout)["graphs"]["mine"]
    lines = {line["method"]: line for line in report["methods"]}
    assert report["measure"] == "linear" and {*lines} == {"ours", "sgc", "fastrp"}
    assert lines["fastrp"]["against"]["n"] == 2 and lines["ours"]["linear"]["n"] == 2
    assert all(line["cpu_seconds"] >= 0 and line["peak_mib"] > 0 for line in lines.values())
    assert {path.name for path in out.iterdir()} >= {"rows.jsonl", "report.md", "compare.png"}
    before = (out / "rows.jsonl").read_bytes()
    again = CliRunner().invoke(app, [*words, "--workers", "2", "--json"])
    assert again.exit_code == 0 and (out / "rows.jsonl").read_bytes() == before
    assert json.loads(again.stdout) == json.loads(done.stdout)
