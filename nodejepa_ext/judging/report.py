"""A run, judged: its embedding in every task that the graph permits, and beside it what trains
nothing. Apart from tasks.py, which judges any one embedding and knows of no run.

Tables are of test nodes and test pairs, each looked at once; validation has chosen before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.table import Table
from torch import Tensor
from torch_geometric.data import Data

import run_full
from nodejepa_ext.graphs.graph import structural_features
from nodejepa_ext.graphs.source import Source
from nodejepa_ext.judging import tasks as evaluate
from nodejepa_ext.judging.splits import node_splits
from nodejepa_ext.parts.choice import Parts, seams
from nodejepa_ext.records import Damaged, Each, check, read_json
from nodejepa_ext.training import batches
from nodejepa_ext.training.embeddings import graph_for
from nodejepa_ext.training.folder import batch_nodes_of, load_model, read_run
from nodejepa_ext.training.memory import check_memory
from nodejepa_ext.training.stopping import label_free, patience
from run_full import Config, Embedder

Report = dict[str, Any]
Say = Callable[[str], None]
Train = Callable[[Config, Data], tuple[Tensor, Embedder]]

TASKS = ("linear", "knn", "cluster", "link")
OURS = "Node-JEPA"
FIGURE = {"mean": float, "std": (float, None)}
FIGURES = {"linear": (), "knn": (), "cluster": ("nmi?", "ari?", "silhouette?")}  # a report's own
METERS = {"effective_rank": float, "cosine": float, "min_std": float}
SHAPE = {  # of a report that was kept
    "graph": {"nodes": int, "dimensions": int},
    "tasks": Each(Each(dict)),
    "collapse": Each(METERS),
}
KS = (5, 10, 20)
COLUMNS = {  # of the table of nodes: task, figure -> title; "": the report itself
    ("linear", ""): "linear",
    ("knn", ""): "kNN",
    ("cluster", "nmi"): "NMI",
    ("cluster", "ari"): "ARI",
    ("cluster", "silhouette"): "silhouette",
}


def judge(
    folder: Path,
    source: Source | None,
    names: str | None,
    clusters: int | None,
    seeds: int,
    say: Say,
) -> Report:
    """Of the finished run in `folder`, on its graph or another: {run, graph, tasks: {task: {method:
    report}}, collapse: {method: meters}}. Errors: as in `load_model`, `graph_for` and `chosen`."""
    model = load_model(folder)
    cfg = model.cfg
    parts = read_run(folder)[2]
    graph = graph_for(model, folder, source)
    for notice in graph.notices:
        say(notice)
    data, structural = graph.data, model.scaling.rule == "structural"
    tasks = chosen(names, data, clusters, say)
    batch_nodes = batch_nodes_of(model.meta)
    embedder = batches.prepared(cfg, data, batch_nodes).embedder
    z = embedder(model.encoder)
    found = judge_nodes(z, cfg, data, embedder, tasks, clusters, seeds)
    collapse = found.pop("collapse")
    if "link" in tasks:
        check_memory(data, cfg, batch_nodes=batch_nodes)
        train = partial(trained, parts=parts, batch_nodes=batch_nodes)
        found["link"] = judge_link(cfg, train, data, structural, seeds, say)
    n, width = z.shape
    about = {"nodes": n, "edges": data.edge_index.shape[1] // 2, "dimensions": width}
    return {"run": str(folder), "graph": about, "tasks": found, "collapse": collapse}


def reported(path: Path) -> Report:
    """A report of `judge` that was kept as JSON. Damaged: it is none that `tables` could show."""
    found: Report = read_json(path, SHAPE)
    for task, methods in found["tasks"].items():
        place = f"{path}, tasks, {task}"
        if task not in TASKS:
            raise Damaged(f"{place}: expected some of {', '.join(TASKS)}")
        wanted = methods.keys() if task == "link" else found["collapse"].keys()
        if OURS not in methods:
            raise Damaged(f"{place}: no {OURS}, expected one")
        if methods.keys() != wanted:
            raise Damaged(f"{place}: expected the methods of collapse, {', '.join(wanted)[:200]}")
        names = FIGURES[task] if task != "link" else [n for n in methods[OURS] if n != "rows"]
        shape = dict.fromkeys(names, FIGURE) if names else FIGURE
        check(place, methods, Each(shape | {"rows": list}))
    return found


def chosen(names: str | None, data: Data, clusters: int | None, say: Say) -> list[str]:
    """The tasks named, "linear,knn", or all that the graph permits; `say` hears why others are
    left out. ValueError: an unknown one, or one that the graph does not permit."""
    wanted = list(dict.fromkeys((names or ",".join(TASKS)).split(",")))
    if unknown := [task for task in wanted if task not in TASKS]:
        raise ValueError(f"--task {','.join(unknown)}: expected some of {','.join(TASKS)}")
    fit = []
    for task in wanted:
        try:
            permit(task, data, clusters)
            fit.append(task)
        except ValueError as error:
            if names:
                raise ValueError(f"--task {task}: {error}") from None
            say(f"{task} left out: {error}")
    return fit


def permit(task: str, data: Data, clusters: int | None) -> None:
    """ValueError: why not."""
    if task == "link":
        evaluate.split_edges(data)
    elif task == "cluster":
        if not clusters and "y" not in data:
            raise ValueError("the graph has no labels, expected --clusters K")
        classes = 0 if clusters else int(data.y[data.y >= 0].unique().numel())
        if classes == 1:
            raise ValueError("the labels are of one class, expected --clusters K")
    elif "y" not in data:
        raise ValueError("the graph has no labels; cluster with --clusters K, and link, need none")
    else:
        node_splits(data)


def judge_nodes(
    z: Tensor,
    cfg: Config,
    data: Data,
    embedder: Embedder,
    tasks: Sequence[str],
    clusters: int | None,
    seeds: int,
) -> Report:
    """{task: {method: report of `tasks`}} for the tasks but link, and, whatever they are,
    {"collapse": ...}. z [N, D] is ours; data has x as the encoder sees it, y and masks; embedder:
    of data."""
    found: Report = {}
    own: Any = dict(out=cfg.out, seed=cfg.seed, cfg=cfg, embedder=embedder)
    embeddings = {OURS: z, **evaluate.controls(data, **own)}
    for task in (task for task in tasks if task != "link"):
        found[task] = {}
        for method, rows in embeddings.items():
            if task == "linear":
                found[task][method] = evaluate.linear(rows, data, seed=cfg.seed)
            elif task == "knn":
                found[task][method] = evaluate.knn(rows, data, few(data, cfg.seed), seed=cfg.seed)
            else:
                found[task][method] = evaluate.cluster(rows, data, n_clusters=clusters, seeds=seeds)
    found["collapse"] = {method: evaluate.collapse(rows) for method, rows in embeddings.items()}
    return found


def few(data: Data, seed: int) -> list[int]:
    """Those of 5, 10 and 20 neighbours that there are training nodes for, at least 1."""
    fewest = min(int(part.train_mask.sum()) for part in node_splits(data, seed=seed))
    return [k for k in KS if k <= fewest] or [1]


def judge_link(
    cfg: Config, train: Train, data: Data, structural: bool, seeds: int, say: Say
) -> Report:
    """{method: {auc, ap, hits@K: figures over seeds, rows}}. Each seed holds out edges, then trains
    the run's settings anew on what is left, without labels; structural: features, too, are made of
    what is left. train: as `trained`, of settings and a graph."""
    rows: dict[str, list[Report]] = {}
    for seed in range(cfg.seed, cfg.seed + seeds):
        split = evaluate.split_edges(data, seed=seed)
        if structural:
            split.data.x = structural_features(split.data)
        kept = split.data.edge_index.shape[1] // 2
        say(f"link, seed {seed}: training anew on {kept} edges, {cfg.epochs} epochs")
        own, left = replace(cfg, seed=seed), split.data
        bare = Data(x=left.x, edge_index=left.edge_index, edge_weight=left.edge_weight)
        z, embedder = train(own, bare)
        found = {OURS: z}
        found |= evaluate.controls(left, out=cfg.out, seed=seed, cfg=own, embedder=embedder)
        reports = {method: evaluate.link(z, split) for method, z in found.items()}
        for method, report in (reports | evaluate.link_controls(split)).items():
            rows.setdefault(method, []).append({"seed": seed, **report})
    return {method: spread(some) for method, some in rows.items()}


def trained(cfg: Config, data: Data, *, parts: Parts, batch_nodes: int) -> tuple[Tensor, Embedder]:
    """z [N, D] of a training without labels, and what embeds the same graph."""
    ready = batches.prepared(cfg, data, batch_nodes)
    given: Any = ready._asdict() | seams(parts)
    result = run_full.train(cfg, data, keep=label_free, on_epoch=patience, **given)
    return result.z, ready.embedder


def spread(rows: Sequence[Report]) -> Report:
    """Figures over the seeds of what is a number in all of them."""
    names = [name for name in rows[0] if name not in ("seed", "scorer", "val")]
    return {name: evaluate.figures([row[name] for row in rows]) for name in names} | {"rows": rows}


def tables(report: Report) -> Iterator[Table]:
    """Means ± sample standard deviations in %; of one split or seed, the figure alone."""
    tasks, columns = report["tasks"], dict[str, dict[str, str]]()
    for (task, figure), title in COLUMNS.items():
        found = tasks.get(task, {})
        if found and all(not figure or figure in of for of in found.values()):
            columns |= {title: {m: cell(of[figure] if figure else of) for m, of in found.items()}}
    for name, title in (("effective_rank", "rank"), ("cosine", "cosine"), ("min_std", "min std")):
        meters = report["collapse"].items()
        form = ".0f" if name == "effective_rank" else ".3g"
        columns[title] = {method: f"{found[name]:{form}}" for method, found in meters}
    units = {"linear": "splits", "knn": "splits", "cluster": "k-means seeds"}
    said = [f"{t}: {len(tasks[t][OURS]['rows'])} {unit}" for t, unit in units.items() if t in tasks]
    yield table("Nodes", columns, "; ".join([*said, "rank, cosine, min std: meters of collapse"]))
    if links := tasks.get("link"):
        names = [name for name in links[OURS] if name != "rows"]
        cells = {name: {method: cell(of[name]) for method, of in links.items()} for name in names}
        caption = f"{len(links[OURS]['rows'])} seeds, each of which held out edges and trained"
        yield table("Held-out edges", cells, caption)


def table(title: str, columns: dict[str, dict[str, str]], caption: str) -> Table:
    """columns: title -> method -> cell."""
    out = Table("%", *columns, title=title, caption=caption)
    for method in next(iter(columns.values())):
        out.add_row(method, *(cells[method] for cells in columns.values()))
    return out


def cell(figures: Report) -> str:
    spread = "" if figures["std"] is None else f" ± {100 * figures['std']:.1f}"
    return f"{100 * figures['mean']:.1f}{spread}"
