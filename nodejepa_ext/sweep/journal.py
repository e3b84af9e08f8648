"""Where a sweep's studies live: a journal file on one machine, PostgreSQL across machines.

Optuna's own storages, with what a sweep over days needs besides. Every trial that runs has an
owner, the supervisor that claimed it; one whose owner is dead is reaped, once. A torn journal is
mended, a full disk tears none, and a restart of the database is waited for. Apart from `study`,
which sees nothing of files, locks and connections. A Store is for one thread.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import socket
import stat
import time
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from copy import deepcopy
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

from optuna import Study
from optuna.storages import BaseStorage
from optuna.storages.journal import BaseJournalBackend, JournalStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from nodejepa_ext.files import atomic
from nodejepa_ext.sweep.life import Register
from nodejepa_ext.sweep.sealed import Ledger, Record, legacy, seal, survey, unsealed

OnEvent = Callable[[str], None]
LEGACY = "line(s) of an earlier version have no checksums, and are read as they are"
FIRST = b'{"op_code":'  # how a line begins
KEY = "key"  # system attribute of a trial: what no second trial of its study is created under


def failure(message: str, code: int) -> Exception:
    from run_full import RunError  # which imports torch: not before it is needed

    return RunError(message, code)


class Store(BaseStorage):
    """An Optuna storage in which every RUNNING trial has the user attribute "owner".

    `owner` names this process among all that ever were, "host:process id:random". `notes` collects
    what there is to say (what a repair dropped, a lost connection), unless `on_event` takes it.
    Writing to a trial that another supervisor has reaped meanwhile raises Optuna's
    UpdateFinishedTrialError.
    """

    def __init__(self, on_event: OnEvent | None) -> None:
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
        self.notes: list[str] = []
        self.on_event = on_event or self.notes.append

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def optuna(self) -> BaseStorage:
        """What `optuna.create_study` and `load_study` take."""
        return self

    def enqueue(
        self, study: Study, params: dict[str, Any], user_attrs: dict[str, Any], key: str
    ) -> None:
        """A WAITING trial with these parameters, once a key and study: whoever asks, how often."""
        fixed = {"fixed_params": params, KEY: key}
        trial = create_trial(state=TrialState.WAITING, system_attrs=fixed, user_attrs=user_attrs)
        study.add_trial(trial)

    def claimed(self) -> FrozenTrial:
        """The template of a fresh trial of this process."""
        return create_trial(state=TrialState.RUNNING, user_attrs={"owner": self.owner})

    def beat(self) -> None:
        """A sign of life, due about once a second; costs nothing where none is needed."""

    @abstractmethod
    def reap(self, study: Study) -> list[FrozenTrial]:
        """Fails every RUNNING trial whose owner is dead, with the user attributes outcome "lost"
        and message -> those that this call failed: each is returned by one call only."""

    @abstractmethod
    def close(self) -> None:
        """Gives up locks and connections; trials still RUNNING may then be reaped by others."""


class Log(BaseJournalBackend):
    """The journal's file, one sealed record a line. A record is on disk, whole, when the call that
    wrote it returns, and absent if it raised. Whoever reads or writes holds the file's flock,
    which the kernel releases however the process ends."""

    def __init__(self, path: Path, on_event: OnEvent, read_only: bool) -> None:
        self.path, self.on_event, self.depth = path, on_event, 0
        write = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
        flags = os.O_RDONLY if read_only else write
        self.kind = fcntl.LOCK_SH if read_only else fcntl.LOCK_EX
        self.file = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
        if not stat.S_ISREG(os.fstat(self.file).st_mode):
            os.close(self.file)
            raise failure(f"{path}: no regular file, expected a journal", 3)
        self.ledger, self.old = Ledger(), 0  # old: lines without checksums, which stand first
        self.seen = self.lines = 0  # bytes and lines that were read
        self.unread = deque[Record]()  # the last of these, which Optuna has not asked for yet

    @contextmanager
    def alone(self) -> Iterator[None]:
        """No other process writes meanwhile, nor reads; may be nested."""
        if not self.depth:
            fcntl.flock(self.file, self.kind)
        self.depth += 1
        try:
            yield
        finally:
            self.depth -= 1
            if not self.depth:
                fcntl.flock(self.file, fcntl.LOCK_UN)

    def read_logs(self, log_number_from: int) -> Generator[Record, None, None]:
        """RunError 3: a line is damaged."""
        with self.alone():
            self.catch_up()
        for _ in range(log_number_from - (self.lines - len(self.unread))):
            self.unread.popleft()
        while self.unread:  # one by one: Optuna may raise at one, and asks for the rest later
            yield self.unread.popleft()

    def catch_up(self) -> None:
        """Reads what was written since. RunError 3: a line of it is damaged."""
        *lines, _ = self.read(self.seen).split(b"\n")
        for line in lines:
            body = unsealed(line)
            if body is None and line is lines[-1] and not line.endswith(b"}"):
                return  # unfinished: whoever writes next cuts it off
            if body is None and (self.lines >= self.old or not legacy(line)):
                raise self.damaged(self.lines + 1)
            record = json.loads(body or line)
            self.seen, self.lines = self.seen + len(line) + 1, self.lines + 1
            self.ledger.take(record)
            self.unread.append(record)

    def replaced(self) -> bool:
        """Another file has taken its place."""
        return not os.path.samestat(os.fstat(self.file), os.stat(self.path))

    def read(self, at: int = 0) -> bytes:
        """From this byte to the end."""
        parts, size = [], os.fstat(self.file).st_size
        while at < size and (part := os.pread(self.file, size - at, at)):
            parts.append(part)
            at += len(part)
        return b"".join(parts)

    def damaged(self, number: int) -> Exception:
        at = f"{self.path}: line {number} is damaged, expected one JSON record of Optuna's journal"
        mend = "sweep --drop-damaged rebuilds it from the trials that are sound"
        return failure(f"{at} with its checksum; {mend}", 3)

    def append_logs(self, logs: list[Record]) -> None:
        """RunError 1: the disk is full, or fails; the journal is as it was."""
        with self.alone():
            size = os.fstat(self.file).st_size
            if size and os.pread(self.file, 1, size - 1) != b"\n":
                size = self.mend()  # another supervisor was killed as it wrote
            self.catch_up()
            batch = self.sealed(logs)
            try:
                left = memoryview(batch)
                while left:
                    left = left[os.write(self.file, left) :]
                os.fsync(self.file)
            except OSError as error:
                with suppress(OSError):  # else the next opening cuts it off
                    os.ftruncate(self.file, size)
                raise disk_failure(self.path, len(batch), error) from None

    def sealed(self, logs: list[Record]) -> bytes:
        """The lines of records that are about to be written, and counted when they are read."""
        ledger, lines = deepcopy(self.ledger) if len(logs) > 1 else self.ledger, []
        for log in logs:
            lines.append(seal(ledger.stamped(log)))
            if ledger is not self.ledger:
                ledger.take(log)
        return b"".join(lines)

    def mend(self, dry: bool = False) -> int:
        """Cuts off an unfinished last line, copied aside first; `dry`: leaves it -> size of what
        is whole, bytes. RunError 3: damage elsewhere."""
        data = self.read()
        *lines, rest = data.split(b"\n")
        self.old, bad = survey(lines)
        if bad and (bad[0] < len(lines) - 1 or rest or lines[-1].endswith(b"}")):
            raise self.damaged(bad[0] + 1)
        torn = lines[-1] + b"\n" if bad else rest
        if len(torn) == len(data) and not begun(torn):
            raise self.damaged(1)
        if torn and dry:
            self.on_event(f"{self.path}: its last line is unfinished, and left out")
        elif torn:
            self.cut(torn, len(data) - len(torn))
        return len(data) - len(torn)

    def cut(self, torn: bytes, size: int) -> None:
        """Keeps the unfinished line aside, and the journal without it."""
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        aside = self.path.with_name(f"journal-torn-{stamp}-{secrets.token_hex(4)}")
        try:
            with atomic(aside) as file:
                file.write(torn)
        except OSError as error:
            raise disk_failure(aside, len(torn), error) from None
        os.ftruncate(self.file, size)
        os.fsync(self.file)
        self.on_event(f"{self.path}: cut off an unfinished last line, kept as {aside.name}")


def begun(torn: bytes) -> bool:
    """The only line, unfinished, may be the first of a journal, or blocks that a disk had for it;
    else the file is another's."""
    return torn.startswith(FIRST[: len(torn)]) or not torn.strip(b"\0\n")


def disk_failure(path: Path, needed: int, error: OSError) -> Exception:
    """RunError 1: what was to be written, what is free, what to do."""
    free = shutil.disk_usage(path.parent).free
    return failure(
        f"{path}: {error.strerror}: {needed} bytes needed, {free} free on that disk; finished "
        "trials are intact: free some space there, then the same command continues",
        1,
    )


class FileStore(Store, JournalStorage):
    """`<folder>/journal.jsonl`. An owner lives as long as its file in `<folder>/supervisors` is
    locked. Owner and state of a trial change together as others see it: under the journal's
    lock."""

    def __init__(
        self,
        folder: Path,
        on_event: OnEvent | None,
        join: bool = False,
        read_only: bool = False,
        drop_damaged: bool = False,
    ) -> None:
        Store.__init__(self, on_event)
        self.folder = folder
        self.register = Register(folder / "supervisors")
        if not read_only:
            self.register.folder.mkdir(parents=True, exist_ok=True)
        if drop_damaged:
            self.rebuild(folder / "journal.jsonl")
        self.log = Log(folder / "journal.jsonl", self.on_event, read_only)
        try:
            with self.log.alone():
                if self.log.replaced():
                    raise ValueError(f"{self.log.path}: rebuilt at this moment; try again")
                self.log.mend(dry=read_only)
                if self.log.old:
                    self.on_event(f"{self.log.path}: {self.log.old} {LEGACY}")
                if not read_only:
                    self.enlist(join)
                self.replay()
        except BaseException:
            self.close()
            raise

    def rebuild(self, path: Path) -> None:
        """Without damaged lines. ValueError: a sweep is running there, or it cannot be done."""
        from nodejepa_ext.sweep.rebuild import rebuild

        if not path.exists():
            return
        log = Log(path, self.on_event, read_only=False)
        try:
            with log.alone():
                if others := self.register.living():
                    raise ValueError(f"{path}: a sweep is running there ({min(others)})")
                if done := rebuild(path):
                    self.on_event(done)
        finally:
            os.close(log.file)

    def replay(self) -> None:
        """RunError 3: the records make no sense."""
        try:
            JournalStorage.__init__(self, self.log)
        except (KeyError, ValueError, TypeError, AttributeError, AssertionError) as error:
            message = f"{self.log.path}: Optuna cannot replay its records ({error!r})"
            raise failure(message, 3) from None

    def enlist(self, join: bool) -> None:
        """ValueError: others live and `join` is not asked for."""
        others = self.register.living()
        if others and not join:
            busy = f"{self.folder}: a sweep is running there ({min(others)})"
            raise ValueError(f"{busy}; --join lets this one share its trials")
        self.register.enter(self.owner)

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Optuna's -> the trial's id; one whose template has the key of a trial in the study is
        that trial."""
        template = template_trial or self.claimed()
        with self.log.alone():
            if key := template.system_attrs.get(KEY):
                for trial in self.get_all_trials(study_id, deepcopy=False):
                    if trial.system_attrs.get(KEY) == key:
                        return trial._trial_id
            return super().create_new_trial(study_id, template)

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Optuna's -> whether it is set; a trial that becomes RUNNING gets this owner."""
        with self.log.alone():
            done = super().set_trial_state_values(trial_id, state, values)
            if done and state == TrialState.RUNNING:
                self.set_trial_user_attr(trial_id, "owner", self.owner)
        return done

    def reap(self, study: Study) -> list[FrozenTrial]:
        """A RUNNING trial without an owner is one that a dying process was about to claim."""
        study_id, reaped = self.get_study_id_from_name(study.study_name), []
        with self.log.alone():
            alive = self.register.living()
            for trial in self.get_all_trials(study_id, states=(TrialState.RUNNING,)):
                owner = trial.user_attrs.get("owner")
                if owner in alive:
                    continue
                message = f"its supervisor {owner or ''} died".replace("  ", " ")
                self.set_trial_user_attr(trial._trial_id, "outcome", "lost")
                self.set_trial_user_attr(trial._trial_id, "message", message)
                self.set_trial_state_values(trial._trial_id, TrialState.FAIL)
                reaped.append(self.get_trial(trial._trial_id))
        return reaped

    def close(self) -> None:
        """Gives up the sign of life, and the journal; trials still RUNNING can then be reaped."""
        self.register.leave()
        if self.log.file >= 0:
            os.close(self.log.file)
        self.log.file = -1
