"""What workers of an ablation and of a sweep share: the graph, a timing, a result's figures."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from torch_geometric.data import Data

import run_full
from run_full import Config, Result, StopTraining, TrainState

WARM, TIMED = 1, 3  # steps of a timing


@cache
def load(graph: str, folder: str | None) -> Data:
    """The embedded graph, read once a process; folder: where its file is, if not here."""
    return run_full.load_graph(graph, Path(folder) if folder else None)


def judged(result: Result, final: bool) -> dict[str, Any]:
    """Figures of a result; test nodes are looked at in a final table alone."""
    row: dict[str, Any] = {"val": result.val, "c": result.c, "scaling": result.scaling}
    row |= run_full.collapse(result.z)
    if result.state:
        curve = [r for r in result.state.rows if "effective_rank" in r]
        row |= {"epoch": result.state.best.get("epoch", 0), "curve": curve}
    return row | ({"test": run_full.score_test(result)} if final else {})


def duration(cfg: Config, data: Data, seams: dict[str, Any]) -> float:
    """Seconds of a training, from a few steps and one probe."""
    stamps: list[float] = []

    def hook(state: TrainState, row: dict[str, float]) -> None:
        stamps.append(time.monotonic())
        if len(stamps) == WARM + TIMED:
            raise StopTraining

    short = replace(cfg, eval_every=0, epochs=max(cfg.epochs, WARM + TIMED + 1))
    run_full.train(short, data, **seams, on_epoch=hook)
    step, probe = (stamps[-1] - stamps[WARM - 1]) / TIMED, time.monotonic() - stamps[-1]
    probes = math.ceil(cfg.epochs / cfg.eval_every) if cfg.eval_every else 1
    return cfg.epochs * step + probes * probe
