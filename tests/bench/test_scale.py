"""Claims about `nodejepa-ext bench scale`, each with a test below.

1. The graph has as many edges as it says, each once, hubs, 20 training nodes of a class and edges
   within classes; its two kinds of tables read as the same graph; a seed makes the same again.
2. A process is metered by itself: its CPU time and its peak, not those of others; one that fails
   is told by its last line.
3. What measures holds neither torch nor pyarrow, or children would begin with their memory.
4. A row is judged by its bar at a million nodes alone, a control by what it takes beyond none.
5. Growth is of tenfold nodes; the estimate on paper goes through what was measured.
6. Usage, and a disk without room, exit 2 with a sentence before anything is made.
7. --quick runs every command for real, keeps its rows and a picture, and leaves no graph.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import run_full
from nodejepa_ext.bench import scale, scale_graph, scale_paper
from nodejepa_ext.bench.process import environment, metered
from nodejepa_ext.commands import app
from nodejepa_ext.graphs.graph import read_graph

N = 2000


def call(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["bench", "scale", *map(str, words)])


def row(step: str, nodes: int, seconds: float, peak: float = 1.0, **more: Any) -> dict[str, Any]:
    found = {"step": step, "nodes": nodes, "cpu_seconds": seconds, "seconds": seconds}
    return found | {"peak_gib": peak, "error": "", "bar": None, "ok": True} | more


def report(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"processor": "a processor", "versions": {"torch": "2"}, "rows": [*rows]}


def test_the_graph(tmp_path: Path) -> None:
    for name in "ab":
        scale_graph.write(N, tmp_path / name)
    one, other = (read_graph(tmp_path / "a" / kind) for kind in ("parquet", "csv"))
    for key in ("x", "edge_index", "y", "train_mask", "val_mask", "test_mask"):
        assert (one.data[key] == other.data[key]).all()
    assert np.array_equal(one.node_id, other.node_id)
    assert sorted(one.node_id) == [*range(N)] and not np.array_equal(one.node_id, range(N))
    again = (tmp_path / "b/csv/nodes.csv").read_bytes()
    assert (tmp_path / "a/csv/nodes.csv").read_bytes() == again
    y, (u, v) = one.data.y, one.data.edge_index
    assert len(u) == 2 * 10 * N and one.data.x.shape == (N, 128)
    assert [int((one.data.train_mask & (y == c)).sum()) for c in range(7)] == [20] * 7
    assert int(one.data.val_mask.sum()) == 500
    assert 0.65 < float((y[u] == y[v]).float().mean()) < 0.8  # 0.7 and a seventh of the rest
    degree = np.bincount(u, minlength=N)
    assert degree.max() > 5 * degree.mean() > 2 * np.median(degree) > 20


def test_a_process_is_metered(tmp_path: Path) -> None:
    log = tmp_path / "log"
    burn = "import time\nwhile time.process_time() < 0.5: pass"
    held = "x = b'x' * (300 << 20)"
    busy, large = (metered([sys.executable, "-c", text], log) for text in (burn, held))
    assert 0.5 <= busy.cpu_seconds < 2 and busy.error == "" == large.error
    assert large.peak_gib > 300 / 1024 and large.cpu_seconds < busy.cpu_seconds + 0.5
    bad = metered([sys.executable, "-c", "print('so far'); raise SystemExit('no room')"], log)
    assert bad.error == "no room" and "so far" in log.read_text()
    assert metered([sys.executable, "-c", "raise SystemExit(3)"], log).error == "exit code 3"


def test_what_measures_is_light() -> None:
    code = "import sys; from nodejepa_ext.bench import scale; scale.machine()\n"
    code += "sys.exit(','.join({'torch', 'pyarrow', 'sklearn', 'matplotlib'} & {*sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], env=environment(), stderr=subprocess.PIPE)
    assert done.stderr == b"\n"


def test_rows_are_judged() -> None:
    embed, control = scale.STEPS[3], scale.STEPS[5]
    found: dict[str, Any] = {scale.ALONE: row(scale.ALONE, 10**6, 50.0)}

    def judged(step: scale.Step, n: int, seconds: float, peak: float = 1.0) -> dict[str, Any]:
        one = row(step.name, n, seconds, peak)
        scale.judge(one, step, n, found)
        return one

    assert judged(embed, 10**6, 59.0)["ok"] and not judged(embed, 10**6, 61.0)["ok"]
    assert not judged(embed, 10**6, 59.0, 6.1)["ok"] and judged(embed, 10**5, 900.0, 9.0)["ok"]
    found[scale.EMBED] = row(scale.EMBED, 10**6, 30.0)
    beyond = judged(control, 10**6, 79.0)
    assert beyond["cpu_seconds"] == pytest.approx(29.0) and beyond["ok"] and beyond["bar"] == 30.0
    assert not judged(control, 10**6, 81.0)["ok"]
    assert "81.0!" in " ".join(scale.figures(row("x", 10**6, 81.0, 2.0, bar=60)))


def test_growth_and_paper() -> None:
    rows = [row("embed, parquet", n, 4 + n / 2e4, 0.3 + n / 4e5) for n in (10**5, 10**6)]
    whole = report(*rows, row("control raw", 10**5, 1.0))
    assert scale.growths(whole) == {"embed, parquet": pytest.approx(54 / 9)}
    assert not scale.failed(whole)
    assert scale.failed(report(rows[0], row("embed, parquet", 10**6, 100.0)))
    assert scale.failed(report(rows[0] | {"ok": False}))
    assert scale.growths(report(rows[0])) == {} == scale_paper.estimates(report(rows[0]))
    twice = scale_paper.measured(2 * 10**6)
    own = {"twice": twice, "same": scale_paper.measured(10**6)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scale_paper, "GRAPHS", own)
        found = scale_paper.estimates(whole)["embed, parquet"]
    assert found["same"] == pytest.approx((54, 2.8)) and found["twice"] == pytest.approx((104, 5.3))
    assert scale_paper.line([1, 10], [1, 20], 100) == 200  # begins below 0: in proportion
    text = json.dumps([str(part) for part in scale.tables(whole) if isinstance(part, str)])
    assert "a processor, 1 thread" in text


def test_usage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for words, text in [
        (("--nodes", "1e6"), "--nodes 1e6: expected whole numbers"),
        (("--nodes", "10"), "--nodes 10: expected at least 1000 each"),
        (("--part", "all"), "expected with gpu"),
    ]:
        done = call(*words, "--out", tmp_path / "none")
        assert done.exit_code == 2 and text in done.stderr and not (tmp_path / "none").exists()
    done = CliRunner().invoke(app, ["bench", "batches", "--quick"])
    assert done.exit_code == 2 and "expected with scale only" in done.stderr
    usage: Callable[[Any], Any] = shutil.disk_usage
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(path)._replace(free=6 << 30))
    done = call("--nodes", "1000000", "--out", tmp_path)
    assert done.exit_code == 2 and "6144 MiB are free on its disk, expected 6675" in done.stderr
    assert not [*tmp_path.rglob("*.csv")]


@pytest.mark.slow
def test_quick(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "nodejepa_ext", "bench", "scale", "--quick", "--json"]
    done = subprocess.run(
        [*command, "--out", tmp_path], env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [one["step"] for one in found["rows"]] == [step.name for step in scale.STEPS]
    assert all(one["peak_gib"] > 0.2 and not one["error"] for one in found["rows"])
    assert all(one["cpu_seconds"] > 1 for one in found["rows"][:5])
    folder = Path(found["folder"])
    assert json.loads((folder / "scale.json").read_text()) == found
    assert (folder / "scale.png").read_bytes().startswith(b"\x89PNG")
    assert not [*folder.rglob("*.csv"), *folder.rglob("*.npz")]
    assert Path(run_full.__file__).parent not in folder.parents
