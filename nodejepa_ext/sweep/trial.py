"""A worker's part of a sweep: one configuration, trained on some seeds -> its figures.

Run as `python -m nodejepa_ext.sweep.trial` by the supervisor. It knows nothing of studies: it is
given a job, reports how far it is and how good, and hears whether to go on.
"""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch_geometric.data import Data

import run_full
from nodejepa_ext.judging.development import development_accuracy
from nodejepa_ext.sweep.place import ran_on
from nodejepa_ext.workers.job import check_seat, duration, judged, load
from nodejepa_ext.workers.supervisor import Job, Report, serve
from run_full import Config, RunError, StopTraining, TrainState

REPORTS = 20  # of a trial, at most


@dataclass
class Progress:
    """What a trial has told: twentieths of its work, and its objective so far; where that is
    development accuracy, validation accuracy in its place, which is there while it trains."""

    job: Job
    report: Report
    values: list[float]  # the running objective of the seeds that are finished, at their ends
    told: int = 0
    pruned: bool = False

    def hook(self, state: TrainState, row: dict[str, float]) -> None:
        """After an evaluation: reports, if another twentieth is done. StopTraining: pruned."""
        if "effective_rank" not in row:
            return
        cfg, seeds = state.cfg, len(self.job["seeds"])
        share = (len(self.values) + state.step / cfg.epochs) / seeds
        step = int(REPORTS * share + 1e-9)
        if step <= self.told:
            return
        self.told = step
        now = state.best.get("val", 0.0)
        if self.job["objective"] == "rankme":
            now = row["effective_rank"] / cfg.latent
        value = (sum(self.values) + now) / (len(self.values) + 1)
        self.pruned = not self.report({"step": step, "value": value}) and step < REPORTS
        if self.pruned:
            raise StopTraining


def work(job: Job, report: Report) -> dict[str, Any]:
    """-> {"outcome", "message", "rows", "value", ...} of a job {"graph", "data", "config", "seeds",
    "objective", "final", "device"}; or, if it is a "timing", the seconds of one seed."""
    check_seat(job.get("device", ""))
    data, cfg = load(job["graph"], job["data"]), Config(**job["config"])
    if job.get("timing"):
        return {"seconds": duration(cfg, data, {})}
    cpu, wall, progress = time.process_time(), time.monotonic(), Progress(job, report, [])
    rows: list[dict[str, Any]] = []
    answer: dict[str, Any] = {"outcome": "ok", "message": "", "rows": rows}
    answer |= ran_on(cfg) | card(cfg)
    for seed in job["seeds"]:
        try:
            rows.append(row_of(job, replace(cfg, seed=seed), data, progress))
        except RunError as error:
            return answer | spent(cpu, wall) | {"outcome": "diverged", "message": error.args[0]}
        if progress.pruned:
            return answer | spent(cpu, wall) | {"outcome": "pruned"}
    figure = "rank" if job["objective"] == "rankme" else str(job["objective"])
    return answer | spent(cpu, wall) | {"value": sum(row[figure] for row in rows) / len(rows)}


def card(cfg: Config) -> dict[str, Any]:
    """The GPU's name, or None."""
    device, _ = run_full.placement(cfg)
    return {"card": torch.cuda.get_device_name(device) if device.type == "cuda" else None}


def row_of(job: Job, cfg: Config, data: Data, progress: Progress) -> dict[str, Any]:
    """One seed. With the label-free objective, labels are not even there while it trains."""
    cpu, blind = time.process_time(), job["objective"] == "rankme"
    seen = Data(x=data.x, edge_index=data.edge_index, edge_weight=data.edge_weight)
    result = run_full.train(cfg, seen if blind else data, on_epoch=progress.hook)
    state = result.state
    result = replace(run_full.linear_probe(result.z, data), state=state) if blind else result
    row = judged(result, job["final"]) | {"seed": cfg.seed}
    row["rank"] = row["effective_rank"] / cfg.latent
    if job["objective"] == "dev" and not progress.pruned:
        row["dev"] = development_accuracy(result.z, data)["mean"]
    if not progress.pruned:
        progress.values.append(row["rank"] if blind else row["val"])
    return row | {"cpu_seconds": time.process_time() - cpu}


def spent(cpu: float, wall: float) -> dict[str, Any]:
    """Since then, and the most memory that this process has held, on its GPU if it has one."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 2**10
    peak = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else peak
    times = {"cpu_seconds": time.process_time() - cpu, "wall_seconds": time.monotonic() - wall}
    return times | {"peak_mib": peak / 2**20}


if __name__ == "__main__":
    serve(work)
