"""What a comparison's rows show: a table a graph, ours minus every method, paired by seed.

Apart from compare.py, which makes the rows: a report is made from rows alone. Without labels, or
where only links were asked for, the main figure is the AUC of held-out edges.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nodejepa_ext.ablation.costs import LINKS, NODES
from nodejepa_ext.ablation.report import QUICK, plain, points
from nodejepa_ext.ablation.rows import Row, Rows, key
from nodejepa_ext.ablation.run import Plan
from nodejepa_ext.judging.contest import overlap, unpacked
from nodejepa_ext.judging.peers import PEERS
from nodejepa_ext.judging.stats import Comparison, Paired, finding, holm, interval, paired

if TYPE_CHECKING:
    from rich.table import Table

Report = dict[str, Any]
OURS = "ours"
DRAWS = 2000  # of test nodes
SOURCES = {peer.name: peer.source for peer in PEERS}
ONCE = {peer.name for peer in PEERS if not peer.seeded}
FIGURES = {  # of rows: figure -> kind of row
    "linear": NODES,
    "test": NODES,
    "knn": NODES,
    "test_knn": NODES,
    "nmi": NODES,
    "ari": NODES,
    "silhouette": NODES,
    "auc": LINKS,
    "ap": LINKS,
    "hits@50": LINKS,
}
MAIN = {"test": "test accuracy", "linear": "development accuracy", "auc": "AUC of held-out edges"}


class Quoted(NamedTuple):
    """A figure that cannot be measured here: no package index carries the method's code."""

    method: str
    accuracy: float  # a fraction
    cpu_seconds: float


QUOTED = {  # development accuracy, the authors' code and settings, 1 or 2 seeds, another machine
    "cora": [Quoted("MaskGAE", 0.821, 55)],
    "citeseer": [Quoted("MaskGAE", 0.711, 121), Quoted("GraphMAE", 0.702, 590)],
    "pubmed": [Quoted("MaskGAE", 0.814, 270)],
}


def report(plan: Plan, rows: Rows) -> Report:
    """JSON-able: {measures, graphs: {graph: {measure, methods, quoted}}, comparisons, finding}.
    Accuracies and differences are fractions; a figure that does not exist is None or absent."""
    done = [rows.rows[key(job)] for job in plan.jobs if rows.finished(job)]
    graphs: Report = {}
    for graph in plan.graphs:
        own = [row for row in done if row["graph"] == graph]
        measure = main_figure(own, plan.args.final)
        wanted = [job for job in plan.jobs if job["graph"] == graph]
        lines = [line_of(arm.name, own, wanted) for arm in plan.arms]
        shown = QUOTED.get(graph, []) if measure == "linear" and not plan.args.quick else []
        graphs[graph] = {
            "measure": measure,
            "methods": [line for line in lines if line["wanted"]],
            "quoted": [quote._asdict() for quote in shown],
        }
    tests = [
        (graph, line["method"], compared(done, graph, line["method"], found["measure"]))
        for graph, found in graphs.items()
        for line in found["methods"]
        if line["method"] != OURS and OURS in {one["method"] for one in found["methods"]}
    ]
    adjusted = holm([test.p for _, _, test in tests])
    comparisons = [
        Comparison(graph, OURS, method, test, p)
        for (graph, method, test), p in zip(tests, adjusted, strict=True)
    ]
    for c in comparisons:
        lines = graphs[c.graph]["methods"]
        line = next(line for line in lines if line["method"] == c.reference)
        adjusted_p = None if math.isnan(c.holm_p) else c.holm_p
        line["against"] = plain(c.paired) | {"holm": adjusted_p}
        if graphs[c.graph]["measure"] == "test":
            line["against"]["nodes"] = over_nodes(done, c.graph, c.reference)
    found = {"quick": plan.args.quick, "graphs": graphs, "comparisons": len(comparisons)}
    return found | {"finding": finding(comparisons) if comparisons else ""}


def main_figure(rows: list[Row], final: bool) -> str:
    """What the graph's table is about."""
    if final:
        return "test"
    return "linear" if any("linear" in row for row in rows) else "auc"


def values(rows: list[Row], method: str, figure: str) -> dict[int, float]:
    """Seed -> figure, of the method's rows that came to an end."""
    return {
        row["seed"]: row[figure]
        for row in rows
        if row["job"]["method"] == method and row["job"]["kind"] == FIGURES[figure]
        if row["status"] == "ok" and figure in row
    }


def compared(rows: list[Row], graph: str, method: str, figure: str) -> Paired:
    """Ours minus the method at the seeds that both have; what knows no seed stands for all."""
    own = [row for row in rows if row["graph"] == graph]
    ours, other = values(own, OURS, figure), values(own, method, figure)
    if method in ONCE and FIGURES[figure] == NODES and other:
        other = dict.fromkeys(ours, next(iter(other.values())))
    seeds = sorted(ours.keys() & other.keys())
    return paired([ours[seed] for seed in seeds], [other[seed] for seed in seeds])


def right(rows: list[Row], method: str) -> dict[int, Any]:
    """Seed -> which test nodes were right, [n] bool, of the rows that say so."""
    own = [row for row in rows if row["job"]["method"] == method and "right" in row]
    return {row["seed"]: unpacked(row["right"]) for row in own}


def over_nodes(rows: list[Row], graph: str, method: str) -> list[float] | None:
    """[low, high]: 95 % of ours minus the method, in the mean over the seeds that both have, over
    DRAWS draws of as many test nodes with replacement, the same for all methods; None without a
    common seed. ValueError: rows of another number of test nodes."""
    own = [row for row in rows if row["graph"] == graph]
    ours, other = right(own, OURS), right(own, method)
    if method in ONCE and other:
        other = dict.fromkeys(ours, next(iter(other.values())))
    seeds = sorted(ours.keys() & other.keys())
    if not seeds:
        return None
    counts = {len(bits[seed]) for bits in (ours, other) for seed in seeds}
    if len(counts) > 1:
        raise ValueError(f"rows of {graph}: {sorted(counts)} test nodes, expected one number")
    gaps = [ours[seed].astype(float) - other[seed] for seed in seeds]
    gap = np.mean(gaps, axis=0)  # [n]
    chosen = np.random.default_rng(0).integers(len(gap), size=(DRAWS, len(gap)))
    return [float(end) for end in np.quantile(gap[chosen].mean(1), (0.025, 0.975))]


def line_of(method: str, rows: list[Row], wanted: list[Row]) -> Report:
    """A method's figures on one graph: {mean, std, low, high, n} each; cost; what is missing."""
    own = [row for row in rows if row["job"]["method"] == method]
    good = [row for row in own if row["status"] == "ok"]
    line: Report = {"method": method, "source": SOURCES[method]}
    line["wanted"] = sum(job["method"] == method for job in wanted)
    line["diverged"] = len(own) - len(good)
    line["missing"] = line["wanted"] - len(own)
    for figure in FIGURES:
        if found := values(rows, method, figure):
            line[figure] = plain(interval(list(found.values())))
    prints = [row["neighbours"] for row in good if "neighbours" in row]
    line["stability"] = overlap(prints)
    for meter in ("effective_rank", "cosine", "width", "cpu_seconds", "peak_mib"):
        line[meter] = mean_of(good, meter)
    return line


def mean_of(rows: Sequence[Row], meter: str) -> float | None:
    """Over rows of the whole graph; over those of held-out edges where there are no others."""
    found = [row[meter] for row in rows if row["job"]["kind"] == NODES and meter in row]
    found = found or [row[meter] for row in rows if meter in row]
    return float(np.mean(found)) if found else None


# As tables of 80 columns

HEADS = ("", "n", "mean ± std [95%]", "ours minus it [95%]", "p")
MORE = ("", "kNN", "NMI", "AUC", "AP", "rank", "stable", "CPU s", "MiB")
NODES_HEAD = "test nodes"


def main_cells(line: Report, measure: str) -> list[str]:
    """A line under HEADS."""
    troubles = [f"{line[t]} {t}" for t in ("diverged", "missing") if line[t]]
    name = " ".join([line["method"], *troubles])
    found = line.get(measure)
    if found is None:
        return [name, "0", "-", "", ""]
    text = points(found["mean"])
    if found["std"] is not None:
        span = f"[{points(found['low'])}, {points(found['high'])}]"
        text += f" ± {points(found['std'])} {span}"
    return [name, str(found["n"]), text, *difference_cells(line.get("against"))]


def difference_cells(test: Report | None) -> list[str]:
    """Ours minus the method, and its p, as text; empty where there is none."""
    if test is None or test["difference"] is None:
        return ["", ""]
    text = points(test["difference"], "+.1f")
    if test["low"] is not None:
        text += f" [{points(test['low'], '+.1f')}, {points(test['high'], '+.1f')}]"
    if test["holm"] is None:
        return [text, ""]
    return [text, "<0.001" if test["holm"] < 0.001 else f"{test['holm']:.2g}"]


def more_cells(line: Report, final: bool) -> list[str]:
    """A line under MORE."""
    cells = [line["method"]]
    for figure in ("test_knn" if final else "knn", "nmi", "auc", "ap"):
        cells.append(points(line[figure]["mean"]) if figure in line else "-")
    cells.append(number(line["effective_rank"], ".0f"))
    cells.append(points(line["stability"], ".0f"))
    cells += [number(line["cpu_seconds"], ".1f"), number(line["peak_mib"], ".0f")]
    if not final:
        return cells
    span = (line.get("against") or {}).get("nodes")
    return [*cells, f"[{points(span[0], '+.1f')}, {points(span[1], '+.1f')}]" if span else ""]


def more_heads(final: bool) -> tuple[str, ...]:
    return (*MORE, NODES_HEAD) if final else MORE


def number(value: float | None, form: str) -> str:
    return "-" if value is None else f"{value:{form}}"


def quoted_cells(quote: Report) -> list[str]:
    name = f"{quote['method']} (quoted, {quote['cpu_seconds']:.0f} CPU s)"
    return [name, "1-2", points(quote["accuracy"]), "unpaired", ""]


def caption(found: Report) -> str:
    """What the columns hold, and what the intervals cover."""
    text = QUICK if found["quick"] else ""
    text += (
        "%: mean ± std [95% t interval] over n seeds. Ours minus a method: paired by seed; p: "
        f"two-sided paired t test, after Holm over {found['comparisons']} comparison(s). "
    )
    measures = {graph["measure"] for graph in found["graphs"].values()}
    if "linear" in measures:
        text += "Development accuracy: 8 splits of nodes outside the public test nodes. "
    if "test" in measures:
        text += (
            "The test nodes add about 1.2 points (1 s.e.) to each row, not cancelling; test nodes: "
            f"95% of ours minus the method over {DRAWS} draws of them (bootstrap). "
        )
    if any(graph["quoted"] for graph in found["graphs"].values()):
        text += "Quoted: the authors' code on another machine, 1 or 2 seeds, not run here. "
    return text + (
        "AUC, AP: held-out edges, trained anew without them. stable: share of the 10 nearest "
        "neighbours that two seeds have in common. CPU s, MiB: of embedding alone, a row."
    )


def tables(found: Report) -> list[Table | str]:
    """For a terminal: two tables a graph, the caption, the finding."""
    from rich.markup import escape
    from rich.table import Table

    parts: list[Table | str] = []
    for graph, part in found["graphs"].items():
        title = escape(f"{graph}: {MAIN[part['measure']]}")
        first = Table(*HEADS, title=title, title_justify="left", padding=(0, 0))
        for line in part["methods"]:
            first.add_row(*map(escape, main_cells(line, part["measure"])))
        first.add_section()
        for quote in part["quoted"]:
            first.add_row(*map(escape, quoted_cells(quote)))
        more = Table(*more_heads(part["measure"] == "test"), padding=(0, 0))
        for line in part["methods"]:
            more.add_row(*map(escape, more_cells(line, part["measure"] == "test")))
        parts += [first, more]
    parts.append(escape(caption(found)))
    if found["finding"]:
        parts.append(f"[bold]Finding:[/bold] {escape(found['finding'])}")
    return parts


def markdown(found: Report) -> str:
    """The same, and where each method's settings come from."""
    text = ""
    for graph, part in found["graphs"].items():
        final = part["measure"] == "test"
        rows = [main_cells(line, part["measure"]) for line in part["methods"]]
        rows += [quoted_cells(quote) for quote in part["quoted"]]
        text += f"## {graph}: {MAIN[part['measure']]}\n\n" + markdown_table(HEADS, rows)
        text += markdown_table(
            more_heads(final), [more_cells(line, final) for line in part["methods"]]
        )
    names = dict.fromkeys(
        line["method"] for part in found["graphs"].values() for line in part["methods"]
    )
    text += markdown_table(("method", "settings"), [[name, SOURCES[name]] for name in names])
    text += f"{caption(found)}\n"
    if found["finding"]:
        text += f"\n**Finding:** {found['finding']}\n"
    return text


def markdown_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)]) + "\n\n"
