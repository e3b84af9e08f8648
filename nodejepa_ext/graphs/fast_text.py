"""Text tables by columns: where they begin, how their cells are parted, and their batches."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nodejepa_ext.graphs.archives import Array, opened, refuse_large
from nodejepa_ext.graphs.arrow import Slow
from nodejepa_ext.graphs.rows import delimiter

HEAD = 1 << 20  # bytes in which comments and the header end
BLOCK = 1 << 24  # bytes of text at a time; no row may be longer


class Head(NamedTuple):
    """Of a file: its first row, where the next begins, and how its cells are parted."""

    header: list[str]
    start: int
    mark: str


def head_of(path: Path) -> Head:
    """Slow: it is longer than HEAD, quoted, or of another kind."""
    with opened(path) as file:
        raw = file.read(HEAD)
    start = len(codecs.BOM_UTF8) if raw.startswith(codecs.BOM_UTF8) else 0
    while True:
        end = raw.find(b"\n", start)
        if end < 0:
            raise Slow
        line = raw[start : end + 1].decode()
        if line.strip() and not line.startswith(("#", "%")):
            break
        start = end + 1
    mark = delimiter(path, line)
    if "{" in line or "\r" in line[:-2] or "\0" in line or line.count('"') % 2:
        raise Slow
    if mark:
        (cells,) = csv.reader([line], delimiter=mark, skipinitialspace=True, strict=True)
    else:
        cells = line.split()
        if len(line.split(" ")) != len(cells) or '"' in line:
            raise Slow  # runs of blanks
    return Head([cell.strip() for cell in cells], start, mark or " ")


def check_quotes(path: Path, head: Head) -> None:
    """Slow: a quote stands elsewhere than around a whole cell of one line, which pyarrow takes more
    kindly than the readers of rows."""
    with opened(path) as file:
        file.seek(head.start)
        while chunk := file.read(BLOCK):
            if b'"' in chunk:
                break
        else:
            return
    data: Array = np.memmap(path, np.uint8, "r", head.start)
    at = np.flatnonzero(data == ord('"'))
    if len(at) % 2:
        raise Slow
    first, last = at[::2], at[1::2]
    ends = [ord(head.mark), ord("\n"), ord("\r")]
    opens = (first == 0) | np.isin(data[first - 1], ends)
    closes = (last == len(data) - 1) | np.isin(data[np.minimum(last + 1, len(data) - 1)], ends)
    lines = np.flatnonzero(data == ord("\n"))
    whole = np.searchsorted(lines, first) == np.searchsorted(lines, last)
    if not (opens & closes & whole).all():
        raise Slow


@contextmanager
def batches(path: Path, head: Head, skip: bool, types: dict[int, Any]) -> Iterator[Any]:
    """Record batches of a text file; types: of columns by number, others are left out; skip: the
    first row."""
    import pyarrow as pa
    from pyarrow import csv as columns

    refuse_large(str(path), path.stat().st_size)
    check_quotes(path, head)
    names = [str(i) for i in range(len(head.header))]
    with opened(path) as file:
        file.seek(head.start)
        if skip:
            file.readline()
        reader = columns.open_csv(
            pa.PythonFile(file, mode="r"),
            columns.ReadOptions(use_threads=False, block_size=BLOCK, column_names=names),
            columns.ParseOptions(delimiter=head.mark),
            columns.ConvertOptions(
                column_types={str(i): kind for i, kind in types.items()},
                include_columns=[str(i) for i in types],
                null_values=[],
                strings_can_be_null=False,
            ),
        )
        yield reader
