"""rows.jsonl: one line a finished run of an ablation, and whether it may stand beside another.

Kept apart from `run`: what makes a row trustworthy is here in one place. A row holds its job:
graph, arm, seed, every setting, and the revision of each component that decides its numbers.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from io import FileIO
from pathlib import Path
from typing import Any

import run_full
from nodejepa_ext.ablation.revisions import ADDED
from nodejepa_ext.files import append, appending, atomic
from nodejepa_ext.parts.choice import differences
from nodejepa_ext.records import Damaged, check, read_bytes, written
from nodejepa_ext.workers.seats import place

Row = dict[str, Any]
SHAPE = {
    "graph": str,
    "arm": str,
    "seed": (int, None),
    "status": str,
    "val?": float,
    "message?": str,
    "right?": str,
    "job": {"graph": str, "arm": str, "seed": (int, None), "config?": dict},
}
WRITTEN = ("report.md", "report.json", "compare.png")  # beside the rows, by the verbs
BEGINS = b'{"graph": '  # every row
FIGURES = ("val", "effective_rank", "cosine", "cpu_seconds", "wall_seconds")  # of trained settings


def key(row: Row) -> tuple[str, str, int]:
    return row["graph"], row["arm"], row["seed"]


class Rows:
    """The rows of one folder, which one process at a time may hold; read_only: a look at them that
    creates and changes nothing. ValueError: another process holds them, or the folder has no rows,
    but files that are to be written beside them."""

    def __init__(self, folder: Path, read_only: bool = False) -> None:
        self.path, self.rows = folder / "rows.jsonl", dict[tuple[str, str, int], Row]()
        self.dropped = ""  # says that a torn last line was
        self.file: FileIO | None = None
        self.lock = -1
        if not read_only:
            vacant(folder)
            folder.mkdir(parents=True, exist_ok=True)
            self.lock = os.open(folder, os.O_RDONLY)
        try:
            if not read_only:
                fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self.file = appending(self.path)
            self.read()
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

    def read(self) -> None:
        """RunError 3: a line is no row. The last one is cut off, if it is the beginning of one."""
        try:
            text = read_bytes(self.path) if self.path.exists() else b""
        except Damaged as error:
            raise run_full.RunError(str(error), 3) from None
        lines = text.splitlines(keepends=True)
        for number, line in enumerate(lines, 1):
            row, wrong = parsed_row(line)
            if not wrong:
                if "config" in row["job"]:
                    row["job"]["config"] = ADDED | row["job"]["config"]
                self.rows[key(row)] = row
            elif line.endswith(b"\n") or not (line.startswith(BEGINS) or BEGINS.startswith(line)):
                raise run_full.RunError(f"{self.path}: line {number} is no row: {wrong}", 3)
            else:
                self.dropped = f"{self.path}: dropped an unfinished last line"
                if self.file:
                    self.file.truncate(len(text) - len(line))

    def add(self, row: Row) -> None:
        """On disk when this returns. OSError: it cannot be, and all rows are as before."""
        assert self.file is not None
        append(self.file, json.dumps(row).encode() + b"\n")
        self.rows[key(row)] = row

    def finished(self, job: Row) -> bool:
        """A row of this very job exists, and is not of a run that a dying process cut short."""
        row = self.rows.get(key(job))
        return bool(row and row["job"] == job and row["status"] != "failed")

    def strangers(self, jobs: list[Row]) -> dict[tuple[str, str, int], list[str]]:
        """Rows under the name of one of the jobs which are another job's, or of another kind of
        device or precision than a run would have here, and how they differ."""
        found = {}
        for job in jobs:
            if key(job) not in self.rows:
                continue
            row = self.rows[key(job)]
            differ = differences(row["job"], job)
            if "bf16" in row and "config" in job:
                there = {"device": row["device"], "precision": "bf16" if row["bf16"] else "fp32"}
                differ += differences(there, place(run_full.Config(**job["config"])))
            if differ:
                found[key(job)] = differ
        return found

    def set_aside(self, keys: set[tuple[str, str, int]]) -> Path:
        """Moves rows to old_rows-<UTC time>.jsonl beside; written in full before any is removed."""
        aside = self.path.with_name(f"old_rows-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
        aside = aside.with_suffix(".jsonl")
        moved = [json.dumps(row) + "\n" for k, row in self.rows.items() if k in keys]
        with appending(aside) as file:
            append(file, "".join(moved).encode())
        self.rows = {k: row for k, row in self.rows.items() if k not in keys}
        if self.file:
            self.file.close()
        with atomic(self.path) as whole:
            whole.writelines(json.dumps(row).encode() + b"\n" for row in self.rows.values())
        self.file = appending(self.path)
        return aside


def vacant(folder: Path) -> None:
    """ValueError: without rows, and with a file that a verb would replace: not of an ablation."""
    if (folder / "rows.jsonl").exists():
        return
    if held := [name for name in WRITTEN if os.path.lexists(folder / name)]:
        text = f"{', '.join(held)} without rows.jsonl: not of an ablation, nothing is replaced"
        raise ValueError(f"{folder}: {text}")


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
    asked = {"test": row["job"].get("final"), "dev": row["job"].get("dev")}
    return (*FIGURES, *(name for name, wanted in asked.items() if wanted is True))
