"""What all pictures share: colours, axes, the lines of a file, errors."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nodejepa_ext.files import atomic, file_name
from nodejepa_ext.records import read_bytes, written

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

METERS = {  # keys of a line, from the top panel down, with their axis labels
    "loss": "loss",
    "val": "validation accuracy, %",
    "effective_rank": "effective rank",
    "cosine": "mean pairwise cosine",
}
ACCURACY = {"val": METERS["val"], "dev": "development accuracy, %"}  # their axis labels
EVERY = METERS | {"min_std": "smallest standard deviation"}  # where there is room for it
COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
)  # Okabe, Ito
MUTED = "0.5"
SOFTWARE = "nodejepa-ext"  # in every picture, by which it is told from others
HEAD = 1 << 12  # bytes, in which it stands
NAMES = {"cora": "Cora", "citeseer": "CiteSeer", "pubmed": "PubMed"}
Series = dict[int, float]  # epoch -> value
Notice = Callable[[str], None]


class ResultsError(Exception):
    """A results folder is missing or bad; the message names the file and what was expected."""


def complaint(row: Any, named: dict[str, type], meters: Set[str] = METERS.keys()) -> str:
    """What is wrong with a line, in which `named` must be and `meters` may; "" if nothing is."""
    if not isinstance(row, dict):
        return "expected a JSON object"
    for key, kind in named.items():
        if not isinstance(row.get(key), kind) or isinstance(row[key], bool):
            return f"{key} is {row.get(key)!r}, expected {kind.__name__}"
    if "graph" in named:
        try:
            file_name(row["graph"], "graph")
        except ValueError as error:
            return str(error)
    for key in meters & row.keys():
        if not isinstance(row[key], (int, float)) or isinstance(row[key], bool):
            return f"{key} is {row[key]!r}, expected a number"
    return ""


def read_lines(path: Path, wrong_in: Callable[[Any], str], notice: Notice) -> list[dict[str, Any]]:
    """The file's lines. A last line that a crash cut short is left out, and noticed; ResultsError:
    any other is not JSON, or something is `wrong_in` it. Damaged: a text is no Unicode."""
    rows, lines = [], read_bytes(path).splitlines()
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):  # also of bytes that are not UTF-8
            if number == len(lines):
                notice(f"{path}, line {number}: cut short, left out")
                continue
            raise ResultsError(f"{path}, line {number}: not JSON: {shortened(line)}") from None
        if rb"\ud" in line.lower():
            written(f"{path}, line {number}", row)
        if wrong := wrong_in(row):
            raise ResultsError(f"{path}, line {number}: {wrong}")
        rows.append(row)
    return rows


def shortened(line: bytes) -> str:
    text = line.decode(errors="replace")
    return repr(text if len(text) <= 60 else text[:57] + "...")


def mean_series(runs: list[Series]) -> Series:
    """The mean over seeds, at the epochs that all of them reached: no seed drops out midway."""
    shared = set.intersection(*(set(run) for run in runs)) if runs else set()
    return {epoch: float(np.mean([run[epoch] for run in runs])) for epoch in sorted(shared)}


def rank_axis(axes: Axes) -> None:
    """Log, with plain numbers, and more of them the less the ranks span."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

    axes.set_yscale("log")
    low, high = axes.get_ylim()
    steps = [1.0, 2.0, 5.0] if high < 20 * low else [1.0]
    narrow = high < 4 * low  # where a log locator may find no round number at all
    axes.yaxis.set_major_locator(MaxNLocator(5) if narrow else LogLocator(subs=steps))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(NullLocator())


def epoch_axis(axes: Axes, log: bool) -> None:
    """Whole epochs; log where one method took many times as many of them as another."""
    from matplotlib.ticker import MaxNLocator

    if log:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
    else:
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    axes.set_xlabel("epoch")


@contextmanager
def literal() -> Iterator[None]:
    """While pictures are drawn: names are shown as they are, $ and all, never as formulae; of what
    the font has not, a box."""
    import matplotlib

    with matplotlib.rc_context({"text.parse_math": False}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .*missing from", UserWarning)
        yield


def save(figure: Figure, path: Path) -> Path:
    """The PNG, whole or not at all. FileExistsError: another's picture, or file, is there."""
    if path.is_file() and not ours(path):
        text = "no picture of nodejepa-ext, nothing is replaced; another --out, or remove it"
        raise FileExistsError(f"{path}: is there and {text}")
    with literal(), atomic(path) as file:
        figure.savefig(file, format="png", dpi=150, metadata={"Software": SOFTWARE})
    return path


def ours(path: Path) -> bool:
    """Whether a regular file is a picture that `save` wrote."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    return head.startswith(b"\x89PNG") and b"tEXtSoftware\0" + SOFTWARE.encode() in head
