"""An interrupt in the middle of an import ends the process at once, in a sentence.

Below all packages: raised there, it would leave a module half made, and what asks for it next
would end in an error of its own, or in none.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType


def importing(frame: FrameType | None) -> bool:
    """Whether a module is being imported where a signal came."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def end_of_import(frame: FrameType | None, message: str, code: int) -> None:
    """From a handler of signals: where a module is being imported, the process ends."""
    if importing(frame):
        sys.stderr.write(f"nodejepa-ext: {message}\n")
        sys.stderr.flush()
        os._exit(code)


def handle(number: int, frame: FrameType | None) -> None:
    """Of SIGINT."""
    end_of_import(frame, "interrupted", 128 + number)
    raise KeyboardInterrupt


def guard() -> None:
    """From here on, unless SIGINT is ignored, as in a job in the background."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, handle)
