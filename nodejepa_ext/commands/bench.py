"""`nodejepa-ext bench`: what a training step, large graphs, or a sweep's storage cost here,
whether a GPU does what the CPU does, and whether commands survive what befalls them.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from nodejepa_ext.commands.console import say, sentences, stop
from nodejepa_ext.commands.printing import print_json, print_parts

EXAMPLES = """\b
Examples:
nodejepa-ext bench
nodejepa-ext bench --graphs cora --steps 5
nodejepa-ext bench --graphs cora,pubmed --rounds 3 --json > bench.json
nodejepa-ext bench parts
nodejepa-ext bench batches --steps 5
nodejepa-ext bench ranks --rounds 5          (two idle cores)
nodejepa-ext bench scale                     (half an hour or more, 7 GB of disk)
nodejepa-ext bench scale --nodes 100000 --out /scratch
nodejepa-ext bench sweep --storage postgresql://user@host/db
nodejepa-ext bench sweep --scaling
nodejepa-ext bench gpu --part equality
nodejepa-ext bench gpu --device cpu          (a dry run of the same checks)
nodejepa-ext bench survive --share 0.1       (a tenth; the whole takes 23 minutes)

Exit codes: 0; 1 a measurement failed, a GPU is not as expected, or something did not survive;
2 usage, or no GPU; 130.
"""

PROG = "nodejepa-ext bench"


class What(StrEnum):
    step = "step"
    parts = "parts"
    batches = "batches"
    ranks = "ranks"
    scale = "scale"
    sweep = "sweep"
    gpu = "gpu"
    survive = "survive"


class Device(StrEnum):
    cuda = "cuda"
    cpu = "cpu"


class Part(StrEnum):
    """Of gpu; the names of `bench.gpu.PARTS`."""

    equality = "equality"
    step = "step"
    memory = "memory"
    resume = "resume"
    sweep = "sweep"
    all = "all"


Skip = Annotated[str, typer.Option(help="step: none, or linear as older trees have.")]
Storage = Annotated[
    str | None, typer.Option(help="sweep: PostgreSQL as well, postgresql://user@host/db.")
]
Scaling = Annotated[
    bool, typer.Option("--scaling", help="sweep: real trials, 1 against 2 workers.")
]
Share = Annotated[
    float | None, typer.Option(help="survive: of all that is done.", show_default="1.0")
]
On = Annotated[
    Device | None, typer.Option(help="gpu: cuda, or cpu for a dry run.", show_default="cuda")
]
Checked = Annotated[Part | None, typer.Option(help="gpu: what is checked.", show_default="all")]
Out = Annotated[
    Path | None, typer.Option(help="gpu, scale: folder of the report.", show_default="results")
]
Nodes = Annotated[
    str | None, typer.Option(help="scale: of the graphs, N,N.", show_default="100000,1000000")
]
Quick = Annotated[bool, typer.Option("--quick", help="scale: 3000 nodes, to see that all works.")]
Seed = Annotated[int | None, typer.Option(min=0, help="survive: of all damage.", show_default="0")]


def bench(
    what: Annotated[
        What,
        typer.Argument(
            help="A training step; BFS balls and masks and Laplacian positions; subgraphs of a "
            "graph of 200,000 nodes; a second process; whole commands on a million nodes; a "
            "sweep's storage; a GPU; damage, kills, full disks."
        ),
    ] = What.step,
    graphs: Annotated[
        str, typer.Option(help="Some of cora,citeseer,pubmed.")
    ] = "cora,citeseer,pubmed",
    steps: Annotated[int, typer.Option(min=1, help="Timed steps, after 3 to warm up.")] = 10,
    rounds: Annotated[int, typer.Option(min=1, help="Processes of each; the median counts.")] = 1,
    skip: Skip = "none",
    storage: Storage = None,
    scaling: Scaling = False,
    device: On = None,
    part: Checked = None,
    out: Out = None,
    nodes: Nodes = None,
    quick: Quick = False,
    share: Share = None,
    seed: Seed = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, not tables.")] = False,
) -> None:
    """CPU seconds, and memory of a step, on one thread; a GPU's results; what is survived."""
    if what is What.survive:
        return measure_survival(1.0 if share is None else share, seed or 0, as_json)
    if share is not None or seed is not None:
        raise stop(PROG, "--share, --seed: expected with survive only", 2)
    if what is What.scale and not (device or part):
        return measure_scale(nodes, quick, out or Path("results"), as_json)
    if nodes or quick:
        raise stop(PROG, "--nodes, --quick: expected with scale only", 2)
    if what is not What.gpu and (device or part or out):
        raise stop(PROG, "--device, --part, --out: expected with gpu, or --out with scale", 2)
    if what is What.sweep and not (storage and scaling):
        return measure_sweep(storage, scaling, as_json)
    if storage or scaling:
        raise stop(PROG, "--storage, --scaling: expected one, with sweep", 2)
    if what is What.gpu:
        return measure_gpu(device or Device.cuda, part or Part.all, out or Path("results"), as_json)
    if what is What.parts:
        return measure_parts(as_json)
    if what is What.batches:
        return measure_batches(steps, as_json)
    if what is What.ranks:
        return measure_ranks(rounds, as_json)
    measure_steps(graphs, steps, rounds, skip, as_json)


def measure_steps(graphs: str, steps: int, rounds: int, skip: str, as_json: bool) -> None:
    """A training step beside plain PyG and graphssl, each in processes of its own."""
    import run_full
    from nodejepa_ext.bench import step

    names = list(dict.fromkeys(graphs.split(",")))
    if skip not in ("none", "linear"):
        raise stop(PROG, f"--skip {skip}: expected none or linear", 2)
    with sentences(PROG, "interrupted"):
        for name in names:
            run_full.load_graph(name)
        report = step.measure_all(names, steps, rounds, skip, say)
    if as_json:
        print_json(report, indent=1)
    else:
        print_parts(step.tables(report))
    if any(row["error"] for row in report["rows"]):
        raise typer.Exit(1)


def measure_parts(as_json: bool) -> None:
    """Balls, masks and positions, one after another in this process."""
    import torch

    from nodejepa_ext.bench import parts
    from nodejepa_ext.workers.machine import processor

    torch.set_num_threads(1)
    rows = []
    for part in (parts.balls, parts.masks, parts.positions):
        say(part.__name__)
        rows += part()
    if as_json:
        return print_json({"processor": processor(), "threads": 1, "rows": rows})
    text = f"{processor()}, 1 thread; medians of {parts.ROOTS} roots and {parts.CALLS} masks"
    print_parts([parts.table(rows), f"{text}; positions once."])


def measure_batches(steps: int, as_json: bool) -> None:
    """Training on subgraphs, and inference, in a process of its own."""
    from nodejepa_ext.bench import batches

    report = batches.spawn(steps)
    if "error" in report:
        raise stop(f"{PROG} batches", report["error"], 1)
    if as_json:
        return print_json(report)
    print_parts([batches.table(report)])


def measure_scale(nodes: str | None, quick: bool, out: Path, as_json: bool) -> None:
    """Whole commands on large graphs, each a process, in less memory than they take."""
    from nodejepa_ext.bench import scale

    prog = f"{PROG} scale"
    counts = [*(scale.QUICK if quick else scale.NODES)]
    with sentences(prog, f"interrupted; rows so far are in {scale.REPORT}"):
        if nodes is not None:
            counts = whole_numbers("--nodes", nodes)
        try:
            report = scale.measure(counts, out, say)
        except RuntimeError as error:
            raise stop(prog, str(error), 1) from None
        picture = scale.draw(report)
    if as_json:
        print_json(report, indent=1)
    else:
        print_parts(scale.tables(report))
    say(f"kept in {report['folder']}" + (f": {picture}" if picture else ""))
    if scale.failed(report):
        raise typer.Exit(1)


def whole_numbers(option: str, text: str) -> list[int]:
    """Of "1,2", each once, ascending. ValueError: other text."""
    words = text.split(",")
    if not all(word.isdecimal() and len(word) < 12 for word in words):
        raise ValueError(f"{option} {text}: expected whole numbers, as in 100000,1000000")
    return sorted({*map(int, words)})


def measure_ranks(rounds: int, as_json: bool) -> None:
    """A training by one process and by two, in turns."""
    from nodejepa_ext.bench import ranks

    with sentences(f"{PROG} ranks", "interrupted"):
        report = ranks.measure_all(rounds, say)
    if as_json:
        print_json(report)
    else:
        print_parts([ranks.table(report)])
    if any("error" in row for row in report["rows"]):
        raise typer.Exit(1)


def measure_sweep(storage: str | None, scaling: bool, as_json: bool) -> None:
    """What the storages of a sweep carry, or what a second worker is worth."""
    from nodejepa_ext.bench import sweep

    with sentences(f"{PROG} sweep", "interrupted"):
        report = sweep.scaling(say) if scaling else sweep.storages(storage, say)
    if as_json:
        return print_json(report)
    print_parts((sweep.scaling_tables if scaling else sweep.tables)(report))


def measure_gpu(device: Device, part: Part, out: Path, as_json: bool) -> None:
    """A GPU against the CPU, its speed and memory, and commands on it."""
    prog = f"{PROG} gpu"
    with sentences(prog, "interrupted; rows so far are in gpu.json"):
        from nodejepa_ext.bench import gpu

        parts = [*gpu.PARTS] if part is Part.all else [part.value]
        report = gpu.measure(device.value, parts, out, say)
    if as_json:
        print_json(report, indent=1)
    else:
        print_parts(gpu.tables(report))
    say(f"kept in {report['folder']}")
    if gpu.failed(report):
        raise typer.Exit(1)


def measure_survival(share: float, seed: int, as_json: bool) -> None:
    """Damaged files, kills, full disks and hostile files, all with real commands."""
    prog = f"{PROG} survive"
    with sentences(prog, "interrupted"):
        from nodejepa_ext.bench import survive

        try:
            report = survive.measure(share, seed, say)
        except RuntimeError as error:
            raise stop(prog, str(error), 1) from None
    if as_json:
        print_json(report, indent=1)
    else:
        print_parts(survive.tables(report))
    if survive.failed(report):
        raise typer.Exit(1)
