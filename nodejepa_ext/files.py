"""How every file of the toolkit is written, whole or not at all, and which files are its own.

A module of its own because checkpoints, embeddings, graphs, pictures and reports all need it, and
some of them without torch.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import BinaryIO

TEMPORARY = re.compile(r"\.nodejepa-[0-9a-f]{32}\.tmp")  # what `atomic` leaves when it is killed
STALE = 3600.0  # seconds after which no writer is behind a temporary file any more
LONGEST_NAME = 200  # bytes, so that a suffix still fits
swept: set[Path] = set()  # folders that this process has looked through


@contextmanager
def atomic(path: Path) -> Iterator[BinaryIO]:
    """A binary file, empty, that becomes `path`, on disk, when the block ends; an error leaves what
    was there. It keeps the mode of a file that it replaces. OSError names path: it is a link, or
    no file, or it cannot be written."""
    mode = replaced_mode(path)
    sweep(path.parent)
    temp = path.with_name(f".nodejepa-{secrets.token_hex(16)}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(temp, flags, 0o666), "wb") as file:
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            yield file
            file.flush()
            os.fsync(file.fileno())
        temp.replace(path)
        synced(path.parent)
    except OSError as error:
        if error.filename not in (None, str(temp), temp):
            raise
        raise OSError(error.errno, error.strerror or str(error), str(path)) from None
    finally:
        with suppress(OSError):
            temp.unlink()


def check_disk(folder: Path, needed: int, what: str) -> None:
    """OSError names the folder: its disk has fewer bytes free than needed; what: for what, and what
    would do."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        text = f"{free >> 20} MiB are free on its disk, expected {(needed >> 20) + 1} {what}"
        raise OSError(errno.ENOSPC, text, str(folder))


def reserve(folder: Path, size: int) -> None:
    """OSError names the folder: its disk has not `size` bytes free, or takes no such file. What is
    found is given back at once."""
    temp = folder / f".nodejepa-{secrets.token_hex(16)}.tmp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(temp, flags, 0o666)
        try:
            if shutil.disk_usage(folder).free < size:  # at once, or the rest would be taken first
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if hasattr(os, "posix_fallocate"):  # macOS has none; quotas and limits have a say
                os.posix_fallocate(descriptor, 0, size)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(folder)) from None
    finally:
        with suppress(OSError):
            temp.unlink()


def appending(path: Path) -> FileIO:
    """Opened for `append`, made if there is none. OSError names path: it is a link, or no regular
    file, or cannot be opened."""

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)

    replaced_mode(path)
    return open(str(path), "ab", buffering=0, opener=opener)


def append(file: FileIO, payload: bytes, durable: bool = True) -> None:
    """At the end of a file of `appending`, whole or not at all; durable: on disk when this returns.
    OSError names the file, which is as long as before."""
    end = os.fstat(file.fileno()).st_size
    try:
        rest = memoryview(payload)
        while rest:
            rest = rest[file.write(rest) :]
        if durable:
            os.fsync(file.fileno())
    except OSError as error:
        with suppress(OSError):
            os.ftruncate(file.fileno(), end)
        raise OSError(error.errno, error.strerror or str(error), str(file.name)) from None


def replaced_mode(path: Path) -> int | None:
    """Of the file that is there; None: there is none. OSError: it is a link, or not a file."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    if stat.S_ISLNK(found.st_mode):
        raise OSError(errno.ELOOP, "is a link, expected a file that may be replaced", str(path))
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "is no regular file, expected one", str(path))
    return stat.S_IMODE(found.st_mode)


def synced(folder: Path) -> None:
    """The names in a folder on disk as well."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep(folder: Path, age: float = STALE) -> None:
    """Removes temporary files of killed processes: of `atomic`'s names, regular, of this user, and
    of no writer for `age` seconds. Once a folder and process, unless age is another."""
    if age == STALE and folder in swept:
        return
    swept.add(folder)
    now = time.time()
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if not TEMPORARY.fullmatch(entry.name):
                continue
            found = entry.stat(follow_symlinks=False)
            own = stat.S_ISREG(found.st_mode) and found.st_uid == os.getuid()
            if own and now - found.st_mtime >= age:
                with suppress(OSError):
                    os.unlink(entry.path)


def file_name(name: str, what: str) -> str:
    """name, where it can be the name of a file in a folder, and of nothing elsewhere. ValueError:
    it cannot; what: whose name it is."""
    fits = 0 < len(name.encode("utf-8", "surrogatepass")) <= LONGEST_NAME
    if not fits or name.startswith(".") or not name.isprintable() or {*name} & {"/", "\\"}:
        wanted = f"1 to {LONGEST_NAME} bytes, no / or \\, no control characters, no dot in front"
        raise ValueError(f"{what} is {name[:100]!r}, expected a file's name: {wanted}")
    return name
