"""A journal with damaged lines, made anew from what is sound.

A trial is sound if none of its records is missing between its first and its last. It keeps its
number and every record; the place of one that is not is taken by a trial that failed, so that it
runs again. Apart from journal.py, because nothing else ever writes a journal anew.
"""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nodejepa_ext.files import atomic
from nodejepa_ext.records import read_bytes
from nodejepa_ext.sweep.private import FAILED, MAXIMIZE
from nodejepa_ext.sweep.sealed import (
    CREATE_STUDY,
    CREATE_TRIAL,
    Ledger,
    Record,
    seal,
    survey,
    unsealed,
)
from nodejepa_ext.sweep.words import listed

LARGEST = 1 << 34  # bytes of a journal
MESSAGE = "its records in the journal were damaged"
WRITER = "rebuilt"  # in the place of an Optuna worker


@dataclass
class Kept:
    """What is sound of one study."""

    name: str
    records: list[Record] = field(default_factory=list)  # its own
    trials: dict[int, int] = field(default_factory=dict)  # number -> id


def rebuild(path: Path) -> str:
    """Makes the journal at `path` anew without its damaged lines, whole or not at all -> what was
    done; "": no line is damaged. ValueError: a damaged line was written without checksums, so that
    what it was cannot be known. OSError: it cannot be written."""
    lines = read_bytes(path, LARGEST).split(b"\n")[:-1]
    old, bad = survey(lines)
    if not bad:
        return ""
    if old and bad[0] <= old:
        raise ValueError(
            f"{path}: line {bad[0] + 1} is damaged and was written without checksums, by an "
            "earlier version; --drop-damaged cannot tell what it was"
        )
    damaged = set(bad)
    sound = [line for i, line in enumerate(lines) if i not in damaged]
    if not sound:
        raise ValueError(f"{path}: no line is sound, so that nothing of it can be kept")
    made, dropped = remade([json.loads(unsealed(line) or line) for line in sound])
    aside = path.with_name(
        f"{time.strftime('journal-damaged-%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(4)}"
    )
    with atomic(aside) as file:
        file.write(read_bytes(path, LARGEST))
    with atomic(path) as file:
        file.write(b"".join(made))
    numbers = listed([i + 1 for i in bad])
    lost = f"trials that run again: {', '.join(dropped)}" if dropped else "no trial was lost by it"
    return f"{path}: rebuilt without damaged line {numbers}, kept as {aside.name}; {lost}"


def remade(records: list[Record]) -> tuple[list[bytes], list[str]]:
    """Lines of a journal with the sound of these records, and the trials that are not, in words."""
    studies, own = gathered(records)
    ledger, lines, dropped = Ledger(), list[bytes](), list[str]()

    def write(record: Record) -> None:
        lines.append(seal(ledger.stamped(record)))
        ledger.take(record)

    for new, kept in enumerate(studies):
        for record in kept.records:
            write(record | ({} if record["op_code"] == CREATE_STUDY else {"study_id": new}))
    for new, kept in enumerate(studies):
        for number in range(max(kept.trials, default=-1) + 1):
            found = own.get(kept.trials.get(number, -1), [])
            whole = bool(found) and [r["nth"] for r in found] == list(range(len(found)))
            if not whole:
                dropped.append(f"{kept.name} {number}")
            trial = len(ledger.trials)
            for record in found if whole else [placeholder(kept.name, found)]:
                creates = record["op_code"] == CREATE_TRIAL
                write(record | ({"study_id": new} if creates else {"trial_id": trial}))
    return lines, dropped


def gathered(records: list[Record]) -> tuple[list[Kept], dict[int, list[Record]]]:
    """Studies in the order of their ids, and trial id -> its sound records as they came."""
    studies: dict[int, Kept] = {}
    own: dict[int, list[Record]] = {}
    ledger = Ledger()  # for records without "is" and "nth", which stand before all that have them
    for record in records:
        bare = "is" not in record and "nth" not in record
        record = ledger.stamped(record) if bare else dict(record)
        if bare:
            ledger.take(record)
        made = record.pop("is", {})
        if record["op_code"] == CREATE_STUDY:
            kept = studies.setdefault(made["study"], Kept(record["study_name"]))
            kept.records.insert(0, record)
        elif record["op_code"] == CREATE_TRIAL:
            kept = studies.setdefault(record["study_id"], Kept(made["name"]))
            kept.trials[made["number"]] = made["trial"]
            own.setdefault(made["trial"], []).append(record)
        elif "trial_id" in record:
            own.setdefault(record["trial_id"], []).append(record)
        else:
            studies.setdefault(record["study_id"], Kept("")).records.append(record)
    found = [studies[number] for number in sorted(studies)]
    named = [kept for kept in found if kept.name]  # else nothing but a plan is known of it
    for kept in named:
        if not kept.records or kept.records[0]["op_code"] != CREATE_STUDY:
            kept.records.insert(0, study(kept.name))
    return named, own


def study(name: str) -> Record:
    """The record that creates a study."""
    return {
        "op_code": CREATE_STUDY,
        "worker_id": WRITER,
        "study_name": name,
        "directions": [MAXIMIZE],
    }


def placeholder(name: str, found: list[Record]) -> Record:
    """A trial that failed, in the place of one that is not sound. It runs again as what it was
    created for; one of the rounds of which that is lost is asked for anew by its key."""
    created: dict[str, Any] = next((r for r in found if r["op_code"] == CREATE_TRIAL), {})
    names = ("retry_of", "of", "seed", "config")
    kept = {k: v for k, v in created.get("user_attrs", {}).items() if k in names}
    again = bool(created) or not name.endswith(("/rounds", "/final"))
    outcome = {"outcome": "lost" if again else "damaged", "message": MESSAGE}
    record = {"op_code": CREATE_TRIAL, "worker_id": WRITER, "datetime_start": None}
    record |= {"state": FAILED, "value": None, "values": None, "distributions": {}, "params": {}}
    system = created.get("system_attrs", {})
    return record | {"user_attrs": kept | outcome, "system_attrs": system}
