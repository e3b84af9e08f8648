"""Parquet tables by columns: edges, and nodes without splits; see fast.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nodejepa_ext.graphs.archives import Array, opened, refuse_unpacked
from nodejepa_ext.graphs.arrow import (
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


def parquet_file(path: Path, file: Any) -> Any:
    """Opened. GraphError: it would become too much."""
    from pyarrow import parquet

    found = parquet.ParquetFile(file)
    meta = found.metadata
    refuse_unpacked(str(path), 4 * meta.num_rows * meta.num_columns, path.stat().st_size)
    return found


def parquet_ids(values: Any) -> Any:
    """A column of ids of a parquet file. Slow: neither integers nor strings, or some missing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if values.null_count:
        raise Slow
    if pa.types.is_dictionary(values.type):
        values = pc.cast(values, values.type.value_type)
    if pa.types.is_integer(values.type):
        numbers: Array = pc.cast(values, pa.int64()).to_numpy(zero_copy_only=False)
        if len(numbers) and numbers.min() < 0:
            raise Slow
        return numbers
    if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        raise Slow
    return taken(pc.cast(values, pa.string()))


def parquet_numbers(values: Any) -> Array:
    """A column of numbers of a parquet file. Slow: it holds others, or some are missing."""
    import pyarrow as pa

    kind = values.type
    if values.null_count or not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise Slow
    array: Array = values.to_numpy(zero_copy_only=False)
    return array.astype(np.float64) if array.dtype.kind in "iu" else array


def parquet_edges(
    path: Path, notices: list[str], choices: Choices, found: Found
) -> tuple[tuple[Ids, Ids], Array | None]:
    """As `edge_columns`."""
    ends: tuple[list[Any], list[Any]] = ([], [])
    weights: list[Array] = []
    with opened(path) as raw:
        file = parquet_file(path, raw)
        header = list(file.schema_arrow.names)
        places, headed = edge_places(header, notices, choices, found)
        if not headed:
            raise Slow
        names = [header[i] for i in places.values()]
        for batch in file.iter_batches(1 << 18, columns=names, use_threads=False):
            for side, role in zip(ends, ("source", "target"), strict=True):
                side.append(parquet_ids(batch.column(header[places[role]])))
            if "weight" in places:
                weights.append(parquet_numbers(batch.column(header[places["weight"]])))
    if not ends[0]:
        raise Slow
    pair = (ids_of(ends[0]), ids_of(ends[1]))
    return pair, checked_weights(weights) if "weight" in places else None


def parquet_nodes(path: Path, notices: list[str], choices: Choices, found: Found) -> Any:
    """As `text_nodes`."""
    ids, labels, parts = list[Any](), list[str](), list[Array]()
    with opened(path) as raw:
        file = parquet_file(path, raw)
        header = list(file.schema_arrow.names)
        roles = plain_roles(path, header, notices, choices, found)
        for batch in file.iter_batches(1 << 14, use_threads=False):
            ids.append(parquet_ids(batch.column(roles.id)))
            if roles.label is not None:
                labels += parquet_labels(batch.column(roles.label))
            columns = [parquet_numbers(batch.column(i)) for i in roles.features]
            parts.append(features(columns, batch.num_rows))
    if not parts:
        raise Slow
    return header, roles, ids_of(ids), labels, np.concatenate(parts)


def parquet_labels(values: Any) -> list[str]:
    """As written; "" where there is none. Slow: of another kind than integers and strings."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_integer(values.type):
        values = pc.cast(values, pa.string())
    if not pa.types.is_string(values.type):
        raise Slow
    return text_column(pc.fill_null(values, "")).to_pylist()
