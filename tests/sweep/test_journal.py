"""Claims about the journal's checksums and what is made of a damaged one, each with a test below.

1. A line says its checksum, the number of its trial's record, and what it creates; Optuna's own
   reader makes the same studies of it.
2. Of 120 flipped bits none changes the report in silence: the file and its line are named, with
   code 3, or what was cut off is said. A line that is lost from the middle of a trial is found by
   the rebuilding.
3. --drop-damaged makes a journal of the same trials, with their numbers; what is not sound failed,
   and runs again. The damaged file is kept as it was.
4. It is whole or not at all: a full disk leaves the damaged journal as it was, and nothing beside.
5. Lines of an earlier version are read, with one notice; new ones beside them have checksums. A
   line without one is damaged, once a line has had one.
6. A damaged line of an earlier version is not guessed at.
7. A FIFO in the journal's place is refused.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState
from sweep.test_study import invoke, trials
from sweep.test_survival import FEW, Labour, labour, no_file_beyond

from nodejepa_ext.sweep import report
from nodejepa_ext.sweep.journal import FileStore
from nodejepa_ext.sweep.sealed import legacy, survey, unsealed
from nodejepa_ext.sweep.storage import open_store
from run_full import RunError

__all__ = ["labour"]  # the fixture
ARGV = [*FEW, "--trials", "5", "--workers", "1"]
NAMES = ("cora", "cora/rounds")


class Swept:
    """A small sweep: its folder, the lines of its journal, its trials and its report."""

    def __init__(self, labour: Labour) -> None:
        done = invoke(labour.out, *ARGV)
        assert done.exit_code == 0, done.output
        self.folder, self.out = labour.folder, labour.out
        self.journal = (labour.out / "journal.jsonl").read_bytes()
        self.lines = self.journal.splitlines(keepends=True)
        self.trials = {name: trials(labour.out, name) for name in NAMES}
        self.report = report.read(labour.out)

    def copy(self, journal: bytes) -> Path:
        """A folder with nothing but this journal."""
        out = self.folder / "copy"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        (out / "journal.jsonl").write_bytes(journal)
        return out

    def of_trial(self, number: int) -> list[int]:
        """Indices of the lines of a trial of the search."""
        records = [json.loads(line) for line in self.lines]
        (trial,) = (
            r["is"]["trial"]
            for r in records
            if r["op_code"] == 4 and (r["is"]["name"], r["is"]["number"]) == ("cora", number)
        )
        found = (r["is"]["trial"] if r["op_code"] == 4 else r.get("trial_id") for r in records)
        return [i for i, owner in enumerate(found) if owner == trial]


@pytest.fixture
def swept(labour: Labour) -> Swept:
    return Swept(labour)


def rebuilt(out: Path) -> tuple[dict[str, list[FrozenTrial]], list[str]]:
    said: list[str] = []
    with open_store(out, None, join=False, drop_damaged=True, on_event=said.append) as store:
        names = {study.study_name: study._study_id for study in store.get_all_studies()}
        return {name: store.get_all_trials(at) for name, at in names.items()}, said


def alike(a: FrozenTrial, b: FrozenTrial) -> bool:
    """All but Optuna's id, which nothing refers to."""
    return all(
        getattr(a, name) == getattr(b, name)
        for name in ("number", "state", "values", "params", "distributions", "user_attrs")
    ) and (a.system_attrs, a.intermediate_values) == (b.system_attrs, b.intermediate_values)


def test_lines(swept: Swept) -> None:
    bodies = [unsealed(line[:-1]) for line in swept.lines]
    assert all(bodies) and survey([line[:-1] for line in swept.lines]) == (0, [])
    records = [json.loads(line) for line in swept.lines]
    assert [r["is"]["name"] for r in records if r["op_code"] == 4][:2] == ["cora", "cora"]
    own = [records[i]["nth"] for i in swept.of_trial(3)]
    assert own == list(range(len(own))) and len(own) > 10
    theirs = JournalStorage(JournalFileBackend(str(swept.out / "journal.jsonl")))
    for name in NAMES:
        found = theirs.get_all_trials(theirs.get_study_id_from_name(name))
        assert found == swept.trials[name]


def test_flipped_bits(swept: Swept) -> None:
    draw = random.Random(15)
    outcomes: dict[str, int] = {}
    for _ in range(120):
        changed, bit = bytearray(swept.journal), draw.randrange(8 * len(swept.journal))
        changed[bit // 8] ^= 1 << bit % 8
        out, said = swept.copy(bytes(changed)), list[str]()
        line = swept.journal[: bit // 8].count(b"\n") + 1
        try:
            same = report.read(out, on_event=said.append) == swept.report
            assert same or said
            kind = "the same" if same else "said"
        except RunError as error:
            assert error.args[1] == 3
            assert f"{out / 'journal.jsonl'}: line {line} is damaged" in error.args[0]
            kind = "refused"
        outcomes[kind] = outcomes.get(kind, 0) + 1
        found, _ = rebuilt(out)
        for name, old in swept.trials.items():
            check(old, found.get(name, []))
    assert outcomes["refused"] > 100


def check(old: list[FrozenTrial], new: list[FrozenTrial]) -> None:
    """Every trial is as it was, or is there to run again; at most one is that. The last may lack,
    where nothing else says that it was."""
    assert len(old) - 1 <= len(new) <= len(old)
    other = [b for a, b in zip(old, new, strict=False) if not alike(a, b)]
    assert len(other) <= 1
    for trial in other:
        failed = trial.user_attrs.get("outcome") in ("lost", "damaged")
        assert trial.state in (TrialState.RUNNING, TrialState.WAITING) or failed
        assert trial.value is None


@pytest.mark.parametrize("place", [0, 1, 4, -1])
def test_drop_damaged(swept: Swept, place: int) -> None:
    """A line of trial 3: that creates it, its parameter, a report, its end."""
    lines = list(swept.lines)
    at = swept.of_trial(3)[place]
    lines[at] = lines[at].replace(b"e", b"f", 1)
    out = swept.copy(damaged := b"".join(lines))
    refused = invoke(out, *ARGV)
    assert refused.exit_code == 3 and f"journal.jsonl: line {at + 1} is damaged" in refused.stderr
    assert "sweep --drop-damaged rebuilds it" in refused.stderr
    assert (out / "journal.jsonl").read_bytes() == damaged
    done = invoke(out, *ARGV, "--drop-damaged")
    assert done.exit_code == 0, done.output
    (aside,) = out.glob("journal-damaged-*")
    assert aside.read_bytes() == damaged and aside.name in done.stderr
    assert f"rebuilt without damaged line {at + 1}" in done.stderr
    found = trials(out)
    for old, new in zip(swept.trials["cora"], found, strict=False):
        assert new.number == old.number and (old.number == 3 or alike(old, new))
    assert found[3].state == TrialState.FAIL and found[3].user_attrs["outcome"] == "lost"
    (again,) = (t for t in found if t.user_attrs.get("retry_of") == 3)
    assert again.state == TrialState.COMPLETE
    assert survey((out / "journal.jsonl").read_bytes().split(b"\n")[:-1]) == (0, [])
    assert invoke(out, *ARGV, "--drop-damaged").stdout == done.stdout
    assert len([*out.glob("journal-damaged-*")]) == 1


def test_a_fresh_seed_whose_record_is_lost_runs_again(swept: Swept) -> None:
    created = [i for i, line in enumerate(swept.lines) if b'"name":"cora/rounds"' in line]
    lines = list(swept.lines)
    lines[created[0]] = b"\0" * 40 + b"}\n"
    out = swept.copy(b"".join(lines))
    done = invoke(out, *ARGV, "--drop-damaged")
    assert done.exit_code == 0, done.output
    part = report.read(out)["graphs"]["cora"]
    was = swept.report["graphs"]["cora"]
    assert part["winner"]["number"] == was["winner"]["number"] and not part["unfinished"]
    assert [line["values"] for line in part["rounds"]["lines"]] == [
        line["values"] for line in was["rounds"]["lines"]
    ]


def test_a_study_whose_record_is_lost(swept: Swept) -> None:
    (at,) = (i for i, line in enumerate(swept.lines) if b'"study_name":"cora/rounds"' in line)
    out = swept.copy(b"".join([*swept.lines[:at], b'{"x}\n', *swept.lines[at + 1 :]]))
    found, _ = rebuilt(out)
    assert {name: len(own) for name, own in found.items()} == {
        name: len(own) for name, own in swept.trials.items()
    }
    assert all(map(alike, found["cora/rounds"], swept.trials["cora/rounds"]))


def test_full_disk_leaves_the_damaged_journal(swept: Swept) -> None:
    out = swept.copy(swept.journal.replace(b"e", b"f", 1))
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with no_file_beyond(4096):
        done = invoke(out, *ARGV, "--drop-damaged")
    assert done.exit_code == 1 and "File too large" in done.stderr, done.output
    assert {p.name: p.read_bytes() for p in out.iterdir() if p.is_file()} == before


def bare(line: bytes) -> bytes:
    """The line as an earlier version wrote it."""
    record = json.loads(line)
    kept: dict[str, Any] = {k: v for k, v in record.items() if k not in ("nth", "is", "crc")}
    return json.dumps(kept, separators=(",", ":")).encode() + b"\n"


def test_lines_of_an_earlier_version(swept: Swept) -> None:
    old = [bare(line) for line in swept.lines]
    assert all(legacy(line) for line in old)
    out = swept.copy(b"".join(old))
    said: list[str] = []
    assert report.read(out, on_event=said.append) == swept.report
    assert len(said) == 1 and f"{len(old)} line(s) of an earlier version have no" in said[0]
    done = invoke(out, *FEW, "--workers", "1", "--trials", "5", "--final")
    assert done.exit_code == 0 and done.stderr.count("earlier version") == 1, done.output
    lines = (out / "journal.jsonl").read_bytes().splitlines(keepends=True)
    assert lines[: len(old)] == old and len(lines) > len(old)
    assert all(unsealed(line[:-1]) for line in lines[len(old) :])
    sealed = len(old) + 2
    (out / "journal.jsonl").write_bytes(b"".join([*lines[:sealed], old[3], *lines[sealed:]]))
    with pytest.raises(RunError, match=f"line {sealed + 1} is damaged"):
        report.read(out)
    damaged = lines[len(old) + 5].replace(b"e", b"f", 1)
    (out / "journal.jsonl").write_bytes(
        b"".join([*lines[: len(old) + 5], damaged, *lines[len(old) + 6 :]])
    )
    found, said = rebuilt(out)
    check(swept.trials["cora"], found["cora"])
    assert "rebuilt without damaged line" in said[0]


def test_a_damaged_line_of_an_earlier_version(swept: Swept) -> None:
    old = [bare(line) for line in swept.lines]
    old[7] = b"{" + old[7]
    out = swept.copy(b"".join(old))
    done = invoke(out, *ARGV, "--drop-damaged")
    assert done.exit_code == 2 and "line 8 is damaged and was written without" in done.stderr
    assert (out / "journal.jsonl").read_bytes() == b"".join(old)


def test_fifo(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "journal.jsonl")
    with pytest.raises(RunError, match=re.escape("no regular file")) as error:
        open_store(tmp_path, None, join=False)
    assert error.value.args[1] == 3
    done = invoke(None, *FEW, "--storage", "postgresql://x/y", "--study", "s", "--drop-damaged")
    assert done.exit_code == 2 and "--drop-damaged: expected without --storage" in done.stderr


def test_two_that_create_a_study_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Optuna raises at the record of the second; both see all that was written after it."""
    first, second = FileStore(tmp_path, None), FileStore(tmp_path, None, join=True)
    write = second._write_log

    def create(store: FileStore) -> optuna.Study:
        return optuna.create_study(storage=store, study_name="cora", load_if_exists=True)

    def late(operation: Any, fields: Any) -> None:
        monkeypatch.undo()
        study = create(first)
        first.enqueue(study, {}, {"of": 0, "seed": 500}, "0, seed 500")
        write(operation, fields)
        for seed in range(501, 504):
            first.enqueue(study, {}, {"of": 0, "seed": seed}, f"0, seed {seed}")

    monkeypatch.setattr(second, "_write_log", late)
    theirs = create(second)
    ours = optuna.load_study(storage=first, study_name="cora")
    second.enqueue(theirs, {}, {"of": 0, "seed": 502}, "0, seed 502")  # is there: adds nothing
    seen = [[trial.user_attrs["seed"] for trial in one.get_trials()] for one in (ours, theirs)]
    assert seen == [[500, 501, 502, 503]] * 2


def test_a_winner_whose_record_is_lost(swept: Swept) -> None:
    """Its runs on fresh seeds point at a trial without settings; the report is of the others."""
    winner = swept.report["graphs"]["cora"]["winner"]["number"]
    lines = list(swept.lines)
    for at in swept.of_trial(winner):
        lines[at] = lines[at].replace(b'"epochs"', b'"epochz"')
    assert lines != swept.lines
    out = swept.copy(b"".join(lines))
    done = invoke(out, *ARGV, "--drop-damaged")
    assert done.exit_code in (0, 5) and isinstance(done.exception, SystemExit | None), done.output
    part = report.read(out)["graphs"]["cora"]
    assert winner not in [line["number"] for line in part["rounds"]["lines"]]
