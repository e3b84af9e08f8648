"""Ablations: arms paired by seed -> rows -> tables and a finding.

`plan` decides what is trained, `run` trains it in worker processes (`python -m
nodejepa_ext.ablation.run`) and keeps every finished row at once; `report` reads the rows.
Arms of one seed share initial weights, views and probe, so only what was changed differs.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch_geometric.data import Data

import run_full
from nodejepa_ext.ablation.arms import CONTROL, Arm, check_distinct, resolve
from nodejepa_ext.ablation.revisions import revisions_of
from nodejepa_ext.ablation.rows import Row, Rows, key
from nodejepa_ext.judging.baselines import fastrp
from nodejepa_ext.judging.development import development_accuracy
from nodejepa_ext.parts.choice import KNOWN, Parts, seams
from nodejepa_ext.training.settings import command_line, preset
from nodejepa_ext.training.settings import resolve as layered
from nodejepa_ext.workers.job import check_seat, duration, judged, load
from nodejepa_ext.workers.seats import placement
from nodejepa_ext.workers.supervisor import Outcome, run_jobs, serve
from run_full import Config, Graph, Result, RunError

EPOCHS = 150  # of the card's shape: a tenth to a seventh of its own, see ablations/augmentation
RAW, SGC, JOINED = ONCE = "raw features", "SGC", "SGC, our input"  # controls without a seed
FASTRP = {"FastRP": False, "FastRP on features": True}  # kind of control -> features
MODULE = "nodejepa_ext.ablation.run"  # what a worker runs
Cells = dict[tuple[str, str], tuple[Config, Parts]]  # (graph, arm) -> what is trained
Figures = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Plan:
    """What is compared, and how it is to be trained."""

    args: argparse.Namespace  # of run_full.command_line
    arms: list[Arm]
    graphs: list[str]
    jobs: list[Row]  # {graph, arm, seed, kind, config, parts, final, dev?, revisions}
    out: Path
    workers: int
    threads: int
    devices: list[str] | None  # CUDA devices, one a worker
    published: Figures = field(default_factory=dict)  # name -> graph -> test accuracy in %
    data: Any = None  # JSON-able: where workers find the graphs
    module: str = MODULE  # what a worker runs
    recycle: int = 0  # rows that a worker's process makes; 0: any number
    seconds: dict[tuple[str, str], float] = field(default_factory=dict)  # known without a timing


def parse_core(argv: list[str], prog: str) -> argparse.Namespace:
    """Options of the reference and of Parts, which belong to all arms, with an ablation's
    defaults. SystemExit 2, in the reference's words: an unknown one."""
    args = parse(argv, prog, preset="card", graphs="cora,citeseer", seeds=5)
    if args.preset == "card" and not args.config and "epochs" not in args and not args.quick:
        args.epochs = EPOCHS
    return args


def parse(argv: list[str], prog: str, **defaults: Any) -> argparse.Namespace:
    """As `parse_core`, with other defaults. ValueError: no seeds."""
    parser = command_line(prog, Parts)
    names = ["cheap", "full"]
    group = parser.add_argument_group("rows")
    group.add_argument("--controls", default="cheap", choices=names, help="full: trains bgrl too")
    parser.set_defaults(**defaults, folder=None)
    args = parser.parse_args(argv)
    args.given = {name for name in vars(args) if name in KNOWN}
    if args.seeds < 1:
        raise ValueError(f"--seeds {args.seeds}: expected at least 1")
    return args


def plan(args: argparse.Namespace, arms: list[Arm], measure: str, workers: int) -> Plan:
    """measure: what the report compares, of val, dev and test. ValueError: a setting that may not
    be, a switch without effect, an unknown graph."""
    graphs = graphs_of(args)
    for graph in graphs:
        check_distinct(arms, args, graph)
    cells = {(g, arm.name): resolve(arm, args, g) for g in graphs for arm in arms}
    jobs = train_jobs(args, cells, measure)
    for graph in graphs:
        cfg = cells[graph, arms[0].name][0]
        jobs += control_jobs(graph, cfg, {"untrained": cfg}, args, measure)
        if args.controls == "full":
            fair = bgrl(args, graph), Parts()
            jobs += train_jobs(args, {(graph, CONTROL + "bgrl"): fair}, measure)
    out = args.folder or Path("results", "ablate", slug(arms))
    return placed(args, arms, jobs, out, workers)


def placed(
    args: argparse.Namespace, arms: list[Arm], jobs: list[Row], out: Path, workers: int
) -> Plan:
    """The plan of these jobs, with who works where."""
    workers, threads, devices = placement(workers, len(jobs), Config(**jobs[0]["config"]))
    threads = args.threads or threads
    data = str(args.data) if args.data else None
    return Plan(args, arms, graphs_of(args), jobs, out, workers, threads, devices, data=data)


def graphs_of(args: argparse.Namespace) -> list[str]:
    return list(dict.fromkeys(args.graphs.split(",")))


def seeds_of(args: argparse.Namespace) -> range:
    return range(args.first_seed, args.first_seed + (2 if args.quick else args.seeds))


def slug(arms: list[Arm]) -> str:
    """A folder's name for what is varied: the same command finds its rows again."""
    varied = [name for name in KNOWN if any(name in arm.settings for arm in arms)]
    return "-".join(varied)


def train_job(
    graph: str, arm: str, seed: int, cfg: Config, parts: Parts, measure: str, kind: str = "train"
) -> Row:
    """All that decides a row, with the revisions of the code that does."""
    job: Row = {"graph": graph, "arm": arm, "seed": seed, "kind": kind}
    job |= {"final": measure == "test"}
    if measure == "dev":
        job["dev"] = True  # which older rows lack
    job |= {"config": asdict(replace(cfg, seed=seed)), "parts": asdict(parts)}
    return job | {"revisions": revisions_of(kind, parts)}


def train_jobs(args: argparse.Namespace, cells: Cells, measure: str) -> list[Row]:
    """Seed by seed, in each the cells in turn."""
    return [
        train_job(*cell, seed, cfg, parts, measure)
        for seed in seeds_of(args)
        for cell, (cfg, parts) in cells.items()
    ]


def bgrl(args: argparse.Namespace, graph: str) -> Config:
    """The trained control: its own preset, of the options only where it runs, and --quick."""
    where = {name: getattr(args, name) for name in ("device", "precision") if name in args}
    own = argparse.Namespace(quick=args.quick, config=None, **where)
    return layered(preset("bgrl", graph), own, graph)[0]


def control_jobs(
    graph: str,
    cfg: Config,
    untrained: dict[str, Config],
    args: argparse.Namespace,
    measure: str,
) -> list[Row]:
    """Raw features and SGC once, SGC on what cfg's encoder takes in too, where that differs; each
    FastRP, and the untrained encoders by their names, a seed."""
    plain, seeds = Config(device=cfg.device), seeds_of(args)
    kinds = {name: (name, plain) for name in (RAW, SGC, *FASTRP)}
    if cfg.neighbours or cfg.transform != "none":
        alike = replace(plain, neighbours=cfg.neighbours, neighbour_weight=cfg.neighbour_weight)
        alike = replace(alike, transform=cfg.transform)
        kinds[JOINED] = JOINED, alike
    kinds |= {name: ("train", replace(own, epochs=0)) for name, own in untrained.items()}
    return [
        train_job(graph, CONTROL + name, seed, control, Parts(), measure, kind)
        for name, (kind, control) in kinds.items()
        for seed in (seeds[:1] if name in ONCE else seeds)
    ]


def work(message: Row) -> Row:
    """A worker's whole task: a job -> the rest of its row, or how long it would take."""
    job, folder = message["job"], message["data"]
    data, cfg = load(job["graph"], folder), Config(**job["config"])
    check_seat(message.get("device", ""))
    if message["timing"]:
        return timing(job, cfg, data)
    cpu, wall = time.process_time(), time.monotonic()
    row: Row = {"status": "ok", "job": job}
    try:
        result = embedding(job, cfg, data)
    except RunError as error:
        row |= {"status": "diverged", "message": str(error.args[0])}
    else:
        row |= judged(result, job["final"])
        if job.get("dev"):
            row["dev"] = development_accuracy(result.z, data)["mean"]
    device, bf16 = run_full.placement(cfg)
    row |= {"cpu_seconds": time.process_time() - cpu, "wall_seconds": time.monotonic() - wall}
    row |= {"device": device.type, "bf16": bf16, "threads": torch.get_num_threads()}
    return row | {"torch": torch.__version__}


def embedding(job: Row, cfg: Config, data: Data) -> Result:
    """The job's frozen embedding, judged on validation."""
    if job["kind"] == "train":
        return run_full.train(cfg, data, **seams(Parts(**job["parts"])))
    if job["kind"] in FASTRP:
        z = fastrp(data, features=FASTRP[job["kind"]], seed=cfg.seed)  # [N, 512]
        return run_full.linear_probe(z, data)
    if job["kind"] == RAW:
        return run_full.linear_probe(data.x, data)
    return run_full.controls(Graph.of(data, cfg))[job["kind"]]


def timing(job: Row, cfg: Config, data: Data) -> Row:
    """-> seconds: an estimate."""
    if job["kind"] != "train":
        return {"seconds": 5.0}  # never worth a measurement
    return {"seconds": duration(cfg, data, seams(Parts(**job["parts"])))}


class Clock:
    """How long each (graph, arm) takes: from its finished rows, or from a timing."""

    def __init__(self, plan: Plan, rows: Rows) -> None:
        self.pending = [job for job in plan.jobs if not rows.finished(job)]
        self.plan, self.seconds = plan, dict(plan.seconds)
        for job in plan.jobs:
            if rows.finished(job):
                self.seconds[job["graph"], job["arm"]] = rows.rows[key(job)]["wall_seconds"]
        unknown = {(job["graph"], job["arm"]): job for job in reversed(self.pending)}
        self.unknown = {pair: job for pair, job in unknown.items() if pair not in self.seconds}
        self.untimed = len(self.unknown)

    def hear(self, outcome: Outcome) -> bool:
        """Of a timing -> True once all are in."""
        job = outcome.job["job"]
        self.seconds[job["graph"], job["arm"]] = outcome.answer.get("seconds", 0.0)
        self.untimed -= 1
        return self.untimed == 0

    def left(self, jobs: list[Row]) -> float:
        """Seconds until the jobs are done."""
        total = sum(self.seconds.get((job["graph"], job["arm"]), 0.0) for job in jobs)
        return total / self.plan.workers


def run(
    plan: Plan, rows: Rows, say: Callable[[str], None], dry: bool = False
) -> Iterator[tuple[Row, int, float]]:
    """Trains what has no row yet -> each new row, how many are left and for how many seconds. The
    timings, and the estimate that is said from them, come first; `dry` ends there."""
    clock = Clock(plan, rows)
    left = {key(job): job for job in clock.pending}
    queue = [(job, True) for job in clock.unknown.values()]
    queue += [(job, False) for job in clock.pending if not dry]
    kind = "cuda" if plan.devices and run_full.accelerator() == "cuda" else ""
    common = {"data": plan.data, "device": kind}
    messages = ({"job": job, "timing": timed} | common for job, timed in queue)
    if not clock.untimed:
        say(estimate(plan, clock, rows))
    where: Any = dict(workers=plan.workers, threads=plan.threads, devices=plan.devices)
    for outcome in run_jobs(messages, plan.module, recycle=plan.recycle, **where):
        job = outcome.job["job"]
        if outcome.job["timing"]:
            if clock.hear(outcome):
                say(estimate(plan, clock, rows))
            continue
        row = {name: job[name] for name in ("graph", "arm", "seed")}
        failed = {"status": "failed", "job": job, "message": outcome.message, "wall_seconds": 0.0}
        row |= outcome.answer if outcome.status == "ok" else failed
        rows.add(row)
        del left[key(job)]
        yield row, len(left), clock.left(list(left.values()))


def estimate(plan: Plan, clock: Clock, rows: Rows) -> str:
    """What would be trained, arm by arm, and how long it takes."""
    count, pairs = len(clock.pending), dict[tuple[str, str], list[Row]]()
    for job in clock.pending:
        pairs.setdefault((job["graph"], job["arm"]), []).append(job)
    lines = [
        f"{graph}, {arm}: {len(jobs)} rows of {clock.seconds[graph, arm]:.0f} s each"
        for (graph, arm), jobs in pairs.items()
        if not arm.startswith(CONTROL)
    ]
    done = len(plan.jobs) - count
    how = f"{plan.workers} worker(s) of {plan.threads} thread(s)"
    lines.append(
        f"{count} rows to train, {done} in {plan.out} already; "
        f"about {clock.left(clock.pending) / 60:.1f} minutes, {how}"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    serve(lambda message, report: work(message))
