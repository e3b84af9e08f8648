"""Charts of a page as plotly.js takes them, in colours that colour-blind people can tell.

Apart from page.py, which knows no figure. page.js adds what light and dark differ in.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from nodejepa_ext.plots.page import Chart
from nodejepa_ext.plots.style import COLOURS, EVERY, Series, mean_series

GREY = "#8c8c8c"
PALETTE = (*COLOURS[:6], GREY)  # Okabe and Ito's, black in the place of which stands a grey
DASHES = ("solid", "dash", "dot")  # as one line after another needs a colour twice
SYMBOLS = ("circle", "square", "triangle-up")


def label(text: str, width: int = 0) -> str:
    """A user's text, literally: plotly.js would take <b> and <a> for tags. width: of a line."""
    lines = textwrap.wrap(text, width) or [text] if width else [text]
    return "<br>".join(escape(line) for line in lines)


def look(i: int) -> dict[str, Any]:
    """The colour, dash and symbol of the i-th of many."""
    turn = i // len(PALETTE) % len(DASHES)
    return {"colour": PALETTE[i % len(PALETTE)], "dash": DASHES[turn], "symbol": SYMBOLS[turn]}


def scaled(meter: str) -> float:
    return 100.0 if meter == "val" else 1.0


def layout(title: str, x: str = "epoch", **more: Any) -> dict[str, Any]:
    """Of a small chart: its title above, no legend."""
    axes: Any = {"xaxis": {"title": {"text": x}}, "yaxis": {"automargin": True}}
    made = {"title": {"text": title}, "showlegend": False, "hovermode": "closest"}
    return made | axes | more


def course(meter: str, series: Series, kept: int | None) -> Chart:
    """One run's meter against the epoch; kept: the epoch that the embedding is of."""
    values = [scaled(meter) * value for value in series.values()]
    line: Any = {"type": "scatter", "x": [*series], "y": values, "name": EVERY[meter]}
    line |= {"mode": "lines+markers" if len(values) < 40 else "lines"}
    line |= {"line": {"color": PALETTE[0], "width": 2}, "marker": {"size": 5}}
    shapes = []
    if kept is not None:
        at: Any = {"type": "line", "x0": kept, "x1": kept, "yref": "paper", "y0": 0, "y1": 1}
        shapes.append(at | {"line": {"color": PALETTE[1], "width": 1, "dash": "dot"}})
    return {"data": [line], "layout": layout(EVERY[meter], shapes=shapes)}


def courses(meter: str, arms: dict[str, list[Series]]) -> Chart:
    """A line an arm: the mean over its runs at the epochs that all reached, in a band from the
    least to the largest. What has no run keeps its colour."""
    data = []
    for i, (name, runs) in enumerate(arms.items()):
        if mean := mean_series(runs):
            data += banded(meter, name, runs, [*mean], i)
    return {"data": data, "layout": layout(EVERY[meter])}


def banded(meter: str, name: str, runs: list[Series], epochs: list[int], i: int) -> list[Chart]:
    values = scaled(meter) * np.array([[run[epoch] for epoch in epochs] for run in runs])  # [R, T]
    own = look(i)
    edge: Any = {"type": "scatter", "x": epochs, "mode": "lines", "hoverinfo": "skip"}
    edge |= {"line": {"width": 0, "color": own["colour"]}}
    low = edge | {"y": values.min(0).tolist()}
    high = edge | {"y": values.max(0).tolist(), "fill": "tonexty"}
    high |= {"fillcolor": translucent(own["colour"])}
    mean: Any = {"type": "scatter", "x": epochs, "y": values.mean(0).tolist(), "name": label(name)}
    mean |= {"mode": "lines+markers" if len(epochs) < 30 else "lines"}
    mean |= {"line": {"color": own["colour"], "dash": own["dash"], "width": 2}}
    mean |= {"marker": {"symbol": own["symbol"], "size": 5}}
    return [low, high, mean] if len(runs) > 1 else [mean]


def translucent(colour: str, alpha: float = 0.12) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"


def bars(title: str, shares: dict[str, float]) -> Chart:
    """The largest at the top."""
    bar: Any = {"type": "bar", "orientation": "h", "x": [*shares.values()]}
    bar |= {"y": [label(name.replace("_", " ")) for name in shares]}
    bar |= {"marker": {"color": PALETTE[0]}, "hovertemplate": "%{y}: %{x:.2f}<extra></extra>"}
    made = layout(title, "share of the variance explained")
    made["yaxis"] = {"autorange": "reversed", "automargin": True, "type": "category"}
    return {"data": [bar], "layout": made}


def decades(values: Sequence[float]) -> dict[str, Any]:
    """Ticks of a logarithmic axis that never run into one another: both ends and the middle."""
    low, high = min(values), max(values)
    ticks = dict.fromkeys((low, (low * high) ** 0.5, high))
    return {"tickvals": [*ticks], "ticktext": [f"{tick:.2g}" for tick in ticks]}


def axis_of(names: Sequence[str], heights: Sequence[float]) -> dict[str, Any]:
    """An axis of names from the top down; they are the user's."""
    made: Any = {"tickvals": [*heights], "ticktext": [label(name, 26) for name in names]}
    made |= {"range": [heights[-1] + 0.7, heights[0] - 0.7], "automargin": True}
    return made | {"zeroline": False, "showgrid": False}
