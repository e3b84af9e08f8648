"""Tables of edges and nodes -> the arrays of the project's format, every bad cell named.

Apart from graph.py because only here it is known where a value stands: what is wrong is reported by
file, row and column, with how many rows have it, up to 20 kinds at once. Which column is what,
columns.py decides; nodes.py reads the nodes, this module the edges.
"""

from __future__ import annotations

import unicodedata
from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np

from nodejepa_ext.graphs.archives import Array, Arrays, GraphError, Problems
from nodejepa_ext.graphs.cells import INTEGER, LONGEST, array_of, number, ordered, text
from nodejepa_ext.graphs.columns import Choices, Found, edge_roles, nameable, taken_as_header
from nodejepa_ext.graphs.nodes import read_nodes
from nodejepa_ext.graphs.rows import Rows

TIMES = 10**8, 10**19  # seconds since 1973 to nanoseconds: what looks like a time


def read_tables(
    edges: tuple[str, Rows],
    nodes: tuple[str, Rows] | None,
    notices: list[str],
    choices: Choices,
    found: Found,
) -> Arrays:
    """A name for messages and the rows of each. Without nodes, they are the ids that the edges
    name, integers in their order, else in that of the alphabet; their rows may come in any."""
    problems = Problems()
    arrays: Arrays = {}
    ids: dict[str, int] = {}
    if nodes:
        arrays, ids = read_nodes(*nodes, problems, notices, choices, found)
    reader = EdgeRows(edges[0], nodes[0] if nodes else "", ids, problems, notices, choices, found)
    index, weights = reader.read(edges[1])
    problems.check()
    if not nodes:
        names, place = ordered(list(ids)), np.empty(len(ids), np.int64)
        place[[ids[str(name)] for name in names]] = np.arange(len(names))
        arrays["node_id"], index = array_of(names), place[index]
    arrays["edge_index"] = index.reshape(-1, 2).T  # [2, E]
    if weights is None:
        return arrays
    return arrays | positive(arrays, weights, notices, found)


def positive(arrays: Arrays, weights: Array, notices: list[str], found: Found) -> Arrays:
    """edge_index and edge_weight without the edges of weight 0, which are none."""
    if zeros := int((weights == 0).sum()):
        notices.append(f"{zeros} edges of weight 0 left out: they are none")
    kept = weights > 0
    if kept.any():
        found.weight_range = float(weights[kept].min()), float(weights[kept].max())
    return {"edge_index": arrays["edge_index"][:, kept], "edge_weight": weights[kept]}


class EdgeRows:
    """Rows of source, target and, if any, weight."""

    def __init__(
        self,
        name: str,
        nodes: str,
        ids: dict[str, int],
        problems: Problems,
        notices: list[str],
        choices: Choices,
        found: Found,
    ) -> None:
        """Names must be in ids where `nodes` names the file they came from; else ids is filled, in
        order of appearance."""
        self.name, self.nodes, self.ids = name, nodes, ids
        self.problems, self.notices = problems, notices
        self.choices, self.found = choices, found
        self.unknown: dict[str, int] = {}  # id of no node -> the first row that has it
        self.index, self.weights, self.numbers = array("q"), array("d"), array("q")

    def read(self, rows: Rows) -> tuple[Array, Array | None]:
        """-> source and target of each edge in turn [2E], weights [E] or None."""
        row, first = next(rows, (0, []))
        if not first:
            wanted = "rows of source, target and, if any, weight"
            raise GraphError(f"{self.name}: empty, expected {wanted}")
        header = [text(cell) for cell in first]
        place = self.name, row
        places, headed = edge_roles(place, header, self.choices, self.found, self.notices)
        may_be_header = not headed and nameable(header, places)
        if not headed and row and not may_be_header:
            self.add(row, first, places)
        for line, cells in rows:
            if len(cells) == len(first):
                self.add(line, cells, places)
            else:
                self.problems.add(f"{self.name}, row {line}", cells, f"{len(first)} columns")
        if (may_be_header or not headed and not row) and self.unnamed(row, first, places):
            self.add(row, first, places)
        return self.finish(places, headed)

    def finish(self, places: dict[str, int], headed: bool) -> tuple[Array, Array | None]:
        pairs = np.array(self.index, np.int64)
        self.explain()
        if not self.nodes:
            self.check_names(pairs, self.numbers)
        if "weight" not in places:
            return pairs, None
        weights = np.array(self.weights, np.float64)
        if not headed:
            doubt(self.name, weights, self.notices)
        return pairs, weights.astype(np.float32)

    def unnamed(self, row: int, first: list[Any], places: dict[str, int]) -> bool:
        """Whether row 1, of no known names, is a row of the table: a name of it is a node, or
        occurs in another row, all of which are read. Row 0 is a header always."""
        header = [text(cell) for cell in first]
        others = bool(self.numbers)
        known = any(header[places[end]] in self.ids for end in ("source", "target"))
        named = nameable(header, places) and not known and (self.nodes or others)
        if row and not named:
            return True
        self.notices.append(taken_as_header(self.name, row, header))
        return False

    def add(self, row: int, cells: list[Any], places: dict[str, int]) -> None:
        """One edge, by its row's number."""
        ends = [self.end(row, end, cells[places[end]]) for end in ("source", "target")]
        self.index.extend(ends)
        self.numbers.append(row)
        if "weight" in places:
            self.weights.append(self.weight(row, cells[places["weight"]]))

    def end(self, row: int, role: str, cell: Any) -> int:
        """The place of a node."""
        node = text(cell)
        place = f"{self.name}, row {row}, column {role}"
        if not 0 < len(node) <= LONGEST:
            self.problems.add(place, node, f"an id of 1 to {LONGEST} characters")
        elif "\0" in node:
            self.problems.add(place, node, "an id without NUL characters")
        elif self.nodes and node not in self.ids:
            self.problems.add(place, node, f"an id of {self.nodes}")
            self.unknown.setdefault(node, row)
            return 0
        return self.ids.setdefault(node, len(self.ids))

    def weight(self, row: int, cell: Any) -> float:
        """A number from 0 on; what is none is named, and 0 in its place."""
        value = number(cell)
        if value is None or value < 0:
            place = f"{self.name}, row {row}, column weight"
            self.problems.add(place, cell, "a finite number above 0")
        return value or 0.0

    def explain(self) -> None:
        """GraphError, once, where unknown ids are those of nodes in another spelling."""
        for spelling, why in (
            (as_number, "as numbers, not as text"),
            (composed, "as composed characters, not as they are written"),
        ):
            known: dict[str, str] = {}
            for node in self.ids:
                known.setdefault(spelling(node), node)
            same = [node for node in self.unknown if spelling(node) in known]
            if same and len(same) == len(self.unknown):
                node = same[0]
                pair = f"{ascii(node)} and {ascii(known[spelling(node)])}"
                raise GraphError(
                    f"{self.name}, row {self.unknown[node]}: {len(same)} ids equal those of "
                    f"{self.nodes} {why}, such as {pair}; expected one spelling in both"
                )

    def check_names(self, pairs: Array, rows: Sequence[int]) -> None:
        """Of names that only the edges give: integers below 0, or an unknown header, are
        mistakes."""
        names = list(self.ids)
        odd = [i for i, node in enumerate(names) if not INTEGER.fullmatch(node)]
        if odd:
            return
        for i in [i for i, node in enumerate(names) if node.startswith("-")]:
            row = rows[int((pairs == i).argmax()) // 2]
            self.problems.add(f"{self.name}, row {row}", names[i], "an id of at least 0")


def doubt(name: str, weights: Array, notices: list[str]) -> None:
    """Says where a third column [E] without a name may be no weights."""
    if not len(weights):
        return
    low, high = float(weights.min()), float(weights.max())
    whole = bool((weights == np.round(weights)).all())
    look = ""
    if whole and TIMES[0] <= low and high < TIMES[1]:
        look = "looks like times"
    elif low == high and len(weights) > 1:
        look = f"is {low + 0.0:.6g} in every row"  # -0 is 0
    if look:
        text = "it is taken as the weight; --weight none leaves it out"
        notices.append(f"{name}: the third column {look}: {text}")


def as_number(node: str) -> str:
    """An id as a number writes it, where it is one."""
    try:
        value = float(node)
    except ValueError:
        return node
    return str(int(value)) if abs(value) < 2**53 and value == int(value) else repr(value)


def composed(node: str) -> str:
    return unicodedata.normalize("NFC", node)
