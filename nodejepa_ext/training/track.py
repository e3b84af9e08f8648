"""A run's metrics mirrored to trackio (extra `trackio`), on this machine alone.

Apart from `folder`, since no run depends on it: metrics.jsonl is the record, and a tracker that
fails is left behind. Where it keeps its database: $TRACKIO_DIR, else ~/.cache/huggingface/trackio.
"""

from __future__ import annotations

import io
import json
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from run_full import TrainState

TRACKERS = ("trackio",)
REMOTE = ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL", "TRACKIO_WEBHOOK_URL")  # to where it would send
Say = Callable[[str], None]


def check(name: str) -> None:
    """ValueError: no such tracker. ImportError: it is not installed."""
    if name not in TRACKERS:
        raise ValueError(f"--track {name}: expected {', '.join(TRACKERS)}")
    if find_spec(name) is None:
        raise ImportError(f"--track {name}: needs {name}: pip install 'nodejepa[{name}]'")


@contextmanager
def mirror(folder: Path, say: Say) -> Iterator[Mirror]:
    """An EpochHook for the run in `folder`, whose run.json there may not be before its first row;
    at the end of the block, all that was sent is stored."""
    with ExitStack() as stack:
        yield Mirror(folder, say, stack)


class Mirror:
    """An EpochHook: sends the rows of a run whose run.json has "track", a project of trackio, to
    the run of the folder's name. One that it has begun goes on there with the first row that is
    missing, so that it has the rows of metrics.jsonl, each once. What fails is said, and is the end
    of the mirror, not of the run."""

    def __init__(self, folder: Path, say: Say, stack: ExitStack) -> None:
        self.folder, self.say, self.stack = folder.absolute(), say, stack
        self.run: Any = None
        self.on, self.sent = True, 0  # epochs

    def __call__(self, state: TrainState, row: dict[str, float]) -> None:
        try:
            if self.on and self.run is None:
                self.begin(json.loads((self.folder / "run.json").read_bytes()))
            for unsent in state.rows[self.sent :] if self.on else ():
                self.sent += 1
                self.run.log(dict(unsent), step=self.sent)
        except Exception as error:  # whatever it is
            self.fail(error)

    def begin(self, meta: dict[str, Any]) -> None:
        """meta: run.json."""
        if (project := meta.get("track")) is None:
            self.on = False
            return
        os.environ.setdefault("HF_HUB_OFFLINE", "1")  # or it would ask the hub for a user's name
        import trackio
        from trackio.sqlite_storage import SQLiteStorage as Stored
        from trackio.utils import TRACKIO_DIR

        self.stack.enter_context(heard(self.fail))
        name = self.folder.name
        about = {"folder": str(self.folder), "began": meta["began"]}
        with local():
            ours = about.items() <= (Stored.get_run_config(project, name) or {}).items()
            self.sent = Stored.get_max_step_for_run(project, name) or 0 if ours else 0
            self.run = trackio.init(
                project,
                name,
                config=meta["settings"] | about,
                resume="allow" if ours else "never",
                embed=False,
                auto_log_gpu=False,
                auto_log_cpu=False,
            )
        self.stack.callback(local()(trackio.finish))
        if self.on:
            text = f"trackio: {TRACKIO_DIR}, run {name}"
            self.say(f"{text}; to look at it: trackio show --project {project}")

    def fail(self, reason: object) -> None:
        if self.on:
            self.on = False
            self.say(f"trackio: {reason}; training goes on without it")


@contextmanager
def local() -> Iterator[None]:
    """For calls of trackio, which prints to stdout and may be told by the environment to send."""
    kept = {name: os.environ.pop(name) for name in REMOTE if name in os.environ}
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        os.environ.update(kept)


@contextmanager
def heard(tell: Callable[[object], None]) -> Iterator[None]:
    """Warnings of trackio, by which it says what failed, in its threads as well, go to `tell`."""
    with warnings.catch_warnings():
        others = warnings.showwarning

        def show(message: Warning | str, category: Any, filename: str, *rest: Any) -> None:
            if "trackio" in Path(filename).parts:
                tell(message)
            else:
                others(message, category, filename, *rest)

        warnings.filterwarnings("always", module="trackio")
        warnings.showwarning = show  # type: ignore[assignment]
        yield
