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

PLACE = "place"  # a study's attribute: where it is trained


def ran_on(cfg: Config) -> dict[str, Any]:
    """{"device": its kind, "precision": fp32 or bf16, "revisions"} of a configuration here."""
    kind, half = cfg.device.partition(":")[0], cfg.precision == "bf16"
    if kind == "auto":
        kind = "mps" if torch.mps.device_count() else "cpu"
        kind = "cuda" if torch.cuda.is_available() else kind
    if kind == "cpu":
        _, half = run_full.placement(replace(cfg, device="cpu"))
    return {"device": kind, "precision": "bf16" if half else "fp32", "revisions": ALWAYS}


def moved(study: dict[str, Any], trials: list[FrozenTrial], here: dict[str, Any]) -> list[str]:
    """How the study ran otherwise than here, which makes other numbers: as its place says or, if
    that is empty, the last trial that says so. What neither says is not compared."""
    said = [study, *(trial.user_attrs for trial in reversed(trials))]
    for attributes in said:
        there = {name: attributes[name] for name in here if name in attributes}
        if there:
            return differences(there, {name: here[name] for name in there})
    return []
