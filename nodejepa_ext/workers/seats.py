"""Who may work where: the cores and CUDA devices of this process, and the workers on them."""

from __future__ import annotations

import os
from dataclasses import replace

import torch

import run_full
from run_full import Config


def placement(workers: int, rows: int, cfg: Config) -> tuple[int, int, list[str] | None]:
    """Workers, threads of each, and their CUDA devices: by default a worker a core or a GPU; one
    on a device that is one for all, as cuda:1."""
    devices = visible_gpus() if cfg.device in ("auto", "cuda") else []
    count = min(workers or len(devices) or alone(cfg), rows)
    return count, max(1, cores() // count), devices or None


def place(cfg: Config) -> dict[str, str]:
    """{"device": its kind, "precision": fp32 or bf16} of a run here, without opening a GPU."""
    kind, half = cfg.device.partition(":")[0], cfg.precision == "bf16"
    if kind == "auto":
        kind = run_full.accelerator()
    if kind == "cpu":
        half = run_full.placement(replace(cfg, device="cpu"))[1]
    return {"device": kind, "precision": "bf16" if half else "fp32"}


def alone(cfg: Config) -> int:
    """Workers where none has a CUDA device of its own: one a core, or one on an accelerator."""
    return cores() if place(cfg)["device"] == "cpu" else 1


def cores() -> int:
    """Those that this process may use."""
    seen = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return seen or 1


def visible_gpus() -> list[str]:
    """CUDA devices as CUDA_VISIBLE_DEVICES names them, MIG instances too; their context is not
    opened."""
    seen = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    count = torch.cuda.device_count()  # those of CUDA_VISIBLE_DEVICES
    names = seen.split(",") if seen else list(map(str, range(count)))
    if count and all(name.startswith("MIG-") for name in names):
        return names  # of which CUDA shows a process one
    return names[:count]
