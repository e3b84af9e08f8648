"""Which trials run again: those whose supervisor died, and those that the machine failed.

Apart from study.py, which runs them, because the report says the same of a record at any time. A
repetition is a trial of its own, with "retry_of" in its user attributes, so that numbers stay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nodejepa_ext.workers.faults import MACHINE, fault

if TYPE_CHECKING:  # a report that was written before is shown without Optuna
    from optuna.trial import FrozenTrial

MOST = 10  # attempts at a trial, interruptions apart, each of which may be tried at two seats
GIVEN_UP = "given up"
INTERRUPTED = "interrupted"  # message of a trial that Ctrl-C or SIGTERM cut short


def originals(trials: list[FrozenTrial]) -> int:
    """How many are no repetition."""
    return sum("retry_of" not in trial.user_attrs for trial in trials)


def lost(trial: FrozenTrial) -> bool:
    """Its supervisor died, or was interrupted."""
    return trial.state.name == "FAIL" and trial.user_attrs.get("outcome") == "lost"


def broken(trial: FrozenTrial) -> bool:
    """It failed, and not by its settings."""
    attributes = trial.user_attrs
    kind = fault(attributes.get("outcome", ""), attributes.get("message", ""))
    return trial.state.name == "FAIL" and kind == MACHINE


def attempts(trials: list[FrozenTrial], trial: FrozenTrial) -> int:
    """How often it was tried, with all that it repeats; interruptions are none."""
    by_number = {one.number: one for one in trials}
    count, seen, at = 0, set[int](), by_number.get(trial.number)
    while at is not None and at.number not in seen:
        seen.add(at.number)
        count += at.user_attrs.get("message") != INTERRUPTED
        at = by_number.get(at.user_attrs.get("retry_of", -1))
    return count


def last(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    """Those that are to be repeated and that no other repeats yet."""
    repeated = {trial.user_attrs.get("retry_of") for trial in trials}
    return [t for t in trials if (lost(t) or broken(t)) and t.number not in repeated]


def due(trials: list[FrozenTrial], start: bool) -> list[FrozenTrial]:
    """Those to be repeated now: what is lost at once, what the machine failed at the next start of
    the command, either MOST times at most."""
    now = [trial for trial in last(trials) if start or lost(trial)]
    return [trial for trial in now if attempts(trials, trial) < MOST]


def given_up(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    """Those that were tried MOST times, and never ended by themselves."""
    return [trial for trial in last(trials) if attempts(trials, trial) >= MOST]


def unfinished(trials: list[FrozenTrial], search: bool) -> dict[str, list[int]]:
    """Kind -> numbers of the trials that are still to end. In a search, what waits is not asked for
    unless it repeats another."""
    waiting = [t for t in trials if t.state.name == "WAITING"]
    kinds = {
        "running": [t for t in trials if t.state.name == "RUNNING"],
        "waiting": [t for t in waiting if not search or "retry_of" in t.user_attrs],
        "to be run again": due(trials, start=True),
        GIVEN_UP: given_up(trials),
    }
    return {kind: [t.number for t in found] for kind, found in kinds.items() if found}
