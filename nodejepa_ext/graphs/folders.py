"""A sound graph as a folder of .npy files, which is mapped into memory and not read into it.

Apart from archives.py, whose files are unpacked whole: here features stay on disk until they are
looked at. Beside the arrays lies graph.json, written last, with each file's size, time of change
and SHA-256. Shapes: N nodes, E undirected edges, F features, C classes, k splits; arrays are

    x [N, F] float32; indptr [N + 1] int64 and indices [2E] int32, or int64 from 2^31 nodes, both
    directions of every edge, ascending; edge_weight [2E] float32; y [N] int64, -1 for no class;
    classes [C]; node_id [N]; train_mask, val_mask, test_mask [N] or [N, k] bool.

Whether a file is still what was written: its size must be the one written. Where its time of change
is the one written too, it is taken for the same, without hashing gigabytes at every opening; where
not, as after a copy that does not keep times, it is hashed. So a file that was changed, its size
kept and its time set back on purpose, is not found out. What would make a reader fail, such as an
index out of range, is looked for each time whatever the hashes say.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import math
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from scipy import sparse

from nodejepa_ext.files import TEMPORARY, atomic, check_disk, sweep
from nodejepa_ext.graphs.archives import (
    MASKS,
    Array,
    Arrays,
    GraphError,
    check_csr,
    distrust,
    opened,
    refuse_large,
)
from nodejepa_ext.graphs.arrays import blocks, identifiers, refuse
from nodejepa_ext.records import Damaged, Each, read_json

MANIFEST, FORMAT, VERSION = "graph.json", "nodejepa-graph", 1
KINDS = {  # of each array: dtypes, or kinds of them, and numbers of dimensions
    "x": ("<f4", (2,)),
    "indptr": ("<i8", (1,)),
    "indices": ("<i4 <i8", (1,)),
    "edge_weight": ("<f4", (1,)),
    "y": ("<i8", (1,)),
    "classes": ("i u U", (1,)),
    "node_id": ("i u U", (1,)),
    **dict.fromkeys(MASKS, ("|b1", (1, 2))),
}
MAPPED = {"x", "edge_weight"}  # the others are copied into memory
OWN = {f"{name}.npy" for name in KINDS} | {MANIFEST}
WHOLE, BEGUN = "whole", "converting"
ENTRY = {"sha256": str, "bytes": int, "mtime_ns": int, "dtype": str, "shape": [int]}
SHAPE = {"format": str, "version": int, "status": str, "nodes?": int, "files?": Each(ENTRY)}
LARGEST = 1 << 20  # bytes of graph.json
PIECE = 1 << 24  # bytes written, or hashed, at a time
HEADER = 1 << 12  # bytes, more than a file has besides its array and a system per file


def is_folder(path: str | Path) -> bool:
    """Whether a destination of this name is a folder: it ends in /, is one, or has no suffix."""
    return str(path).endswith(os.sep) or Path(path).is_dir() or not Path(path).suffix


def manifest(folder: Path) -> dict[str, Any]:
    """graph.json of a folder of this format. Damaged: it is another's. OSError: there is none."""
    path = folder / MANIFEST
    found: dict[str, Any] = read_json(path, SHAPE, LARGEST)
    if found["format"] != FORMAT:
        raise Damaged(f"{path}, format = {found['format'][:100]!r}: expected {FORMAT!r}")
    if found["version"] != VERSION:
        raise Damaged(f"{path}, version = {found['version']}: expected {VERSION}")
    if found["status"] not in (WHOLE, BEGUN):
        raise Damaged(f"{path}, status = {found['status'][:100]!r}: expected {WHOLE!r}")
    return found


def vacant(folder: Path, overwrite: bool) -> None:
    """ValueError: a graph may not be written there, for the folder is none, holds what is not of
    this format, or links, which may lead out of it. FileExistsError: it holds a graph, and is not
    to be overwritten. FileNotFoundError: nothing is there to make the folder in."""
    if not folder.exists() and not folder.is_symlink():
        if not folder.absolute().parent.is_dir():
            raise FileNotFoundError(f"{folder.parent}: no such folder")
        return
    if not folder.is_dir():
        raise ValueError(f"{folder}: a file, expected a folder")
    held = {path.name: path for path in folder.iterdir() if not TEMPORARY.fullmatch(path.name)}
    if not held:
        return
    if others := sorted(held.keys() - OWN):
        text = f"holds {', '.join(others[:5])}, expected a new or an empty folder"
        raise ValueError(f"{folder}: {text}; nothing is replaced")
    for path in held.values():
        if path.is_symlink() or not path.is_file():
            raise ValueError(f"{path}: no regular file, nothing is replaced")
    try:
        status = manifest(folder)["status"]
    except (Damaged, OSError):
        text = f"{', '.join(sorted(held)[:5])} without a {MANIFEST} of a graph"
        raise ValueError(f"{folder}: {text}, nothing is replaced") from None
    if status == WHOLE and not overwrite:
        raise FileExistsError(f"{folder}: there is such a graph; --overwrite replaces it")


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """For one process at a time. ValueError: another has the folder."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"{folder}: another process is converting to it") from None
        yield
    finally:
        os.close(lock)  # which ends the lock


def refuse_small_disk(folder: Path, arrays: Arrays) -> None:
    """OSError names the folder: its disk has no room for the arrays."""
    needed = sum(array.nbytes + HEADER for array in arrays.values())
    largest = max(arrays, key=lambda name: arrays[name].nbytes)
    text = f"for the graph, most of it for {largest}"
    check_disk(folder, needed, f"{text}; free some, or name a folder on a larger disk")


def write(folder: Path, arrays: Arrays, *, overwrite: bool = False) -> None:
    """The arrays of the format, of a sound graph; features may be mapped, also from this folder.
    All are on disk under other names before the first has its own, and graph.json is last: until
    then the folder is none that `read` takes, and the next `write` begins anew. ValueError,
    FileExistsError, FileNotFoundError: as in `vacant`. OSError: it cannot be written."""
    vacant(folder, overwrite)
    made = not folder.exists()
    folder.mkdir(exist_ok=True)
    try:
        with alone(folder):
            vacant(folder, overwrite)
            sweep(folder, 0.0)  # of killed conversions: this process is alone here
            refuse_small_disk(folder, arrays)
            fill(folder, arrays)
    except BaseException:
        if made:
            with suppress(OSError):
                folder.rmdir()  # where it is empty
        raise


def fill(folder: Path, arrays: Arrays) -> None:
    """Of a folder that is this process's alone."""
    files: dict[str, dict[str, Any]] = {}
    with ExitStack() as stack:
        for name, array in arrays.items():
            file = stack.enter_context(atomic(folder / f"{name}.npy"))
            files[name] = put(file, array)
        note(folder, {"status": BEGUN})  # from here on the folder is no graph
    for name in KINDS.keys() - arrays.keys():
        (folder / f"{name}.npy").unlink(missing_ok=True)
    for name, entry in files.items():
        found = (folder / f"{name}.npy").stat()
        entry |= {"bytes": found.st_size, "mtime_ns": found.st_mtime_ns}
    nodes = len(arrays["indptr"]) - 1
    note(folder, {"status": WHOLE, "nodes": nodes, "files": files})


def note(folder: Path, facts: dict[str, Any]) -> None:
    """Writes graph.json."""
    with atomic(folder / MANIFEST) as file:
        text = json.dumps({"format": FORMAT, "version": VERSION, **facts}, indent=1)
        file.write(text.encode() + b"\n")


def put(file: BinaryIO, array: Array) -> dict[str, Any]:
    """Writes a .npy, a piece at a time -> its SHA-256, dtype and shape."""
    array = np.ascontiguousarray(array)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(array))
    digest = hashlib.sha256(header.getvalue())
    file.write(header.getvalue())
    raw = array.reshape(-1).view(np.uint8)
    for i in range(0, len(raw), PIECE):
        piece = raw[i : i + PIECE].tobytes()
        digest.update(piece)
        file.write(piece)
    return {"sha256": digest.hexdigest(), "dtype": array.dtype.str, "shape": list(array.shape)}


def holds(folder: Path) -> bool:
    """Whether a folder is of this format, rather than one of tables."""
    return (folder / MANIFEST).exists() and not any(folder.glob("edges.*"))


def recorded(folder: Path) -> str:
    """A SHA-256 of those that graph.json has for the files, with which `read` compares them.
    Damaged, OSError: as in `manifest`."""
    files = manifest(folder).get("files", {})
    told = "".join(f"{name} {files[name]['sha256']}\n" for name in sorted(files))
    return hashlib.sha256(told.encode()).hexdigest()


def read(folder: Path) -> Arrays:
    """The arrays, mapped, never to be written to. GraphError: no whole graph is there, a file is
    not the one written, or the graph is not sound; it names the file."""
    try:
        meta = manifest(folder)
    except Damaged as error:
        raise GraphError(str(error)) from None
    if meta["status"] != WHOLE:
        text = "a conversion that did not end, expected a whole graph: convert again"
        raise GraphError(f"{folder}: {text}")
    files = meta.get("files", {})
    if odd := sorted(files.keys() - KINDS.keys()):
        raise GraphError(f"{folder / MANIFEST}, files: {odd[0]!r}, expected {', '.join(KINDS)}")
    if missing := [name for name in ("indptr", "indices") if name not in files]:
        raise GraphError(f"{folder / MANIFEST}, files: no {missing[0]}, expected one")
    arrays = {name: mapped(folder / f"{name}.npy", entry) for name, entry in files.items()}
    check(folder, arrays)
    return arrays


def mapped(path: Path, entry: dict[str, Any]) -> Array:
    """The array in a file, which is the one that was written, by the rule above. GraphError."""
    kinds, ndim = KINDS[path.stem]
    shape = tuple(entry["shape"])
    with opened(path) as file, distrust(str(path), "an array of numpy's"):
        found = os.fstat(file.fileno())
        if found.st_size != entry["bytes"]:
            text = f"{found.st_size} bytes, expected {entry['bytes']} of {MANIFEST}"
            raise GraphError(f"{path} has changed: {text}")
        if found.st_mtime_ns != entry["mtime_ns"]:
            same_hash(path, file, entry["sha256"])
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise GraphError(f"{path}: .npy of version {version}, expected (1, 0)")
        given, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        told = dtype.str, tuple(given), fortran
        if told != (entry["dtype"], shape, False):
            raise GraphError(f"{path}: {told[0]} {told[1]}, expected {entry['dtype']} {shape}")
        if not {dtype.str, dtype.kind} & {*kinds.split()} or len(shape) not in ndim:
            raise GraphError(f"{path}: {dtype} {shape}, expected {kinds} of {ndim} dimensions")
        size = math.prod(shape) * dtype.itemsize
        if min(shape, default=0) < 0 or found.st_size != file.tell() + size:
            raise GraphError(f"{path}: {found.st_size} bytes, expected {file.tell() + size}")
        if not size:
            return np.empty(shape, dtype)
        return np.memmap(file, dtype, "r", file.tell(), shape)


class Mark(NamedTuple):
    """A file that stays mapped, as it was when it was opened."""

    path: Path
    inode: int
    size: int
    mtime_ns: int
    sha256: str


def marks(folder: Path) -> tuple[Mark, ...]:
    """Of the mapped files of a folder that `read` has just taken."""
    files, found = manifest(folder).get("files", {}), []
    for name in MAPPED & files.keys():
        path = folder / f"{name}.npy"
        now = path.stat()
        mark = path, now.st_ino, now.st_size, now.st_mtime_ns, files[name]["sha256"]
        found.append(Mark(*mark))
    return tuple(found)


def unchanged(marks: tuple[Mark, ...]) -> None:
    """GraphError: a file has been written to since, so that what is mapped is not what was read.
    One that was removed, or replaced by another, is still mapped as it was."""
    for path, inode, size, mtime_ns, sha256 in marks:
        try:
            now = path.stat()
        except FileNotFoundError:
            continue
        if now.st_ino != inode or (now.st_size, now.st_mtime_ns) == (size, mtime_ns):
            continue
        with opened(path) as file:
            same_hash(path, file, sha256)


def same_hash(path: Path, file: BinaryIO, expected: str) -> None:
    """GraphError: the file's SHA-256 is another. It is read from its beginning, and left there."""
    digest = hashlib.sha256()
    while piece := file.read(PIECE):
        digest.update(piece)
    file.seek(0)
    if (now := digest.hexdigest()) != expected:
        raise GraphError(f"{path} has changed: SHA-256 {now}, expected {expected} of {MANIFEST}")


def check(folder: Path, a: Arrays) -> None:
    """GraphError: the arrays are of no sound graph."""
    n = len(a["indptr"]) - 1
    if n < 2:
        raise GraphError(f"{folder / 'indptr.npy'}: {n} nodes, expected at least 2")
    for name in a.keys() & {"x", "y", "node_id", *MASKS}:
        if len(a[name]) != n:
            raise GraphError(f"{folder / name}.npy: {len(a[name])} rows, expected {n}, one a node")
    ends = len(a["indices"])
    refuse_large(f"{folder}: {ends // 2} edges", 40 * ends)
    check_csr(f"{folder}", a["indices"], a["indptr"], (n, n))
    check_edges(folder, a, n)
    if "x" in a and not all(np.isfinite(block).all() for block in blocks(a["x"])):
        refuse(str(folder), "x", ~np.isfinite(a["x"]), a["x"], "a finite number")
    if "edge_weight" in a:
        weight = a["edge_weight"]
        bad = ~((weight > 0) & np.isfinite(weight))
        refuse(str(folder), "edge_weight", bad, weight, "finite, above 0")
    for name in a.keys() & {*MASKS}:
        if a[name].view(np.uint8).max(initial=0) > 1:
            raise GraphError(f"{folder / name}.npy: bytes above 1, expected booleans")
    for name in a.keys() & {"classes", "node_id"}:
        text = a[name].dtype.kind == "U"
        if text and np.ascontiguousarray(a[name]).view(np.uint32).max(initial=0) > sys.maxunicode:
            raise GraphError(f"{folder / name}.npy: what is no text, expected Unicode")
        identifiers(str(folder), {"node_id": a[name]})  # none is there twice
    if "y" in a:
        most = len(a["classes"]) if "classes" in a else n
        bad = (a["y"] < -1) | (a["y"] >= most)
        refuse(str(folder), "y", bad, a["y"], f"a class, or -1, below {most}")


def check_edges(folder: Path, a: Arrays, n: int) -> None:
    """GraphError: not ascending, a self-loop, or an edge without its other direction."""
    indices, indptr = a["indices"], a["indptr"]
    falls = indices[1:] <= indices[:-1]  # allowed only where a row begins
    begins = indptr[1:-1]
    begins = begins[(begins > 0) & (begins < len(indices))]
    falls[begins - 1] = False
    if falls.any():
        raise GraphError(f"{folder / 'indices.npy'}: indices fall in a row, expected them to rise")
    weight = a.get("edge_weight", np.ones(len(indices), np.int8))
    if len(weight) != len(indices):
        text = f"{len(weight)}, expected {len(indices)}, one an edge and direction"
        raise GraphError(f"{folder / 'edge_weight.npy'}: {text}")
    rows = sparse.csr_array((weight, indices, indptr), (n, n))
    columns = rows.tocsc()
    if rows.diagonal().any():
        raise GraphError(f"{folder / 'indices.npy'}: a self-loop, expected none")
    pairs = (rows.indptr, columns.indptr), (rows.indices, columns.indices)
    if not all((x == y).all() for x, y in (*pairs, (rows.data, columns.data))):
        text = "an edge in one direction only, or of two weights, expected each both ways"
        raise GraphError(f"{folder / 'indices.npy'}: {text}")


def of_edges(edge_index: Array, n: int) -> Arrays:
    """indptr and indices of edge_index [2, 2E], sorted, of n nodes."""
    indptr = np.zeros(n + 1, np.int64)
    np.cumsum(np.bincount(edge_index[0], minlength=n), out=indptr[1:])
    narrow = n <= np.iinfo(np.int32).max
    return {"indptr": indptr, "indices": edge_index[1].astype(np.int32 if narrow else np.int64)}


def edges_of(a: Arrays) -> Array:
    """edge_index [2, 2E] int64, in memory."""
    degrees = np.diff(a["indptr"])
    edge_index = np.empty((2, len(a["indices"])), np.int64)
    edge_index[0] = np.repeat(np.arange(len(degrees)), degrees)
    edge_index[1] = a["indices"]
    return edge_index
