"""What commands cost against the nodes of a graph, as `nodejepa-ext bench scale` measured it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nodejepa_ext.plots.style import COLOURS, MUTED, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def cost(rows: list[dict[str, Any]], path: Path) -> Path:
    """CPU seconds, and peak memory in GiB, of each step against nodes, on logarithmic axes, with a
    dotted line of cost in proportion to nodes; controls are left out. rows: {nodes, step,
    cpu_seconds, peak_gib, error}. FileExistsError: as `save`."""
    from matplotlib.figure import Figure

    rows = [row for row in rows if not row["error"] and not row["step"].startswith("control")]
    figure = Figure(figsize=(9, 4), layout="constrained")
    panels = figure.subplots(1, 2)
    counts = sorted({row["nodes"] for row in rows})
    steps = list(dict.fromkeys(row["step"] for row in rows))
    for axes, key, name in zip(
        panels, ("cpu_seconds", "peak_gib"), ("CPU seconds", "peak memory, GiB"), strict=True
    ):
        for step, colour in zip(steps, COLOURS, strict=False):
            own = sorted((row for row in rows if row["step"] == step), key=lambda r: r["nodes"])
            values = [row[key] for row in own]
            axes.plot([r["nodes"] for r in own], values, "o-", color=colour, label=step)
        axes.set(xscale="log", yscale="log", xlabel="nodes", ylabel=name)
        axes.grid(alpha=0.3)
        plain(axes, counts)
    if len(counts) > 1:
        low = max(row["cpu_seconds"] for row in rows if row["nodes"] == counts[0])
        ends = [counts[0], counts[-1]]
        line = [low, low * counts[-1] / counts[0]]
        panels[0].plot(ends, line, ":", color=MUTED, label="in proportion to nodes")
    panels[1].axhline(6, ls="--", color=MUTED)
    panels[1].text(counts[0], 6.2, "bar: 6 GiB", color=MUTED, fontsize=8)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper", fontsize=8)
    return save(figure, path)


def plain(axes: Axes, counts: list[int]) -> None:
    """Numbers as they are, not as powers; nodes where there is a measurement."""
    from matplotlib.ticker import LogLocator, NullLocator

    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_xticks(counts)
    axes.yaxis.set_major_locator(LogLocator(subs=[1.0, 2.0, 5.0]))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
