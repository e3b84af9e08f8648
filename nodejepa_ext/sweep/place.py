"""Where and by which state of the code a trial is trained: the same for all of a study.

Apart from trial.py, because the supervisor, which opens no GPU, compares by it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from optuna.trial import FrozenTrial

import run_full
from nodejepa_ext.ablation.revisions import ALWAYS
from nodejepa_ext.parts.choice import differences
from run_full import Config


def ran_on(cfg: Config) -> dict[str, Any]:
    """{"device": its kind, "precision": fp32 or bf16, "revisions"} of a configuration here."""
    kind, half = cfg.device.partition(":")[0], cfg.precision == "bf16"
    if kind == "auto":
        kind = "mps" if torch.mps.device_count() else "cpu"
        kind = "cuda" if torch.cuda.is_available() else kind
    if kind == "cpu":
        _, half = run_full.placement(replace(cfg, device="cpu"))
    return {"device": kind, "precision": "bf16" if half else "fp32", "revisions": ALWAYS}


def moved(trials: list[FrozenTrial], cfg: Config) -> list[str]:
    """How the last of them that says so ran otherwise than cfg would here: it makes other numbers.
    What a trial does not say is not compared."""
    here = ran_on(cfg)
    for trial in reversed(trials):
        there = {k: v for k, v in trial.user_attrs.items() if k in here}
        if there:
            return differences(there, {name: here[name] for name in there})
    return []
