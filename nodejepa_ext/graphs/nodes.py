"""Rows of nodes -> ids, features, labels and splits, every bad cell named."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from nodejepa_ext.graphs.archives import MASKS, Array, Arrays, Problems
from nodejepa_ext.graphs.cells import (
    LARGEST,
    LONGEST,
    array_of,
    number,
    strings_of,
    text,
    too_large,
)
from nodejepa_ext.graphs.columns import Choices, Found, listed, node_roles
from nodejepa_ext.graphs.rows import Rows

SPLITS = {"train": 0, "val": 1, "valid": 1, "validation": 1, "test": 2, "": 3, "none": 3}
FLAGS = {"1": 1, "true": 1, "0": 0, "false": 0, "": 0}
UNLABELLED = {"", "na", "n/a", "<na>", "nan", "null"}  # words for no class
FEW = 20  # nodes, below which nothing is said of what labels look like


def read_nodes(
    name: str,
    rows: Rows,
    problems: Problems,
    notices: list[str],
    choices: Choices,
    found: Found,
) -> tuple[Arrays, dict[str, int]]:
    """-> node_id, x, y and masks where there are columns for them, and the place of each id."""
    _, first = next(rows, (0, []))
    header = [text(cell) for cell in first]
    roles = node_roles(name, header, choices, found, notices)
    ids: dict[str, int] = {}
    labels: list[str] = []
    codes, x = array("b"), Vectors(name, header, roles.features, problems)
    for row, cells in rows:
        place = f"{name}, row {row}"
        node = text(cells[roles.id]) if roles.id < len(cells) else ""
        if len(cells) != len(header):
            problems.add(place, cells, f"{len(header)} columns")
        elif not 0 < len(node) <= LONGEST or "\0" in node:
            wanted = "an id without NUL characters" if "\0" in node else "an id"
            problems.add(f"{place}, column {header[roles.id]}", node, wanted)
        elif node in ids:
            problems.add(f"{place}, column {header[roles.id]}", node, "an id of no earlier row")
        else:
            labels.append(label_of(place, cells, roles.label, problems))
            for code, columns in ((SPLITS, roles.splits), (FLAGS, roles.flags.values())):
                codes.extend(choose(place, header, cells, i, code, problems) for i in columns)
            x.add(row, cells)
        ids.setdefault(node, len(ids))
    x.finish(found, notices)
    if problems:
        return {}, ids
    arrays = {"node_id": array_of(list(ids))}
    if (values := x.array()) is not None:
        arrays["x"] = values
    counts = Counter(filter(None, labels))
    if roles.label is not None and classes(name, header[roles.label], counts, found, notices):
        arrays["y"] = strings_of(labels)
    masks = (roles.splits, roles.flags)
    table = np.array(codes, np.int8).reshape(len(ids), sum(map(len, masks)))  # [N, k]
    if roles.splits:
        table = table[:, 0] if len(roles.splits) == 1 else table
        arrays |= {mask: table == code for code, mask in enumerate(MASKS)}
    return arrays | {mask: table[:, i] == 1 for i, mask in enumerate(roles.flags)}, ids


def label_of(place: str, cells: list[Any], column: int | None, problems: Problems) -> str:
    """A label as written; "" for none."""
    if column is None:
        return ""
    label = text(cells[column])
    if len(label) > LONGEST:
        problems.add(f"{place}, column label", label, f"at most {LONGEST} characters")
    if "\0" in label:
        problems.add(f"{place}, column label", label, "a label without NUL characters")
    return "" if label.lower() in UNLABELLED else label


def classes(
    name: str, column: str, counts: Mapping[str, int], found: Found, notices: list[str]
) -> bool:
    """Whether a column's labels, with how many nodes have each, are classes, rather than fractions,
    or names of single nodes."""
    named = sum(counts.values())
    values = [number(label) for label in counts]
    fractions = None not in values and any(v is not None and v != round(v) for v in values)
    alone = named >= FEW and 2 * len(counts) > named
    if not fractions and not alone:
        return True
    what = "holds fractions" if fractions else f"has {len(counts)} values on {named} nodes"
    notices.append(f"{name}: column {column!r} {what}: no classes, left out")
    found.label = None
    found.left_out.append(column)
    return False


def choose(
    place: str, header: list[str], cells: list[Any], i: int, table: dict[str, int], found: Problems
) -> int:
    """What the cell stands for in the table."""
    if (value := text(cells[i]).lower()) in table:
        return table[value]
    found.add(f"{place}, column {header[i]}", cells[i], f"one of {', '.join(filter(None, table))}")
    return 0


class Vectors:
    """Features, a row [F] after another; a cell may be a list of several. Columns without any value
    are left out."""

    def __init__(
        self, name: str, header: list[str], columns: list[int], problems: Problems
    ) -> None:
        self.name, self.header, self.columns, self.problems = name, header, columns, problems
        self.rows: list[Array] = []
        self.gaps: Counter[int] = Counter()  # column -> rows without a value
        self.first: dict[int, int] = {}  # column -> the first of them
        self.empty: list[int] = []

    def add(self, row: int, cells: list[Any]) -> None:
        """The features of a row, by its number; what is no number is named."""
        x = self.quick(cells)
        if x is None:
            x = np.array(self.slow(row, cells), np.float32)
        self.rows.append(x)
        if len(x) != len(self.rows[0]):
            wanted = f"{len(self.rows[0])} features, as in the first row"
            self.problems.add(f"{self.name}, row {row}", len(x), wanted)

    def quick(self, cells: list[Any]) -> Array | None:
        """None: to be looked at cell by cell."""
        picked = [cells[i] for i in self.columns]
        if any("_" in cell for cell in picked if isinstance(cell, str)):
            return None
        values: list[Any] = []
        for cell in picked:
            values.extend(cell if type(cell) is list else [cell])
        try:
            with np.errstate(over="ignore"):
                x = np.array([float(value) for value in values], np.float32)
        except (TypeError, ValueError, OverflowError):
            return None
        return x if np.isfinite(x).all() else None

    def slow(self, row: int, cells: list[Any]) -> list[float]:
        """Names what is no number; 0 in its place."""
        values: list[float] = []
        for i in self.columns:
            cell = cells[i]
            for value in cell if type(cell) is list else [cell]:
                if value is None or (isinstance(value, str) and not value.strip()):
                    self.gaps[i] += 1
                    self.first.setdefault(i, row)
                    values.append(0.0)
                    continue
                good = number(value)
                if good is None:
                    self.name_bad(row, i, value)
                values.append(good or 0.0)
        return values

    def name_bad(self, row: int, i: int, value: Any) -> None:
        """Not a number, or too large for float32."""
        name = self.header[i]
        way = f"a class goes into a column label, y or class, or --label {name} says so"
        way += f"; --not-features {name} leaves it out"
        wanted = f"a finite number ({way})"
        if too_large(value):
            wanted = f"a finite number, at most {LARGEST:.2g} as float32 has them"
        shown = str(value) if hasattr(value, "isoformat") else value
        self.problems.add(f"{self.name}, row {row}, column {self.header[i]}", shown, wanted)

    def finish(self, found: Found, notices: list[str]) -> None:
        """Leaves out columns without any value; names gaps in others."""
        plain = bool(self.rows) and len(self.rows[0]) == len(self.columns)  # no cell is a list
        for i, count in self.gaps.items():
            if plain and count == len(self.rows):
                self.empty.append(i)
                continue
            place = f"{self.name}, row {self.first[i]}, column {self.header[i]}"
            self.problems.add(place, "", "a finite number, as in other rows", count)
        if self.empty:
            names = [self.header[i] for i in self.empty]
            notices.append(f"{self.name}: {listed(names)} left out: without a value in any row")
            found.features = [name for name in found.features or [] if name not in names]
            found.left_out += names

    def array(self) -> Array | None:
        """x [N, F]; None: there are no features."""
        if not self.rows or not len(self.rows[0]):
            return None
        x = np.stack(self.rows)
        if self.empty:
            x = np.delete(x, [self.columns.index(i) for i in self.empty], 1)
        return x if x.shape[1] else None
