"""Claims about the program as a process: an interrupt, even while it imports, is 130 and a line."""

from __future__ import annotations

import signal
import subprocess
import sys


def test_an_interrupt_while_importing() -> None:
    code = (
        "import builtins, os, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "plain = builtins.__import__\n"
        "def slow(name, *rest):\n"
        "    if name == 'typer': os.kill(os.getpid(), signal.SIGINT)\n"
        "    return plain(name, *rest)\n"
        "builtins.__import__ = slow\n"
        "from nodejepa_ext.__main__ import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 128 + signal.SIGINT, done.stderr
    assert done.stderr == "nodejepa-ext: interrupted\n"


def test_it_runs_as_a_module() -> None:
    words = [sys.executable, "-m", "nodejepa_ext", "--version"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.strip()
