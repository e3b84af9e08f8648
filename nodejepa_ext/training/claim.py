"""Whether a folder may be a run's, and how one process has it alone.

Apart from `folder`, which says what a run writes there.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nodejepa_ext.files import UNFINISHED
from nodejepa_ext.training.checkpoints import FILES

NAMES = ("config.toml", "metrics.jsonl", "model.safetensors", "embeddings.npz", "report.md")


def vacant(folder: Path, overwrite: bool) -> None:
    """ValueError: the folder is none, holds something, or what --overwrite must not replace."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: a file, expected a folder")
    held = {p.name for p in folder.iterdir()} if folder.is_dir() else set()
    held = {name for name in held if not UNFINISHED.fullmatch(name)}
    if held and not overwrite:
        text = "--resume continues its run, --overwrite replaces it"
        text = text if "run.json" in held else "expected a new or an empty folder"
        raise ValueError(f"{folder}: not empty; {text}")
    if "run.json" not in held and (own := held & {*NAMES}):
        raise ValueError(f"{folder}: {', '.join(sorted(own))} without run.json: not of a run")


def clear(folder: Path, checkpoints: bool = True) -> None:
    """Removes unfinished files, and with `checkpoints` all that a run writes; run.json last."""
    for path in [*folder.iterdir(), *folder.glob("checkpoints/*")]:
        own = path.name in NAMES or path.parent != folder and FILES.fullmatch(path.name)
        if UNFINISHED.fullmatch(path.name) or checkpoints and own:
            path.unlink()
    if checkpoints:
        (folder / "run.json").unlink(missing_ok=True)


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
