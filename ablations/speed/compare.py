"""Two trees of this project, step against step: losses, CPU seconds and peak memory in one run.

`python ablations/speed/compare.py OLD NEW` with the folders of two checkouts. Every figure comes
from a process of its own on one thread, old and new in turn. Settings are those that `card`, `best`
and `bgrl` had in the older tree, so `card` is with its linear skip connection and a GCN everywhere.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
import warnings
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

WARM = 3  # steps before the clock counts
STEPS = {"cora": 8, "citeseer": 8, "pubmed": 7}  # that count
ROUNDS = 3
GRAPHS = ("cora", "citeseer", "pubmed")


def memory(field: str) -> float:
    """MiB, of /proc/self/status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def settings(tree: Path, graph: str, method: str) -> dict[str, Any]:
    """Of the older tree, which has all three presets and a skip connection that is a bool."""
    sys.path.insert(0, str(tree))
    import run_full

    cfg = run_full.preset(method, graph)
    if method == "card":
        cfg = replace(cfg, encoder="gcn")
    return asdict(cfg)


def measure(tree: Path, graph: str, precision: str, given: dict[str, Any]) -> dict[str, Any]:
    """Here and now: {losses, seconds, peak_mib} of a few steps without labels."""
    warnings.simplefilter("ignore")
    sys.path.insert(0, str(tree))
    import torch
    from torch_geometric.data import Data

    import run_full

    torch.set_num_threads(1)
    if isinstance(run_full.Config().skip, str):
        given["skip"] = "linear" if given["skip"] else "none"
    cfg = run_full.Config(**given | {"precision": precision, "eval_every": 0, "device": "cpu"})
    cfg = replace(cfg, epochs=max(cfg.epochs, 20))
    data = run_full.load_graph(graph)
    losses, stamps, peaks = list[float](), list[float](), list[float]()
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM: the peak from here on
    base = memory("VmRSS")

    def hook(state: Any, row: dict[str, float]) -> None:
        """After a step; ends the run after the last that counts."""
        losses.append(row["loss"])
        stamps.append(time.process_time())
        peaks.append(memory("VmHWM") - base)
        if len(losses) == WARM + STEPS[graph]:
            raise run_full.StopTraining

    run_full.train(cfg, Data(x=data.x, edge_index=data.edge_index), on_epoch=hook)
    timed = stamps[WARM - 1 :]
    seconds = statistics.median(b - a for a, b in zip(timed, timed[1:], strict=False))
    return {"losses": losses, "seconds": seconds, "peak_mib": peaks[-1]}


def spawn(*words: str) -> Any:
    done = subprocess.run([sys.executable, __file__, *words], capture_output=True, check=True)
    return json.loads(done.stdout)


def compare(old: str, new: str) -> None:
    """A line of JSON a graph, method and precision."""
    for method, precision in (
        ("card", "fp32"),
        ("card", "auto"),
        ("best", "fp32"),
        ("bgrl", "fp32"),
    ):
        for graph in GRAPHS:
            given = json.dumps(spawn("settings", old, graph, method))
            rounds = [
                [spawn("measure", tree, graph, precision, given) for tree in (old, new)]
                for _ in range(ROUNDS)
            ]
            row: dict[str, Any] = {"graph": graph, "method": method, "precision": precision}
            for name in ("seconds", "peak_mib"):
                for i, tree in enumerate(("old", "new")):
                    row[f"{name}_{tree}"] = statistics.median(r[i][name] for r in rounds)
                ratios = [r[1][name] / r[0][name] for r in rounds]
                row[f"{name}_ratios"] = ratios
            pairs = zip(rounds[0][0]["losses"], rounds[0][1]["losses"], strict=True)
            row["loss_off"] = max(abs(a - b) / max(abs(a), 0.05) for a, b in pairs)
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    what, *words = sys.argv[1:]
    if what == "settings":
        print(json.dumps(settings(Path(words[0]), *words[1:])))
    elif what == "measure":
        print(json.dumps(measure(Path(words[0]), words[1], words[2], json.loads(words[3]))))
    else:
        compare(what, words[0])
