"""Tables as rows: text of any dialect, parquet, networkx, a row at a time.

Apart from tables.py, which says what the cells of a row mean: here a file is opened without trust
and never held as text. Only regular files are read, lines and unpacked sizes have limits.
"""

from __future__ import annotations

import csv
import gzip
import io
import itertools
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from nodejepa_ext.graphs.archives import (
    BOMB,
    GraphError,
    distrust,
    opened,
    refuse_large,
    refuse_unpacked,
)
from nodejepa_ext.graphs.cells import number
from nodejepa_ext.graphs.columns import NAMES, SPLIT

Rows = Iterator[tuple[int, list[Any]]]  # the row's number, its cells; the first may be a header

TEXTS = (".csv", ".tsv", ".txt", ".edges", ".edgelist")
SUFFIXES = (*TEXTS, ".parquet", *(f"{suffix}.gz" for suffix in TEXTS))
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
    except (EOFError, OSError, gzip.BadGzipFile) as error:
        raise GraphError(f"{path}, after row {number}: {error}, expected a whole file") from None


@contextmanager
def text_of(path: Path, file: BinaryIO) -> Iterator[TextIO]:
    """The file as text, unpacked where it is packed."""
    refuse_large(str(path), path.stat().st_size)
    raw: Any = file
    if suffix_of(path).endswith(".gz"):
        measured(path, file)
        raw = gzip.GzipFile(fileobj=file)
    with io.TextIOWrapper(raw, "utf-8-sig", newline="") as text:
        yield text


def measured(path: Path, file: BinaryIO) -> None:
    """GraphError: it unpacks to too much. Unpacked once for that, far faster than it is parsed."""
    done, packed = 0, path.stat().st_size
    least, ratio = BOMB
    with gzip.GzipFile(fileobj=file) as unpacked:
        while chunk := unpacked.read(1 << 20):
            done += len(chunk)
            if done > max(least, ratio * packed):
                refuse_unpacked(str(path), done, packed)
    refuse_large(str(path), done)
    file.seek(0)


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
    mark = max(",;\t", key=first.count)
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
    """The header as row 0, then row 1 and so on."""
    from pyarrow import parquet

    with opened(path) as raw, distrust(str(path), "a whole parquet file"):
        file = parquet.ParquetFile(raw)
        meta = file.metadata
        cells = meta.num_rows * meta.num_columns
        refuse_unpacked(str(path), 4 * cells, path.stat().st_size)
        groups = range(meta.num_row_groups)
        refuse_large(str(path), sum(meta.row_group(i).total_byte_size for i in groups))
        yield 0, file.schema_arrow.names
        batches = (batch.to_pydict().values() for batch in file.iter_batches(8192))
        rows = itertools.chain.from_iterable(zip(*b, strict=True) for b in batches)
        yield from enumerate(map(list, rows), 1)


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
