"""Archives of arrays (.npz, .pt) -> the arrays of one format, read without trust.

Apart from graph.py, which says what a sound graph is, because an archive may lie about its sizes
and ask to run code: here no size is believed before it is checked, and nothing is unpickled. All
readers return `Arrays` by the names of the project's own format: edge_index [2, E], edge_weight
[E], x [N, F] or x_data, x_indices, x_indptr, x_shape (CSR), y [N], train_mask, val_mask, test_mask
[N] or [N, k], node_id [N]; what they hold is for graph.py to judge.
"""

from __future__ import annotations

import io
import math
import os
import re
import reprlib
import stat
import sys
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from nodejepa_ext.workers.memory import room

Array = np.ndarray[Any, np.dtype[Any]]
Arrays = dict[str, Array]

MASKS = ("train_mask", "val_mask", "test_mask")
CSR = ("x_data", "x_indices", "x_indptr", "x_shape")
FORMAT = ("edge_index", "edge_weight", "x", *CSR, "y", *MASKS, "node_id")
SCIPY = ("format", "shape", "data", "row", "col", "indices", "indptr", "_is_array")
MOST_PROBLEMS = 20
ROW = re.compile(r", row \d+")
OTHERS = {  # layout -> its arrays' names -> ours; SciPy's parts of the adjacency keep theirs
    "Shchur et al. 2018": {
        "adj_data": "data",
        "adj_indices": "indices",
        "adj_indptr": "indptr",
        "adj_shape": "shape",
        "attr_data": "x_data",
        "attr_indices": "x_indices",
        "attr_indptr": "x_indptr",
        "attr_shape": "x_shape",
        "attr_matrix": "x",
        "labels": "y",
    },
    "Platonov et al. 2023": {
        "node_features": "x",
        "node_labels": "y",
        "edges": "edge_index",
        "train_masks": "train_mask",
        "val_masks": "val_mask",
        "test_masks": "test_mask",
    },
}
LAYOUTS = {  # what tells a layout
    "Shchur et al. 2018": {"adj_indices", "adj_indptr", "adj_shape"},
    "Platonov et al. 2023": {"node_features", "edges"},
}
NO_MEMORY = "can't allocate memory"  # as torch has it in a RuntimeError
BOMB = 256 << 20, 200  # bytes unpacked, times the packed size: beyond both, no graph


class GraphError(Exception):
    """What is wrong with a graph, in one sentence: the file, the row (1-based, its line in a text
    file) and column, the value, what was expected. `problems`: one sentence for each found."""

    def __init__(self, *problems: str) -> None:
        super().__init__(problems[0])
        self.problems = problems


class Problems:
    """Sentences about bad cells, raised together: one a kind, that is a column and what was
    expected there, with how many rows have it; no more are looked for after the 20th kind."""

    def __init__(self) -> None:
        self.first: dict[str, str] = {}
        self.counts: Counter[str] = Counter()

    def __bool__(self) -> bool:
        return bool(self.first)

    def add(self, place: str, value: Any, expected: str, count: int = 1) -> None:
        """Of `count` rows, the first of which is at place. GraphError: there are enough."""
        kind = f"{ROW.sub('', place)}: {expected}"
        self.first.setdefault(kind, f"{place}: {reprlib.repr(value)}, expected {expected}")
        self.counts[kind] += count
        if len(self.first) == MOST_PROBLEMS:
            self.check()

    def check(self) -> None:
        if self.first:
            raise GraphError(*(self.sentence(kind) for kind in self.first))

    def sentence(self, kind: str) -> str:
        if self.counts[kind] == 1:
            return self.first[kind]
        return f"{self.first[kind]}; {self.counts[kind]} rows are like it"


def refuse_large(place: str, size: int) -> None:
    if size > (most := room()):
        text = f"{place}: {size >> 20} MiB in memory, expected at most {most >> 20}, half of what"
        raise GraphError(f"{text} is free here")


@contextmanager
def distrust(place: str, expected: str) -> Iterator[None]:
    """A broken or hostile file may raise anything in here: it becomes a GraphError, but for
    MemoryError."""
    try:
        yield
    except (GraphError, MemoryError):
        raise
    except Exception as error:
        if NO_MEMORY in str(error):
            raise MemoryError from None
        asked = re.search(r"GLOBAL (\S+)", str(error))  # torch names what it refused to import
        why = f"it asks for {asked[1]}" if asked else reprlib.repr(str(error))
        raise GraphError(f"{place}: {why}, expected {expected}") from None


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """To read. GraphError: it is a pipe, a socket, a device or a folder, which might never end, or
    cannot be opened."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise GraphError(f"{path}: {error.strerror}, expected a file to read") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise GraphError(f"{path}: no regular file, expected one to read")
    with os.fdopen(descriptor, "rb") as file:
        yield file


def refuse_bomb(path: Path, archive: zipfile.ZipFile) -> None:
    """By the sizes it declares; zipfile never unpacks more of a member than that."""
    size, packed = sum(info.file_size for info in archive.infolist()), path.stat().st_size
    refuse_large(str(path), size)
    least, ratio = BOMB
    if size > max(least, ratio * packed):
        text = f"{path}: {packed} bytes unpack to {size}, expected at most {ratio} times as many"
        raise GraphError(text)


def read_npz(path: Path, notices: list[str]) -> Arrays:
    """The arrays of the format, or of scipy.sparse.save_npz, turned into it; others are left."""
    with opened(path) as file, distrust(str(path), "a whole .npz file"):
        archive = zipfile.ZipFile(file)
        refuse_bomb(path, archive)
        layout: str | None = None
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        known: tuple[str, ...] = FORMAT
        if "format" in names:
            known = SCIPY
        elif layout := next((names_ for names_ in LAYOUTS if LAYOUTS[names_] <= {*names}), None):
            known = tuple(OTHERS[layout])
        if other := sorted(set(names) - {*known}):
            notices.append(f"left out, no part of the format: {', '.join(map(repr, other))}")
        raw = {name: archive.read(f"{name}.npy") for name in names if name in known}
    arrays = {name: read_npy(f"{path}, {name}", member) for name, member in raw.items()}
    if layout:
        notices.append(f"arrays in the layout of {layout}")
        return renamed(str(path), arrays, OTHERS[layout], notices)
    return adjacency(str(path), arrays, notices) if known is SCIPY else arrays


def renamed(place: str, a: Arrays, names: dict[str, str], notices: list[str]) -> Arrays:
    """The arrays of another layout by the names of ours."""
    arrays = {names[name]: array for name, array in a.items()}
    if "indices" in arrays:
        parts: Arrays = {}
        for key in ("data", "indices", "indptr", "shape"):
            if key in arrays:
                parts[str(key)] = arrays.pop(key)
        parts["format"] = np.array("csr")
        parts.setdefault("data", np.ones(parts["indices"].size, np.float32))
        arrays |= adjacency(place, parts, notices)
    if arrays.get("edge_index", np.empty(0)).ndim == 2 and arrays["edge_index"].shape[0] != 2:
        arrays["edge_index"] = arrays["edge_index"].T  # [E, 2]
    for mask in MASKS:
        if mask in arrays and arrays[mask].ndim == 2:
            arrays[mask] = arrays[mask].T  # [k, N]
    return arrays


def read_npy(place: str, raw: bytes) -> Array:
    """The array in a .npy file. GraphError: Python objects, or a header that the bytes belie."""
    stream = io.BytesIO(raw)
    with distrust(place, "an array of numpy's"):
        read = np.lib.format.read_array_header_2_0
        if np.lib.format.read_magic(stream) == (1, 0):
            read = np.lib.format.read_array_header_1_0
        try:
            shape, fortran, dtype = read(stream)
        except MemoryError:  # of Python's parser, by brackets within brackets
            raise ValueError("a header too deep") from None
    held, size = len(raw) - stream.tell(), math.prod(shape) * dtype.itemsize
    if dtype.hasobject:
        raise GraphError(f"{place}: Python objects, never unpickled, expected numbers or strings")
    if dtype.kind not in "biufUS" or not dtype.itemsize:
        raise GraphError(f"{place}: {dtype}, expected numbers or strings")
    if held != size or len(shape) > 2 or not all(0 <= side < 2**48 for side in shape):
        raise GraphError(f"{place}: {held} bytes, expected {size} for {dtype} {shape}")
    array = np.ndarray(shape, dtype, raw, stream.tell(), order="F" if fortran else "C")
    array = array.astype(dtype.newbyteorder("="))
    if dtype.kind == "U" and array.ravel().view(np.uint32).max(initial=0) > sys.maxunicode:
        raise GraphError(f"{place}: what is no text, expected Unicode")
    return array


def check_csr(place: str, indices: Array, indptr: Array, shape: Sequence[int]) -> None:
    """GraphError: these are not the indices [nnz] and indptr [n + 1] of an [n, m] CSR matrix."""
    if {indices.dtype.kind, indptr.dtype.kind} - {"i", "u"} or indices.ndim != 1:
        text = f"{place}: indices {indices.dtype} {indices.shape}, indptr {indptr.dtype}"
        raise GraphError(f"{text}, expected integers [nnz]")
    n, m = shape
    if indptr.shape != (n + 1,) or indptr[0] != 0 or indptr[-1] != len(indices):
        text = f"{place}: indptr {reprlib.repr(indptr.tolist())}, expected {n + 1} numbers"
        raise GraphError(f"{text} from 0 to {len(indices)}")
    if (indptr[1:] < indptr[:-1]).any():
        raise GraphError(f"{place}: indptr falls, expected it never to")
    if len(indices) and not (indices.min() >= 0 and indices.max() < m):
        bad = indices[(indices < 0) | (indices >= m)][0]
        raise GraphError(f"{place}: index {bad}, expected 0 to {m - 1}")


def adjacency(place: str, a: Arrays, notices: list[str]) -> Arrays:
    """The parts of a sparse [N, N] matrix of SciPy's, coo, csr or csc -> edges and weights."""
    kind = a["format"].tolist()
    kind = kind.decode("ascii", "replace") if isinstance(kind, bytes) else kind
    keys = ("row", "col") if kind == "coo" else ("indices", "indptr")
    if kind not in ("coo", "csr", "csc") or {*keys, "shape", "data"} - a.keys():
        raise GraphError(f"{place}: a sparse matrix {kind!r}, expected a whole coo, csr or csc")
    first, second, shape, data = (a[key] for key in (*keys, "shape", "data"))
    if shape.dtype.kind not in "iu" or shape.shape != (2,) or not 0 <= shape[0] == shape[1]:
        raise GraphError(f"{place}: a matrix of shape {shape.tolist()}, expected [N, N]")
    n = int(shape[0])
    refuse_large(f"{place}: {n} nodes", 64 * n)
    if kind != "coo":
        check_csr(place, first, second, (n, n))
        ends = second.astype(np.int64)
        first, second = np.repeat(np.arange(n), ends[1:] - ends[:-1]), first
    if data.dtype.kind not in "biuf" or not first.shape == second.shape == data.shape != ():
        text = f"{place}: data {data.dtype} {data.shape} of places {second.shape}"
        raise GraphError(f"{text}, expected as many numbers")
    edge_index, filled = np.array([first, second]), data != 0
    if zeros := int((~filled).sum()):
        notices.append(f"{zeros} zeros kept in the sparse matrix are no edges")
        edge_index, data = edge_index[:, filled], data[filled]
    arrays = {"edge_index": edge_index, "node_id": np.arange(n)}
    return arrays if (data == 1).all() else arrays | {"edge_weight": data}


def refuse_unpacked(place: str, size: int, packed: int) -> None:
    """Of an array that would take `size` bytes, from a file of `packed`: strides of 0, or runs of
    one value, make much of little."""
    refuse_large(place, size)
    least, ratio = BOMB
    if size > max(least, ratio * packed):
        text = f"{place}: {packed} bytes become {size}, expected at most {ratio} times as many"
        raise GraphError(text)
