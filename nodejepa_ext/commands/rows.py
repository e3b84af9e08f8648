"""What `ablate` and `table` do alike: train the rows of a plan that are missing, and report all."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import typer

from nodejepa_ext.commands.console import Progress, say
from nodejepa_ext.commands.printing import print_json, print_parts
from nodejepa_ext.files import atomic

if TYPE_CHECKING:
    from nodejepa_ext.ablation.rows import Rows
    from nodejepa_ext.ablation.run import Plan

CONTEXT = {"allow_extra_args": True, "ignore_unknown_options": True}
HOW = "Options"
DRY = "dry run: a few steps of each arm are timed; nothing is trained, nothing written"
KEPT = "; finished rows are kept"


def switch(flag: str, text: str, panel: str = "What the variant arm changes") -> Any:
    return typer.Option(flag, help=text, rich_help_panel=panel, show_default=False)


def carry_out(
    plan: Plan,
    dry: bool,
    keep_old: bool,
    as_json: bool,
    report: Callable[[Plan, Rows, bool], None] | None = None,
) -> int:
    """-> 5 if rows failed, else 0. report: of the finished rows, in place of `show`."""
    from nodejepa_ext.ablation import run as ablation
    from nodejepa_ext.ablation.rows import Rows

    if dry:
        with Rows(plan.out, read_only=True) as rows:
            list(ablation.run(plan, rows, say, dry=True))
        return 0
    with Rows(plan.out) as rows:
        accept(plan, rows, keep_old)
        total, failed = len(plan.jobs), 0
        with Progress(lines=False) as bar:
            for row, left, seconds in ablation.run(plan, rows, say):
                failed += row["status"] == "failed"
                done = f"{total - left} of {total}, {seconds / 60:.1f} minutes left"
                name = f"{row['graph']}, {row['arm']}, seed {row['seed']}"
                say(f"{name}: {row['status']}, {figure(row)}; {done}")
                bar("rows", total - left, total)
        (report or show)(plan, rows, as_json)
    return 5 if failed else 0


def figure(row: dict[str, Any]) -> str:
    """The first of a row's main figures, or why there is none."""
    for name in ("val", "linear", "auc"):
        if name in row:
            return f"{name} {100 * row[name]:.1f}"
    if row["status"] == "ok":
        return f"rank {row['effective_rank']:.1f}"
    return row["message"]


def accept(plan: Plan, rows: Rows, keep_old: bool) -> None:
    """ValueError: rows of other settings or revisions stand where this plan's would."""
    if rows.dropped:
        say(rows.dropped)
    strangers = rows.strangers(plan.jobs)
    if strangers and keep_old:
        say(f"{len(strangers)} rows moved to {rows.set_aside(set(strangers))}")
    elif strangers:
        (graph, arm, seed), found = next(iter(strangers.items()))
        raise ValueError(
            f"{rows.path} holds {len(strangers)} rows made otherwise, first {graph}, {arm}, seed "
            f"{seed}: {'; '.join(found)}. Another --out, or --keep-old-rows to move them aside"
        )


def show(plan: Plan, rows: Rows, as_json: bool) -> None:
    """The report to stdout, and as report.md and report.json beside the rows."""
    from nodejepa_ext.ablation import report

    found = report.report(plan, rows)
    for name, text in (
        ("report.md", report.markdown(found)),
        ("report.json", json.dumps(found, indent=1) + "\n"),
    ):
        with atomic(plan.out / name) as file:
            file.write(text.encode())
    if as_json:
        return print_json(found)
    print_parts(report.tables(found), str(plan.out / "report.md"))
