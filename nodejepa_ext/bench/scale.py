"""What whole commands cost on a large graph: CPU seconds and peak memory, against bars.

Apart from batches.py, which measures steps of a training within one process. Here each command is
a child process on one thread, its CPU time (user and system) and the peak of its resident set taken
from the kernel when it ends. A child begins as a copy of this process, whose peak is its least: so
nothing heavy is imported here, and another process makes the graph.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nodejepa_ext.bench import scale_paper
from nodejepa_ext.bench.process import metered
from nodejepa_ext.files import atomic

if TYPE_CHECKING:
    from rich.table import Table

HIDDEN, OUT, BATCH = 512, 256, 4096
NODES, QUICK = (100_000, 1_000_000), (3000,)
BARRED = 1_000_000  # nodes for which the bars are
PEAK, GROWTH = 6.0, 11.0  # GiB of any command; times the CPU seconds, of ten times the nodes
DISK = 7000  # bytes a node, of all that is written
REPORT, PICTURE = "scale.json", "scale.png"
Row = dict[str, Any]
Report = dict[str, Any]


class Step(NamedTuple):
    """A command, its bar in CPU seconds at `BARRED` nodes, or None, and words: {g} is the folder of
    the graph, {w} that of what commands write."""

    name: str
    bar: float | None
    words: str


TRAIN = f"--encoder gcn --hidden {HIDDEN} --out-width {OUT} --neighbours 0 --threads 1"
EVALUATE = "evaluate {w}/run --task linear --controls"
STEPS = (
    Step("data convert, parquet", 25, "data convert {g}/parquet {w}/mapped/"),
    Step("data convert, CSV", 45, "data convert {g}/csv {w}/again/"),
    Step("train, one pass", 180, f"train {{w}}/mapped/ --out {{w}}/run --passes 1 {TRAIN}"),
    Step("embed, parquet", 60, "embed {w}/run --out {w}/z.parquet"),
    Step("evaluate, no controls", 60, f"{EVALUATE} none"),
    Step("control raw", None, f"{EVALUATE} raw"),
    Step("control untrained", None, f"{EVALUATE} untrained"),
    Step("control fastrp", None, f"{EVALUATE} fastrp"),
    Step("control fastrp-features", None, f"{EVALUATE} fastrp-features"),
)
EMBED, ALONE, CONTROL = "embed, parquet", "evaluate, no controls", "control "


def measure(nodes: list[int], out: Path, say: Callable[[str], None]) -> Report:
    """Every step at every number of nodes -> {folder, processor, versions, rows: [{nodes, step,
    cpu_seconds, seconds, peak_gib, bar, ok, error}]}. cpu_seconds of a control are those beyond
    evaluating without. The report is kept, row by row, in a new folder of out; the graphs and what
    commands write there are removed. OSError: the disk has no room; it cannot be written.
    ValueError: too few nodes."""
    if min(nodes, default=0) < 1000:
        raise ValueError(f"--nodes {','.join(map(str, nodes))}: expected at least 1000 each")
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    folder = out.resolve() / f"scale-{stamp}-{os.getpid()}"
    folder.mkdir(parents=True)
    try:
        refuse_small_disk(folder, max(nodes))
    except OSError:
        folder.rmdir()
        raise
    report: Report = {"folder": str(folder), **machine(), "rows": []}
    for n in nodes:
        place = folder / str(n)
        try:
            measure_one(n, place, report, say)
        finally:
            for name in ("graph", "work"):
                shutil.rmtree(place / name, ignore_errors=True)
    return report


def refuse_small_disk(folder: Path, n: int) -> None:
    """OSError names the folder: what is written for n nodes has no room there."""
    needed, free = DISK * n, shutil.disk_usage(folder).free
    if needed > free:
        text = f"{free >> 20} MiB are free on its disk, expected {needed >> 20} for {n} nodes"
        raise OSError(errno.ENOSPC, f"{text}; fewer --nodes, or another --out", str(folder))


def machine() -> Report:
    """What figures were measured with."""
    from nodejepa_ext.workers.machine import processor, versions

    return {"processor": processor(), "threads": 1, "versions": versions("pyarrow")}


def measure_one(n: int, place: Path, report: Report, say: Callable[[str], None]) -> None:
    """Adds the rows of n nodes; a step that fails has an error, and those after it are tried."""
    graph, work = place / "graph", place / "work"
    work.mkdir(parents=True)
    say(f"{n} nodes: making the graph")
    make = [sys.executable, "-m", "nodejepa_ext.bench.scale_graph", str(n), str(graph)]
    if (made := metered(make, place / "graph.log")).error:
        raise RuntimeError(f"the graph was not made: {made.error}")
    found: dict[str, Row] = {}
    for number, step in enumerate(STEPS):
        say(f"{n} nodes: {step.name}")
        words = [word.format(g=graph, w=work) for word in step.words.split()]
        words += ["--batch-nodes", str(min(BATCH, n // 4))] if words[0] == "train" else []
        command = [sys.executable, "-m", "nodejepa_ext", *words]
        row = {"nodes": n, "step": step.name} | metered(command, place / f"{number}.log")._asdict()
        judge(row, step, n, found)
        found[step.name] = row
        report["rows"].append(row)
        say(f"{n} nodes: {step.name}: {told(row)}")
        shutil.rmtree(work / "again", ignore_errors=True)
        with atomic(Path(report["folder"], REPORT)) as file:
            file.write(json.dumps(report, indent=1).encode())


def judge(row: Row, step: Step, n: int, found: dict[str, Row]) -> None:
    """Adds the bar and whether the row is below; found: the rows before, by step."""
    bar = step.bar
    if step.name.startswith(CONTROL):
        row["cpu_seconds"] -= found[ALONE]["cpu_seconds"]
        bar = found[EMBED]["cpu_seconds"]
    row["bar"] = bar if n == BARRED else None
    row["ok"] = not row["error"]
    if n == BARRED:
        row["ok"] &= row["cpu_seconds"] <= bar and row["peak_gib"] <= PEAK


def told(row: Row) -> str:
    """A row in words."""
    if row["error"]:
        return f"failed: {row['error']}"
    return f"{row['cpu_seconds']:.1f} CPU s, {row['peak_gib']:.2f} GiB"


def growths(report: Report) -> dict[str, float]:
    """Step -> how many times the CPU seconds of the fewest nodes those of the most are, a command's
    start included, where both were measured, of tenfold nodes; controls are as they were run."""
    counts = sorted({row["nodes"] for row in report["rows"]})
    if len(counts) < 2 or counts[-1] != 10 * counts[0]:
        return {}
    low, high = (by_step(report, n) for n in (counts[0], counts[-1]))
    both = [step for step in low if step in high and not step.startswith(CONTROL)]
    return {step: high[step]["cpu_seconds"] / low[step]["cpu_seconds"] for step in both}


def by_step(report: Report, n: int) -> dict[str, Row]:
    """The rows of n nodes that did not fail."""
    return {r["step"]: r for r in report["rows"] if r["nodes"] == n and not r["error"]}


def draw(report: Report) -> str:
    """The picture's name in the report's folder; "" without matplotlib, or where all failed."""
    if find_spec("matplotlib") is None or not any(row["ok"] for row in report["rows"]):
        return ""
    from nodejepa_ext.plots import scale

    scale.cost(report["rows"], Path(report["folder"], PICTURE))
    return PICTURE


def failed(report: Report) -> bool:
    """Whether a command failed or was above its bar."""
    slow = any(growth > GROWTH for growth in growths(report).values())
    return slow or not all(row["ok"] for row in report["rows"])


def tables(report: Report) -> list[Table | str]:
    """What was measured, and what graphs of others would take."""
    from rich.table import Table

    counts = sorted({row["nodes"] for row in report["rows"]})
    heads = [f"{n:,} nodes\n{unit}" for n in counts for unit in ("CPU s", "GiB")]
    table = Table("", *heads, "bar\nCPU s", "times", title="Commands", title_justify="left")
    grown = growths(report)
    for step in dict.fromkeys(row["step"] for row in report["rows"]):
        cells, bar = [], "-"
        for row in [r for r in report["rows"] if r["step"] == step]:
            failed_row = bool(row["error"])
            cells += ["failed", "-"] if failed_row else figures(row)
            bar = f"{row['bar']:.0f}" if row["bar"] else bar
        table.add_row(step, *cells, bar, f"{grown[step]:.1f}" if step in grown else "-")
    text = f"{report['processor']}, 1 thread, torch {report['versions']['torch']}; a bar is of "
    text += f"{BARRED:,} nodes, with {PEAK:.0f} GiB each and {GROWTH:.0f} times for ten times the"
    text += " nodes; controls are what they take beyond evaluating without, at most an `embed`"
    errors = [
        f"{r['nodes']} nodes, {r['step']}: {r['error']}" for r in report["rows"] if r["error"]
    ]
    paper = scale_paper.estimates(report)
    return [table, text, *errors, *([scale_paper.table(paper)] if paper else [])]


def figures(row: Row) -> list[str]:
    """CPU seconds and GiB, with a mark where they are above a bar."""
    above = row["bar"] is not None and row["cpu_seconds"] > row["bar"]
    large = row["bar"] is not None and row["peak_gib"] > PEAK
    marks = ["!" if bad else "" for bad in (above, large)]
    return [f"{row['cpu_seconds']:.1f}{marks[0]}", f"{row['peak_gib']:.2f}{marks[1]}"]
