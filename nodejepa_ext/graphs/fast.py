"""Tables by columns, through pyarrow: no Python object a row.

Apart from tables.py, whose readers say what is wrong with a cell: here every table that is plainly
sound is read many times as fast, to the same graph; at the first sign that it is not, `None` is
given, and the other readers look again. What a column is, columns.py decides for both.
Shapes: N nodes, E rows of edges, F features.
"""

from __future__ import annotations

import csv
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from nodejepa_ext.graphs.archives import MASKS, Array, Arrays, GraphError, refuse_large
from nodejepa_ext.graphs.arrow import (
    Codes,
    Features,
    Ids,
    Slow,
    Texts,
    checked_weights,
    strings,
)
from nodejepa_ext.graphs.cells import INTEGER, array_of, number, strings_of
from nodejepa_ext.graphs.columns import (
    Choices,
    Found,
    NodeRoles,
    edge_roles,
    listed,
    nameable,
    node_roles,
    taken_as_header,
)
from nodejepa_ext.graphs.fast_parquet import Parquet
from nodejepa_ext.graphs.fast_text import Again, Text
from nodejepa_ext.graphs.nodes import FLAGS, SPLITS, UNLABELLED, classes
from nodejepa_ext.graphs.rows import suffix_of
from nodejepa_ext.graphs.tables import doubt, positive

SPARSE = 8  # numbers a node or edge, within which ids are looked up in a table of them
Table = Text | Parquet


def read(
    edges: Path, nodes: Path | None, notices: list[str], choices: Choices, found: Found
) -> Arrays | None:
    """The arrays that `tables.read_tables` gives, but for labels, which are integers where all are;
    None: they are for it to read. GraphError: what the header alone is to blame for, or too large a
    table. MemoryError: out of memory."""
    import pyarrow as pa

    kept = list(notices)
    pa.set_cpu_count(1)  # the project's threads are torch's
    try:
        return both(edges, nodes, notices, choices, found)
    except MemoryError:
        raise
    except (Slow, UnicodeDecodeError, OverflowError, csv.Error, pa.ArrowException):
        pass
    except (EOFError, OSError, zlib.error):  # a torn archive
        pass
    notices[:] = kept
    vars(found).update(vars(Found()))
    return None


def both(
    edges: Path, nodes: Path | None, notices: list[str], choices: Choices, found: Found
) -> Arrays:
    """Slow, or pyarrow's errors: not plainly sound."""
    arrays: Arrays = {}
    known: Ids | None = None
    if nodes is not None:
        arrays, known = node_arrays(nodes, notices, choices, found)
    ends, weights = edge_columns(edges, known, notices, choices, found)
    if known is None:
        arrays["node_id"], index = named_by_edges(ends)
    else:
        index = np.stack([place_in(known, side) for side in ends])
    arrays["edge_index"] = index  # [2, E]
    if weights is None:
        return arrays
    return arrays | positive(arrays, weights, notices, found)


def table_of(path: Path) -> Table:
    return Parquet(path) if suffix_of(path) == ".parquet" else Text(path)


def settled(table: Table, once: Callable[[], Any]) -> Any:
    """once(), again where the table is not as was assumed."""
    while True:
        newlines = getattr(table, "newlines", False)
        try:
            return once()
        except Again:
            if getattr(table, "newlines", False) == newlines and not table.assume_less():
                raise Slow from None


def edge_columns(
    path: Path, known: Ids | None, notices: list[str], choices: Choices, found: Found
) -> tuple[tuple[Ids, Ids], Array | None]:
    """Source and target, and weights [E] float32, if there are any."""
    table = table_of(path)
    place = str(path), table.row
    try:
        places, headed = edge_roles(place, table.header, choices, found, notices)
    except GraphError:
        raise Slow from None  # which knows the line
    edges = settled(table, lambda: EdgeColumns(table, places, headed, known))
    if edges.unnamed_header:
        notices.append(taken_as_header(*place, table.header))
    ends = edges.sides[0].finish(), edges.sides[1].finish()
    if "weight" not in places:
        return ends, None
    weights = checked_weights(edges.weights)
    if not headed:
        doubt(str(path), weights, notices)
    return ends, weights.astype(np.float32)


class EdgeColumns:
    """Both ends and, if any, the weights of a table of edges."""

    def __init__(
        self, table: Table, places: dict[str, int], headed: bool, known: Ids | None
    ) -> None:
        """places: as of `columns.edge_roles`; known: the ids of nodes, if there is a table."""
        self.sides, self.weights = (Texts(), Texts()), list[Array]()
        ends = [places["source"], places["target"]]
        numbers = [places["weight"]] if "weight" in places else []
        for source, target, *weight in table.batches(ends, numbers):
            self.sides[0].add(source)
            self.sides[1].add(target)
            for values in weight:
                if values.null_count:
                    raise Slow
                try:
                    found = values.to_numpy(zero_copy_only=False).astype(np.float64)
                except (TypeError, ValueError):  # lists or structs: the cell is named elsewhere
                    raise Slow from None
                self.weights.append(found)
        self.unnamed_header = not headed and self.is_header(table, places, known)
        if not headed and not self.unnamed_header:
            self.add([table.header[i] for i in (*ends, *numbers)])

    def is_header(self, table: Table, places: dict[str, int], known: Ids | None) -> bool:
        """As `tables.EdgeRows.unnamed`, of a row 1 without known names."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if not table.row:
            return True
        if not nameable(table.header, places):
            return False
        pair = [table.header[places[end]] for end in ("source", "target")]
        if known is None:
            return bool(self.sides[0].parts) and not any(s.names_any(pair) for s in self.sides)
        names = known.names
        return names is None or not pc.any(pc.is_in(pa.array(pair), value_set=names)).as_py()

    def add(self, cells: list[str]) -> None:
        """The first row, too, is an edge."""
        import pyarrow as pa

        for side, cell in zip(self.sides, cells, strict=False):
            side.add(pa.array([cell]))
        if len(cells) > 2:
            self.weights.append(np.array([number(cells[2])], np.float64))  # nan: refused


def named_by_edges(ends: tuple[Ids, Ids]) -> tuple[Array, Array]:
    """node_id [N] in order, as `cells.ordered` has it, and the places [2, E] of the ends."""
    import pyarrow as pa
    import pyarrow.compute as pc

    source, target = ends
    if source.names is None and target.names is None:
        return numbered_by_edges(np.stack([source.codes, target.codes]))
    sides = source.named(), target.named()
    names = pc.unique(pa.chunked_array([side.names for side in sides]))
    order = in_order(names)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    index = [rank[place_in(Ids(np.arange(len(names)), names), side)] for side in sides]
    return strings(names.take(pa.array(order))), np.stack(index)


def in_order(names: Any) -> Array:
    """Places of names, all different: integers by size where all are, else by the alphabet.
    Slow: the integers have signs."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pc.all(pc.match_substring_regex(names, f"^({INTEGER.pattern})$")).as_py():
        if pc.any(pc.starts_with(names, "-")).as_py():
            raise Slow
        table = pa.table({"size": pc.binary_length(names), "name": names})
        keys = [("size", "ascending"), ("name", "ascending")]
        order = pc.sort_indices(table, sort_keys=keys)
    else:
        order = pc.array_sort_indices(names)
    places: Array = order.to_numpy(zero_copy_only=False).astype(np.int64)
    return places


def numbered_by_edges(both: Array) -> tuple[Array, Array]:
    """As `named_by_edges`, of integers [2, E]. Slow: one is below 0."""
    if not both.size or both.min() < 0:
        raise Slow
    top = int(both.max()) + 1
    if top > SPARSE * both.size + 1024:
        names, places = np.unique(both, return_inverse=True)
        return names, places.reshape(both.shape)
    present = np.zeros(top, bool)
    present[both] = True
    place = np.cumsum(present) - 1
    return np.flatnonzero(present), place[both]


def place_in(known: Ids, side: Ids) -> Array:
    """Of each row its place [E] among known ids, all different. Slow: one is not there."""
    import pyarrow.compute as pc

    if known.names is None:
        if side.names is not None:
            raise Slow
        return place_of(known.codes, side.codes)
    side = side.named()
    found = pc.index_in(side.names, value_set=known.names)
    if found.null_count:
        raise Slow
    place: Array = found.to_numpy(zero_copy_only=False).astype(np.int64)
    return place[side.codes]


def place_of(known: Array, wanted: Array) -> Array:
    """Places of integers among others, all different. Slow: one is not there."""
    low = int(known.min())
    top = int(known.max()) - low + 1
    if not len(wanted):
        return np.empty(0, np.int64)
    if wanted.min() < low or wanted.max() >= low + top:
        raise Slow
    if top <= SPARSE * (len(known) + len(wanted)) + 1024:
        table = np.full(top, -1, np.int64)
        table[known - low] = np.arange(len(known))
        place: Array = table[wanted - low if low else wanted]
    else:
        order = np.argsort(known, kind="stable")
        at = np.searchsorted(known, wanted, sorter=order)
        place = np.where(known[order[at]] == wanted, order[at], -1)
    if len(place) and place.min() < 0:
        raise Slow
    return place


class NodeColumns:
    """The columns of a table of nodes, by their roles."""

    def __init__(self, table: Table, roles: NodeRoles) -> None:
        self.ids, self.labels = Texts(), Texts(empty=True)
        self.splits = [Codes(SPLITS) for _ in roles.splits]
        self.flags = [Codes(FLAGS) for _ in roles.flags]
        self.features = Features(table.rows if isinstance(table, Parquet) else 1 << 12)
        label = [] if roles.label is None else [roles.label]
        texts = [roles.id, *label, *roles.splits, *roles.flags.values()]
        words: list[Any] = [self.ids, *([self.labels] if label else [])]
        words += [*self.splits, *self.flags]
        for columns in table.batches(texts, roles.features):
            for column, values in zip(words, columns, strict=False):
                column.add(values)
            if roles.features:
                self.features.add(columns[len(words) :])


def node_arrays(
    path: Path, notices: list[str], choices: Choices, found: Found
) -> tuple[Arrays, Ids]:
    """As `nodes.read_nodes`, and the ids."""
    table = table_of(path)
    roles = node_roles(str(path), table.header, choices, found, notices)
    columns = settled(table, lambda: NodeColumns(table, roles))
    ids = columns.ids.finish()
    if len(ids.codes) > (len(np.unique(ids.codes)) if ids.names is None else len(ids.names)):
        raise Slow  # an id twice
    node_id = ids.codes if ids.names is None else strings(ids.names)
    arrays: Arrays = {"node_id": node_id}
    if roles.features and (x := features(str(path), table, roles, columns, found, notices)).size:
        arrays["x"] = x
    if roles.label is not None:
        y = labels(str(path), table.header[roles.label], columns.labels.finish(), found, notices)
        arrays |= {} if y is None else {"y": y}
    if roles.splits:
        codes = [split.finish() for split in columns.splits]
        k_splits = codes[0] if len(codes) == 1 else np.stack(codes, 1)  # [N] or [N, k]
        arrays |= {mask: k_splits == code for code, mask in enumerate(MASKS)}
    flags = zip(roles.flags, columns.flags, strict=True)
    return arrays | {mask: column.finish() == 1 for mask, column in flags}, ids


def features(
    name: str, table: Table, roles: NodeRoles, columns: Any, found: Found, notices: list[str]
) -> Array:
    """x [N, F] without columns that have no value in any row."""
    x: Array
    x, empty = columns.features.finish()
    if not empty:
        return x
    if x.shape[1] != len(roles.features):
        raise Slow  # cells are lists
    names = [table.header[roles.features[i]] for i in empty]
    notices.append(f"{name}: {listed(names)} left out: without a value in any row")
    found.features = [name for name in found.features or [] if name not in names]
    found.left_out += names
    return np.delete(x, empty, 1)


def labels(name: str, column: str, given: Ids, found: Found, notices: list[str]) -> Array | None:
    """y [N]: integers, -1 for none, where all are, else texts, "" for none; None: no classes."""
    if given.names is None:
        values, codes = np.unique(given.codes, return_inverse=True)
        names = list(map(str, values.tolist()))
    else:
        codes = given.codes
        names = given.names.to_pylist()
        names = ["" if label.lower() in UNLABELLED else label for label in names]
    sizes = np.bincount(codes, minlength=len(names)).tolist()
    counts = {label: size for label, size in zip(names, sizes, strict=True) if label}
    if not classes(name, column, counts, found, notices):
        return None
    numbers = array_of([label for label in names if label])
    if numbers.dtype.kind != "i":
        texts = strings_of(names)
        refuse_large(f"{name}, column {column}", texts.itemsize * len(codes))
        return texts[codes]
    whole = np.full(len(names), -1)
    whole[[bool(label) for label in names]] = numbers
    return whole[codes]
