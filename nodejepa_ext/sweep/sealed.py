"""The lines of a sweep's journal: one JSON record of Optuna's each, with a checksum of its own.

The checksum is CRC-32 of the line before it: it finds every changed bit, every run of up to 32
changed bits, and all but one in four thousand million of other damage, at a gigabyte a second and
from the standard library. It is no defence against an author, who would compute it anew. Beside it
a record says what it needs to be understood without the others: the number of its trial's record
("nth"), and where it creates a trial or a study, which one ("is"). Optuna passes over all three.
"""

from __future__ import annotations

import json
import re
import zlib
from typing import Any

from nodejepa_ext.sweep.private import JOURNAL

Record = dict[str, Any]
CREATE_STUDY, CREATE_TRIAL = JOURNAL["CREATE_STUDY"], JOURNAL["CREATE_TRIAL"]
SEALED = re.compile(rb'(\{.*),"crc":"([0-9a-f]{8})"\}', re.DOTALL)
KNOWN = frozenset(  # what a record of an earlier version may hold
    "op_code worker_id study_name directions study_id user_attr system_attr datetime_start "
    "datetime_complete state value values distributions params user_attrs system_attrs "
    "intermediate_values trial_id param_name param_value_internal distribution step "
    "intermediate_value".split()
)


def seal(record: Record) -> bytes:
    """The line of a record, with its end."""
    body = json.dumps(record, separators=(",", ":")).encode()[:-1]
    return body + f',"crc":"{zlib.crc32(body):08x}"}}\n'.encode()


def unsealed(line: bytes) -> bytes | None:
    """A line's JSON without its checksum, if that is right; None: it is wrong, or there is none."""
    found = SEALED.fullmatch(line)
    if found and zlib.crc32(found[1]) == int(found[2], 16):
        return found[1] + b"}"
    return None


def legacy(line: bytes) -> bool:
    """The line is a record of an earlier version, which wrote no checksums."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(record, dict) and {"op_code", "worker_id"} <= record.keys() <= KNOWN


def survey(lines: list[bytes]) -> tuple[int, list[int]]:
    """-> how many lines are of an earlier version, which stand first, and the indices of those that
    are damaged: so is a line without a checksum, once a line has had one."""
    first = next((i for i, line in enumerate(lines) if unsealed(line) is not None), len(lines))
    bad = [i for i, line in enumerate(lines[:first]) if not legacy(line)]
    bad += [i for i in range(first, len(lines)) if unsealed(lines[i]) is None]
    return first - sum(i < first for i in bad), bad


class Ledger:
    """What a journal's records so far have created, to say of the next what it is."""

    def __init__(self) -> None:
        self.studies: dict[str, int] = {}  # name -> id
        self.trials: list[int] = []  # id -> id of its study
        self.numbers: dict[int, int] = {}  # id of a study -> trials in it
        self.records: dict[int, int] = {}  # id of a trial -> its records

    def take(self, record: Record) -> None:
        """Counts a record that is in the journal."""
        if record["op_code"] == CREATE_STUDY:
            self.studies.setdefault(record["study_name"], len(self.studies))
        elif record["op_code"] == CREATE_TRIAL:
            study = record["study_id"]
            self.records[len(self.trials)] = 1
            self.trials.append(study)
            self.numbers[study] = self.numbers.get(study, 0) + 1
        elif "trial_id" in record:
            trial = record["trial_id"]
            self.records[trial] = self.records.get(trial, 0) + 1

    def stamped(self, record: Record) -> Record:
        """A record about to be written, with what it is."""
        code, more = record["op_code"], Record()
        if code == CREATE_STUDY:
            name = record["study_name"]
            more = {"is": {"study": self.studies.get(name, len(self.studies))}}
        elif code == CREATE_TRIAL:
            study = record["study_id"]
            names = {number: name for name, number in self.studies.items()}
            made = {"trial": len(self.trials), "number": self.numbers.get(study, 0)}
            more = {"is": made | {"name": names.get(study, "")}, "nth": 0}
        elif "trial_id" in record:
            more = {"nth": self.records.get(record["trial_id"], 0)}
        return record | more
