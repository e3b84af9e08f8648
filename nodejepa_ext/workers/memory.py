"""Memory of this machine and of this process."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path


def room() -> int:
    """Bytes that one graph may take: half of the memory free on this machine."""
    try:
        text = Path("/proc/meminfo").read_text()
        return int(re.findall(r"MemAvailable: +(\d+)", text)[0]) * 512
    except (OSError, IndexError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def resident(field: str) -> float:
    """MiB resident now (VmRSS) or at most so far (VmHWM); without /proc, the latter for both."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024
    except (OSError, StopIteration):
        import resource

        unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes there, KiB elsewhere
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
