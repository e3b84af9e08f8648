"""Claims about `nodejepa-ext ablate`, each with a test below; real worker processes.

1. Switches, --vary, --factorial and --arms make the arms they should, the reference first.
2. What would change nothing is refused and named; so is what the reference does not know.
3. An arm's rows are the same whatever other arms there are, and arms of a seed begin alike.
4. A finished row is not trained again; a torn last line is dropped and redone.
5. Rows of other settings or revisions are refused with the difference, or moved aside.
6. A job has the revisions of what it uses, no others.
7. A killed worker's row is retried once, then failed, exit 5; Ctrl-C keeps rows, exit 130.
8. A diverged seed is a row, and the table says so; --dry-run leaves nothing behind.
9. Nothing but --final looks at the test nodes.
10. Two commands never write to one folder.
11. Tables: paired differences, Holm, the finding, arms that changed nothing.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from scipy import stats
from torch_geometric.data import Data
from typer.testing import CliRunner, Result

import run_full
from nodejepa_ext.ablation import arms, report
from nodejepa_ext.ablation import run as ablate
from nodejepa_ext.ablation.arms import Arm
from nodejepa_ext.ablation.rows import Rows, key
from nodejepa_ext.commands import app
from nodejepa_ext.parts.choice import Parts
from nodejepa_ext.parts.objectives import OBJECTIVES
from nodejepa_ext.workers.seats import place
from run_full import Config

TINY = ["--graphs", "cora", "--hidden", "16", "--out-width", "8", "--device", "cpu"]
TINY += ["--threads", "1"]
FEW = [*TINY, "--epochs", "2", "--seeds", "2", "--workers", "2"]
ROOT = Path(run_full.__file__).parent


def invoke(out: Path, *argv: str) -> Result:
    return CliRunner().invoke(app, ["ablate", *argv, "--out", str(out)])


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "rows.jsonl").read_text().splitlines()]


def figures(row: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in row.items() if k not in ("cpu_seconds", "wall_seconds")}


def core(*argv: str) -> argparse.Namespace:
    return ablate.parse_core(list(argv), "test")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the rows of one small ablation."""
    out = tmp_path_factory.mktemp("ablation") / "out"
    done = invoke(out, "--bfs-mask", *FEW)
    assert done.exit_code == 0, done.output
    return out


def copy(finished: Path, to: Path) -> Path:
    to.mkdir()
    (to / "rows.jsonl").write_bytes((finished / "rows.jsonl").read_bytes())
    return to


def test_arms_of_switches() -> None:
    on = {"bfs_mask": True, "laplacian_pe": True}
    assert arms.from_switches(on, {}, False, core()) == [
        Arm("reference", {}),
        Arm("bfs_mask + laplacian_pe", on),
    ]
    names = [arm.name for arm in arms.from_switches(on, {}, True, core())]
    assert names == ["reference", "laplacian_pe", "bfs_mask", "bfs_mask + laplacian_pe"]
    assert arms.from_switches({"views": False}, {}, False, core())[1].name == "no_views"


def test_arms_of_vary() -> None:
    vary = arms.parse_vary(["target=ema,online", "mask=0.5,0,0.2", "skip=none,linear"])
    assert vary == {
        "target": ["ema", "online"],
        "mask": [0.5, 0.0, 0.2],
        "skip": ["none", "linear"],
    }
    one_at_a_time = arms.from_switches({}, vary, False, core())
    assert [arm.settings for arm in one_at_a_time] == [
        {"target": "ema", "mask": 0.5, "skip": "none"},
        {"target": "online", "mask": 0.5, "skip": "none"},
        {"target": "ema", "mask": 0.0, "skip": "none"},
        {"target": "ema", "mask": 0.2, "skip": "none"},
        {"target": "ema", "mask": 0.5, "skip": "linear"},
    ]
    assert len(arms.from_switches({}, vary, True, core())) == 12
    with_switch = arms.from_switches({"reg_node": True}, {"mask": [0.5, 0.2]}, False, core())
    assert [arm.name for arm in with_switch] == ["mask=0.5", "reg_node + mask=0.5", "mask=0.2"]


def test_arms_of_toml(tmp_path: Path) -> None:
    path = tmp_path / "arms.toml"
    path.write_text("epochs = 3\n[a]\n[b]\nmask = 0.1\nbfs_mask = true\n")
    assert arms.from_toml(path) == [
        Arm("a", {"epochs": 3}),
        Arm("b", {"epochs": 3, "mask": 0.1, "bfs_mask": True}),
    ]
    for text, said in {
        "[a]": "1 tables",
        "[a]\n[b]\nmsk = 1": "[b] msk",
        "[a": "arms.toml",
        '[a]\n["control: SGC"]': "expected a name that is no control's",
    }.items():
        path.write_text(text)
        with pytest.raises(ValueError, match="arms.toml") as error:
            arms.from_toml(path)
        assert said in str(error.value)


def test_settings_of_an_arm() -> None:
    cfg, parts = arms.resolve(Arm("", {"regulariser": "sigreg", "mask": 0.2}), core(), "cora")
    assert (cfg.regulariser, parts.objective, cfg.mask, cfg.epochs) == ("none", "sigreg", 0.2, 150)
    assert cfg.regulariser_weight == OBJECTIVES["sigreg"][1]
    given = core("--regulariser-weight", "0.5", "--lr", "0.1", "--bfs-hops", "3", "--epochs", "9")
    cfg, parts = arms.resolve(Arm("", {"regulariser": "vicreg", "lr": 0.2}), given, "cora")
    assert (cfg.regulariser_weight, cfg.lr, parts.bfs_hops, cfg.epochs) == (0.5, 0.2, 3, 9)
    cfg, _ = arms.resolve(Arm("", {"views": False}), core(), "citeseer")
    assert (cfg.feat1, cfg.edge1, cfg.feat2, cfg.edge2, cfg.encoder) == (0, 0, 0, 0, "gat")
    assert core("--preset", "best").__contains__("epochs") is False  # its own epochs


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--bfs-mask", "--mask", "0"], "bfs_mask changes nothing at mask = 0"),
        (["--degree-mask", "--mask", "0"], "degree_mask changes nothing at mask = 0"),
        (["--laplacian-pe", "--predictor", "0"], "laplacian_pe changes nothing at predictor = 0"),
        (["--no-views", "--preset", "best", "--edge1", "0", "--edge2", "0"], "feat1, edge1"),
        (["--reg-node", "--reg-node", "--vary", "reg_node=true,false"], "reg_node"),
        (["--vary", "momentum=0.9,0.99", "--target", "online"], "momentum changes nothing"),
        (["--vary", "heads=2,4", "--encoder", "gcn"], "heads changes nothing at encoder = gcn"),
        (["--vary", "bfs_hops=1,2"], "bfs_hops changes nothing at bfs_mask = False"),
        (["--vary", "warmup=100,200"], "warmup is the same"),
        (["--vary", "mask=0.5,0.5"], "all different"),
        (["--vary", "mask=x,1"], "'x', expected float"),
        (["--vary", "msk=0,1"], "--vary msk=0,1: expected FIELD=V,V"),
        (["--vary", "mask=0.5,2"], "arm 'mask=2.0' on cora: mask = 2.0"),
        (["--bfs-mask", "--degree-mask"], "bfs_mask and degree_mask"),
        (["--bfs-mask", "--seeds", "0"], "--seeds 0"),
        (["--bfs-mask", "--graphs", "corra"], "'corra': expected one of cora"),
        (["--arms", "nowhere.toml"], "nowhere.toml"),
        (["--arms", "nowhere.toml", "--bfs-mask"], "expected without switches"),
        (
            ["--bfs-mask", "--final", "--validation-only"],
            "--final, --validation-only: expected one",
        ),
        ([], "nothing to compare"),
    ],
)
def test_refusals(argv: list[str], said: str, tmp_path: Path) -> None:
    done = invoke(tmp_path / "out", "--graphs", "cora", *argv)
    assert done.exit_code == 2 and said in done.stderr, done.stderr
    assert done.stderr.count("\n") == 1 and not (tmp_path / "out").exists()


def test_unknown_options_fail_in_the_reference_s_words(tmp_path: Path) -> None:
    done = invoke(tmp_path / "out", "--bfs-mask", "--maks", "0.5")
    with pytest.raises(SystemExit):
        run_full.main(["--maks", "0.5"])
    assert done.exit_code == 2 and "no such option: --maks; did you mean --mask?" in done.stderr


@pytest.mark.slow
def test_rows_do_not_depend_on_other_arms(finished: Path, tmp_path: Path) -> None:
    rows = lines(finished)
    assert len(rows) == 2 * 2 + 1 + 1 + 3 * 2 and {row["status"] for row in rows} == {"ok"}
    assert all("test" not in row for row in rows)
    wider = tmp_path / "wider"
    done = invoke(wider, "--bfs-mask", "--reg-node", "--factorial", "--controls", "full", *FEW)
    assert done.exit_code == 0, done.output
    more = {key(row): figures(row) for row in lines(wider)}
    assert all(more[key(row)] == figures(row) for row in rows)
    assert ("cora", "control: bgrl", 1) in more and ("cora", "bfs_mask + reg_node", 0) in more
    assert "Interaction" in (wider / "report.md").read_text()


def test_arms_of_a_seed_begin_alike(data: Data, cfg: Config) -> None:
    """The target encoder matters from step 2 on, the mask from step 1."""
    first = {
        target: run_full.train(run_full.replace(cfg, target=target, epochs=2), data)
        for target in ("ema", "frozen")
    }
    losses = [[row["loss"] for row in r.state.rows] for r in first.values() if r.state]
    assert losses[0][0] == losses[1][0] and losses[0][1] != losses[1][1]


@pytest.mark.slow
def test_finished_rows_are_kept(finished: Path, tmp_path: Path) -> None:
    out = copy(finished, tmp_path / "out")
    before = (out / "rows.jsonl").read_bytes()
    done = invoke(out, "--bfs-mask", *FEW)
    assert done.exit_code == 0 and "0 rows to train, 12 in" in done.stderr
    assert (out / "rows.jsonl").read_bytes() == before
    (out / "rows.jsonl").write_bytes(before[:-7])  # as a crash in mid-write leaves it
    assert invoke(out, "--bfs-mask", *FEW, "--dry-run").exit_code == 0
    assert (out / "rows.jsonl").read_bytes() == before[:-7]
    done = invoke(out, "--bfs-mask", *FEW)
    assert done.exit_code == 0 and "dropped an unfinished last line" in done.stderr
    assert "1 rows to train, 11 in" in done.stderr
    found = {key(row): figures(row) for row in lines(out)}
    assert found == {key(row): figures(row) for row in lines(finished)}


def test_a_corrupt_line_is_named(finished: Path, tmp_path: Path) -> None:
    out = copy(finished, tmp_path / "out")
    text = (out / "rows.jsonl").read_text().splitlines(keepends=True)
    (out / "rows.jsonl").write_text("".join([text[0], "{}\n", *text[1:]]))
    done = invoke(out, "--bfs-mask", *FEW)
    assert done.exit_code == 3 and "rows.jsonl: line 2 is no row" in done.stderr


def test_rows_made_otherwise(finished: Path, tmp_path: Path) -> None:
    out = copy(finished, tmp_path / "out")
    before = (out / "rows.jsonl").read_bytes()
    for more, said in (
        (["--mask", "0.3"], "config.mask: 0.5 -> 0.3"),
        (["--final"], "final: False -> True"),
        (["--bfs-hops", "1"], "parts.bfs_hops: 2 -> 1"),
    ):
        done = invoke(out, "--bfs-mask", *FEW, *more)
        assert done.exit_code == 2 and said in done.stderr and "--keep-old-rows" in done.stderr
    rows = lines(out)
    rows[0]["job"]["revisions"]["views"] = 0
    (out / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = invoke(out, "--bfs-mask", *FEW)
    assert done.exit_code == 2 and "revisions.views: 0 -> " in done.stderr
    done = invoke(out, "--bfs-mask", *FEW, "--keep-old-rows")
    assert done.exit_code == 0 and "1 rows to train, 11 in" in done.stderr, done.stderr
    (aside,) = out.glob("old_rows-*.jsonl")
    assert [json.loads(line) for line in aside.read_text().splitlines()] == rows[:1]
    assert sorted(map(key, lines(out))) == sorted(key(json.loads(s)) for s in before.splitlines())


def test_revisions_of_what_a_job_uses() -> None:
    def used(parts: Parts, kind: str = "train") -> set[str]:
        job = ablate.train_job("cora", "arm", 0, Config(), parts, "val", kind)
        assert all(isinstance(number, int) for number in job["revisions"].values())
        return job["revisions"].keys() - used_always

    used_always = {"graph", "views", "encoder", "objective", "probe"}
    assert used_always == ablate.revisions_of("train", Parts()).keys()
    assert used(Parts(bfs_mask=True, laplacian_pe=True)) == {"bfs_mask", "laplacian_pe"}
    assert used(Parts(degree_mask=True)) == {"degree_mask"}
    assert used(Parts(), "FastRP on features") == {"fastrp"} and used(Parts(), "SGC") == set()
    assert all(used(Parts(objective=name)) == {name} for name in OBJECTIVES)


@contextmanager
def started(out: Path, *argv: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "nodejepa_ext", "ablate", *argv, "--out", str(out)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stderr=pipe, stdout=pipe, text=True, cwd=ROOT) as process:
        try:
            yield process
        finally:
            process.kill()


def workers(parent: int) -> list[int]:
    """Process ids of its children that are at work in Python."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields, line = status.read_text().rpartition(")")[2].split(), status.parent / "cmdline"
            if int(fields[1]) == parent and b"nodejepa_ext.ablation.run" in line.read_bytes():
                found.append(int(status.parent.name))
        except OSError:
            continue
    return found


def wait_for(condition: Any, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert condition()


def said_until(process: subprocess.Popen[str], text: str) -> None:
    assert process.stderr
    assert any(text in line for line in process.stderr)


@pytest.mark.slow
def test_killed_workers_and_ctrl_c(tmp_path: Path) -> None:
    """One worker is killed once and recovers, Ctrl-C ends the command, rows are kept."""
    long = [*TINY, "--epochs", "20", "--seeds", "50", "--workers", "1"]
    with started(tmp_path, "--bfs-mask", *long) as process:
        said_until(process, "seed 0: ok")
        os.kill(workers(process.pid)[0], signal.SIGKILL)
        said_until(process, "seed 1: ok")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in said and "rows are kept" in said
    rows = lines(tmp_path)
    assert {row["status"] for row in rows} == {"ok"}
    assert [row["arm"] for row in rows[:3]] == ["reference", "bfs_mask", "reference"]


@pytest.mark.slow
def test_a_worker_killed_twice(tmp_path: Path) -> None:
    """Its row has failed; SIGTERM during the next one ends the command and both workers."""
    one = [*TINY, "--epochs", "4000", "--seeds", "1", "--workers", "1"]
    with started(tmp_path, "--reg-node", *one) as process:
        said_until(process, "rows to train")
        first = workers(process.pid)[0]
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: set(workers(process.pid)) - {first})
        os.kill(workers(process.pid)[0], signal.SIGKILL)
        said_until(process, "seed 0: failed, killed by SIGKILL, twice")
        process.terminate()
        _, said = process.communicate(timeout=60)
        assert process.returncode == 143 and "Traceback" not in said
    (row,) = lines(tmp_path)
    assert row["status"] == "failed" and row["message"] == "killed by SIGKILL, twice"


def test_failed_rows_are_redone_and_exit_5(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = copy(finished, tmp_path / "out")
    rows = lines(out)
    rows[3] = {k: rows[3][k] for k in ("graph", "arm", "seed", "job")} | {
        "status": "failed",
        "message": "killed by SIGKILL, twice",
        "wall_seconds": 0.0,
    }
    (out / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with monkeypatch.context() as patch:  # Python itself cannot start there
        patch.setenv("PYTHONHOME", "/nonexistent")
        done = invoke(out, "--bfs-mask", *FEW)
    assert done.exit_code == 5 and "1 missing" in done.stdout, done.output
    done = invoke(out, "--bfs-mask", *FEW)
    assert done.exit_code == 0 and "1 rows to train" in done.stderr
    last = {key(row): row["status"] for row in lines(out)}
    assert set(last.values()) == {"ok"}


@pytest.mark.slow
def test_diverged_rows_and_json(tmp_path: Path) -> None:
    toml = tmp_path / "arms.toml"
    toml.write_text("[calm]\n[wild]\nlr = 10.0\nlayers = 8\nnorm = 'none'\nepochs = 30\n")
    argv = [*TINY, "--epochs", "1", "--seeds", "1", "--arms", str(toml), "--json"]
    argv += ["--preset", "best"]
    done = invoke(tmp_path / "out", *argv)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)["graphs"]["cora"]["arms"]
    assert [arm["diverged"] for arm in found] == [0, 1] and found[1]["mean"] is None
    assert "wild, 1 diverged" in (tmp_path / "out" / "report.md").read_text()
    assert "wild, seed 0: diverged" in done.stderr and "not finite" in done.stderr


def test_dry_run_leaves_nothing(tmp_path: Path) -> None:
    done = invoke(tmp_path / "out", "--laplacian-pe", *FEW, "--dry-run")
    assert done.exit_code == 0 and not (tmp_path / "out").exists() and not done.stdout
    assert "cora, laplacian_pe: 2 rows of" in done.stderr and "12 rows to train" in done.stderr


def test_only_final_looks_at_the_test_nodes(
    data: Data, cfg: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = data.clone()
    hidden.y = data.y.masked_fill(data.test_mask, 99)
    message = {"timing": False, "data": None}
    found = {}
    for name, graph in {"clean": data, "hidden": hidden}.items():
        monkeypatch.setattr(ablate, "load", lambda *_, graph=graph: graph)
        for measure in ("val", "dev", "test"):
            job = ablate.train_job("cora", "arm", 1, cfg, Parts(bfs_mask=True), measure)
            found[name, measure] = figures(ablate.work(message | {"job": job}))
    for measure in ("val", "dev"):
        assert found["clean", measure] == found["hidden", measure]
        assert "test" not in found["clean", measure]
    job = found["clean", "dev"].pop("job")
    assert 0 < found["clean", "dev"].pop("dev") < 1
    assert job == found["clean", "val"].pop("job") | {"dev": True}
    assert found["clean", "dev"] == found["clean", "val"]
    assert found["clean", "test"]["test"] > 0 and found["hidden", "test"]["test"] == 0


def test_one_command_a_folder(tmp_path: Path) -> None:
    with Rows(tmp_path), pytest.raises(ValueError, match="another ablation is writing there"):
        Rows(tmp_path)
    with Rows(tmp_path), Rows(tmp_path, read_only=True):
        pass


def made(plan: ablate.Plan, values: dict[str, list[float]], folder: Path) -> Rows:
    """Rows with given accuracies."""
    rows = Rows(folder)
    for job in plan.jobs:
        if job["arm"] in values and job["seed"] < len(values[job["arm"]]):
            val = values[job["arm"]][job["seed"]]
            row = {k: job[k] for k in ("graph", "arm", "seed")} | {"job": job, "status": "ok"}
            row |= {"val": val, "effective_rank": 10 * val, "cosine": 0.5, "cpu_seconds": 1.0}
            rows.add(row | {"wall_seconds": 1.0, "curve": [val]})
    return rows


def test_report(tmp_path: Path) -> None:
    switches = {"bfs_mask": True, "reg_node": True}
    named = arms.from_switches(switches, {}, True, core())
    plan = ablate.plan(core("--graphs", "cora"), named, "val", 1)
    a, b = [0.70, 0.72, 0.71, 0.73, 0.74], [0.72, 0.75, 0.72, 0.76, 0.76]
    both = [0.75, 0.74, 0.77, 0.75, 0.79]
    values = {"reference": a, "reg_node": a, "bfs_mask": b, "bfs_mask + reg_node": both[:4]}
    with made(plan, values, tmp_path) as rows:
        found = report.report(plan, rows)
    line = {arm["arm"]: arm for arm in found["graphs"]["cora"]["arms"]}
    p = stats.ttest_rel(b, a).pvalue
    other = stats.ttest_rel(both[:4], a[:4]).pvalue
    test = line["bfs_mask"]["against"]
    assert test["difference"] == pytest.approx(np.mean(b) - np.mean(a)) and test["n"] == 5
    assert test["p"] == pytest.approx(p)
    assert test["holm"] == pytest.approx(min(1, 3 * p) if p < other else max(3 * other, 2 * p))
    assert line["bfs_mask + reg_node"]["missing"] == 1 and line["reg_node"]["as_reference"]
    assert not line["bfs_mask"]["as_reference"]
    inner = found["graphs"]["cora"]["interaction"]
    gap = np.array(both[:4]) - b[:4] - np.array(a[:4]) + a[:4]
    assert inner["difference"] == pytest.approx(gap.mean()) and inner["n"] == 4
    text = report.markdown(found)
    assert "reg_node (same numbers as the reference)" in text
    assert "| bfs_mask | 5 | 74.2 ± 2.0 [71.7, 76.7] | +2.2 [+1.2, +3.2] |" in text
    assert text.rstrip().splitlines()[-1] == f"**Finding:** {found['finding']}"
    assert "no difference shown" in found["finding"] and "2.2 points above" in found["finding"]


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 3, 2, 1), (0, 2, 3, 1), (0, 2, 1, 3)])
def test_an_interaction_is_that_of_any_order(order: tuple[int, ...], tmp_path: Path) -> None:
    """What both changes are worth is what each is worth, whichever arm stands where."""
    named = [Arm("none", {"mask": 0.5, "layers": 1}), Arm("mask", {"mask": 0.3, "layers": 1})]
    named += [Arm("layers", {"mask": 0.5, "layers": 2}), Arm("both", {"mask": 0.3, "layers": 2})]
    plan = ablate.plan(core("--graphs", "cora"), [named[i] for i in order], "val", 1)
    values = {"none": [0.80, 0.81, 0.79], "mask": [0.82, 0.83, 0.812]}
    values |= {"layers": [0.81, 0.82, 0.80], "both": [0.83, 0.84, 0.822]}
    with made(plan, values, tmp_path) as rows:
        inner = report.report(plan, rows)["graphs"]["cora"]["interaction"]
    assert inner["difference"] == pytest.approx(0, abs=1e-9)


def test_names_are_no_markup(tmp_path: Path) -> None:
    named = [Arm("plain", {}), Arm("no [reg] node [/x]", {"mask": 0.3})]
    plan = ablate.plan(core("--graphs", "cora"), named, "val", 1)
    with made(plan, {arm.name: [0.7, 0.8] for arm in named}, tmp_path) as rows:
        parts = report.tables(report.report(plan, rows))
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(*parts)
    assert console.export_text().count("no [reg] node [/x]") == 2  # in the table and the finding


def test_rows_of_another_precision_are_strangers(tmp_path: Path) -> None:
    named = [Arm("plain", {}), Arm("mask", {"mask": 0.3})]
    plan = ablate.plan(core("--graphs", "cora"), named, "val", 1)
    with made(plan, {"plain": [0.7, 0.8]}, tmp_path) as rows:
        assert not rows.strangers(plan.jobs)
        here = place(Config(**plan.jobs[0]["config"]))
        other = {"fp32": "bf16", "bf16": "fp32"}[here["precision"]]
        first, second = (row for row in rows.rows.values())
        first |= {"device": here["device"], "bf16": here["precision"] == "bf16"}
        second |= {"device": here["device"], "bf16": other == "bf16"}
        found = rows.strangers(plan.jobs)
    assert found == {key(second): [f"precision: {other} -> {here['precision']}"]}


def test_a_row_without_settings_is_no_row(tmp_path: Path) -> None:
    row = {"graph": "cora", "arm": "a", "seed": 0, "status": "ok"}
    row["job"] = {"graph": "cora", "arm": "a", "seed": 0, "config": None}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(run_full.RunError, match="line 1 is no row: .*config") as refused:
        Rows(tmp_path, read_only=True)
    assert refused.value.args[1] == 3
