"""Which supervisors of a sweep's folder are alive.

Each keeps a file locked, named after itself, which the kernel releases however its process ends:
certain and immediate, and true of a stopped process too. Nothing else in that folder is touched.
"""

from __future__ import annotations

import fcntl
import os
import re
from contextlib import suppress
from pathlib import Path

OWNER = re.compile(r"[^/]+:\d+:[0-9a-f]{8}")  # host, process id, random digits
FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Register:
    """The folder of these files."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.own, self.life = folder, "", -1

    def living(self) -> set[str]:
        """Owners whose process is alive; the files of the dead are removed."""
        alive = set()
        for name in filter(OWNER.fullmatch, os.listdir(self.folder)):
            with suppress(OSError):  # it has just ended, or is none of ours
                if self.locked(self.folder / name):
                    alive.add(name)
        return alive

    def locked(self, path: Path) -> bool:
        """False: its process is dead, and its file, which is empty, is removed."""
        file = os.open(path, FLAGS)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.fstat(file).st_size:
                path.unlink()
        except BlockingIOError:
            return True
        finally:
            os.close(file)
        return False

    def enter(self, owner: str) -> None:
        """This process, until `leave`."""
        self.own = owner
        self.life = os.open(self.folder / owner, FLAGS | os.O_CREAT | os.O_EXCL, 0o666)
        fcntl.flock(self.life, fcntl.LOCK_EX)

    def leave(self) -> None:
        if self.life >= 0:
            (self.folder / self.own).unlink(missing_ok=True)
            os.close(self.life)
        self.life = -1
