"""Where and by which state of the code a trial is trained: the same for all of a study.

Apart from trial.py, because the supervisor, which opens no GPU, compares by it.
"""

from __future__ import annotations

from typing import Any

from optuna.trial import FrozenTrial

from nodejepa_ext.ablation.revisions import ALWAYS
from nodejepa_ext.parts.choice import differences
from nodejepa_ext.workers.seats import place
from run_full import Config

PLACE = "place"  # a study's attribute: where it is trained


def ran_on(cfg: Config) -> dict[str, Any]:
    """{"device": its kind, "precision": fp32 or bf16, "revisions"} of a configuration here."""
    return place(cfg) | {"revisions": ALWAYS}


def moved(study: dict[str, Any], trials: list[FrozenTrial], here: dict[str, Any]) -> list[str]:
    """How the study ran otherwise than here, which makes other numbers: as its place says or, if
    that is empty, the last trial that says so. What neither says is not compared."""
    said = [study, *(trial.user_attrs for trial in reversed(trials))]
    for attributes in said:
        there = {name: attributes[name] for name in here if name in attributes}
        if there:
            return differences(there, {name: here[name] for name in there})
    return []
