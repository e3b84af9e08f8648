"""What a sweep is asked to do: what is searched, how long, by whom, and where it is kept.

Apart from study.py, which does it, because the command and the benches make plans as well.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import optuna

from nodejepa_ext.sweep.space import Space
from nodejepa_ext.sweep.trial import REPORTS
from run_full import Config

PRUNERS: dict[str, Callable[[], optuna.pruners.BasePruner]] = {
    "asha": lambda: optuna.pruners.SuccessiveHalvingPruner(min_resource=4, reduction_factor=2),
    "hyperband": lambda: optuna.pruners.HyperbandPruner(4, REPORTS, 2),
    "median": optuna.pruners.MedianPruner,
    "none": optuna.pruners.NopPruner,
}

Attributes = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """What is searched, how long, and by whom."""

    spaces: dict[str, Space]  # by graph
    enqueue: dict[str, list[Config]]  # by graph: tried first
    objective: str  # "val", "dev" or "rankme"
    seeds: list[int]  # of a trial
    best: int  # configurations that run again
    fresh: list[int]  # seeds that they run again on
    final: bool  # score the winner on test nodes
    trials: int  # a graph
    budget: float  # seconds of search, for all graphs
    pruner: str
    out: Path
    url: str | None  # of PostgreSQL; None: a journal in `out`
    study: str  # its name there
    data: Path | None  # folder of the graphs
    workers: int
    threads: int
    devices: list[str] | None  # CUDA devices, one a worker
    timeout: float  # seconds of a trial
    recycle: int  # trials of a worker process
    join: bool = False  # another supervisor works in `out`

    @property
    def prefix(self) -> str:
        """Of the names of its studies."""
        return f"{self.study}/" if self.study else ""

    def of(self, graph: str) -> Attributes:
        """What may not change once a study has it."""
        space = self.spaces[graph]
        attributes: Attributes = {"graph": graph, "base": asdict(space.base)}
        attributes |= {"space": space.describe()}
        attributes |= {"objective": self.objective, "seeds": self.seeds, "pruner": self.pruner}
        attributes |= {"rounds": {"best": self.best, "seeds": self.fresh}, "sampler": "tpe"}
        return json.loads(json.dumps(attributes))


def folder(plan: Plan) -> str | None:
    return str(plan.data) if plan.data else None
