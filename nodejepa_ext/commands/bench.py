"""`nodejepa-ext bench`: what a training step, a large graph, or a sweep's storage costs here."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from functools import partial
from typing import Annotated

import typer

EXAMPLES = """\b
Examples:
nodejepa-ext bench
nodejepa-ext bench --graphs cora --steps 5
nodejepa-ext bench --graphs cora,pubmed --rounds 3 --json > bench.json
nodejepa-ext bench parts
nodejepa-ext bench batches --steps 5
nodejepa-ext bench sweep --storage postgresql://user@host/db
nodejepa-ext bench sweep --scaling
"""


class What(StrEnum):
    step = "step"
    parts = "parts"
    batches = "batches"
    sweep = "sweep"


def bench(
    what: Annotated[
        What,
        typer.Argument(
            help="A training step; BFS balls and masks and Laplacian positions; subgraphs of a "
            "graph of 200,000 nodes; a sweep's storage."
        ),
    ] = What.step,
    graphs: Annotated[
        str, typer.Option(help="Some of cora,citeseer,pubmed.")
    ] = "cora,citeseer,pubmed",
    steps: Annotated[int, typer.Option(min=1, help="Timed steps, after 3 to warm up.")] = 10,
    rounds: Annotated[int, typer.Option(min=1, help="Processes of each; the median counts.")] = 1,
    storage: Annotated[
        str | None, typer.Option(help="sweep: PostgreSQL as well, postgresql://user@host/db.")
    ] = None,
    scaling: Annotated[
        bool, typer.Option("--scaling", help="sweep: real trials, 1 against 2 workers.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, not tables.")] = False,
) -> None:
    """CPU seconds, and memory of a training step, on this machine, on one thread."""
    if what is What.sweep and not (storage and scaling):
        return measure_sweep(storage, scaling, as_json)
    if storage or scaling:
        typer.echo("nodejepa-ext bench: --storage, --scaling: expected one, with sweep", err=True)
        raise typer.Exit(2)
    if what is What.parts:
        return measure_parts(as_json)
    if what is What.batches:
        return measure_batches(steps, as_json)
    measure_steps(graphs, steps, rounds, as_json)


def measure_steps(graphs: str, steps: int, rounds: int, as_json: bool) -> None:
    """A training step beside plain PyG and graphssl, each in processes of its own."""
    import run_full
    from nodejepa_ext import bench as bench_module

    names = list(dict.fromkeys(graphs.split(",")))
    try:
        for name in names:
            run_full.load_graph(name)
    except ValueError as error:
        typer.echo(f"nodejepa-ext bench: --graphs: {error}", err=True)
        raise typer.Exit(2) from None
    except run_full.RunError as error:
        typer.echo(f"nodejepa-ext bench: {error.args[0]}", err=True)
        raise typer.Exit(error.args[1]) from None

    report = bench_module.measure_all(names, steps, rounds, lambda text: typer.echo(text, err=True))
    if as_json:
        typer.echo(json.dumps(report, indent=1))
    else:
        from rich.console import Console

        console = Console(width=None if sys.stdout.isatty() else 120)
        for part in bench_module.tables(report):
            console.print(part)
    if any(row["error"] for row in report["rows"]):
        raise typer.Exit(1)


def measure_parts(as_json: bool) -> None:
    """Balls, masks and positions, one after another in this process."""
    import torch
    from rich.console import Console

    from nodejepa_ext import bench, bench_parts

    torch.set_num_threads(1)
    rows = []
    for part in (bench_parts.balls, bench_parts.masks, bench_parts.positions):
        typer.echo(part.__name__, err=True)
        rows += part()
    if as_json:
        typer.echo(json.dumps({"processor": bench.processor(), "threads": 1, "rows": rows}))
        return
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(bench_parts.table(rows))
    console.print(
        f"{bench.processor()}, 1 thread; medians of {bench_parts.ROOTS} roots and "
        f"{bench_parts.CALLS} masks; positions once."
    )


def measure_batches(steps: int, as_json: bool) -> None:
    """Training on subgraphs, and inference, in a process of its own."""
    from rich.console import Console

    from nodejepa_ext import bench_batches

    report = bench_batches.spawn(steps)
    if "error" in report:
        typer.echo(f"nodejepa-ext bench batches: {report['error']}", err=True)
        raise typer.Exit(1)
    if as_json:
        typer.echo(json.dumps(report))
        return
    console = Console(width=None if sys.stdout.isatty() else 100)
    console.print(bench_batches.table(report))


def measure_sweep(storage: str | None, scaling: bool, as_json: bool) -> None:
    """What the storages of a sweep carry, or what a second worker is worth."""
    from rich.console import Console

    from nodejepa_ext import bench_sweep
    from run_full import RunError

    say = partial(typer.echo, err=True)
    try:
        report = bench_sweep.scaling(say) if scaling else bench_sweep.storages(storage, say)
    except (ValueError, RunError) as error:
        message, code = error.args if isinstance(error, RunError) else (error, 2)
        typer.echo(f"nodejepa-ext bench sweep: {message}", err=True)
        raise typer.Exit(code) from None
    if as_json:
        typer.echo(json.dumps(report))
        return
    console = Console(width=None if sys.stdout.isatty() else 120)
    for part in (bench_sweep.scaling_tables if scaling else bench_sweep.tables)(report):
        console.print(part)
