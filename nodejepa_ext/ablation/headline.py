"""The headline table: one preset, many seeds, each a full retrain, with every control beside it.

The rows, the workers and the report are those of an ablation; here it is decided what is in it.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from nodejepa_ext.ablation.arms import Arm, resolve
from nodejepa_ext.ablation.run import (
    Cells,
    Plan,
    bgrl,
    control_jobs,
    graphs_of,
    parse,
    placed,
    train_jobs,
)
from nodejepa_ext.parts.choice import Parts
from run_full import GRAPHS, PUBLISHED

SEEDS, FIRST = 20, 2000  # the headline's, and spent: for a table of your own take others
FAIR = Arm("bgrl", {})


def parse_core(argv: list[str], prog: str) -> argparse.Namespace:
    """Options of the reference and of Parts, which the preset is trained with. ValueError: no
    seeds; SystemExit 2: an unknown option."""
    graphs = ",".join(GRAPHS)
    return parse(argv, prog, preset="best", graphs=graphs, seeds=SEEDS, first_seed=FIRST)


def plan(args: argparse.Namespace, workers: int) -> Plan:
    """The preset and, with --controls full, bgrl; test nodes are scored once a row, unless
    --validation-only. ValueError: a setting that may not be, an unknown graph, bgrl twice."""
    full, graphs = args.controls == "full", graphs_of(args)
    measure = "val" if args.validation_only else "test"
    if full and args.preset == FAIR.name:
        raise ValueError("--controls full: expected another --preset than bgrl, which it adds")
    own = Arm(named(args), {})
    cells: Cells = {}
    for graph in graphs:
        cells[graph, own.name] = resolve(own, args, graph)
        if full:
            cells[graph, FAIR.name] = bgrl(args, graph), Parts()
    jobs = train_jobs(args, cells, measure)
    arms = [own, FAIR] if full else [own]
    for graph in graphs:
        untrained = {f"untrained {arm.name}": cells[graph, arm.name][0] for arm in arms}
        jobs += control_jobs(graph, cells[graph, own.name][0], untrained, args, measure)
    out = args.folder or Path("results", "table", args.preset)
    return replace(placed(args, arms, jobs, out, workers), published=PUBLISHED)


def named(args: argparse.Namespace) -> str:
    """The preset, and what was given on top of it, but where it runs."""
    config = [args.config.name] if args.config else []
    given = sorted(args.given - {"device", "precision"})
    return ", ".join([args.preset, *config, *(f"{name}={getattr(args, name)}" for name in given)])
