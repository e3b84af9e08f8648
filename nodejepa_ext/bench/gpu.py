"""Whether a GPU does what the CPU does, how fast and in how much memory: `nodejepa-ext bench gpu`.

Beside `step`, whose figures are CPU seconds on one thread. In parts, each of which takes less than
8 minutes on a GPU; on the CPU all of it is a dry run of the same code, with narrow layers and two
steps on one graph. gpu_steps.py measures within this process, gpu_runs.py whole commands.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from nodejepa_ext.bench import gpu_runs, gpu_steps
from nodejepa_ext.bench.gpu_steps import Place, Row
from nodejepa_ext.files import atomic
from nodejepa_ext.workers.machine import processor, versions
from run_full import Config, placement

if TYPE_CHECKING:
    from rich.table import Table

DRY: Any = dict(graphs=("cora",), equal_steps=2, timed_steps=2, tiny=True)
REPORT = "gpu.json"


def memory(place: Place) -> Iterator[Row]:
    """Peaks against their forecast, and what cannot fit."""
    yield from gpu_steps.memory(place)
    yield from gpu_runs.too_wide(place)


PARTS: dict[str, Callable[[Place], Iterator[Row]]] = {
    "equality": gpu_steps.equality,
    "step": gpu_steps.step,
    "memory": memory,
    "resume": gpu_runs.resume,
    "sweep": gpu_runs.sweep,
}
COLUMNS: dict[str, dict[str, tuple[str, str]]] = {  # part -> key of a row -> heading, pattern
    "equality": {
        "loss_off": ("loss off", "{:.1e}"),
        "z_off": ("z off", "{:.1e}"),
        "again": ("same bits twice", "{}"),
    },
    "step": {
        "precision": ("precision", "{}"),
        "ms": ("ms a step", "{:.2f}"),
        "syncs": ("synchronising calls", "{:.1f}"),
        "loss": ("last loss", "{:.4f}"),
    },
    "memory": {
        "peak_mib": ("peak MiB", "{:.0f}"),
        "reserved_mib": ("reserved", "{:.0f}"),
        "forecast_mib": ("forecast", "{:.0f}"),
    },
    "resume": {},
    "sweep": {"seconds": ("s", "{:.0f}"), "trials_per_minute": ("trials a minute", "{:.1f}")},
}


def measure(
    device: str, parts: list[str], out: Path, progress: Callable[[str], None]
) -> dict[str, Any]:
    """The parts one after another -> the report: device, gpu, cuda, processor, versions, folder,
    seconds of each part, rows [{"part", "graph", "case", "ok", "note", figures}]. It is kept, row
    by row, in a new folder of out, beside what commands write. ValueError: there is no such
    device; a part is unknown."""
    if unknown := [part for part in parts if part not in PARTS]:
        raise ValueError(f"part {unknown[0]!r}: expected one of {', '.join(PARTS)}")
    placement(Config(device=device))
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    folder = out.resolve() / f"gpu-{stamp}-{os.getpid()}"
    folder.mkdir(parents=True)
    dry = DRY if device == "cpu" else {}
    place = Place(device, folder, progress, **dry)
    report: dict[str, Any] = {"device": device, "gpu": name_of(device), "processor": processor()}
    report |= {"cuda": torch.version.cuda, "versions": versions(), "folder": str(folder)}
    report |= {"seconds": {}, "rows": []}
    for part in parts:
        began = time.monotonic()
        for row in PARTS[part](place):
            report["rows"].append({"part": part, "note": ""} | row)
            report["seconds"][part] = time.monotonic() - began
            keep(folder, report)  # a later part may not come to its end
    return report


def name_of(device: str) -> str | None:
    """The GPU and its memory; None: there is none."""
    if device == "cpu":
        return None
    found = torch.cuda.get_device_properties(device)
    return f"{found.name}, {found.total_memory / 2**30:.0f} GiB"


def keep(folder: Path, report: dict[str, Any]) -> None:
    """Whole or not at all."""
    with atomic(folder / REPORT) as file:
        file.write(json.dumps(report, indent=1).encode())


def failed(report: dict[str, Any]) -> bool:
    return any(not row["ok"] for row in report["rows"])


def figure(value: Any, pattern: str) -> str:
    """ "-" where there is none."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else pattern.format(value)


def tables(report: dict[str, Any]) -> list[Table | str]:
    """A table a part, then the line that says where the figures come from."""
    from rich.table import Table

    shown: list[Table | str] = []
    for part, seconds in report["seconds"].items():
        columns = COLUMNS[part]
        table = Table("", "", title=f"{part}, {seconds:.0f} s", title_justify="left")
        for heading, _ in columns.values():
            table.add_column(heading, justify="right")
        table.add_column("")
        for row in (row for row in report["rows"] if row["part"] == part):
            figures = [figure(row.get(key), pattern) for key, (_, pattern) in columns.items()]
            verdict = "ok" if row["ok"] else "NOT as expected"
            said = f"{verdict}: {row['note']}" if row["note"] else verdict
            table.add_row(row["graph"], row["case"], *figures, said)
        shown.append(table)
    where = report["gpu"] or "A dry run on the CPU, whose figures mean nothing"
    bad = sum(not row["ok"] for row in report["rows"])
    found = f"{len(report['rows'])} checks, {bad} not as expected"
    text = f"{where}; CUDA {report['cuda']}, {report['processor']}, torch"
    shown.append(f"{text} {report['versions']['torch']}; {found}.")
    return shown
