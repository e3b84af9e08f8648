"""Columns of a table as pyarrow has them -> ids, features, weights, splits, batch by batch.

What text and parquet have in common when they are read by columns; see fast.py. Shapes: N nodes,
F features, n rows of a batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from nodejepa_ext.graphs.archives import Array, refuse_large
from nodejepa_ext.graphs.cells import LONGEST

DIGITS = 10 ** np.arange(1, 19)  # from which on integers have one digit more
MOST = 10**18  # integers from which on ids are texts


class Slow(Exception):
    """Something that the readers of rows have to look at."""


class Ids(NamedTuple):
    """Of rows: integers [n], or texts by code [n] of a list of names."""

    codes: Array
    names: Any | None  # a pyarrow array of strings; None: codes are the ids

    def named(self) -> Ids:
        """As texts."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if self.names is not None:
            return self
        encoded = pc.dictionary_encode(pa.array(self.codes))
        codes = encoded.indices.to_numpy(zero_copy_only=False)
        return Ids(codes, pc.cast(encoded.dictionary, pa.string()))


class Texts:
    """A column of ids or labels, a batch after another."""

    def __init__(self, empty: bool = False) -> None:
        """empty: whether cells may be."""
        self.parts: list[Any] = []  # integers [n] or dictionary arrays
        self.empty = empty

    def add(self, values: Any) -> None:
        """A pyarrow array of strings, by their codes or not, none of them null, or integers [n].
        Slow: one is too long, or empty."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if isinstance(values, pa.DictionaryArray):
            self.parts.append(encoded_texts(values, self.empty))
            return
        numbers = values if isinstance(values, np.ndarray) else whole_numbers(values)
        if numbers is not None and (not len(numbers) or abs_max(numbers) < MOST):
            self.parts.append(numbers)
            return
        if isinstance(values, np.ndarray):
            values = pc.cast(pa.array(values), pa.string())
        self.parts.append(encoded_texts(values, self.empty))

    def names_any(self, words: Sequence[str]) -> bool:
        """Whether one of the words, none of which is an integer, is among them."""
        import pyarrow as pa
        import pyarrow.compute as pc

        wanted = pa.array(words)
        named = (part.dictionary for part in self.parts if not isinstance(part, np.ndarray))
        return any(pc.any(pc.is_in(wanted, value_set=names)).as_py() for names in named)

    def finish(self) -> Ids:
        """Slow: there is no row."""
        import pyarrow as pa

        if not self.parts:
            raise Slow
        if all(isinstance(part, np.ndarray) for part in self.parts):
            return Ids(joined(self.parts), None)
        for i, part in enumerate(self.parts):
            if isinstance(part, np.ndarray):
                names = Ids(part, None).named()
                self.parts[i] = pa.DictionaryArray.from_arrays(
                    names.codes.astype(np.int32), names.names
                )
        whole = pa.chunked_array(self.parts).unify_dictionaries()
        self.parts.clear()
        names = whole.chunk(0).dictionary
        codes = joined([chunk.indices.to_numpy(zero_copy_only=False) for chunk in whole.chunks])
        numbers = whole_numbers(names)  # without the blanks around them
        if numbers is not None and abs_max(numbers) < MOST:
            return Ids(numbers[codes], None)
        return Ids(codes, names)


def joined(parts: list[Array]) -> Array:
    """One array, without holding both for longer than a part takes."""
    whole = np.empty(sum(map(len, parts)), np.result_type(*parts))
    end = len(whole)
    while parts:
        part = parts.pop()
        whole[end - len(part) : end] = part
        end -= len(part)
    return whole


def abs_max(numbers: Array) -> int:
    return max(-int(numbers.min()), int(numbers.max()))


def span(values: Any) -> Array:
    """The bytes [b] of an array of strings."""
    _, offsets, data = values.buffers()
    if data is None or not len(values):
        return np.empty(0, np.uint8)
    ends: Array = np.frombuffer(offsets, np.int32)[values.offset : values.offset + len(values) + 1]
    return np.frombuffer(data, np.uint8)[ends[0] : ends[-1]]


def whole_numbers(values: Any) -> Array | None:
    """Strings [n] as int64 where each is written as Python writes an integer; None: some are
    not."""
    import pyarrow as pa
    import pyarrow.compute as pc

    written = span(values)
    if not len(written) or written.min() < ord("-") or written.max() > ord("9"):
        return None
    try:
        numbers: Array = pc.cast(values, pa.int64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        return None
    if numbers.min() <= -MOST:
        return None
    below = numbers < 0
    sizes = np.abs(numbers) if below.any() else numbers
    most = int(sizes.max())
    digits = len(sizes) + sum(int((sizes >= ten).sum()) for ten in DIGITS if ten <= most)
    # no number is written shorter than Python does, so the sums tell
    return numbers if digits + int(below.sum()) == len(written) else None


def encoded_texts(values: Any, empty: bool) -> Any:
    """A dictionary array of strings without blanks around them. Slow: one is too long, or empty."""
    import pyarrow as pa
    import pyarrow.compute as pc

    encoded = values if isinstance(values, pa.DictionaryArray) else pc.dictionary_encode(values)
    names = pc.utf8_trim_whitespace(encoded.dictionary)
    if len(names):
        sizes = pc.binary_length(names)
        if pc.max(sizes).as_py() > LONGEST or not empty and pc.min(sizes).as_py() == 0:
            raise Slow
        if 0 in span(names):
            raise Slow
    if pc.count_distinct(names).as_py() < len(names):  # equal but for blanks
        return pc.dictionary_encode(names.take(encoded.indices))
    return pa.DictionaryArray.from_arrays(encoded.indices, names)


def strings(names: Any) -> Array:
    """An array of strings as numpy's [n], of the width of the longest. GraphError: that is too
    large."""
    import pyarrow.compute as pc

    sizes: Array = pc.utf8_length(names).to_numpy(zero_copy_only=False)
    width = int(sizes.max(initial=0))
    refuse_large(f"{len(names)} names of up to {width} characters", 4 * width * len(names))
    points = np.frombuffer(span(names).tobytes().decode().encode("utf-32-le"), np.uint32)
    held = np.zeros((len(names), max(width, 1)), np.uint32)
    held[np.arange(max(width, 1)) < sizes[:, None]] = points
    return held.view(f"<U{max(width, 1)}").ravel()


class Codes:
    """A column of words of a table, as their codes."""

    def __init__(self, table: Mapping[str, int]) -> None:
        import pyarrow as pa

        self.words = pa.array(list(table))
        self.values = np.array(list(table.values()), np.int8)
        self.parts: list[Array] = []

    def add(self, values: Any) -> None:
        """A pyarrow array of strings. Slow: one is not in the table."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if isinstance(values, np.ndarray):
            values = pa.array(values)
        values = pc.cast(values, pa.string())
        lowered = pc.utf8_lower(pc.utf8_trim_whitespace(values))
        places = pc.index_in(lowered, value_set=self.words)
        if places.null_count:
            raise Slow
        self.parts.append(self.values[places.to_numpy(zero_copy_only=False)])

    def finish(self) -> Array:
        return joined(self.parts)  # [N] int8


class Features:
    """x [N, F] float32, a batch of columns after another; it grows in place."""

    def __init__(self, rows: int = 1 << 12) -> None:
        """rows: that are expected."""
        self.x = np.empty((rows, 0), np.float32)
        self.n = 0
        self.gaps: Array | None = None  # [F] rows without a value

    def add(self, columns: Sequence[Any]) -> None:
        """Pyarrow arrays of numbers, null where a cell is empty, or of lists of as many in each
        row. Slow: other lists, or a number that is not finite."""
        wide = [wide_column(values) for values in columns]
        widths = [1 if block.ndim == 1 else block.shape[1] for block, _ in wide]
        n, total = len(columns[0]), sum(widths)
        if self.gaps is None:
            self.x = np.empty((len(self.x), total), np.float32)
            self.gaps = np.zeros(total, np.int64)
        if total != self.x.shape[1]:
            raise Slow
        if self.n + n > len(self.x):  # by realloc, which moves pages, not bytes
            self.x.resize((max(2 * len(self.x), self.n + n), total), refcheck=False)
        part = self.x[self.n : self.n + n]
        place = 0
        with np.errstate(over="ignore"):
            for (block, missing), width in zip(wide, widths, strict=True):
                if width == 1:
                    part[:, place] = block if block.ndim == 1 else block[:, 0]
                else:
                    part[:, place : place + width] = block
                self.gaps[place] += missing
                place += width
        if not np.isfinite(part).all():
            raise Slow
        self.n += n

    def finish(self) -> tuple[Array, list[int]]:
        """x [N, F] and the columns that have no value in any row, which are 0. Slow: others have
        gaps."""
        if self.gaps is None:
            return np.empty((self.n, 0), np.float32), []
        empty = np.flatnonzero((self.gaps == self.n) & (self.n > 0))
        if np.count_nonzero(self.gaps) > len(empty):
            raise Slow
        self.x.resize((self.n, self.x.shape[1]), refcheck=False)
        return self.x, empty.tolist()


def wide_column(values: Any) -> tuple[Array, int]:
    """A column as numbers [n] or [n, k], and how many cells are empty, which are 0. Slow: it holds
    no numbers."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = values.type
    listed = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    if listed or pa.types.is_fixed_size_list(kind):
        if values.null_count or not len(values):
            raise Slow
        sizes = pc.list_value_length(values)
        width = pc.max(sizes).as_py()
        flat, missing = wide_column(pc.list_flatten(values))
        if missing or not width or pc.min(sizes).as_py() != width or flat.ndim > 1:
            raise Slow
        return flat.reshape(-1, width), 0
    missing = values.null_count
    if pa.types.is_null(kind):
        return np.zeros(len(values)), missing
    if pa.types.is_boolean(kind):
        values = pc.cast(values, pa.int8())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise Slow
    if missing:
        values = pc.fill_null(values, 0)
    numbers: Array = values.to_numpy(zero_copy_only=False)
    return numbers.astype(np.float64) if numbers.dtype.kind in "iu" else numbers, missing


def checked_weights(parts: list[Array]) -> Array:
    """[E] float64. Slow: one is below 0, or not finite in float32."""
    values = joined(parts)
    with np.errstate(over="ignore"):
        weights = values.astype(np.float32)
    if not (np.isfinite(weights).all() and (values >= 0).all()):
        raise Slow
    return values
