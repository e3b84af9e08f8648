"""How every file of the toolkit is written: whole or not at all.

A module of its own because checkpoints, embeddings, graphs, pictures and reports all need it, and
some of them without torch.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

UNFINISHED = re.compile(r"\..+\.\d+\.tmp")  # what `atomic` leaves when its process is killed


@contextmanager
def atomic(path: Path) -> Iterator[BinaryIO]:
    """A binary file, empty, that becomes `path`, on disk, when the block ends; an error leaves
    what was there. OSError: it cannot be written."""
    temp = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temp.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temp.replace(path)
    finally:
        with suppress(OSError):
            temp.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the new name as well
    finally:
        os.close(folder)
