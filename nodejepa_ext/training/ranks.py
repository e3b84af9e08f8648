"""One training by one process, or by several as torchrun begins them: what `folder` asks of either.

Apart from `group`, which needs torch.distributed and is imported only where the environment tells
of several processes. Of those, rank 0 alone writes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nodejepa_ext.graphs.source import Subject
from nodejepa_ext.parts.choice import Parts
from nodejepa_ext.training import batches
from run_full import Config, Result

MINUTES = 30.0  # that ranks wait for one another, while rank 0 evaluates too
LIMIT = "NODEJEPA_RANKS_MINUTES"  # of the environment: other minutes


def several() -> bool:
    """Whether the environment tells of other processes, as torchrun's does."""
    return os.environ.get("WORLD_SIZE", "1") != "1"


def number(name: str, default: str | None = None) -> int:
    """Of the environment. ValueError: it is no number from 0."""
    said = os.environ.get(name, default)
    if said is None or not (said.isascii() and said.isdecimal()):
        raise ValueError(f"{name} = {said}: expected a number from 0, as torchrun sets it")
    return int(said)


def minutes() -> float:
    """That ranks wait for one another. ValueError: the environment's are none."""
    said = os.environ.get(LIMIT, str(MINUTES))
    try:
        found = float(said)
    except ValueError:
        found = 0.0
    if not 0 < found < 1e6:
        raise ValueError(f"{LIMIT} = {said}: expected minutes, above 0")
    return found


class Alone:
    """A training of one process, which asks nobody."""

    rank, size = 0, 1
    how = ""  # of the sentence that says how a run goes on

    def __init__(self, asked: Callable[[], int] = lambda: 0) -> None:
        """asked: not 0 from when this process was asked to stop; then an exit code."""
        self.asked = asked

    def stopped(self) -> int:
        """Not 0: all ranks stop after this epoch, with this exit code."""
        return self.asked()

    def room(self, cfg: Config) -> int | None:
        """Bytes that are free for this process; None: all that are free."""
        return None

    def tell(self, folder: Path, meta: dict[str, Any]) -> None:
        """Before a run goes on; meta: its run.json. ValueError: others trained it, in number."""
        if (then := meta.get("ranks", 1)) != self.size:
            text = f"began with {then} process(es), expected as many to go on, found {self.size}"
            raise ValueError(f"{folder}: {text}")

    def check(self, ready: Subject, cfg: Config, parts: Parts, batch_nodes: int) -> None:
        """Before a training. ValueError: ranks have other settings, or cannot share the graph."""

    def train(self, cfg: Config, data: Any, batch_nodes: int, **seams: Any) -> Result:
        """`batches.train`."""
        return batches.train(cfg, data, batch_nodes, **seams)


ALONE = Alone()
