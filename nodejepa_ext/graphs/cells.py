"""What one cell of a table says, as every reader takes it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from nodejepa_ext.graphs.archives import Array, refuse_large

WORDS = {"true": 1.0, "false": 0.0}  # of a feature
LARGEST = float(np.finfo(np.float32).max)
LONGEST = 1000  # characters of an id or a label
INTEGER = re.compile("0|-?[1-9][0-9]*")


def text(cell: Any) -> str:
    """An id or label as written; "" where there is none. 3.0, as pandas has 3 beside gaps, is 3."""
    if cell is None or cell != cell:
        return ""
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell).strip()


def number(cell: Any) -> float | None:
    """None: not a number that is finite in float32."""
    if isinstance(cell, str):
        if "_" in cell:
            return None
        cell = WORDS.get(cell.strip().lower(), cell)
    try:
        value = float(cell)
    except (TypeError, ValueError, OverflowError):
        return None
    return value if abs(value) <= LARGEST else None


def ordered(names: Sequence[str]) -> list[str]:
    return sorted(names, key=int if all(map(INTEGER.fullmatch, names)) else None)


def array_of(names: Sequence[str]) -> Array:
    """int64 where all are integers as Python writes them, and small enough, else strings."""
    if names and all(len(n) < 20 and INTEGER.fullmatch(n) for n in names):
        numbers = list(map(int, names))
        if max(map(abs, numbers)) < 2**63:
            return np.array(numbers, np.int64)
    return strings_of(names)


def strings_of(names: Sequence[str]) -> Array:
    """As numpy has strings [n], of the width of the longest. GraphError: that is too large."""
    width = max(map(len, names), default=0)
    refuse_large(f"{len(names)} names of up to {width} characters", 4 * width * len(names))
    return np.array(names, dtype=str)


def too_large(value: Any) -> bool:
    """Whether it is a number beyond float32."""
    try:
        return LARGEST < abs(float(value)) < float("inf")
    except (TypeError, ValueError, OverflowError):
        return False
