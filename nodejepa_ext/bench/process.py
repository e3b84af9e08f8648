"""A measurement's process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


def environment() -> dict[str, str]:
    """Of a process that is to find this package and run_full."""
    home = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [home, os.environ.get("PYTHONPATH")]))
    return os.environ | {"PYTHONPATH": path}


def fresh(*words: str) -> subprocess.CompletedProcess[str]:
    """`python -m words...` in a process of its own, on one thread."""
    env = environment() | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    command = [sys.executable, "-m", *words]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


class Metered(NamedTuple):
    """What a process took: CPU seconds of user and system, seconds, the peak of its resident set;
    error: the last line that it wrote where it failed, else ""."""

    cpu_seconds: float
    seconds: float
    peak_gib: float
    error: str


def metered(command: Sequence[str], log: Path) -> Metered:
    """A command in a process of its own, on one thread, its output in log. Its peak is at least
    that of this process so far."""
    env = environment() | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    began = time.monotonic()
    with log.open("wb") as file:
        process = subprocess.Popen(command, env=env, stdout=file, stderr=subprocess.STDOUT)
        try:
            _, status, used = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
        process.returncode = os.waitstatus_to_exitcode(status)
    said = log.read_text(errors="replace").strip().splitlines() or [""]
    error = (said[-1] or f"exit code {process.returncode}") if process.returncode else ""
    unit = 2**30 if sys.platform == "darwin" else 2**20  # bytes there, KiB elsewhere
    cpu = used.ru_utime + used.ru_stime
    return Metered(cpu, time.monotonic() - began, used.ru_maxrss / unit, error)
