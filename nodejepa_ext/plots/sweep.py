"""Pictures of a sweep: per graph its history, which knobs matter, and the knobs of every trial.

Kept apart from run.py, which draws the runs of run_full.py. What
is drawn is the report of sweep/report.py, also of a sweep that still runs. What is written:
sweep-<graph>.png. Test figures are not drawn.
"""

from __future__ import annotations

import math
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nodejepa_ext.files import file_name
from nodejepa_ext.plots.style import COLOURS, MUTED, NAMES, Notice, ResultsError, literal, save
from nodejepa_ext.records import one_line
from nodejepa_ext.sweep.kept import ACCURACIES
from nodejepa_ext.sweep.report import BEST, JOURNAL, UNITS, floor, knob_text, read, varied
from nodejepa_ext.sweep.rounds import Report, complete, value

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FILES = JOURNAL, BEST  # either tells a sweep's folder
FRESH = COLOURS[1]
LOOKS = {  # of trials that were stopped: outcomes, marker, colour
    "pruned": (("pruned",), "v", MUTED),
    "diverged or out of memory": (("diverged", "oom"), "x", COLOURS[3]),
    "failed": (("died", "timeout", "failed", "lost"), "+", COLOURS[6]),
}
STRIP = "below: stopped without a value, or far under the median"
UNSET = -0.1  # height on an axis from 0 to 1 of a knob that a trial does not have
MOST_KNOBS = 10  # that are drawn
SHADES = "viridis_r"  # the best dark


def scale(part: Report) -> float:
    """What values are multiplied by: accuracies are drawn in %."""
    return 100.0 if part["plan"]["objective"] in ACCURACIES else 1.0


def reached(trial: Report) -> float:
    """A complete trial's value, or the running objective of one that was stopped; nan: none."""
    last = trial["intermediate"][-1][1] if trial["intermediate"] else None
    found = trial["value"] if complete(trial) else last
    return math.nan if found is None else float(found)


def lowest(part: Report) -> float:
    """Where the drawn values end."""
    done = [value(trial) for trial in part["trials"] if complete(trial)]
    if done:
        return floor(done)
    return min(filter(math.isfinite, map(reached, part["trials"])), default=0.0)


def draw_history(axes: Axes, part: Report) -> None:
    """Every trial against its number, the best so far, and at their trials' numbers the means and
    intervals on fresh seeds. A complete trial below the floor is drawn on it; what was stopped
    there, or before it had a value, is in a strip of its own below."""
    from matplotlib.ticker import MaxNLocator

    by, low, trials = scale(part), lowest(part), part["trials"]
    done = [trial for trial in trials if complete(trial)]
    numbers, values = [t["number"] for t in done], [by * max(value(t), low) for t in done]
    if done:
        axes.plot(numbers, values, "o", ms=4.5, mew=0, color=COLOURS[0], label="complete")
        best = [*np.maximum.accumulate(values), max(values)]
        ends = [*numbers, len(trials) - 0.5]
        axes.step(ends, best, where="post", color=COLOURS[0], lw=1.1, label="best so far")
    draw_stopped(axes, part)
    for line in part["rounds"]["lines"]:
        if line["values"]:
            draw_fresh(axes, line, by)
    axes.set(xlabel="trial", ylabel=UNITS[part["plan"]["objective"]])
    axes.set_xlim(-0.7, max(len(trials), 2) - 0.3)
    axes.xaxis.set_major_locator(MaxNLocator(10, integer=True, steps=[1, 2, 5, 10]))
    if not np.isfinite([reached(trial) for trial in trials]).any():
        axes.set_yticks([])
    axes.grid(alpha=0.25, lw=0.6)
    draw_legend(axes)


def draw_stopped(axes: Axes, part: Report) -> None:
    """Trials that were stopped, at their last running objective; those without one, or with one
    below the floor, in a strip under all values."""
    by, low, trials = scale(part), lowest(part), part["trials"]
    known = [value for value in map(reached, trials) if value >= low]
    tall = (max(known) - low if known else 0.0) or 0.01
    strip = by * (low - 0.2 * tall)
    used = False
    for label, (outcomes, marker, colour) in LOOKS.items():
        own = [trial for trial in trials if trial["outcome"] in outcomes]
        heights = [by * reached(trial) if reached(trial) >= low else strip for trial in own]
        look: Any = dict(ls="", marker=marker, ms=5, mfc="none", color=colour, zorder=1.5)
        if own:
            axes.plot([t["number"] for t in own], heights, label=label, **look)
        used = used or strip in heights
    if used:
        half = by * 0.07 * tall
        axes.axhspan(strip - half, strip + half, color="0.93", lw=0, zorder=0, gid="strip")
        look = dict(fontsize=7, color="0.4", va="bottom", ha="right")
        axes.text(1.0, strip + half, STRIP, transform=axes.get_yaxis_transform(), **look)
        axes.set_ylim(bottom=strip - 1.6 * half)
        axes.set_yticks([tick for tick in axes.get_yticks() if tick >= by * low - half])


def draw_fresh(axes: Axes, line: Report, by: float) -> None:
    """A configuration of the rounds: from its value in the search to that on fresh seeds."""
    x, fresh, first = line["number"], line["fresh"], line["fresh_rank"] == 1
    axes.plot([x, x], [by * line["search"], by * fresh["mean"]], color=FRESH, lw=0.8, ls=":")
    if fresh["low"] is not None:
        axes.plot([x, x], [by * fresh["low"], by * fresh["high"]], color=FRESH, lw=1.4, zorder=3)
    look: Any = dict(marker="*" if first else "D", ms=12 if first else 5, mec="white", mew=0.6)
    label = "first on fresh seeds" if first else "on fresh seeds: mean, 95% interval"
    axes.plot([x], [by * fresh["mean"]], ls="", color=FRESH, zorder=4, label=label, **look)


def draw_legend(axes: Axes) -> None:
    """Above the panel, where it hides nothing; an entry a look."""
    handles, labels = axes.get_legend_handles_labels()
    entries = dict(zip(labels, handles, strict=True))
    corner: Any = dict(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2)
    look: Any = dict(frameon=False, fontsize=8, ncols=3, handletextpad=0.4, columnspacing=1.2)
    axes.legend([*entries.values()], [*entries], **corner, **look)


def draw_importances(axes: Axes, part: Report) -> None:
    """A bar a knob, the largest at the top."""
    found = [*part["importances"].items()][:MOST_KNOBS]
    shares = [share for _, share in found]
    bars = axes.barh(range(len(found)), shares, color=COLOURS[0], height=0.6)
    axes.bar_label(bars, fmt="{:.2f}", fontsize=8, padding=2)
    names = [one_line(name).replace("_", " ") for name, _ in found]
    axes.set_yticks(range(len(found)), names)
    axes.tick_params(axis="y", length=0)
    axes.set(ylim=(max(len(found), 4) - 0.5, -0.5), xlim=(0, 1.2 * max(shares)), xticks=[])
    axes.spines["bottom"].set_visible(False)
    axes.set_title("Importance (fANOVA)", fontsize=10)


class Knob:
    """One vertical axis: the height, from 0 to 1, of each value of a knob; None: it is not set."""

    def __init__(self, values: list[Any], space: Report) -> None:
        given = {value for value in values if value is not None}
        self.choices, self.log = space["choices"], space["log"]
        order = self.choices or sorted(given)
        self.listed = [value for value in order if value in given]
        self.unset = None in values
        self.low, self.high = 0.0, float(len(self.listed))
        if not self.choices:
            self.low, self.high = self.warp(min(given)), self.warp(max(given))

    def warp(self, value: Any) -> float:
        if self.choices:
            return self.listed.index(value) + 0.5
        return math.log(value) if self.log else float(value)

    def at(self, value: Any) -> float:
        if value is None or self.low == self.high:
            return UNSET if value is None else 0.5
        return (self.warp(value) - self.low) / (self.high - self.low)

    def ticks(self) -> dict[float, str]:
        """Height -> what is written there."""
        found = {self.at(value): knob_text(value) for value in self.listed}
        if not self.choices and np.diff([*found]).min(initial=1.0) < 0.08:  # too close to be read
            ends = {h: self.low + h * (self.high - self.low) for h in (0.0, 0.5, 1.0)}
            found = {h: knob_text(math.exp(v) if self.log else v) for h, v in ends.items()}
        return found | ({UNSET: "not set"} if self.unset else {})


def drawn(part: Report) -> list[str]:
    """The knobs that differ between complete trials, of many the most important; none, unless
    trials differ in value."""
    done = [trial for trial in part["trials"] if complete(trial)]
    if len({value(trial) for trial in done}) < 2:
        return []
    shares = part["importances"] or {}
    names = sorted(varied(part, done), key=lambda name: -shares.get(name, 0.0))
    return [name for name in varied(part, done) if name in names[:MOST_KNOBS]]


def draw_knobs(axes: Axes, part: Report, names: list[str]) -> None:
    """Parallel coordinates: a line a complete trial, the better the darker, from knob to knob to
    its value; the winner's, or else the best's, is marked."""
    from matplotlib import colormaps

    done = sorted(filter(complete, part["trials"]), key=value)
    own = [[trial["params"].get(name) for trial in done] for name in names]
    knobs = [Knob(v, part["knobs"][n]) for n, v in zip(names, own, strict=True)]
    low, top = lowest(part), value(done[-1])
    number = part["winner"]["number"] if part["winner"] else part["best"]
    heights = [[knob.at(v) for v in vs] for knob, vs in zip(knobs, own, strict=True)]
    shares = [max(value(trial) - low, 0.0) / (top - low) for trial in done]
    for trial, share, *line in zip(done, shares, *heights, strict=True):
        marked = trial["number"] == number
        look: Any = dict(color=FRESH if marked else colormaps[SHADES](share))
        look |= dict(lw=2.2, zorder=3) if marked else dict(lw=0.9, alpha=0.75, zorder=1 + share)
        axes.plot([*line, share], **look)
    ends = {h: f"{scale(part) * (low + h * (top - low)):.3g}" for h in (0.0, 0.5, 1.0)}
    for x, ticks in enumerate([*(knob.ticks() for knob in knobs), ends]):
        draw_axis(axes, x, ticks)
    labels = [one_line(name).replace("_", "\n") for name in names]
    labels.append(UNITS[part["plan"]["objective"]])
    axes.set_xticks(range(len(labels)), [*labels[:-1], textwrap.fill(labels[-1], 12)])
    bottom = UNSET if any(knob.unset for knob in knobs) else 0.0
    axes.set(xlim=(-0.2, len(names) + 0.5), ylim=(bottom - 0.06, 1.06), yticks=[])
    axes.spines[:].set_visible(False)
    axes.tick_params(axis="x", length=0)
    what = "the winner" if part["winner"] else "the best so far"
    axes.set_title(f"Every complete trial, the better the darker; orange: {what}", fontsize=10)


def draw_axis(axes: Axes, x: int, ticks: dict[float, str]) -> None:
    """A vertical line at x, and beside it what its heights stand for."""
    axes.axvline(x, color="0.3", lw=0.8, zorder=3.5)
    box: Any = dict(facecolor="white", alpha=0.75, lw=0, pad=0.6)
    for height, text in ticks.items():
        look: Any = dict(va="center", fontsize=7.5, bbox=box, zorder=4)
        axes.annotate(text, (x, height), (4, 0), textcoords="offset points", **look)


def draw_graph(graph: str, part: Report, source: str) -> Figure:
    """History and importances above, the knobs below, as far as there are any."""
    from matplotlib.figure import Figure

    names, bars = drawn(part), bool(part["importances"])
    figure = Figure(figsize=(10, 7.6 if names else 4.2), layout="constrained")
    rows = figure.add_gridspec(2 if names else 1, 1)
    upper = rows[0].subgridspec(1, 1 + bars, width_ratios=[3, 1][: 1 + bars])
    history = figure.add_subplot(upper[0])
    draw_history(history, part)
    if bars:
        draw_importances(figure.add_subplot(upper[1]), part)
    if names:
        draw_knobs(figure.add_subplot(rows[1]), part, names)
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    figure.suptitle(f"{NAMES.get(graph, graph)}: {len(part['trials'])} trials", fontsize=12)
    note = "complete trials far below the median are drawn at the lowest value; "
    note += "dotted: from search to fresh seeds"
    figure.supxlabel(f"{note}; {source}", fontsize=7, color="0.4")
    return figure


def draw(folder: Path, out: Path, notice: Notice) -> list[Path]:
    """A picture a graph into `out`, made if need be -> the files written. ResultsError: no sweep,
    or none of its trials has ended; RunError 3: its journal is damaged."""
    try:
        found = read(folder)
    except (ValueError, OSError) as error:
        raise ResultsError(str(error)) from None
    try:
        names = {graph: file_name(graph, "graph") for graph in found["graphs"]}
    except ValueError as error:
        raise ResultsError(f"{folder}: {error}") from None
    parts = {
        graph: part
        for graph, part in found["graphs"].items()
        if part["counts"].keys() - {"running", "waiting"}
    }
    if not parts:
        raise ResultsError(f"{folder}: expected a trial that has ended, found none")
    for graph in found["graphs"].keys() - parts.keys():
        notice(f"{graph}: no trial has ended, no picture")
    with literal():
        source = folder.resolve().name
        figures = {graph: draw_graph(graph, part, source) for graph, part in parts.items()}
    out.mkdir(parents=True, exist_ok=True)
    return [save(figure, out / f"sweep-{names[graph]}.png") for graph, figure in figures.items()]
