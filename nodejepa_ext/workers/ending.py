"""The end of a worker process, which nothing waits for without a limit."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress

GRACE = 5.0  # seconds that an ending process is given before SIGKILL, and after it
NO_END = "does not end, not even by SIGKILL"
SIGNALS = {s.value: s.name for s in signal.Signals}
abandoned: list[subprocess.Popen[bytes]] = []  # kept, for Python complains of what is dropped


def reap(process: subprocess.Popen[bytes], patience: float | None = None) -> int | None:
    """The return code of a process that is ending; None: not even SIGKILL ends it, as it sleeps
    uninterruptibly. Waits twice `patience` seconds (GRACE) at most."""
    patience = GRACE if patience is None else patience
    with suppress(subprocess.TimeoutExpired):
        return process.wait(patience)
    process.kill()
    with suppress(subprocess.TimeoutExpired):
        return process.wait(patience)
    return None


def end_group(leader: int) -> None:
    """Ends what a worker has started and left behind."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def how_it_ended(code: int) -> str:
    return (
        f"exit code {code}" if code >= 0 else f"killed by {SIGNALS.get(-code, f'signal {-code}')}"
    )
