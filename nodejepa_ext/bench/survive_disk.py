"""A disk that is full, a folder that cannot be written, a limit on the size of files: the error
names the file, what was there is there, and once there is room the same command ends well.

Disks are small ones in memory, mounted in a namespace of this process's own, where that is
permitted (Linux, as root); elsewhere a folder's mode and the limit on files do what they can.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import resource
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nodejepa_ext.bench import survive_files as files
from nodejepa_ext.bench.survive_fuzz import Told, take, told
from nodejepa_ext.bench.survive_process import LIMIT, Tally, command, many
from nodejepa_ext.files import TEMPORARY

SIZE = "16m"  # of a disk
ROOM = (0, 4096, 16384)  # bytes left on it
LARGEST = 4096  # bytes of a file, where that is limited: enough for what a command says
NEW_NAMESPACE, SLAVE_ALL, READ_ONLY, REMOUNT = 0x20000, 0x84000, 1, 0x20
WAYS = ("full", "read-only", "limit")


@dataclass(frozen=True)
class Verb:
    """A command that writes below HERE; held: what lies there before, of the sound files. grows:
    what it leaves when it fails is a beginning to go on from."""

    words: str
    held: tuple[str, ...] = ()
    grows: bool = False
    again: str = ""  # in the place of words, once there is room


SMALL, ARMS, SEARCH = (" ".join(w) for w in (files.TRAIN, files.ARMS, files.SEARCH))
VERBS = (
    Verb("data convert graph.npz HERE/graph.npz --overwrite", ("graph.npz",)),
    Verb("data convert graph.npz HERE/mapped/ --overwrite", ("mapped",)),
    Verb(f"train graph.npz --out HERE/new {SMALL}", grows=True),
    Verb(f"train graph.npz --out HERE/run --overwrite {SMALL}", ("run",)),
    Verb("train --resume HERE/stopped", ("stopped",), grows=True),
    Verb("embed run --out HERE/nodes.csv --overwrite", ("again/nodes.csv",)),
    Verb("embed run --out HERE/nodes.parquet --overwrite", ("again/nodes.parquet",)),
    Verb("embed run --out HERE/z.npz"),
    Verb("embed run --out HERE/z.npy"),
    Verb("export run --hub HERE/hub --overwrite", ("hub",)),
    Verb("page run --out HERE/page.html"),
    Verb("plot run --out HERE/pictures"),
    Verb("plot ablation --out HERE/pictures"),
    Verb("plot search --out HERE/pictures"),
    Verb(f"ablate {ARMS} --out HERE/rows", grows=True),
    Verb(f"table {ARMS} --preset card --out HERE/table --validation-only", grows=True),
    Verb(
        "compare graph.npz --methods raw --seeds 1 --tasks cluster --workers 1 --out HERE/compare",
        grows=True,
    ),
    Verb(f"sweep {SEARCH} --out HERE/sweep", grows=True),
)


def system(name: str, *arguments: object) -> None:
    """A call of the C library's. OSError: refused."""
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, name)(*arguments):
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")


def mount(place: Path, flags: int, options: str) -> None:
    """A disk in memory at `place`."""
    system("mount", b"tmpfs", bytes(place), b"tmpfs", flags, options.encode())


def permitted() -> bool:
    """From here on this process sees mounts of its own; False: it may not."""
    try:
        system("unshare", NEW_NAMESPACE)
        system("mount", b"none", b"/", None, SLAVE_ALL, None)
    except (OSError, AttributeError):
        return False
    return True


def fill(disk: Path, left: int) -> None:
    """All but so many bytes of the disk."""
    with contextlib.suppress(OSError), open(disk / "filler", "wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    size = (disk / "filler").stat().st_size
    os.truncate(disk / "filler", max(0, size - left))


def snapshot(folder: Path) -> dict[str, bytes]:
    """Path -> bytes of all files below."""
    found = (p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): p.read_bytes() for p in found}


def harm(before: dict[str, bytes], after: dict[str, bytes], verb: Verb) -> list[str]:
    """What a command that failed did to a folder."""
    found = [f"left {name}" for name in after if TEMPORARY.fullmatch(Path(name).name)]
    if not verb.grows:
        found += [f"{name} is gone" for name in before.keys() - after.keys()]
        found += [f"{n} is another" for n in before.keys() & after.keys() if after[n] != before[n]]
        found += [f"half-written: {name}" for name in after.keys() - before.keys()]
    elif after.get("foreign.txt") != before["foreign.txt"]:
        found.append("a file of somebody else is gone")
    return found


def limited() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST, LARGEST))


class Disk:
    """A folder `here` on a disk of its own, with what a verb finds there."""

    def __init__(self, home: Path, scratch: Path, verb: Verb, mounts: bool) -> None:
        self.disk, self.mounts = scratch / "disk", mounts
        self.here = self.disk / "here"
        shutil.rmtree(self.disk, ignore_errors=True)
        self.disk.mkdir()
        if mounts:
            mount(self.disk, 0, f"size={SIZE}")
        self.here.mkdir()
        (self.here / "foreign.txt").write_text("somebody else's")
        for path in verb.held:
            copy = shutil.copytree if (home / path).is_dir() else shutil.copy
            copy(home / path, self.here / Path(path).name)

    def worsen(self, way: str, rng: random.Random) -> Callable[[], None] | None:
        """-> what the command's process does first."""
        if way == "full":
            fill(self.disk, rng.choice(ROOM))
        elif way == "read-only" and self.mounts:
            mount(self.disk, READ_ONLY | REMOUNT, f"size={SIZE}")
        elif way == "read-only":
            self.here.chmod(0o555)
        return limited if way == "limit" else None

    def mend(self, way: str) -> None:
        """There is room again."""
        if way == "full":
            (self.disk / "filler").unlink()
        elif way == "read-only" and self.mounts:
            mount(self.disk, REMOUNT, f"size={SIZE}")
        elif way == "read-only":
            self.here.chmod(0o755)

    def close(self) -> None:
        if self.mounts:
            system("umount2", bytes(self.disk), 2)
        shutil.rmtree(self.disk, ignore_errors=True)


def tried(
    home: Path, scratch: Path, verb: Verb, way: str, rng: random.Random, mounts: bool
) -> Told:
    """One command on one bad disk."""
    disk, log = Disk(home, scratch, verb, mounts), scratch / "command"
    try:
        before = snapshot(disk.here)
        words = verb.words.replace("HERE", str(disk.here)).split()
        end = command(words, home, log, disk.worsen(way, rng))
        what = f"{way}: {verb.words}"
        found = told(end, what)
        if end.code and str(disk.disk) not in end.err.splitlines()[-1]:
            found.append(("lost", f"{what}: names no file: {end.err[-300:]}"))
        wrong = harm(before, snapshot(disk.here), verb) if end.code else []
        found += [("lost", f"{what}: {text}") for text in wrong]
        disk.mend(way)
        begun = next((p.parent for p in disk.here.glob("*/run.json")), None)
        if end.code and verb.grows and words[0] == "train" and begun and "--resume" not in words:
            words = ["train", "--resume", str(begun)]
        after = command(words, home, log) if end.code else end
        if after.code:
            found.append(("lost", f"{what}: with room again: {after.code} {after.err[-300:]}"))
        return found
    finally:
        disk.close()


def disks(home: Path, scratch: Path, count: int, seed: int) -> Tally:
    """`count` of all verbs in all ways."""
    grid = [(verb, way) for way in WAYS for verb in VERBS]
    rng = random.Random(f"{seed}/disk")
    cases = grid if count >= len(grid) else rng.sample(grid, count)
    tally = Tally("full and read-only disks", len(cases))
    mounts: list[bool] = []

    def trial(number: int) -> Told:
        if not mounts:
            mounts.append(permitted())
        verb, way = cases[number]
        if way == "full" and not mounts[0] or way == "read-only" and not (mounts[0] or os.getuid()):
            return [("note", f"{way}: {verb.words.split()[0]} not tried: no mount is permitted")]
        own = random.Random(f"{seed}/disk/{number}")
        return tried(home, scratch, verb, way, own, mounts[0])

    for outcome in many(trial, len(cases), scratch / "disks", 6 * LIMIT):
        tally.notes += [text for kind, text in outcome if kind == "note"]
        take(tally, [part for part in outcome if part[0] != "note"])
    return tally


CASES = len(WAYS) * len(VERBS)
