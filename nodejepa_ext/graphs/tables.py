"""Tables of edges and nodes (text, parquet, networkx) -> the arrays of the project's format.

Apart from graph.py because only here it is known where a value stands: every bad cell is reported
by file, row and column, up to 20 at once. Rows are streamed, so a table is never held as text.
"""

from __future__ import annotations

import csv
import itertools
import re
import reprlib
from array import array
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nodejepa_ext.graphs.archives import (
    MASKS,
    Array,
    Arrays,
    GraphError,
    Problems,
    distrust,
    refuse_large,
)

Rows = Iterator[tuple[int, list[Any]]]  # the row's number, its cells; the first may be a header

SUFFIXES = (".csv", ".tsv", ".txt", ".edges", ".parquet")
COLUMNS = {
    "source": ("source", "src", "from", "u"),
    "target": ("target", "dst", "to", "v"),
    "weight": ("weight", "w"),
    "id": ("id", "node", "node_id"),
    "label": ("label", "y", "class"),
    "train_mask": ("train", "train_mask"),
    "val_mask": ("val", "val_mask", "valid", "valid_mask"),
    "test_mask": ("test", "test_mask"),
}
SPLITS = {"train": 0, "val": 1, "valid": 1, "validation": 1, "test": 2, "": 3, "none": 3}
FLAGS = {"1": 1, "true": 1, "0": 0, "false": 0, "": 0}
LARGEST = float(np.finfo(np.float32).max)
LONGEST = 1000  # characters of an id or a label
INTEGER = re.compile("0|-?[1-9][0-9]*")


def rows_of(path: Path) -> Generator[tuple[int, list[Any]]]:
    """The rows of a text or parquet file; leading lines of # or % and empty lines are left out."""
    if path.suffix.lower() == ".parquet":
        yield from parquet_rows(path)
        return
    refuse_large(str(path), path.stat().st_size)
    number = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            skipped, first = 0, file.readline()
            while first.startswith(("#", "%")) or first and not first.strip():
                skipped, first = skipped + 1, file.readline()
            lines = itertools.chain([first], file)
            marks = {".tsv": "\t"}.get(path.suffix.lower(), ",;\t")
            if mark := max(marks, key=first.count) if any(m in first for m in marks) else "":
                reader = csv.reader(lines, delimiter=mark, skipinitialspace=True, strict=True)
                rows: Rows = ((reader.line_num, cells) for cells in reader)
            else:
                rows = ((i, line.split()) for i, line in enumerate(lines, 1))
            yield from ((number := skipped + line, cells) for line, cells in rows if cells)
    except UnicodeDecodeError:
        raise GraphError(f"{path}, after row {number}: not UTF-8 text") from None
    except csv.Error as error:
        raise GraphError(f"{path}, after row {number}: {error}") from None


def parquet_rows(path: Path) -> Rows:
    """The header as row 0, then row 1 and so on."""
    from pyarrow import parquet

    with path.open("rb") as opened, distrust(str(path), "a whole parquet file"):
        file = parquet.ParquetFile(opened)
        groups = range(file.metadata.num_row_groups)
        refuse_large(str(path), sum(file.metadata.row_group(i).total_byte_size for i in groups))
        yield 0, file.schema_arrow.names
        batches = (batch.to_pydict().values() for batch in file.iter_batches(8192))
        rows = itertools.chain.from_iterable(zip(*b, strict=True) for b in batches)
        yield from enumerate(map(list, rows), 1)


def text(cell: Any) -> str:
    """An id or label as written; "" where there is none. 3.0, as pandas has 3 beside gaps, is 3."""
    if cell is None or cell != cell:
        return ""
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell).strip()


def locate(name: str, header: list[str], roles: Sequence[str]) -> dict[str, int]:
    """Role -> its column, by the names it may have. GraphError: two columns for one role."""
    found: dict[str, int] = {}
    for i, column in enumerate(header):
        for role in roles:
            if column.lower() in COLUMNS[role]:
                if role in found:
                    pair = f"{header[found[role]]!r} and {column!r}"
                    raise GraphError(f"{name}: columns {pair}, expected one for the {role}")
                found[role] = i
    return found


def read_tables(
    edges: tuple[str, Rows], nodes: tuple[str, Rows] | None, notices: list[str]
) -> Arrays:
    """A name for messages and the rows of each. Without nodes, they are the ids that the edges
    name, integers in their order, else in that of the alphabet; their rows may come in any."""
    problems = Problems()
    arrays: Arrays = {}
    ids: dict[str, int] = {}
    if nodes:
        arrays, ids = read_nodes(*nodes, problems)
    index, weights = read_edges(*edges, ids, nodes[0] if nodes else "", problems, notices)
    problems.check()
    if not nodes:
        names, place = ordered(list(ids)), np.empty(len(ids), np.int64)
        place[[ids[str(name)] for name in names]] = np.arange(len(names))
        arrays["node_id"], index = array_of(names), place[index]
    arrays["edge_index"] = index.reshape(-1, 2).T  # [2, E]
    return arrays if weights is None else arrays | {"edge_weight": weights}


def ordered(names: Sequence[str]) -> list[str]:
    return sorted(names, key=int if all(map(INTEGER.fullmatch, names)) else None)


def array_of(names: Sequence[str]) -> Array:
    """int64 where all are integers as Python writes them, and small enough, else strings."""
    if names and all(len(n) < 20 and INTEGER.fullmatch(n) for n in names):
        numbers = list(map(int, names))
        if max(map(abs, numbers)) < 2**63:
            return np.array(numbers, np.int64)
    return np.array(names, dtype=str)


def read_edges(
    name: str, rows: Rows, ids: dict[str, int], nodes: str, problems: Problems, notices: list[str]
) -> tuple[Array, Array | None]:
    """-> source and target of each edge in turn [2E], weights [E] or None. Names must be in ids
    where `nodes` names the file they came from; else ids is filled, in order of appearance."""
    row, first = next(rows, (0, []))
    if not first:
        raise GraphError(f"{name}: empty, expected rows of source, target and, if any, weight")
    header = [text(cell) for cell in first]
    found = locate(name, header, ("source", "target", "weight"))
    if not (headed := {"source", "target"} <= found.keys()):
        if found or not 2 <= len(first) <= 3:
            wanted = "columns source, target and, if any, weight"
            raise GraphError(f"{name}, row {row}: {reprlib.repr(header)}, expected {wanted}")
        rows, found = itertools.chain([(row, first)], rows), {"source": 0, "target": 1}
        found |= {"weight": 2} if len(first) == 3 else {}
    elif other := [column for i, column in enumerate(header) if i not in found.values()]:
        notices.append(f"columns of the edges left out: {', '.join(map(repr, other))}")
    index, weights, numbers = array("q"), array("f"), array("q")
    for row, cells in rows:
        if len(cells) != len(first):
            problems.add(f"{name}, row {row}", cells, f"{len(first)} columns")
            continue
        for role in ("source", "target"):
            place, node = f"{name}, row {row}, column {role}", text(cells[found[role]])
            if not 0 < len(node) <= LONGEST:
                problems.add(place, node, f"an id of 1 to {LONGEST} characters")
            elif nodes and node not in ids:
                problems.add(place, node, f"an id of {nodes}")
            index.append(ids.setdefault(node, len(ids)))
        numbers.append(row)
        if "weight" in found:
            cell = cells[found["weight"]]
            if (weight := number(cell)) is None or weight <= 0:
                problems.add(f"{name}, row {row}, column weight", cell, "a finite number above 0")
            weights.append(weight or 0)
    pairs = np.array(index, np.int64)
    if not nodes:
        check_names(name, list(ids), pairs, numbers, headed, problems)
    return pairs, np.array(weights, np.float32) if "weight" in found else None


def check_names(
    name: str, names: list[str], pairs: Array, rows: Sequence[int], headed: bool, found: Problems
) -> None:
    """Of names that only the edges give: integers below 0, or an unknown header, are mistakes."""
    odd = [i for i, node in enumerate(names) if not INTEGER.fullmatch(node)]
    once = int((pairs < 2).sum()) == 2  # the names of the first row are in no other
    if odd == [0, 1] and once and not headed and len(names) > 2:
        wanted = "integers as in all other rows, or a header such as source,target,weight"
        found.add(f"{name}, row {rows[0]}", [names[i] for i in odd], wanted)
    for i in () if odd else [i for i, node in enumerate(names) if node.startswith("-")]:
        row = rows[int((pairs == i).argmax()) // 2]
        found.add(f"{name}, row {row}", names[i], "an id of at least 0")


def number(cell: Any) -> float | None:
    """None: not a number that is finite in float32."""
    try:
        value = float(cell)
    except (TypeError, ValueError, OverflowError):
        return None
    return value if abs(value) <= LARGEST else None


def read_nodes(name: str, rows: Rows, problems: Problems) -> tuple[Arrays, dict[str, int]]:
    """-> node_id, x, y and masks where there are columns for them, and the place of each id."""
    _, first = next(rows, (0, []))
    header = [text(cell) for cell in first]
    roles = locate(name, header, ("id", "label", *MASKS))
    splits = [i for i, column in enumerate(header) if re.fullmatch(r"split(_\d+)?", column.lower())]
    flags = {mask: roles[mask] for mask in MASKS if mask in roles}
    if "id" not in roles or len({*header}) < len(header) or splits and flags:
        wanted = "a header with a column id, no name twice, and splits in one way only"
        raise GraphError(f"{name}: {reprlib.repr(header)}, expected {wanted}")
    rest = [i for i in range(len(header)) if i not in (*roles.values(), *splits)]
    ids: dict[str, int] = {}
    labels: list[str] = []
    codes, x = array("b"), []
    for row, cells in rows:
        place = f"{name}, row {row}"
        node = text(cells[roles["id"]]) if roles["id"] < len(cells) else ""
        if len(cells) != len(header):
            problems.add(place, cells, f"{len(header)} columns")
        elif not 0 < len(node) <= LONGEST:
            problems.add(f"{place}, column {header[roles['id']]}", node, "an id")
        elif node in ids:
            problems.add(f"{place}, column {header[roles['id']]}", node, "an id of no earlier row")
        else:
            labels.append(label := text(cells[roles["label"]]) if "label" in roles else "")
            if len(label) > LONGEST:
                problems.add(f"{place}, column label", label, f"at most {LONGEST} characters")
            for code, columns in ((SPLITS, splits), (FLAGS, flags.values())):
                codes.extend(choose(place, header, cells, i, code, problems) for i in columns)
            x.append(vector(place, header, cells, rest, problems))
            if len(x[-1]) != len(x[0]):
                problems.add(place, len(x[-1]), f"{len(x[0])} features, as in the first row")
        ids.setdefault(node, len(ids))
    if problems:
        return {}, ids
    arrays = {"node_id": array_of(list(ids))}
    if x and len(x[0]):
        arrays["x"] = np.stack(x)
    if "label" in roles:
        arrays["y"] = np.array(labels, dtype=str)
    table = np.array(codes, np.int8).reshape(len(ids), len(splits) + len(flags))  # [N, k]
    if splits:
        table = table[:, 0] if len(splits) == 1 else table
        arrays |= {mask: table == code for code, mask in enumerate(MASKS)}
    return arrays | {mask: table[:, i] == 1 for i, mask in enumerate(flags)}, ids


def choose(
    place: str, header: list[str], cells: list[Any], i: int, table: dict[str, int], found: Problems
) -> int:
    """What the cell stands for in the table."""
    if (value := text(cells[i]).lower()) in table:
        return table[value]
    found.add(f"{place}, column {header[i]}", cells[i], f"one of {', '.join(filter(None, table))}")
    return 0


def vector(
    place: str, header: list[str], cells: list[Any], columns: list[int], found: Problems
) -> Array:
    """The features [F] float32 of a row; a cell may be a list of several."""
    values = [
        (i, v) for i in columns for v in (cells[i] if type(cells[i]) is list else cells[i : i + 1])
    ]
    try:
        with np.errstate(over="ignore"):
            x = np.array([float(v) for _, v in values], np.float32)
        if np.isfinite(x).all():
            return x
    except (TypeError, ValueError, OverflowError):
        pass
    for i, value in values:
        if number(value) is None:
            wanted = "a finite number (a class goes into a column label, y or class)"
            found.add(f"{place}, column {header[i]}", value, wanted)
    return np.zeros(len(values), np.float32)


def networkx_rows(graph: Any) -> tuple[Rows, Rows]:
    """The edges and the nodes of a networkx graph as tables: attributes are columns, a sequence of
    numbers is as many features; the nodes keep their order."""
    links = list(graph.edges(data="weight"))
    weighted = any(weight is not None for *_, weight in links)
    edges = [["source", "target", "weight"][: 2 + weighted]]
    edges += [list(link[: 2 + weighted]) for link in links]
    keys = list(dict.fromkeys(key for _, values in graph.nodes(data=True) for key in values))
    nodes = [["id", *keys]]
    for node, values in graph.nodes(data=True):
        cells = (values.get(key) for key in keys)
        plain = (c.tolist() if hasattr(c, "tolist") else c for c in cells)
        nodes.append([node, *(list(c) if isinstance(c, tuple) else c for c in plain)])
    return enumerate(edges), enumerate(nodes)
