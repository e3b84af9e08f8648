"""`nodejepa-ext sweep`: search configurations, on GPUs or cores, on one machine or many."""

from __future__ import annotations

import argparse
import math
import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nodejepa_ext.commands.console import Quiet, on_terminate, say, sentences
from nodejepa_ext.commands.printing import print_json, print_parts
from nodejepa_ext.sweep.repeats import MOST as ATTEMPTS

if TYPE_CHECKING:
    from nodejepa_ext.sweep.plan import Plan
    from nodejepa_ext.sweep.pool import Status
    from run_full import Config

EXAMPLES = f"""\b
Examples:
nodejepa-ext sweep --gpus 4
nodejepa-ext sweep --workers 2 --graphs cora --trials 40 --space space.toml --out sweeps/cora
nodejepa-ext sweep --storage postgresql://user@host/db --study cora-7 --gpus 4   (on every machine)

All other options are those of run_full.py (see its --help): they fix a field for all trials.
Defaults here: --preset best --seeds 2 --out results/sweep/<graphs>. The same command continues a
sweep, and runs again what the machine failed, up to {ATTEMPTS} attempts a trial. Exit codes: 0;
1 storage failed; 2 usage; 3 damaged files; 5 trials failed, or are unfinished; 130, 143
interrupted, nothing finished being lost.
"""
CONTEXT = {"allow_extra_args": True, "ignore_unknown_options": True}
PROG = "nodejepa-ext sweep"
UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
BARE = "process lists show a password in it; PGPASSWORD or a file ~/.pgpass keep it to yourself"
KEPT = "; what was finished is kept, the same command continues"
MOST = 4096  # workers or threads
FRESH = 500  # seeds of the rounds are the search's plus this, and up


def options(panel: str) -> Callable[..., Any]:
    return lambda flag, text, **more: typer.Option(flag, help=text, rich_help_panel=panel, **more)


where, who, what = map(options, ("Where it is kept", "Who works", "What is searched"))


def sweep(
    context: typer.Context,
    gpus: Annotated[int, who("--gpus", "How many GPUs.", min=0, max=MOST)] = 0,
    workers: Annotated[
        int, who("--workers", "Processes; 0: one a GPU, or a core.", min=0, max=MOST)
    ] = 0,
    per_gpu: Annotated[
        int, who("--per-gpu", "Workers a GPU; 0: by memory and graph.", min=0, max=MOST)
    ] = 0,
    strict_gpus: Annotated[bool, who("--strict-gpus", "Exit 2 where GPUs are fewer.")] = False,
    trial_timeout: Annotated[str, who("--trial-timeout", "Of one trial: 90s, 30m, 2h.")] = "2h",
    recycle: Annotated[int, who("--recycle", "Trials until a worker is replaced.", min=0)] = 50,
    trials: Annotated[int, what("--trials", "Of each graph.", min=1)] = 40,
    budget: Annotated[str, what("--budget", "Of the search: 90s, 60m, 2h; without: any.")] = "",
    space: Annotated[Path | None, what("--space", "TOML: fields and their ranges.")] = None,
    objective: Annotated[str, what("--objective", "val, dev, rankme: effective rank / D.")] = "val",
    pruner: Annotated[str, what("--pruner", "asha, hyperband, median, none.")] = "asha",
    enqueue: Annotated[str, what("--enqueue", "Presets, or a TOML of tables, tried first.")] = "",
    best: Annotated[int, what("--best", "Configurations run again on fresh seeds.", min=0)] = 5,
    fresh: Annotated[int, what("--fresh", "Fresh seeds of each.", min=0)] = 10,
    final: Annotated[bool, what("--final", "Score the winner on test nodes, once.")] = False,
    storage: Annotated[
        str | None, where("--storage", "postgresql://user@host/db; PGPASSWORD, ~/.pgpass.")
    ] = None,
    study: Annotated[str, where("--study", "Its name in --storage.")] = "",
    grace: Annotated[str, where("--grace", "In --storage: until a silent host is dead.")] = "60s",
    join: Annotated[bool, where("--join", "Add workers to the sweep that runs in --out.")] = False,
    drop_damaged: Annotated[bool, where("--drop-damaged", "Rebuild a damaged journal.")] = False,
    dry_run: Annotated[bool, where("--dry-run", "Say what would be run.")] = False,
    as_json: Annotated[bool, where("--json", "One JSON object, not tables.")] = False,
    quiet: Quiet = False,
) -> None:
    """Search, then judge the best on fresh seeds. Continues where it was stopped."""
    on_terminate(f"terminated{KEPT}")
    with sentences(PROG, f"interrupted{KEPT}"):
        if dry_run:
            say("dry run: settings and spaces are read; nothing is run, nothing written")
        check_storage(storage, study, drop_damaged)
        args = parse_core(context.args)
        seats = placed(args, gpus, workers, per_gpu, strict_gpus)
        limits: dict[str, Any] = {"trials": trials, "budget": seconds("--budget", budget)}
        limits |= {"timeout": seconds("--trial-timeout", trial_timeout), "recycle": recycle}
        limits |= {"best": best, "final": final, "url": storage, "study": study}
        limits |= {"objective": objective, "pruner": pruner, "join": join}
        own = plan(args, space, enqueue, fresh, limits | seats)
        if seats["devices"] and not workers and not per_gpu:
            own = packed(own, args.threads)
        code = carry_out(own, seconds("--grace", grace), dry_run, as_json, drop_damaged)
    if code:
        raise typer.Exit(code)


def check_storage(storage: str | None, study: str, drop_damaged: bool) -> None:
    """Says where a password would be safer. ValueError: options that do not go together."""
    if bool(storage) != bool(study):
        raise ValueError("--storage and --study: expected both or neither")
    if storage and drop_damaged:
        raise ValueError("--drop-damaged: expected without --storage, for a journal in --out")
    if storage and re.search(r"://[^/@]*:[^/@]*@|[?&]password=", storage):
        say(f"--storage: {BARE}")


def parse_core(argv: list[str]) -> argparse.Namespace:
    """Options of the reference. SystemExit 2, in its words: an unknown one."""
    from nodejepa_ext.training.settings import command_line

    parser = command_line(PROG)
    parser.set_defaults(seeds=2, folder=None)
    args = parser.parse_args(argv)
    if args.seeds < 1 or args.threads < 0:
        raise ValueError(f"--seeds {args.seeds}, --threads {args.threads}: expected >= 1, >= 0")
    if args.threads > MOST:
        raise ValueError(f"--threads {args.threads}: expected at most {MOST}")
    return args


def seconds(flag: str, text: str) -> float:
    """ "90s", "60m", "2h", "1d" or a number of seconds; "": without end."""
    if not text:
        return math.inf
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text.strip())
    if not found or float(found[1]) == 0:
        raise ValueError(f"{flag} {text}: expected a time above 0, as in 90s, 60m, 2h")
    return float(found[1]) * UNITS[found[2]]


def placed(
    args: argparse.Namespace, gpus: int, workers: int, per_gpu: int, strict: bool
) -> dict[str, Any]:
    """{"workers", "threads", "devices"}: per_gpu workers a GPU, one if 0, see `packed`, or, without
    any, one a core. Says so where GPUs are fewer than asked; ValueError: `strict`, and they are, or
    per_gpu beside a number of workers."""
    from nodejepa_ext.workers.seats import alone, cores, visible_gpus

    cfg = configured(args, args.graphs.split(",")[0], args.preset)
    device = cfg.device
    if gpus and device not in ("auto", "cuda"):
        raise ValueError(f"--gpus {gpus} --device {device}: expected one of them, or --device cuda")
    if per_gpu and workers:
        text = f"--per-gpu {per_gpu}, --workers {workers}: expected one of them"
        raise ValueError(text)
    found = visible_gpus() if device in ("auto", "cuda") else []
    use = found[: gpus or None]
    count = workers or len(use) * max(per_gpu, 1) or alone(cfg)
    threads = args.threads or max(1, cores() // count)
    if len(use) < gpus:
        short = f"--gpus {gpus}: this machine has {len(use) or 'none'}"
        if strict:
            raise ValueError(f"{short}, and --strict-gpus is given")
        kind = f"on {'it' if len(use) == 1 else 'them'}" if use else "on the CPU"
        say(f"{short}; {count} worker(s) {kind}, {threads} thread(s) each")
    return {"workers": count, "threads": threads, "devices": use or None}


def packed(plan: Plan, threads: int) -> Plan:
    """Its GPUs shared by as many workers as memory and graphs permit, which is said; threads: as
    asked, 0: all cores'."""
    from nodejepa_ext.sweep.packing import per_gpu
    from nodejepa_ext.workers.seats import cores

    assert plan.devices
    each = per_gpu(plan.spaces, plan.data, plan.devices)
    if each == 1:
        return plan
    say(f"{each} workers a GPU, as its memory and the graphs permit; --per-gpu decides otherwise")
    count = each * len(plan.devices)
    return replace(plan, workers=count, threads=threads or max(1, cores() // count))


def plan(
    args: argparse.Namespace, space: Path | None, enqueue: str, fresh: int, limits: dict[str, Any]
) -> Plan:
    """The options as a plan. ValueError: they do not go together."""
    import run_full
    from nodejepa_ext.files import file_name
    from nodejepa_ext.sweep.kept import OBJECTIVES
    from nodejepa_ext.sweep.plan import PRUNERS, Plan
    from nodejepa_ext.sweep.space import FIELDS, read_space

    for flag, value, valid in (
        ("--objective", limits["objective"], OBJECTIVES),
        ("--pruner", limits["pruner"], tuple(PRUNERS)),
    ):
        if value not in valid:
            raise ValueError(f"{flag} {value}: expected one of {', '.join(valid)}")
    graphs = list(dict.fromkeys(args.graphs.split(",")))
    given = FIELDS.keys() & vars(args).keys()
    bases = {graph: configured(args, graph, args.preset) for graph in graphs}
    spaces = {g: read_space(space, g, base, given, graphs) for g, base in bases.items()}
    first = {graph: starts(args, graph, enqueue) for graph in graphs}
    for graph, found in spaces.items():
        if limits["objective"] == "rankme" and not (
            found.fixed("out") and found.fixed("own_features")
        ):
            raise ValueError("--objective rankme: expected a space with out and own_features fixed")
        if not enqueue:
            first[graph] = [bases[graph]] if inside(found, bases[graph]) else []
        for cfg in first[graph]:
            found.params(cfg)  # ValueError: outside
        run_full.load_graph(graph, args.data)
    seeds = list(range(args.first_seed, args.first_seed + args.seeds))
    again = list(range(args.first_seed + FRESH, args.first_seed + FRESH + fresh))
    name = "-".join(graphs)
    if limits["study"] and not args.folder:
        name = file_name(limits["study"], "--study, without --out,")
    out = args.folder or Path("results", "sweep", name)
    rest = {"seeds": seeds, "fresh": again, "out": out, "data": args.data}
    return Plan(spaces=spaces, enqueue=first, **rest, **limits)


def inside(space: Any, cfg: Config) -> bool:
    """The space holds the configuration."""
    try:
        space.params(cfg)
    except ValueError:
        return False
    return True


def starts(args: argparse.Namespace, graph: str, enqueue: str) -> list[Config]:
    """The configurations that --enqueue names. ValueError: no preset and no file."""
    import run_full
    from nodejepa_ext.records import Each, read_toml

    path = Path(enqueue)
    if enqueue and path.suffix == ".toml":
        try:
            tables = read_toml(path, Each(dict))
            base = vars(configured(args, graph, args.preset))
            return [run_full.Config(**base | table) for table in tables.values()]
        except (OSError, ValueError, TypeError) as error:
            raise ValueError(f"--enqueue {path}: {error}") from None
    return [configured(args, graph, name) for name in filter(None, enqueue.split(","))]


def configured(args: argparse.Namespace, graph: str, name: str) -> Config:
    """The preset `name` < --config < options. ValueError: a setting that may not be."""
    from nodejepa_ext.parts.choice import Parts, differences
    from nodejepa_ext.training.settings import preset, resolve

    cfg, parts = resolve(preset(name, graph), args, graph)
    if parts != Parts():
        found = differences(vars(Parts()), vars(parts))
        raise ValueError(f"{'; '.join(found)}: expected fields of run_full.Config alone")
    return cfg


def carry_out(plan: Plan, grace: float, dry: bool, as_json: bool, drop_damaged: bool) -> int:
    """-> 5 if trials failed or are unfinished, else 0. RunError 1: the report cannot be written."""
    import optuna

    from nodejepa_ext.sweep import report as sweep_report
    from nodejepa_ext.sweep.ours import claim
    from nodejepa_ext.sweep.pool import Sweep, dry_run
    from nodejepa_ext.sweep.storage import open_store
    from nodejepa_ext.sweep.words import open_ends
    from run_full import RunError

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for graph, space in plan.spaces.items():
        say(f"{graph}: {'; '.join(space.lines())}")
    if dry:
        say(dry_run(plan))
        return 0
    claim(plan.out)
    plan.out.mkdir(parents=True, exist_ok=True)
    how: dict[str, Any] = {"join": plan.join, "grace": grace, "drop_damaged": drop_damaged}
    with open_store(plan.out, plan.url, **how, on_event=say) as store:
        pool = Sweep(plan, store, say)
        with screen() as look:
            failed = pool.run(look)
        found = sweep_report.report(store.optuna, plan.prefix)
    try:
        sweep_report.write(plan.out, found)
    except OSError as error:
        kept = "finished trials are intact: free some space there, then the same command continues"
        raise RunError(f"{plan.out}: {error.strerror}; {kept}", 1) from None
    show(found, plan.out, as_json)
    for graph, part in found["graphs"].items():
        if left := open_ends(part):
            failed += 1
            say(f"{graph}: unfinished: {left}; the same command runs again what was not given up")
    if not pool.over():
        say("no seat is left: the same command tries them again")
    return 5 if failed or not pool.over() else 0


class screen:
    """A live picture of the pool on a terminal; elsewhere nothing: the plain lines say enough."""

    def __enter__(self) -> Any:
        from rich.console import Console
        from rich.live import Live

        console = Console(stderr=True)
        self.live = Live(console=console, transient=True, refresh_per_second=2)
        if not console.is_terminal:
            return lambda status: None
        self.live.start()
        return lambda status: self.live.update(picture(status))

    def __exit__(self, *_: object) -> None:
        self.live.stop()


def picture(status: Status) -> Any:
    """A line a running trial, a line a study, and the time left."""
    from rich.table import Table

    table = Table("study", "trial", "done", "so far", title=f"{status.left / 60:.0f} minutes left")
    for study, number, share, value in status.running:
        figure = "" if value is None else f"{100 * value:.1f}"
        table.add_row(study, str(number), f"{100 * share:.0f}%", figure)
    table.add_section()
    for study, counts in status.counts.items():
        tally = ", ".join(f"{n} {outcome}" for outcome, n in counts.items())
        value = status.best.get(study.rpartition("/")[2])
        table.add_row(study, "", tally, "" if value is None else f"best {100 * value:.1f}")
    return table


def show(found: dict[str, Any], out: Path, as_json: bool) -> None:
    """The report to stdout, and to stderr where it is kept."""
    from nodejepa_ext.sweep import report

    if as_json:
        return print_json(found)
    print_parts(report.tables(found))
    say(f"kept in {out}: {report.RESULTS}, {report.BEST}, {report.CURVES}")
    say_next(found, out)


def say_next(found: dict[str, Any], out: Path) -> None:
    """The command of the table that the winners go to, if there are any."""
    from nodejepa_ext.sweep import report

    if won := [graph for graph, part in found["graphs"].items() if part["winner"]]:
        config = shlex.quote(str(out / report.BEST))
        say(f"its table: nodejepa-ext table --config {config} --graphs {','.join(won)}")
