"""Parquet tables by columns; see fast.py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nodejepa_ext.graphs.archives import Array, opened
from nodejepa_ext.graphs.arrow import Slow
from nodejepa_ext.graphs.rows import parquet_file

CELLS = 1 << 22  # of a batch, at most, where that is not less than LEAST rows
LEAST = 1 << 8


class Parquet:
    """The names of a parquet table's columns, and its columns. Its row 0 is its header."""

    def __init__(self, path: Path) -> None:
        """GraphError: it would become too much."""
        self.path, self.row = path, 0
        with opened(path) as raw:
            file, self.most = parquet_file(path, raw)
            self.header: list[str] = list(file.schema_arrow.names)
            self.rows: int = file.metadata.num_rows

    def assume_less(self) -> bool:
        """Nothing was assumed."""
        return False

    def batches(self, texts: Sequence[int], numbers: Sequence[int]) -> Iterator[list[Any]]:
        """The columns `texts`, as `text_of` has them, and then `numbers`, as they are."""
        with opened(self.path) as raw:
            file, _ = parquet_file(self.path, raw)
            names = [self.header[i] for i in (*texts, *numbers)]
            if len({*names}) < len(names):
                raise Slow
            rows = max(CELLS // max(len(names), 1), LEAST)
            for batch in file.iter_batches(min(rows, self.most), columns=names, use_threads=False):
                place = {name: i for i, name in enumerate(batch.schema.names)}
                held = batch.columns
                columns = [held[place[name]] for name in names]
                columns[: len(texts)] = map(text_of, columns[: len(texts)])
                yield columns


def text_of(values: Any) -> Any:
    """A column of ids, labels or words as strings, "" where there is none, or as integers [n]; 3.0
    is 3. Slow: of another kind."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = values.type
    if pa.types.is_dictionary(kind):
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


def is_text(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
