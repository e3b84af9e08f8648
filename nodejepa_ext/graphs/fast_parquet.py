"""Parquet tables by columns; see fast.py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nodejepa_ext.graphs.archives import Array, opened
from nodejepa_ext.graphs.arrow import Slow
from nodejepa_ext.graphs.cells import LONGEST
from nodejepa_ext.graphs.rows import ROWS, ParquetFile, is_text

CELLS = 1 << 22  # of a batch, at most, where that is not less than LEAST rows
LEAST = 1 << 8


class Parquet:
    """The names of a parquet table's columns, and its columns. Its row 0 is its header."""

    def __init__(self, path: Path) -> None:
        """GraphError: it would become too much."""
        self.path, self.row = path, 0
        with opened(path) as raw:
            file = ParquetFile(path, raw)
            self.header, self.rows = file.header, file.rows

    def assume_less(self) -> bool:
        """Nothing was assumed."""
        return False

    def batches(self, texts: Sequence[int], numbers: Sequence[int]) -> Iterator[list[Any]]:
        """The columns `texts`, as `text_of` has them, and then `numbers`, as they are."""
        names = [self.header[i] for i in (*texts, *numbers)]
        if len({*names}) < len(names):
            raise Slow
        rows = min(ROWS, max(CELLS // max(len(names), 1), LEAST))
        with opened(self.path) as raw:
            for batch in ParquetFile(self.path, raw).batches(names, rows):
                place = {name: i for i, name in enumerate(batch.schema.names)}
                held = batch.columns
                columns = [held[place[name]] for name in names]
                columns[: len(texts)] = map(text_of, columns[: len(texts)])
                yield columns


def text_of(values: Any) -> Any:
    """A column of ids, labels or words as strings, by their codes or not, "" where there is none,
    or as integers [n]; 3.0 is 3. Slow: of another kind."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = values.type
    if pa.types.is_dictionary(kind):
        if is_text(kind.value_type):
            return coded(values)
        values, kind = pc.cast(values, kind.value_type), kind.value_type
    if pa.types.is_floating(kind):
        values = whole(values)
        kind = values.type
    if pa.types.is_integer(kind) and not values.null_count and kind != pa.uint64():
        numbers: Array = pc.cast(values, pa.int64()).to_numpy(zero_copy_only=False)
        return numbers
    if pa.types.is_boolean(kind):
        values = pc.if_else(values, "True", "False")
    elif not (pa.types.is_integer(kind) or is_text(kind)):
        raise Slow
    return pc.fill_null(pc.cast(values, pa.string()), "")


def coded(values: Any) -> Any:
    """Strings by their codes, with "" for none. Slow: one is too long for an id, or a label."""
    import pyarrow as pa
    import pyarrow.compute as pc

    names = values.dictionary
    if names.null_count:
        raise Slow
    if len(names) and pc.max(pc.binary_length(names)).as_py() > LONGEST:
        raise Slow
    names, codes = pc.cast(names, pa.string()), pc.cast(values.indices, pa.int32())
    if values.null_count:
        codes = pc.fill_null(codes, len(names))
        names = pa.concat_arrays([names, pa.array([""])])
    return pa.DictionaryArray.from_arrays(codes, names)


def whole(values: Any) -> Any:
    """Numbers with a point as integers where all are, else as strings; null where one is nan. Slow:
    some are written with an exponent."""
    import pyarrow as pa
    import pyarrow.compute as pc

    values = pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
    sizes: Array = np.abs(pc.fill_null(values, 0).to_numpy(zero_copy_only=False))
    if not (sizes < 2**53).all():
        raise Slow
    if (sizes == np.round(sizes)).all():
        return pc.cast(values, pa.int64())
    if ((sizes > 0) & (sizes < 1e-3)).any() or values.type != pa.float64():
        raise Slow
    return pc.cast(values, pa.string())
