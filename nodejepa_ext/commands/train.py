"""`nodejepa-ext train`: a graph of your own -> embeddings, and a run that survives its machine."""

from __future__ import annotations

import argparse
import math
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nodejepa_ext.commands.console import Progress, Quiet, say
from nodejepa_ext.commands.data import (
    Edges,
    Features,
    Label,
    Nodes,
    NotFeatures,
    Weight,
    choices_of,
)
from nodejepa_ext.commands.printing import print_json
from nodejepa_ext.commands.ranks import one_voice, second
from nodejepa_ext.commands.verb import check_graph, check_preset, check_tables, presets
from nodejepa_ext.interrupts import end_of_import

if TYPE_CHECKING:
    from nodejepa_ext.graphs.source import Subject
    from nodejepa_ext.parts.choice import Parts
    from nodejepa_ext.training.ranks import Alone
    from run_full import Config, TrainState

EXAMPLES = """\b
Examples:
nodejepa-ext train mygraph/ --out runs/mine
nodejepa-ext train --edges e.csv --nodes n.csv --epochs 200 --bfs-mask
nodejepa-ext train --resume runs/mine
nodejepa-ext train huge/ --batch-nodes 8192 --track trackio
torchrun --nproc-per-node 4 -m nodejepa_ext train huge/ --batch-nodes 8192

GRAPH: whatever `nodejepa-ext data check` takes. All other options are those
of run_full.py (see its --help), but --graphs, --seeds, --first-seed, --data,
--quick and --validation-only; and --bfs-mask, --degree-mask, --laplacian-pe
and what belongs to them, as in `nodejepa-ext ablate`.
--batch-nodes B: every epoch is one step on another subgraph of at most B nodes, grown
breadth-first; embeddings are of the whole graph, in chunks of B nodes; not
with --laplacian-pe.
--track trackio (extra trackio): metrics.jsonl in trackio's database as well,
in $TRACKIO_DIR, else in ~/.cache/huggingface/trackio: project as GRAPH, run
as the folder. Nothing is sent anywhere. --resume goes on with it.
Written: config.toml, run.json, metrics.jsonl, checkpoints/, and at the end
model.safetensors, embeddings.npz and report.md.
torchrun: a subgraph a process and step; the first one writes: docs/scale.md.
Exit codes: 0; 1 cannot write, a process was lost; 2 usage; 3 no sound graph,
or it has changed; 4 no checkpoint verifies; 6 memory; 7 diverged; 130, 143
stopped, resumable.
"""
CONTEXT = {"allow_extra_args": True, "ignore_unknown_options": True}
USAGE = "GRAPH [OPTIONS]"
PROG = "nodejepa-ext train"
Preset = Annotated[str, typer.Option(help="auto, best, card or bgrl.", autocompletion=presets)]
Beside = Annotated[
    bool | None,
    typer.Option("--positions/--no-positions", help="Eigenvectors of the graph beside features."),
]
Track = Annotated[str | None, typer.Option(help="Mirror the metrics: trackio.", show_default=False)]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what it would train and how long.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object, not a report.")]
Said = tuple[str | None, str | None, str | None, str | None]  # of columns, see `choices_of`
# run_full's options that a single run has no use for
OTHERS = ("graphs", "seeds", "first_seed", "data", "quick", "validation_only")


class Stop:
    """Handles SIGTERM and SIGINT: at once while there is nothing to keep, and from the first epoch
    on after the epoch at hand, unless asked twice."""

    def __init__(self) -> None:
        self.code, self.gentle = 0, False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.handle)

    def handle(self, number: int, frame: FrameType | None) -> None:
        if not self.gentle:  # nothing is to be kept yet
            end_of_import(frame, "stopped at once", 128 + number)
        if self.code or not self.gentle:
            raise KeyboardInterrupt("stopped at once", 128 + number)
        self.code = 128 + number


def train(
    context: typer.Context,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run.", show_default="runs/<GRAPH's name>")
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(help="Go on with a run; takes no other argument.", show_default=False),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace --out's run.")] = False,
    nodes: Nodes = None,
    edges: Edges = None,
    features: Features = None,
    not_features: NotFeatures = None,
    label: Label = None,
    weight: Weight = None,
    preset: Preset = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Of every random stream.")] = 0,
    checkpoint_every: Annotated[
        int, typer.Option(min=0, help="Epochs between checkpoints; 0: 30 seconds.")
    ] = 0,
    batch_nodes: Annotated[
        int, typer.Option(min=0, help="Nodes of the subgraphs to train on; 0: the whole graph.")
    ] = 0,
    passes: Annotated[
        int, typer.Option(min=0, help="Of subgraphs over all nodes, in place of --epochs.")
    ] = 0,
    positions: Beside = None,
    track: Track = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Learns embeddings of a graph's nodes, without labels; can be killed and resumed."""
    stop = Stop()
    if dry_run and not second():
        say("dry run: the graph is read and a step is timed; nothing is written")  # at once
    where = out, overwrite, checkpoint_every, dry_run
    how = preset, seed, (batch_nodes, passes), positions, track
    tables = edges, nodes, (features, not_features, label, weight)
    work = partial(begin, context.args, tables, how, where, stop)
    if resume:
        work = partial(go_on, context, resume, stop)
    with one_voice(PROG, "stopped at once", lambda: stop.code) as ranks:
        folder, text = guarded(partial(work, ranks))
    if as_json and not ranks.rank:
        print_json(told(folder, text, dry_run))
    elif text and not ranks.rank:
        typer.echo(text, nl=False)


def told(folder: Path, text: str, dry: bool) -> dict[str, Any]:
    """What --json prints: the run's folder and its run.json."""
    from nodejepa_ext.training.claim import manifest

    return {"run": str(folder)} | ({"dry_run": text.strip()} if dry else manifest(folder))


def guarded(work: Callable[[], tuple[Path, str]]) -> tuple[Path, str]:
    """What work returns; memory that runs out is a user's mistake."""
    from nodejepa_ext.training.memory import memory_errors

    with memory_errors():
        return work()


def go_on(context: typer.Context, folder: Path, stop: Stop, ranks: Alone) -> tuple[Path, str]:
    """-> folder and report. ValueError: there are other arguments."""
    from nodejepa_ext.training import folder as runs

    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if (
            parameter.name not in ("resume", "as_json", "quiet")
            and source
            and source.name == "COMMANDLINE"
        ):
            raise ValueError(f"--resume takes no other argument: {parameter.opts[-1]}")
    if context.args:
        raise ValueError(f"--resume takes no other argument: {context.args[0]}")
    if ranks.rank:
        return folder, along(ranks, stop, "resume", folder)
    with watching(stop, folder) as watch:
        return folder, runs.resume(folder, say=say, watch=watch, stop=ranks.stopped, ranks=ranks)


def parsed(argv: list[str]) -> argparse.Namespace:
    """GRAPH and the reference's options. SystemExit 2, in the reference's words: an unknown one.
    ValueError: one that a single run has no use for."""
    from nodejepa_ext.parts.choice import Parts
    from nodejepa_ext.training.settings import command_line

    parser = command_line(PROG, Parts)
    parser.usage = f"{PROG} {USAGE}"
    parser.add_argument("graph", nargs="?")
    parser.set_defaults(preset=None, folder=None, **dict.fromkeys(OTHERS))
    args = parser.parse_args(argv)
    for name in OTHERS:
        if getattr(args, name) is not None:
            raise ValueError(f"--{name.replace('_', '-')}: no option of train")
    return args


def begin(
    argv: list[str],
    tables: tuple[Path | None, Path | None, Said],
    how: tuple[str, int, tuple[int, int], bool | None, str | None],
    where: tuple[Path | None, bool, int, bool],
    stop: Stop,
    ranks: Alone,
) -> tuple[Path, str]:
    """-> folder and report. tables: of edges and nodes, and what their columns are; how: preset,
    seed, nodes of a batch and passes, positions, tracker; where: the folder, whether to overwrite,
    the checkpoints, whether nothing is to be written."""
    import torch

    from nodejepa_ext.training import folder as runs
    from nodejepa_ext.training import track

    preset, *_, tracker = how
    out, overwrite, every, dry = where
    check_preset(preset, presets())
    args = parsed(argv)
    first = first_of(args, tables)
    if tracker:
        track.check(tracker)
    folder = out or Path("runs", Path(first).stem)
    if not ranks.rank:
        runs.vacant(folder, overwrite)  # before a graph is read, which may take its time
    torch.set_num_threads(args.threads or torch.get_num_threads())
    ready, cfg, parts, batch_nodes, about = planned(args, tables, how, ranks.size)
    about |= {"track": Path(first).stem} if tracker else {}
    ranks.check(ready, cfg, parts, batch_nodes)
    if dry:
        return folder, forecast(ready, cfg, parts, batch_nodes, folder)
    if ranks.rank:
        return folder, along(ranks, stop, "start", ready, cfg, parts, batch_nodes)
    with watching(stop, folder) as watch:
        return folder, runs.start(
            ready,
            cfg,
            folder,
            parts=parts,
            batch_nodes=batch_nodes,
            overwrite=overwrite,
            every=every,
            about=about,
            watch=watch,
            stop=ranks.stopped,
            ranks=ranks,
        )


def planned(
    args: argparse.Namespace,
    tables: tuple[Path | None, Path | None, Said],
    how: tuple[str, int, tuple[int, int], bool | None, str | None],
    ranks: int,
) -> tuple[Subject, Config, Parts, int, dict[str, Any]]:
    """The graph, settings, parts, nodes of a batch, and what run.json says of them; says what was
    found. ranks: how many processes train."""
    from nodejepa_ext.graphs.positions import wanted
    from nodejepa_ext.graphs.source import Source, read
    from nodejepa_ext.training.settings import batch_nodes_in

    preset, seed, (batch_nodes, passes), positions, _ = how
    edges, nodes, said = tables
    source = Source.of(args.graph, edges, nodes, choices_of(*said))
    ready = read(source, wanted(positions, preset))
    cfg, parts, why = chosen(preset, ready, args, seed)
    batch_nodes = batch_nodes or batch_nodes_in(args)
    cfg = seldom(cfg, args, len(ready.graph.data.x), batch_nodes)
    cfg, seen = length(cfg, len(ready.graph.data.x), batch_nodes, passes, ranks)
    for notice in (*ready.graph.notices, f"settings: {why}", *seen):
        say(notice)
    about: dict[str, Any] = {"preset": preset, "why": why, "argv": sys.argv[1:]}
    about |= {"ranks": ranks} if ranks > 1 else {}
    return ready, cfg, parts, batch_nodes, about


def along(ranks: Alone, stop: Stop, what: str, *given: Any) -> str:
    """A rank that is not the first trains along, and has nothing to report; what: the function of
    `following`."""
    from nodejepa_ext.training import following

    def watch(state: TrainState, row: dict[str, float]) -> None:
        """An EpochHook."""
        stop.gentle = True

    getattr(following, what)(*given, ranks, watch)
    return ""


def first_of(args: argparse.Namespace, tables: tuple[Path | None, Path | None, Said]) -> str | Path:
    """What the run is called after. ValueError: no graph is named, or a table of nodes alone, or
    threads are below 0."""
    check_tables(args.graph, *tables[:2])
    check_graph(args.graph)
    first = args.graph or tables[0]
    if first is None:
        raise ValueError("expected a GRAPH, --edges or --resume")
    if args.threads < 0:
        raise ValueError(f"--threads {args.threads}: expected at least 0")
    return first


def forecast(ready: Subject, cfg: Config, parts: Parts, batch_nodes: int, folder: Path) -> str:
    """How long a run would take; of one on subgraphs, its epochs alone."""
    text = f"{cfg.epochs} epochs into {folder}"
    if not batch_nodes:
        from nodejepa_ext.parts.choice import seams
        from nodejepa_ext.workers.job import duration

        text += f", about {duration(cfg, ready.graph.data, seams(parts)):.0f} s"
    return f"{text}; nothing was written\n"


def seldom(cfg: Config, args: argparse.Namespace, n: int, batch_nodes: int) -> Config:
    """cfg with at most one evaluation a pass over the n nodes on subgraphs, unless it is said how
    many: one takes about a sixth of the time of a pass."""
    from nodejepa_ext.training.settings import section_of

    said = {*vars(args), *(section_of(args.config, args.graph) if args.config else ())}
    if "eval_every" in said or not 0 < batch_nodes < n or not cfg.eval_every:
        return cfg
    return replace(cfg, eval_every=max(cfg.eval_every, math.ceil(n / batch_nodes)))


def length(
    cfg: Config, n: int, batch_nodes: int, passes: int, ranks: int = 1
) -> tuple[Config, list[str]]:
    """cfg with the steps of so many passes, and how much of n nodes a run on subgraphs will see,
    a step being of one subgraph a rank. ValueError: passes without subgraphs."""
    if not 0 < batch_nodes < n:
        if passes:
            text = f"expected --batch-nodes below the graph's {n} nodes beside it"
            raise ValueError(f"--passes {passes}: {text}")
        return cfg, []
    steps = math.ceil(n / batch_nodes)
    if passes:
        cfg = replace(cfg, epochs=math.ceil(passes * steps / ranks))
    text = f"{cfg.epochs} steps of at most {batch_nodes} nodes"
    each = f"{steps} steps each"
    if ranks > 1:
        text += f" in each of {ranks} processes"
        each = f"{steps} subgraphs each"
    return cfg, [f"{text}: {cfg.epochs * ranks / steps:.2g} passes over {n} nodes, {each}"]


def chosen(
    preset: str, ready: Subject, args: argparse.Namespace, seed: int
) -> tuple[Config, Parts, str]:
    """The settings of the run, its parts, and why its preset."""
    from dataclasses import replace

    from nodejepa_ext.training.settings import preset_for, resolve

    graph, structural = args.graph or "", ready.scaling.rule == "structural"
    base, why = preset_for(preset, ready.graph.data, graph, structural=structural)
    cfg, parts = resolve(base, args, graph, own=True)
    return replace(cfg, seed=seed), parts, why


@contextmanager
def watching(stop: Stop, folder: Path) -> Iterator[Any]:
    """An EpochHook: progress, and the mirror of a run that is tracked."""
    from nodejepa_ext.training import track

    with progress(stop) as show, track.mirror(folder, say) as send:

        def watch(state: TrainState, row: dict[str, float]) -> None:
            show(state, row)
            send(state, row)

        yield watch


@contextmanager
def progress(stop: Stop) -> Iterator[Any]:
    """An EpochHook that says how far the run is."""
    last: dict[str, float] = {}
    with Progress() as line:

        def watch(state: TrainState, row: dict[str, float]) -> None:
            """An EpochHook."""
            stop.gentle = True
            last.update(row)  # what is not measured every epoch stays in sight
            line.begins(int(row["epoch"]) - 1)
            if row is not state.rows[-1]:
                return  # of some that are told together
            epochs = state.cfg.epochs
            text = f"epoch {state.step}/{epochs}"
            for meter in ("loss", "val", "effective_rank", "cosine"):
                text += f" {meter} {last[meter]:.3g}" if meter in last else ""
            line(text, state.step, epochs)

        yield watch
