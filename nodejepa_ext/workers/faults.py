"""Whose fault a failure is: the machine's, which may be mended, or the settings', which stay.

Apart from supervisor.py and free of everything else, because a sweep judges by it what its record
says of trials long past: it goes by the words that are kept of a failure and by nothing else.
"""

from __future__ import annotations

import builtins
import re

MACHINE, SETTINGS, MEMORY = "machine", "settings", "memory"
OUT_OF_MEMORY = re.compile(
    r"^(OutOfMemoryError|MemoryError)|can't allocate memory|out of memory", re.IGNORECASE
)
CUDA = re.compile(
    r"^AcceleratorError|CUDA(-capable)? (error|driver|device)|No CUDA GPUs|cudaError|cuDNN error|"
    r"CU(DNN|BLAS|SPARSE|SOLVER|FFT|RAND)_STATUS|NCCL error|NVML",
    re.IGNORECASE,
)
GPU = re.compile(r"CUDA|HIP")
SYSTEM = frozenset(
    name
    for name, kind in vars(builtins).items()
    if isinstance(kind, type) and issubclass(kind, OSError)
)


def words(error: Exception) -> str:
    """What is kept of an exception: "Name: text"; an OSError of whatever library is called that."""
    name = type(error).__name__
    if isinstance(error, OSError) and name not in SYSTEM:
        name = f"OSError: {name}"
    return f"{name}: {error}"


def fault(status: str, message: str) -> str:
    """Of a job that ended as `status` ("died", "timeout", "failed") with these words. MEMORY: too
    large for the machine. MACHINE: a process that died, a time-out, an error of CUDA or of the
    operating system. SETTINGS: any other exception, as ValueError, and whatever else is known."""
    if status in ("died", "timeout"):
        return MACHINE
    if OUT_OF_MEMORY.search(message):
        return MEMORY
    if status == "failed" and (CUDA.search(message) or message.partition(":")[0] in SYSTEM):
        return MACHINE
    return SETTINGS


def of_a_gpu(message: str) -> bool:
    """The memory that ran out is a GPU's, which another program may have filled; other seats have
    other GPUs, but all share the memory of the host."""
    return bool(GPU.search(message))
