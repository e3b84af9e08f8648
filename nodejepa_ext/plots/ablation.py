"""Pictures of an ablation: per graph, every seed of every arm, and how the arms trained.

Kept apart from run.py, which draws the runs of run_full.py. What is
read: rows.jsonl and, for the order of the arms, report.json, both of `nodejepa-ext ablate`. What is
written: ablation-<graph>.png. Accuracies are development accuracies where all rows have them, else
of validation nodes, also where test nodes were looked at. Without torch, as nothing here needs it.
"""

from __future__ import annotations

import json
import math
import textwrap
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nodejepa_ext.judging.stats import interval
from nodejepa_ext.plots.style import (
    ACCURACY,
    COLOURS,
    METERS,
    MUTED,
    NAMES,
    Notice,
    ResultsError,
    Series,
    complaint,
    epoch_axis,
    literal,
    mean_series,
    rank_axis,
    read_lines,
    save,
)
from nodejepa_ext.records import Damaged, Each, one_line, read_json

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from nodejepa_ext.ablation.rows import Row

ROWS, REPORT = "rows.jsonl", "report.json"
NAMED = {"graph": str, "arm": str, "seed": int, "status": str, "job": dict}  # in every row
STYLES = "-", (0, (4, 1.5)), (0, (1, 1))  # of curves, as one arm after another needs a colour twice
MARKERS = "o", "s", "^"
CONTROL = "control: "  # as in ablate
WIDTH = 34  # characters of an arm's name, a line


@dataclass
class Arm:
    """One arm's rows on one graph, and how it is drawn."""

    name: str
    label: str = ""
    rows: list[Row] = field(default_factory=list)  # that came to an end
    measure: str = "val"  # of ACCURACY
    colour: str = MUTED
    style: Any = STYLES[0]
    marker: str = MARKERS[0]

    def accuracies(self) -> dict[int, float]:
        """Seed -> accuracy, %."""
        return {row["seed"]: 100 * row[self.measure] for row in self.rows}

    def runs(self, meter: str) -> list[Series]:
        """The meter's course, a seed each; of seeds that were evaluated once it is none."""
        curves = [row.get("curve", []) for row in self.rows]
        return [
            {point["epoch"]: float(point[meter]) for point in curve if meter in point}
            for curve in curves
            if len(curve) > 1
        ]


def wrong_in(row: Any) -> str:
    """What is wrong with a parsed line of ROWS; "" if nothing is."""
    if wrong := complaint(row, NAMED):
        return wrong
    if wrong := complaint(row["job"].get("config"), {"epochs": int}, meters=set()):
        return f"job.config: {wrong}"
    if row["status"] != "ok":
        return ""
    for name in ("val", "dev"):
        figure = row.get(name, math.nan if name == "val" else 0.0)
        if type(figure) not in (int, float) or not math.isfinite(figure):
            return f"{name} is {row.get(name)!r}, expected a finite number"
    if not isinstance(curve := row.get("curve", []), list):
        return f"curve is {curve!r}, expected a list"
    wrongs = [wrong for point in curve if (wrong := complaint(point, {"epoch": int}))]
    return f"curve: {wrongs[0]}" if wrongs else ""


def reported(path: Path) -> dict[str, list[str]]:
    """Graph -> the arms of its table, the reference first; {}: the ablation has not ended yet."""
    if not path.is_file():
        return {}
    try:
        found = read_json(path, {"graphs": Each({"arms": [{"arm": str}]})})
    except Damaged as error:
        raise ResultsError(f"{error}, a JSON object with graphs and their arms") from None
    return {
        graph: [line["arm"] for line in part["arms"]] for graph, part in found["graphs"].items()
    }


def arms_of(rows: list[Row], order: list[str]) -> list[Arm]:
    """Of one graph's rows: the arms in `order`, others as they come, at last the controls."""
    names = [name for name in order if any(row["arm"] == name for row in rows)]
    names = [*dict.fromkeys([*names, *(row["arm"] for row in rows)])]
    ended = [row for row in rows if row["status"] == "ok"]
    measure = "dev" if ended and all("dev" in row for row in ended) else "val"
    arms = []
    for i, name in enumerate(sorted(names, key=is_control)):
        own = [row for row in rows if row["arm"] == name]
        lost = Counter(row["status"] for row in own if row["status"] != "ok")
        said = [one_line(name.removeprefix(CONTROL))]
        said += [f"{n} {one_line(status)}" for status, n in lost.items()]
        label = textwrap.fill(", ".join(said), WIDTH)
        arm = Arm(name, label, [row for row in own if row["status"] == "ok"], measure=measure)
        if not is_control(name):
            turn = i // len(COLOURS) % len(STYLES)
            arm.colour, arm.style = COLOURS[i % len(COLOURS)], STYLES[turn]
            arm.marker = MARKERS[turn]
        arms.append(arm)
    return arms


def is_control(name: str) -> bool:
    return name.startswith(CONTROL)


def draw_arms(axes: Axes, arms: list[Arm], controls: list[Arm], below: float) -> None:
    """A line an arm: its name, how its curve is drawn, its seeds, and so far below these their mean
    and interval. What shares a seed is joined. Controls stand apart, at the foot and grey."""
    heights = [float(i) for i in range(len(arms))]
    for seed in sorted({seed for arm in arms for seed in arm.accuracies()}):
        shared = [arm.accuracies().get(seed, math.nan) for arm in arms]
        axes.plot(shared, heights, color="0.8", lw=0.6, zorder=1)
    if arms and arms[0].rows:
        mean = interval([*arms[0].accuracies().values()]).mean
        axes.axvline(mean, color="0.35", lw=0.8, ls=(0, (5, 3)), zorder=1.5)
    if controls:
        axes.axhline(len(arms) - 0.2, color="0.7", lw=0.6)
        heights += [len(arms) + 0.3 + i for i in range(len(controls))]
    for arm, y in zip([*arms, *controls], heights, strict=True):
        draw_arm(axes, arm, y, below)
    draw_keys(axes, arms)
    axes.set_yticks(heights, [arm.label for arm in [*arms, *controls]], fontsize=8)
    for text in axes.get_yticklabels()[len(arms) :]:
        text.set_color("0.4")
    axes.tick_params(axis="y", length=0, pad=28)
    axes.set_ylim(heights[-1] + 0.7, -0.5)
    axes.set_xlabel(ACCURACY[arms[0].measure if arms else "val"])
    axes.set_title("Every seed; mean and 95% interval", fontsize=10)


def draw_arm(axes: Axes, arm: Arm, y: float, below: float) -> None:
    """A dot a seed at height y; their mean and 95% t interval, `below` further down."""
    values = [*arm.accuracies().values()]
    mean, _, low, high, _ = interval(values)
    look: Any = dict(ls="", color=arm.colour, marker=arm.marker)
    axes.plot(values, [y] * len(values), ms=4, alpha=0.6, mew=0, zorder=2, **look)
    axes.plot([low, high], [y + below] * 2, color=arm.colour, lw=1.6, zorder=3)
    axes.plot([mean], [y + below], ms=6, mec="white", mew=0.8, zorder=4, **look)


def draw_keys(axes: Axes, arms: list[Arm]) -> None:
    """Between an arm's name and the axis: the legend of all panels, where it hides nothing."""
    from matplotlib.transforms import Affine2D, ScaledTranslation, blended_transform_factory

    corner: Any = axes.transAxes
    points = Affine2D().scale(1 / 72) + axes.figure.dpi_scale_trans
    beside = blended_transform_factory(points + ScaledTranslation(0, 0, corner), axes.transData)
    for y, arm in enumerate(arms):
        look: Any = dict(color=arm.colour, ls=arm.style, marker=arm.marker, ms=4, lw=1.6)
        axes.plot([-24, -14, -4], [y] * 3, markevery=[1], transform=beside, clip_on=False, **look)


def draw_meter(axes: Axes, arms: list[Arm], meter: str) -> None:
    """The mean over an arm's seeds against the epoch, in a band from the least to the largest."""
    scale = 100.0 if meter == "val" else 1.0
    for arm in arms:
        runs = arm.runs(meter)
        if not (mean := mean_series(runs)):
            continue
        values = scale * np.array([[run[epoch] for epoch in mean] for run in runs])  # [seeds, T]
        look: Any = dict(color=arm.colour, ls=arm.style, marker=arm.marker)
        size = 2.5 if len(mean) < 30 else 0  # of a marker
        axes.plot([*mean], values.mean(0), lw=1.4, ms=size, **look)
        band: Any = dict(color=arm.colour, alpha=min(0.12, 0.8 / len(arms)), lw=0)
        axes.fill_between([*mean], values.min(0), values.max(0), **band)
    axes.set_ylabel(textwrap.fill(METERS[meter], 14))


def budgets(arms: list[Arm]) -> dict[str, int]:
    """Arm -> epochs, where the arms differ in nothing else; {} where they do."""
    epochs, others = dict[str, set[int]](), set()
    for arm in arms:
        for row in arm.rows:
            config = row["job"]["config"]
            epochs.setdefault(arm.name, set()).add(config["epochs"])
            same = [config | {"epochs": 0, "seed": 0}, row["job"].get("parts")]
            others.add(json.dumps(same, sort_keys=True))
    found = {name: min(own) for name, own in epochs.items() if len(own) == 1 and min(own) > 0}
    alone = len(others) == 1 and len(set(found.values())) == len(epochs) > 1
    return found if alone else {}


def draw_budgets(axes: Axes, arms: list[Arm], epochs: dict[str, int]) -> None:
    """What an arm reached against the epochs it had."""
    arms = sorted((arm for arm in arms if arm.name in epochs), key=lambda arm: epochs[arm.name])
    found = {epochs[arm.name]: interval([*arm.accuracies().values()]) for arm in arms}
    axes.plot([*found], [f.mean for f in found.values()], color="0.7", lw=1, zorder=1)
    for arm, (x, f) in zip(arms, found.items(), strict=True):
        axes.plot([x, x], [f.low, f.high], color=arm.colour, lw=1.6)
        axes.plot([x], [f.mean], color=arm.colour, marker=arm.marker, ms=6, mec="white", mew=0.8)
    axes.set_xscale("log")
    axes.set_xticks([*found], [*map(str, found)])
    axes.minorticks_off()
    axes.set(
        xlabel="epochs of the whole training", ylabel=textwrap.fill(ACCURACY[arms[0].measure], 14)
    )
    axes.set_title("Once trained: mean and 95% interval", fontsize=10)


def draw_graph(graph: str, arms: list[Arm], source: str) -> Figure:
    """Left every seed, right what the rows tell of the training, if anything."""
    from matplotlib.figure import Figure

    own = [arm for arm in arms if not is_control(arm.name)]
    meters = [meter for meter in METERS if any(any(arm.runs(meter)) for arm in own)]
    epochs = budgets(own)
    panels = bool(epochs) + len(meters)
    lines = max(arm.label.count("\n") + 1 for arm in arms)
    height = max(1.5 + len(arms) * (0.22 + 0.13 * lines), 1.2 + 1.6 * panels)
    figure = Figure(figsize=(9.5 if panels else 6.5, height), layout="constrained")
    left, *right = subplots(figure, bool(epochs), len(meters))
    draw_arms(left, own, arms[len(own) :], below=min(0.28, 0.12 / (height - 1.5) * len(arms)))
    if epochs:
        draw_budgets(right[0], own, epochs)
    draw_meters(right[bool(epochs) :], own, meters)
    for axes in [left, *right]:
        axes.grid(alpha=0.25, lw=0.6, axis="x" if axes is left else "both")
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    figure.align_ylabels(right)
    figure.suptitle(heading(graph, own), fontsize=12)
    figure.supxlabel(footnote(own, bool(meters), source), fontsize=7, color="0.4")
    return figure


def subplots(figure: Figure, budget: bool, meters: int) -> list[Axes]:
    """The large one on the left, then those on the right from the top down."""
    panels = budget + meters
    grid = figure.add_gridspec(1, 1 + (panels > 0))
    axes = [figure.add_subplot(grid[0, 0])]
    if budget:
        ratios = [1, meters][: 1 + (meters > 0)]
        outer = grid[0, 1].subgridspec(len(ratios), 1, height_ratios=ratios)
        axes.append(figure.add_subplot(outer[0]))
    if meters:
        inner = (outer[1] if budget else grid[0, 1]).subgridspec(meters, 1)
        axes += [figure.add_subplot(inner[i]) for i in range(meters)]
    return axes


def draw_meters(right: list[Axes], arms: list[Arm], meters: list[str]) -> None:
    """The stacked panels, on one axis of epochs."""
    for axes, meter in zip(right, meters, strict=True):
        draw_meter(axes, arms, meter)
        if meter == "effective_rank":
            rank_axis(axes)
    for axes in right[:-1]:
        axes.sharex(right[-1])
        axes.tick_params(labelbottom=False)
    if right:
        last = [max(run) for arm in arms for run in arm.runs(meters[0])]
        epoch_axis(right[-1], log=max(last) > 4 * max(min(last), 1))
        right[0].set_title("While training: mean and range", fontsize=10)


def heading(graph: str, arms: list[Arm]) -> str:
    """The picture's title: the graph, how many arms and how many seeds."""
    seeds = {seed for arm in arms for seed in arm.accuracies()}
    counts = (len(arms), "arm"), (len(seeds), "seed")
    return f"{NAMES.get(graph, graph)}: " + ", ".join(
        f"{n} {word}" if n == 1 else f"{n} {word}s" for n, word in counts
    )


def footnote(arms: list[Arm], bands: bool, source: str) -> str:
    """What lines and bands stand for, of those that are drawn, and whose rows these are."""
    parts = ["a thin line joins what shares a seed"] if arms else []
    if arms and arms[0].rows:
        parts.append(f"dashed: mean of {' '.join(arms[0].label.split())}")
    parts += ["band: least to largest seed"] * bands
    return "; ".join([*parts, f"rows of {source}"])


def draw(folder: Path, out: Path, notice: Notice) -> list[Path]:
    """A picture a graph into `out`, made if need be -> the files written. All is read before the
    first is written. ResultsError: rows or report are not what `nodejepa-ext ablate` writes."""
    path, order = folder / ROWS, reported(folder / REPORT)
    lines = read_lines(path, wrong_in, notice)
    rows = [*{(row["graph"], row["arm"], row["seed"]): row for row in lines}.values()]
    graphs = dict.fromkeys(row["graph"] for row in rows if row["status"] == "ok")
    if not graphs:
        raise ResultsError(f"{path}: expected a row that came to an end, found none")
    for graph in {row["graph"]: 0 for row in rows if row["graph"] not in graphs}:
        notice(f"{graph}: no row came to an end, no picture")
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for graph in graphs:
        arms = arms_of([row for row in rows if row["graph"] == graph], order.get(graph, []))
        with literal():
            figure = draw_graph(graph, arms, folder.resolve().name)
        written.append(save(figure, out / f"ablation-{graph}.png"))
    return written
