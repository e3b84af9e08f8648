"""Claims about where a sweep's studies live, each with a test below.

Journal file:
1. Cut at any byte of its last record, it opens, says so, keeps the cut part, and goes on with every
   earlier record intact.
2. Damage elsewhere is refused with file and line; any changed byte opens or is refused with code 3.
3. A tail that a killed neighbour left is mended before the next record is written.
4. A full disk, or a file too large, ends in one sentence; the journal stays whole; with space again
   the same commands go on.
5. A second supervisor of a folder is refused, also while only a joined one lives; one that joins is
   admitted, with others or alone.
6. Trials of a killed supervisor are reaped at once, by exactly one of several, those of the living
   never; so is one killed between its claim and its name.
7. A read-only store changes no file, tolerates a torn end, and opens while a sweep writes.
PostgreSQL, a real server:
8. Several hosts create the tables at once.
9. Hosts in any time zone share enqueued trials, none run twice; those of a killed one are lost
   after the grace, reaped by exactly one; every trial has one final state.
10. Restarts and crashes of the server in mid-sweep lose nothing and doubt no living owner.
11. A commit of which only the confirmation is lost happened once: asking, enqueueing, claiming,
    telling, reaping.
12. A server that stays away ends in one sentence, with code 1, and never stops a beat.
13. Another URL, a wrong password, host or database, a missing driver: one sentence at once, which
    never shows a password.
Both:
14. A key is enqueued once, by whoever and however often; a RUNNING trial always has an owner.
15. A trial reaped by others cannot be told or written.
16. The module imports neither torch nor SQLAlchemy.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState
from postgres import PASSWORD, QUOTED, Proxy, Server

from nodejepa_ext.sweep.journal import FileStore, Store
from nodejepa_ext.sweep.storage import open_store
from run_full import RunError

ROOT = Path(__file__).parents[2]
GRACE = 1.0
optuna.logging.set_verbosity(optuna.logging.WARNING)

PEER = """
import json, sys, time
from pathlib import Path
import optuna
from nodejepa_ext.sweep.storage import open_store

optuna.logging.set_verbosity(optuna.logging.WARNING)
folder, url, grace = Path(sys.argv[1]), sys.argv[2] or None, float(sys.argv[3])
store = open_store(folder, url, join=True, grace=grace, patience=60)
sampler = optuna.samplers.RandomSampler()
study = optuna.create_study(
    study_name='s', storage=store.optuna, load_if_exists=True, sampler=sampler
)

def ask():
    trial = study.ask()
    trial.suggest_float('x', 0, 1)
    return trial.number

def work():
    done = []
    while study.get_trials(states=(optuna.trial.TrialState.WAITING,)):
        store.beat()
        done.append(ask())
        time.sleep(0.02)
        study.tell(done[-1], done[-1] / 100)
        with open(folder / 'told', 'a') as file:
            file.write(f'{done[-1]}\\n')
    return done

def enqueue():
    for n in range(20):
        store.enqueue(study, {'x': n / 20}, {}, f'key {n}')

verbs = {'ask': ask, 'work': work, 'enqueue': enqueue, 'beat': store.beat}
verbs['reap'] = lambda: [t.number for t in store.reap(study)]
print(json.dumps(store.owner), flush=True)
for line in sys.stdin:
    print(json.dumps(verbs[line.strip()]()), flush=True)
"""


class Peer:
    """Another supervisor, in a process of its own, that does as it is told."""

    def __init__(self, folder: Path, url: str, grace: float, zone: str) -> None:
        command = [sys.executable, "-c", PEER, str(folder), url, str(grace)]
        pipe, env = subprocess.PIPE, os.environ | {"PYTHONPATH": str(ROOT), "PGTZ": zone}
        self.process = subprocess.Popen(command, env=env, stdin=pipe, stdout=pipe, text=True)

    def send(self, verb: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{verb}\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        assert self.process.stdout
        return json.loads(self.process.stdout.readline())

    def do(self, verb: str) -> Any:
        self.send(verb)
        return self.answer()


@contextmanager
def peers(count: int, folder: Path, url: str = "", grace: float = GRACE) -> Iterator[list[Peer]]:
    """Started at the same moment, and ready; each in its own time zone."""
    zones = ["America/New_York", "UTC", "Asia/Tokyo"]
    several = [Peer(folder, url, grace, zone) for zone in zones[:count]]
    try:
        for peer in several:
            assert ":" in peer.answer()
        yield several
    finally:
        for peer in several:
            peer.process.kill()
            peer.process.communicate()


def study_in(store: Store) -> optuna.Study:
    return optuna.create_study(
        study_name="s",
        storage=store.optuna,
        load_if_exists=True,
        sampler=optuna.samplers.RandomSampler(seed=0),
    )


def told(study: optuna.Study, value: float) -> int:
    trial = study.ask()
    trial.suggest_float("x", 0, 1)
    trial.report(value, 1)
    trial.set_user_attr("rows", [{"curve": [value, float("inf")]}])
    return study.tell(trial, value).number


def lines_of(folder: Path) -> list[bytes]:
    return (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def swept(tmp_path: Path) -> Path:
    """A folder with three finished trials; the last record is the state of the last."""
    with open_store(tmp_path / "swept", None, join=False) as store:
        study = study_in(store)
        assert [told(study, n / 10) for n in range(3)] == [0, 1, 2] and not store.notes
    return tmp_path / "swept"


def test_cut_at_every_byte(swept: Path) -> None:
    *before, last = lines_of(swept)
    journal = swept / "journal.jsonl"
    for cut in range(len(last)):
        for path in swept.glob("journal-torn-*"):
            path.unlink()
        journal.write_bytes(b"".join(before) + last[:cut])
        with open_store(swept, None, join=False) as store:
            assert lines_of(swept) == before
            assert len(store.notes) == (cut > 0)
            if cut:
                (aside,) = swept.glob("journal-torn-*")
                assert aside.read_bytes() == last[:cut]
                assert f"cut off an unfinished last line, kept as {aside.name}" in store.notes[0]
            study = study_in(store)
            states = [trial.state.name for trial in study.trials]
            assert states == ["COMPLETE", "COMPLETE", "RUNNING"]
            assert [trial.value for trial in study.trials[:2]] == [0.0, 0.1]
            if cut % 10 and cut != len(last) - 1:
                continue  # the rest costs a second a hundred
            assert [trial.number for trial in store.reap(study)] == [2]
            assert told(study, 0.5) == 3
    with open_store(swept, None, join=False) as store:
        assert [t.value for t in study_in(store).trials] == [0.0, 0.1, None, 0.5]


def test_garbage_with_a_line_end_is_a_torn_line(swept: Path) -> None:
    before = lines_of(swept)
    (swept / "journal.jsonl").write_bytes(b"".join(before) + b"\0" * 300 + b"\n")
    with open_store(swept, None, join=False) as store:
        assert len(store.notes) == 1 and lines_of(swept) == before


@pytest.mark.parametrize("damage", [b"\0\0\0\n", b"[1]\n", b'{"op_code":5}\n', b"\n", b'{"op_co\n'])
def test_damage_elsewhere_is_refused(swept: Path, damage: bytes) -> None:
    lines = lines_of(swept)
    lines[4] = damage
    (swept / "journal.jsonl").write_bytes(b"".join(lines))
    for read_only in (False, True):
        with pytest.raises(RunError, match=r"journal\.jsonl: line 5 is damaged") as error:
            open_store(swept, None, join=False, read_only=read_only)
        assert error.value.args[1] == 3
    assert lines_of(swept) == lines and not list(swept.glob("journal-torn-*"))


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(0, 10**6), st.integers(0, 255))
def test_any_changed_byte(swept: Path, where: int, byte: int) -> None:
    journal = swept / "journal.jsonl"
    whole = journal.read_bytes()
    changed = bytearray(whole)
    changed[where % len(whole)] = byte
    journal.write_bytes(changed)
    try:
        with open_store(swept, None, join=False) as store:
            store.get_all_studies()
    except RunError as error:
        assert error.args[1] == 3 and str(journal) in error.args[0]
    finally:
        journal.write_bytes(whole)


def test_tail_of_a_killed_neighbour(swept: Path) -> None:
    with open_store(swept, None, join=False) as store:
        study = study_in(store)
        with (swept / "journal.jsonl").open("ab") as file:
            file.write(b'{"op_code":6,"worker_id"')
        assert len(study.trials) == 3 and told(study, 0.5) == 3
        assert len(store.notes) == 1
    with open_store(swept, None, join=False) as store:
        assert len(study_in(store).trials) == 4 and not store.notes


FULL = """
import resource, subprocess, sys
from pathlib import Path
import optuna
from nodejepa_ext.sweep.storage import open_store

optuna.logging.set_verbosity(optuna.logging.WARNING)

def fill(folder, make_room):
    finished = []
    with open_store(folder, None, join=False) as store:
        study = optuna.create_study(study_name='s', storage=store.optuna)
        try:
            while True:
                trial = study.ask()
                trial.set_user_attr('rows', 'x' * 700)
                study.tell(trial, 0.5)
                finished.append(trial.number)
        except Exception as error:
            message, code = error.args
        lines = (folder / 'journal.jsonl').read_bytes().splitlines(True)
        assert code == 1 and all(line.endswith(b'}\\n') for line in lines)
    print(message)
    make_room()
    with open_store(folder, None, join=False) as store:
        study = optuna.load_study(study_name='s', storage=store.optuna)
        lost = [trial.number for trial in store.reap(study)]
        complete = [t.number for t in study.trials if t.state.name == 'COMPLETE']
        assert not store.notes and len(finished) > 5
        assert complete == finished and len(lost) <= 1, (complete, finished, lost)
        study.tell(study.ask(), 0.5)

small, limited = Path(sys.argv[1]), Path(sys.argv[2])
subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=64k', 'none', str(small)], check=True)
ballast = small / 'ballast'
ballast.write_bytes(bytes(2**15))
fill(small, ballast.unlink)
most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (2**15, most))
fill(limited, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)))
"""


@pytest.mark.slow
def test_full_disk(tmp_path: Path) -> None:
    folders = [tmp_path / "small", tmp_path / "limited"]
    for folder in folders:
        folder.mkdir()
    namespace = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    command = [*namespace, sys.executable, "-c", FULL, *map(str, folders)]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    numbers = [errno.ENOSPC, errno.EFBIG]
    for said, folder, number in zip(done.stdout.splitlines(), folders, numbers, strict=True):
        assert said.startswith(f"{folder}/journal.jsonl: {os.strerror(number)}: ")
        for part in ("bytes needed", "free on that disk", "intact", "same command continues"):
            assert part in said


def test_one_supervisor_a_folder(tmp_path: Path) -> None:
    with open_store(tmp_path, None, join=False):
        with pytest.raises(ValueError, match=rf"^{tmp_path}: a sweep is running.*--join"):
            open_store(tmp_path, None, join=False)
        joined = open_store(tmp_path, None, join=True)
    with pytest.raises(ValueError, match=joined.owner):
        open_store(tmp_path, None, join=False)
    joined.close()
    with open_store(tmp_path, None, join=True), open_store(tmp_path, None, join=True):
        pass
    with open_store(tmp_path, None, join=False) as store:
        assert names(tmp_path / "supervisors") == {store.owner}
    assert names(tmp_path) == {"journal.jsonl", "supervisors"}


def test_killed_supervisor_is_reaped_once(tmp_path: Path) -> None:
    with open_store(tmp_path, None, join=False) as store, peers(3, tmp_path) as (a, b, c):
        study = study_in(store)
        mine = study.ask().number
        lost = [a.do("ask"), a.do("ask")]
        theirs = b.do("ask")
        assert store.reap(study) == [] and b.do("reap") == []
        a.process.kill()
        a.process.wait()
        b.send("reap")
        c.send("reap")
        found = [b.answer(), c.answer(), [trial.number for trial in store.reap(study)]]
        assert sorted(sum(found, [])) == lost and store.reap(study) == []
        trials = study.trials
        for number in lost:
            attrs = trials[number].user_attrs
            assert trials[number].state == TrialState.FAIL and attrs["outcome"] == "lost"
            assert attrs["message"] == f"its supervisor {attrs['owner']} died"
        assert {trials[mine].state, trials[theirs].state} == {TrialState.RUNNING}


def test_killed_between_claim_and_name(swept: Path) -> None:
    with open_store(swept, None, join=False) as store:
        store.enqueue(study_in(store), {"x": 0.5}, {}, "key")
        study_in(store).ask()
    *before, name = lines_of(swept)
    assert b'"user_attr":{"owner"' in name
    (swept / "journal.jsonl").write_bytes(b"".join(before))
    with open_store(swept, None, join=False) as store:
        (lost,) = store.reap(study_in(store))
        assert lost.user_attrs == {"outcome": "lost", "message": "its supervisor died"}


def test_read_only(swept: Path) -> None:
    with pytest.raises(ValueError, match=r"no sweep there, expected a file journal\.jsonl"):
        open_store(swept.parent, None, join=False, read_only=True)
    before = lines_of(swept)
    with open_store(swept, None, join=False) as writer:
        files = {path: path.stat().st_mtime_ns for path in swept.rglob("*")}
        with open_store(swept, None, join=False, read_only=True) as store:
            assert len(store.get_all_trials(0)) == 3 and not store.notes
            assert {path: path.stat().st_mtime_ns for path in swept.rglob("*")} == files
            told(study_in(writer), 0.4)
            assert len(store.get_all_trials(0)) == 4
    torn = b"".join(before) + b'{"op'
    (swept / "journal.jsonl").write_bytes(torn)
    with open_store(swept, None, join=False, read_only=True) as store:
        assert len(store.get_all_trials(0)) == 3
    assert (swept / "journal.jsonl").read_bytes() == torn and names(swept) == {
        *("journal.jsonl", "supervisors")
    }


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture
def url(server: Server) -> str:
    """A database of its own."""
    return server.url()


@pytest.fixture(scope="module")
def any_url(server: Server) -> str:
    return server.url()


AUDIT = """
CREATE TABLE audit (trial_id int, state text);
CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN INSERT INTO audit VALUES (new.trial_id, new.state); RETURN new; END $$;
CREATE TRIGGER audit AFTER UPDATE OF state ON trials
  FOR EACH ROW WHEN (old.state <> new.state) EXECUTE FUNCTION audit();
"""


def audited(server: Server, url: str) -> list[tuple[Any, ...]]:
    """(trial, states that it went through after it was created), every trial."""
    query = "SELECT trial_id, array_agg(state) FROM audit GROUP BY trial_id ORDER BY trial_id"
    return server.execute(query, database_of(url))


def database_of(url: str) -> str:
    return url.split("/")[-2 if url.endswith("/") else 3].split("?")[0]


def opened(folder: Path, url: str, grace: float = GRACE, **rest: Any) -> Store:
    return open_store(folder, url, join=False, grace=grace, **rest)


def wait_for_reaped(store: Store, study: optuna.Study, count: int) -> list[int]:
    found: list[int] = []
    deadline = time.monotonic() + 60
    while len(found) < count:
        assert time.monotonic() < deadline
        store.beat()
        found += [trial.number for trial in store.reap(study)]
        time.sleep(0.1)
    return found


def test_hosts_create_the_tables_at_once(tmp_path: Path, url: str) -> None:
    with ThreadPoolExecutor(6) as hosts:
        stores = list(hosts.map(lambda _: opened(tmp_path, url), range(6)))
    for store in stores:
        store.close()


@pytest.mark.slow
def test_hosts_share_a_study(tmp_path: Path, server: Server, url: str) -> None:
    with (
        peers(3, tmp_path, url, 4) as (a, b, c),
        opened(tmp_path, url, grace=4) as store,
    ):
        study = study_in(store)
        for peer in (a, b, c):
            peer.send("enqueue")
        assert [peer.answer() for peer in (a, b, c)] == [None] * 3
        assert [t.state.name for t in study.trials] == ["WAITING"] * 20
        server.execute(AUDIT, database_of(url))
        held = [c.do("ask"), c.do("ask")]
        c.process.kill()
        a.send("work")
        b.send("work")
        done = [a.answer(), b.answer()]
        ran = sorted(sum(done, held))  # more than 20 if both asked for the last
        assert ran == list(range(len(ran))) and len(ran) >= 20
        mine, theirs, lost = study.ask(), a.do("ask"), list[int]()
        deadline = time.monotonic() + 60
        while len(lost) < 2:
            assert time.monotonic() < deadline
            store.beat()
            a.do("beat")
            a.send("reap")
            b.send("reap")
            lost += a.answer() + b.answer()
            time.sleep(0.1)
        assert sorted(lost) == held and store.reap(study) == []
        assert study.trials[mine.number].state == study.trials[theirs].state == TrialState.RUNNING
        study.tell(mine, 1.0)
        study.tell(theirs, 1.0)
        for number in held:
            attrs = study.trials[number].user_attrs
            assert attrs["outcome"] == "lost"
            assert attrs["message"] == "no sign of life from its supervisor for 4 seconds"
        for number, (_, states) in enumerate(audited(server, url)):
            assert states == ["RUNNING", "FAIL" if number in held else "COMPLETE"][number >= 20 :]


def test_restarts_in_mid_sweep(tmp_path: Path, server: Server, url: str) -> None:
    with peers(1, tmp_path, url, 60) as (peer,), opened(tmp_path, url, grace=60) as store:
        study = study_in(store)
        peer.do("enqueue")
        server.execute(AUDIT, database_of(url))
        mine = study.ask()
        peer.send("work")
        for how in (signal.SIGINT, signal.SIGQUIT):
            time.sleep(0.1)
            server.restart(how)
            long_ago = "UPDATE trial_heartbeats SET heartbeat = heartbeat - interval '1 hour'"
            server.execute(long_ago, database_of(url))
            with opened(tmp_path, url, grace=60) as fresh:
                assert fresh.reap(study_in(fresh)) == []  # the server is as fresh
        assert sorted([*peer.answer(), mine.number]) == list(range(20))
        said: list[str] = []
        store.on_event = lambda note: said.append(note) or (server.process or server.start())
        server.stop()
        study.tell(mine, 1.0)
        assert [t.state.name for t in study.trials] == ["COMPLETE"] * 20
        for _, states in audited(server, url):
            assert states == ["RUNNING", "COMPLETE"]
        assert "trying again for 300 seconds" in said[0] and "answers again after" in said[1]


def test_server_that_stays_away(tmp_path: Path, server: Server, url: str) -> None:
    with opened(tmp_path, url, grace=60, patience=0.3) as store:
        study = study_in(store)
        study.ask()
        server.stop()
        try:
            store.beat()
            assert store.reap(study) == []  # others may have been cut off as well
            with pytest.raises(RunError, match="the same command continues later") as error:
                study.ask()
            assert error.value.args[1] == 1
        finally:
            server.start()


def test_lost_confirmations(tmp_path: Path, server: Server, url: str) -> None:
    with Proxy(server) as proxy:
        through = url.replace(str(server.folder), str(proxy.folder))
        with opened(tmp_path, url) as other, opened(tmp_path, through) as store:
            study = study_in(store)
            dead = study_in(other).ask().number
            server.execute(AUDIT, database_of(url))

            @contextmanager
            def cut(statement: bytes) -> Iterator[None]:
                proxy.cut, proxy.left = statement, 1
                yield
                assert not proxy.left

            def states() -> list[str]:
                return [trial.state.name for trial in study.trials]

            with cut(b"INSERT INTO trials"):
                trial = study.ask()
            assert states() == ["RUNNING"] * 2 and trial.number == 1
            with cut(b"INSERT INTO trial_params"):
                trial.suggest_float("x", 0, 1)
            with cut(b"INSERT INTO trial_user_attributes"):
                trial.set_user_attr("rows", [1])
            with cut(b"INSERT INTO trial_intermediate_values"):
                trial.report(0.25, 1)
            with cut(b"UPDATE trials SET"):
                study.tell(trial, 0.5)
            with cut(b"INSERT INTO trials"):
                store.enqueue(study, {"x": 0.25}, {}, "key")
            assert states() == ["RUNNING", "COMPLETE", "WAITING"]
            with cut(b"UPDATE trials SET"):
                assert study.ask().number == 2
            assert study.trials[2].user_attrs["owner"] == store.owner
            _, done, _ = study.trials
            assert done.value == 0.5 and done.intermediate_values == {1: 0.25}
            assert done.user_attrs["rows"] == [1] and done.params == trial.params
            time.sleep(1.2 * GRACE)
            with cut(b"UPDATE trials SET"):
                assert [t.number for t in store.reap(study)] == [dead]
            went = [through for _, through in audited(server, url)]
            assert went == [["FAIL"], ["COMPLETE"], ["WAITING", "RUNNING"]]


@pytest.mark.slow  # Optuna repeats five times itself, with pauses
def test_confirmations_lost_many_times(tmp_path: Path, server: Server, url: str) -> None:
    with Proxy(server) as proxy:
        with opened(tmp_path, url.replace(str(server.folder), str(proxy.folder))) as store:
            study = study_in(store)
            proxy.cut, proxy.left = b"FOR UPDATE", 7
            assert study.ask().number == 0 and not proxy.left
            template = optuna.trial.create_trial(state=TrialState.WAITING)
            proxy.left = 7
            study.add_trial(template)
            study.add_trial(template)
            assert [t.state.name for t in study.trials] == ["RUNNING", "WAITING", "WAITING"]
            assert len(store.notes) == 4  # a connection lost, and back, twice


@pytest.mark.parametrize("kind", ["file", "postgres"])
def test_owners_keys_and_late_answers(tmp_path: Path, server: Server, kind: str) -> None:
    url = server.url() if kind == "postgres" else None
    with open_store(tmp_path, url, join=False, grace=GRACE) as store:
        study = study_in(store)
        for key in ("a", "b", "a", "a"):
            store.enqueue(study, {"x": 0.25}, {"retry_of": 7}, key)
        assert len(study.trials) == 2
        trials = [study.ask() for _ in range(3)]
        assert [trial.user_attrs.get("retry_of") for trial in trials] == [7, 7, None]
        assert trials[0].suggest_float("x", 0, 1) == 0.25
        assert {trial.user_attrs["owner"] for trial in study.trials} == {store.owner}
        study.tell(trials[0], 0.5)
        store.enqueue(study, {"x": 0.25}, {}, "a")
        assert len(study.trials) == 3 and study.trials[0].state == TrialState.COMPLETE
        if kind == "file":
            assert isinstance(store, FileStore)
            os.close(store.register.life)  # as if this process had died
            store.register.life = -1
        with open_store(tmp_path, url, join=True, grace=GRACE) as other:
            lost = wait_for_reaped(other, study_in(other), 2) if url else other.reap(study)
            assert len(lost) == 2
        with pytest.raises(UpdateFinishedTrialError):
            trials[1].set_user_attr("rows", [])
        with pytest.raises(UpdateFinishedTrialError):
            store.optuna.set_trial_state_values(trials[1]._trial_id, TrialState.COMPLETE, [1.0])
        with pytest.raises(UpdateFinishedTrialError):
            store.optuna.set_trial_state_values(trials[2]._trial_id, TrialState.FAIL)
        assert study.tell(trials[1], 1.0, skip_if_finished=True).state == TrialState.FAIL
        assert study.trials[1].user_attrs["outcome"] == "lost"


@pytest.mark.slow
def test_postgres_read_only(tmp_path: Path, url: str) -> None:
    with pytest.raises(ValueError, match="no sweep was ever run there"):
        opened(tmp_path, url, read_only=True)
    with opened(tmp_path, url) as store:
        told(study_in(store), 0.5)
    with opened(tmp_path, url, read_only=True) as store:
        study = optuna.load_study(study_name="s", storage=store.optuna)
        assert [trial.value for trial in study.trials] == [0.5]
        with pytest.raises(RunError, match="read-only transaction"):
            study.enqueue_trial({})
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("tester", "stranger"), "password authentication failed for user"),
        ((QUOTED, "wr0ng"), "password authentication failed for user"),
        (("/sweep", "/nosweep"), "does not exist"),
        (("host=", "host=/nowhere"), "/nowhere"),
        (("?", "?no=1&"), "invalid connection option"),
        (("?", "?password=wr0ng&"), "postgresql://tester"),
        ((QUOTED, "a@wr0ng"), "not a URL; write @"),
        (("@/", "@host:port/"), "not a URL; write @"),
        (("postgresql", "sqlite"), "SQLite locks its whole file.*leave --storage out"),
        (("postgresql", "postgresql+psycopg2"), "expected postgresql://USER:PASSWORD@HOST"),
        (("postgresql://", "user=tester password="), "expected postgresql://USER:PASSWORD@HOST"),
    ],
)
def test_refused_urls(tmp_path: Path, any_url: str, change: tuple[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        opened(tmp_path, any_url.replace(*change))
    said = str(error.value)
    assert not any(secret in said for secret in (PASSWORD, QUOTED, "wr0ng")) and "\n" not in said


@pytest.mark.parametrize("how", ["environment", "file", "neither"])
def test_password_from_elsewhere(
    tmp_path: Path, server: Server, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = server.url()
    bare = url.replace(f":{QUOTED}@", "@")
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "none"))
    if how == "environment":
        monkeypatch.setenv("PGPASSWORD", PASSWORD)
    elif how == "file":
        secrets = tmp_path / "secrets"
        secrets.write_text(f"*:*:*:tester:{PASSWORD}\n")
        secrets.chmod(0o600)
        monkeypatch.setenv("PGPASSFILE", str(secrets))
    if how == "neither":
        with pytest.raises(ValueError, match="no password supplied"):
            opened(tmp_path, bare)
        return
    with opened(tmp_path, bare) as store:
        told(study_in(store), 0.5)
        assert PASSWORD not in f"{store.engine.url} {store.shown}"
        server.stop()
        try:
            store.patience = 0.0
            with pytest.raises(RunError) as error:
                study_in(store)
            assert not any(PASSWORD in text for text in (*store.notes, str(error.value)))
        finally:
            server.start()


def test_missing_driver(tmp_path: Path, any_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ValueError, match=r"pip install 'nodejepa\[cluster\]'") as error:
        opened(tmp_path, any_url)
    assert QUOTED not in str(error.value)


def test_import_is_light() -> None:
    heavy = "{'torch', 'sqlalchemy', 'psycopg', 'sklearn'}"
    code = f"import sys, nodejepa_ext.sweep.storage; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    code = (
        "import sys, nodejepa_ext.sweep.report; assert not {'torch', 'optuna'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
