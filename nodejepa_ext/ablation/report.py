"""What an ablation's rows show: per graph a table, over all of them Holm's correction, one Finding.

Kept apart from `run`, which trains: a report is made from rows alone and can be made again.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from nodejepa_ext.ablation.arms import CONTROL
from nodejepa_ext.ablation.rows import Row, Rows, key
from nodejepa_ext.ablation.run import Plan
from nodejepa_ext.judging.stats import (
    Comparison,
    Paired,
    finding,
    holm,
    interaction,
    interval,
    paired,
)

if TYPE_CHECKING:
    from rich.table import Table

Report = dict[str, Any]
HEADS = ("", "n", "accuracy", "difference", "p", "80% power", "rank", "cosine", "CPU s")
CHOSEN = {
    "val": "epoch and probe chosen on validation",
    "dev": "mean over eight splits of nodes that are not public test nodes, each with nodes of its "
    "own to choose C and scaling on; epoch chosen on validation",
}
QUICK = "A quick run: these figures mean nothing. "
MEASURES = {"val": "Validation", "dev": "Development", "test": "Test"}


def report(plan: Plan, rows: Rows) -> Report:
    """JSON-able: {measure, reference, graphs: {graph: {arms, controls, interaction}}, published,
    finding}. Accuracies and differences are fractions; a figure that does not exist is None."""
    done = [rows.rows[key(job)] for job in plan.jobs if rows.finished(job)]
    measure, (reference, *others) = measured(plan), [arm.name for arm in plan.arms]
    graphs = {graph: of_graph(plan, graph, done, measure) for graph in plan.graphs}
    pairs = [(graph, arm) for graph in plan.graphs for arm in others]
    tests = [against(done, graph, reference, arm, measure) for graph, arm in pairs]
    comparisons = [
        Comparison(graph, arm, reference, test, p)
        for (graph, arm), test, p in zip(pairs, tests, holm([t.p for t in tests]), strict=True)
    ]
    for c in comparisons:
        line = next(line for line in graphs[c.graph]["arms"] if line["arm"] == c.arm)
        line["against"] = plain(c.paired) | {"holm": real(c.holm_p)}
    found: Report = {"measure": measure, "reference": reference, "comparisons": len(comparisons)}
    found["quick"] = plan.args.quick
    found |= {"graphs": graphs, "published": plan.published}
    return found | {"finding": finding(comparisons) if others else ""}


def measured(plan: Plan) -> str:
    first = plan.jobs[0]
    if first["final"]:
        return "test"
    return "dev" if first.get("dev") else "val"


def of_graph(plan: Plan, graph: str, done: list[Row], measure: str) -> Report:
    """The lines of one table; an arm's say how many of its rows are still to be trained."""
    own = [row for row in done if row["graph"] == graph]
    wanted = [job["arm"] for job in plan.jobs if job["graph"] == graph]
    arms = [summary(own, arm.name, measure) for arm in plan.arms]
    for line in arms:
        line["missing"] = wanted.count(line["arm"]) - line["n"] - line["diverged"]
        line["as_reference"] = line is not arms[0] and same(own, line["arm"], arms[0]["arm"])
    controls = dict.fromkeys(row["arm"] for row in own if row["arm"].startswith(CONTROL))
    lines = [summary(own, name, measure) for name in controls]
    return {"arms": arms, "controls": lines, "interaction": two_by_two(plan, own, measure)}


def accuracies(rows: list[Row], arm: str, measure: str) -> dict[int, float]:
    """Seed -> accuracy, of the rows of an arm that came to an end."""
    return {r["seed"]: r[measure] for r in rows if r["arm"] == arm and r["status"] == "ok"}


def same(rows: list[Row], arm: str, reference: str) -> bool:
    """Both arms have rows, and at every seed the same curves: what was changed did nothing."""
    prints = [
        {r["seed"]: (r.get("curve"), r.get("effective_rank")) for r in rows if r["arm"] == name}
        for name in (arm, reference)
    ]
    return bool(prints[0]) and prints[0] == prints[1]


def against(rows: list[Row], graph: str, reference: str, arm: str, measure: str) -> Paired:
    """The arm minus the reference over the seeds that both have."""
    own = [row for row in rows if row["graph"] == graph]
    a, b = (accuracies(own, name, measure) for name in (arm, reference))
    seeds = sorted(a.keys() & b.keys())
    return paired([a[seed] for seed in seeds], [b[seed] for seed in seeds])


def two_by_two(plan: Plan, rows: list[Row], measure: str) -> Report | None:
    """What both changes add to the sum of each alone, of a factorial of two factors at two."""
    fields = plan.arms[-1].settings
    levels = [tuple(arm.settings.get(field) for field in fields) for arm in plan.arms]
    if len(fields) != 2 or len(levels) != 4 or len(set(levels)) != 4:
        return None
    if any(len(set(factor)) != 2 for factor in zip(*levels, strict=True)):
        return None
    changed = [tuple(a != b for a, b in zip(level, levels[0], strict=True)) for level in levels]
    order = (False, False), (False, True), (True, False), (True, True)  # whatever that of the arms
    names = [plan.arms[changed.index(which)].name for which in order]
    found = [accuracies(rows, name, measure) for name in names]
    seeds = sorted(set.intersection(*map(set, found)))
    reference, second, first, both = ([cell[seed] for seed in seeds] for cell in found)
    return plain(interaction(both, first, second, reference))


def summary(rows: list[Row], arm: str, measure: str) -> Report:
    """One line of a table."""
    own = [row for row in rows if row["arm"] == arm]
    good = [row for row in own if row["status"] == "ok"]
    line: Report = {"arm": arm.removeprefix(CONTROL)}
    line |= plain(interval([row[measure] for row in good]))
    line["diverged"] = len(own) - len(good)
    line["collapsed"] = sum(row["effective_rank"] < 2 for row in good)
    for meter in ("effective_rank", "cosine", "cpu_seconds"):
        line[meter] = float(np.mean([row[meter] for row in good])) if good else None
    return line


def plain(figures: Any) -> Report:
    """A named tuple of figures as JSON has it."""
    return {name: real(value) for name, value in figures._asdict().items()}


def real(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


def points(value: float | None, form: str = ".1f") -> str:
    return "-" if value is None else f"{100 * value:{form}}"


def accuracy(line: Report) -> str:
    """Mean ± sample standard deviation [95% t interval]; of a single row, its accuracy."""
    if line["n"] < 2:
        return points(line["mean"])
    span = f"[{points(line['low'])}, {points(line['high'])}]"
    return f"{points(line['mean'])} ± {points(line['std'])} {span}"


def published(found: Report, graph: str) -> list[list[str]]:
    """Lines of a table on the graph that others have published, of test nodes."""
    figures = {name: own[graph] for name, own in found["published"].items() if graph in own}
    blank = [""] * (len(HEADS) - 3)
    return [[f"published, test: {name}", "", str(own), *blank] for name, own in figures.items()]


def cells(line: Report) -> list[str]:
    """A line of a table as text, in the order of HEADS."""
    troubles = [t for t in ("diverged", "missing", "collapsed") if line.get(t)]
    name = ", ".join([line["arm"], *(f"{line[t]} {t}" for t in troubles)])
    name += " (same numbers as the reference)" if line.get("as_reference") else ""
    text, test = [name, str(line["n"]), accuracy(line)], line.get("against")
    if test and test["holm"] is not None:
        p = "<0.001" if test["holm"] < 0.001 else f"{test['holm']:.2g}"
        span = f"[{points(test['low'], '+.1f')}, {points(test['high'], '+.1f')}]"
        text += [f"{points(test['difference'], '+.1f')} {span}", p, points(test["detectable"])]
    else:
        text += ["", "", ""]
    meters = ("effective_rank", ".1f"), ("cosine", ".2f"), ("cpu_seconds", ".0f")
    return text + ["-" if line[m] is None else f"{line[m]:{form}}" for m, form in meters]


def caption(found: Report) -> str:
    """What the columns of HEADS hold, and what the intervals cover."""
    text = QUICK if found["quick"] else ""
    text += (
        f"{MEASURES[found['measure']]} accuracy in %: mean ± std [95% t interval] over n seeds; "
        f"{CHOSEN.get(found['measure'], CHOSEN['val'])}. "
    )
    if found["comparisons"]:
        text += (
            f"Difference to {found['reference']}, paired by seed, with its 95% interval; p: "
            f"two-sided paired t test, after Holm over the {found['comparisons']} comparison(s); "
            "80% power: the smallest difference that would have been seen so often, before Holm. "
        )
    text += "rank: effective rank; cosine: mean pairwise; CPU seconds a seed. "
    text += "Intervals cover seeds only"
    if found["measure"] != "test":
        return text + "."
    return (
        f"{text}: the 1000 test nodes add about ±1.2 points (1 s.e.) to each row, which does not "
        "cancel between rows."
    )


def interaction_line(part: Report) -> str:
    """A graph's interaction in points; "" where the arms are no 2 x 2 or share too few seeds."""
    test = part["interaction"]
    if test is None or test["p"] is None:
        return ""
    span = f"[{points(test['low'], '+.1f')}, {points(test['high'], '+.1f')}]"
    return (
        f"Interaction (what both add to the sum of each alone): "
        f"{points(test['difference'], '+.1f')} {span}, p {test['p']:.2g} before Holm, n {test['n']}"
    )


def tables(found: Report) -> list[Table | str]:
    """For a terminal: a table a graph, the caption, the Finding."""
    from rich.markup import escape
    from rich.table import Table

    parts: list[Table | str] = []
    for graph, part in found["graphs"].items():
        table = Table(*HEADS, title=escape(graph), title_justify="left")
        for line in part["arms"]:
            table.add_row(*map(escape, cells(line)))
        table.add_section()
        for line in part["controls"]:
            table.add_row(*map(escape, cells(line)))
        table.add_section()
        for words in published(found, graph):
            table.add_row(*map(escape, words))
        parts += [table, *map(escape, filter(None, [interaction_line(part)]))]
    parts.append(escape(caption(found)))
    if found["finding"]:
        parts.append(f"[bold]Finding:[/bold] {escape(found['finding'])}")
    return parts


def markdown(found: Report) -> str:
    """The same, for a README."""
    text = ""
    for graph, part in found["graphs"].items():
        text += f"| {graph} | " + " | ".join(HEADS[1:]) + " |\n" + "|---" * len(HEADS) + "|\n"
        for line in part["arms"]:
            text += "| " + " | ".join(cells(line)) + " |\n"
        for line in part["controls"]:
            name, *rest = cells(line)
            text += f"| *{name}* | " + " | ".join(rest) + " |\n"
        for words in published(found, graph):
            text += "| " + " | ".join(words) + " |\n"
        more = interaction_line(part)
        text += f"\n{more}\n\n" if more else "\n"
    text += f"{caption(found)}\n"
    if found["finding"]:
        text += f"\n**Finding:** {found['finding']}\n"
    return text
