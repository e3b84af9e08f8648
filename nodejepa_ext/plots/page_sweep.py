"""The page of a sweep: per graph the best settings, the trials, their values on fresh seeds, what
mattered. What is drawn is the report of sweep/report.py, also of a sweep that still runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nodejepa_ext.plots import page, page_charts
from nodejepa_ext.plots.page import Chart, Page
from nodejepa_ext.plots.page_charts import PALETTE
from nodejepa_ext.plots.style import NAMES, Notice, ResultsError
from nodejepa_ext.plots.sweep import LOOKS, MOST_KNOBS, lowest, reached, scale
from nodejepa_ext.sweep.report import UNITS, best_toml, knob_text, read, tables, varied
from nodejepa_ext.sweep.rounds import Report, complete, value

FRESH = PALETTE[1]
STOPPED = {"pruned": "triangle-down-open", "diverged or out of memory": "x", "failed": "cross-thin"}
TOP = 10  # trials in the table of the best


def build(folder: Path, notice: Notice) -> Page:
    """The page of the sweep in `folder`. ResultsError: no sweep, or none of its trials has ended;
    RunError 3: its journal is damaged."""
    try:
        found = read(folder)
    except (ValueError, OSError) as error:
        raise ResultsError(str(error)) from None
    parts = {
        graph: part
        for graph, part in found["graphs"].items()
        if part["counts"].keys() - {"running", "waiting"}
    }
    if not parts:
        raise ResultsError(f"{folder}: expected a trial that has ended, found none")
    for graph in found["graphs"].keys() - parts.keys():
        notice(f"{graph}: no trial has ended, not on the page")
    count = sum(len(part["trials"]) for part in parts.values())
    made = Page(folder.resolve().name, f"A sweep: {count} trials on {', '.join(parts)}")
    shown = found | {"graphs": parts}
    made.section("What was found", *page.printed(tables(shown, TOP)))
    for graph, part in parts.items():
        made.section(NAMES.get(graph, graph), *of_graph(made, part))
    made.section("The best settings", page.block(best_toml(shown)))
    return made


def of_graph(made: Page, part: Report) -> list[str]:
    """The trials one after another, those that were stopped apart; then knob by knob."""
    parts = [made.chart(history(part), 320 + 36 * len(kinds(part)))]
    if part["importances"]:
        shares = dict([*part["importances"].items()][:MOST_KNOBS])
        title = "Importance of a knob (fANOVA)"
        parts.append(made.chart(page_charts.bars(title, shares), 110 + 24 * len(shares)))
    done = [trial for trial in part["trials"] if complete(trial)]
    charts = [made.chart(against(part, done, name)) for name in important(part, done)]
    if charts:
        parts += ["<h3>Every complete trial, knob by knob</h3>", page.grid(charts)]
    return parts


def history(part: Report) -> Chart:
    """Complete trials against their numbers, the best so far, and means on fresh seeds; below
    them, on lines of their own, the trials that were stopped, as they have no value."""
    made = page_charts.layout("Trials", "trial", showlegend=True)
    made["legend"] = {
        "orientation": "h",
        "y": 1.02,
        "yanchor": "bottom",
        "x": 1,
        "xanchor": "right",
    }
    made["yaxis"] |= {"title": {"text": UNITS[part["plan"]["objective"]]}}
    made["xaxis"]["range"] = [-0.7, len(part["trials"]) - 0.3]
    if names := [f"{name} ({len(own)})" for name, own in kinds(part).items()]:
        share = 36 * len(names) / (220 + 36 * len(names))  # of the height
        made["yaxis2"] = page_charts.axis_of(names, [*map(float, range(len(names)))])
        made["yaxis2"] |= {"domain": [0, share]}
        made["yaxis"] |= {"domain": [share + 0.03, 1]}
        made["xaxis"] |= {"anchor": "y2"}
    by, low = scale(part), scale(part) * lowest(part)
    values = [by * value(trial) for trial in part["trials"] if complete(trial)]
    if values and low > min(values):  # one collapsed trial is not to set the scale for all
        room = 0.1 * (max(values) - low)
        made["yaxis"]["range"] = [low - room, max(values) + room]
    return {"data": [*finished(part, by), *fresh(part, by), *apart(part, by)], "layout": made}


def finished(part: Report, by: float) -> list[Chart]:
    """The complete trials, and the best of them so far."""
    done = [trial for trial in part["trials"] if complete(trial)]
    if not done:
        return []
    numbers, values = [t["number"] for t in done], [by * value(t) for t in done]
    dots: Any = {"type": "scatter", "mode": "markers", "x": numbers, "y": values}
    dots |= {"name": "complete", "marker": {"color": PALETTE[0], "size": 7}}
    dots |= {"hovertemplate": "trial %{x}: %{y:.4g}<extra></extra>"}
    best: Any = {"type": "scatter", "mode": "lines", "hoverinfo": "skip", "name": "best so far"}
    best |= {"x": [*numbers, len(part["trials"]) - 0.5]}
    best |= {"y": [*np.maximum.accumulate(values).tolist(), max(values)]}
    return [best | {"line": {"shape": "hv", "color": PALETTE[0], "width": 1.5}}, dots]


def fresh(part: Report, by: float) -> list[Chart]:
    """The configurations of the rounds: mean and 95% interval over fresh seeds."""
    lines = [line for line in part["rounds"]["lines"] if line["values"]]
    if not lines:
        return []
    means = [by * line["fresh"]["mean"] for line in lines]
    ends = [line["fresh"]["high"] for line in lines]
    half = [0.0 if e is None else by * e - m for e, m in zip(ends, means, strict=True)]
    dots: Any = {"type": "scatter", "mode": "markers", "x": [line["number"] for line in lines]}
    dots |= {"y": means, "error_y": {"type": "data", "array": half, "color": FRESH, "width": 0}}
    first = [line["fresh_rank"] == 1 for line in lines]
    dots |= {"marker": {"color": FRESH, "size": [14 if one else 8 for one in first]}}
    dots["marker"]["symbol"] = ["star" if one else "diamond" for one in first]
    dots |= {"name": "on fresh seeds", "hovertemplate": "trial %{x}: %{y:.4g}<extra></extra>"}
    return [dots]


def kinds(part: Report) -> dict[str, list[Report]]:
    """Name -> the trials that ended so, without a value."""
    found = {
        name: [trial for trial in part["trials"] if trial["outcome"] in outcomes]
        for name, (outcomes, _, _) in LOOKS.items()
    }
    return {name: own for name, own in found.items() if own}


def apart(part: Report, by: float) -> list[Chart]:
    """A line a kind of stopped trial."""
    data = []
    for y, (name, own) in enumerate(kinds(part).items()):
        texts = [f"trial {trial['number']}: {trial['outcome']}{until(trial, by)}" for trial in own]
        dots: Any = {"type": "scatter", "mode": "markers", "text": texts, "showlegend": False}
        dots |= {"x": [trial["number"] for trial in own], "y": [y] * len(own), "yaxis": "y2"}
        dots |= {"marker": {"color": PALETTE[6], "symbol": STOPPED[name], "size": 8}}
        dots["marker"]["line"] = {"width": 2, "color": PALETTE[6]}
        data.append(dots | {"hovertemplate": "%{text}<extra></extra>"})
    return data


def until(trial: Report, by: float) -> str:
    """How far it came, where that is known."""
    if not trial["intermediate"]:
        return ""
    step = trial["intermediate"][-1][0]
    return f" after {5 * step:.0f} % of its work, at {by * reached(trial):.4g}"


def important(part: Report, done: list[Report]) -> list[str]:
    """The knobs that differ between complete trials, of many the most important."""
    shares = part["importances"] or {}
    return sorted(varied(part, done), key=lambda name: -shares.get(name, 0.0))[:MOST_KNOBS]


def against(part: Report, done: list[Report], name: str) -> Chart:
    """Values against one knob's; trials that do not have it are left out."""
    own = [trial for trial in done if trial["params"].get(name) is not None]
    knob, by = part["knobs"][name], scale(part)
    values = [trial["params"][name] for trial in own]
    dots: Any = {"type": "scatter", "mode": "markers", "y": [by * value(trial) for trial in own]}
    dots |= {"x": [knob_text(v) for v in values] if knob["choices"] else values}
    dots |= {"text": [str(trial["number"]) for trial in own]}
    dots |= {"marker": {"color": PALETTE[0], "size": 7}}
    dots |= {"hovertemplate": "trial %{text}: %{y:.4g} at %{x}<extra></extra>"}
    made = page_charts.layout(page_charts.label(name.replace("_", " ")), "")
    if knob["choices"]:
        made["xaxis"] |= {"type": "category"}
    elif knob["log"]:
        made["xaxis"] |= {"type": "log"} | page_charts.decades(values)
    return {"data": [dots], "layout": made}
