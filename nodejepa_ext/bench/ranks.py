"""What a second process is worth to one training: nodes a second of two ranks over one.

Apart from batches.py, which measures one process. Each rank is a process of its own
(`python -m nodejepa_ext.bench.ranks`) on one thread, in the environment that torchrun sets; a rank
alone is a training without a group. Timed is a whole pass over the nodes, its cut with it, after
another, and then an evaluation without labels: all nodes embedded, and rank 0's meters of collapse.
Runs of one and of two take turns, so that what else the machine does meets both.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from socket import socket
from typing import TYPE_CHECKING, Any

from nodejepa_ext.bench.process import environment
from nodejepa_ext.workers.machine import processor

if TYPE_CHECKING:
    from rich.table import Table
    from torch_geometric.data import Data

    from nodejepa_ext.training.ranks import Alone

NODES, EDGES, FEATURES = 50_000, 500_000, 128
WIDTH, BATCH = 256, 4096
SIZES = 1, 2  # processes
LIMIT = 3600  # seconds of a run
Row = dict[str, Any]


def random_graph() -> Data:
    """x [N, F] and EDGES undirected edges, both ways; no labels."""
    import torch
    from torch_geometric.data import Data

    generator = torch.Generator().manual_seed(0)
    once = torch.randint(0, NODES, (2, EDGES), generator=generator)
    x = torch.randn(NODES, FEATURES, generator=generator)
    return Data(x=x, edge_index=torch.cat([once, once.flip(0)], 1))


def timed(ranks: Alone) -> Row:
    """Of this rank, in the second pass: seconds, CPU seconds, and nodes that all ranks saw; and the
    seconds of the evaluation at the end, less a step that precedes it."""
    import torch

    import run_full

    torch.set_num_threads(1)
    subgraphs = math.ceil(NODES / BATCH)
    steps, stamps = math.ceil(subgraphs / ranks.size), list[tuple[float, float]]()
    cfg = replace(run_full.BEST, hidden=WIDTH, out=WIDTH, device="cpu", precision="fp32")
    cfg = replace(cfg, epochs=2 * steps + 2, eval_every=0)  # the last one has the evaluation
    data = random_graph()
    state = run_full.TrainState.new(cfg, data, run_full.Encoder, run_full.MLPPredictor)

    def stamp(state: run_full.TrainState, row: dict[str, float]) -> None:
        stamps.append((time.monotonic(), time.process_time()))

    ranks.train(cfg, data, BATCH, state=state, on_epoch=stamp)
    (began, cpu_began), (ended, cpu_ended) = stamps[steps - 1], stamps[2 * steps - 1]
    nodes = steps * ranks.size * NODES / subgraphs
    found = {"seconds": ended - began, "cpu_seconds": cpu_ended - cpu_began, "nodes": nodes}
    judged = stamps[2 * steps + 1][0] - stamps[2 * steps][0] - (ended - began) / steps
    return found | {"evaluation": judged}  # the step before it began another pass


def here() -> None:
    """One rank, as the environment says; prints what it found."""
    from nodejepa_ext.training.ranks import Alone, several

    if not several():
        return print(json.dumps(timed(Alone())))
    from nodejepa_ext.training.meeting import join

    group = join(lambda: 0)
    found = timed(group)
    group.wait()
    group.leave()
    print(json.dumps(found))


def run(size: int) -> Row:
    """So many processes -> nodes a second, by the clock of rank 0, and a CPU second of all, and the
    seconds of an evaluation. error: the last line of one that failed."""
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    common = environment() | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    common |= {"WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    row: Row = {"processes": size, "load": os.getloadavg()[0]}
    command, pipe = [sys.executable, "-m", "nodejepa_ext.bench.ranks"], subprocess.PIPE
    begun = [
        subprocess.Popen(
            command, env=common | {"RANK": str(r)}, stdout=pipe, stderr=pipe, text=True
        )
        for r in range(size)
    ]
    try:
        ends = [process.communicate(timeout=LIMIT) for process in begun]
    finally:
        for process in begun:
            process.kill()
    for process, (_, err) in zip(begun, ends, strict=True):
        if process.returncode:
            said = err.strip().splitlines() or [f"exit code {process.returncode}"]
            return row | {"error": said[-1]}
    found = [json.loads(out.splitlines()[-1]) for out, _ in ends]
    nodes, cpu = found[0]["nodes"], sum(one["cpu_seconds"] for one in found)
    return row | {
        "nodes_per_second": nodes / found[0]["seconds"],
        "nodes_per_cpu_second": nodes / cpu,
        "evaluation": found[0]["evaluation"],
    }


def measure_all(rounds: int, say: Callable[[str], None]) -> Row:
    """So many runs of each, taking turns -> rows, medians, and two over one, the median of rounds:
    by the clock, and as CPU seconds would have it on idle cores without a wait."""
    rows: list[Row] = []
    for number in range(rounds):
        for size in SIZES:
            say(f"round {number + 1} of {rounds}, {size} process(es)")
            rows.append(run(size))
    report: Row = {"processor": processor(), "cores": os.cpu_count(), "threads": 1, "rows": rows}
    report |= {"nodes": NODES, "edges": EDGES, "features": FEATURES}
    report |= {"width": WIDTH, "batch_nodes": BATCH, "rounds": rounds}
    if any("error" in row for row in rows):
        return report
    for name in ("nodes_per_second", "nodes_per_cpu_second"):
        one, two = ([r[name] for r in rows if r["processes"] == size] for size in SIZES)
        report[name] = [statistics.median(one), statistics.median(two)]
        times = 1 if name == "nodes_per_second" else 2
        report[f"ratio_of_{name}"] = times * statistics.median(
            b / a for a, b in zip(one, two, strict=True)
        )
    report["evaluation"] = [
        statistics.median(r["evaluation"] for r in rows if r["processes"] == size) for size in SIZES
    ]
    return report


def table(report: Row) -> Table:
    """Of what `measure_all` found."""
    from rich.table import Table

    title = "{nodes} nodes, {edges} edges, {features} features; GCN of two layers of {width}; "
    title += "{batch_nodes} nodes a process and step"
    table = Table("processes", title=title.format(**report), title_justify="left")
    for name in ("nodes a second", "nodes a CPU second", "evaluation, s", "load before"):
        table.add_column(name, justify="right")
    for row in report["rows"]:
        cells = [row.get("error", "")] * 3
        if "error" not in row:
            cells = [f"{row['nodes_per_second']:.0f}", f"{row['nodes_per_cpu_second']:.0f}"]
            cells.append(f"{row['evaluation']:.2f}")
        table.add_row(str(row["processes"]), *cells, f"{row['load']:.1f}")
    text = "{processor}, {cores} cores, {threads} thread a process"
    if "nodes_per_second" in report:
        text += "; two over one, median of {rounds}: {ratio_of_nodes_per_second:.2f} by the clock, "
        text += "{ratio_of_nodes_per_cpu_second:.2f} by CPU seconds"
    table.caption = text.format(**report)
    return table


if __name__ == "__main__":
    here()
