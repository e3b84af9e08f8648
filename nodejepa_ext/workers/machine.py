"""What a figure was measured with: the processor, and the versions of what computed it."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("torch", "torch-geometric", "scikit-learn", "numpy", "scipy")


def processor() -> str:
    """Its name, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def versions(*more: str) -> dict[str, str]:
    """Of Python, of the packages that any number depends on, and of `more` packages."""
    found = {name: version(name) for name in (*PACKAGES, *more)}
    return {"python": sys.version.split()[0]} | found
