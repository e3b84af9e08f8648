"""`nodejepa-ext table`: a preset's accuracy over many seeds, beside every control."""

from __future__ import annotations

from typing import Annotated

import typer

from nodejepa_ext.commands.console import Quiet, on_terminate, say, sentences
from nodejepa_ext.commands.rows import DRY, HOW, KEPT, carry_out, switch

EXAMPLES = """\b
Examples:
nodejepa-ext table --controls full
nodejepa-ext table --preset card --graphs cora,pubmed --seeds 10
nodejepa-ext table --config results/sweep/cora/best.toml --graphs cora --validation-only

Controls: raw features, SGC (on the graph as it came and, where the preset joins neighbours, with
them), FastRP, the untrained encoder; --controls full: bgrl, trained, and its untrained encoder.
Test nodes are scored, once a row, unless --validation-only. All other options are those of
run_full.py (see its --help) and of the toolkit's parts, as in ablate. Defaults here: --preset best
--seeds 20 --first-seed 2000 --out results/table/<preset>. The same command continues a table.
Exit codes: 0; 2 usage; 3 data; 5 rows failed; 130, 143 interrupted, finished rows being kept.
"""
PROG = "nodejepa-ext table"


def table(
    context: typer.Context,
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
    """The headline: many seeds of a preset, a full retrain each, beside what it has to beat."""
    on_terminate(f"terminated{KEPT}")
    if dry_run:
        say(DRY)
    with sentences(PROG, f"interrupted{KEPT}"):
        from nodejepa_ext.ablation import headline

        plan = headline.plan(headline.parse_core(context.args, PROG), workers)
        code = carry_out(plan, dry_run, keep_old_rows, as_json)
    if code:
        raise typer.Exit(code)
