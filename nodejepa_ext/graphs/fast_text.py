"""Text tables by columns: where they begin, how their cells are parted, and their batches.

pyarrow reads the same as the readers of rows of what passes `Checked`, and of nothing else: it
takes misplaced quotes kindly and knows no runs of blanks.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nodejepa_ext.graphs.archives import opened, refuse_large
from nodejepa_ext.graphs.arrow import Slow
from nodejepa_ext.graphs.rows import LONGEST_LINE, blanks, delimiter, unpacked

BLOCK = 1 << 24  # bytes of text at a time; comments and the header end there, no row is longer
WIDE = 10_000  # columns, from which on it is LONGEST_LINE, as a batch costs a little a column
NEWLINE, RETURN, QUOTE = b'\n\r"'
ODD_ASCII = b'\0"\x0b\x0c\x1c\x1d\x1e\x1f'  # beside blanks, where Python parts cells, or NUL
ODD = re.compile(rb"\xc2[\x85\xa0]|\xe1\x9a\x80|\xe2[\x80\x81]|\xe3\x80")
WEIGHT = b"{'weight': "  # as networkx writes it


class Again(Exception):
    """To be read once more, with another assumption."""


class Text:
    """The first row of a text table, and the others by columns."""

    def __init__(self, path: Path) -> None:
        """Slow: the first row is longer than BLOCK, or of an unusual kind."""
        self.path, self.row = path, 1
        self.plain = True  # columns of numbers hold no words of truth
        self.newlines = False  # within quotes
        with opened(path) as file:
            raw = unpacked(path, file).read(BLOCK)
        self.start = len(codecs.BOM_UTF8) if raw.startswith(codecs.BOM_UTF8) else 0
        line = "#"
        while line.startswith(("#", "%")) or not line.strip():
            end = raw.find(b"\n", self.start) + 1
            if not end:
                raise Slow
            line = raw[self.start : end].decode()
            self.start = end
        if "\r" in line[:-2] or "\0" in line or line.count('"') % 2:
            raise Slow
        self.mark = delimiter(path, line)
        if self.mark:
            (cells,) = csv.reader([line], delimiter=self.mark, skipinitialspace=True, strict=True)
        else:
            cells = blanks(line)
        self.header = [cell.strip() for cell in cells]

    def assume_less(self) -> bool:
        """After Again: whether there is anything left to assume."""
        more, self.plain = self.plain, False
        return more

    def batches(self, texts: Sequence[int], numbers: Sequence[int]) -> Iterator[list[Any]]:
        """Of the rows after the first, the columns `texts`, strings, and then `numbers`, null where
        a cell is empty. Again: not as assumed. Slow: not plainly sound."""
        import pyarrow as pa

        kinds = {i: pa.string() for i in texts}
        kinds |= {i: pa.float64() if self.plain else pa.string() for i in numbers}
        with opened(self.path) as file:
            refuse_large(str(self.path), self.path.stat().st_size)
            stream = Checked(unpacked(self.path, file), self)
            try:
                for batch in self.reader(stream, kinds):
                    columns = batch.columns
                    if not self.plain:
                        columns[len(texts) :] = map(numbers_of, columns[len(texts) :])
                    yield columns
            except pa.ArrowInvalid:
                raise Again from None

    def reader(self, stream: Checked, kinds: dict[int, Any]) -> Any:
        import pyarrow as pa
        from pyarrow import csv as tables

        read = tables.ReadOptions(
            use_threads=False,
            block_size=BLOCK if len(self.header) < WIDE else LONGEST_LINE,
            column_names=[str(i) for i in range(len(self.header))],
        )
        parse = tables.ParseOptions(
            delimiter=self.mark or " ",
            quote_char='"' if self.mark else False,
            newlines_in_values=self.newlines,
        )
        convert = tables.ConvertOptions(
            column_types={str(i): kind for i, kind in kinds.items()},
            include_columns=[str(i) for i in kinds],
            null_values=[""],
            strings_can_be_null=False,
        )
        return tables.open_csv(pa.PythonFile(stream, mode="r"), read, parse, convert)


def numbers_of(values: Any) -> Any:
    """Strings as float64, words of truth as 1 and 0, null where there is none. ArrowInvalid: what
    is no number."""
    import pyarrow as pa
    import pyarrow.compute as pc

    words = pc.utf8_lower(pc.utf8_trim_whitespace(values))
    for word, number in (("", None), ("true", "1"), ("false", "0")):
        words = pc.if_else(pc.equal(words, word), pa.scalar(number, pa.string()), words)
    return pc.cast(words, pa.float64())


class Checked:
    """The bytes of a table after its first row, as pyarrow asks for them."""

    def __init__(self, file: Any, table: Text) -> None:
        self.file, self.table = file, table
        self.ends = [ord(table.mark or " "), NEWLINE, RETURN, QUOTE]
        self.inside = False  # a quoted cell
        self.tail = b"\n\n"  # the two bytes before; of the latter is not known what follows
        self.kept = b""  # the beginning of a line
        self.closed = False
        file.read(table.start)

    def close(self) -> None:
        self.closed = True

    def read(self, size: int) -> bytes:
        """Slow: it is not what pyarrow reads as the readers of rows do."""
        if not self.table.mark:
            return self.parted(size)
        chunk: bytes = self.file.read(size)
        if b"\0" in chunk:
            raise Slow
        if self.inside or b'"' in chunk or self.tail.endswith(b'"'):
            self.check_quotes(chunk)
        self.tail = (self.tail + chunk)[-2:]
        return chunk

    def check_quotes(self, chunk: bytes) -> None:
        """A quote opens a cell, closes it, or is one of two within it. Again: a cell has several
        lines."""
        data = np.frombuffer(self.tail + (chunk or b"\n"), np.uint8)
        at = 1 + np.flatnonzero(data[1:-1] == QUOTE)
        closing = (np.arange(len(at)) + self.inside) % 2 == 1
        beside = np.where(closing, data[at + 1], data[at - 1])
        if not np.isin(beside, self.ends).all():
            raise Slow
        if not self.table.newlines:
            lines = 1 + np.flatnonzero((data[1:-1] == NEWLINE) | (data[1:-1] == RETURN))
            if ((np.searchsorted(at, lines) + self.inside) % 2).any():
                self.table.newlines = True
                raise Again
        self.inside = bool((self.inside + len(at)) % 2)
        if self.inside and not chunk:
            raise Slow

    def parted(self, size: int) -> bytes:
        """Whole lines, their cells parted by one blank each."""
        while True:
            raw: bytes = self.file.read(size - len(self.kept))
            lines = self.kept + raw
            end = lines.rfind(b"\n") + 1 if raw else len(lines)
            if raw and not end and len(lines) == size:
                raise Slow
            self.kept = lines[end:]
            found = by_one_blank(lines[:end])
            if found or not raw:
                return found


def by_one_blank(lines: bytes) -> bytes:
    """Slow: other blanks than spaces and tabs, quotes, or dicts that hold more than a weight."""
    if b"{" in lines:
        lines = without_dicts(lines)
    odd = len(lines.translate(None, ODD_ASCII)) < len(lines)
    if odd or not lines.isascii() and ODD.search(lines):
        raise Slow
    lines = lines.replace(b"\r\n", b"\n").replace(b"\t", b" ")
    while b"  " in lines:
        lines = lines.replace(b"  ", b" ")
    return lines.replace(b" \n", b"\n").replace(b"\n ", b"\n").strip(b" ")


def without_dicts(lines: bytes) -> bytes:
    """networkx's {} is nothing, its {'weight': 2} a number."""
    dicts, weights = lines.count(b"{"), lines.count(WEIGHT)
    ended = lines.count(b"}\n") + lines.count(b"}\r\n") + lines.endswith(b"}")
    plain = dicts == ended == lines.count(b"}") == weights + lines.count(b"{}")
    if not plain or lines.count(b":") != weights or b"," in lines:
        raise Slow
    return lines.replace(b"{}", b"").replace(WEIGHT, b"").replace(b"}", b"")
