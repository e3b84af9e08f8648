"""The report of a sweep as it was left in a folder, believed only if it is sound.

Apart from report.py, which makes it: a file may have been changed since, by a disk or a hand.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nodejepa_ext.files import file_name
from nodejepa_ext.records import Each, check, read_json

Report = dict[str, Any]
FIGURES = {"mean": (float, None), "low": (float, None), "high": (float, None)}
TRIAL = {
    "number": int,
    "outcome": str,
    "params": dict,
    "value": (float, None),
    "intermediate": [[float]],
    "config?": dict,
}
LINE = {"number": int, "params": dict, "fresh": FIGURES, "values": [[float]], "missing": int}
PART = {  # of a graph in the report, as far as others read it
    "plan": {"objective": str, "graph": str},
    "study": str,
    "knobs": Each({"choices": (list, None), "log": bool}),
    "trials": [TRIAL],
    "counts": Each(int),
    "rounds": {"lines": [LINE], "unfinished": bool},
    "importances": (dict, None),
    "unfinished?": Each(Each([int])),
    "retired?": [{"supervisor": str, "seat": str, "why": str}],
}


def kept(path: Path) -> Report:
    """The report that `write` left. ValueError: it is none, or a graph has no name for a file."""
    found: Report = read_json(path, {"graphs": Each(dict)})
    for graph in found["graphs"]:
        try:
            file_name(graph, "graph")
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
    check(str(path), found, {"graphs": Each(PART)})
    return found
