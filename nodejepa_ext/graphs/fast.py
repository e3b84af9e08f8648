"""Large tables by columns, through pyarrow: no Python object a row.

Apart from tables.py, whose readers say what is wrong with a cell: here a table that is plainly
sound is read many times as fast, to the same arrays; at the first sign that it is not, `None` is
given, and the other readers look again. What a column is, columns.py decides for both.
Shapes: N nodes, E rows of edges, F features.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

from nodejepa_ext.graphs.archives import Array, Arrays
from nodejepa_ext.graphs.arrow import (
    WORD,
    Ids,
    Slow,
    checked_weights,
    edge_places,
    features,
    ids_of,
    plain_roles,
    taken,
    text_column,
)
from nodejepa_ext.graphs.columns import Choices, Found
from nodejepa_ext.graphs.fast_parquet import parquet_edges, parquet_nodes
from nodejepa_ext.graphs.fast_text import batches, head_of
from nodejepa_ext.graphs.nodes import UNLABELLED, classes
from nodejepa_ext.graphs.rows import suffix_of


def read(
    edges: Path, nodes: Path | None, notices: list[str], choices: Choices, found: Found
) -> Arrays | None:
    """The arrays that `tables.read_tables` gives; None: they are for it to read. GraphError: what
    the header alone is to blame for, or too large a table."""
    import pyarrow as pa

    kept = list(notices)
    try:
        return both(edges, nodes, notices, choices, found)
    except (Slow, UnicodeDecodeError, OverflowError, csv.Error, pa.ArrowException):
        notices[:] = kept
        vars(found).update(vars(Found()))
        return None


def both(
    edges: Path, nodes: Path | None, notices: list[str], choices: Choices, found: Found
) -> Arrays:
    """Slow, or pyarrow's errors: not plainly sound."""
    import pyarrow as pa

    pa.set_cpu_count(1)  # the project's threads are torch's
    arrays: Arrays = {}
    known: Ids | None = None
    if nodes is not None:
        arrays, known = node_arrays(nodes, notices, choices, found)
    ends, weights = edge_columns(edges, notices, choices, found)
    if known is None:
        arrays["node_id"], index = named_by_edges(ends)
    else:
        index = placed(ends, known)
    arrays["edge_index"] = index  # [2, E]
    if weights is None:
        return arrays
    from nodejepa_ext.graphs.tables import positive

    return arrays | positive(arrays, weights, notices, found)


def edge_columns(
    path: Path, notices: list[str], choices: Choices, found: Found
) -> tuple[tuple[Ids, Ids], Array | None]:
    """Source and target, and weights [E], if there are any."""
    if suffix_of(path) == ".parquet":
        return parquet_edges(path, notices, choices, found)
    if suffix_of(path).endswith(".gz"):
        raise Slow
    import pyarrow as pa

    head = head_of(path)
    places, headed = edge_places(head.header, notices, choices, found)
    types = {places["source"]: pa.string(), places["target"]: pa.string()}
    if "weight" in places:
        types[places["weight"]] = pa.float64()
    ends: tuple[list[Any], list[Any]] = ([], [])
    weights: list[Array] = []
    with batches(path, head, headed, types) as reader:
        for batch in reader:
            for side, role in zip(ends, ("source", "target"), strict=True):
                side.append(taken(batch.column(str(places[role]))))
            if "weight" in places:
                weights.append(batch.column(str(places["weight"])).to_numpy())
    if not ends[0]:
        raise Slow
    pair = (ids_of(ends[0]), ids_of(ends[1]))
    return pair, checked_weights(weights) if "weight" in places else None


def named_by_edges(ends: tuple[Ids, Ids]) -> tuple[Array, Array]:
    """node_id [N] in order, and the places [2, E] of the ends."""
    import pyarrow as pa
    import pyarrow.compute as pc

    source, target = ends
    if source.names is None and target.names is None:
        both = np.stack([source.codes, target.codes])  # [2, E]
        top = int(both.max()) + 1
        if top > 8 * both.size + 1024:
            names, places = np.unique(both, return_inverse=True)
            return names, places.reshape(both.shape)
        present = np.zeros(top, bool)
        present[both] = True
        place = np.cumsum(present) - 1
        return np.flatnonzero(present), place[both]
    texts = [
        pc.cast(pa.array(side.codes), pa.string()) if side.names is None else side.names
        for side in ends
    ]
    names = pc.unique(
        pa.chunked_array([pa.array(t) if isinstance(t, np.ndarray) else t for t in texts])
    )
    shown = names.to_pylist()
    if not any(WORD.search(name) for name in shown):
        raise Slow  # integers beyond int64, signs, zeros in front: their order is for others
    order = sorted(range(len(shown)), key=shown.__getitem__)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    index = np.stack([rank[codes_in(side, names)] for side in ends])
    return np.array([shown[i] for i in order]), index


def codes_in(side: Ids, names: Any) -> Array:
    """Of each row its place among names. Slow: it has none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = pc.cast(pa.array(side.codes), pa.string()) if side.names is None else side.names
    found = pc.index_in(texts, value_set=names)
    if found.null_count:
        raise Slow
    place: Array = found.to_numpy(zero_copy_only=False).astype(np.int64)
    return place if side.names is None else place[side.codes]


def placed(ends: tuple[Ids, Ids], known: Ids) -> Array:
    """[2, E] of the ends among the ids of a table of nodes. Slow: one is not there."""
    places = []
    for side in ends:
        if known.names is not None:
            places.append(codes_in(side, known.names.take(known.codes)))
            continue
        if side.names is not None:
            raise Slow
        order = np.argsort(known.codes, kind="stable")
        at = np.searchsorted(known.codes, side.codes, sorter=order)
        at[at == len(order)] = 0
        place = order[at]
        if (known.codes[place] != side.codes).any():
            raise Slow
        places.append(place)
    return np.stack(places)


def node_arrays(
    path: Path, notices: list[str], choices: Choices, found: Found
) -> tuple[Arrays, Ids]:
    """As `nodes.read_nodes`, of a table without splits."""
    if suffix_of(path) == ".parquet":
        columns = parquet_nodes(path, notices, choices, found)
    else:
        columns = text_nodes(path, notices, choices, found)
    header, roles, ids, labels, x = columns
    if len(np.unique(ids.codes)) < len(ids.codes):
        raise Slow
    arrays: Arrays = {"x": x} if x.shape[1] else {}
    if ids.names is None:
        arrays["node_id"] = ids.codes
    else:
        shown = ids.names.take(ids.codes).to_pylist()
        if not any(WORD.search(name) for name in shown):
            raise Slow
        arrays["node_id"] = np.array(shown)
    if roles.label is not None:
        named = ["" if label.lower() in UNLABELLED else label for label in labels]
        if classes(str(path), header[roles.label], named, found, notices):
            arrays["y"] = np.array(named)
    return arrays, ids


def text_nodes(path: Path, notices: list[str], choices: Choices, found: Found) -> Any:
    """Header, roles, ids, labels and x [N, F] of a text file."""
    import pyarrow as pa

    if suffix_of(path).endswith(".gz"):
        raise Slow
    head = head_of(path)
    roles = plain_roles(path, head.header, notices, choices, found)
    types = {i: pa.float64() for i in roles.features} | {roles.id: pa.string()}
    if roles.label is not None:
        types[roles.label] = pa.string()
    ids, labels, parts = list[Any](), list[str](), list[Array]()
    with batches(path, head, True, types) as reader:
        for batch in reader:
            ids.append(taken(batch.column(str(roles.id))))
            if roles.label is not None:
                labels += text_column(batch.column(str(roles.label))).to_pylist()
            held = batch.columns  # in the order of types; by name, each would be searched for
            columns = [held[i].to_numpy() for i in range(len(roles.features))]
            parts.append(features(columns, batch.num_rows))
    if not parts:
        raise Slow
    return head.header, roles, ids_of(ids), labels, np.concatenate(parts)
