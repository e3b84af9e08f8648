"""What workers of an ablation and of a sweep share: the graph, a timing, a result's figures."""

from __future__ import annotations

import math
import os
import time
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from torch_geometric.data import Data

import run_full
from run_full import Config, Result, StopTraining, TrainState

WARM, TIMED = 1, 3  # steps of a timing; where they are told in tens, 10 and 10
LONG = 21  # epochs, of which the last, which is judged, is never reached


def check_seat(kind: str) -> None:
    """RuntimeError, in words that `faults` takes for the machine's: the supervisor has devices of
    this kind, and this worker does not find its own. Else "auto" would train on the CPU."""
    if kind == "cuda" and run_full.accelerator() != "cuda":
        seat = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        raise RuntimeError(f"CUDA device {seat}: its worker does not find it")


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
    stamps: list[tuple[int, float]] = []  # steps that were done, and when

    def hook(state: TrainState, row: dict[str, float]) -> None:
        """An EpochHook, which a GPU calls for ten steps at once."""
        if row is state.rows[-1] and state.step >= WARM:
            stamps.append((state.step, time.monotonic()))
        if state.step >= WARM + TIMED and len(stamps) > 1:
            raise StopTraining

    short = replace(cfg, eval_every=0, epochs=max(cfg.epochs, LONG))
    run_full.train(short, data, **seams, on_epoch=hook)
    (first, began), (last, ended) = stamps[0], stamps[-1]
    step, probe = (ended - began) / (last - first), time.monotonic() - ended
    probes = math.ceil(cfg.epochs / cfg.eval_every) if cfg.eval_every else 1
    return cfg.epochs * step + probes * probe
