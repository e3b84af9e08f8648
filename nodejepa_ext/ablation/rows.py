"""rows.jsonl: one line a finished run of an ablation, and whether it may stand beside another.

Kept apart from `run`: what makes a row trustworthy is here in one place. A row holds its job:
graph, arm, seed, every setting, and the revision of each component that decides its numbers.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
from pathlib import Path
from typing import Any, TextIO

import run_full
from nodejepa_ext.files import atomic
from nodejepa_ext.parts.choice import differences
from nodejepa_ext.records import Damaged, check, read_bytes, written

Row = dict[str, Any]
SHAPE = {
    "graph": str,
    "arm": str,
    "seed": (int, None),
    "status": str,
    "val?": float,
    "message?": str,
    "job": {"graph": str, "arm": str, "seed": (int, None)},
}
FIGURES = ("val", "effective_rank", "cosine", "cpu_seconds", "wall_seconds")  # of trained settings


def key(row: Row) -> tuple[str, str, int]:
    return row["graph"], row["arm"], row["seed"]


class Rows:
    """The rows of one folder, which one process at a time may hold; read_only: a look at them that
    creates and changes nothing. ValueError: another process holds them."""

    def __init__(self, folder: Path, read_only: bool = False) -> None:
        self.path, self.rows = folder / "rows.jsonl", dict[tuple[str, str, int], Row]()
        self.dropped = ""  # says that a torn last line was
        self.file: Any = None
        self.lock = -1
        if not read_only:
            folder.mkdir(parents=True, exist_ok=True)
            self.lock = os.open(folder, os.O_RDONLY)
        try:
            if not read_only:
                fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.read(read_only)
            self.file = None if read_only else appending(self.path)
        except BaseException as error:
            self.close()
            if isinstance(error, BlockingIOError):
                raise ValueError(f"{folder}: another ablation is writing there") from None
            raise

    def __enter__(self) -> Rows:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self.file:
            self.file.close()
        if self.lock >= 0:
            os.close(self.lock)  # which ends the lock

    def read(self, read_only: bool) -> None:
        """RunError 3: a line other than the last is no row. A torn last line is cut off."""
        try:
            text = read_bytes(self.path) if self.path.exists() else b""
        except Damaged as error:
            raise run_full.RunError(str(error), 3) from None
        lines = text.splitlines(keepends=True)
        for number, line in enumerate(lines, 1):
            row, wrong = parsed_row(line)
            if not wrong:
                self.rows[key(row)] = row
            elif number < len(lines) or line.endswith(b"\n"):
                raise run_full.RunError(f"{self.path}: line {number} is no row: {wrong}", 3)
            else:
                self.dropped = f"{self.path}: dropped an unfinished last line"
                if not read_only:
                    os.truncate(self.path, len(text) - len(line))

    def add(self, row: Row) -> None:
        """On disk when this returns."""
        self.file.write(json.dumps(row) + "\n")
        self.file.flush()
        os.fsync(self.file.fileno())
        self.rows[key(row)] = row

    def finished(self, job: Row) -> bool:
        """A row of this very job exists, and is not of a run that a dying process cut short."""
        row = self.rows.get(key(job))
        return bool(row and row["job"] == job and row["status"] != "failed")

    def strangers(self, jobs: list[Row]) -> dict[tuple[str, str, int], list[str]]:
        """Rows under the name of one of the jobs which are another job's, and how they differ."""
        return {
            key(job): differences(self.rows[key(job)]["job"], job)
            for job in jobs
            if key(job) in self.rows and self.rows[key(job)]["job"] != job
        }

    def set_aside(self, keys: set[tuple[str, str, int]]) -> Path:
        """Moves rows to old_rows-<UTC time>.jsonl beside; written in full before any is removed."""
        aside = self.path.with_name(f"old_rows-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
        aside = aside.with_suffix(".jsonl")
        with appending(aside) as file:
            file.writelines(json.dumps(row) + "\n" for k, row in self.rows.items() if k in keys)
            file.flush()
            os.fsync(file.fileno())
        self.rows = {k: row for k, row in self.rows.items() if k not in keys}
        self.file.close()
        with atomic(self.path) as file:
            file.writelines(json.dumps(row).encode() + b"\n" for row in self.rows.values())
        self.file = appending(self.path)
        return aside


def appending(path: Path) -> TextIO:
    """Opened to be added to. OSError: it is a link, or cannot be."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.fdopen(os.open(path, flags, 0o666), "a")
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise OSError(errno.ELOOP, "is a link, expected a file", str(path)) from None


def parsed_row(line: bytes) -> tuple[Row, str]:
    """The row of a line, and what is wrong with it, "" if nothing is."""
    try:
        row: Row = json.loads(line)
        check("row", row, SHAPE)
        written("row", row)
    except RecursionError:
        return {}, "nested too deeply"
    except ValueError as error:
        return {}, str(error)
    if not line.endswith(b"\n"):
        return row, "cut off"
    for name in figures_of(row):
        if type(row.get(name)) not in (int, float):  # which may be not finite
            return row, f"{name} = {row.get(name)!r}"[:150] + ": expected a number"
    return row, ""


def figures_of(row: Row) -> tuple[str, ...]:
    """What a report needs of it, where settings were trained."""
    if row["status"] != "ok" or "config" not in row["job"]:
        return ("wall_seconds",)
    return (*FIGURES, "test") if row["job"].get("final") is True else FIGURES
