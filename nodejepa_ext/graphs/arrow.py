"""Columns of a table as pyarrow has them -> ids, features and weights, where plainly sound.

What text and parquet have in common when they are read by columns; see fast.py.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nodejepa_ext.graphs.archives import Array, GraphError, Problems
from nodejepa_ext.graphs.cells import LONGEST
from nodejepa_ext.graphs.columns import Choices, Found, NodeRoles, node_roles

DIGITS = 10 ** np.arange(1, 19)
WORD = re.compile(r"[^\W\d]")


class Slow(Exception):
    """Something that the readers of rows have to look at."""


class Ids(NamedTuple):
    """Of rows: numbers [n], or texts by code [n] of a list of names."""

    codes: Array
    names: Any | None  # a pyarrow array of strings; None: codes are the ids


def text_column(values: Any) -> Any:
    """A pyarrow array of strings without blanks around them. Slow: quotes, NUL, or too long."""
    import pyarrow.compute as pc

    values = pc.utf8_trim_whitespace(values)
    if pc.any(pc.match_substring_regex(values, '["\\x00{]')).as_py():
        raise Slow
    if len(values) and pc.max(pc.binary_length(values)).as_py() > LONGEST:
        raise Slow
    return values


def whole_numbers(values: Any) -> Array | None:
    """Strings [n] as int64 where each is written as an integer is, without a sign or zeros in
    front; None: some are not."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        numbers: Array = pc.cast(values, pa.int64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        return None
    if not len(numbers):
        return numbers
    if numbers.min() < 0:
        raise Slow
    digits = np.searchsorted(DIGITS, numbers, side="right") + 1
    written = pc.binary_length(values).to_numpy(zero_copy_only=False)
    return numbers if (digits == written).all() else None


def ids_of(chunks: list[Any]) -> Ids:
    """Of columns of strings, or of integers, one after another. Slow: one is empty."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if all(isinstance(chunk, np.ndarray) for chunk in chunks):
        return Ids(np.concatenate(chunks), None)
    texts = [pc.cast(pa.array(c), pa.string()) if isinstance(c, np.ndarray) else c for c in chunks]
    joined = pa.chunked_array(texts, pa.string()).combine_chunks()
    if isinstance(joined, pa.ChunkedArray):
        raise Slow
    encoded = pc.dictionary_encode(joined)
    names = encoded.dictionary
    if pc.any(pc.equal(pc.binary_length(names), 0)).as_py():
        raise Slow
    return Ids(encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64), names)


def taken(values: Any) -> Any:
    """A column of ids as integers, where they are, else as strings. Slow: an empty one."""
    texts = text_column(values)
    numbers = whole_numbers(texts)
    return texts if numbers is None else numbers


def features(columns: list[Array], n: int) -> Array:
    """x [n, F] float32 of columns of numbers. Slow: one is not finite."""
    x = np.empty((n, len(columns)), np.float32)
    with np.errstate(over="ignore"):
        for i, values in enumerate(columns):
            x[:, i] = values
    if not np.isfinite(x).all():
        raise Slow
    return x


def checked_weights(parts: list[Array]) -> Array:
    """[E] float32. Slow: one is below 0, or not finite in float32."""
    values = np.concatenate(parts)
    with np.errstate(over="ignore"):
        weights = values.astype(np.float32)
    if not (np.isfinite(weights).all() and (values >= 0).all()):
        raise Slow
    return weights


def edge_places(
    header: list[str], notices: list[str], choices: Choices, found: Found
) -> tuple[dict[str, int], bool]:
    """As `tables.EdgeRows.roles`; Slow: row 1 may be a header of unknown names."""
    from nodejepa_ext.graphs.tables import EdgeRows

    rows = EdgeRows("", "", {}, Problems(), notices, choices, found)
    try:
        places, headed = rows.roles(1, header)
    except GraphError:
        raise Slow from None  # which knows the name of the file
    if not headed and ("weight" in places or any(WORD.search(cell) for cell in header)):
        raise Slow
    return places, headed


def plain_roles(
    path: Path, header: list[str], notices: list[str], choices: Choices, found: Found
) -> NodeRoles:
    """Slow: there are splits, whose cells are words."""
    roles = node_roles(str(path), header, choices, found, notices)
    if roles.splits or roles.flags:
        raise Slow
    return roles
