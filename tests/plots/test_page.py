"""The HTML page of a run, an ablation or a sweep; in a browser where there is one.

1. A run's page has its sections and figures, asks nothing of the network, and is the same twice.
2. Neighbours and cosines are numpy's; labels, degrees and ids are the graph's, node by node.
3. Nothing of a user's files becomes markup: ids, classes, names of columns, folders and arms.
4. A graph that moved: a sentence, and a map without labels and degrees. Without embeddings.npz the
   nodes are embedded anew, bit for bit; with neither there is no map.
5. Of many nodes, those drawn; beyond t-SNE's, every other node lies amid the nearest of those.
   50,000 nodes with long ids stay under 10 MB.
6. An evaluation is shown with its controls; one of another run, or none at all, is refused.
7. An ablation: its finding, table, every seed. A sweep: trials that were stopped have no value to
   stand at.
8. Clusters are k-means', the largest first; a collapsed embedding has a page too.
9. In Chromium: no request, no error; a click shows the right neighbours, an id is found, colours
   change; markup in a user's files does nothing; a phone's width suffices, light and dark.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from chromium import PROGRAM, Browser
from torch_geometric.data import Data

from nodejepa_ext.graphs.graph import Graph, read_graph
from nodejepa_ext.graphs.source import Source, read
from nodejepa_ext.judging.report import judge
from nodejepa_ext.plots import page, page_ablation, page_map, page_run, page_sweep
from nodejepa_ext.plots.page_charts import label
from nodejepa_ext.plots.style import ResultsError
from nodejepa_ext.training import folder as runs
from run_full import Config

ROOT = Path(__file__).parents[2]
HOSTILE = "</script><script>window.hit=1</script>"
IMAGE = "<img src=x onerror='window.hit=1'>"
IDS = [HOSTILE, IMAGE, "&amp;", '"quoted"', "line\u2028end", "<b>bold</b>", "ünï", "a,b"]
CLASSES = ["<i>first</i>", "second & last", "`${window.hit=1}`"]
browser = pytest.mark.skipif(not PROGRAM, reason="no chromium: apt-get install chromium")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a planted graph of 90 nodes with hostile ids, classes and columns."""
    home = tmp_path_factory.mktemp("page")
    rng = np.random.default_rng(0)
    block = np.arange(90) % 3
    drawn = np.triu(rng.random((90, 90)) < np.where(block[:, None] == block, 0.2, 0.01), 1)
    ids = [*IDS, *(f"node {i}" for i in range(len(IDS), 90))]
    path = home / "graph.npz"
    x = np.eye(3)[block] + 0.5 * rng.random((90, 3))
    masks = {name: np.arange(90) // 3 % 3 == i for i, name in enumerate(("train", "val", "test"))}
    y = np.array(CLASSES)[block]
    y[-1] = ""
    keep = {f"{name}_mask": mask & (y != "") for name, mask in masks.items()}
    edges = np.stack(drawn.nonzero())
    np.savez(path, edge_index=edges, x=x.astype(np.float32), y=y, node_id=np.array(ids), **keep)
    cfg = Config(hidden=16, out=8, epochs=6, warmup=2, eval_every=2, device="cpu")
    out = home / "<u>run"
    runs.start(read(Source.of(str(path))), cfg, out, about={"why": f"because {IMAGE}"})
    return out


def build(folder: Path, heard: list[str] | None = None, **how: Any) -> page.Page:
    chosen: Any = {"nodes": 1000, "clusters": 0, "evaluation": None} | how
    return page_run.build(folder, [].append if heard is None else heard.append, **chosen)


def array(text: str, kind: str) -> np.ndarray[Any, Any]:
    return np.frombuffer(base64.b64decode(text), kind)


class Reader(HTMLParser):
    """Tags with their attributes, and the text outside scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.inside = ""
        self.raw: dict[str, str] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside = tag

    def handle_data(self, data: str) -> None:
        if self.inside in ("script", "style"):
            name = dict(self.tags)[self.inside].get("id") or self.inside
            self.raw[name] = self.raw.get(name, "") + data
        else:
            self.words.append(data)

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    @property
    def text(self) -> str:
        return " ".join(self.words)

    @property
    def payload(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(self.raw["payload"])))
        return found


def test_a_page_of_a_run(trained: Path, tmp_path: Path) -> None:
    found = build(trained)
    size = page.write(found, tmp_path / "page.html", False, lambda text: pytest.fail(text))
    text = (tmp_path / "page.html").read_text()
    assert size == len(text.encode()) < 3e6
    seen = Reader(text)
    titles = ["What was read", "Settings, and why", "Training", "What the embedding is worth"]
    assert [title for title, _ in found.sections] == [*titles, "Map of the embedding"]
    for word in ("90", "validation nodes", f"because {IMAGE}", "effective rank", "eval_every"):
        assert word in seen.text
    charts = [chart["layout"]["title"]["text"] for chart in seen.payload["charts"]]
    assert charts[:2] == ["loss", "validation accuracy, %"] and len(charts) == 5
    assert seen.payload["charts"][0]["data"][0]["x"] == [1, 2, 3, 4, 5, 6]
    assert found.html() == build(trained).html()  # no time, no chance


def test_what_became_of_the_tables(tmp_path: Path) -> None:
    (edges := tmp_path / "links.csv").write_text("source,target\na,b\nb,c\nc,d\n")
    nodes = tmp_path / "people.csv"
    nodes.write_text("id,label,age\na,x,1.5\nb,y,2.5\nc,x,0.5\nd,y,4.5\n")
    cfg = Config(hidden=8, out=4, epochs=2, warmup=1, eval_every=2, device="cpu")
    runs.start(read(Source.of(None, edges, nodes)), cfg, tmp_path / "run")
    seen = Reader(build(tmp_path / "run").html())
    for word in ("links.csv", "people.csv", "columns: label", "features: 'age'"):
        assert word in seen.text
    assert str(tmp_path) not in seen.text  # where files lie


def test_a_page_asks_nothing_of_the_network(trained: Path) -> None:
    seen = Reader(build(trained).html())
    links = [v for _, own in seen.tags for k, v in own.items() if k in ("src", "href", "action")]
    assert links and all(str(link).startswith(("#s", "data:")) for link in links)
    policy = next(own["content"] for tag, own in seen.tags if tag == "meta" and "http-equiv" in own)
    assert policy and policy.startswith("default-src 'none'") and "http" not in policy
    assert not re.search(r"@import|url\(", seen.raw["style"])


def test_the_map_is_the_embedding(trained: Path) -> None:
    nodes = Reader(build(trained).html()).payload["nodes"]
    z = np.load(trained / "embeddings.npz")["z"].astype(float)
    graph = read_graph(str(trained.parent / "graph.npz"), normalise="none")
    assert graph.node_id is not None and graph.data.y is not None
    order = [graph.node_id.tolist().index(name) for name in nodes["ids"]]
    assert sorted(order) == list(range(90)) and nodes["total"] == nodes["count"] == 90
    unit = z[order] / np.linalg.norm(z[order], axis=1, keepdims=True)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -2)
    near = array(nodes["near"], "<u2").reshape(90, 10).astype(int)
    said = array(nodes["cosine"], "<i2").reshape(90, 10) / 10_000
    assert np.abs(said - np.sort(cosine)[:, :-11:-1]).max() < 1e-4
    assert np.abs(said - np.take_along_axis(cosine, near, 1)).max() < 1e-4
    assert all(len({*row}) == 10 and i not in row for i, row in enumerate(near.tolist()))
    codes = array(nodes["label"]["codes"], "<u2").astype(int)
    assert codes.tolist() == np.where(graph.data.y < 0, 65535, graph.data.y)[order].tolist()
    assert sorted(nodes["label"]["names"]) == sorted(CLASSES)
    degrees = np.bincount(graph.data.edge_index[0].numpy(), minlength=90)
    assert array(nodes["degree"], "<u4").tolist() == degrees[order].tolist()


def test_nothing_becomes_markup(trained: Path) -> None:
    found = build(trained)
    text = found.html()
    assert text.count("</script>") == text.count("<script") == 3
    for raw in (HOSTILE, IMAGE, *CLASSES[:1], "<u>run", "\u2028"):
        assert raw not in text
    seen = Reader(text)
    assert "<u>run" in seen.text  # the folder's name, as it is
    known = {"img", "i", "b", "u"} & {tag for tag, _ in seen.tags}
    assert not known
    assert label("<a href='x'>A&B</a>") == "&lt;a href=&#x27;x&#x27;&gt;A&amp;B&lt;/a&gt;"
    made = page.Page("<b>", "<i>")
    hostile = {"<q>": "<s>"}
    made.section("<u>", page.facts(hostile), page.bullets(["<tt>"]), page.block("<kbd>"))
    made.section("", page.table(["<h6>"], [["<dfn>", "<samp>"]], "<cite>", "<var>"))
    made.section("", page.folded("<sup>"), page.paragraph("<sub>"))
    made.section("", page.key({"<ins>": {"colour": "#000000", "dash": "dot"}}))
    tags = {tag for tag, _ in Reader(made.html()).tags}
    words = "b i u q s tt kbd h6 dfn samp cite var sup sub ins"
    assert not tags & {*words.split()}


def test_a_graph_that_moved(trained: Path, tmp_path: Path) -> None:
    (moved := tmp_path / "moved").mkdir()
    shutil.copytree(trained, run := moved / "run")
    meta = json.loads((run / "run.json").read_text())
    meta["graph"]["source"]["source"] = str(moved / "gone.npz")
    (run / "run.json").write_text(json.dumps(meta))
    heard: list[str] = []
    found = build(run, heard)
    (said,) = heard
    assert "gone.npz" in said and "shown without labels and degrees" in said
    assert said in Reader(found.html()).text
    assert found.nodes and found.nodes["label"] is None and "degree" not in found.nodes
    (run / "embeddings.npz").write_bytes(b"damaged")
    found = build(run, heard)
    assert "embeddings.npz has SHA-256" in heard[-1] and found.nodes is None
    assert "Map of the embedding" not in [title for title, _ in found.sections]


def test_embedded_anew(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, run := tmp_path / trained.name)
    (run / "embeddings.npz").unlink()
    heard: list[str] = []
    assert build(run, heard).nodes == build(trained).nodes
    assert len(heard) == 1 and heard[0].endswith("embedded anew")


def test_an_unfinished_run(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, run := tmp_path / "run")
    meta = json.loads((run / "run.json").read_text())
    meta |= {"status": "interrupted", "message": "stopped after epoch 4, which is kept"}
    del meta["figures"], meta["files"]
    (run / "run.json").write_text(json.dumps(meta))
    heard: list[str] = []
    found = build(run, heard)
    assert found.nodes is None and len(found.charts) == 5 and len(heard) == 1
    text = Reader(found.html()).text
    assert "interrupted, stopped after epoch 4" in text and "Not finished: 6 of 6 epochs" in text


def graph_of(n: int) -> Graph:
    ring = torch.stack([torch.arange(n), (torch.arange(n) + 1) % n])
    data = Data(edge_index=torch.cat([ring, ring.flip(0)], 1), num_nodes=n)
    return Graph(data, None, None, [])


def test_of_many_nodes_those_drawn(trained: Path) -> None:
    nodes = build(trained, nodes=30).nodes
    assert nodes and (nodes["count"], nodes["total"], len(nodes["ids"])) == (30, 90, 30)
    assert array(nodes["near"], "<u2").max() < 30
    text = Reader(build(trained, nodes=30).html()).text
    assert "30 of 90 nodes, drawn at random" in text and "among 30 nodes" in text


def test_beyond_what_tsne_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_map, "MOST_POINTS", 60)
    rng = np.random.default_rng(0)
    z = rng.normal(size=(200, 12)).astype(np.float32)
    block = rng.permutation(200) % 3
    z[np.arange(200), block] += 12
    z[60:62] = z[:2]  # two that lie on a placed one
    block[60:62] = block[:2]
    points = page_map.project(z)
    assert (points == page_map.project(z)).all()
    assert np.abs(points[60:62] - points[:2]).max() < 0.1 * np.ptp(points[:60], axis=0).max()
    for b in range(3):  # others among those of their block
        own = points[:60][block[:60] == b]
        others = points[60:][block[60:] == b]
        assert (others >= own.min(0) - 1e-4).all() and (others <= own.max(0) + 1e-4).all()
    assert "60 nodes drawn at random" in page_map.method(200)


def test_long_ids_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_map, "ID_BYTES", 100)
    heard: list[str] = []
    ids = np.array(["ü" * 30, "short", "x" * 60])
    assert page_map.identifiers(ids, heard.append) == ["ü" * 15 + "…", "short", "x" * 30 + "…"]
    assert len(heard) == 1 and "33 bytes" in heard[0]
    assert page_map.identifiers(np.arange(3), heard.append) == ["0", "1", "2"]


@pytest.mark.parametrize("n", [1, 2, 3, 40])
def test_a_collapsed_embedding(n: int) -> None:
    nodes = page_map.packed(np.ones((n, 4)), np.arange(n), graph_of(n), 100, 0, print)
    assert nodes["k"] == min(10, n - 1)
    assert {*array(nodes["cosine"], "<i2").tolist()} <= {10_000}
    assert {*array(nodes["x"], "<f4").tolist()} == {0.0}
    assert set(array(nodes["cluster"]["codes"], "<u2").tolist()) == {0}


def test_clusters() -> None:
    sizes = [5, 30, 15]
    z = np.repeat(np.eye(3, dtype=np.float32), sizes, axis=0)
    found = page_map.groups(z, 3)
    assert array(found["codes"], "<u2").tolist() == [2] * 5 + [0] * 30 + [1] * 15
    assert found["names"] == ["cluster 1", "cluster 2", "cluster 3"]


@pytest.fixture(scope="module")
def judged(trained: Path) -> dict[str, Any]:
    return judge(trained, None, "linear,knn,cluster", clusters=None, seeds=1, say=lambda text: None)


def test_an_evaluation(trained: Path, judged: dict[str, Any], tmp_path: Path) -> None:
    shutil.copytree(trained, run := tmp_path / "run")
    assert "Not evaluated" in Reader(build(run).html()).text
    (run / "evaluation.json").write_text(json.dumps(judged))
    text = Reader(build(run).html()).text
    assert "Not evaluated" not in text
    for word in ("raw features", "untrained", "FastRP", "linear", "kNN", "NMI"):
        assert word in text
    accuracy = judged["tasks"]["linear"]["raw features"]["mean"]
    assert f"{100 * accuracy:.1f}" in text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"graph": {"nodes": 91, "dimensions": 8}}, "[91, 8], expected one of this run's, [90, 8]"),
        ({"tasks": {"linear": {"other": {"mean": 0.5}}}}, "no Node-JEPA, expected one"),
        ({"tasks": [1]}, "tasks = [1]: expected dict"),
        ({"collapse": {"x": {"cosine": "high"}}}, "effective_rank, expected one"),
    ],
)
def test_what_is_no_evaluation(
    trained: Path, judged: dict[str, Any], tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    (path := tmp_path / "evaluation.json").write_text(json.dumps(judged | changes))
    with pytest.raises(ResultsError) as error:
        build(trained, evaluation=path)
    assert said in str(error.value) and str(path) in str(error.value)


def test_an_ablation(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "ablations/encoder", run := tmp_path / "encoder")
    found = page_ablation.build(run, pytest.fail)
    seen = Reader(found.html())
    report = json.loads((run / "report.json").read_text())
    assert report["finding"] in seen.text and "80% power" in seen.text
    lines = (run / "rows.jsonl").read_text().splitlines()
    own = [row for row in map(json.loads, lines) if row["graph"] == "cora"]
    dots = [d for d in seen.payload["charts"][0]["data"] if "error_x" not in d]
    drawn = sorted(value for trace in dots for value in trace["x"])
    assert np.allclose(drawn, sorted(100 * row["val"] for row in own if row["status"] == "ok"))
    (run / "report.json").unlink()
    assert "has not ended" in Reader(page_ablation.build(run, pytest.fail).html()).text


def test_names_of_arms_are_no_markup(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "ablations/encoder", run := tmp_path / "encoder")
    for name in ("rows.jsonl", "report.json"):
        text = (run / name).read_text().replace('"gat"', json.dumps(HOSTILE))
        (run / name).write_text(text)
    text = page_ablation.build(run, pytest.fail).html()
    assert text.count("</script>") == 3 and HOSTILE in Reader(text).text
    chart = Reader(text).payload["charts"][0]
    assert not any("<script" in name for name in chart["layout"]["yaxis"]["ticktext"])


@pytest.mark.parametrize(
    "bad",
    [
        '{"graphs": {}}',
        "[1]",
        '{"measure": "val"',
        '{"graphs": 1}',
        '{"graphs": {"cora": {"arms": [], "controls": [], "interaction": {"p": 0.5}}}, '
        '"measure": "val", "reference": "a", "comparisons": 0, "finding": ""}',
    ],
)
def test_a_bad_report_is_refused(tmp_path: Path, bad: str) -> None:
    shutil.copytree(ROOT / "ablations/encoder", run := tmp_path / "encoder")
    (run / "report.json").write_text(bad)
    with pytest.raises(ResultsError, match="report.json"):
        page_ablation.build(run, pytest.fail)


def test_a_sweep() -> None:
    folder = ROOT / "ablations/sweep"
    found = page_sweep.build(folder, pytest.fail)
    seen = Reader(found.html())
    for graph, part in json.loads((folder / "final_results.json").read_text())["graphs"].items():
        pruned = {t["number"] for t in part["trials"] if t["outcome"] == "pruned"}
        chart = next(c for c in seen.payload["charts"] if "yaxis2" in c["layout"])
        seen.payload["charts"].remove(chart)
        apart = [d for d in chart["data"] if d.get("yaxis") == "y2"]
        assert pruned and pruned <= {number for d in apart for number in d["x"]}
        valued = next(d for d in chart["data"] if d.get("name") == "complete")
        assert not pruned & {*valued["x"]}
        assert f"[{graph}]" in seen.text  # of best.toml
        break
    assert "Winner" in seen.text and "fresh seeds" in seen.text


def test_a_chart_holds_no_nan() -> None:
    assert page.finite([float("nan"), {"a": (1.0, float("inf"))}]) == [None, {"a": [1.0, None]}]


@pytest.mark.slow
def test_fifty_thousand_nodes_stay_under_ten_megabytes(tmp_path: Path) -> None:
    n = 60_000
    z = np.random.default_rng(0).normal(size=(n, 16)).astype(np.float32)
    ids = np.array([f"https://example.org/entity/{i:032x}" for i in range(n)])
    made = page.Page("many", "nodes")
    made.nodes = page_map.packed(z, ids, graph_of(n), 50_000, 0, pytest.fail)
    made.section("Map", *page_run.drawn(made.nodes))
    size = page.write(made, tmp_path / "page.html", False, pytest.fail)
    assert made.nodes["count"] == 50_000 and size < 10_000_000
    if PROGRAM:
        with Browser(tmp_path / "profile") as tab:
            tab.open(tmp_path / "page.html")
            assert (
                not tab.errors
                and tab.ask("document.getElementById('map').data[0].x.length") == 50_000
            )


@pytest.fixture
def tab(tmp_path: Path) -> Iterator[Browser]:
    with Browser(tmp_path / "profile") as found:
        yield found


PLACE = """(() => {
  const plot = document.getElementById("map");
  plot.scrollIntoView({ block: "center" });
  const box = plot.getBoundingClientRect();
  const { xaxis, yaxis } = plot._fullLayout;
  const { x, y } = plot.data[0];
  return Array.from(x, (_, i) => [
    box.left + xaxis._offset + xaxis.d2p(x[i]), box.top + yaxis._offset + yaxis.d2p(y[i])]);
})()"""
NEAR = "Array.from(document.querySelectorAll('#side li button'), (b) => b.textContent)"


def nearest(run: Path, node: str) -> list[str]:
    """Ids of the ten of largest cosine, by numpy."""
    with np.load(run / "embeddings.npz") as found:
        z, ids = found["z"].astype(float), found["node_id"].tolist()
    unit = z / np.linalg.norm(z, axis=1, keepdims=True)
    cosine = unit @ unit[ids.index(node)]
    cosine[ids.index(node)] = -2
    return [ids[i] for i in np.argsort(-cosine)[:10]]


@pytest.mark.slow
@browser
def test_a_click_shows_the_nearest(trained: Path, tmp_path: Path, tab: Browser) -> None:
    made = build(trained)
    page.write(made, path := tmp_path / "page.html", False, pytest.fail)
    tab.open(path)
    assert tab.ask("document.querySelectorAll('.chart .main-svg').length") >= 5
    places = np.array(tab.ask(PLACE))
    apart = np.linalg.norm(places[:, None] - places, axis=2) + 1e3 * np.eye(90)
    assert made.nodes
    for i in np.argsort(-apart.min(1))[:3].tolist():  # those that a mouse can tell from others
        tab.click(*places[i].tolist())
        node = made.nodes["ids"][i]
        tab.wait(f"document.querySelector('#side h3').dataset.node === {json.dumps(node)}")
        assert tab.ask(NEAR) == nearest(trained, node)
    assert tab.errors == [] and tab.requests == [path.as_uri()]


@pytest.mark.slow
@browser
def test_search_and_colours(trained: Path, tmp_path: Path, tab: Browser) -> None:
    page.write(build(trained), path := tmp_path / "page.html", False, pytest.fail)
    tab.open(path)
    for node in (HOSTILE, IMAGE, "line\u2028end", "node 42"):
        tab.ask(
            f"box = document.getElementById('find'); box.value = {json.dumps(node)};"
            "box.dispatchEvent(new Event('input'));"
            "box.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter' }))"
        )
        assert tab.ask("document.querySelector('#side h3').dataset.node") == node
        assert tab.ask(NEAR) == nearest(trained, node)
    looks = "[...new Set(document.getElementById('map').data[0].marker.color)].length"
    assert tab.ask(looks) == 4  # three classes, and the node without one
    assert sorted(tab.ask("Array.from(colour.options, (o) => o.value)")) == [
        "cluster",
        "degree",
        "label",
    ]
    for kind, count in (("cluster", 3), ("degree", 0), ("label", 4)):
        tab.ask(f"colour.value = '{kind}'; colour.dispatchEvent(new Event('change'))")
        assert tab.ask("document.querySelectorAll('#key button').length") == count
    tab.ask("document.querySelector('#key button').click()")
    assert tab.ask("document.querySelectorAll('#key button[aria-pressed=true]').length") == 1
    assert tab.ask("window.hit") is None and tab.errors == []
    assert CLASSES[0] in tab.ask("document.getElementById('key').textContent")


@pytest.mark.slow
@browser
@pytest.mark.parametrize("dark", [False, True])
def test_pages_fit_a_phone(
    trained: Path, judged: dict[str, Any], tmp_path: Path, tab: Browser, dark: bool
) -> None:
    (evaluated := tmp_path / "evaluation.json").write_text(json.dumps(judged))
    made = {
        "run": build(trained, evaluation=evaluated),
        "ablation": page_ablation.build(ROOT / "ablations/encoder", pytest.fail),
        "sweep": page_sweep.build(ROOT / "ablations/sweep", pytest.fail),
    }
    tab.emulate(360, 740, dark)
    for name, found in made.items():
        page.write(found, path := tmp_path / f"{name}.html", False, pytest.fail)
        tab.open(path)
        assert tab.ask("document.documentElement.scrollWidth") <= 360
        assert tab.ask("trouble.hidden") and tab.errors == []
        paper = tab.ask("getComputedStyle(document.body).backgroundColor")
        assert paper == ("rgb(20, 23, 27)" if dark else "rgb(255, 255, 255)")
        tab.screenshot(shot := tmp_path / f"{name}.png")
        assert shot.stat().st_size > 20_000
    assert len(tab.requests) == len(made)
