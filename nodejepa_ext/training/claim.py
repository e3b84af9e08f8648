"""Whether a folder may be a run's, and how one process has it alone.

Apart from `folder`, which says what a run writes there. A folder is a run's by its run.json, of
this project's format and content; in one that is not, nothing is ever removed.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nodejepa_ext.files import TEMPORARY, check_disk, reserve, sweep
from nodejepa_ext.records import Damaged, Each, check, read_json
from nodejepa_ext.training.checkpoints import FILES

MANIFEST, CHECKPOINTS = "run.json", "checkpoints"
FORMAT = 2  # 1: other names of weights, and skip was true or false
NAMES = (
    "config.toml",
    "metrics.jsonl",
    "model.safetensors",
    "embeddings.npz",
    "report.md",
    "neighbours.safetensors",  # of a large graph, see `similar`
    "evaluation.json",  # of `nodejepa-ext evaluate`
)
STATUS = ("running", "interrupted", "failed", "finished")
SCALAR = (str, int, float, bool, None)
SOURCE = {
    "source": (str, None),
    "edges?": (str, None),
    "nodes?": (str, None),
    "features?": (list, None),
    "not_features?": (list, None),
    "label?": (str, None),
    "weight?": (str, None),
}
GRAPH = {
    "source": (dict, None),
    "sha256": str,
    "scaling": str,
    "nodes": int,
    "edges": int,
    "features": int,
    "positions?": int,
    "columns?": (list, None),
}
SHAPE = {  # of run.json
    "format": int,
    "status": str,
    "settings": Each(SCALAR),
    "versions": Each((str, None)),
    "threads": int,
    "checkpoint_every": int,
    "ranks?": int,
    "device?": str,
    "precision?": str,
    "graph": GRAPH,
    "files?": Each(str),
    "figures?": Each(SCALAR),
    "notices?": [str],
    "neighbours?": {"sha256": str, "by": str},
}
FIGURES = {"effective_rank": float, "cosine": float, "epoch": int, "val?": float}  # at the end
LARGEST = 1 << 26  # bytes of run.json
LARGE = 1 << 26  # bytes of a run, above which it is not begun on a disk without room
THREADS = 4096  # more than any machine has; torch would start them all


def manifest(folder: Path) -> dict[str, Any]:
    """run.json of a run. Damaged: it is of another format or content. OSError: there is none."""
    path = folder / MANIFEST
    if path.is_symlink():
        raise Damaged(f"{path}: is a link, expected a file")
    meta: dict[str, Any] = read_json(path, {"format": int}, LARGEST)
    if meta["format"] != FORMAT:
        raise Damaged(f"{path}: a run of format {meta['format']!r}, expected {FORMAT}")
    check(str(path), meta, SHAPE)
    if meta["status"] not in STATUS:
        raise Damaged(f"{path}, status = {meta['status']!r}: expected one of {', '.join(STATUS)}")
    if meta["status"] == "finished":
        check(str(path), meta, {"figures": FIGURES, "files": Each(str)})
    if (columns := meta["graph"].get("columns")) is not None:
        check(f"{path}, graph, columns", columns, [str])
    if not 0 <= (beside := meta["graph"].get("positions", 0)) < max(meta["graph"]["features"], 1):
        raise Damaged(f"{path}, graph, positions = {beside}: expected fewer than features")
    if (source := meta["graph"]["source"]) is not None:
        check(f"{path}, graph, source", source, SOURCE)
        if odd := source.keys() - {name.removesuffix("?") for name in SOURCE}:
            raise Damaged(f"{path}, graph, source: {min(odd)!r}, expected source, edges and nodes")
    if not 1 <= meta["threads"] <= THREADS:
        raise Damaged(f"{path}, threads = {meta['threads']}: expected from 1 to {THREADS}")
    return meta


def vacant(folder: Path, overwrite: bool) -> None:
    """ValueError: the folder is none, holds something, or what --overwrite must not replace: what
    is not a run's, or links."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: a file, expected a folder")
    held = {p.name for p in folder.iterdir()} if folder.is_dir() else set()
    held = {name for name in held if not TEMPORARY.fullmatch(name)}
    if not held:
        return
    if not overwrite:
        text = "--resume continues its run, --overwrite replaces it"
        text = text if MANIFEST in held else "expected a new or an empty folder"
        raise ValueError(f"{folder}: not empty; {text}")
    if MANIFEST not in held:
        text = ", ".join(sorted(held)[:5])
        raise ValueError(f"{folder}: {text} without {MANIFEST}: not of a run, nothing is replaced")
    try:
        manifest(folder)
    except (Damaged, OSError) as error:
        raise ValueError(f"{error}: not of a run, nothing is replaced") from None
    replaceable(folder)


def replaceable(folder: Path) -> None:
    """ValueError names what stands where a run writes and is not of its making: a link, which may
    lead out of the folder, or a folder for a file."""
    inner = folder / CHECKPOINTS
    if inner.is_symlink():
        raise ValueError(f"{inner}: is a link, nothing is replaced")
    if inner.exists() and not inner.is_dir():
        raise ValueError(f"{inner}: a file, expected a folder; nothing is replaced")
    states = inner.iterdir() if inner.is_dir() else ()
    own = [path for path in states if FILES.fullmatch(path.name)]
    for path in (*(folder / name for name in (*NAMES, MANIFEST)), *own):
        if path.is_symlink():
            raise ValueError(f"{path}: is a link, nothing is replaced")
        if path.exists() and not path.is_file():
            raise ValueError(f"{path}: no regular file, nothing is replaced")


def clear(folder: Path, checkpoints: bool = True, needed: int = 0) -> None:
    """Of a folder that `replaceable` lets pass: sweeps old temporary files, and with `checkpoints`
    removes all that a run writes; run.json last. ValueError: it does not. OSError: there is no room
    for the bytes `needed`, beside a run that it holds."""
    replaceable(folder)
    if needed and (folder / MANIFEST).exists():
        roomy(folder, needed)
    elif needed > LARGE:
        check_disk(folder, needed, "for the run; free some, or name another folder")
    inner = folder / CHECKPOINTS
    sweep(folder)
    if inner.is_dir():
        sweep(inner, 0.0)  # the process that has claimed the run is alone there
    if not checkpoints:
        return
    for name in NAMES:
        (folder / name).unlink(missing_ok=True)
    for path in inner.iterdir() if inner.is_dir() else ():
        if FILES.fullmatch(path.name):
            path.unlink()
    (folder / MANIFEST).unlink(missing_ok=True)


def roomy(folder: Path, needed: int) -> None:
    """OSError: a run of this size cannot be written beside the one that is there."""
    try:
        reserve(folder, needed)
    except OSError as error:
        text = f"{error.strerror}: the run there is kept, expected room for a new one beside it, "
        text += f"{needed / 1e6:.1f} MB; free some, remove the run, or name another folder"
        raise OSError(error.errno, text, str(folder)) from None


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """For one process at a time. ValueError: another has it."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"{folder}: another process is training there") from None
        yield
    finally:
        os.close(lock)  # which ends the lock
