"""Claims about the pictures of a sweep, each with a test below."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.text import Text
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from sweep.test_report import FRESH, SPACES, add, begin, beside, by_hand, row
from typer.testing import CliRunner, Result

from nodejepa_ext.commands import app
from nodejepa_ext.judging.stats import interval
from nodejepa_ext.plots.sweep import UNSET, Knob, draw_graph
from nodejepa_ext.sweep import report


def simulated(
    storage: BaseStorage, trials: int = 40, objective: str = "val", more: tuple[str, ...] = ()
) -> None:
    """A sweep of seven knobs, one of them conditional, and `more` without effect, as a search of
    Cora might go: some trials pruned, diverged, out of memory or dead, one collapsed; the best five
    on five fresh seeds."""
    rng = np.random.default_rng(0)
    seeds = {"best": 5, "seeds": [10, 11, 12, 13, 14]}
    study = begin(storage, objective=objective, rounds=seeds)
    means = {}
    for number in range(trials):
        params, mean = suggested(rng, number / trials)
        params |= {name: float(rng.uniform(0.01, 0.05)) for name in more}
        outcome = str(rng.choice(["ok", "pruned", "diverged", "oom", "died"], p=ODDS))
        mean = 0.35 if outcome == "ok" and number == 9 else mean  # one that collapsed
        seen = mean + 0.007 * rng.standard_normal() if outcome == "ok" else None
        rank = float(np.clip(rng.normal(mean - 0.4, 0.05), 0.05, 0.95))
        if objective == "rankme" and seen:
            seen = rank
        rows = [row(s, mean + 0.01 * (2 * s - 1), rank) for s in (0, 1)] if seen else []
        end = rank if objective == "rankme" else mean
        stopped = {i: end - 0.1 / i - 0.02 for i in range(1, 5)} if outcome == "pruned" else {}
        add(study, seen, outcome, params, rows, stopped)
        means[number] = (seen, mean, rank, params) if seen else (0.0,)
    rounds = beside(storage, "cora/rounds")
    for of in sorted(means, key=lambda n: -means[n][0])[:5]:
        _, mean, rank, params = means[of]
        for seed in seeds["seeds"]:
            val = mean + 0.008 * rng.standard_normal()
            rows = [row(seed, val, rank)]
            shown = val if objective == "val" else rank - 0.01 * rng.random()
            add(rounds, shown, params=params, rows=rows, of=of, seed=seed)


MORE = "weight_decay", "feat1", "edge1", "edge2", "regulariser_weight_of_view2"
for name in MORE:
    SPACES[name] = optuna.distributions.FloatDistribution(0.01, 0.05)
ODDS = 0.6, 0.22, 0.06, 0.05, 0.07


def suggested(rng: np.random.Generator, progress: float) -> tuple[dict[str, Any], float]:
    """Parameters, which come nearer to the optimum as the search goes on, and their true mean."""
    wide = 1.2 * (1 - 0.7 * progress)
    params: dict[str, Any] = {
        "lr": float(np.clip(10 ** (-2.8 + wide * rng.normal(0, 0.5)), 1e-4, 1e-2)),
        "mask": 0.1 * int(np.clip(rng.normal(3, 2.5 * wide), 0, 6)),
        "epochs": 10 * int(np.clip(rng.normal(8, 4 * wide), 2, 15)),
        "regulariser_weight": float(10 ** rng.uniform(-4, -2)),
        "target": str(rng.choice(["ema", "online"])),
        "layers": int(rng.integers(1, 3)),
    }
    if params["target"] == "ema":
        params["momentum"] = float(rng.uniform(0.9, 0.999))
    off = (np.log10(params["lr"]) + 2.8) ** 2 * 0.06 + (params["mask"] - 0.3) ** 2 * 0.3
    return params, float(0.825 - off - 0.015 * (params["target"] == "ema"))


def call(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["plot", *map(str, words)])


def part_of(storage: BaseStorage) -> dict[str, Any]:
    part: dict[str, Any] = report.report(storage)["graphs"]["cora"]
    return part


def picture(storage: BaseStorage) -> Figure:
    figure = draw_graph("cora", part_of(storage), "first")
    figure.draw_without_rendering()
    return figure


def points(axes: Axes, marker: str) -> list[list[float]]:
    """[x, y] of all that is drawn with this marker."""
    lines = [line for line in axes.lines if line.get_marker() == marker]
    return [pair for line in lines for pair in np.round(line.get_xydata(), 9).tolist()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sweep of two graphs in its journal, of which one is finished and one has a trial."""
    (made := tmp_path / "sweep").mkdir()
    storage = JournalStorage(JournalFileBackend(str(made / "journal.jsonl")))
    by_hand(storage, FRESH)
    add(begin(storage, "pubmed"), 0.7)
    return made


# 1, 2


def test_a_picture_a_graph(folder: Path, tmp_path: Path) -> None:
    done = call(folder, "--out", tmp_path / "a/b")
    assert done.exit_code == 0, done.stderr
    written = list(map(Path, done.stdout.split()))
    assert written == [tmp_path / f"a/b/sweep-{graph}.png" for graph in ("cora", "pubmed")]
    for path in written:
        pixels = imread(path)  # decodes all of it
        assert min(pixels.shape[:2]) > 400 and pixels[..., :3].std() > 0.03
    done = call(folder, "--json")
    assert [Path(p).parent for p in json.loads(done.stdout)["written"]] == [folder] * 2
    assert len(list(folder.iterdir())) == 3  # the journal and two pictures


def test_without_its_storage(folder: Path, tmp_path: Path) -> None:
    call(folder)
    (kept := tmp_path / "kept" / folder.name).mkdir(parents=True)
    report.write(kept, report.read(folder))
    assert call(kept).exit_code == 0
    assert (kept / "sweep-cora.png").read_bytes() == (folder / "sweep-cora.png").read_bytes()


def test_no_test_figure(folder: Path) -> None:
    call(folder)
    before = (folder / "sweep-cora.png").read_bytes()
    storage = JournalStorage(JournalFileBackend(str(folder / "journal.jsonl")))
    add(beside(storage, "cora/final"), 0.82, rows=[row(10, 0.82, test=0.9)], of=2, seed=10)
    assert part_of(storage)["test"]["test"]["mean"] == 0.9
    call(folder)
    assert (folder / "sweep-cora.png").read_bytes() == before


# 3, 4


def test_history() -> None:
    by_hand(storage := InMemoryStorage(), FRESH | {2: [0.82, 0.83, 0.84]})
    axes = picture(storage).axes[0]
    low = 84 - 4 * (84 - 82)  # the median of SEARCH is 82
    assert points(axes, "o") == [[0, 80], [1, 84], [2, 83], [3, 82], [4, low]]
    assert points(axes, "*") == [[2, 83]] and points(axes, "D") == [[3, 82], [1, 81]]
    (best,) = [line for line in axes.lines if line.get_label() == "best so far"]
    assert best.get_ydata().tolist() == [80, 84, 84, 84, 84, 84]
    ends = interval([82.0, 83.0, 84.0])[2:4]
    spans = [line.get_xydata() for line in axes.lines if len(line.get_xdata()) == 2]
    assert any(np.allclose(span, [[2, ends[0]], [2, ends[1]]]) for span in spans)
    (strip,) = [patch for patch in axes.patches if patch.get_gid() == "strip"]
    ends = strip.get_extents().transformed(axes.transData.inverted())
    assert ends.y1 < low and min(axes.get_yticks()) > ends.y1
    for marker in "v", "x":  # stopped far below: under the axis' foot, which is of complete trials
        ((_, height),) = points(axes, marker)
        assert ends.y0 < height < ends.y1
    assert axes.get_ylabel() == "validation accuracy, %"


def test_rankme_history() -> None:
    simulated(storage := InMemoryStorage(), 20, "rankme")
    axes = picture(storage).axes[0]
    assert axes.get_ylabel() == "effective rank / D" and max(y for _, y in points(axes, "o")) < 1


def test_knobs() -> None:
    log = Knob([1e-4, 1e-3, 1e-2], {"choices": None, "log": True})
    assert [log.at(v) for v in (1e-4, 1e-3, 1e-2)] == pytest.approx([0, 0.5, 1])
    assert [*log.ticks().values()] == ["0.0001", "0.001", "0.01"]
    close = Knob([1e-4, 1.1e-4, 1e-2], {"choices": None, "log": True})
    assert [*close.ticks().values()] == ["0.0001", "0.001", "0.01"]
    plain = Knob([0.05 * i for i in range(17)] + [None], {"choices": None, "log": False})
    assert plain.at(0.2) == pytest.approx(0.25) and plain.at(None) == UNSET < 0
    assert plain.ticks() == {0.0: "0", 0.5: "0.4", 1.0: "0.8", UNSET: "not set"}
    single = Knob([0.9, None, 0.9], {"choices": None, "log": False})
    assert single.ticks() == {0.5: "0.9", UNSET: "not set"}
    listed = Knob(["b", "a", "b"], {"choices": ["a", "b", "c"], "log": False})
    assert listed.ticks() == {0.25: "a", 0.75: "b"}


# 5


def test_no_empty_panel() -> None:
    study = begin(storage := InMemoryStorage())
    add(study, None, "died")
    assert len(picture(storage).axes) == 1
    add(study, None, "pruned", steps={1: 0.5})
    add(study, 0.8), add(study, 0.8, params={"lr": 2e-3})
    assert len(picture(storage).axes) == 1  # all of one value
    add(study, 0.7, params={"lr": 3e-3})
    assert len(picture(storage).axes) == 2
    for i in range(8):
        add(study, 0.7 + 0.01 * i, params={"lr": 1e-3 * (1 + i)})
    history, importances, _ = picture(storage).axes
    assert [text.get_text() for text in importances.get_yticklabels()] == ["lr"]


# 6


def texts(figure: Figure) -> list[Text]:
    found = list(figure.texts)
    for axes in figure.axes:
        found += [axes.title, axes.xaxis.label, axes.yaxis.label, *axes.texts]
        for axis, which in ((axes.xaxis, 0), (axes.yaxis, 1)):  # others are not drawn
            low, high = sorted(axis.get_view_interval())
            found += [t for t in axis.get_ticklabels() if low <= t.get_position()[which] <= high]
    return found + figure.axes[0].get_legend().get_texts()


@pytest.mark.parametrize("objective", ["val", "rankme"])
@pytest.mark.parametrize("more", [(), MORE[:3], MORE])
def test_no_text_overlaps(objective: str, more: tuple[str, ...]) -> None:
    simulated(storage := InMemoryStorage(), 40, objective, more)
    figure = picture(storage)
    knobs = figure.axes[-1].get_xticklabels()
    assert len(knobs) == min(7 + len(more), 10) + 1
    boxes = [text.get_window_extent() for text in texts(figure) if text.get_text()]
    for box in boxes:
        assert box.x0 >= 0 and box.y0 >= 0
        assert box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


# 7


def test_nothing_to_draw(folder: Path, tmp_path: Path) -> None:
    path = folder / "journal.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:5], "%$!", *lines[5:]]) + "\n")
    done = call(folder, "--out", tmp_path / "pictures")
    assert done.exit_code == 3 and f"{path}: line 6 is damaged" in done.stderr
    (begun := tmp_path / "begun").mkdir()
    storage = JournalStorage(JournalFileBackend(str(begun / "journal.jsonl")))
    begin(storage).enqueue_trial({"lr": 1e-3})
    done = call(begun, "--out", tmp_path / "pictures")
    assert done.exit_code == 3 and "a trial that has ended" in done.stderr
    assert not (tmp_path / "pictures").exists()
    begin(storage, "pubmed")
    add(optuna.load_study(study_name="pubmed", storage=storage), 0.7)
    done = call(begun)
    assert done.exit_code == 0 and "cora: no trial has ended, no picture" in done.stderr
