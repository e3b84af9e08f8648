"""The page of an ablation: its finding, and per graph the table, every seed, and the curves.

What is read: rows.jsonl and, of one that has ended, report.json.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nodejepa_ext.ablation.report import MEASURES, Report, tables
from nodejepa_ext.judging.stats import interval
from nodejepa_ext.plots import page, page_charts
from nodejepa_ext.plots.ablation import REPORT, ROWS, Arm, arms_of, is_control, reported, wrong_in
from nodejepa_ext.plots.page import Chart, Page
from nodejepa_ext.plots.page_charts import GREY, label, look
from nodejepa_ext.plots.style import ACCURACY, METERS, NAMES, Notice, ResultsError, read_lines
from nodejepa_ext.records import Damaged, Each, check, read_json

FIGURE = (float, None)
TEST = {"difference": FIGURE, "low": FIGURE, "high": FIGURE, "p": FIGURE, "n": int}
LINE = {
    "arm": str,
    "n": int,
    "mean": FIGURE,
    "std": FIGURE,
    "low": FIGURE,
    "high": FIGURE,
    "effective_rank": FIGURE,
    "cosine": FIGURE,
    "cpu_seconds": FIGURE,
    "against?": TEST | {"holm": FIGURE, "detectable": FIGURE},
}
SHAPE = {  # of REPORT
    "measure": str,
    "reference": str,
    "comparisons": int,
    "quick?": bool,
    "graphs": Each({"arms": [LINE], "controls": [LINE], "interaction": (dict, None)}),
    "published?": Each(Each(float)),
    "finding": str,
}


def build(folder: Path, notice: Notice) -> Page:
    """The page of the ablation or table in `folder`. ResultsError: rows or report are bad, or no
    row has come to an end."""
    order = reported(folder / REPORT)
    lines = read_lines(folder / ROWS, wrong_in, notice)
    rows = [*{(row["graph"], row["arm"], row["seed"]): row for row in lines}.values()]
    graphs = [*dict.fromkeys(row["graph"] for row in rows if row["status"] == "ok")]
    if not graphs:
        raise ResultsError(f"{folder / ROWS}: expected a row that came to an end, found none")
    counts = len({(row["graph"], row["arm"]) for row in rows}), len(rows)
    made = Page(folder.resolve().name, f"An ablation: {counts[1]} rows of {counts[0]} arms")
    made.section("Finding", *finding(folder / REPORT))
    for graph in graphs:
        own = [row for row in rows if row["graph"] == graph]
        made.section(NAMES.get(graph, graph), *of_graph(made, own, order.get(graph, [])))
    made.section("Settings", *settings(rows))
    return made


def finding(path: Path) -> list[str]:
    """What the verb prints: the tables, the caption, the finding."""
    if not path.is_file():
        return [page.paragraph("The ablation has not ended: there is no report yet.")]
    try:
        found = sound(path)
    except Damaged as error:
        raise ResultsError(f"{error}, as nodejepa-ext ablate writes it") from None
    shown = page.printed(tables(found))
    if not found["finding"]:
        return [page.paragraph("One arm: nothing is compared."), *shown]
    return [page.paragraph(found["finding"]), *shown[:-1]]  # which is the finding again


def sound(path: Path) -> Report:
    """The report. Damaged: it is none."""
    found: Report = {"quick": False, "published": {}} | read_json(path, SHAPE)  # of old ones
    for graph, part in found["graphs"].items():
        if part["interaction"] is not None:
            check(f"{path}, graphs, {graph}, interaction", part["interaction"], TEST)
    if found["measure"] not in MEASURES:
        raise Damaged(f"{path}, measure = {found['measure']!r}: expected {' or '.join(MEASURES)}")
    return found


def of_graph(made: Page, rows: list[dict[str, Any]], order: list[str]) -> list[str]:
    """Every seed of every arm, the curves, and which line is whose."""
    arms = arms_of(rows, order)
    own = [arm for arm in arms if not is_control(arm.name)]
    parts = [made.chart(seeds(arms), 130 + 46 * len(arms))]
    text = "Dots: seeds; below them mean and 95% interval"
    if arms[0].measure == "val":
        text += ". Validation nodes, also where test nodes were looked at"
    parts.append(page.paragraph(f"{text}; grey: controls."))
    charts = []
    for meter in METERS:
        runs = {arm.name: arm.runs(meter) for arm in own}
        if any(map(any, runs.values())):
            charts.append(made.chart(page_charts.courses(meter, runs)))
    if charts:
        parts += [key(own), page.grid(charts)]
        parts.append(page.paragraph("Lines: means over seeds; bands: least to largest seed."))
    return parts


def seeds(arms: list[Arm]) -> Chart:
    """A line an arm, from the top down, as the table has them."""
    data: list[Chart] = []
    for y, arm in enumerate(arms):
        own = look(y) if not is_control(arm.name) else {"colour": GREY, "symbol": "circle"}
        found = arm.accuracies()
        if not found:
            continue
        dots: Any = {"type": "scatter", "mode": "markers", "x": [*found.values()]}
        dots |= {"y": [y - 0.12] * len(found), "text": [f"seed {seed}" for seed in found]}
        dots |= {"marker": {"color": own["colour"], "symbol": own["symbol"], "opacity": 0.6}}
        dots |= {"hovertemplate": "%{x:.2f} %, %{text}<extra></extra>"}
        data += [dots, summary(arm, y + 0.18, own)]
    made = page_charts.layout("Every seed", ACCURACY[arms[0].measure])
    heights = [*map(float, range(len(arms)))]
    made["yaxis"] = page_charts.axis_of([" ".join(arm.label.split()) for arm in arms], heights)
    return {"data": data, "layout": made}


def summary(arm: Arm, y: float, own: dict[str, Any]) -> Chart:
    """Its mean and, of several seeds, the 95% t interval."""
    found = interval([*arm.accuracies().values()])
    bars: Any = {"type": "data", "array": [found.high - found.mean], "color": own["colour"]}
    bars |= {"width": 0, "thickness": 2, "visible": found.n > 1}
    dot: Any = {"type": "scatter", "mode": "markers", "x": [found.mean], "y": [y]}
    dot |= {"error_x": bars, "marker": {"color": own["colour"], "symbol": own["symbol"]}}
    dot["marker"]["size"] = 10
    text = f"{label(arm.name)}: mean %{{x:.2f}} %, n {found.n}"
    return dot | {"hovertemplate": f"{text}<extra></extra>"}


def key(arms: list[Arm]) -> str:
    """Which line is whose."""
    return page.key({arm.name: look(i) for i, arm in enumerate(arms)})


def settings(rows: list[dict[str, Any]]) -> list[str]:
    """On the first graph: all of the first arm, and what differs in each other."""
    own = [row for row in rows if row["graph"] == rows[0]["graph"] and not is_control(row["arm"])]
    arms = {row["arm"]: chosen(row["job"]) for row in own}
    if not arms:
        return []
    name, first = next(iter(arms.items()))
    parts = [page.folded(f"All settings of {name}", page.facts(first))]
    for arm, settings in arms.items():
        changed = {k: v for k, v in settings.items() if v != first.get(k)}
        if changed:
            parts.append(page.folded(f"{arm}: what differs from it", page.facts(changed)))
    return parts


def chosen(job: dict[str, Any]) -> dict[str, str]:
    """The settings of a job but its seed."""
    parts = job.get("parts")
    found = job["config"] | (parts if isinstance(parts, dict) else {})
    return {name: str(value) for name, value in found.items() if name != "seed"}
