"""Pictures of a results folder of run_full.py: learning curves, and maps of embeddings.

What is read: final_results.json, where a row has its curve; or, of an older folder,
learning_curves.jsonl beside it; and <graph>/embeddings.npz (z [N, D], y [N]), where there is one.
What is written: curves.png and map_<graph>.png. Curves show validation only.
"""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nodejepa_ext.plots.style import (
    COLOURS,
    METERS,
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
from nodejepa_ext.records import Damaged, one_line, read_bytes, read_json

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CURVES, RESULTS, EMBEDDINGS = "learning_curves.jsonl", "final_results.json", "embeddings.npz"
ROW: dict[str, type] = {"graph": str, "method": str}  # in every row of RESULTS
SOURCES = CURVES, RESULTS
NAMED: dict[str, type] = ROW | {"seed": int, "epoch": int}  # in every line of CURVES
MOST_POINTS = 5000  # of a map: t-SNE's time, and what an eye can tell apart


@dataclass
class Curves:
    """Per graph, method and meter one series a seed."""

    graphs: list[str] = field(default_factory=list)
    methods: list[str] = field(default_factory=list)
    series: dict[tuple[str, str, str], dict[int, Series]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(dict))
    )

    def add(self, row: dict[str, Any]) -> None:
        """One epoch; a later line on the same one, as after a resume, wins."""
        graph, method = row["graph"], row["method"]
        for name, names in ((graph, self.graphs), (method, self.methods)):
            if name not in names:
                names.append(name)
        for meter in METERS.keys() & row.keys():
            self.series[graph, method, meter][row["seed"]][row["epoch"]] = float(row[meter])


def read_results(path: Path) -> dict[str, Any]:
    """RESULTS, or {} where there is none yet; ResultsError: it is not what run_full.py writes."""
    if not path.is_file():
        return {}
    try:
        found: dict[str, Any] = read_json(path, {"rows": list})
    except Damaged as error:
        raise ResultsError(f"{error}, a JSON object with rows") from None
    return found


def read_curves(folder: Path, results: dict[str, Any], notice: Notice) -> Curves:
    """The rows' own curves, or the lines of CURVES; ResultsError: one of them is bad."""
    curves = Curves()
    if (path := folder / CURVES).is_file():
        lines = read_lines(path, lambda row: complaint(row, NAMED), notice)
    else:
        lines = epochs_of(folder / RESULTS, results.get("rows", []))
    for line in lines:
        curves.add(line)
    return curves


def epochs_of(path: Path, rows: list[Any]) -> list[dict[str, Any]]:
    """A line an epoch of the rows that were trained; ResultsError names the row."""
    lines = []
    for number, row in enumerate(rows, 1):
        if wrong := complaint(row, ROW):
            raise ResultsError(f"{path}, row {number}: {wrong}")
        if not isinstance(curve := row.get("curve", []), list):
            raise ResultsError(f"{path}, row {number}: curve is {curve!r}, expected a list")
        names = {name: row.get(name) for name in ("graph", "method", "seed")}
        for epoch in curve:
            line = epoch | names if isinstance(epoch, dict) else epoch
            if wrong := complaint(line, NAMED):
                raise ResultsError(f"{path}, row {number}: {wrong}")
            lines.append(line)
    return lines


def read_embedding(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """z [N, D] and y [N]; ResultsError: the file has not these, or z is not finite."""
    try:
        with np.load(io.BytesIO(read_bytes(path)), allow_pickle=False) as arrays:
            z, y = arrays["z"], arrays["y"]
    except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ResultsError(f"{path}: expected arrays z and y: {error}") from None
    numbers = z.dtype.kind in "iuf" and y.dtype.kind in "biuf"
    if not numbers or z.ndim != 2 or y.shape != z.shape[:1] or not np.isfinite(z).all():
        raise ResultsError(
            f"{path}: z {list(z.shape)} {z.dtype} and y {list(y.shape)} {y.dtype}, expected finite "
            "z [N, D] and y [N], numbers"
        )
    return z, y


def caption(folder: Path, results: dict[str, Any]) -> str:
    """The folder and, where an older run says so, the commit that made it."""
    name, commit = folder.resolve().name, results.get("commit")
    return one_line(f"{name}, commit {commit}"[:200] if commit else name)


def draw_panel(axes: Axes, curves: Curves, graph: str, meter: str) -> None:
    """One meter on one graph: a thin line a seed, a bold mean, a colour a method."""
    scale = 100.0 if meter == "val" else 1.0
    for i, method in enumerate(curves.methods):
        runs = [run for run in curves.series[graph, method, meter].values() if run]
        colour = COLOURS[i % len(COLOURS)]
        for run in runs if len(runs) > 1 else []:
            epochs = sorted(run)
            dot, values = "." if len(run) == 1 else "", [scale * run[e] for e in epochs]
            axes.plot(epochs, values, color=colour, lw=0.7, alpha=0.35, marker=dot)
        mean = mean_series(runs)
        values = [scale * v for v in mean.values()]
        axes.plot([*mean], values, color=colour, lw=2, marker="o", ms=3 if len(mean) < 30 else 0)
    axes.grid(alpha=0.25, lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def spread(curves: Curves, graph: str) -> float:
    """The longest method's last epoch over the shortest's."""
    last = [
        max(epoch for run in runs.values() for epoch in run)
        for (of, _, _), runs in curves.series.items()
        if of == graph and any(runs.values())
    ]
    return max(last) / max(min(last), 1) if last else 1.0


def draw_curves(curves: Curves, footnote: str) -> Figure:
    """A column a graph, a row a meter, of those that any line has."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    columns = len(curves.graphs)
    measured = {meter for (_, _, meter), runs in curves.series.items() if any(runs.values())}
    meters = [meter for meter in METERS if meter in measured]
    size = max(3.6 * columns + 0.6, 5.0), 0.6 + 2.3 * len(meters)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(meters), columns, squeeze=False, sharex="col")
    for j, graph in enumerate(curves.graphs):
        for i, meter in enumerate(meters):
            draw_panel(grid[i, j], curves, graph, meter)
            if meter == "effective_rank":
                rank_axis(grid[i, j])
        epoch_axis(grid[-1, j], log=spread(curves, graph) > 4)
        grid[0, j].set_title(graph)
    for i, meter in enumerate(meters):
        grid[i, 0].set_ylabel(METERS[meter])
    figure.align_ylabels()
    handles = [
        Line2D([], [], color=COLOURS[i % len(COLOURS)], lw=2, label=one_line(method))
        for i, method in enumerate(curves.methods)
    ]
    figure.legend(
        handles=handles, loc="outside upper center", ncols=min(len(handles), 6), frameon=False
    )
    figure.supxlabel(f"thin: a seed, bold: their mean; {footnote}", fontsize=7, color="0.4")
    return figure


def flatten(z: np.ndarray) -> np.ndarray:
    """z [N, D] -> [N, 2]: PCA to at most 50 dimensions, then t-SNE; deterministic. All at one
    point if z is too."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    n, d = z.shape
    if n < 3 or np.ptp(z, axis=0).max(initial=0.0) == 0:
        return np.zeros((n, 2))
    reduced = PCA(min(50, n - 1, d), random_state=0).fit_transform(z.astype(np.float64))
    init = "pca" if reduced.shape[1] > 1 else "random"
    model = TSNE(2, init=init, perplexity=min(30.0, (n - 1) / 3), random_state=0)
    return np.asarray(model.fit_transform(reduced))


def wheel(count: int) -> list[Any]:
    """A colour a class, no two alike."""
    from matplotlib import colormaps

    if count <= 20:
        palette = colormaps["tab10" if count <= 10 else "tab20"]
        return [palette(i) for i in range(count)]
    return [colormaps["turbo"](i / (count - 1)) for i in range(count)]


def draw_map(graph: str, z: np.ndarray, y: np.ndarray, footnote: str) -> Figure:
    """A dot a node, coloured by class; of a large graph MOST_POINTS nodes, drawn by a seed."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    order = np.random.default_rng(0).permutation(len(z))[:MOST_POINTS]  # also: no class on top
    points, classes = flatten(z[order]), np.unique(y)
    colours = wheel(len(classes))
    columns = math.ceil(len(classes) / 20)
    figure = Figure(figsize=(5.6 + 0.9 * columns, 5.9), layout="constrained")
    axes = figure.add_subplot()
    dots = [colours[i] for i in np.searchsorted(classes, y[order])]
    size = float(np.clip(16000 / max(len(order), 1), 3, 20))
    axes.scatter(points[:, 0], points[:, 1], s=size, c=dots, linewidths=0, alpha=0.8)
    axes.set(xticks=[], yticks=[], aspect="equal", adjustable="datalim")
    shown = f"{len(order)} of {len(z)} nodes" if len(order) < len(z) else f"{len(z)} nodes"
    figure.suptitle(f"{graph}: {shown}, t-SNE of the frozen embedding", fontsize=12)
    handles = [
        Line2D([], [], color=colour, ls="", marker="o", ms=5, label=f"class {name}")
        for name, colour in zip(classes, colours, strict=True)
    ]
    figure.legend(
        handles=handles,
        loc="outside right center",
        ncols=columns,
        frameon=False,
        fontsize=9,
        handletextpad=0.1,
        columnspacing=0.8,
    )
    figure.supxlabel(footnote, fontsize=7, color="0.4")
    return figure


def check_folder(folder: Path) -> list[Path]:
    """The embeddings in the folder, sorted; ResultsError: it holds nothing to draw."""
    if not folder.is_dir():
        raise ResultsError(
            f"no folder {folder}: expected one of run_full.py, nodejepa-ext ablate or sweep"
        )
    maps = sorted(folder.glob(f"*/{EMBEDDINGS}"))
    if any((folder / name).is_file() for name in SOURCES):
        return maps
    if runs := sorted(path for name in SOURCES for path in folder.glob(f"*/{name}")):
        raise ResultsError(
            f"{folder} holds whole runs: name one of them, such as {runs[-1].parent}"
        )
    if not maps:
        wanted = f"rows.jsonl, journal.jsonl, {RESULTS} or <graph>/{EMBEDDINGS}"
        raise ResultsError(f"{folder} has no {wanted}")
    return maps


def draw(folder: Path, out: Path, notice: Notice) -> list[Path]:
    """Draws all that the folder has into `out`, made if need be -> the files written. All is read
    before the first is written. ResultsError: the folder is missing or bad."""
    maps, results = check_folder(folder), read_results(folder / RESULTS)
    footnote = caption(folder, results)
    curves = read_curves(folder, results, notice)
    embeddings = {path.parent.name: read_embedding(path) for path in maps}
    out.mkdir(parents=True, exist_ok=True)
    written = []
    if curves.series:
        with literal():
            figure = draw_curves(curves, footnote)
        written.append(save(figure, out / "curves.png"))
    elif results or (folder / CURVES).is_file():
        notice(f"{folder} has no evaluated epoch: no curves.png")
    for graph, (z, y) in embeddings.items():
        notice(f"map of {graph}: {min(len(z), MOST_POINTS)} nodes")
        with literal():
            figure = draw_map(graph, z, y, footnote)
        written.append(save(figure, out / f"map_{graph}.png"))
    return written
