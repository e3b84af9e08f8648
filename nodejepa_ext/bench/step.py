"""Speed and memory of one training step: the reference, plain PyG, and graphssl if installed.

Every figure comes from a process of its own on one thread, `python -m nodejepa_ext.bench.step
METHOD GRAPH STEPS SKIP`. Seconds are of CPU time. Memory is the peak of the resident set from the
first line that touches the graph on, less what the process held once all was imported, in MiB.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nodejepa_ext.bench.process import fresh
from nodejepa_ext.workers.machine import processor, versions
from nodejepa_ext.workers.memory import resident

if TYPE_CHECKING:
    from rich.table import Table
    from torch_geometric.data import Data

    from run_full import Config, TrainState

WARMUP = 3  # steps before the clock counts: allocations, and the optimiser's state
HIDDEN, OUT = 512, 256
TEXTBOOK, GRAPHSSL = "textbook PyG", "graphssl BGRL"
PRECISION = {"ours, fp32": "fp32", "ours, default": "auto"}
METHODS = (*PRECISION, TEXTBOOK, GRAPHSSL)


class Meter:
    """CPU seconds between steps and peak memory above that of the moment it was made."""

    def __init__(self) -> None:
        self.stamps: list[float] = []
        self.peak = 0.0  # MiB
        try:  # from here on VmHWM is the peak since now, not since the process began
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:
            pass
        self.base = resident("VmRSS")

    def tick(self) -> None:
        """After every step."""
        self.peak = resident("VmHWM") - self.base
        self.stamps.append(time.process_time())

    def row(self, note: str) -> dict[str, Any]:
        """seconds: the median over the steps after the warm-up; peak_mib; note."""
        timed = self.stamps[WARMUP - 1 :]
        seconds = statistics.median(b - a for a, b in zip(timed, timed[1:], strict=False))
        return {"seconds": seconds, "peak_mib": self.peak, "note": note}


def settings(graph: str, method: str, steps: int, skip: str) -> Config:
    """The card's settings for the graph, with GCN everywhere; never an epoch that would probe."""
    from run_full import preset

    return replace(
        preset("card", graph),
        encoder="gcn",
        skip=skip,
        hidden=HIDDEN,
        out=OUT,
        device="cpu",
        precision=PRECISION.get(method, "fp32"),
        epochs=WARMUP + steps + 1,
        eval_every=0,
    )


def unlabelled(graph: str) -> Data:
    """The graph without y and masks: what pre-training sees, and no probe can follow it."""
    from torch_geometric.data import Data

    from run_full import load_graph

    data = load_graph(graph)
    return Data(x=data.x, edge_index=data.edge_index)


def measure_ours(method: str, graph: str, steps: int, skip: str) -> dict[str, Any]:
    """The reference's own loop, stopped from its hook before the last epoch."""
    import run_full

    cfg, meter = settings(graph, method, steps, skip), Meter()

    def hook(state: TrainState, row: dict[str, float]) -> None:
        meter.tick()
        if state.step == WARMUP + steps:
            raise run_full.StopTraining

    run_full.train(cfg, unlabelled(graph), on_epoch=hook)
    return meter.row("bf16 products" if run_full.placement(cfg)[1] else "fp32")


def measure_textbook(method: str, graph: str, steps: int, skip: str) -> dict[str, Any]:
    """The same step on dense features and stock modules."""
    from nodejepa_ext.bench.textbook import Textbook

    cfg, meter = settings(graph, method, steps, skip), Meter()
    textbook = Textbook(cfg, unlabelled(graph))
    for _ in range(WARMUP + steps):
        textbook.step()
        meter.tick()
    return meter.row("fp32")


def measure_graphssl(method: str, graph: str, steps: int, skip: str) -> dict[str, Any]:
    """Its BGRL by its own trainer. It has one pair of rates for both views (view 1's are given),
    and neither [MASK] nor skip connections: less work than ours."""
    import torch
    from graphssl.encoders import GCNEncoder
    from graphssl.models import BGRL
    from graphssl.training import DINOTrainer

    cfg, meter = settings(graph, method, steps, skip), Meter()
    data = unlabelled(graph)
    rates = [{"name": "edge_drop", "p": cfg.edge1}, {"name": "feat_mask", "p": cfg.feat1}]
    widths = {"name": "gcn", "hidden_dim": OUT, "num_layers": 2, "pool": False}
    model = BGRL({"encoder": widths, "augment": rates, "pred_hidden": 512}, data.x.shape[1])
    for name in ("online_enc", "target_enc"):  # its settings have one width for all layers
        setattr(model, name, GCNEncoder(data.x.shape[1], HIDDEN, OUT))
    model.target_enc.requires_grad_(False)
    optimizer = torch.optim.AdamW(model.student_parameters(), cfg.lr, weight_decay=cfg.weight_decay)
    trainer = DINOTrainer(grad_clip_norm=None, device="cpu")  # ours clips nothing either
    for _ in range(WARMUP + steps):
        trainer.train_epoch(model, [data], optimizer)
        meter.tick()
    return meter.row(f"graphssl {version('graphssl')}, fp32, no [MASK], no skip")


def measure(method: str, graph: str, steps: int, skip: str) -> dict[str, Any]:
    """Here and now, in this process -> seconds a step, peak_mib, note."""
    import torch

    import run_full  # noqa: F401  imports count in no one's memory

    torch.set_num_threads(1)
    how = {TEXTBOOK: measure_textbook, GRAPHSSL: measure_graphssl}.get(method, measure_ours)
    return how(method, graph, steps, skip)


def startup(times: int = 5) -> float:
    """CPU seconds of `nodejepa-ext --help`, user and system: the median of so many processes."""
    from resource import RUSAGE_CHILDREN, getrusage

    spent = [sum(getrusage(RUSAGE_CHILDREN)[:2])]
    for _ in range(times):
        fresh("nodejepa_ext", "--help").check_returncode()
        spent.append(sum(getrusage(RUSAGE_CHILDREN)[:2]))
    return statistics.median(b - a for a, b in zip(spent, spent[1:], strict=False))


def spawn(method: str, graph: str, steps: int, skip: str) -> dict[str, Any]:
    """`measure` in a fresh process -> what it says, or error: the last line of its stderr."""
    if method == GRAPHSSL and find_spec("graphssl") is None:
        return {"note": "not installed"}
    done = fresh("nodejepa_ext.bench.step", method, graph, str(steps), skip)
    lines = done.stdout.splitlines()
    if done.returncode == 0 and lines:
        return dict(json.loads(lines[-1]))
    said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
    return {"error": said[-1]}


def combine(graph: str, method: str, rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """One row of the report: medians over the rounds, or the first error."""
    error = next((r["error"] for r in rounds if "error" in r), None)
    row: dict[str, Any] = {"graph": graph, "method": method, "seconds_per_step": None}
    row |= {"times_as_fast": None, "peak_mib": None, "share_of_textbook_peak": None}
    row |= {"note": rounds[0].get("note", ""), "error": error, "rounds": rounds}
    if error is None and "seconds" in rounds[0]:
        row["seconds_per_step"] = statistics.median(r["seconds"] for r in rounds)
        row["peak_mib"] = statistics.median(r["peak_mib"] for r in rounds)
    return row


def compare(rows: list[dict[str, Any]]) -> None:
    """Fills in each row's figures against the textbook's of the same graph, where both are."""
    base = {r["graph"]: r for r in rows if r["method"] == TEXTBOOK and r["seconds_per_step"]}
    for row in rows:
        book = base.get(row["graph"])
        if book and row["seconds_per_step"]:
            row["times_as_fast"] = book["seconds_per_step"] / row["seconds_per_step"]
            row["share_of_textbook_peak"] = row["peak_mib"] / book["peak_mib"]


def measure_all(
    graphs: list[str], steps: int, rounds: int, skip: str, progress: Callable[[str], None]
) -> dict[str, Any]:
    """Every method on every graph, the methods taking turns within a round; then the command's
    start. -> the report: processor, versions, settings, startup_seconds, and rows [{graph, method,
    seconds_per_step, times_as_fast, peak_mib, share_of_textbook_peak, note, error, rounds}], None
    where nothing was measured."""
    rows = []
    for graph in graphs:
        taken: dict[str, list[dict[str, Any]]] = {method: [] for method in METHODS}
        for turn in range(rounds):
            for method in METHODS:
                progress(f"{graph}, {method}, round {turn + 1} of {rounds}")
                taken[method].append(spawn(method, graph, steps, skip))
        rows += [combine(graph, method, taken[method]) for method in METHODS]
    compare(rows)
    progress("nodejepa-ext --help")
    report: dict[str, Any] = {"processor": processor(), "threads": 1}
    report |= {"versions": versions()}
    report |= {"preset": "card", "encoder": "gcn", "hidden": HIDDEN, "out": OUT, "skip": skip}
    report |= {"startup_seconds": startup()}
    return report | {"warmup": WARMUP, "steps": steps, "rounds": rounds, "rows": rows}


def figure(value: float | None, pattern: str) -> str:
    return "-" if value is None else pattern.format(value)


def tables(report: dict[str, Any]) -> list[Table | str]:
    """A Rich table a graph, then the line that says where the figures come from."""
    from rich.table import Table

    parts: list[Table | str] = []
    for graph in dict.fromkeys(row["graph"] for row in report["rows"]):
        table = Table("", title=f"{graph}: one training step", title_justify="left")
        for name in ("CPU s", "times as fast", "peak MiB", "of textbook's"):
            table.add_column(name, justify="right")
        table.add_column("")
        for row in (r for r in report["rows"] if r["graph"] == graph):
            table.add_row(
                row["method"],
                figure(row["seconds_per_step"], "{:.3f}"),
                figure(row["times_as_fast"], "{:.1f}"),
                figure(row["peak_mib"], "{:.0f}"),
                figure(row["share_of_textbook_peak"], "{:.0%}"),
                row["note"],
            )
        parts.append(table)
    for row in report["rows"]:
        if row["error"]:
            parts.append(f"{row['graph']}, {row['method']}: failed: {row['error']}")
    parts.append(
        f"{report['processor']}, {report['threads']} thread, torch {report['versions']['torch']}, "
        f"torch-geometric {report['versions']['torch-geometric']}; median of {report['steps']} "
        f"steps, {report['rounds']} round(s); card preset, GCN, hidden {report['hidden']}, "
        f"out {report['out']}, skip {report['skip']}; peak above that of the imports. "
        f"nodejepa-ext --help takes {report['startup_seconds']:.2f} CPU s."
    )
    return parts


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])))
