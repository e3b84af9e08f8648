"""Memory and time of training on subgraphs of a graph that is large for one machine.

Apart from step.py, whose graphs fit and whose steps are of the whole graph. The figures come from
a process of its own (`python -m nodejepa_ext.bench.batches STEPS`) on one thread: the peak of the
resident set in MiB, and seconds of CPU time.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nodejepa_ext.bench.process import fresh
from nodejepa_ext.workers.machine import processor
from nodejepa_ext.workers.memory import resident

if TYPE_CHECKING:
    from rich.table import Table
    from torch_geometric.data import Data

NODES, EDGES, FEATURES = 200_000, 2_000_000, 128
WIDTH, BATCH = 256, 8192
Report = dict[str, Any]


def random_graph() -> Data:
    """x [N, F] and about EDGES undirected edges, both ways; no labels."""
    import torch
    from torch_geometric.data import Data

    generator = torch.Generator().manual_seed(0)
    once = torch.randint(0, NODES, (2, EDGES), generator=generator)
    x = torch.randn(NODES, FEATURES, generator=generator)
    return Data(x=x, edge_index=torch.cat([once, once.flip(0)], 1))


def measure(steps: int) -> Report:
    """Here and now: settings of `best`, a first step to warm up, so many that count, and one more
    with the evaluation, then an inference by itself."""
    import torch

    import run_full
    from nodejepa_ext.training import batches
    from nodejepa_ext.training.memory import Sizes

    torch.set_num_threads(1)
    base, stamps = resident("VmRSS"), list[float]()
    cfg = replace(run_full.BEST, hidden=WIDTH, out=WIDTH, device="cpu")
    cfg, data = replace(cfg, epochs=steps + 2, eval_every=0), random_graph()
    sizes = Sizes.of(data)
    result = batches.train(
        cfg, data, BATCH, on_epoch=lambda state, row: stamps.append(time.process_time())
    )
    assert result.state
    began = time.process_time()
    batches.embed(result.state.encoder, data, BATCH)
    found: Report = {
        "inference_seconds": time.process_time() - began,
        "peak_mib": resident("VmHWM"),
    }
    found["above_imports_mib"] = found["peak_mib"] - base
    pairs = zip(stamps[:-1], stamps[1:-1], strict=False)
    found["step_seconds"] = statistics.median(b - a for a, b in pairs)
    found |= {"nodes": NODES, "edges": EDGES, "features": FEATURES, "steps": steps}
    found |= {"hidden": WIDTH, "out": WIDTH, "batch_nodes": BATCH}
    for name, batch in (("predicted_mib", BATCH), ("full_batch_mib", 0)):
        found[name] = sizes.training(cfg, batch) / 2**20
    return found


def spawn(steps: int) -> Report:
    """`measure` in a fresh process, or error: the last line of its stderr."""
    done = fresh("nodejepa_ext.bench.batches", str(steps))
    report: Report = {"processor": processor(), "threads": 1}
    if done.returncode == 0:
        return report | json.loads(done.stdout.splitlines()[-1])
    said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
    return report | {"error": said[-1]}


def table(report: Report) -> Table:
    """Of what `spawn` found."""
    from rich.table import Table

    title = "{nodes} nodes, {edges} edges, {features} features; hidden {hidden}, out {out}"
    table = Table("", "", title=title.format(**report), title_justify="left", show_header=False)
    for name, text in (
        ("peak MiB", "{peak_mib:.0f}, of which {above_imports_mib:.0f} above the imports"),
        ("predicted, above the graph", "{predicted_mib:.0f}"),
        ("predicted for the whole graph at once", "{full_batch_mib:.0f}"),
        ("CPU s a step of {batch_nodes} nodes", "{step_seconds:.2f}, median of {steps}"),
        ("CPU s of embedding all nodes", "{inference_seconds:.1f}"),
    ):
        table.add_row(name.format(**report), text.format(**report))
    table.caption = "{processor}, {threads} thread; GCN, settings of `best`".format(**report)
    return table


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]))))
