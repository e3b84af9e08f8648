"""Whether a folder may be a sweep's: what is in it is a sweep's own, or nothing.

Apart from the stores, which know their journal alone, because a sweep in PostgreSQL writes its
report to a folder as well.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from nodejepa_ext.files import TEMPORARY
from nodejepa_ext.records import Damaged, Each, read_bytes, read_json
from nodejepa_ext.sweep.report import BEST, CURVES, HEAD, JOURNAL, RESULTS

SUPERVISORS = "supervisors"
REPORT = {"graphs": Each({"plan": {"graph": str}, "study": str})}
LINE = {"graph", "phase", "trial", "seed"}  # in every line of CURVES
BESIDE = re.compile(r"journal-(torn|damaged)-.*")


def claim(folder: Path) -> None:
    """Nothing is lost if a sweep writes here. ValueError: the folder is none, or holds what is not
    a sweep's, or links."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: a file, expected a folder")
    held = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    own = [name for name in (JOURNAL, SUPERVISORS, RESULTS, BEST, CURVES) if name in held]
    if links := [name for name in own if (folder / name).is_symlink()]:
        raise ValueError(f"{folder / links[0]}: is a link, expected a sweep's own; nothing is done")
    if JOURNAL in held:
        return  # whoever opens it says whether it is one
    for name in own:
        if name != SUPERVISORS and not written_by_a_sweep(folder / name):
            raise ValueError(f"{folder / name}: not of a sweep, nothing is replaced")
    other = {n for n in held if not TEMPORARY.fullmatch(n) and not BESIDE.fullmatch(n)} - {*own}
    if other and RESULTS not in held:
        text = ", ".join(sorted(other)[:5])
        raise ValueError(f"{folder}: {text}: not of a sweep, expected a new or an empty folder")


def written_by_a_sweep(path: Path) -> bool:
    """RESULTS, BEST or CURVES of a sweep."""
    try:
        if path.name == RESULTS:
            return bool(read_json(path, REPORT)["graphs"])
        first = read_bytes(path).partition(b"\n")[0].decode()
        if path.name == BEST:
            return first == HEAD.strip()
        return not first or json.loads(first).keys() >= LINE
    except (Damaged, OSError, ValueError, AttributeError, RecursionError):
        return False
