"""A train run read back to be shown, and its pictures.

Kept apart from run.py, which draws the results of run_full.py. What is read: run.json and
config.toml, metrics.jsonl, embeddings.npz and, for labels, the graph, if it still is what it was.
What is written: curves.png, with the loss, and map.png. Shapes: N nodes, D latent dimensions.
"""

from __future__ import annotations

import io
import textwrap
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nodejepa_ext.graphs.archives import Array, GraphError, distrust, read_npy, refuse_bomb
from nodejepa_ext.graphs.graph import Graph
from nodejepa_ext.parts.choice import Parts
from nodejepa_ext.plots.run import MOST_POINTS, draw_map
from nodejepa_ext.plots.style import (
    COLOURS,
    EVERY,
    Notice,
    ResultsError,
    Series,
    complaint,
    epoch_axis,
    literal,
    rank_axis,
    read_lines,
    save,
)
from nodejepa_ext.records import check
from nodejepa_ext.training.checkpoints import verify
from nodejepa_ext.training.folder import load_model, read_run, source_graph
from run_full import Config, RunError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RUN, METRICS, EMBEDDINGS = "run.json", "metrics.jsonl", "embeddings.npz"
SHAPE = {  # of run.json, as far as it is shown
    "preset?": str,
    "why?": str,
    "message?": str,
    "notices?": [str],
    "graph": {"read?": (dict, None)},
    "figures?": {"effective_rank": float, "cosine": float, "epoch": int, "val?": float},
}
Floats = NDArray[np.float32]


class Trained(NamedTuple):
    """A run as its folder has it. Without a graph: it is another now, or gone; without z [N, D] and
    ids [N]: the run has not finished, or there is neither a sound file of them nor a graph."""

    meta: dict[str, Any]  # run.json
    cfg: Config
    parts: Parts
    curves: dict[str, Series]  # a meter of EVERY each, of those that were measured
    graph: Graph | None
    z: Floats | None
    node_id: Array | None

    @property
    def kept(self) -> int | None:
        """The epoch whose weights were kept."""
        epoch: int | None = self.meta.get("figures", {}).get("epoch")
        return epoch


def read(folder: Path, notice: Notice) -> Trained:
    """All that can be shown; notice hears what cannot, and why. ResultsError: no run is there, or
    its settings or metrics are bad."""
    try:
        meta, cfg, parts = read_run(folder)
        check(str(folder / RUN), meta, SHAPE)
    except ValueError as error:
        raise ResultsError(str(error)) from None
    curves = curves_of(folder / METRICS, notice)
    graph = graph_of(folder, notice)
    if meta["status"] != "finished":
        notice(f"{folder}: the run is {meta['status']}, no embedding to show")
        return Trained(meta, cfg, parts, curves, graph, None, None)
    return Trained(meta, cfg, parts, curves, graph, *embedding_of(folder, meta, graph, notice))


def graph_of(folder: Path, notice: Notice) -> Graph | None:
    """The training graph; None: it is another now, or gone."""
    try:
        return source_graph(folder)
    except RunError as error:
        notice(f"{error.args[0]}; shown without labels and degrees")
        return None


def curves_of(path: Path, notice: Notice) -> dict[str, Series]:
    """Meter -> epoch -> value. ResultsError: a line is bad."""
    lines = read_lines(path, wrong_in, notice) if path.is_file() else []
    found = {
        meter: {line["epoch"]: float(line[meter]) for line in lines if meter in line}
        for meter in EVERY
    }
    return {meter: series for meter, series in found.items() if series}


def wrong_in(line: Any) -> str:
    """What is wrong with a parsed line of METRICS; "" if nothing is."""
    return complaint(line, {"epoch": int}, EVERY.keys())


def embedding_of(
    folder: Path, meta: dict[str, Any], graph: Graph | None, notice: Notice
) -> tuple[Floats | None, Array | None]:
    """z [N, D] and ids [N] of a finished run as it wrote them; anew, where that file is not sound
    any more and the graph is at hand."""
    path = folder / EMBEDDINGS
    try:
        return stored(path, meta)
    except (RunError, GraphError) as error:
        again = graph is not None
        notice(f"{error.args[0]}; {'embedded anew' if again else 'shown without the embedding'}")
    if graph is None:
        return None, None
    z = load_model(folder).embed(graph.data).numpy()
    return z, np.arange(len(z)) if graph.node_id is None else graph.node_id


def stored(path: Path, meta: dict[str, Any]) -> tuple[Floats, Array]:
    """RunError 4: not the file that the run wrote. GraphError: not what a run writes."""
    payload = verify(path, meta.get("files", {}).get(path.name))
    with distrust(str(path), "a whole .npz file"):
        archive = zipfile.ZipFile(io.BytesIO(payload))
        refuse_bomb(path, archive)
        raw = {name: archive.read(f"{name}.npy") for name in ("z", "node_id")}
    z, node_id = (read_npy(f"{path}, {name}", member) for name, member in raw.items())
    n = meta["graph"]["nodes"]
    sound = z.ndim == 2 and node_id.ndim == 1 and len(z) == len(node_id) == n and z.size
    if not sound or z.dtype.kind != "f" or not np.isfinite(z).all():
        text = f"{path}: z {list(z.shape)} and node_id {list(node_id.shape)}"
        raise GraphError(f"{text}, expected finite z [{n}, D] and node_id [{n}]")
    return z.astype(np.float32), node_id


def draw_curves(run: Trained, name: str) -> Figure:
    """A panel a meter, from the loss down; dotted: the epoch that was kept."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.0, 0.9 + 1.7 * len(run.curves)), layout="constrained")
    panels = figure.subplots(len(run.curves), 1, squeeze=False, sharex="col")[:, 0]
    for axes, (meter, series) in zip(panels, run.curves.items(), strict=True):
        scale = 100.0 if meter == "val" else 1.0
        values = [scale * value for value in series.values()]
        size = 3 if len(values) < 40 else 0  # of a marker
        axes.plot([*series], values, color=COLOURS[0], lw=1.6, marker="o", ms=size)
        if meter == "effective_rank":
            rank_axis(axes)
        if run.kept is not None:
            axes.axvline(run.kept, color=COLOURS[1], lw=1, ls=":")
        axes.set_ylabel(textwrap.fill(EVERY[meter], 14))
        axes.grid(alpha=0.25, lw=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    figure.align_ylabels()
    epoch_axis(panels[-1], log=False)
    kept = "" if run.kept is None else f"dotted: epoch {run.kept}, which was kept; "
    figure.supxlabel(f"{kept}{name}", fontsize=7, color="0.4")
    return figure


def classes_of(graph: Graph | None, n: int) -> Array:
    """A name a node [N]: of its class, or none."""
    if graph is None or graph.data.get("y") is None or graph.data.y.ndim != 1:
        return np.full(n, "none")
    y = graph.data.y.numpy()
    count = int(y.max(initial=-1)) + 1
    names = np.arange(count) if graph.classes is None else graph.classes
    return np.array([*map(str, names.tolist()), "none"])[np.where(y < 0, count, y)]


def draw(folder: Path, out: Path, notice: Notice) -> list[Path]:
    """curves.png and map.png into `out`, made if need be -> the files written. All is read before
    the first is written. ResultsError: as in `read`, or the run has not begun."""
    run, name = read(folder, notice), folder.resolve().name
    if not run.curves and run.z is None:
        raise ResultsError(f"{folder}: expected an epoch that was trained, found none")
    out.mkdir(parents=True, exist_ok=True)
    written = []
    if run.curves:
        with literal():
            figure = draw_curves(run, name)
        written.append(save(figure, out / "curves.png"))
    if run.z is not None:
        notice(f"map: {min(len(run.z), MOST_POINTS)} nodes")
        with literal():
            figure = draw_map(name, run.z, classes_of(run.graph, len(run.z)), name)
        written.append(save(figure, out / "map.png"))
    return written
