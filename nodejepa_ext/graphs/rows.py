"""Tables as rows: text of any dialect, parquet, networkx, a row at a time.

Apart from tables.py, which says what the cells of a row mean: here a file is opened without trust
and never held as text. Only regular files are read, lines and unpacked sizes have limits.
"""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import re
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from nodejepa_ext.graphs.archives import (
    GraphError,
    distrust,
    opened,
    refuse_large,
    refuse_unpacked,
)
from nodejepa_ext.graphs.cells import LONGEST, number
from nodejepa_ext.graphs.columns import NAMES, SPLIT

Rows = Iterator[tuple[int, list[Any]]]  # the row's number, its cells; the first may be a header

TEXTS = (".csv", ".tsv", ".txt", ".edges", ".edgelist")
SUFFIXES = (*TEXTS, ".parquet", *(f"{suffix}.gz" for suffix in TEXTS))
ROWS, FEW = 1 << 14, 16  # of a parquet table at a time
LONGEST_LINE = 1 << 26  # characters: a row of a million features is shorter


def suffix_of(path: Path) -> str:
    """Of a table's name, with .gz; "" where it is none."""
    name = path.name.lower()
    return max((s for s in SUFFIXES if name.endswith(s)), key=len, default="")


def rows_of(path: Path) -> Generator[tuple[int, list[Any]]]:
    """The rows of a text or parquet file; leading lines of # or % and empty lines are left out.
    GraphError: it is no regular file, no text, cut off, or too much."""
    if suffix_of(path) == ".parquet":
        yield from parquet_rows(path)
        return
    number = 0
    try:
        with opened(path) as file, text_of(path, file) as text:
            for number, cells in text_rows(path, text):
                yield number, cells
    except UnicodeDecodeError:
        raise GraphError(f"{path}, after row {number}: not UTF-8 text") from None
    except csv.Error as error:
        raise GraphError(f"{path}, after row {number}: {error}") from None
    except (EOFError, OSError, zlib.error) as error:
        raise GraphError(f"{path}, after row {number}: {error}, expected a whole file") from None


class Unpacked(gzip.GzipFile):
    """A gzip file's bytes. GraphError: they are too many."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        super().__init__(fileobj=file)
        self.path, self.packed, self.done = path, path.stat().st_size, 0

    def read(self, size: int | None = -1) -> bytes:
        return self.counted(super().read(size))

    def read1(self, size: int = -1) -> bytes:
        return self.counted(super().read1(size))

    def counted(self, chunk: bytes) -> bytes:
        self.done += len(chunk)
        refuse_unpacked(str(self.path), self.done, self.packed)
        return chunk


def unpacked(path: Path, file: BinaryIO) -> Any:
    """The file, or what is packed in it."""
    return Unpacked(path, file) if suffix_of(path).endswith(".gz") else file


@contextmanager
def text_of(path: Path, file: BinaryIO) -> Iterator[TextIO]:
    """The file as text, unpacked where it is packed."""
    refuse_large(str(path), path.stat().st_size)
    with io.TextIOWrapper(unpacked(path, file), "utf-8-sig", newline="") as text:
        yield text


def lines_of(path: Path, text: TextIO) -> Iterator[str]:
    """GraphError: a line is too long."""
    number = 0
    while line := text.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            wanted = f"at most {LONGEST_LINE} characters"
            raise GraphError(f"{path}, line {number}: longer, expected {wanted}")
        yield line


def text_rows(path: Path, text: TextIO) -> Rows:
    """By commas, semicolons, tabs or blanks, as the first line has them."""
    lines = lines_of(path, text)
    skipped, first = 0, next(lines, "")
    while first.startswith(("#", "%")) or first and not first.strip():
        skipped, first = skipped + 1, next(lines, "")
    again = itertools.chain([first], lines)
    if mark := delimiter(path, first):
        reader = csv.reader(again, delimiter=mark, skipinitialspace=True, strict=True)
        rows: Rows = ((reader.line_num, cells) for cells in reader)
    else:
        rows = ((i, blanks(line)) for i, line in enumerate(again, 1))
    yield from ((skipped + line, cells) for line, cells in rows if cells)


def delimiter(path: Path, first: str) -> str:
    """Of cells; "" for blanks."""
    if suffix_of(path).startswith(".tsv"):
        return "\t" if "\t" in first else ""
    braces = first.find("{")
    first = first if braces < 0 else first[:braces]  # networkx writes a dict at a line's end
    bare = re.sub(r'"[^"]*"', "", first)  # what is quoted separates nothing
    mark = max("\t;,", key=bare.count)  # of as many commas, which names have, the other one
    return mark if mark in first else ""


def blanks(line: str) -> list[str]:
    """The cells of a line; networkx's {'weight': 2} is its number, and {} is nothing."""
    if "{" not in line:
        return line.split()
    cells, _, attributes = line.partition("{")
    pairs = dict(
        pair.split(":", 1) for pair in attributes.strip(" }\n\r").split(",") if ":" in pair
    )
    named = {key.strip(" '\""): value.strip(" '\"") for key, value in pairs.items()}
    weight = named.get("weight")
    return [*cells.split(), *([] if weight is None else [weight])]


def parquet_rows(path: Path) -> Rows:
    """The header as row 0, then row 1 and so on; of long texts the beginning."""
    with opened(path) as raw, distrust(str(path), "a whole parquet file"):
        table = ParquetFile(path, raw)
        yield 0, table.header
        columns = (shortened(batch).to_pydict().values() for batch in table.batches())
        rows = itertools.chain.from_iterable(zip(*c, strict=True) for c in columns)
        yield from enumerate(map(list, rows), 1)


def shortened(batch: Any) -> Any:
    """A batch with no more of a text, which may be in all its rows, than tells that it is too
    long."""
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = []
    for values in batch.columns:
        if pa.types.is_dictionary(values.type) and is_text(values.type.value_type):
            names = pc.utf8_slice_codeunits(values.dictionary, 0, LONGEST + 1)
            values = pa.DictionaryArray.from_arrays(values.indices, names)
        columns.append(values)
    return pa.RecordBatch.from_arrays(columns, batch.schema.names)


def is_text(kind: Any) -> bool:
    """Whether a type of pyarrow's is one of strings."""
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


class ParquetFile:
    """Opened, with texts by their codes, so that one repeated is held once."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        """GraphError: it would become too much."""
        from pyarrow import parquet

        meta = parquet.read_metadata(file)
        groups = [meta.row_group(i) for i in range(meta.num_row_groups)]
        columns = [group.column(i) for group in groups for i in range(group.num_columns)]
        cells = max(meta.num_rows * meta.num_columns, sum(c.num_values for c in columns))
        refuse_unpacked(str(path), 4 * cells, path.stat().st_size)
        refuse_large(str(path), sum(c.total_uncompressed_size for c in columns))
        # a text may hold all of the one before: a page becomes as many pages as it has rows
        self.shared = {c.path_in_schema for c in columns if "DELTA_BYTE_ARRAY" in c.encodings}
        leaves = [meta.schema.column(i) for i in range(meta.num_columns)]
        texts = {leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"} - self.shared
        file.seek(0)
        self.path = path
        self.file = parquet.ParquetFile(file, read_dictionary=sorted(texts))
        self.header: list[str] = list(self.file.schema_arrow.names)
        self.rows: int = meta.num_rows

    def batches(self, names: list[str] | None = None, most: int = ROWS) -> Iterator[Any]:
        """Of at most so many rows, of these columns. GraphError: texts become too many bytes."""
        most = min(most, FEW) if self.shared else most
        done, packed = 0, self.path.stat().st_size
        for batch in self.file.iter_batches(most, columns=names, use_threads=False):
            if self.shared:
                done += batch.nbytes
                refuse_unpacked(str(self.path), done, packed)
            yield batch


def networkx_rows(graph: Any, notices: list[str]) -> tuple[Rows, Rows]:
    """The edges and the nodes of a networkx graph as tables: attributes are columns, a sequence of
    numbers is as many features; the nodes keep their order. Attributes of text, which may be
    labels, are left out, and said."""
    links = list(graph.edges(data="weight"))
    weighted = any(weight is not None for *_, weight in links)
    edges: list[list[Any]] = [["source", "target", "weight"][: 2 + weighted]]
    for source, target, weight in links:
        edges.append([source, target, *([1 if weight is None else weight] if weighted else [])])
    keys = list(dict.fromkeys(key for _, values in graph.nodes(data=True) for key in values))
    words = [key for key in keys if wordy(graph, key)]
    if words:
        text = "text, which may be labels, is left out; an attribute label is read as the class"
        notices.append(f"attributes {', '.join(map(repr, words))} of the nodes: {text}")
    keys = [key for key in keys if key not in words]
    nodes = [["id", *keys]]
    for node, values in graph.nodes(data=True):
        cells = (values.get(key) for key in keys)
        plain = (c.tolist() if hasattr(c, "tolist") else c for c in cells)
        nodes.append([node, *(list(c) if isinstance(c, tuple) else c for c in plain)])
    return enumerate(edges), enumerate(nodes)


def wordy(graph: Any, key: Any) -> bool:
    """Whether an attribute of nodes is text that is no number, and of no known role."""
    roles = ("label", "id", "train_mask", "val_mask", "test_mask")
    known = {name for role in roles for name in NAMES[role]}
    if str(key).lower() in known or SPLIT.fullmatch(str(key).lower()):
        return False
    held = [values[key] for _, values in graph.nodes(data=True) if key in values]
    return any(isinstance(value, str) and number(value) is None for value in held)
