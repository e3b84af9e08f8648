"""What commands would take on graphs that were not measured: an estimate on paper.

A command's cost is taken as a start and a share for each of the numbers that it handles, by a count
of these that depends on nodes, edges and features. Two measured sizes fix both. Caches, disks and
memory that is not there are not in it. Shapes: N nodes, E undirected
edges, F features; widths as in scale.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from rich.table import Table

HIDDEN, OUT = 512, 256
PRODUCTS = 100  # multiplications that take as long as one number fetched from memory
EDGES, FEATURES = 10, 128  # a node, of what is measured


class Size(NamedTuple):
    nodes: int
    edges: int
    features: int


GRAPHS = {
    "ogbn-arxiv": Size(169_343, 1_166_243, 128),
    "ogbn-products": Size(2_449_029, 61_859_140, 100),
    "ogbn-papers100M": Size(111_059_956, 1_615_685_872, 128),
}


def measured(nodes: int) -> Size:
    """Of the graph of `scale_graph`."""
    return Size(nodes, EDGES * nodes, FEATURES)


def numbers(step: str, size: Size) -> float:
    """That a step handles."""
    n, e, f = size
    if step.startswith("data convert"):
        return n * f + 4 * e
    products = n * (f * HIDDEN + HIDDEN * OUT) / PRODUCTS
    return products + (2 * e + n) * (min(f, HIDDEN) + OUT) + n * (f + HIDDEN + OUT)


def memory(step: str, size: Size) -> float:
    """Bytes, to a factor, that a step holds at once."""
    n, e, f = size
    wide = 0 if step.startswith("data convert") else HIDDEN + OUT
    return 4 * n * (f + wide) + 100 * e


def line(xs: list[float], ys: list[float], x: float) -> float:
    """At x, of the line through the first and the last of the points; of one that falls, or begins
    below 0, in proportion to the last point."""
    slope = (ys[-1] - ys[0]) / (xs[-1] - xs[0])
    start = ys[0] - slope * xs[0]
    if slope < 0 or start < 0:
        return ys[-1] / xs[-1] * x
    return start + slope * x


def estimates(report: dict[str, Any]) -> dict[str, dict[str, tuple[float, float]]]:
    """Step -> graph -> CPU seconds and GiB, of the steps that were measured at two sizes; not of
    controls."""
    found: dict[str, dict[str, tuple[float, float]]] = {}
    rows = [r for r in report["rows"] if not r["error"] and not r["step"].startswith("control")]
    for step in dict.fromkeys(row["step"] for row in rows):
        own = sorted((row for row in rows if row["step"] == step), key=lambda row: row["nodes"])
        if own[0]["nodes"] == own[-1]["nodes"]:
            continue
        sizes = [measured(row["nodes"]) for row in own]
        seconds = [row["cpu_seconds"] for row in own]
        peaks = [row["peak_gib"] for row in own]
        work, held = ([f(step, size) for size in sizes] for f in (numbers, memory))
        found[step] = {
            name: (
                line(work, seconds, numbers(step, size)),
                line(held, peaks, memory(step, size)),
            )
            for name, size in GRAPHS.items()
        }
    return found


def table(found: dict[str, dict[str, tuple[float, float]]]) -> Table:
    """Of `estimates`."""
    from rich.table import Table

    heads = [f"{name}\n{unit}" for name in GRAPHS for unit in ("CPU s", "GiB")]
    table = Table("", *heads, title="On paper, not measured", title_justify="left")
    for step, graphs in found.items():
        pairs = ((f"{seconds:,.0f}", f"{gib:,.1f}") for seconds, gib in graphs.values())
        table.add_row(step, *(cell for pair in pairs for cell in pair))
    return table
