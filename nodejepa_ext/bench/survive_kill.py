"""SIGKILL at moments drawn by a seed: what was finished is there, and the continuation ends as if
nothing had been; and damaged checkpoints, of which none is believed.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nodejepa_ext.bench import survive_files as files
from nodejepa_ext.bench.survive_damage import flip
from nodejepa_ext.bench.survive_fuzz import Told, take, told, within
from nodejepa_ext.bench.survive_process import (
    LIMIT,
    Ended,
    Tally,
    begin,
    command,
    end_group,
    many,
    waited,
)
from nodejepa_ext.files import TEMPORARY

OF_TRAIN, OF_SWEEP, OF_OTHERS, FLIPS, TENTHS = 30, 30, 20, 200, 10
OF_RUN = ("embeddings.npz", "model.safetensors", "metrics.jsonl")
ENDING = 2.0  # seconds a worker is given to notice that its supervisor is gone
TRAINING = ["train", "graph.npz", "--out", "killed", "--checkpoint-every", "1", *files.TRAIN]
SWEEP = ["sweep", *files.SEARCH, "--out", "killed"]


def timed(words: list[str], folder: Path, log: Path) -> tuple[Ended, float]:
    began = time.monotonic()
    return command(words, folder, log), time.monotonic() - began


def killed(words: list[str], folder: Path, log: Path, after: float, whom: str = "all") -> None:
    """Begins it, and kills it `after` seconds, if it still runs. whom: all, the one that was begun
    (its workers see that for themselves), or worker, after which it goes on to its end."""
    pid = begin(words, folder, log)
    if waited(pid, after) is not None:
        return
    workers = children(pid)
    if whom == "worker" and workers:
        for worker in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
        if waited(pid, LIMIT) is not None:
            return
    os.kill(pid, signal.SIGKILL)
    for worker in workers if whom == "all" else ():
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)
    if waited(pid, LIMIT) is None:
        end_group(pid)
    until = time.monotonic() + ENDING
    while any(Path(f"/proc/{w}").exists() for w in workers) and time.monotonic() < until:
        time.sleep(0.02)


def children(pid: int) -> list[int]:
    """Processes that it began and that live; none where there is no /proc."""
    try:
        return [*map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
    except OSError:
        return []


def contents(folder: Path, names: tuple[str, ...]) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in names if (folder / name).exists()}


def strangers(folder: Path, known: set[str]) -> list[str]:
    """Files below a folder that no whole command leaves, but for temporary ones of killed ones."""
    found = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    return sorted(f for f in found - known if not TEMPORARY.fullmatch(Path(f).name))


def train(home: Path, scratch: Path, count: int, rng: random.Random) -> Tally:
    """Runs killed, and gone on with by --resume, or anew where nothing had been kept."""
    tally, place, log = Tally("SIGKILL of train", count), scratch / "kill", scratch / "train"
    files.fresh(home, place, ("graph.npz",))
    end, seconds = timed(TRAINING, place, log)
    whole = contents(place / "killed", OF_RUN)
    known = {str(p.relative_to(place / "killed")) for p in (place / "killed").rglob("*")}
    if end.code or len(whole) != len(OF_RUN):
        tally.fault("lost", f"the uninterrupted run: {end.err[-500:]}")
    for number in range(count):
        files.fresh(home, place, ("graph.npz",))
        after = rng.uniform(0.0, 1.1 * seconds)
        killed(TRAINING, place, log, after)
        what = f"kill {number} after {after:.3f} s"
        again = (
            ["train", "--resume", "killed"] if (place / "killed/run.json").exists() else TRAINING
        )
        if not tally.take(end := command(again, place, log)):
            continue
        if end.code or contents(place / "killed", OF_RUN) != whole:
            tally.fault("lost", f"{what}: {' '.join(again[:3])}: {end.code} {end.err[-300:]}")
        if more := strangers(place / "killed", known):
            tally.fault("lost", f"{what}: left {more}")
    return tally


def outcome(folder: Path) -> dict[str, Any]:
    """Of a sweep's folder: settings -> value of its complete trials, and the winner's settings."""
    found = json.loads((folder / "final_results.json").read_text())["graphs"]["cora"]
    trials = {
        json.dumps(trial["params"], sort_keys=True): trial["value"]
        for trial in found["trials"]
        if trial["state"] == "COMPLETE"
    }
    return {"trials": trials, "winner": winner(found)}


def winner(found: dict[str, Any]) -> Any:
    """Settings of the winner of a report; None: there is none."""
    won = found["winner"]
    number = won.get("number", won.get("trial")) if isinstance(won, dict) else won
    config = [t["params"] for t in found["trials"] if t["number"] == number]
    return config[0] if config else won


def sweep(home: Path, scratch: Path, count: int, rng: random.Random) -> Tally:
    """Sweeps of which the supervisor, a worker or both are killed; then the same command."""
    tally, place, log = Tally("SIGKILL of sweep", count), scratch / "kill", scratch / "sweep"
    if not count:
        return tally
    files.fresh(home, place, ("first.toml",))
    end, seconds = timed(SWEEP, place, log)
    if end.code:
        tally.fault("lost", f"the uninterrupted sweep: {end.err[-500:]}")
        return tally
    whole = outcome(place / "killed")
    for number in range(count):
        files.fresh(home, place, ("first.toml",))
        after, whom = rng.uniform(0.0, seconds), ("all", "supervisor", "worker")[number % 3]
        killed(SWEEP, place, log, after, whom)
        before = finished_trials(place / "killed")
        if not tally.take(end := command(SWEEP, place, log)):
            continue
        what = f"kill {number} of {whom} after {after:.2f} s"
        found = outcome(place / "killed") if end.code == 0 else {}
        if found != whole:
            tally.fault("lost", f"{what}: {end.code}, {found}, expected {whole}: {end.err[-300:]}")
        elif gone := before - finished_trials(place / "killed"):
            tally.fault("lost", f"{what}: finished trials {sorted(gone)} are gone")
    return tally


def finished_trials(folder: Path) -> set[str]:
    """Records of a sweep's journal that end a trial with a value."""
    try:
        rows = (folder / "journal.jsonl").read_bytes().split(b"\n")[:-1]
    except OSError:
        return set()
    return {row.decode() for row in rows if b'"values":[' in row}


OTHERS = (
    (["embed", "run", "--out", "out.csv"], "out.csv"),
    (["export", "run", "--hub", "out"], "out"),
    (["data", "convert", "graph.npz", "out.npz"], "out.npz"),
    (["embed", "run", "--out", "out.parquet"], "out.parquet"),
)


def tree(path: Path) -> dict[str, bytes]:
    """Bytes of a file, or of all in a folder, but for temporary ones."""
    found = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return {p.name: p.read_bytes() for p in found if not TEMPORARY.fullmatch(p.name)}


def others(home: Path, scratch: Path, count: int, rng: random.Random) -> Tally:
    """embed, export and convert killed while they replace an older file, or write a first one."""
    tally, place = Tally("SIGKILL of embed, export, convert", count), scratch / "kill"
    log, older = scratch / "others", b"an older file"
    for number in range(count):
        words, name = OTHERS[number % len(OTHERS)]
        again = [*words, "--overwrite"]
        files.fresh(home, place, ("graph.npz", "run"))
        _, seconds = timed(words, place, log)
        whole = tree(place / name)
        files.fresh(home, place, ("graph.npz", "run"))
        if (place / name).suffix and number % 2:
            (place / name).write_bytes(older)
        after = rng.uniform(0.0, 1.1 * seconds)
        killed(again, place, log, after)
        left = tree(place / name) if (place / name).exists() else {}
        torn = [n for n, held in left.items() if held not in (older, whole.get(n))]
        if torn:
            tally.fault("lost", f"{' '.join(again)} killed after {after:.3f} s: torn {torn}")
        if tally.take(end := command(again, place, log)) and (
            end.code or tree(place / name) != whole
        ):
            tally.fault("lost", f"{' '.join(again)} after a kill: {end.code} {end.err[-300:]}")
    return tally


def checkpoints(home: Path, scratch: Path, share: Callable[[int], int], seed: int) -> Tally:
    """The newest checkpoint cut at every tenth of its length, and bits of it flipped, with and
    without an older one beside it: refused, or the older one gives the same result."""
    flips, place = share(FLIPS), scratch / "checkpoint"
    tally = Tally("damaged checkpoints", TENTHS + flips)
    pair = ("step-00000006.safetensors", "step-00000006.json")
    wanted = (home / "run/embeddings.npz").read_bytes()

    def trial(number: int) -> Told:
        rng = random.Random(f"{seed}/checkpoint/{number}")
        files.fresh(home, place, ("graph.npz", "stopped"))
        path = place / "stopped/checkpoints" / pair[number % 5 == 4 and number >= TENTHS]
        payload = path.read_bytes()
        tenth = payload[: len(payload) * number // TENTHS]
        path.write_bytes(tenth if number < TENTHS else flip(payload, rng))
        if rng.random() < 0.5:
            for older in path.parent.glob("step-00000005.*"):
                older.unlink()
        with contextlib.chdir(place):
            end = within(["train", "--resume", "stopped"])
        found = told(end, f"checkpoint {number}")
        if not end.code and (place / "stopped/embeddings.npz").read_bytes() != wanted:
            found.append(("lost", f"checkpoint {number}: another result without a word"))
        if end.code and not path.exists():
            found.append(("lost", f"checkpoint {number}: refused, and removed"))
        return found

    for found in many(trial, TENTHS + flips, scratch / "checkpoints"):
        take(tally, found)
    shutil.rmtree(place, ignore_errors=True)
    return tally
