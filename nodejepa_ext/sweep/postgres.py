"""A sweep's studies in PostgreSQL, shared by any number of hosts.

Apart from `journal`, so that a journal file needs neither SQLAlchemy's models nor
a driver. What the server confirmed and what it did are two things once a connection dies: each
operation here may be repeated, and does its work once.
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections.abc import Callable, Sequence
from copy import copy
from datetime import datetime
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar
from uuid import uuid4

import sqlalchemy
from optuna import Study
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import exc, text
from sqlalchemy.engine import URL, make_url

from nodejepa_ext.sweep.journal import KEY, OnEvent, Store, failure

P = ParamSpec("P")
T = TypeVar("T")
logging.getLogger(RDBStorage.__module__).setLevel(logging.ERROR)  # else whole queries, at an outage
REAPED = "reaped"  # system attribute of a trial: which call reaped it
KEEP_ALIVE = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
CONNECT = {"connect_timeout": 10, "tcp_user_timeout": 30000, **KEEP_ALIVE}  # seconds, ms


def patient(
    operation: Callable[Concatenate[PostgresStore, P], T],
) -> Callable[Concatenate[PostgresStore, P], T]:
    """Repeats an operation while the server does not answer. It must bear to be repeated after a
    commit of which only the confirmation was lost. RunError 1: `patience` seconds went by, or the
    server refused."""

    @wraps(operation)
    def repeated(self: PostgresStore, /, *args: P.args, **kwargs: P.kwargs) -> T:
        """`operation`, as often as it takes."""
        began, pause = 0.0, 0.1
        while True:
            try:
                result = operation(self, *args, **kwargs)
            except (StorageInternalError, exc.SQLAlchemyError) as error:
                said = self.said(error)
                if not lost_connection(error):
                    raise failure(said, 1) from None
                self.doubt()
                if not began:
                    began = time.monotonic()
                    self.on_event(f"{said}; trying again for {self.patience:.0f} seconds")
                if time.monotonic() - began > self.patience:
                    raise failure(f"{said}; the same command continues later", 1) from None
            else:
                if began:
                    waited = time.monotonic() - began
                    self.on_event(f"{self.shown}: answers again after {waited:.0f} seconds")
                return result
            time.sleep(pause)
            pause = min(2 * pause, 5.0)

    return repeated


def cause(error: Exception) -> BaseException:
    """SQLAlchemy's own error."""
    return error.__cause__ or error if isinstance(error, StorageInternalError) else error


def lost_connection(error: Exception) -> bool:
    again = (exc.OperationalError, exc.InterfaceError, exc.PendingRollbackError, exc.TimeoutError)
    return isinstance(cause(error), again) or getattr(cause(error), "connection_invalidated", False)


CLAIM = """
WITH claimed AS (
  UPDATE trials SET state = 'RUNNING', datetime_start = :now
  WHERE trial_id = :trial AND state = 'WAITING' RETURNING trial_id
), alive AS (
  INSERT INTO trial_heartbeats (trial_id, heartbeat)
  SELECT trial_id, timezone('utc', now()) FROM claimed
)
INSERT INTO trial_user_attributes (trial_id, key, value_json)
SELECT trial_id, 'owner', :owner FROM claimed
ON CONFLICT (trial_id, key) DO UPDATE SET value_json = excluded.value_json RETURNING trial_id"""
CLAIMED = """
SELECT trial_id FROM trials JOIN trial_user_attributes USING (trial_id)
WHERE trial_id = :trial AND state = 'RUNNING' AND key = 'owner' AND value_json = :owner"""
KNOWN = """
SELECT trial_id FROM trials JOIN trial_system_attributes USING (trial_id)
WHERE study_id = :study AND key = :name AND value_json = :value ORDER BY trial_id"""
ALIVE = """
INSERT INTO trial_heartbeats (trial_id, heartbeat) VALUES (:trial, timezone('utc', now()))"""
BEAT = """
UPDATE trial_heartbeats SET heartbeat = timezone('utc', now()) WHERE trial_id = ANY(:mine)"""
# No one could send a sign of life while the server was down.
REAP = """
WITH gone AS (
  SELECT trials.trial_id FROM trials JOIN trial_heartbeats USING (trial_id)
  WHERE study_id = :study AND state = 'RUNNING' AND trials.trial_id <> ALL(:mine)
    AND greatest(heartbeat, timezone('utc', pg_postmaster_start_time()))
      < timezone('utc', now()) - :grace * interval '1 second'
  FOR UPDATE OF trials SKIP LOCKED
), said AS (
  INSERT INTO trial_user_attributes (trial_id, key, value_json)
  SELECT trial_id, key, value
  FROM gone, (VALUES ('outcome', :outcome), ('message', :message)) AS new (key, value)
  ON CONFLICT (trial_id, key) DO UPDATE SET value_json = excluded.value_json
), marked AS (
  INSERT INTO trial_system_attributes (trial_id, key, value_json)
  SELECT trial_id, :name, :value FROM gone
)
UPDATE trials SET state = 'FAIL', datetime_complete = :now
FROM gone WHERE trials.trial_id = gone.trial_id"""


class PostgresStore(Store, RDBStorage):
    """PostgreSQL through psycopg 3. A trial gets its owner and its first heartbeat in the very
    transaction that makes it RUNNING; `beat` renews those of this process; without one for `grace`
    seconds of the server's clock, the owner counts as dead."""

    def __init__(
        self, url: URL, on_event: OnEvent | None, read_only: bool, grace: float, patience: float
    ) -> None:
        Store.__init__(self, on_event)
        self.grace, self.patience = grace, patience
        given = url.password or url.query.get("password") or os.environ.get("PGPASSWORD", "")
        self.password = str(given)
        self.shown = shown(url)
        self.mine: set[int] = set()  # trials that this process runs
        self.next_beat = self.doubt_until = -float("inf")  # time.monotonic()
        connect: dict[str, Any] = {k: v for k, v in CONNECT.items() if k not in url.query}
        if read_only:
            connect["options"] = "-c default_transaction_read_only=on"
        settings = {"connect_args": connect, "pool_pre_ping": True}
        template = url.render_as_string(hide_password=False).replace("{", "{{").replace("}", "}}")
        try:
            door = sqlalchemy.create_engine(
                url, connect_args=connect, poolclass=sqlalchemy.NullPool
            )
            with door.connect() as connection:  # two hosts must not create the tables at once
                if not read_only:
                    connection.execute(text("SELECT pg_advisory_lock(hashtext('nodejepa'))"))
                RDBStorage.__init__(self, template, settings, skip_table_creation=read_only)
        except (ImportError, RuntimeError, StorageInternalError, exc.SQLAlchemyError) as error:
            self.close()
            raise self.refusal(error) from None

    def refusal(self, error: Exception) -> Exception:
        """Why the storage could not be opened."""
        if isinstance(error, ImportError):
            driver = "needs a driver for PostgreSQL: pip install 'nodejepa[cluster]'"
            return ValueError(f"{self.shown}: {driver}")
        if isinstance(error, RuntimeError):  # tables of another version of Optuna
            return failure(f"{self.shown}: {error}", 1)
        if getattr(getattr(cause(error), "orig", None), "sqlstate", "") == "42P01":  # no such table
            return ValueError(f"{self.shown}: no sweep was ever run there")
        return ValueError(self.said(error))

    def said(self, error: Exception) -> str:
        """What the server or its driver said, on one line and without the password."""
        said = " ".join(str(getattr(cause(error), "orig", None) or cause(error)).split())
        return f"{self.shown}: {said.replace(self.password, '***') if self.password else said}"

    def doubt(self) -> None:
        """We were cut off, so others may have been: give them time for a sign of life."""
        self.doubt_until = time.monotonic() + self.grace / 2

    def execute(self, statement: str, **values: Any) -> list[int]:
        """One transaction -> the first column of what it returns."""
        with self.engine.begin() as connection:
            result = connection.execute(text(statement), values)
            return [row[0] for row in result] if result.returns_rows else []

    def _create_new_trial(
        self, study_id: int, template_trial: FrozenTrial | None = None
    ) -> FrozenTrial:
        template = copy(template_trial) if template_trial else self.claimed()
        template.system_attrs = {KEY: uuid4().hex, **template.system_attrs}  # one for all attempts
        return self.create(study_id, template)

    @patient
    def create(self, study_id: int, template: FrozenTrial) -> FrozenTrial:
        trial_id = super()._create_new_trial(study_id, template)._trial_id
        if template.state == TrialState.RUNNING:
            self.mine.add(trial_id)
        return super().get_trial(trial_id)  # as it is, if it was known

    def _get_prepared_new_trial(
        self, study_id: int, template_trial: FrozenTrial | None, session: Any
    ) -> Any:
        """Inside Optuna's transaction, which has locked the study. A trial of this key is known if
        another supervisor was quicker, or if only the confirmation of our commit was lost."""
        assert template_trial
        key = dict(study=study_id, name=KEY, value=json.dumps(template_trial.system_attrs[KEY]))
        if known := session.execute(text(KNOWN), key).scalar():
            return models.TrialModel.find_or_raise_by_id(known, session)
        trial = super()._get_prepared_new_trial(study_id, template_trial, session)
        if template_trial.state == TrialState.RUNNING:
            session.execute(text(ALIVE), {"trial": trial.trial_id})
        return trial

    @patient
    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Optuna's; RUNNING claims the trial, and a state that was stored before its confirmation
        was lost counts as set."""
        if state == TrialState.RUNNING:
            return self.claim(trial_id)
        try:
            done = super().set_trial_state_values(trial_id, state, values)
        except UpdateFinishedTrialError:
            trial, ours = super().get_trial(trial_id), trial_id in self.mine
            self.mine.discard(trial_id)
            if not ours or trial.state != state or REAPED in trial.system_attrs:
                raise
            done = True  # by us; only the confirmation was lost
        self.mine.discard(trial_id)
        return done

    def claim(self, trial_id: int) -> bool:
        """False: another supervisor has the trial."""
        values = {"trial": trial_id, "owner": json.dumps(self.owner)}
        claimed = self.execute(CLAIM, now=datetime.now(), **values)
        if not claimed and trial_id not in self.mine:
            claimed = self.execute(CLAIMED, **values)  # by us; only the confirmation was lost
        self.mine.update(claimed)
        return bool(claimed)

    def beat(self) -> None:
        """Tries once: a server that does not answer must not stop the supervisor."""
        if not self.mine or time.monotonic() < self.next_beat:
            return
        self.next_beat = time.monotonic() + self.grace / 6
        try:
            self.execute(BEAT, mine=list(self.mine))
        except exc.SQLAlchemyError as error:
            if not lost_connection(error):
                raise failure(self.said(error), 1) from None
            self.doubt()

    def reap(self, study: Study) -> list[FrozenTrial]:
        """None while it is in doubt whether others were cut off from the server as we were."""
        if time.monotonic() < self.doubt_until:
            return []
        study_id = self.get_study_id_from_name(study.study_name)
        return [self.get_trial(trial_id) for trial_id in self.fail(study_id, uuid4().hex)]

    @patient
    def fail(self, study_id: int, name: str) -> list[int]:
        """Fails the trials of dead owners under this name -> those failed under this name."""
        message = f"no sign of life from its supervisor for {self.grace:g} seconds"
        said = {"outcome": json.dumps("lost"), "message": json.dumps(message)}
        key = {"study": study_id, "name": REAPED, "value": json.dumps(name)}
        others = {"mine": list(self.mine), "grace": self.grace}
        self.execute(REAP, now=datetime.now(), **others, **said, **key)
        return self.execute(KNOWN, **key)

    def close(self) -> None:
        if "engine" in vars(self):  # else it was never opened
            self.engine.dispose()


# What Optuna's cache and studies call. RDBStorage upserts; a repeated create_new_study raises
# DuplicatedStudyError, which load_if_exists takes for success.
for name in (
    *("create_new_study", "set_study_user_attr", "set_study_system_attr"),
    *("get_study_id_from_name", "get_study_name_from_id", "get_study_directions"),
    *("get_study_user_attrs", "get_study_system_attrs", "get_all_studies", "_set_trial_param"),
    *("get_trial_id_from_study_id_trial_number", "_get_best_trial_id", "get_trial", "_get_trials"),
    *("set_trial_intermediate_value", "set_trial_user_attr", "set_trial_system_attr"),
):
    setattr(PostgresStore, name, patient(getattr(RDBStorage, name)))


def shown(url: URL) -> str:
    """The URL with its password hidden, and without options, which may hold another."""
    where = {name: url.query[name] for name in ("host", "port") if name in url.query}
    return str(url.set(drivername="postgresql", query=where))


def postgres_url(storage: str) -> URL:
    """ValueError: not a PostgreSQL URL; quotes nothing in which a password might be."""
    scheme = re.match(r"([a-z0-9+]*)://", storage)
    given = f"--storage {scheme[0]}..." if scheme else "--storage"
    if scheme and scheme[1].startswith("sqlite"):
        why = "SQLite locks its whole file and is not safe on shared file systems"
        raise ValueError(f"{given}: {why}; leave --storage out on one machine")
    if not scheme or scheme[1] not in ("postgresql", "postgresql+psycopg"):
        raise ValueError(f"{given}: expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE")
    try:
        url = make_url(storage).set(drivername="postgresql+psycopg")
    except (exc.ArgumentError, ValueError):
        url = None
    if url is None or "@" in (url.host or ""):
        raise ValueError(f"{given}: not a URL; write @ : / ? # % in a password as %40 and so on")
    return url
