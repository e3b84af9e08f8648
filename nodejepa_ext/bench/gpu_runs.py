"""What whole commands do on a GPU: a run that is killed, one that is too wide, workers of a sweep.

Apart from gpu_steps.py, which measures within a process. Every command is a process of its own,
whose output is kept beside what it writes.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from nodejepa_ext.bench.gpu_steps import Place, Row, attempt
from nodejepa_ext.bench.process import environment

WORKERS = (1, 2, 4)  # of a sweep, on one device
TRIALS = 6
LIMIT = 150.0  # seconds of a command: three sweeps take less than 8 minutes
SPREAD = 10.0  # a resumed run is off by at most so many times what two whole runs are
# Equal trials, whatever number a sweep draws: it changes nothing that takes time.
SPACE = "weight_decay = {low = 1e-6, high = 1e-5}\n"


def command(*words: str | Path) -> list[str]:
    """`nodejepa-ext words...` as arguments of a process."""
    return [sys.executable, "-m", "nodejepa_ext", *map(str, words)]


def called(place: Place, name: str, *words: str | Path) -> tuple[int, float]:
    """The command's exit code and seconds, its output in name.log. RuntimeError: it took longer
    than LIMIT."""
    began = time.monotonic()
    with (place.folder / f"{name}.log").open("wb") as log:
        streams: Any = dict(stdout=log, stderr=subprocess.STDOUT, env=environment())
        try:
            done = subprocess.run(command(*words), timeout=LIMIT, check=False, **streams)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"{name} took longer than {LIMIT:.0f} s") from None
    return done.returncode, time.monotonic() - began


def wanted(name: str, found: int, code: int = 0) -> None:
    """RuntimeError: the command ended with another exit code."""
    if found != code:
        raise RuntimeError(f"{name} ended with exit code {found}, expected {code}: see {name}.log")


def training(place: Place, name: str) -> list[str | Path]:
    """`train` of a run that takes long enough to be killed on its way."""
    epochs, every = ("60", "5") if place.tiny else ("2000", "50")
    words: list[str | Path] = ["train", "cora", "--preset", "card", "--device", place.device]
    words += ["--epochs", epochs, "--eval-every", "0", "--checkpoint-every", every]
    if place.tiny:
        words += ["--hidden", "32", "--out-width", "32"]
    return [*words, "--out", place.folder / name]


def resume(place: Place) -> Iterator[Row]:
    """A row {"case", "ok", "note"}: a run killed at its first checkpoint and gone on with, against
    two whole ones."""
    yield attempt({"graph": "cora", "case": "kill -9 and resume"}, partial(resumed, place))


def resumed(place: Place) -> Row:
    """The row of `resume`."""
    for name in ("whole", "again"):
        place.progress(f"resume: {name}")
        wanted(name, called(place, name, *training(place, name))[0])
    place.progress("resume: killed, and gone on with")
    killed(place, "killed")
    wanted("resumed", called(place, "resumed", "train", "--resume", place.folder / "killed")[0])
    whole = embedding(place, "whole")
    scale = np.abs(whole).max()
    off, spread = (
        float(np.abs(embedding(place, name) - whole).max() / scale) for name in ("killed", "again")
    )
    note = f"z off {off:.1e} from a whole run, two whole runs {spread:.1e}"
    return {"ok": off <= SPREAD * spread, "z_off": off, "z_spread": spread, "note": note}


def killed(place: Place, name: str) -> None:
    """Starts a training and kills it once it has a checkpoint. RuntimeError: it ended before."""
    until = time.monotonic() + LIMIT
    with (place.folder / f"{name}.log").open("wb") as log:
        streams: Any = dict(stdout=log, stderr=subprocess.STDOUT, env=environment())
        with subprocess.Popen(command(*training(place, name)), **streams) as process:
            try:
                wait(process, place.folder / name / "checkpoints", until)
            finally:
                process.kill()  # SIGKILL
    if process.returncode >= 0:
        raise RuntimeError(f"{name} ended with {process.returncode} before it was killed")


def wait(process: subprocess.Popen[bytes], folder: Path, until: float) -> None:
    """Until the folder has a checkpoint, or the process has ended. RuntimeError: neither comes."""
    while process.poll() is None and not any(folder.glob("step-*.json")):
        if time.monotonic() > until:
            raise RuntimeError(f"no checkpoint in {LIMIT:.0f} s")
        time.sleep(0.01)


def embedding(place: Place, name: str) -> np.ndarray:
    """z [N, D] of a finished run."""
    with np.load(place.folder / name / "embeddings.npz", allow_pickle=False) as arrays:
        z: np.ndarray = arrays["z"]
    return z


def too_wide(place: Place) -> Iterator[Row]:
    """A row {"case", "ok", "note"}: what cannot fit is refused before it begins."""
    place.progress("memory: too wide")
    names = {"graph": "cora", "case": "too wide"}
    yield attempt(names, partial(refused, place))


def refused(place: Place) -> Row:
    """The row of `too_wide`."""
    wide = ("--hidden", "65536", "--out-width", "65536", "--layers", "8")
    words = ("train", "cora", "--preset", "card", "--encoder", "gcn", *wide)
    out = ("--device", place.device, "--out", place.folder / "wide")
    code, _ = called(place, "wide", *words, *out)
    return {"ok": code == 6, "note": f"exit code {code}, expected 6"}


def sweep(place: Place) -> Iterator[Row]:
    """Rows {"workers", "seconds", "trials_per_minute", "ok"}: the same number of equal trials by
    more and more workers on the one device, their start included."""
    (place.folder / "space.toml").write_text(SPACE)
    for workers in WORKERS:
        place.progress(f"sweep: {workers} worker(s)")
        names = {"graph": "cora", "case": f"{workers} worker(s)", "workers": workers}
        yield attempt(names, partial(swept, place, workers))


def swept(place: Place, workers: int) -> Row:
    """One row of `sweep`."""
    name = f"sweep-{workers}"
    trials = 2 if place.tiny else TRIALS
    words: list[str | Path] = ["sweep", "--graphs", "cora", "--trials", str(trials)]
    words += ["--space", place.folder / "space.toml", "--pruner", "none", "--best", "0"]
    words += ["--device", place.device, "--workers", str(workers), "--seeds", "1"]
    if place.device == "cuda":
        words += ["--gpus", "1", "--strict-gpus"]
    if place.tiny:
        words += ["--hidden", "32", "--out-width", "32", "--epochs", "2", "--eval-every", "0"]
    code, seconds = called(place, name, *words, "--out", place.folder / name)
    wanted(name, code)
    return {"ok": True, "seconds": seconds, "trials_per_minute": 60 * trials / seconds}
