"""Claims about what of a sweep is read back, each with a test below.

1. A report in which anything has another type, lacks, or is nested without end, and one that is cut
   off, is shown or refused in one sentence with code 3 that names the file.
   So is one whose parts do not fit together: what would be drawn of it has no value.
2. So is a plan, and are the attributes of a trial, in a storage.
3. A study's name with line ends, from --study or a file, is no line of its own in best.toml.
4. Without --out a study's name must be a file's; counts of workers and threads have a limit.
"""

from __future__ import annotations

import copy
import json
import random
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import InMemoryStorage
from rich.console import Console
from sweep.test_report import FRESH, add, again, begin, beside, by_hand, row
from sweep.test_study import TINY, invoke
from typer.testing import CliRunner

from nodejepa_ext.commands import app
from nodejepa_ext.records import Damaged
from nodejepa_ext.sweep import report

ODD: list[Any] = [None, True, -1, 10**9, 1e300, "x", "", [], {}, [[1]], [None], {"a": {"b": []}}]


def whole() -> dict[str, Any]:
    """A report with every part."""
    by_hand(storage := InMemoryStorage(), FRESH | {0: [0.79, 0.80, 0.80]})
    study = optuna.load_study(study_name="cora", storage=storage)
    for n in range(9):
        rows = [row(0, 0.5 + n / 50, 0.3 + n % 4 / 10)]
        add(study, 0.5 + n / 50, params={"lr": 1e-3 * (1 + n)}, rows=rows)
    final = beside(storage, "cora/final")
    for seed in (20, 21):
        again(final, 2, seed, 0.80)
    study.set_user_attr(f"{report.RETIRED}host:1:ab seat 2", "3 failures")
    found = report.report(storage)
    part = found["graphs"]["cora"]
    names = ("winner", "winners_curse", "against_base", "importances", "rank_correlation", "test")
    assert all(part[name] for name in names) and part["retired"][0]["seat"] == "seat 2"
    return json.loads(json.dumps(found))


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Of everything in it."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        yield (*path, key)
        if isinstance(inner, dict | list):
            yield from places(inner, (*path, key))


def changed(found: dict[str, Any], path: tuple[Any, ...], odd: Any, drop: bool) -> dict[str, Any]:
    found = copy.deepcopy(found)
    at: Any = found
    for key in path[:-1]:
        at = at[key]
    if drop:
        del at[path[-1]]
    else:
        at[path[-1]] = odd
    return found


def shown(folder: Path) -> str:
    """The report in words, as `show` has them; "": refused."""
    try:
        found = report.read(folder)
    except Damaged as error:
        assert str(error).startswith(str(folder / "final_results.json"))
        return ""
    console = Console(width=150)
    with console.capture() as capture:
        for part in report.tables(found):
            console.print(part)
    return capture.get()


@pytest.mark.slow
def test_changed_reports(tmp_path: Path) -> None:
    found = whole()
    (tmp_path / "best.toml").touch()
    path, draw = tmp_path / "final_results.json", random.Random(15)
    path.write_text(json.dumps(found))
    assert "Winner: trial" in shown(tmp_path)
    spots = [p for p in places(found) if "config" not in p[:-1] and "curve" not in p[:-1]]
    shallow = [p for p in spots if len(p) <= 5]
    refused = 0
    for n in range(600):
        spot = draw.choice(shallow if n % 2 else spots)
        path.write_text(json.dumps(changed(found, spot, draw.choice(ODD), n % 7 == 0)))
        refused += shown(tmp_path) == ""
    assert refused > 100
    text = json.dumps(found)
    for cut in range(0, len(text), len(text) // 50):
        path.write_text(text[:cut])
        assert shown(tmp_path) == ""
    path.write_text("[" * 10**5)
    assert shown(tmp_path) == ""
    done = CliRunner().invoke(app, ["show", str(tmp_path)])
    assert done.exit_code == 3 and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("plan", "objective"), "x", "objective = 'x': expected one of val, dev, rankme"),
        (("knobs", "lr", "choices"), [[1]], "choices, item 0"),
        (("knobs", "lr", "choices"), [0.5], "lr = 0.001: expected one of its choices"),
        (("trials", 0, "params", "lr"), "x", "lr = 'x': expected a number"),
        (("trials", 0, "params", "lr"), True, "lr = True: expected a number"),
        (("trials", 0, "intermediate"), [[1.0]], "intermediate, item 0: 1 numbers, expected 2"),
        (("rounds", "lines", 0, "values", 0), [10], "values, item 0: 1 numbers, expected 2"),
        (("rounds", "lines", 0, "search"), None, "search = None: expected float"),
        (("rounds", "lines", 0, "fresh", "mean"), None, "fresh, mean = None: expected float"),
        (("rounds", "lines", 0, "fresh", "low"), None, "one end of an interval"),
        (("rounds", "lines", 0, "fresh_rank"), None, "fresh_rank = None: expected int"),
        (("best",), "x", "best = 'x': expected int or null"),
    ],
)
def test_what_does_not_fit_together(
    path: tuple[str | int, ...], value: Any, said: str, tmp_path: Path
) -> None:
    """Each has a type that is allowed there, or would be if another part were otherwise."""
    found = changed(whole(), ("graphs", "cora", *path), value, False)
    (tmp_path / "best.toml").touch()
    (tmp_path / "final_results.json").write_text(json.dumps(found))
    with pytest.raises(Damaged, match=re.escape(said)):
        report.read(tmp_path)


def test_a_knob_by_its_logarithm_is_above_0(tmp_path: Path) -> None:
    found = changed(whole(), ("graphs", "cora", "knobs", "lr", "log"), True, False)
    (tmp_path / "best.toml").touch()
    path = tmp_path / "final_results.json"
    path.write_text(json.dumps(found))
    report.read(tmp_path)
    for value in (0, -1.0):
        spot = ("graphs", "cora", "trials", 0, "params", "lr")
        path.write_text(json.dumps(changed(found, spot, value, False)))
        with pytest.raises(Damaged, match="expected a number above 0"):
            report.read(tmp_path)


def test_plans_and_attributes() -> None:
    for name in ("graph", "base", "objective", "seeds", "rounds"):
        for odd in (None, 1, ["x"], {"x": 1}):
            if name == "base" and odd == {"x": 1}:
                continue
            begin(storage := InMemoryStorage(), **{name: odd})
            with pytest.raises(ValueError, match=r", plan, |expected a sweep's studies"):
                report.report(storage)
    for plan in ([], 3, "x", {}):
        study = begin(storage := InMemoryStorage())
        study.set_user_attr("plan", plan)
        with pytest.raises(Damaged, match="study cora, plan"):
            report.report(storage)
    for attributes in (
        {"rows": 3},
        {"rows": [{"val": "x"}]},
        {"rows": [{"val": 0.5, "effective_rank": None}]},
        {"config": []},
        {"of": "x"},
        {"retry_of": 1.5},
        {"outcome": 7},
    ):
        study = begin(storage := InMemoryStorage())
        add(study, 0.5)
        trial = study.get_trials(deepcopy=False)[0]
        trial.user_attrs.update(attributes)
        with pytest.raises(Damaged, match=r"study cora, trial 0, \w+"):
            report.report(storage)


def test_names_with_line_ends() -> None:
    by_hand(storage := InMemoryStorage(), FRESH)
    found = report.report(storage)
    part = found["graphs"]["cora"]
    for end in ("\n", "\r\n", "\x00", "\u2028", "\x85"):
        part["study"] = f"mine{end}lr = 7{end}[x]/cora"
        graphs = {"cora": part, f"a{end}b = 1": part | {"winner": None}}
        text = report.best_toml({"graphs": graphs})
        assert tomllib.loads(text) == tomllib.loads(report.best_toml({"graphs": {"cora": part}}))
        assert tomllib.loads(text)["cora"] == {
            name: value
            for name, value in part["winner"]["config"].items()
            if name not in ("seed", "device", "precision")
        }


@pytest.mark.parametrize("name", ["a/b", "../x", ".x", "a\nb", "x" * 300])
def test_study_that_is_no_files_name(name: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    done = invoke(None, *TINY, "--storage", "postgresql://x/y", "--study", name)
    assert done.exit_code == 2 and "--study, without --out, is " in done.stderr, done.output
    assert done.stderr.count("\n") == 1 and not any(tmp_path.iterdir())


@pytest.mark.parametrize("flag", ["--threads", "--workers", "--gpus"])
def test_counts_have_a_limit(flag: str, tmp_path: Path) -> None:
    done = invoke(tmp_path / "out", *TINY, flag, str(10**9))
    assert done.exit_code == 2 and not (tmp_path / "out").exists()
    assert "4096" in done.stderr
