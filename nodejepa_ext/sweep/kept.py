"""What a sweep left, in a folder or a storage, believed only if it is sound.

Apart from report.py and study.py, which make it: a disk or a hand may have changed it since.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nodejepa_ext.files import file_name
from nodejepa_ext.records import Damaged, Each, check, read_json

Report = dict[str, Any]
FIGURE = (float, None)
SCALAR = (int, float, str, bool, None)
SPAN = {"mean": FIGURE, "std": FIGURE, "low": FIGURE, "high": FIGURE, "n": int}
RANKS = {"rho": float, "p": float, "n": int}
MEASURED = ("val", "test", "rank", "effective_rank")
ROW = {"seed?": int, "curve?": [dict]} | {f"{name}?": float for name in MEASURED}
TRIAL = {
    "number": int,
    "state": str,
    "outcome": str,
    "params": Each(SCALAR),
    "value": FIGURE,
    "intermediate": [[float]],
    "config?": dict,
    "rows?": [ROW],
    "cpu_seconds?": FIGURE,
}
LINE = {
    "number": int,
    "params": Each(SCALAR),
    "base": bool,
    "search": FIGURE,
    "search_rank": int,
    "fresh": SPAN,
    "val": SPAN,
    "values": [[float]],
    "failed": Each(int),
    "missing": int,
}
PART = {  # of a graph in the report, as far as others read it
    "plan": {"objective": str, "graph": str},
    "study": str,
    "knobs": Each({"choices": (list, None), "log": bool}),
    "trials": [TRIAL],
    "counts": Each(int),
    "rounds": {"lines": [LINE], "unfinished": bool, "seeds": [int], "trials": [TRIAL]},
    "winner": (dict, None),
    "winners_curse": (dict, None),
    "against_base": (dict, None),
    "importances": (dict, None),
    "rank_correlation": (dict, None),
    "test": (dict, None),
    "unfinished?": Each(Each([int])),
    "retired?": [{"supervisor": str, "seat": str, "why": str}],
}
WHERE_THERE = {  # of the parts that may be null
    "winner": {"number": int, "config": dict, "by": str, "val": SPAN},
    "winners_curse": {
        "all": SPAN,
        "best": SPAN | {"number": int},
        "spearman": (dict, None),
    },
    "against_base": {"difference": FIGURE, "low": FIGURE, "high": FIGURE, "p": FIGURE, "n": int},
    "importances": Each(float),
    "rank_correlation": RANKS,
    "test": {
        "winner": bool,
        "number": int,
        "failed": Each(int),
        "test": SPAN,
        "trials": [TRIAL],
    },
}
PLAN = {  # of a study
    "graph": str,
    "base": dict,
    "objective": str,
    "seeds": [int],
    "rounds": {"best": int, "seeds": [int]},
}
PLACED = {"device?": str, "precision?": str, "revisions?": Each(int)}  # of a study and a trial
ATTRIBUTES = PLACED | {  # of a trial
    "outcome?": str,
    "message?": str,
    "config?": dict,
    "rows?": [{"seed?": int, "curve?": [dict]}],
    "of?": int,
    "seed?": int,
    "retry_of?": int,
}


def kept(path: Path) -> Report:
    """The report that `write` left. Damaged: it is none; ValueError: a graph has no file's name."""
    found: Report = read_json(path, {"graphs": Each(dict)})
    for graph in found["graphs"]:
        try:
            file_name(graph, "graph")
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
    check(str(path), found, {"graphs": Each(PART)})
    for graph, part in found["graphs"].items():
        for name, shape in WHERE_THERE.items():
            if part[name] is not None:
                check(f"{path}, graphs, {graph}, {name}", part[name], shape)
        ranks = part["winners_curse"] and part["winners_curse"]["spearman"]
        if ranks is not None:
            check(f"{path}, graphs, {graph}, winners_curse, spearman", ranks, RANKS)
    return found


def planned(study: str, plan: Any) -> Report:
    """The plan that a study has. Damaged: it is none."""
    check(f"study {study}, plan", plan, PLAN)
    found: Report = plan
    return found


def placed(study: str, found: Any) -> Report:
    """Where the study says that it is trained, if it says so. Damaged: no place."""
    own: Report = {} if found is None else found
    check(f"study {study}, place", own, PLACED)
    return own


def attributes(study: str, number: int, found: Any) -> Report:
    """Those of a trial. Damaged: they are not what a sweep writes; a figure may be infinite."""
    place = f"study {study}, trial {number}"
    check(place, found, ATTRIBUTES)
    for i, row in enumerate(found.get("rows", [])):
        for name in MEASURED:
            value = row.get(name, 0.0)
            if not isinstance(value, int | float) or isinstance(value, bool):
                what = f"{name} = {value!r}"[:100]
                raise Damaged(f"{place}, rows, item {i}, {what}: expected a number")
    own: Report = found
    return own
