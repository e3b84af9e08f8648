"""The picture of a comparison: a panel a graph, accuracy against CPU seconds, a point a method.

Drawn from the report that `nodejepa-ext compare` keeps, so that it needs no torch. Quoted figures
are hollow; what costs less than a tenth of a second stands at that. Intervals are drawn of three
seeds or more: of two they say nothing but that.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nodejepa_ext.plots.style import COLOURS, MUTED, NAMES, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEAST = 0.1  # CPU seconds, of a logarithmic axis
FEW = 3  # seeds, below which no interval is drawn
OURS = "ours"
LABELS = {
    "test": "test accuracy, %",
    "linear": "development accuracy, %",
    "auc": "AUC of held-out edges, %",
}
MARKERS = "os^Dv"


def draw(found: dict[str, Any], path: Path) -> Path | None:
    """found: of `ablation.comparison.report` -> the PNG written; None: there is nothing to show."""
    from matplotlib.figure import Figure

    panels = {graph: part for graph, part in found["graphs"].items() if points_of(part)}
    if not panels:
        return None
    names = [name for part in panels.values() for name, *_ in points_of(part)]
    looks = looks_of(list(dict.fromkeys(names)))
    figure = Figure(figsize=(4.2 * len(panels) + 1.8, 4.2), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for one, (graph, part) in zip(axes, panels.items(), strict=True):
        draw_graph(one, graph, part, looks)
    handles = {
        label: handle
        for one in axes
        for handle, label in zip(*one.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        list(handles.values()), list(handles), loc="outside right upper", fontsize=7, frameon=False
    )
    title = "A quick run: these figures mean nothing" if found["quick"] else "What a row costs"
    figure.suptitle(title, fontsize=11)
    return save(figure, path)


def points_of(part: dict[str, Any]) -> list[tuple[str, float, float, float, int]]:
    """Method, CPU seconds, mean, how far its interval goes to either side, in %, and seeds."""
    points = []
    for line in part["methods"]:
        figure = line.get(part["measure"])
        if figure is None or line["cpu_seconds"] is None:
            continue
        half = 100 * (figure["high"] - figure["mean"]) if figure["n"] >= FEW else 0.0
        seconds = max(line["cpu_seconds"], LEAST)
        points.append((line["method"], seconds, 100 * figure["mean"], half, figure["n"]))
    return points


def looks_of(names: list[str]) -> dict[str, dict[str, Any]]:
    """Ours in black and large; no two others alike."""
    others = [name for name in names if name != OURS]
    looks = {OURS: dict(color="black", marker="*", ms=11)}
    for i, name in enumerate(others):
        colour = COLOURS[:-1][i % (len(COLOURS) - 1)]
        looks[name] = dict(color=colour, marker=MARKERS[i // (len(COLOURS) - 1) % 5], ms=5)
    return looks


def draw_graph(
    axes: Axes, graph: str, part: dict[str, Any], looks: dict[str, dict[str, Any]]
) -> None:
    """One panel."""
    for name, seconds, mean, half, _ in points_of(part):
        axes.errorbar([seconds], [mean], [half], ls="", capsize=2, lw=1, label=name, **looks[name])
    for quote in part["quoted"]:
        look: Any = dict(ls="", marker="o", mfc="none", color=MUTED, ms=5)
        at = [quote["cpu_seconds"]], [100 * quote["accuracy"]]
        axes.plot(*at, label=f"{quote['method']}, quoted", **look)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("CPU seconds of embedding")
    axes.set_ylabel(LABELS[part["measure"]])
    seeds = max((n for *_, n in points_of(part)), default=0)
    axes.set_title(f"{NAMES.get(graph, graph)}, n = {seeds}", fontsize=10)
    axes.grid(alpha=0.25, lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
