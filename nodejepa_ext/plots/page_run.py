"""The page of a train run: what was read, its settings and why, its curves, what the embedding is
worth, and a map of it.

What is read is what train.py reads, and evaluation.json, which `nodejepa-ext evaluate` prints.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from nodejepa_ext.judging.report import reported, tables
from nodejepa_ext.parts.choice import Parts, effective
from nodejepa_ext.plots import page, page_charts, page_map
from nodejepa_ext.plots.page import Page
from nodejepa_ext.plots.style import Notice, ResultsError
from nodejepa_ext.plots.train import Trained, read
from nodejepa_ext.records import Damaged
from nodejepa_ext.training.facts import describe
from run_full import Config

EVALUATION = "evaluation.json"
MOST_COLUMNS = 60  # features whose names are listed
FILES = {"source": "graph", "edges": "table of edges", "nodes": "table of nodes"}
COUNTS = {  # what `describe` counts, and how it is called
    "components": "connected components",
    "isolated": "nodes without an edge",
    "mean_degree": "mean degree",
    "max_degree": "largest degree",
    "classes": "classes",
    "labelled": "labelled nodes",
    "homophily": "edges within a class",
    "train": "training nodes",
    "val": "validation nodes",
    "test": "test nodes",
    "splits": "splits",
}
CONTROLS = """<div class="controls">
<label>Colour by <select id="colour">{options}</select></label>
<label>Find a node <input id="find" type="search" autocomplete="off" spellcheck="false"
placeholder="its id"></label>
</div>
<div id="found" aria-live="polite"></div>
<div class="stage">
<div id="map"></div>
<div id="side" aria-live="polite"><p class="caption">Click a node, or find it by its id: here
stand its nearest neighbours.</p></div>
</div>
<div id="key"></div>"""


def build(
    folder: Path, notice: Notice, *, nodes: int, clusters: int, evaluation: Path | None
) -> Page:
    """The page of the run in `folder`. Errors: as in `train.read`; ResultsError: an evaluation that
    is none, or of another run."""
    heard: list[str] = []

    def hear(text: str) -> None:
        heard.append(text)
        notice(text)

    found = evaluation or folder / EVALUATION
    judged = read_evaluation(found) if evaluation or found.exists() else None
    run = read(folder, hear)
    if judged is not None:
        same_run(found, judged, run)
    made = Page(folder.resolve().name, subtitle(run))
    made.section("What was read", *reading(run))
    made.section("Settings, and why", *settings(run))
    charts = [
        made.chart(page_charts.course(meter, series, run.kept))
        for meter, series in run.curves.items()
    ]
    made.section("Training", *training(run), page.grid(charts))
    made.section("What the embedding is worth", *worth(judged, run))
    if run.z is not None and run.node_id is not None:
        packed = page_map.packed(run.z, run.node_id, run.graph, nodes, clusters, hear)
        made.nodes = packed
        made.section("Map of the embedding", *drawn(packed))
    if heard:
        made.sections.insert(0, ("Notices", [page.bullets(heard)]))
    return made


def read_evaluation(path: Path) -> dict[str, Any]:
    """ResultsError: not what `evaluate --json` prints."""
    try:
        return reported(path)
    except Damaged as error:
        raise ResultsError(f"{error}, as nodejepa-ext evaluate --json prints it") from None


def same_run(path: Path, judged: dict[str, Any], run: Trained) -> None:
    """ResultsError: another embedding was judged."""
    about = judged["graph"]
    found, wanted = (about["nodes"], about["dimensions"]), (run.meta["graph"]["nodes"], width(run))
    if found != wanted:
        text = f"{path}: of an embedding [{found[0]}, {found[1]}], expected one of this run's"
        raise ResultsError(f"{text}, [{wanted[0]}, {wanted[1]}]")


def width(run: Trained) -> int:
    return run.cfg.latent if run.z is None else run.z.shape[1]


def subtitle(run: Trained) -> str:
    graph, state = run.meta["graph"], run.meta["status"]
    text = f"Node-JEPA on {graph['nodes']:,} nodes and {graph['edges']:,} edges"
    message = run.meta.get("message")
    return f"{text}: {state}{f', {message}' if message else ''}"


def reading(run: Trained) -> list[str]:
    """Where the graph is from, its size, and all notices about it."""
    graph = run.meta["graph"]
    source = graph["source"] or {}
    # names alone: where files lie is nobody's business whom the page is sent to
    found = {said: Path(source[key]).name for key, said in FILES.items() if source.get(key)}
    found = found or {"graph": "made in Python"}
    found |= {"nodes": f"{graph['nodes']:,}", "edges": f"{graph['edges']:,}"}
    found |= {"features": f"{graph['features']:,}", "scaling": graph["scaling"]}
    if run.graph is not None:
        counted = describe(run.graph.data)
        found |= {name: number(counted[key]) for key, name in COUNTS.items() if key in counted}
    parts = [page.facts(found), page.facts(roles(graph.get("read") or {}))]
    parts.append(page.bullets(run.meta.get("notices", [])))
    if columns := graph.get("columns"):
        shown = ", ".join(map(str, columns[:MOST_COLUMNS]))
        more = len(columns) - MOST_COLUMNS
        text = f"{shown} and {more} more" if more > 0 else shown
        parts.append(page.folded(f"{len(columns)} feature columns", page.paragraph(text)))
    return parts


def roles(read: dict[str, Any]) -> dict[str, str]:
    """What the columns of tables became, other than features."""
    found = {}
    for role, value in read.items():
        named = value if isinstance(value, list) else [value]
        text = ", ".join(str(name) for name in named if name is not None)
        if text and role != "features":
            found[f"columns: {role.replace('_', ' ')}"] = text
    return found


def number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}"


def settings(run: Trained) -> list[str]:
    """Why, what is not the default, and everything."""
    default, chosen = effective(Config(), Parts()), effective(run.cfg, run.parts)
    other = {k: v for k, v in chosen.items() if v != default.get(k)}
    about = {"preset": run.meta.get("preset", "none"), "why": run.meta.get("why", "as given")}
    whole = {k: str(v) for k, v in run.meta["settings"].items()}
    return [
        page.facts(about),
        "<h3>Not the default</h3>",
        page.facts({k: str(v) for k, v in other.items()}) or page.paragraph("Nothing."),
        page.folded("All settings", page.facts(whole)),
        page.folded("Versions and machine", page.facts(machine(run.meta))),
    ]


def machine(meta: dict[str, Any]) -> dict[str, str]:
    found = {name: str(version) for name, version in meta["versions"].items()}
    found |= {"device": str(meta.get("device", "")), "threads": str(meta["threads"])}
    return found | {"began": str(meta.get("began", ""))}


def training(run: Trained) -> list[str]:
    """In words, what came of it."""
    figures = run.meta.get("figures", {})
    if not figures:
        last = max((epoch for series in run.curves.values() for epoch in series), default=0)
        return [page.paragraph(f"Not finished: {last} of {run.cfg.epochs} epochs.")]
    found = {"epochs": str(figures.get("epochs", "")), "epoch kept": str(figures.get("epoch", ""))}
    if "val" in figures:
        found["validation accuracy"] = f"{100 * figures['val']:.1f} %"
    found["effective rank"] = f"{figures['effective_rank']:.1f} of {width(run)}"
    found["mean pairwise cosine"] = f"{figures['cosine']:.3f}"
    text = "Dotted: the epoch whose weights were kept. A rank that falls to 1, or a cosine that "
    return [page.facts(found), page.paragraph(f"{text}rises to 1, is a collapse.")]


def worth(judged: dict[str, Any] | None, run: Trained) -> list[str]:
    """The tables of `evaluate`, or how to get them."""
    if judged is not None:
        return page.printed(tables(judged))
    text = "Not evaluated. For a table beside what trains nothing: "
    call = "nodejepa-ext evaluate RUN"
    val = run.meta.get("figures", {}).get("val")
    seen = "" if val is None else f"A linear probe reaches {100 * val:.1f} % of validation nodes."
    return [
        page.paragraph(seen),
        f"<p>{escape(text)}<code>{escape(call)}</code>, then this page again.</p>",
    ]


def drawn(packed: dict[str, Any]) -> list[str]:
    """The map's place on the page, and what it is."""
    kinds = {"label": packed["label"], "cluster": packed["cluster"], "degree": "degree" in packed}
    options = "".join(f"<option>{kind}</option>" for kind, known in kinds.items() if known)
    text = f"Place: {packed['how']}. Near on the map is often, not always, near in the embedding; "
    text += f"the neighbours listed are those of largest cosine among {packed['count']:,} nodes. "
    text += f"Clusters: k-means with {len(packed['cluster']['names'])} on rows of unit length."
    if packed["count"] < packed["total"]:
        text = f"{packed['count']:,} of {packed['total']:,} nodes, drawn at random. {text}"
    return [CONTROLS.format(options=options), f'<p class="caption">{escape(text)}</p>']
