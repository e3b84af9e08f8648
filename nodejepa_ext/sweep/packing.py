"""How many workers of a sweep share a GPU, where nobody says.

One step of a small graph leaves a GPU idle most of the time: it waits for the process that feeds
it. So several workers share it, as many as its memory surely holds and as there are cores to feed
it. A large graph has it alone. Not measured: no GPU was at hand.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import run_full
from nodejepa_ext.parts.choice import Settings
from nodejepa_ext.sweep.space import Space
from nodejepa_ext.training.memory import SHARE, Sizes
from nodejepa_ext.workers.seats import cores
from run_full import Config

MOST = 4  # workers
SMALL = 20_000  # nodes, up to which workers share
CONTEXT = 600 << 20  # bytes, roughly, that a process takes of a GPU beside its tensors
WIDTHS = ("encoder", "heads", "hidden", "out", "layers", "hops", "neighbours")
OTHERS = (
    *("norm", "skip", "own_features", "predictor", "directions", "target", "regulariser"),
    *("edge1", "edge2"),
)
QUESTION = """
import json, torch
free = [torch.cuda.mem_get_info(i)[0] for i in range(torch.cuda.device_count())]
print(json.dumps(free))
"""
SECONDS = 120.0  # that the question may take


def free_bytes(devices: Sequence[str]) -> list[int]:
    """Of each CUDA device's memory, asked in a process of its own, so that this one opens none; []
    if there is no answer."""
    env = os.environ | {"CUDA_VISIBLE_DEVICES": ",".join(devices)}
    command = [sys.executable, "-c", QUESTION]
    try:
        done = subprocess.run(command, env=env, capture_output=True, timeout=SECONDS, check=True)
        return [int(size) for size in json.loads(done.stdout)]
    except (OSError, ValueError, subprocess.SubprocessError):
        return []


def needed(space: Space, graph: str, folder: Path | None) -> tuple[int, int]:
    """Nodes of the graph, and bytes that the largest configuration of the space takes: widths in
    all combinations, then of every other knob the value that takes most beside them."""
    sizes = Sizes.of(run_full.load_graph(graph, folder))

    def taken(settings: Settings) -> int:
        return sizes.training(Config(**settings), 0)

    largest = max(space.combinations(WIDTHS), key=taken)
    for name in OTHERS:
        knob = space.knobs.get(name)
        if knob is not None and knob.active(largest):
            largest = max((largest | {name: value} for value in knob.corners()), key=taken)
    return sizes.n, taken(largest) + CONTEXT


def per_gpu(spaces: dict[str, Space], folder: Path | None, devices: Sequence[str]) -> int:
    """Workers of each of these devices: one, where a graph has over `SMALL` nodes, memory is short
    or unknown, or cores are."""
    sizes = [needed(space, graph, folder) for graph, space in spaces.items()]
    if any(n > SMALL for n, _ in sizes):
        return 1
    free = free_bytes(devices)
    if len(free) < len(devices):
        return 1
    fit = int(SHARE * min(free)) // max(size for _, size in sizes)
    return max(min(MOST, fit, cores() // len(devices)), 1)
