"""Claims about what a sweep leaves and shows, each with a test below.

1. On a small study made by hand: counts, best, rounds ordered by fresh means, winner, winner's
   curse and Spearman are those of pen, paper and scipy.
2. A configuration that lacks a fresh seed, failed or not yet trained, cannot win, whatever the
   others lack; failures are counted; a retry takes its failure's place; what the machine failed is
   unfinished.
3. The base preset among the rounds' configurations: a paired difference, and no part of the curse.
4. A sweep that plans no rounds is won by the search's best, and best.toml says so.
5. With objective rankme fresh runs are judged by rank / D, validation stands beside it.
6. Rank correlation: Spearman over trials that have both; none without labels.
7. Importances: the same twice, the knob that matters first; none for few or equal trials.
8. best.toml, given as --config, is the winner's configuration exactly; graphs without
   a winner are left out in a comment.
9. Studies that have just begun, only pruned or only failed trials: all is said, nothing raised.
10. Test figures come from phase final alone; an outdated final is said to be.
11. `write`: JSON without NaN, a curve line an evaluation, no other file left.
12. A prefix picks one sweep of a storage; a wrong one is refused with the names found.
13. `show` as a process reads a journal, torn at its end or not, and changes nothing; its --json is
    the report. No sweep, an ablation, half a --storage: exit 2 and one sentence. A folder without
    its storage shows what `write` left.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import Study
from optuna.trial import TrialState
from rich.console import Console
from scipy import stats

from nodejepa_ext.judging.stats import interval, paired
from nodejepa_ext.sweep import report
from nodejepa_ext.training import settings
from run_full import Config

optuna.logging.set_verbosity(optuna.logging.WARNING)
SPACES = {
    "lr": FloatDistribution(1e-4, 1e-2, log=True),
    "mask": FloatDistribution(0.0, 0.7, step=0.1),
    "epochs": IntDistribution(20, 150, step=10),
    "regulariser_weight": FloatDistribution(1e-4, 1e-2, log=True),
    "target": CategoricalDistribution(("ema", "online")),
    "momentum": FloatDistribution(0.9, 0.999),
    "layers": IntDistribution(1, 2),
}
STATES = {"ok": TrialState.COMPLETE} | dict.fromkeys(
    ("pruned", "diverged", "oom"), TrialState.PRUNED
)
STATES |= dict.fromkeys(("died", "timeout", "failed", "lost"), TrialState.FAIL)
BASE = Config()


def begin(storage: BaseStorage, graph: str = "cora", prefix: str = "", **plan: Any) -> Study:
    """The search of one graph, planned and empty."""
    made: dict[str, Any] = {"graph": graph, "base": asdict(BASE), "space": {}, "objective": "val"}
    made |= {"seeds": [0, 1], "rounds": {"best": 3, "seeds": [10, 11, 12]}}
    study = optuna.create_study(
        storage=storage, study_name=f"{prefix}{graph}", direction="maximize"
    )
    study.set_user_attr("plan", made | {"sampler": "tpe", "pruner": "none"} | plan)
    return study


def beside(storage: BaseStorage, name: str) -> Study:
    """A study of rounds or final."""
    return optuna.create_study(storage=storage, study_name=name, direction="maximize")


def row(seed: int, val: float | None, rank: float = 0.5, **more: Any) -> dict[str, Any]:
    """What one seed left, in three evaluations."""
    made: dict[str, Any] = {"seed": seed, "epoch": 30, "c": 1.0, "scaling": "unit", "cosine": 0.1}
    made |= {"effective_rank": 256 * rank, "rank": rank, "min_std": 0.1, "cpu_seconds": 9.0}
    curve = [
        {"epoch": 10 * i, "loss": 1 / i, "effective_rank": 99.0, "cosine": 0.1} for i in (1, 2, 3)
    ]
    if val is not None:
        made |= {"val": val}
        curve = [point | {"val": val - 0.1 / point["epoch"]} for point in curve]
    return made | {"curve": curve} | more


def add(
    study: Study,
    value: float | None,
    outcome: str = "ok",
    params: dict[str, Any] | None = None,
    rows: list[dict[str, Any]] | None = None,
    steps: dict[int, float] | None = None,
    **attrs: Any,
) -> int:
    """A trial that has ended -> its number. Without `rows`: of two seeds around its value."""
    params = {"lr": 1e-3} | (params or {})
    config = {k: v for k, v in (asdict(BASE) | params).items() if k != "seed"}
    if rows is None:
        rows = [row(s, value + d) for s, d in ((0, -0.01), (1, 0.01))] if value else []
    told = {"owner": "a", "config": config, "outcome": outcome, "message": "", "rows": rows}
    told |= {"cpu_seconds": 20.0, "wall_seconds": 21.0, "peak_mib": 900, "worker": 0} | attrs
    trial = optuna.trial.create_trial(
        state=STATES[outcome],
        value=value if outcome == "ok" else None,
        params=params,
        distributions={name: SPACES[name] for name in params},
        user_attrs=told,
        intermediate_values=steps or {},
    )
    study.add_trial(trial)
    return len(study.get_trials(deepcopy=False)) - 1


def again(
    study: Study, of: int, seed: int, value: float | None, outcome: str = "ok", **more: Any
) -> None:
    """Search trial `of` on a fresh seed; in phase final its test accuracy is a point below."""
    test = {"test": value - 0.01} if value and study.study_name.endswith("final") else {}
    rows = [row(seed, value, **test)] if value else []
    add(study, value, outcome, {"lr": LRS[of]}, rows, of=of, seed=seed, **more)


LRS = (1e-3, 2e-3, 3e-3, 4e-3, 5e-3)
SEARCH = 0.80, 0.84, 0.83, 0.82, 0.70


def by_hand(storage: BaseStorage, fresh: dict[int, list[float | str]], **plan: Any) -> Study:
    """Five trials of SEARCH and LRS, a pruned and a diverged one, and these fresh values or
    outcomes."""
    study = begin(storage, **plan)
    for value, lr in zip(SEARCH, LRS, strict=True):
        add(study, value, params={"lr": lr})
    add(study, None, "pruned", {"lr": 6e-3}, [row(0, 0.5)], {1: 0.4, 2: 0.5})
    add(study, None, "diverged", {"lr": 9e-3})
    rounds = beside(storage, "cora/rounds")
    for of, values in fresh.items():
        for seed, value in zip((10, 11, 12), values, strict=False):
            good = isinstance(value, float)
            again(rounds, of, seed, value if good else None, "ok" if good else value)
    return study


FRESH: dict[int, list[float | str]] = {
    1: [0.80, 0.81, 0.82],
    2: [0.82, 0.83, 0.81],
    3: [0.83, 0.81, 0.82],
}


def of(storage: BaseStorage, graph: str = "cora") -> dict[str, Any]:
    part: dict[str, Any] = report.report(storage)["graphs"][graph]
    return part


def text(found: dict[str, Any]) -> str:
    console = Console(width=200, no_color=True)
    with console.capture() as capture:
        for part in report.tables(found):
            console.print(part)
    return " ".join(capture.get().split())


# 1


def test_by_hand() -> None:
    by_hand(storage := InMemoryStorage(), FRESH | {2: [0.82, 0.83, 0.84]})
    part = of(storage)
    assert part["counts"] == {"ok": 5, "pruned": 1, "diverged": 1} and part["best"] == 1
    lines = part["rounds"]["lines"]
    assert [line["number"] for line in lines] == [2, 3, 1]
    assert [line["search_rank"] for line in lines] == [2, 3, 1]
    assert [line["fresh_rank"] for line in lines] == [1, 2, 3]
    assert not part["rounds"]["unfinished"] and part["winner"]["number"] == 2
    assert lines[0]["fresh"] == interval([0.82, 0.83, 0.84])._asdict()
    # search .84 .83 .82, fresh means .81 .83 .82
    curse = part["winners_curse"]
    assert curse["all"]["mean"] == pytest.approx(0.01) and curse["all"]["n"] == 3
    assert curse["all"]["std"] == pytest.approx(np.std([0.03, 0.0, 0.0], ddof=1))
    assert curse["best"]["number"] == 1 and curse["best"]["mean"] == pytest.approx(0.03)
    low, high = stats.t.interval(0.95, 2, 0.03, stats.sem([0.04, 0.03, 0.02]))
    assert (curse["best"]["low"], curse["best"]["high"]) == pytest.approx((low, high))
    assert curse["spearman"]["rho"] == pytest.approx(-0.5)
    assert curse["spearman"]["p"] == 1.0  # two of six orders have -0.5 or less: p is capped
    said = text(report.report(storage))
    assert "7 trials (5 ok, 1 pruned, 1 diverged), 0.1 CPU hours" in said
    assert "Winner: trial 2, by the fresh seeds." in said
    assert (
        "+1.0 points" in said and "+3.0 points [+0.5, +5.5] of the search's best, trial 1" in said
    )
    assert "Spearman -0.50" in said and "│ 2 │ 83.0 ± 1.0 │ [80.5, 85.5] │ 3 │ 83.0 │ 2 │" in said


# 2


@pytest.mark.parametrize(
    ("fresh", "order", "unfinished", "winner"),
    [
        ({1: [0.99, 0.99], 2: [0.7, 0.7, 0.7], 3: [0.6, 0.6, 0.6]}, [2, 3, 1], True, 2),
        ({1: [0.99, 0.99, "died"], 2: [0.7] * 3, 3: ["oom"] * 3}, [2, 1, 3], True, 2),
        ({1: [0.99, 0.99, "diverged"], 2: [0.7] * 3, 3: ["oom"] * 3}, [2, 1, 3], False, 2),
        ({1: [0.8], 2: [0.81, 0.83], 3: ["diverged", 0.81]}, [2, 3, 1], True, None),
        ({1: [0.8] * 3, 2: [0.7] * 3}, [1, 2], True, 1),
    ],
)
def test_incomplete_rounds(
    fresh: Any, order: list[int], unfinished: bool, winner: int | None
) -> None:
    by_hand(storage := InMemoryStorage(), fresh)
    part = of(storage)
    lines = part["rounds"]["lines"]
    assert [line["number"] for line in lines] == order
    assert part["rounds"]["unfinished"] is unfinished
    assert (part["winner"] and part["winner"]["number"]) == winner
    for line in lines:
        bad = [value for value in fresh[line["number"]] if isinstance(value, str)]
        assert sum(line["failed"].values()) == len(bad) and {*line["failed"]} == {*bad}
        assert line["missing"] == 3 - len(fresh[line["number"]])
        assert line["fresh"]["n"] == 3 - line["missing"] - len(bad)
    said = text(report.report(storage))
    assert ("so far: the rounds are unfinished" in said) == (unfinished and winner is not None)
    assert ("Unfinished: rounds" in said) == unfinished
    told = [f"{line['missing']} missing" for line in lines if line["missing"]]
    told += [f"{n} {outcome}" for line in lines for outcome, n in line["failed"].items()]
    assert all(phrase in said for phrase in told)


def test_all_fresh_seeds_failed() -> None:
    by_hand(storage := InMemoryStorage(), {1: ["oom", "died", "oom"]})
    part = of(storage)
    assert part["winner"] is None and part["winners_curse"] is None
    assert part["rounds"]["lines"][0]["failed"] == {"oom": 2, "died": 1}
    assert "2 oom, 1 died" in text(report.report(storage))


def test_a_retry_takes_its_failures_place() -> None:
    by_hand(storage := InMemoryStorage(), FRESH | {1: [0.8, "lost", 0.82]})
    rounds = optuna.load_study(study_name="cora/rounds", storage=storage)
    attributes = {"of": 1, "seed": 11, "retry_of": 1}
    waiting = optuna.trial.create_trial(state=TrialState.WAITING, user_attrs=attributes)
    for ended, failed, missing, values in (
        (None, {"lost": 1}, 0, [[10, 0.8], [12, 0.82]]),
        (waiting, {}, 1, [[10, 0.8], [12, 0.82]]),
        (0.81, {}, 0, [[10, 0.8], [11, 0.81], [12, 0.82]]),
    ):
        if isinstance(ended, float):
            rounds.tell(rounds.ask(), state=TrialState.FAIL)
            again(rounds, 1, 11, ended, retry_of=1)
        elif ended:
            rounds.add_trial(ended)
        part = of(storage)
        line = next(line for line in part["rounds"]["lines"] if line["number"] == 1)
        assert (line["failed"], line["missing"], line["values"]) == (failed, missing, values)
        assert part["rounds"]["unfinished"] == (not isinstance(ended, float))


# 3, 4


def test_against_the_base() -> None:
    by_hand(storage := InMemoryStorage(), FRESH | {0: [0.79, 0.80, 0.80]})
    part = of(storage)  # trial 0 has the lr of Config()
    lines = part["rounds"]["lines"]
    assert [line["number"] for line in lines if line["base"]] == [0]
    expected = paired([0.82, 0.83, 0.81], [0.79, 0.80, 0.80])
    assert part["against_base"] == expected._asdict() and part["winners_curse"]["all"]["n"] == 3
    said = text(report.report(storage))
    assert "the settings it started from: +2.3 points" in said and "the settings it started" in said
    assert of_base_first() is None


def of_base_first() -> Any:
    """The difference where the base itself wins."""
    by_hand(storage := InMemoryStorage(), FRESH | {0: [0.9, 0.9, 0.9]})
    return of(storage)["against_base"]


def test_no_rounds_planned() -> None:
    by_hand(storage := InMemoryStorage(), {}, rounds={"best": 0, "seeds": []})
    found = report.report(storage)
    winner = found["graphs"]["cora"]["winner"]
    assert (winner["number"], winner["by"]) == (1, "search")
    assert "84.0 ± 1.4 % on the seeds that it was chosen on (n 2)" in report.best_toml(found)
    assert "no fresh seeds being planned" in text(found)
    by_hand(storage := InMemoryStorage(), {})
    assert of(storage)["winner"] is None and of(storage)["rounds"]["unfinished"]


# 5, 6


@pytest.mark.parametrize("labels", [True, False])
def test_rankme(labels: bool) -> None:
    study = begin(storage := InMemoryStorage(), objective="rankme")
    ranks, vals = (0.2, 0.4, 0.3, 0.6), (0.7, 0.9, 0.8, 0.75)
    for rank, val, lr in zip(ranks, vals, LRS, strict=False):
        add(study, rank, params={"lr": lr}, rows=[row(0, val if labels else None, rank)])
    rounds = beside(storage, "cora/rounds")
    for number in (1, 3):
        for seed in (10, 11, 12):
            rank, val = ranks[number] - 0.01 * seed, vals[number] if labels else None
            rows, params = [row(seed, val, rank)], {"lr": LRS[number]}
            add(rounds, rank, params=params, rows=rows, of=number, seed=seed)
    part, said = of(storage), text(report.report(storage))
    assert [line["number"] for line in part["rounds"]["lines"]] == [3, 1]
    line = part["rounds"]["lines"][0]
    assert line["fresh"]["mean"] == pytest.approx(0.49) and "0.490 ± 0.010" in said
    assert part["winners_curse"]["all"]["mean"] == pytest.approx(0.11) and "points" not in said
    if labels:
        assert line["val"]["mean"] == 0.75 and "75.0 ± 0.0" in said
        expected = {"rho": 0.4, "p": 2 * 9 / 24, "n": 4}  # 9 orders of 24 have that or more
        assert part["rank_correlation"] == pytest.approx(expected)
    else:
        assert line["val"]["n"] == 0 and part["rank_correlation"] is None
        assert "validation" not in report.best_toml(report.report(storage))


def test_rank_correlation() -> None:
    study = begin(storage := InMemoryStorage())
    rng = np.random.default_rng(0)
    pairs = rng.random((20, 2))
    for rank, val in pairs:
        add(study, val, rows=[row(0, val + 0.1, rank - 0.1), row(1, val - 0.1, rank + 0.1)])
    add(study, None, "died")
    expected = stats.spearmanr(*pairs.T)
    found = of(storage)["rank_correlation"]
    assert found == {
        "rho": pytest.approx(expected.statistic),
        "p": pytest.approx(expected.pvalue),
        "n": 20,
    }


# 7


def test_importances() -> None:
    study = begin(storage := InMemoryStorage())
    rng = np.random.default_rng(0)
    for _ in range(30):
        lr, mask = float(10 ** rng.uniform(-4, -2)), 0.1 * int(rng.integers(7))
        params = {"lr": lr, "mask": mask} | ({"momentum": 0.9} if rng.random() < 0.5 else {})
        add(study, 0.8 - (mask - 0.35) ** 2 + 0.1 * lr, params=params)
    found = of(storage)["importances"]
    assert [*found] == ["mask", "lr"] and found["mask"] > 0.8
    assert sum(found.values()) == pytest.approx(1) and found == of(storage)["importances"]


def test_no_importances() -> None:
    study = begin(storage := InMemoryStorage())
    for i in range(7):
        add(study, 0.1 * i, params={"lr": 1e-3 + 1e-4 * i})
    assert of(storage)["importances"] is None
    study = begin(storage := InMemoryStorage())
    for i in range(20):
        add(study, 0.5, params={"lr": 1e-3 + 1e-4 * i})
    assert of(storage)["importances"] is None and of(storage)["rank_correlation"] is None


# 8


def test_best_toml(tmp_path: Path) -> None:
    by_hand(storage := InMemoryStorage(), FRESH)
    study = begin(storage, "citeseer", rounds={"best": 1, "seeds": [7]})
    odd = dict(encoder="gat", lr=1e-05, mask=0.30000000000000004, skip="input", epochs=70, heads=8)
    won = replace(Config(), seed=7, device="cpu", precision="fp32", **odd)
    config = {k: v for k, v in asdict(won).items() if k != "seed"}
    add(study, 0.7, config=json.loads(json.dumps(config)))
    add(beside(storage, "citeseer/rounds"), 0.69, rows=[row(7, 0.69)], config=config, of=0, seed=7)
    begin(storage, "pubmed")
    toml = report.best_toml(report.report(storage))
    path = tmp_path / "best.toml"
    path.write_text(toml)
    args = settings.command_line("test").parse_args(["--config", str(path)])
    for name in settings.PRESETS:  # none of whose settings shows through
        expected = replace(won, seed=0, device="auto", precision="auto")
        bases = {graph: settings.preset(name, graph) for graph in ("citeseer", "cora")}
        found = {graph: settings.resolve(base, args, graph)[0] for graph, base in bases.items()}
        assert found == {"citeseer": expected, "cora": replace(BASE, lr=LRS[2])}
    assert "# pubmed: no winner yet" in toml and "[pubmed]" not in toml
    assert "# trial 2 of study cora, validation 82.0 ± 1.0 % on fresh seeds (n 3)\n[cora]" in toml
    assert "validation 69.0 % on fresh seeds (n 1)" in toml


# 9


@pytest.mark.parametrize("outcomes", [[], ["pruned"], ["failed", "oom", "died", "lost", "timeout"]])
def test_nothing_complete(outcomes: list[str], tmp_path: Path) -> None:
    study = begin(storage := InMemoryStorage())
    for i, outcome in enumerate(outcomes):
        add(study, None, outcome, {"lr": 1e-3 * (1 + i)})
    study.enqueue_trial({"lr": 1e-3})
    study.ask({"lr": SPACES["lr"]})
    found = report.report(storage)
    part = found["graphs"]["cora"]
    assert part["counts"] == dict.fromkeys(outcomes, 1) | {"running": 1}
    for key in ("best", "winner", "winners_curse", "against_base", "importances", "test"):
        assert part[key] is None
    assert f"{len(outcomes) + 1} trials (" in text(found)
    report.write(tmp_path, found)
    assert "no winner yet" in (tmp_path / "best.toml").read_text()


# 10


def test_test_figures() -> None:
    by_hand(storage := InMemoryStorage(), FRESH | {2: [0.82, 0.83, 0.84]})
    assert "Test" not in text(report.report(storage)) and of(storage)["test"] is None
    final = beside(storage, "cora/final")
    for seed in (20, 21, 22):
        again(final, 2, seed, 0.80 + 0.01 * (seed - 21))
    again(final, 2, 23, None, "oom")
    part, said = of(storage), text(report.report(storage))
    assert part["test"]["test"] == interval([0.78, 0.79, 0.80])._asdict()
    assert part["test"]["failed"] == {"oom": 1} and part["test"]["winner"]
    assert "Test accuracy of the winner, trial 2: 79.0 ± 1.0 % [76.5, 81.5], n 3; 1 oom." in said
    rounds = optuna.load_study(study_name="cora/rounds", storage=storage)
    for seed in (10, 11, 12):
        again(rounds, 4, seed, 0.95)
    assert of(storage)["winner"]["number"] == 4 and not of(storage)["test"]["winner"]
    assert "Test accuracy of what is not the winner now, trial 2" in text(report.report(storage))


# 11, 12


def test_files(tmp_path: Path) -> None:
    study = by_hand(storage := InMemoryStorage(), FRESH)
    add(study, 0.6, rows=[row(0, 0.6, curve=[{"epoch": 10, "loss": math.nan}])])
    found = report.report(storage)
    report.write(tmp_path / "a/b", found)
    report.write(tmp_path / "a/b", found)
    names = {"final_results.json", "best.toml", "curves.jsonl"}
    assert {path.name for path in (tmp_path / "a/b").iterdir()} == names
    kept = (tmp_path / "a/b/final_results.json").read_text()
    assert json.loads(kept) == found and "NaN" not in kept
    assert {"optuna", "torch"} <= found["versions"].keys()
    lines = [*map(json.loads, (tmp_path / "a/b/curves.jsonl").read_text().splitlines())]
    assert len(lines) == 3 * (2 * 5 + 1 + 9) + 1
    assert (
        lines[0]
        == {"graph": "cora", "phase": "search", "trial": 0, "seed": 0} | row(0, 0.79)["curve"][0]
    )
    assert {line["phase"] for line in lines} == {"search", "rounds"}
    assert any(line["loss"] is None for line in lines)


def test_prefix() -> None:
    storage = InMemoryStorage()
    begin(storage, "cora", "a/"), begin(storage, "pubmed", "a/"), begin(storage, "cora", "b/")
    assert [*report.report(storage, "a/")["graphs"]] == ["cora", "pubmed"]
    assert report.report(storage, "b/")["graphs"]["cora"]["study"] == "b/cora"
    for prefix in ("", "c/"):
        with pytest.raises(ValueError, match=f"named {prefix}<graph>; found a/cora, a/pubmed, b/"):
            report.report(storage, prefix)


# 13


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep with its rounds, in a journal."""
    made = tmp_path_factory.mktemp("sweep")
    by_hand(JournalStorage(JournalFileBackend(str(made / "journal.jsonl"))), FRESH)
    return made


def call(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "nodejepa_ext", "show", *map(str, words)]
    root = Path(report.__file__).parents[2]
    return subprocess.run(command, capture_output=True, text=True, cwd=root, timeout=120)


def test_show(folder: Path) -> None:
    path = folder / "journal.jsonl"
    whole, before = path.read_bytes(), sorted(os.listdir(folder))
    for journal in (whole, whole + b'{"op_code": 5, "worker_id'):
        path.write_bytes(journal)
        done = call(folder, "--top", "2")
        assert done.returncode == 0, done.stderr
        assert "The best 2 of 5 complete trials" in done.stdout
        assert "Winner: trial 2, by the fresh seeds." in done.stdout
        assert path.read_bytes() == journal and sorted(os.listdir(folder)) == before
    path.write_bytes(whole)
    done = call(folder, "--json")
    storage = JournalStorage(JournalFileBackend(str(path)))
    assert json.loads(done.stdout) == report.report(storage)


def test_show_refuses(tmp_path: Path) -> None:
    (tmp_path / "ablation").mkdir()
    (tmp_path / "ablation/rows.jsonl").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "begun").mkdir()
    JournalStorage(JournalFileBackend(str(tmp_path / "begun/journal.jsonl")))
    for words, said in (
        ([tmp_path / "ablation"], "report.md"),
        ([tmp_path / "empty"], "journal.jsonl"),
        ([tmp_path / "absent"], "journal.jsonl"),
        ([tmp_path / "begun"], "found none"),
        ([tmp_path / "empty", "--storage", "postgresql://x"], "both or neither"),
    ):
        with pytest.raises(ValueError, match=said):
            report.read(*reading(words))
    done = call(tmp_path / "ablation")
    assert done.returncode == 2 and done.stdout == "" and "Traceback" not in done.stderr
    assert done.stderr.startswith("nodejepa-ext show: ") and "report.md" in done.stderr


def reading(words: list[Any]) -> list[Any]:
    return [words[0], *words[2:]]


def test_without_its_storage(tmp_path: Path) -> None:
    by_hand(storage := InMemoryStorage(), FRESH)
    found = report.report(storage)
    report.write(tmp_path, found)
    assert report.read(tmp_path) == found
