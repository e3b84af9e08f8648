"""Claims about the bench of a sweep, each with a test below.

1.  Real supervisors measure the journal and a real PostgreSQL server; the report is one JSON
    object, and neither disk nor server keeps anything.
2.  A simulated worker leaves in the study what a real one would; so do the trials there at first.
3.  A storage carries as many workers as make its trials a second; it saturates at the fewest
    supervisors within a tenth of its most.
4.  A measurement adds the rates of its supervisors, and divides their CPU seconds by all trials.
5.  A supervisor that fails ends the measurement with one sentence.
6.  A URL that does not do exits 2 with one sentence, which never shows a password; so do options
    that do not go together.
7.  Scaling is judged by the fastest run of each, and not where two cores were not idle.
8.  Scaling trains for real: the same trials by one worker and by two, and what they cost.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState
from postgres import PASSWORD, QUOTED, Server
from typer.testing import CliRunner

from nodejepa_ext.bench import sweep as bench_sweep
from nodejepa_ext.commands import app
from nodejepa_ext.sweep.storage import open_store
from nodejepa_ext.workers.supervisor import Outcome
from run_full import RunError

optuna.logging.set_verbosity(optuna.logging.ERROR)


def point(folder: Path, trials: int) -> dict[str, object]:
    where = {"storage": "journal", "url": None, "folder": str(folder)}
    return where | {"size": trials, "supervisors": 1, "workers": 8, "seat": 0, "share": 3}


@pytest.mark.slow
def test_both_storages_are_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    small = partial(bench_sweep.storages, sizes=(12,), supervisors=(1, 2), workers=2, trials=2)
    monkeypatch.setattr(bench_sweep, "storages", small)
    with Server() as server:
        url = server.url()
        done = CliRunner().invoke(app, ["bench", "sweep", "--json", "--storage", url])
        name = url.partition("@/")[2].partition("?")[0]
        kept = server.execute("SELECT nspname FROM pg_namespace", name)
        tables = server.execute("SELECT * FROM pg_tables WHERE schemaname = 'public'", name)
    assert done.exit_code == 0, done.stderr
    assert not any(str(schema).startswith("bench") for (schema,) in kept) and tables == []
    assert not list(tmp_path.glob("nodejepa-bench-*"))
    report = json.loads(done.stdout)
    places = [(row["storage"], row["size"], row["supervisors"]) for row in report["rows"]]
    assert places == [(s, 12, n) for s in ("journal", "PostgreSQL") for n in (1, 2)]
    for row in report["rows"]:
        assert row["trials"] in ((12,) if row["supervisors"] == 1 else (15, 16))
        assert row["trials_per_second"] > 0 and row["cpu_seconds"] > 0
        assert 0 < row["cpu_share"] < 1.1
    assert report["knobs"] == 10 and report["reports"] == 20 and report["cores"] >= 1
    assert [line["storage"] for line in report["limits"]] == ["journal", "PostgreSQL"]
    shown = [str(part) for part in bench_sweep.tables(report)]
    assert len(shown) == 3 and "2 trials a line" in shown[2]
    assert PASSWORD not in done.output and QUOTED not in done.output


def test_what_is_simulated_is_what_a_sweep_does(tmp_path: Path) -> None:
    here = point(tmp_path, 9)
    assert bench_sweep.fill(here, bench_sweep.past(bench_sweep.ten_knobs(), 9)) == 9
    heard: list[object] = []
    spent = bench_sweep.supervise(here, lambda figures: heard.append(figures) or True)
    assert spent["trials"] == 3 and heard == [{"ready": 0}]
    assert 0 < spent["cpu_seconds"] <= 1.1 * spent["wall_seconds"]
    with open_store(bench_sweep.place(here).out, None, join=False) as store:
        trials = optuna.load_study(study_name="bench/cora", storage=store.optuna).trials
    assert all(trial.state == TrialState.COMPLETE for trial in trials)
    assert all("owner" in trial.user_attrs for trial in trials[9:])
    steps = [len(trial.intermediate_values) for trial in trials]
    assert steps.count(20) == 9 + 3 and len(trials) - 12 in (7, 8)
    assert len({*steps}) > 4  # workers were at different stages when the measurement ended
    for trial in (t for t in trials if len(t.intermediate_values) == 20):
        assert len(trial.params) == 10 and list(trial.intermediate_values) == list(range(1, 21))
        kept = set("config outcome message rows cpu_seconds wall_seconds peak_mib".split())
        assert kept <= trial.user_attrs.keys() and trial.user_attrs["outcome"] == "ok"
        assert {f"completed_rung_{rung}" for rung in range(3)} <= trial.system_attrs.keys()
        assert 8_000 < len(json.dumps(trial.user_attrs)) < 16_000


def row(storage: str, size: int, supervisors: int, rate: float) -> dict[str, object]:
    place = {"storage": storage, "size": size, "supervisors": supervisors}
    return place | {"trials_per_second": rate, "cpu_seconds": 0.05, "cpu_share": 0.5}


def test_saturation_by_hand() -> None:
    assert bench_sweep.carried(1.25, 10) == 12 and bench_sweep.carried(0.01, 60) == 0
    rows = [row("journal", 40, s, rate) for s, rate in ((1, 10.0), (2, 18.5), (4, 20.0))]
    rows += [row("journal", 200, 1, 4.0), row("PostgreSQL", 40, 1, 1.0)]
    first, second, third = bench_sweep.limits(rows)
    assert first["trials_per_second"] == 20 and first["supervisors"] == 2  # 18.5 >= 0.9 * 20
    assert first["workers"] == {"10": 200, "60": 1200, "600": 12000}
    assert second["workers"]["10"] == 40 and third["storage"] == "PostgreSQL"


def test_supervisors_add_up() -> None:
    shares = [
        {"trials": 6, "wall_seconds": 2.0, "cpu_seconds": 1.5},
        {"trials": 6, "wall_seconds": 3.0, "cpu_seconds": 0.5},
    ]
    found = bench_sweep.summary(
        {"storage": "journal", "size": 40, "trials": 40, "supervisors": 2}, shares
    )
    assert found["trials_per_second"] == pytest.approx(6 / 2 + 6 / 3)
    assert found["cpu_seconds"] == pytest.approx(2 / 12)
    assert found["cpu_share"] == pytest.approx(2 / 5)


def test_a_failed_supervisor_ends_it() -> None:
    assert bench_sweep.expected(Outcome({}, "ok", {"trials": 1}, "")) == {"trials": 1}
    with pytest.raises(RunError, match="a supervisor died: killed by SIGKILL, twice"):
        bench_sweep.expected(Outcome({}, "died", {}, "killed by SIGKILL, twice"))


def test_what_does_not_do_exits_2() -> None:
    call = partial(CliRunner().invoke, app)
    secret = "postgresql://me:hush@localhost:1/nowhere"
    for url in (secret, secret.replace("postgresql", "mysql"), "sqlite:///hush"):
        done = call(["bench", "sweep", "--storage", url])
        assert done.exit_code == 2 and done.stdout == "" and "hush" not in done.stderr
        assert done.stderr.startswith("nodejepa-ext bench sweep: ")
        assert done.stderr.count("\n") == 1
    for words in (["--scaling"], ["sweep", "--scaling", "--storage", secret]):
        done = call(["bench", *words])
        assert done.exit_code == 2 and "expected one, with sweep" in done.stderr


def test_scaling_by_hand() -> None:
    def run(workers: int, wall: float, cpu: float, own: float) -> dict[str, float]:
        row = {"workers": workers, "wall_seconds": wall, "trial_cpu_seconds": cpu}
        return row | {"supervisor_cpu_seconds": own}

    rows = [run(1, 80, 72, 0.8), run(2, 50, 90, 0.5), run(1, 90, 80, 0.9), run(2, 44, 73, 0.66)]
    found = bench_sweep.judged(rows, load=0.2, cores=2)
    assert found["ratio"] == pytest.approx(80 / 44) and found["cpu"] == pytest.approx(1 / 72)
    assert found["supervisor"] == pytest.approx(0.015) and found["good"] is True
    assert bench_sweep.judged(rows, load=0.7, cores=2)["good"] is None
    assert bench_sweep.judged(rows, load=0.0, cores=1)["good"] is None
    assert bench_sweep.judged([*rows, run(1, 70, 72, 0.1)], 0.2, 2)["good"] is False


@pytest.mark.slow
def test_scaling_trains_for_real() -> None:
    said: list[str] = []
    report = bench_sweep.scaling(said.append, 2, 1, {"epochs": 2, "eval_every": 0, "hidden": 16})
    assert said == ["1 worker(s), turn 0", "2 worker(s), turn 0"]
    assert [row["workers"] for row in report["rows"]] == [1, 2]
    for row in report["rows"]:
        assert row["trials"] == 2 and row["wall_seconds"] > 0
        assert 0 < row["trial_cpu_seconds"] < row["cpu_seconds"]
        assert 0 < row["supervisor_cpu_seconds"] < row["cpu_seconds"]
    assert report["judged"]["ratio"] > 0 and len(bench_sweep.scaling_tables(report)) == 2
