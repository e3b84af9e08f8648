"""`nodejepa-ext ablate`: what one change buys, arm against arm, seed by seed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nodejepa_ext.commands.console import Quiet, on_terminate, say, sentences
from nodejepa_ext.commands.rows import DRY, HOW, KEPT, carry_out, switch

if TYPE_CHECKING:
    from nodejepa_ext.ablation.run import Plan

EXAMPLES = """\b
Examples:
nodejepa-ext ablate --bfs-mask
nodejepa-ext ablate --bfs-mask --laplacian-pe --factorial --graphs cora,citeseer --seeds 10
nodejepa-ext ablate --vary target=ema,frozen --vary regulariser=none,sigreg,vicreg --factorial
nodejepa-ext ablate --arms ablations/collapse/arms.toml --out ablations/collapse

All other options are those of run_full.py (see its --help) and belong to every arm, as do
--bfs-hops, --bfs-block, --bfs-blocks, --degree-first hubs|leaves and --laplacian-k. Defaults here:
--preset card --epochs 150 --graphs cora,citeseer --seeds 5 --out results/ablate/<what is varied>.
Exit codes: 0; 2 usage; 3 data; 5 rows failed; 130, 143 interrupted, finished rows being kept.
"""
PROG = "nodejepa-ext ablate"


def ablate(
    context: typer.Context,
    bfs_mask: Annotated[
        bool, switch("--bfs-mask", "Hide neighbourhoods grown breadth-first.")
    ] = False,
    degree_mask: Annotated[
        bool, switch("--degree-mask", "Hide hubs first (--degree-first leaves).")
    ] = False,
    laplacian_pe: Annotated[
        bool, switch("--laplacian-pe", "Tell the predictor where a node sits.")
    ] = False,
    reg_node: Annotated[
        bool, switch("--reg-node", "Join a learnt [REG] node to all nodes.")
    ] = False,
    no_views: Annotated[bool, switch("--no-views", "No augmentation: all four rates 0.")] = False,
    vary: Annotated[
        list[str] | None, typer.Option(metavar="FIELD=V,V", help="Compare values; repeatable.")
    ] = None,
    factorial: Annotated[
        bool, switch("--factorial", "All combinations, not one at a time.", HOW)
    ] = False,
    arms: Annotated[
        Path | None, typer.Option(help="TOML, a table an arm; the first is the reference.")
    ] = None,
    final: Annotated[bool, switch("--final", "Score the test nodes, once a row.", HOW)] = False,
    dev: Annotated[bool, switch("--dev", "Judge by development accuracy.", HOW)] = False,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0: one a core, or a GPU.")] = 0,
    dry_run: Annotated[
        bool, switch("--dry-run", "Say what it would train and how long.", HOW)
    ] = False,
    keep_old_rows: Annotated[
        bool, switch("--keep-old-rows", "Move rows that do not fit aside.", HOW)
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, not tables.")] = False,
    quiet: Quiet = False,
) -> None:
    """Change one thing, keep the rest: paired arms, intervals, one plain finding."""
    switches = {"bfs_mask": bfs_mask, "degree_mask": degree_mask, "laplacian_pe": laplacian_pe}
    wanted = {name: True for name, on in (switches | {"reg_node": reg_node}).items() if on}
    wanted |= {"views": False} if no_views else {}
    measures = {"test": final, "dev": dev}
    on_terminate(f"terminated{KEPT}")
    if dry_run:
        say(DRY)  # at once: what comes next takes seconds to import
    with sentences(PROG, f"interrupted{KEPT}"):
        plan = prepared(context.args, wanted, vary or [], factorial, arms, measures, workers)
        code = carry_out(plan, dry_run, keep_old_rows, as_json)
    if code:
        raise typer.Exit(code)


def prepared(
    core: list[str],
    switches: dict[str, Any],
    vary: list[str],
    factorial: bool,
    toml: Path | None,
    measures: dict[str, bool],
    workers: int,
) -> Plan:
    """The options as a plan; measures: what may be shown in place of validation accuracy, and
    whether it is asked for. ValueError: they do not go together."""
    from nodejepa_ext.ablation import arms
    from nodejepa_ext.ablation import run as ablation

    args = ablation.parse_core(core, PROG)
    asked = [name for name, on in measures.items() if on]
    if len(asked) > 1:
        raise ValueError("--final, --dev: expected one of them")
    measure = asked[0] if asked else "val"
    if measure == "test" and args.validation_only:
        raise ValueError("--final, --validation-only: expected one of them")
    if toml and (switches or vary or factorial):
        raise ValueError(f"--arms {toml}: expected without switches, --vary and --factorial")
    varied = arms.parse_vary(vary)
    named = arms.from_toml(toml) if toml else arms.from_switches(switches, varied, factorial, args)
    return ablation.plan(args, named, measure, workers)
