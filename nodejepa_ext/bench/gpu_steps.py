"""What a GPU does within a process: the CPU's results, their like twice, a step's time and memory.

Apart from gpu_runs.py, which runs whole commands; gpu.py puts both together. Nothing here is
probed: graphs come without labels. Shapes: N nodes, D latents.
"""

from __future__ import annotations

import math
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

import run_full
from nodejepa_ext.bench.step import unlabelled
from nodejepa_ext.parts.choice import Parts, Settings, seams
from nodejepa_ext.parts.objectives import OBJECTIVES
from nodejepa_ext.training.batches import Prepared, prepared
from nodejepa_ext.training.memory import SHARE, Sizes
from nodejepa_ext.training.settings import PRESETS, preset
from run_full import Config, RunError, TrainState

Row = dict[str, Any]
WARMUP = 3  # steps before the clock counts, where there are more
FAR = 5e-3  # relative difference of losses in fp32, at most
FLOOR = 0.05  # of a loss that others are relative to: a cosine passes 0
NODES = 1024  # of a subgraph
TINY: Settings = {"hidden": 32, "out": 32}  # of a dry run
EXTRAS: dict[str, tuple[Settings, Parts, int]] = {  # changes of `card`, parts, nodes of a subgraph
    "gat, [REG]": ({"encoder": "gat", "reg_node": True}, Parts(), 0),
    "own features": ({"own_features": True, "target_hops": 1}, Parts(), 0),
    "skip linear": ({"skip": "linear"}, Parts(), 0),
    "skip input": ({"skip": "input"}, Parts(), 0),
    "one-layer predictor": ({"predictor": 1, "target": "frozen"}, Parts(), 0),
    "laplacian": ({}, Parts(laplacian_pe=True), 0),
    "bfs mask": ({}, Parts(bfs_mask=True), 0),
    "degree mask": ({}, Parts(degree_mask=True), 0),
    "subgraphs": ({}, Parts(), NODES),
    "subgraphs, gat": ({"encoder": "gat"}, Parts(), NODES),
}
EXTRAS |= {
    name: ({"regulariser_weight": weight}, Parts(objective=name), 0)
    for name, (_, weight) in OBJECTIVES.items()
}
WIDE: dict[str, tuple[Settings, int]] = {  # changes of `card` that need memory, nodes of a subgraph
    "hidden 4096": ({"hidden": 4096, "out": 2048}, 0),
    "gat": ({"encoder": "gat"}, 0),
    "online": ({"target": "online", "regulariser": "decorrelation", "hidden": 2048}, 0),
    "subgraphs": ({"hidden": 2048}, NODES),
}


@dataclass(frozen=True)
class Place:
    """Where and how much a check measures."""

    device: str
    folder: Path  # for what commands write
    progress: Callable[[str], None]
    graphs: tuple[str, ...] = tuple(run_full.GRAPHS)
    equal_steps: int = 20  # a GPU tells of ten at once
    timed_steps: int = 50
    tiny: bool = False  # a dry run: narrow layers

    def of(self, cfg: Config, **more: Any) -> Config:
        """cfg on the device, as wide as this check has it, never an epoch that would be judged."""
        epochs = max(cfg.epochs, self.equal_steps + 1, self.timed_steps + 1)
        cfg = replace(cfg, device=self.device, eval_every=0, epochs=epochs)
        return replace(cfg, **(more | TINY if self.tiny else more))


@dataclass(frozen=True)
class Case:
    """Settings that are run; nodes: of a subgraph, or 0."""

    graph: str
    name: str
    cfg: Config
    parts: Parts = field(default_factory=Parts)
    nodes: int = 0

    def names(self) -> Row:
        return {"graph": self.graph, "case": self.name}


@dataclass(frozen=True)
class Steps:
    """What some steps did."""

    losses: list[float]
    z: Tensor  # [N, D] after the last, on the cpu
    ms: float  # the median step, after those to warm up


def presets(place: Place) -> Iterator[Case]:
    """Every preset on every graph."""
    for graph in place.graphs:
        for name in PRESETS:
            yield Case(graph, name, place.of(preset(name, graph), precision="fp32"))


def extras(place: Place) -> Iterator[Case]:
    """Every part and objective, on the first graph."""
    graph = place.graphs[0]
    card = preset("card", graph)
    for name, (changes, parts, nodes) in EXTRAS.items():
        cfg = place.of(card, precision="fp32", **changes)
        yield Case(graph, name, cfg, parts, nodes)


def wide(place: Place) -> Iterator[Case]:
    """What takes much memory, on the graph with the most nodes."""
    graph = place.graphs[-1]
    card = replace(preset("card", graph), encoder="gcn")
    for name, (changes, nodes) in WIDE.items():
        cfg = place.of(card, precision="fp32", **changes)
        yield Case(graph, name, cfg, nodes=nodes)


def on_cuda(cfg: Config) -> bool:
    return run_full.placement(cfg)[0].type == "cuda"


def take(
    case: Case,
    data: Data,
    ready: Prepared,
    steps: int,
    on_look: Callable[[int], None] = lambda step: None,
) -> Steps:
    """So many steps, at least 2, from the beginning, then one embedding; where losses are looked at
    every ten steps, at least as many as two looks have. on_look: after each, with the step."""
    every = run_full.look_every(case.cfg)
    steps = max(math.ceil(steps / every), 2) * every
    losses, stamps = list[float](), list[float]()

    def hook(state: TrainState, row: dict[str, float]) -> None:
        """An EpochHook that reads the clock, when the device has done what the loss waits for."""
        losses.append(row["loss"])
        if row is not state.rows[-1]:
            return
        on_look(state.step)
        stamps.append(time.perf_counter())
        if state.step == steps:
            raise run_full.StopTraining

    given: Any = ready._asdict() | seams(case.parts)
    result = run_full.train(case.cfg, data, on_epoch=hook, **given)
    timed = stamps[min(WARMUP - 1, len(stamps) - 2) :] if every == 1 else stamps
    seconds = statistics.median(b - a for a, b in zip(timed, timed[1:], strict=False))
    return Steps(losses, result.z, 1e3 * seconds / every)


def attempt(names: Row, work: Callable[[], Row]) -> Row:
    """names and what work finds; "ok" False and a note where it fails, so that others go on."""
    try:
        return names | work()
    except (RunError, RuntimeError, ValueError, OSError) as error:
        said = str(error.args[0] if error.args else error).strip().splitlines() or [repr(error)]
        return names | {"ok": False, "note": said[0]}


def equality(place: Place) -> Iterator[Row]:
    """Rows {"graph", "case", "ok": losses as the CPU's, "loss_off" and "z_off", relative, "again":
    whether a second run has the same bits}."""
    for case in (*presets(place), *extras(place)):
        place.progress(f"equality: {case.graph}, {case.name}")
        yield attempt(case.names(), partial(compared, place, case))


def compared(place: Place, case: Case) -> Row:
    """One row of `equality`."""
    data = unlabelled(case.graph)
    cpu = replace(case, cfg=replace(case.cfg, device="cpu"))
    ours = take(cpu, data, prepared(cpu.cfg, data, cpu.nodes), place.equal_steps)
    ready = prepared(case.cfg, data, case.nodes)
    first, second = (take(case, data, ready, place.equal_steps) for _ in range(2))
    pairs = zip(ours.losses, first.losses, strict=True)
    off = max(abs(a - b) / max(abs(a), FLOOR) for a, b in pairs)
    z_off = float((ours.z - first.z).abs().max() / ours.z.abs().max())
    again = first.losses == second.losses and torch.equal(first.z, second.z)
    return {"ok": off < FAR, "loss_off": off, "z_off": z_off, "again": again}


def step(place: Place) -> Iterator[Row]:
    """Rows {"graph", "case", "precision", "ms" a step, "syncs": synchronising calls a step, None
    but on cuda, "loss" at last}."""
    for case in presets(place):
        for precision in ("fp32", "bf16"):
            place.progress(f"step: {case.graph}, {case.name}, {precision}")
            one = replace(case, cfg=replace(case.cfg, precision=precision))
            names = one.names() | {"precision": precision}
            yield attempt(names, partial(timed, place, one))


def timed(place: Place, case: Case) -> Row:
    """One row of `step`."""
    data = unlabelled(case.graph)
    ready = prepared(case.cfg, data, case.nodes)
    found = take(case, data, ready, place.timed_steps)
    syncs = synchronising(case, data, ready) if on_cuda(case.cfg) else None
    return {"ok": True, "ms": found.ms, "syncs": syncs, "loss": found.losses[-1]}


def synchronising(case: Case, data: Data, ready: Prepared) -> float:
    """Calls a step that wait for the GPU, as far as torch notices, after the first steps."""
    counts = dict[int, int]()  # by step
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")

            def count(step: int) -> None:
                counts[step] = sum("synchroniz" in str(warning.message) for warning in caught)

            take(case, data, ready, WARMUP + 5, count)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    first, last = min(step for step in counts if step >= WARMUP), max(counts)
    return (counts[last] - counts[first]) / (last - first)


def memory(place: Place) -> Iterator[Row]:
    """Rows {"graph", "case", "forecast_mib", "peak_mib" and "reserved_mib", None but on cuda,
    "ok": what check_memory lets pass would fit}."""
    for case in (*presets(place), *wide(place)):
        place.progress(f"memory: {case.graph}, {case.name}")
        yield attempt(case.names(), partial(taken, case))


def taken(case: Case) -> Row:
    """One row of `memory`, of the graph, a few steps and an embedding."""
    data = unlabelled(case.graph)
    told = Sizes.of(data).training(case.cfg, case.nodes) / 2**20
    row: Row = {"ok": True, "forecast_mib": told, "peak_mib": None, "reserved_mib": None}
    cuda = on_cuda(case.cfg)
    before = 0
    if cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    take(case, data, prepared(case.cfg, data, case.nodes), WARMUP)
    if cuda:
        peak = (torch.cuda.max_memory_allocated() - before) / 2**20
        row |= {"peak_mib": peak, "reserved_mib": torch.cuda.max_memory_reserved() / 2**20}
        row["ok"] = peak <= told / SHARE
    return row
