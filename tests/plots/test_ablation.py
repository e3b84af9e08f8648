"""Claims about the pictures of an ablation, each with a test below.

1. A picture a graph, valid and not blank, listed on stdout or as JSON; no other file is left.
2. What `ablate` writes of a real training is drawn, and its name for controls is the same.
3. No test figure is ever shown.
4. A dot a seed, the mean and its t interval beneath; rows that did not come to an end are counted
   beside the arm's name and drawn nowhere.
5. A later row of the same graph, arm and seed wins.
6. The order is the report's, reference first, then others as they come; controls are last.
7. Twelve arms with long names: no two look the same; no text overlaps another, or leaves the
   picture.
8. Curves are means over the seeds in a band from the least to the largest; where all were
   evaluated once there are none.
9. Accuracy against epochs is drawn only where the arms differ in nothing but these.
10. A bad line exits 3 with file and line, a bad report and a file without an ended row exit 3;
    nothing is written. A torn last line is left out with a notice.
11. A name may hold what others take for a formula.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.text import Text
from torch_geometric.data import Data
from typer.testing import CliRunner, Result

import run_full
from nodejepa_ext.ablation import run as ablate
from nodejepa_ext.commands import app
from nodejepa_ext.judging.stats import interval
from nodejepa_ext.plots import ablation as plot_ablation
from nodejepa_ext.plots.ablation import Arm, arms_of, budgets, draw_graph
from nodejepa_ext.plots.style import literal
from nodejepa_ext.workers.job import judged
from run_full import Config

Row = dict[str, Any]


def call(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["plot", *map(str, words)])


def row(arm: str, seed: int, val: float = 0.6, points: int = 3, **more: Any) -> Row:
    """One of "tiny", as `ablate` writes it; in `points` evaluations it comes to `val`."""
    config = {"epochs": 30, "seed": seed, "mask": 0.5}
    made: Row = {"graph": "tiny", "arm": arm, "seed": seed, "status": "ok", "val": val}
    made |= {"job": {"config": config, "parts": {}}, "effective_rank": 5.0, "cosine": 0.2}
    curve = [{"epoch": 10 * i, "val": val - 0.1 / i, "cosine": 0.5 / i} for i in (1, 2, 3)[:points]]
    made["curve"] = [point | {"effective_rank": 4.0 + seed} for point in curve]
    return made | more


def rows_of(*arms: str) -> list[Row]:
    return [row(arm, seed, 0.6 + 0.01 * seed) for seed in (0, 1, 2) for arm in arms]


def write(folder: Path, rows: list[Row]) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two arms and two controls on two graphs, three seeds."""
    rows = rows_of("reference", "bfs_mask") + [row("control: SGC", 0, 0.7, points=0)]
    rows += [row("control: untrained", seed, 0.4, points=0) for seed in (0, 1, 2)]
    write(tmp_path / "ablation", rows + [r | {"graph": "other"} for r in rows])
    return tmp_path / "ablation"


def picture(rows: list[Row], order: list[str] | None = None) -> Figure:
    with literal():
        figure = draw_graph("tiny", arms_of(rows, order or []), "folder")
        figure.draw_without_rendering()
    return figure


def names(axes: Axes) -> list[str]:
    return [text.get_text().replace("\n", " ") for text in axes.get_yticklabels()]


# 1 to 3


def test_a_picture_a_graph(folder: Path, tmp_path: Path) -> None:
    done = call(folder, "--out", tmp_path / "a/b")
    assert done.exit_code == 0, done.stderr
    written = list(map(Path, done.stdout.split()))
    assert written == [tmp_path / f"a/b/ablation-{graph}.png" for graph in ("tiny", "other")]
    for path in written:
        pixels = imread(path)  # decodes all of it
        assert min(pixels.shape[:2]) > 400 and pixels[..., :3].std() > 0.05
    done = call(folder, "--json")
    assert [Path(p).parent for p in json.loads(done.stdout)["written"]] == [folder] * 2
    assert len(list(folder.iterdir())) == 3  # the rows and two pictures


def test_real_rows(tmp_path: Path, cfg: Config, data: Data) -> None:
    result = run_full.train(cfg, data)
    real = [row("reference", seed) | judged(result, final=True) for seed in (0, 1)]
    assert len(real[0]["curve"]) > 1
    write(tmp_path / "real", real)
    done = call(tmp_path / "real")
    assert done.exit_code == 0, done.stderr
    assert len(picture(real).axes) == 5  # every seed; loss, accuracy, rank, cosine
    assert plot_ablation.CONTROL == ablate.CONTROL


def test_no_test_figure(folder: Path) -> None:
    call(folder)
    before = (folder / "ablation-tiny.png").read_bytes()
    path = folder / "rows.jsonl"
    path.write_text(path.read_text().replace('"status": "ok"', '"status": "ok", "test": 0.9'))
    call(folder)
    assert (folder / "ablation-tiny.png").read_bytes() == before


# 4 to 6


def test_seeds_mean_and_interval() -> None:
    rows = [*rows_of("reference", "worse"), row("worse", 3, status="diverged", val=0.0)]
    rows += [row("worse", 4, status="failed"), row("worse", 5, status="failed")]
    axes = picture(rows).axes[0]
    assert names(axes) == ["reference", "worse, 1 diverged, 2 failed"]
    drawn = [np.round(np.asarray(line.get_xdata(), dtype=float), 9) for line in axes.lines]
    expected = interval([60.0, 61.0, 62.0])
    for values in ([60, 61, 62], [expected.low, expected.high], [expected.mean]):
        assert sum(np.array_equal(x, np.round(values, 9)) for x in drawn) == 2  # an arm each
    assert all(x.min() > 50 for x in drawn if len(x) == 3 and x[0] > 0)


def test_an_arm_that_never_ended_is_named() -> None:
    rows = [row("reference", 0, status="diverged"), row("other", 0)]
    axes = picture(rows).axes[0]
    assert names(axes) == ["reference, 1 diverged", "other"]


def test_a_later_row_wins(folder: Path) -> None:
    call(folder)
    before = (folder / "ablation-tiny.png").read_bytes()
    path = folder / "rows.jsonl"
    first = json.loads(path.read_text().splitlines()[0])
    path.write_text(json.dumps(first | {"status": "failed"}) + "\n" + path.read_text())
    call(folder)
    assert (folder / "ablation-tiny.png").read_bytes() == before


def test_order(folder: Path) -> None:
    rows = [row(name, 0) for name in ("control: SGC", "b", "c", "a")]
    assert [arm.name for arm in arms_of(rows, [])] == ["b", "c", "a", "control: SGC"]
    told = ["a", "gone", "b"]
    assert [arm.name for arm in arms_of(rows, told)] == ["a", "b", "c", "control: SGC"]
    call(folder)
    before = (folder / "ablation-tiny.png").read_bytes()
    arms = [{"arm": "bfs_mask"}, {"arm": "reference"}]
    (folder / "report.json").write_text(json.dumps({"graphs": {"tiny": {"arms": arms}}}))
    assert call(folder).exit_code == 0
    assert (folder / "ablation-tiny.png").read_bytes() != before


# 7, 11


def texts(figure: Figure) -> list[Text]:
    found = list(figure.texts)
    for axes in figure.axes:
        found += [axes.title, axes.xaxis.label, axes.yaxis.label]
    return found + figure.axes[0].get_yticklabels()


def test_twelve_arms() -> None:
    targets, regularisers = ("ema", "online", "frozen"), ("none", "decorrelation", "sigreg", "x")
    pairs = itertools.product(targets, regularisers)
    arms = [f"target={target} + regulariser={regulariser}" for target, regulariser in pairs]
    made = rows_of(*arms, *(f"control: {name}" for name in ("SGC", "FastRP on features")))
    made += [row(arms[1], seed, status="diverged") for seed in range(3, 6)]
    looks = {(arm.colour, str(arm.style), arm.marker) for arm in arms_of(made, [])}
    assert len(looks) == 13  # and one for all controls
    figure = picture(made)
    boxes = [text.get_window_extent() for text in texts(figure) if text.get_text()]
    assert len(boxes) > 14 + 6
    for box in boxes:
        assert box.x0 >= 0 and box.y0 >= 0
        assert box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


@pytest.mark.parametrize(
    "name", ["a$b$", "$\\frac$", "100% {x}", "_^\\", "a\0b", "\x1b[31m", "\u7121"]
)
def test_a_name_is_no_formula(name: str) -> None:
    picture([row(name, 0), row("other", 0)])


# 8, 9


def test_curves() -> None:
    accuracy, rank, cosine = picture(rows_of("reference")).axes[1:]
    assert rank.get_yscale() == "log" and cosine.get_xlabel() == "epoch"
    (mean,) = accuracy.lines
    np.testing.assert_allclose(mean.get_xdata(), [10, 20, 30])
    np.testing.assert_allclose(mean.get_ydata(), [51, 56, 61 - 10 / 3])
    band = rank.collections[0].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == (4.0, 6.0)
    assert len(picture([row("reference", 0, points=1)]).axes) == 1


def varied(epochs: dict[str, int], **more: Any) -> list[Row]:
    made = rows_of(*epochs)
    for each in made:
        each["job"]["config"] |= {"epochs": epochs[each["arm"]]}
        each["job"]["config"] |= more if each["arm"] == "long" else {}
    return made


def arms_varied(epochs: dict[str, int], **more: Any) -> list[Arm]:
    return arms_of(varied(epochs, **more), [])


def test_accuracy_against_epochs() -> None:
    assert budgets(arms_varied({"short": 10, "long": 1000})) == {"short": 10, "long": 1000}
    assert budgets(arms_varied({"short": 10, "long": 10})) == {}
    assert budgets(arms_varied({"short": 10, "long": 1000}, mask=0.3)) == {}
    assert budgets(arms_varied({"short": 10})) == {}
    axes = picture(varied({"long": 1000, "short": 10})).axes
    assert len(axes) == 5 and axes[1].get_xscale() == "log"
    np.testing.assert_allclose(axes[1].lines[0].get_xdata(), [10, 1000])


# 10


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("%$!", "not JSON"),
        ("[1]", "object"),
        (json.dumps(row("x", 0) | {"seed": "0"}), "seed is '0', expected int"),
        (json.dumps(row("x", 0) | {"arm": None}), "arm is None, expected str"),
        (json.dumps(row("x", 0) | {"job": {}}), "job.config: expected a JSON object"),
        (json.dumps(row("x", 0) | {"val": "high"}), "val is 'high', expected a number"),
        (json.dumps(row("x", 0) | {"val": float("nan")}), "val is nan, expected a finite number"),
        (json.dumps(row("x", 0) | {"curve": 3}), "curve is 3, expected a list"),
        (json.dumps(row("x", 0) | {"curve": [{"val": 1}]}), "curve: epoch is None, expected int"),
        (json.dumps(row("x", 0) | {"graph": "../x"}), "graph is '../x', expected a file's name"),
    ],
)
def test_garbage_exits_3(folder: Path, bad: str, said: str) -> None:
    path = folder / "rows.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:3], bad, *lines[3:]]) + "\n")
    done = call(folder, "--out", folder / "pictures")
    assert done.exit_code == 3 and f"{path}, line 4: " in done.stderr and said in done.stderr
    assert done.stdout == "" and not (folder / "pictures").exists()


def test_a_torn_last_line_is_left_out(folder: Path) -> None:
    path = folder / "rows.jsonl"
    path.write_text(path.read_text() + json.dumps(row("x", 9))[:70])
    done = call(folder)
    assert done.exit_code == 0 and f"{path}, line 21: cut short" in done.stderr


def test_nothing_to_draw(folder: Path) -> None:
    report = folder / "report.json"
    for bad in ("[1, 2", "[]", '{"graphs": 3}', '{"graphs": {"tiny": {"arms": [1]}}}'):
        report.write_text(bad)
        done = call(folder)
        assert done.exit_code == 3 and str(report) in done.stderr
    report.unlink()
    ended = row("reference", 0, graph="other")
    path = write(folder, [row("reference", 0, status="failed"), ended])
    done = call(folder)
    assert done.exit_code == 0 and "tiny: no row came to an end" in done.stderr
    assert [p.name for p in folder.glob("*.png")] == ["ablation-other.png"]
    write(folder, [row("reference", 0, status="failed")])
    done = call(folder)
    assert done.exit_code == 3 and str(path) in done.stderr
