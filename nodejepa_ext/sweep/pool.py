"""The pool of a sweep: all its graphs, their trials in worker processes, until they are done.

Kept apart from `study`, which decides what is tried: here trials meet workers, clocks and the
screen.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import asdict
from typing import NamedTuple

from nodejepa_ext.sweep.journal import Store
from nodejepa_ext.sweep.plan import Plan, folder
from nodejepa_ext.sweep.study import GraphSweep, verdict
from nodejepa_ext.workers.seats import place
from nodejepa_ext.workers.supervisor import Job, Outcome, run_jobs
from run_full import RunError

MODULE = "nodejepa_ext.sweep.trial"  # what a worker runs
REAP_EVERY, LOOK_EVERY = 5.0, 1.0  # seconds
RETIRE = 3  # failures of the machine in a row that end the use of a seat
FAILED = ("failed", "died", "timeout")


class Status(NamedTuple):
    """A moment of a sweep, for a screen."""

    running: list[tuple[str, int, float, float | None]]  # study, trial, share done, value so far
    counts: dict[str, Counter[str]]  # study -> outcomes
    best: dict[str, float]  # graph -> best value of its search
    left: float  # seconds, about


class Sweep:
    """All graphs of a plan, until they are done."""

    def __init__(self, plan: Plan, store: Store, say: Callable[[str], None]) -> None:
        self.plan, self.store, self.say = plan, store, say
        self.graphs = {graph: GraphSweep(plan, graph, store) for graph in plan.spaces}
        for graph in self.graphs.values():  # all agree before one is begun
            graph.begin()
            if closed := graph.closed():
                say(closed)
        self.timed = [name for name, graph in self.graphs.items() if not graph.finished()]
        self.seconds: dict[str, float] = {}  # graph -> wall seconds of a run, estimated
        self.walls: dict[str, list[float]] = {graph: [] for graph in plan.spaces}
        self.counts: dict[str, Counter[str]] = {}
        self.reaped = self.looked = time.monotonic()

    def run(self, look: Callable[[Status], None]) -> int:
        """Runs what is to be run -> how many trials ended in failure here. `look` sees a status
        about once a second. RunError: the storage failed."""
        failed = 0
        outcomes = run_jobs(
            self.jobs(),
            MODULE,
            workers=self.plan.workers,
            threads=self.plan.threads,
            devices=self.plan.devices,
            timeout=self.plan.timeout,
            recycle=self.plan.recycle,
            on_event=lambda event: None if event.endswith("started") else self.say(event),
            on_report=lambda job, figures: self.graphs[job["graph"]].heard(job, figures),
            on_tick=lambda: self.tick(look),
            retire=RETIRE,
            on_retire=self.retired,
        )
        try:
            with closing(outcomes):
                for outcome in outcomes:
                    failed += self.hear(outcome)
        except BaseException:
            with suppress(RunError):
                for graph in self.graphs.values():
                    graph.give_up()
            raise
        return failed

    def retired(self, seat: str, why: str) -> None:
        """A seat gets no more trials."""
        self.say(f"{seat}: not used until the next start: {why}")
        for graph in self.graphs.values():
            if not graph.done:
                graph.retired(seat, why)

    def over(self) -> bool:
        """Every graph came to its end; else no seat was left."""
        return all(graph.done for graph in self.graphs.values())

    def jobs(self) -> Iterator[Job | None]:
        """Timings first; then the first graph that has a job gives it."""
        for name in self.timed:
            yield timing(self.plan, name)
        while not all(graph.done for graph in self.graphs.values()):
            open_graphs = (g for g in self.graphs.values() if not g.done)
            job = next(filter(None, (graph.draw() for graph in open_graphs)), None)
            yield job

    def hear(self, outcome: Outcome) -> bool:
        """-> whether it is a failure."""
        job = outcome.job
        if job.get("timing"):
            self.seconds[job["graph"]] = outcome.answer.get("seconds", 0.0)
            if len(self.seconds) == len(self.timed):
                self.say(estimate(self.plan, self.seconds, self.left()))
            return False
        name = self.graphs[job["graph"]].tell(outcome)
        self.counts.setdefault(job["study"], Counter())[name] += 1
        if name == "ok":
            self.walls[job["graph"]].append(outcome.answer["wall_seconds"] / len(job["seeds"]))
        value = outcome.answer.get("value")
        said = f"{100 * value:.1f}" if value is not None else verdict(outcome)[1]
        self.say(
            f"{job['study']}, trial {job['number']}: {name}{', ' if said else ''}{said}; about "
            f"{self.left() / 60:.0f} minutes left"
        )
        return name in FAILED

    def tick(self, look: Callable[[Status], None]) -> None:
        """After every message, and at least once a second."""
        self.store.beat()
        now = time.monotonic()
        if now - self.reaped > REAP_EVERY:
            self.reaped = now
            for graph in self.graphs.values():
                graph.reap()
        if now - self.looked > LOOK_EVERY:  # a status reads all trials
            self.looked = now
            look(self.status())

    def status(self) -> Status:
        """What a screen shows now; reads all trials."""
        running = [
            (asked.job["study"], asked.job["number"], asked.share, asked.value)
            for graph in self.graphs.values()
            for asked in graph.asked.values()
        ]
        return Status(running, self.counts, self.bests(), self.left())

    def bests(self) -> dict[str, float]:
        """Graph -> the best value of its search so far."""
        found = {}
        for name, graph in self.graphs.items():
            with suppress(ValueError):  # no trial is complete
                found[name] = graph.search.best_value
        return found

    def left(self) -> float:
        """Seconds that are left, at most: a pruned trial takes less."""
        total = 0.0
        for name, graph in self.graphs.items():
            walls = self.walls[name]
            each = sum(walls) / len(walls) if walls else self.seconds.get(name, 0.0)
            total += graph.remaining() * each
        return total / self.plan.workers


def estimate(plan: Plan, seconds: dict[str, float], left: float) -> str:
    """What is to be run and how long that takes; seconds: of a run, by graph."""
    lines = [
        f"{graph}: {plan.trials} trials of {len(plan.seeds)} seeds, then the best {plan.best} on "
        f"{len(plan.fresh)} fresh seeds; a run takes about {each:.0f} s"
        for graph, each in seconds.items()
    ]
    how = f"{plan.workers} worker(s) of {plan.threads} thread(s)"
    return "\n".join([*lines, f"at most about {left / 60:.0f} minutes without pruning, {how}"])


def dry_run(plan: Plan) -> str:
    """The estimate of a sweep that has not begun."""
    jobs = [timing(plan, graph) for graph in plan.spaces]
    outcomes = run_jobs(
        jobs, MODULE, workers=plan.workers, threads=plan.threads, devices=plan.devices
    )
    seconds = {o.job["graph"]: o.answer.get("seconds", 0.0) for o in outcomes}
    runs = plan.trials * len(plan.seeds) + (plan.best + 1 + plan.final) * len(plan.fresh)
    return estimate(plan, seconds, runs * sum(seconds.values()) / plan.workers)


def timing(plan: Plan, graph: str) -> Job:
    """How long one seed of the base takes."""
    base = plan.spaces[graph].base
    job = {"timing": True, "graph": graph, "data": folder(plan), "config": asdict(base)}
    return job | {"device": place(base)["device"]}
