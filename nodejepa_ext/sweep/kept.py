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
ACCURACIES = ("val", "dev")  # on validation nodes; development accuracy
OBJECTIVES = (*ACCURACIES, "rankme")
SPAN = {"mean": FIGURE, "std": FIGURE, "low": FIGURE, "high": FIGURE, "n": int}
RANKS = {"rho": float, "p": float, "n": int}
MEASURED = ("val", "dev", "test", "rank", "effective_rank")
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
    "fresh_rank": (int, None),
    "fresh": SPAN,
    "val": SPAN,
    "values": [[float]],
    "failed": Each(int),
    "missing": int,
}
PART = {  # of a graph in the report, as far as others read it
    "plan": {"objective": str, "graph": str},
    "study": str,
    "knobs": Each({"choices": (list, None), "log": bool}),  # scalars
    "trials": [TRIAL],
    "counts": Each(int),
    "best": (int, None),
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
        fitting(f"{path}, graphs, {graph}", part)
    return found


def fitting(place: str, part: Report) -> None:
    """Damaged: what is drawn of a graph's report does not fit together."""
    if part["plan"]["objective"] not in OBJECTIVES:
        text = f"objective = {part['plan']['objective'][:100]!r}"
        raise Damaged(f"{place}, plan, {text}: expected one of {', '.join(OBJECTIVES)}")
    for name, knob in part["knobs"].items():
        if knob["choices"] is not None:
            check(f"{place}, knobs, {name[:100]}, choices", knob["choices"], [SCALAR])
    for i, trial in enumerate(part["trials"]):
        fitting_trial(f"{place}, trials, item {i}", trial, part["knobs"])
    for i, line in enumerate(part["rounds"]["lines"]):
        pairs(f"{place}, rounds, lines, item {i}, values", line["values"])
        if line["values"]:
            fitting_line(f"{place}, rounds, lines, item {i}", line)


def fitting_trial(place: str, trial: Report, knobs: Report) -> None:
    """Damaged: its running objective is no list of pairs, or a knob has a value that it cannot."""
    pairs(f"{place}, intermediate", trial["intermediate"])
    for name, knob in knobs.items():
        value = trial["params"].get(name)
        number = type(value) in (int, float) and (not knob["log"] or value > 0)
        good = number if knob["choices"] is None else value in knob["choices"]
        if value is not None and not good:
            wanted = "one of its choices"
            if knob["choices"] is None:
                wanted = "a number above 0" if knob["log"] else "a number"
            text = f"{name[:100]} = {value!r}"
            raise Damaged(f"{place}, params, {text[:200]}: expected {wanted}")


def fitting_line(place: str, line: Report) -> None:
    """Damaged: it has values on fresh seeds, and no mean, no value in the search, half an
    interval."""
    for name, found in (("search", line["search"]), ("fresh, mean", line["fresh"]["mean"])):
        check(f"{place}, {name}", found, float)
    check(f"{place}, fresh_rank", line["fresh_rank"], int)
    if (line["fresh"]["low"] is None) != (line["fresh"]["high"] is None):
        raise Damaged(f"{place}, fresh: one end of an interval, expected both or neither")


def pairs(place: str, found: list[list[float]]) -> None:
    """Damaged: a list in it has not two items."""
    for i, item in enumerate(found):
        if len(item) != 2:
            raise Damaged(f"{place}, item {i}: {len(item)} numbers, expected 2")


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
