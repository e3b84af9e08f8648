"""What befalls files and processes, repeated with a seed: damage, kills, full disks, programs.

Nothing is simulated: commands are real processes on real files, forked from one in which all is
imported, see survive_process.py. Counted is what may never be: something lost, something run out
of a file, a command that hangs, a traceback.
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nodejepa_ext.bench import (
    survive_disk,
    survive_files,
    survive_fuzz,
    survive_kill,
    survive_pickles,
)
from nodejepa_ext.bench.survive_process import FAULTS, Tally, preload

if TYPE_CHECKING:
    from rich.table import Table

Say = Callable[[str], None]
SHOWN = 40  # faults in words


def measure(share: float, seed: int, say: Say) -> dict[str, Any]:
    """All of it, or a share of each -> {"share", "seed", "rows", "cpu_seconds", "wall_seconds"}, a
    row {"what", "cases", "exits", "lost", "run", "hung", "tracebacks", "faults", "notes"}.
    RuntimeError: commands fail on sound files. ValueError: a share not above 0, or above 1."""
    if not 0.0 < share <= 1.0:
        raise ValueError(f"--share {share}: expected above 0, at most 1")
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    began, rows = time.monotonic(), list[dict[str, Any]]()
    say("imports, and sound files of every format")
    preload()
    with tempfile.TemporaryDirectory(prefix="nodejepa-survive-") as folder:
        scratch = Path(folder)
        home = survive_files.sound(scratch / "home")
        survive_fuzz.answers_in_a_process(home, scratch)
        for part in parts(home, scratch, share, seed):
            for tally in part():
                rows.append(tally.row())
                say(f"{tally.what}: {summary(rows[-1])}; {time.monotonic() - began:.0f} s")
                for text in tally.faults[:SHOWN]:
                    say(text)
    spent = sum(os.times()[:4])
    report: dict[str, Any] = {"share": share, "seed": seed, "rows": rows, "cpu_seconds": spent}
    return report | {"wall_seconds": time.monotonic() - began}


def parts(home: Path, scratch: Path, share: float, seed: int) -> list[Callable[[], list[Tally]]]:
    """Each makes one or more tallies."""

    def some(count: int) -> int:
        return max(1, round(share * count))

    def kills() -> random.Random:
        return random.Random(f"{seed}/kill")

    return [
        lambda: survive_fuzz.fuzz(home, scratch, some(survive_fuzz.CASES), seed),
        lambda: [survive_kill.train(home, scratch, some(survive_kill.OF_TRAIN), kills())],
        lambda: [survive_kill.others(home, scratch, some(survive_kill.OF_OTHERS), kills())],
        lambda: [survive_kill.checkpoints(home, scratch, some, seed)],
        lambda: [survive_pickles.pickles(home, scratch, some(survive_pickles.CASES), seed)],
        lambda: [survive_disk.disks(home, scratch, some(survive_disk.CASES), seed)],
        lambda: [survive_kill.sweep(home, scratch, some(survive_kill.OF_SWEEP), kills())],
    ]


def summary(row: dict[str, Any]) -> str:
    """A row in words."""
    exits = ", ".join(f"{count} with {code}" for code, count in row["exits"].items())
    return f"{row['cases']} cases, ended {exits or 'none'}, " + ", ".join(
        f"{kind} {row[kind]}" for kind in FAULTS
    )


def failed(report: dict[str, Any]) -> bool:
    """Something was lost, run, hung, or ended in a traceback."""
    return any(row[kind] for row in report["rows"] for kind in FAULTS)


def tables(report: dict[str, Any]) -> list[Table | str]:
    """A row a kind of trouble."""
    from rich.table import Table

    table = Table(title="What was survived", title_justify="left")
    for i, name in enumerate(("what", "cases", "ended well, by exit code", *FAULTS)):
        table.add_column(name, justify="right" if i not in (0, 2) else "left")
    for row in report["rows"]:
        exits = ", ".join(f"{code}: {count}" for code, count in row["exits"].items())
        table.add_row(row["what"], str(row["cases"]), exits, *(str(row[kind]) for kind in FAULTS))
    text = f"Share {report['share']:g} of all, seed {report['seed']}; {report['cpu_seconds']:.0f}"
    notes = [note for row in report["rows"] for note in row["notes"]]
    return [table, f"{text} CPU seconds, {report['wall_seconds']:.0f} in all.", *notes]
