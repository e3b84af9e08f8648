"""Claims about `nodejepa-ext sweep`, each with a test below; real worker processes.

1. --dry-run says once what is missing of the GPUs asked for, and the estimate; it writes nothing.
2. A worker a GPU, each with its own CUDA_VISIBLE_DEVICES; on no GPU a worker a core, or as asked.
3. A whole sweep: as many trials as asked, the preset first; then the best few, and the preset, once
   on every fresh seed; values are means over seeds; curves and best.toml are of these trials.
4. Without --final no test figure is anywhere; with it, only in the winner's last runs.
5. The same command again trains nothing, changes nothing and reports the same; more trials than
   before, once the rounds have begun, are declined in words.
6. Another space, flag, seed, objective, round or kind of place on an existing study is refused with
   the difference, and not a byte changes; neither does another graph's study come to be.
7. Options that do not go together are refused in one sentence before anything starts.
8. Test labels out of range change nothing but the final score.
9. With --objective rankme labels are not there while it trains, and decide no value.
10. A trial reports twentieths of all its seeds, stops when told to, and a loss that is not finite
    ends it as diverged.
11. What became of a trial: memory that ran out is told apart from other failures.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from optuna.trial import FrozenTrial, create_trial
from torch_geometric.data import Data
from typer.testing import CliRunner, Result

import run_full
from nodejepa_ext.commands import app
from nodejepa_ext.commands.sweep import parse_core, placed
from nodejepa_ext.judging import development_accuracy
from nodejepa_ext.sweep import trial
from nodejepa_ext.sweep.place import moved
from nodejepa_ext.sweep.pool import Status
from nodejepa_ext.sweep.storage import open_store
from nodejepa_ext.sweep.study import verdict
from nodejepa_ext.training.settings import command_line, preset, resolve
from nodejepa_ext.workers.supervisor import Outcome
from run_full import Config

TINY = ["--graphs", "cora", "--preset", "bgrl", "--hidden", "16", "--out-width", "8"]
TINY += ["--epochs", "4", "--eval-every", "2", "--threads", "1"]
ASKED = [*TINY, "--trials", "5", "--seeds", "2", "--best", "2", "--fresh", "2", "--workers", "2"]
FRESH, UNSEEN = [500, 501], [502, 503]  # seeds of the rounds, and of the final

Look = Callable[[Status], None]


def invoke(out: Path | None, *argv: str, look: Look = lambda status: None) -> Result:
    """The command in this process; `look` sees what its screen would."""
    argv = (*argv, "--out", str(out)) if out else argv
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nodejepa_ext.commands.sweep.screen", lambda: nullcontext(look))
        patch.setattr("nodejepa_ext.sweep.pool.LOOK_EVERY", -1.0)  # after every message
        handler = signal.getsignal(signal.SIGTERM)
        try:
            return CliRunner().invoke(app, ["sweep", *argv])
        finally:
            signal.signal(signal.SIGTERM, handler)


def trials(out: Path, study: str = "cora") -> list[FrozenTrial]:
    with open_store(out, None, join=True, read_only=True) as store:
        return store.get_all_trials(store.get_study_id_from_name(study))


def files(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}


def children(of: int) -> dict[int, dict[str, str]]:
    """Process id -> environment, of the living children of a process."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = path.joinpath("stat").read_text().rpartition(")")[2].split()[1]
            text = path.joinpath("environ").read_text()
        except OSError:
            continue
        if int(parent) == of and text:
            found[int(path.name)] = dict(line.split("=", 1) for line in text.split("\0") if line)
    return found


class Swept:
    """A folder with a small sweep, and what was seen while it ran: two GPUs, as far as it knew."""

    def __init__(self, out: Path) -> None:
        self.out, self.workers = out, dict[int, dict[str, str]]()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
            patch.setattr(torch.cuda, "device_count", lambda: 2)
            self.done = invoke(
                out, *ASKED, look=lambda _: self.workers.update(children(os.getpid()))
            )
        assert self.done.exit_code == 0, self.done.output
        self.search, self.rounds = trials(out), trials(out, "cora/rounds")
        self.report = json.loads((out / "final_results.json").read_text())


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Swept:
    return Swept(tmp_path_factory.mktemp("sweep") / "out")


@pytest.mark.parametrize("spelling", [["--gpus", "4"], ["--gpus=4"]])
def test_dry_run(spelling: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    few = ["--graphs=cora", "--hidden=16", "--out-width=8"]
    epochs = ["--epochs=10"] if "=" in spelling[0] else ["--epochs", "10"]
    done = invoke(None, *spelling, *epochs, *few, "--dry-run")
    assert done.exit_code == 0 and done.stdout == "", done.output
    (short,) = (line for line in done.stderr.splitlines() if "--gpus 4" in line)
    assert "this machine has none" in short and "on the CPU" in short
    assert "cora: 40 trials of 2 seeds, then the best 5 on 10 fresh seeds" in done.stderr
    assert not any(tmp_path.iterdir())


@pytest.mark.slow
def test_dry_run_of_all_graphs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = invoke(None, "--gpus", "4", "--epochs", "10", "--dry-run")
    assert done.exit_code == 0 and not any(tmp_path.iterdir())
    assert all(f"{graph}: 40 trials" in done.stderr for graph in run_full.GRAPHS)


def test_strict_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    done = invoke(tmp_path / "out", *TINY, "--gpus", "4", "--strict-gpus")
    assert done.exit_code == 2 and not any(tmp_path.iterdir())
    assert done.stderr.count("\n") == 1 and "--gpus 4: this machine has 1" in done.stderr


@pytest.mark.parametrize(
    ("found", "gpus", "workers", "per_gpu", "device", "expected"),
    [
        (4, 0, 0, 0, "auto", (4, ["0", "1", "2", "3"])),
        (4, 2, 0, 0, "auto", (2, ["0", "1"])),
        (4, 2, 0, 3, "auto", (6, ["0", "1"])),
        (0, 0, 0, 3, "auto", (2, None)),
        (4, 2, 6, 0, "cuda", (6, ["0", "1"])),
        (1, 4, 0, 0, "auto", (1, ["0"])),
        (4, 0, 0, 0, "cpu", (2, None)),
        (0, 4, 0, 0, "auto", (2, None)),
        (0, 4, 5, 0, "auto", (5, None)),
        (4, 0, 0, 0, "cuda:1", (1, None)),
        (4, 0, 3, 0, "cuda:1", (3, None)),
    ],
)
def test_placed(
    found: int,
    gpus: int,
    workers: int,
    per_gpu: int,
    device: str,
    expected: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: found)
    monkeypatch.setattr("nodejepa_ext.workers.seats.cores", lambda: 2)
    args = parse_core(["--device", device, "--graphs", "cora"])
    seats = placed(args, gpus, workers, per_gpu, False)
    assert (seats["workers"], seats["devices"]) == expected and seats["threads"] >= 1


@pytest.mark.slow
def test_a_gpu_that_is_gone_is_not_replaced_by_the_cpu(tmp_path: Path) -> None:
    """The supervisor has two GPUs; its workers, real ones, do not find theirs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
        patch.setattr(torch.cuda, "device_count", lambda: 2)
        patch.setattr(run_full, "accelerator", lambda: "cuda")
        done = invoke(tmp_path / "out", *ASKED)
    assert done.exit_code == 5 and "CUDA device 4: its worker does not find it" in done.stderr
    assert "no seat is left" in done.stderr and "complete" not in done.stdout
    ended = [trial.state.name for trial in trials(tmp_path / "out") if trial.state.is_finished()]
    assert set(ended) == {"FAIL"}


def test_a_gpu_a_worker(swept: Swept) -> None:
    seen = [env["CUDA_VISIBLE_DEVICES"] for env in swept.workers.values()]
    assert sorted(seen) == ["4", "7"]
    assert {env["OMP_NUM_THREADS"] for env in swept.workers.values()} == {"1"}


def test_search(swept: Swept) -> None:
    base = swept.report["graphs"]["cora"]["plan"]["base"]
    assert len(swept.search) == 5 and swept.search[0].user_attrs["config"] == base
    assert base["hidden"] == 16 and base["epochs"] == 4 and base["mask"] == 0.0
    for found in swept.search:
        attrs = found.user_attrs
        assert attrs["outcome"] in ("ok", "pruned") and attrs["message"] == ""
        assert all(0 < step <= 20 for step in found.intermediate_values)
        for name, value in found.params.items():
            assert attrs["config"][name] == pytest.approx(value)
        if attrs["outcome"] == "ok":
            assert [row["seed"] for row in attrs["rows"]] == [0, 1]
            assert found.value == pytest.approx(np.mean([row["val"] for row in attrs["rows"]]))
            assert max(found.intermediate_values) == 20
            assert attrs["peak_mib"] > 50 and attrs["wall_seconds"] > 0
    assert "about" in swept.done.stderr and "winner" in swept.done.stdout.lower()


def chosen(search: list[FrozenTrial]) -> set[int]:
    """The best two and, unless it was pruned, the preset: trial 0."""
    done = [t for t in search if t.value is not None and t.user_attrs["outcome"] == "ok"]
    best = sorted(done, key=lambda t: (-t.value, t.number))[:2]
    return {t.number for t in [*best, *done] if t in best or t.number == 0}


def test_rounds(swept: Swept) -> None:
    configs = {t.number: t.user_attrs["config"] for t in swept.search}
    runs = [(t.user_attrs["of"], t.user_attrs["seed"]) for t in swept.rounds]
    assert sorted(runs) == sorted((n, seed) for n in chosen(swept.search) for seed in FRESH)
    for found in swept.rounds:
        (row,) = found.user_attrs["rows"]
        assert row["seed"] == found.user_attrs["seed"] and row["val"] == found.value
        assert found.user_attrs["config"] == configs[found.user_attrs["of"]]
    part = swept.report["graphs"]["cora"]
    means = {
        n: np.mean([t.value for t in swept.rounds if t.user_attrs["of"] == n])
        for n in configs
        if n in chosen(swept.search)
    }
    assert means[part["winner"]["number"]] == max(means.values())


def test_what_is_left(swept: Swept) -> None:
    names = {"journal.jsonl", "final_results.json", "best.toml", "curves.jsonl"}
    assert files(swept.out).keys() == names
    assert not any((swept.out / "supervisors").iterdir())
    args = command_line("test").parse_args(["--config", str(swept.out / "best.toml")])
    winner = swept.report["graphs"]["cora"]["winner"]["config"]
    assert asdict(resolve(preset("card", "cora"), args, "cora")[0]) == winner
    curves = [json.loads(line) for line in (swept.out / "curves.jsonl").read_text().splitlines()]
    ran = {(line["phase"], line["trial"], line["seed"]) for line in curves}
    complete = [t for t in swept.search if t.user_attrs["outcome"] == "ok"]
    assert ran >= {("search", t.number, seed) for t in complete for seed in (0, 1)}
    assert ran >= {("rounds", t.number, t.user_attrs["seed"]) for t in swept.rounds}
    assert {line["epoch"] for line in curves} == {2, 4}


def test_no_test_figure(swept: Swept) -> None:
    assert b'"test"' not in files(swept.out)["journal.jsonl"]
    assert b'"test"' not in files(swept.out)["curves.jsonl"]
    text = files(swept.out)["final_results.json"]
    assert text.count(b'"test"') == 1 and swept.report["graphs"]["cora"]["test"] is None


def test_again(swept: Swept) -> None:
    before, workers = files(swept.out), dict[int, Any]()
    done = invoke(swept.out, *ASKED, look=lambda _: workers.update(children(os.getpid())))
    assert done.exit_code == 0 and done.stdout == swept.done.stdout
    assert json.loads(invoke(swept.out, *ASKED, "--json").stdout) == swept.report
    assert files(swept.out) == before and not workers


def test_more_trials_after_the_rounds_are_declined(swept: Swept) -> None:
    before = files(swept.out)
    done = invoke(swept.out, *ASKED, "--trials", "40")
    assert done.exit_code == 0 and "--trials 40 adds none" in done.stderr
    assert files(swept.out) == before


@pytest.mark.slow
def test_final(swept: Swept, tmp_path: Path) -> None:
    out = shutil.copytree(swept.out, tmp_path / "out")
    for _ in range(2):  # the second time scores nothing
        done = invoke(out, *ASKED, "--final", "--workers", "1")
        assert done.exit_code == 0 and "Test accuracy of the winner" in done.stdout
        found = json.loads((out / "final_results.json").read_text())["graphs"]["cora"]
        scored = trials(out, "cora/final")
        assert [t.user_attrs["seed"] for t in scored] == UNSEEN
        assert {t.user_attrs["of"] for t in scored} == {found["winner"]["number"]}
        tests = [t.user_attrs["rows"][0]["test"] for t in scored]
        assert found["test"]["test"]["mean"] == pytest.approx(np.mean(tests))
        assert [t.user_attrs for t in trials(out)] == [t.user_attrs for t in swept.search]
        (out / "final_results.json").unlink()
    last = files(out)["journal.jsonl"][len(files(swept.out)["journal.jsonl"]) :]
    assert last.count(b'"test"') == 2


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--epochs", "5"], "base.epochs: 4 -> 5"),
        (["--lr", "0.01"], "space.lr: "),
        (["--seeds", "3"], "seeds: [0, 1] -> [0, 1, 2]"),
        (["--first-seed", "7"], "seeds: [0, 1] -> [7, 8]"),
        (["--objective", "rankme"], "objective: val -> rankme"),
        (["--best", "3"], "rounds.best: 2 -> 3"),
        (["--pruner", "none"], "pruner: asha -> none"),
        (["--graphs", "citeseer,cora", "--epochs", "5"], "base.epochs: 4 -> 5"),
    ],
)
def test_another_sweep_is_refused(swept: Swept, argv: list[str], said: str) -> None:
    before = files(swept.out)
    done = invoke(swept.out, *ASKED, *argv)
    assert done.exit_code == 2 and said in done.stderr, done.output
    assert "study cora was begun otherwise" in done.stderr and done.stdout == ""
    assert files(swept.out) == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"revisions": {"probe": 99}}, "revisions.probe: 1 -> 99"),
        ({"precision": "bf17"}, "precision: fp32 -> bf17"),
        ({"device": "cuda"}, "device: cpu -> cuda"),
    ],
)
def test_another_machine_is_refused(
    swept: Swept, change: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    attrs = [t.user_attrs for t in swept.search + swept.rounds]
    assert {a["device"] for a in attrs} == {"cpu"} and {a["card"] for a in attrs} == {None}
    assert all(a["revisions"]["probe"] == 1 and "objective" in a["revisions"] for a in attrs)
    here = {name: attrs[0][name] for name in ("device", "precision", "revisions")}
    with open_store(swept.out, None, join=True, read_only=True) as store:
        study = store.get_study_user_attrs(store.get_study_id_from_name("cora"))
    assert study["place"] == here  # known before a trial is
    revisions = here["revisions"] | change.get("revisions", {})
    there = here | change | {"revisions": revisions}
    monkeypatch.setattr("nodejepa_ext.sweep.study.ran_on", lambda cfg: there)
    before = files(swept.out)
    done = invoke(swept.out, *ASKED)
    assert done.exit_code == 2 and "study cora was begun otherwise" in done.stderr, done.output
    assert said.replace("fp32", here["precision"]) in done.stderr and files(swept.out) == before


def test_moved() -> None:
    here = {"device": "cpu", "precision": "fp32", "revisions": {"probe": 1}}
    old = create_trial(value=0.5)
    there = create_trial(value=0.5, user_attrs=here | {"precision": "bf16", "config": {}})
    assert moved({}, [], here) == moved({}, [old], here) == moved(here, [there], here) == []
    assert moved({}, [there, old], here) == ["precision: bf16 -> fp32"]
    assert moved(here | {"device": "cuda"}, [], here) == ["device: cuda -> cpu"]


def test_another_space_is_refused(swept: Swept, tmp_path: Path) -> None:
    before = files(swept.out)
    (tmp_path / "space.toml").write_text("lr = {low = 1e-4, high = 1e-1, log = true}\n")
    done = invoke(swept.out, *ASKED, "--space", str(tmp_path / "space.toml"))
    assert done.exit_code == 2 and files(swept.out) == before
    assert "space.lr.high: 0.01 -> 0.1" in done.stderr and "space.mask" in done.stderr


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--gpus", "4", "--device", "cuda:1"], "--gpus 4 --device cuda:1: expected one of them"),
        (["--gpus", "2", "--device", "cpu"], "--gpus 2 --device cpu: expected one of them"),
        (["--per-gpu", "2", "--workers", "3"], "--per-gpu 2, --workers 3: expected one of them"),
        (["--study", "mine"], "--storage and --study: expected both or neither"),
        (["--budget", "soon"], "--budget soon: expected a time above 0"),
        (["--trial-timeout", "0"], "--trial-timeout 0: expected a time above 0"),
        (["--grace", "1y"], "--grace 1y: expected a time above 0"),
        (["--objective", "test"], "--objective test: expected one of val, dev, rankme"),
        (["--pruner", "best"], "--pruner best: expected one of asha"),
        (["--enqueue", "worst"], "worst"),
        (["--enqueue", "bgrl,best"], "norm = none: outside the space"),
        (["--graphs", "cora,dblp"], "dblp"),
        (["--space", "no.toml"], "no.toml"),
        (["--space", "out.toml", "--objective", "rankme"], "a space with out and own_features"),
    ],
)
def test_refused_at_once(argv: list[str], said: str, tmp_path: Path) -> None:
    (tmp_path / "out.toml").write_text("own_features = [true, false]\n")
    argv = [str(tmp_path / a) if a == "out.toml" else a for a in argv]
    done = invoke(tmp_path / "out", *TINY, *argv)
    assert done.exit_code == 2 and said in done.stderr and done.stderr.count("\n") == 1
    assert done.stdout == "" and not (tmp_path / "out").exists()


@pytest.fixture
def work(data: Data, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """What a worker does with a job on the block model, or on another graph."""

    def run(
        cfg: Config, graph: Data = data, report: Any = lambda figures: True, **more: Any
    ) -> Any:
        monkeypatch.setattr(trial, "load", lambda name, folder: graph)
        job = {"graph": "blocks", "data": None, "config": asdict(cfg), "seeds": [0, 1]}
        return trial.work(job | {"objective": "val", "final": False} | more, report)

    yield run


def figures(answer: dict[str, Any]) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != "cpu_seconds"} for row in answer["rows"]]


@pytest.mark.parametrize("bad", [10**6, pytest.param(-7, marks=pytest.mark.slow)])
def test_test_labels_out_of_range(work: Any, cfg: Config, data: Data, bad: int) -> None:
    spoilt = data.clone()
    spoilt.y[data.test_mask] = bad
    cfg = replace(cfg, epochs=2)
    for objective in ("val", "dev", "rankme"):
        right, wrong = (work(cfg, graph, objective=objective) for graph in (data, spoilt))
        assert figures(right) == figures(wrong) and right["value"] == wrong["value"]
        assert not any("test" in row for row in wrong["rows"])
    right, wrong = (work(cfg, graph, final=True)["rows"][0]["test"] for graph in (data, spoilt))
    assert right > 0.3 and wrong == 0.0


def test_dev_is_what_the_judge_says(work: Any, cfg: Config, data: Data) -> None:
    told: list[float] = []
    answer = work(cfg, report=lambda said: told.append(said["value"]) or True, objective="dev")
    results = [run_full.train(replace(cfg, seed=seed), data) for seed in (0, 1)]
    judged = [development_accuracy(result.z, data)["mean"] for result in results]
    assert [row["dev"] for row in answer["rows"]] == judged
    assert answer["value"] == pytest.approx(np.mean(judged))
    assert told[-1] == pytest.approx(np.mean([result.val for result in results]))


def test_rankme_sees_no_labels(
    work: Any, cfg: Config, data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[set[str]] = []
    train = run_full.train

    def watched(cfg: Config, graph: Data, **rest: Any) -> run_full.Result:
        seen.append({name for name, value in graph.to_dict().items() if value is not None})
        return train(cfg, graph, **rest)

    monkeypatch.setattr(run_full, "train", watched)
    shuffled = data.clone()
    shuffled.y = data.y[torch.randperm(60, generator=torch.Generator().manual_seed(1))]
    told: list[Any] = []

    def report(said: dict[str, float]) -> bool:
        told.append(said)
        return True

    one = work(cfg, data, report, objective="rankme")
    first, told = told, []
    two = work(cfg, shuffled, report, objective="rankme")
    assert seen == [{"x", "edge_index"}] * 4
    assert first == told and one["value"] == two["value"]
    assert one["value"] == np.mean([row["effective_rank"] / 8 for row in one["rows"]])
    assert [row["val"] for row in one["rows"]] != [row["val"] for row in two["rows"]]


def test_reports(work: Any, cfg: Config) -> None:
    said: list[dict[str, float]] = []
    cfg = replace(cfg, epochs=15, eval_every=1)
    answer = work(cfg, report=lambda figures: bool(said.append(figures) or True))
    assert [figures["step"] for figures in said] == list(range(1, 21))
    first, second = ([at["val"] for at in row["curve"]] for row in answer["rows"])
    for figures in said:
        seen = math.ceil(figures["step"] * 30 / 20)  # evaluations, of 15 a seed
        best = [max(part) for part in (first[:seen], second[: max(0, seen - 15)]) if part]
        assert figures["value"] == pytest.approx(np.mean(best))
    assert answer["outcome"] == "ok" and answer["value"] == said[-1]["value"]


def test_pruned(work: Any, cfg: Config) -> None:
    answer = work(cfg, report=lambda figures: figures["step"] < 10)  # 10: the first seed is done
    assert answer["outcome"] == "pruned" and "value" not in answer
    assert [row["seed"] for row in answer["rows"]] == [0]
    assert work(cfg, report=lambda figures: figures["step"] < 20)["outcome"] == "ok"


def test_diverged(work: Any, cfg: Config) -> None:
    wild = dict(target="online", predictor=0, directions=1, loss_nodes="all", loss="standardised")
    wild |= dict(regulariser="decorrelation", norm="none", layers=8, lr=10.0)
    answer = work(replace(cfg, **wild, warmup=0))
    assert answer["outcome"] == "diverged" and "value" not in answer and answer["rows"] == []
    assert answer["message"].startswith("epoch 2: ") and answer["wall_seconds"] > 0


@pytest.mark.parametrize(
    ("status", "message", "expected"),
    [
        ("failed", "MemoryError: ", "oom"),
        ("failed", "OutOfMemoryError: CUDA out of memory. Tried to allocate", "oom"),
        ("failed", "RuntimeError: [...] DefaultCPUAllocator: can't allocate memory: you", "oom"),
        ("failed", "RuntimeError: CUDA error: an illegal memory access", "failed"),
        ("failed", "ValueError: Input contains NaN.", "failed"),
        ("died", "killed by SIGSEGV, twice", "died"),
        ("timeout", "took longer than 3 s", "timeout"),
    ],
)
def test_verdict(status: str, message: str, expected: str) -> None:
    assert verdict(Outcome({}, status, {}, message)) == (expected, message)
    killed = verdict(Outcome({}, "died", {}, "killed by SIGKILL, twice"))
    assert killed == ("died", "killed by SIGKILL, twice: out of memory, perhaps")
