"""How far a sweep scales: what a storage carries, and what a second worker is worth.

Beside `step`, which measures a training step. The storage is measured without training: real
supervisors drive the sweep's own code (`sweep.pool.Sweep`) with workers that answer at once, so
that asking, reporting, pruning and telling is left. Run as a module, it is one such supervisor.
"""

from __future__ import annotations

import math
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from itertools import cycle
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import optuna
from optuna.trial import FrozenTrial

from nodejepa_ext.sweep.plan import PRUNERS, Plan
from nodejepa_ext.sweep.pool import Sweep
from nodejepa_ext.sweep.space import Range, Space, read_space
from nodejepa_ext.sweep.storage import open_store
from nodejepa_ext.sweep.trial import REPORTS
from nodejepa_ext.workers.machine import processor
from nodejepa_ext.workers.seats import cores
from nodejepa_ext.workers.supervisor import Job, Outcome, Report, run_jobs, serve
from run_full import RunError, preset

if TYPE_CHECKING:
    from rich.table import Table

Row = dict[str, Any]
Say = Callable[[str], None]
MODULE, GRAPH = "nodejepa_ext.bench.sweep", "cora"
SIZES, SUPERVISORS = (40, 200, 1000), (1, 2, 4)
OPEN = 8  # workers of a supervisor, each with a trial open: a host with 8 GPUs
TRIALS = 12  # measured at each size and number of supervisors, by all of them together
EVALUATIONS = 36  # of a seed: two seeds make about 10 kB a trial
SECONDS = (10, 60, 600)  # of a trial
CONFIGURATIONS, TURNS = 24, 3  # of the scaling
RATIO, CPU, SHARE = 1.7, 0.05, 0.02  # what is expected of it


def silent(*_: object) -> None:
    """Shows nothing."""


def plan(space: Space, out: Path, **changes: Any) -> Plan:
    """A search without end, rounds or final."""
    one: Row = dict(spaces={GRAPH: space}, enqueue={GRAPH: []}, objective="val", seeds=[0, 1])
    one |= dict(best=0, fresh=[], final=False, trials=10**9, budget=math.inf, pruner="asha")
    one |= dict(out=out, url=None, study="", data=None, workers=1, threads=1, devices=None)
    return Plan(**one | dict(timeout=math.inf, recycle=0) | changes)


def carried(rate: float, seconds: float) -> int:
    """Workers with trials of so many seconds that make `rate` trials a second between them."""
    return math.floor(rate * seconds)


def ten_knobs() -> Space:
    return read_space(None, GRAPH, preset("best", GRAPH))


def score(number: int) -> float:
    """Better than that of every trial before it: no pruner stops it, and none costs more."""
    return 0.5 + number / 1e5


def answer(number: int) -> Row:
    """What a worker says of a finished trial."""
    figure = random.Random(number).random
    curve = [
        {"epoch": 10 * i, "loss": figure(), "val": figure()}
        | {"effective_rank": 100 * figure(), "cosine": figure()}
        for i in range(EVALUATIONS)
    ]
    row = {"val": score(number), "epoch": 50, "c": 0.25, "scaling": "unit", "cosine": figure()}
    row |= {"effective_rank": 100 * figure(), "rank": figure(), "min_std": figure()}
    rows = [row | {"seed": seed, "cpu_seconds": 9.0, "curve": curve} for seed in (0, 1)]
    spent = {"cpu_seconds": 18.0, "wall_seconds": 18.5, "peak_mib": 512.0}
    return {"outcome": "ok", "message": "", "rows": rows, **spent, "value": score(number)}


def past(space: Space, n: int) -> list[FrozenTrial]:
    """n finished trials, as a sweep leaves them."""
    sampler, pruner = optuna.samplers.RandomSampler(seed=0), PRUNERS["asha"]()
    study = optuna.create_study(direction="maximize", sampler=sampler, pruner=pruner)
    for number in range(n):
        trial = study.ask()
        config = asdict(space.suggest(trial))
        for step in range(1, REPORTS + 1):
            trial.report(score(number), step)
            trial.should_prune()
        for key, value in {"config": config, **answer(number)}.items():
            trial.set_user_attr(key, value)
        study.tell(trial, score(number))
    return study.trials


def place(point: Row) -> Plan:
    """The sweep that the measurements of a storage share."""
    out = Path(point["folder"], point["storage"])
    return plan(ten_knobs(), out, url=point["url"], study="bench", workers=point["workers"])


def fill(point: Row, before: list[FrozenTrial]) -> int:
    """Brings a study up to `size` trials; measurements leave theirs there -> how many it has."""
    begun = place(point)
    with open_store(begun.out, begun.url, join=False) as store:
        study = Sweep(begun, store, silent).graphs[GRAPH].search
        trials = len(study.trials)
        study.add_trials(before[trials : point["size"]])
    return max(trials, point["size"])


def worker(sweep: Sweep) -> Iterator[bool]:
    """A worker as its supervisor meets it, message by message -> whether it ended a trial."""
    graph = sweep.graphs[GRAPH]
    while job := graph.draw():
        number = job["number"]
        for step in range(1, REPORTS + 1):
            graph.heard(job, {"step": step, "value": score(number)})
            sweep.tick(silent)
            yield False
        sweep.hear(Outcome(job, "ok", answer(number), ""))
        sweep.tick(silent)
        yield True


def supervise(job: Job, report: Report) -> Row:
    """One supervisor's share of a measurement, begun when all are ready -> {"trials",
    "wall_seconds", "cpu_seconds"}. Its workers are at different stages of their trials."""
    joined = place(job)
    with open_store(joined.out, joined.url, join=True) as store:
        sweep = Sweep(joined, store, silent)
        crew = [worker(sweep) for _ in range(job["workers"])]
        for i, one in enumerate(crew):
            for _ in range(1 + i * REPORTS // len(crew)):
                next(one)
        while not report({"ready": job["seat"]}):
            time.sleep(0.01)
        cpu, wall, done = time.process_time(), time.monotonic(), 0
        for one in cycle(crew):
            done += next(one)
            if done == job["share"]:
                break
        spent = {"wall_seconds": time.monotonic() - wall, "cpu_seconds": time.process_time() - cpu}
        for asked in list(sweep.graphs[GRAPH].asked.values()):
            sweep.hear(Outcome(asked.job, "ok", answer(asked.trial.number), ""))
    return {"trials": done, **spent}


def measure(points: list[Row], trials: int, progress: Say) -> list[Row]:
    """Each point {"storage", "url", "folder", "size", "supervisors", "workers"} -> a row each:
    {"storage", "size", "trials" in the study at first, "supervisors", "trials_per_second" of all,
    "cpu_seconds" a trial, "cpu_share" of a supervisor's time}. RunError 1: a supervisor failed."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    before = past(ten_knobs(), max(point["size"] for point in points))
    heard: list[list[Row]] = [[] for _ in points]
    ready: set[tuple[int, int]] = set()

    def jobs() -> Iterator[Job | None]:
        """The supervisors of each point, once those of the point before have ended."""
        for at, point in enumerate(points):
            progress("{storage}, {size} trials, {supervisors} supervisor(s)".format(**point))
            point["trials"] = fill(point, before)
            share = max(1, trials // point["supervisors"])
            for seat in range(point["supervisors"]):
                yield point | {"at": at, "seat": seat, "share": share}
            while len(heard[at]) < point["supervisors"]:
                yield None

    def all_ready(job: Job, figures: Row) -> bool:
        ready.add((job["at"], figures["ready"]))
        return sum(at == job["at"] for at, _ in ready) == job["supervisors"]

    most = max(point["supervisors"] for point in points)
    for outcome in run_jobs(jobs(), MODULE, workers=most, threads=1, on_report=all_ready):
        heard[outcome.job["at"]].append(expected(outcome))
    return [summary(point, shares) for point, shares in zip(points, heard, strict=True)]


def expected(outcome: Outcome) -> Row:
    if outcome.status != "ok":
        raise RunError(f"a supervisor {outcome.status}: {outcome.message}", 1)
    return outcome.answer


def summary(point: Row, shares: list[Row]) -> Row:
    """One measurement, from what each of its supervisors did."""
    row = {name: point[name] for name in ("storage", "size", "trials", "supervisors")}
    cpu, wall = (sum(s[name] for s in shares) for name in ("cpu_seconds", "wall_seconds"))
    row["trials_per_second"] = sum(s["trials"] / s["wall_seconds"] for s in shares)
    row["cpu_seconds"] = cpu / sum(s["trials"] for s in shares)
    return row | {"cpu_share": cpu / wall}


def limits(rows: list[Row]) -> list[Row]:
    """Where each storage saturates, by study size: its most trials a second, the fewest supervisors
    that come within a tenth of it, and the workers that it carries, by seconds of a trial."""
    found = []
    for storage, size in dict.fromkeys((row["storage"], row["size"]) for row in rows):
        own = [row for row in rows if (row["storage"], row["size"]) == (storage, size)]
        most = max(row["trials_per_second"] for row in own)
        near = [row["supervisors"] for row in own if row["trials_per_second"] >= 0.9 * most]
        line = {"storage": storage, "size": size, "trials_per_second": most}
        line |= {"supervisors": min(near)}
        found.append(line | {"workers": {str(s): carried(most, s) for s in SECONDS}})
    return found


@contextmanager
def scratch(url: str) -> Iterator[str]:
    """The URL of the same database with a schema of its own, dropped at the end. ValueError: not a
    PostgreSQL URL, no driver, or the server refuses."""
    import sqlalchemy

    from nodejepa_ext.sweep.postgres import postgres_url, shown

    where, schema = postgres_url(url), f"bench_{uuid4().hex[:8]}"
    try:
        engine = sqlalchemy.create_engine(where, poolclass=sqlalchemy.NullPool)
        with engine.begin() as connection:
            connection.execute(sqlalchemy.schema.CreateSchema(schema))
    except ImportError:
        text = f"{shown(where)}: needs a driver for PostgreSQL: pip install 'nodejepa[cluster]'"
        raise ValueError(text) from None
    except sqlalchemy.exc.SQLAlchemyError as error:
        said = " ".join(str(getattr(error, "orig", error)).split())
        said = said.replace(where.password, "***") if where.password else said
        raise ValueError(f"{shown(where)}: {said}") from None
    try:
        options = f"{where.query.get('options', '')} -c search_path={schema}".strip()
        yield where.update_query_dict({"options": options}).render_as_string(hide_password=False)
    finally:
        with engine.begin() as connection:
            connection.execute(sqlalchemy.schema.DropSchema(schema, cascade=True))


def storages(
    url: str | None,
    progress: Say,
    sizes: Sequence[int] = SIZES,
    supervisors: Sequence[int] = SUPERVISORS,
    workers: int = OPEN,
    trials: int = TRIALS,
) -> Row:
    """Measures the journal file, on the disk of temporary files, and PostgreSQL where there is a
    URL -> the report: processor, cores, load, what a trial is, rows, limits."""
    report: Row = {"processor": processor(), "cores": cores(), "load": os.getloadavg()[0]}
    report |= {"knobs": len(ten_knobs().knobs), "reports": REPORTS}
    report |= {"workers": workers, "measured": trials}
    with (
        tempfile.TemporaryDirectory(prefix="nodejepa-bench-") as folder,
        scratch(url) if url is not None else nullcontext() as own,
    ):
        places = [{"storage": "journal", "url": None}]
        places += [{"storage": "PostgreSQL", "url": own}] if own else []
        grid = [{"size": n, "supervisors": s} for n in sizes for s in supervisors]
        more = {"folder": folder, "workers": workers}
        points = [place | point | more for place in places for point in grid]
        rows = measure(points, trials, progress)
    return report | {"rows": rows, "limits": limits(rows)}


def empty(title: str, *columns: str) -> Table:
    """A table without rows."""
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for i, name in enumerate(columns):
        table.add_column(name, justify="right" if i else "left")
    return table


def tables(report: Row) -> list[Table | str]:
    """What was measured, where the storages saturate, and the line that says on what."""
    names = ("trials in it", "supervisors", "trials/s", "CPU ms a trial", "share of it CPU")
    measured = empty("A sweep's storage, without training", "storage", *names)
    for row in report["rows"]:
        where = (row["storage"], str(row["trials"]), str(row["supervisors"]))
        figures = (f"{row['trials_per_second']:.3g}", f"{1e3 * row['cpu_seconds']:.0f}")
        measured.add_row(*where, *figures, f"{row['cpu_share']:.0%}")
    heads = ("trials in it, about", "trials/s", "with supervisors", *(f"{s} s" for s in SECONDS))
    carries = empty("Workers it carries at most, by seconds of a trial", "storage", *heads)
    for row in report["limits"]:
        workers = [str(count) for count in row["workers"].values()]
        rate = f"{row['trials_per_second']:.3g}"
        carries.add_row(row["storage"], str(row["size"]), rate, str(row["supervisors"]), *workers)
    text = (
        "{processor}, {cores} core(s), load {load:.1f} at the start; {measured} trials a line of"
        " {knobs} knobs, {reports} reports, 10 kB, none pruned, {workers} open a supervisor: with"
        " more open, each costs more. Share of CPU: below 100%, the rest is waiting."
    )
    return [measured, carries, text.format(**report)]


def train(job: Job) -> Row:
    """A real sweep of so many equal trials, here -> {"trials", "wall_seconds", "trial_cpu_seconds",
    "cpu_seconds" with its workers' start, "supervisor_cpu_seconds"}. RunError 1: a trial failed."""
    base = replace(preset("best", GRAPH), **job["settings"], device="cpu")
    configs = [replace(base, weight_decay=(1 + i) * 1e-5) for i in range(job["configurations"])]
    space = Space(base, {"weight_decay": Range({}, 1e-5, 1e-2)})
    with tempfile.TemporaryDirectory(prefix="nodejepa-bench-") as folder:
        few: Row = {"trials": len(configs), "enqueue": {GRAPH: configs}, "seeds": [0]}
        own = plan(space, Path(folder), **few, pruner="none", workers=job["workers"])
        with open_store(own.out, None, join=False) as store:
            own_cpu, others, wall = time.process_time(), children(), time.monotonic()
            sweep = Sweep(own, store, silent)
            failed = sweep.run(silent)
            row = {"wall_seconds": time.monotonic() - wall, "cpu_seconds": children() - others}
            row["supervisor_cpu_seconds"] = time.process_time() - own_cpu
            trials = sweep.graphs[GRAPH].search.trials
    if failed or len(trials) != len(configs):
        raise RunError(f"{failed} of {len(trials)} trials failed, expected {len(configs)} done", 1)
    spent = sum(trial.user_attrs["cpu_seconds"] for trial in trials)
    return row | {"workers": job["workers"], "trials": len(trials), "trial_cpu_seconds": spent}


def children() -> float:
    """CPU seconds of this process's children that have ended."""
    used = getrusage(RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


SETTINGS: Row = {"epochs": 20, "eval_every": 10}  # about 3 s


def scaling(
    progress: Say,
    configurations: int = CONFIGURATIONS,
    turns: int = TURNS,
    settings: Row = SETTINGS,
) -> Row:
    """The same enqueued configurations with 1 and 2 one-thread workers, taking turns, with a
    supervisor that has imported everything -> the report: processor, cores, load, rows, judged."""
    report: Row = {"processor": processor(), "cores": cores(), "load": os.getloadavg()[0]}
    report |= {"settings": settings, "turns": turns}
    work = {"configurations": configurations, "settings": settings}
    jobs = [work | {"workers": count, "turn": turn} for turn in range(turns) for count in (1, 2)]

    def told() -> Iterator[Job]:
        for job in jobs:
            progress("{workers} worker(s), turn {turn}".format(**job))
            yield job

    rows = [expected(outcome) for outcome in run_jobs(told(), MODULE, workers=1, threads=1)]
    return report | {"rows": rows, "judged": judged(rows, report["load"], report["cores"])}


def judged(rows: list[Row], load: float, cores: int) -> Row:
    """The fastest run of 1 worker against that of 2: "ratio" of wall seconds, "cpu" = relative
    difference of the trials' CPU seconds, "supervisor" = most CPU seconds a second of its own;
    and whether they are as expected, None where 2 cores were not idle."""
    one, two = (
        min((row for row in rows if row["workers"] == n), key=lambda row: row["wall_seconds"])
        for n in (1, 2)
    )
    found = {"ratio": one["wall_seconds"] / two["wall_seconds"]}
    found["cpu"] = two["trial_cpu_seconds"] / one["trial_cpu_seconds"] - 1
    found["supervisor"] = max(r["supervisor_cpu_seconds"] / r["wall_seconds"] for r in rows)
    good = found["ratio"] >= RATIO and abs(found["cpu"]) <= CPU and found["supervisor"] < SHARE
    return found | {"good": good if cores - load >= 1.5 else None}


def scaling_tables(report: Row) -> list[Table | str]:
    """A line a run, then what is said of them."""
    heads = ("trials", "wall s", "trials' CPU s", "workers' CPU s", "supervisor's CPU s")
    table = empty("1 against 2 workers of one thread", "workers", *heads)
    for row in report["rows"]:
        names = ("wall_seconds", "trial_cpu_seconds", "cpu_seconds", "supervisor_cpu_seconds")
        figures = [f"{row[name]:.2f}" for name in names]
        table.add_row(str(row["workers"]), str(row["trials"]), *figures)
    found = report["judged"]
    verdict = {True: "as expected", False: "NOT as expected", None: "machine busy"}[found["good"]]
    text = (
        f"{verdict}: {found['ratio']:.2f} times as fast (bar {RATIO}), trials' CPU seconds"
        f" {found['cpu']:+.1%} (bar {CPU:.0%}), supervisor {found['supervisor']:.1%} of a core"
        f" (bar {SHARE:.0%}). {report['processor']}, {report['cores']} core(s), load"
        f" {report['load']:.1f} at the start; the fastest of {report['turns']} runs of each."
    )
    return [table, text]


def work(job: Job, report: Report) -> Row:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return train(job) if "configurations" in job else supervise(job, report)


if __name__ == "__main__":
    serve(work)
