"""What becomes of every column of a table: its role, decided by its name, by what is asked, by what
it holds; and what is said of it.

Apart from tables.py, which reads the cells: every reader decides here, so that none does so in
silence.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from nodejepa_ext.graphs.archives import MASKS, GraphError
from nodejepa_ext.graphs.cells import INTEGER

NAMES = {
    "source": ("source", "src", "from", "u"),
    "target": ("target", "dst", "to", "v"),
    "weight": ("weight", "w"),
    "id": ("id", "node", "node_id"),
    "label": ("label", "y", "class"),
    "train_mask": ("train", "train_mask"),
    "val_mask": ("val", "val_mask", "valid", "valid_mask"),
    "test_mask": ("test", "test_mask"),
}
SPLIT = re.compile(r"split(_\d+)?")
ROW_NUMBER = re.compile(r"|Unnamed: ?\d+|__index_level_\d+__")
ANSWER = re.compile(r"target|y|y_.*|label.*|class.*|outcome", re.IGNORECASE)
MOST_NAMES = 12  # of columns, in a sentence


class Choices(NamedTuple):
    """What the user says of columns; None: decided here."""

    features: tuple[str, ...] | None = None  # these alone
    not_features: tuple[str, ...] = ()
    label: str | None = None  # a column, or "none"
    weight: str | None = None  # a column, or "none"
    if_there: bool = False  # a label, and what is no feature, may be missing: said of another graph


@dataclass
class Found:
    """What became of the columns, for those who ask."""

    features: list[str] | None = None  # None: the source has no names for them
    label: str | None = None
    splits: list[str] = field(default_factory=list)
    weight: str | None = None
    weight_range: tuple[float, float] | None = None
    left_out: list[str] = field(default_factory=list)

    def report(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "features": self.features,
            "label": self.label,
            "splits": self.splits,
            "weight": self.weight,
            "weight_range": None if self.weight_range is None else [*self.weight_range],
            "left_out": self.left_out,
        }


class NodeRoles(NamedTuple):
    """Places of columns in a table of nodes."""

    id: int
    label: int | None
    splits: list[int]  # of train, val and test by name
    flags: dict[str, int]  # mask -> its column of 0 and 1
    features: list[int]


def listed(names: Sequence[str]) -> str:
    """Of columns, in a sentence."""
    shown = ", ".join(map(repr, names[:MOST_NAMES]))
    return f"{shown} and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else shown


def locate(name: str, header: list[str], roles: Sequence[str]) -> dict[str, int]:
    """Role -> its column, by the names it may have. GraphError: two columns for one role."""
    found: dict[str, int] = {}
    for i, column in enumerate(header):
        for role in roles:
            if column.lower() in NAMES[role]:
                if role in found:
                    pair = f"{header[found[role]]!r} and {column!r}"
                    raise GraphError(f"{name}: columns {pair}, expected one for the {role}")
                found[role] = i
    return found


def column(name: str, header: list[str], wanted: str, option: str) -> int:
    """Of that name. GraphError: there is none."""
    if wanted not in header:
        raise GraphError(f"{name}: no column {wanted!r}, as {option} asks; it has {listed(header)}")
    return header.index(wanted)


def node_roles(
    name: str, header: list[str], choices: Choices, found: Found, notices: list[str]
) -> NodeRoles:
    """GraphError: no column of ids, a name twice, splits in two ways, or a column asked for that is
    not there."""
    chosen = choices.label is not None
    roles = locate(name, header, ("id", *(() if chosen else ("label",)), *MASKS))
    splits = [i for i, column in enumerate(header) if SPLIT.fullmatch(column.lower())]
    flags = {mask: roles[mask] for mask in MASKS if mask in roles}
    repeated = len({*header}) < len(header)
    if "id" not in roles or repeated or splits and flags:
        wanted = "a header with a column id, no name twice, and splits in one way only"
        raise GraphError(f"{name}: {reprlib.repr(header)}, expected {wanted}")
    label = roles.get("label")
    skipped = [*choices.not_features]
    if choices.if_there:
        skipped = [c for c in skipped if c in header]
    absent = choices.if_there and choices.label not in header
    if choices.label not in (None, "none") and not absent:
        label = column(name, header, str(choices.label), "--label")
    taken = {roles["id"], *flags.values(), *splits, *([] if label is None else [label])}
    rest = [i for i in range(len(header)) if i not in taken]
    numbers = [i for i in rest if ROW_NUMBER.fullmatch(header[i])]
    left = [*numbers, *(column(name, header, c, "--not-features") for c in skipped)]
    if choices.label == "none":
        left += [i for i in rest if header[i].lower() in NAMES["label"]]
    features = [i for i in rest if i not in left]
    if choices.features is not None:
        features = [column(name, header, c, "--features") for c in choices.features]
        left = [i for i in rest if i not in features]
    elif numbers:
        text = "left out: row numbers, by their names"
        notices.append(f"{name}: {listed([header[i] for i in numbers])} {text}")
    answers = [header[i] for i in features if ANSWER.fullmatch(header[i])]
    if answers and choices.features is None:
        text = "taken as features, though their names are those of answers: --label COL takes one "
        notices.append(
            f"{name}: {listed(answers)} {text}as the class, --not-features leaves it out"
        )
    found.features = [header[i] for i in features]
    found.label = None if label is None else header[label]
    found.splits = [header[i] for i in (*splits, *flags.values())]
    found.left_out += [header[i] for i in sorted({*left} - {*features})]
    return NodeRoles(roles["id"], label, splits, flags, features)


def edge_roles(
    place: tuple[str, int],
    header: list[str],
    choices: Choices,
    found: Found,
    notices: list[str],
) -> tuple[dict[str, int], bool]:
    """Source, target and, if any, weight -> its column, and whether row 1 is a header, of known
    names or with a column of row numbers. place: the file and the row. GraphError: neither, or a
    column asked for is not there."""
    name, row = place
    places = locate(name, header, ("source", "target", "weight"))
    headed = {"source", "target"} <= places.keys()
    if not headed:
        rest = [i for i, column in enumerate(header) if not ROW_NUMBER.fullmatch(column)]
        if places or not 2 <= len(rest) <= 3:
            wanted = "columns source, target and, if any, weight"
            raise GraphError(f"{name}, row {row}: {reprlib.repr(header)}, expected {wanted}")
        places = dict(zip(("source", "target", "weight"), rest, strict=False))
        if len(rest) < len(header):
            headed = True
            names = [header[i] for i in rest]
            notices.append(f"{name}: columns {listed(names)} are taken as those of {ends(names)}")
    if choices.weight == "none":
        places.pop("weight", None)
    elif choices.weight is not None:
        places["weight"] = column(name, header, choices.weight, "--weight")
    if headed:
        other = [name for i, name in enumerate(header) if i not in places.values()]
        if other:
            notices.append(f"columns of the edges left out: {', '.join(map(repr, other))}")
        if "weight" in places:
            found.weight = f"column {header[places['weight']]!r}"
    elif "weight" in places:
        found.weight = "the third column"
    return places, headed


def nameable(header: list[str], places: dict[str, int]) -> bool:
    """Whether a row 1 without known names may be a header all the same: none of its two ends is an
    integer, and they differ."""
    pair = [header[places["source"]], header[places["target"]]]
    return not any(INTEGER.fullmatch(name) for name in pair) and len({*pair}) == 2


def taken_as_header(name: str, row: int, header: list[str]) -> str:
    """The notice; row 0 is that of a format that always has one."""
    if not row:
        return f"{name}: columns {listed(header)} are taken as those of {ends(header)}"
    return f"{name}: row 1, {listed(header)}, is taken as a header: its names are in no other row"


def ends(header: list[str]) -> str:
    return "source, target and weight" if len(header) > 2 else "source and target"


def sentences(found: Found) -> list[str]:
    """What a reader is told of the columns."""
    said = []
    if found.features is not None:
        said.append(f"features: {listed(found.features) or 'none'} ({len(found.features)} columns)")
    if found.label is not None:
        said.append(f"label: column {found.label!r}")
    if found.splits:
        said.append(f"splits: {listed(found.splits)}")
    if found.weight is not None and found.weight_range is not None:
        low, high = found.weight_range
        said.append(f"edge weights: {found.weight}, from {low:.6g} to {high:.6g}")
    if found.left_out:
        said.append(f"columns left out: {listed(found.left_out)}")
    return said
