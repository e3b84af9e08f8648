"""A run, judged: its embedding in every task that the graph permits, and beside it what trains
nothing. Apart from tasks.py, which judges any one embedding and knows of no run.

Tables are of test nodes and test pairs, each looked at once; validation has chosen before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from rich.table import Table
from torch import Tensor
from torch_geometric.data import Data

from nodejepa_ext.graphs.scaling import remade
from nodejepa_ext.graphs.source import Source
from nodejepa_ext.judging import tasks as evaluate
from nodejepa_ext.judging.splits import node_splits
from nodejepa_ext.parts.choice import Parts, seams
from nodejepa_ext.records import Damaged, Each, check, read_json
from nodejepa_ext.training import batches
from nodejepa_ext.training.embeddings import graph_for
from nodejepa_ext.training.folder import batch_nodes_of, load_model, read_run
from nodejepa_ext.training.memory import check_inference, check_memory
from nodejepa_ext.training.stopping import label_free, patience
from run_full import Config, Embedder

Report = dict[str, Any]
Say = Callable[[str], None]
Train = Callable[[Config, Data], tuple[Tensor, Embedder]]
Splits = Callable[[], list[Data]]

TASKS = ("linear", "knn", "cluster", "link")
OURS = "Node-JEPA"
CONTROLS = {  # words of --controls -> names of methods
    "raw": "raw features",
    "untrained": "untrained",
    "fastrp": "FastRP",
    "fastrp-features": "FastRP on features",
    "common": "common neighbours",  # of link alone, as the next
    "adamic-adar": "Adamic-Adar",
}
FIGURE = {"mean": float, "std": (float, None)}
FIGURES = {"linear": (), "knn": (), "cluster": ("nmi?", "ari?", "silhouette?")}  # a report's own
METERS = {"effective_rank": float, "cosine": float, "min_std": float}
SHAPE = {  # of a report that was kept
    "graph": {"nodes": int, "dimensions": int},
    "tasks": Each(Each(dict)),
    "collapse": Each(METERS),
}
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
    controls: str | None = None,
    keep: Callable[[Report], None] = lambda report: None,
    said: Callable[[Sequence[str], Sequence[str]], None] = lambda notices, before: None,
) -> Report:
    """Of the finished run in `folder`, on its graph or another: {run, graph, tasks: {task: {method:
    report}}, collapse: {method: meters}, left_out: {task: why}}. controls: as in `named`. keep gets
    the report so far after every task of ours, after every control, and after every seed of link:
    what raises later loses none of it. said gets the notices of the graph, and those of the
    training. Embeddings are held one at a time. Errors: as in `load_model` and `graph_for`;
    ValueError: unknown names, or none that can be."""
    beside = named(controls)
    model = load_model(folder)
    cfg = model.cfg
    parts = read_run(folder)[2]
    graph = graph_for(model, folder, source)
    said(graph.notices, model.meta.get("notices", []))
    data = graph.data
    splits = cache(partial(node_splits, data, seed=cfg.seed))
    tasks, unfit = chosen(names, data, clusters, splits, say)
    batch_nodes = batch_nodes_of(model.meta)
    check_inference(data, cfg, batch_nodes)
    embedder = batches.prepared(cfg, data, batch_nodes).embedder
    own: Any = dict(out=cfg.out, seed=cfg.seed, cfg=cfg, embedder=embedder)
    makers: dict[str, Callable[[], Tensor]] = {OURS: partial(embedder, model.encoder)}
    every = evaluate.control_makers(data, **own).items()
    makers |= {name: make for name, make in every if name in beside}
    about = {"nodes": len(data.x), "edges": data.edge_index.shape[1] // 2, "dimensions": cfg.latent}
    report: Report = {"run": str(folder), "graph": about, "tasks": {}, "left_out": unfit}
    report["collapse"] = {}
    judge_one = partial(judge_nodes, data=data, splits=splits, clusters=clusters, seeds=seeds)
    judge_methods(makers, [task for task in tasks if task != "link"], judge_one, report, keep, say)
    if "link" in tasks:
        check_memory(data, cfg, batch_nodes=batch_nodes)
        train = partial(trained, parts=parts, batch_nodes=batch_nodes)
        for links in judge_link(cfg, train, data, seeds, beside, say):
            report["tasks"]["link"] = links
            keep(report)
    if names and not report["tasks"]:
        raise ValueError(refused(report["left_out"]))
    return report


def named(controls: str | None) -> list[str]:
    """Names of methods, of "raw,fastrp", "none" or "all", which None is, too. ValueError: an
    unknown one."""
    if controls is None or controls == "all":
        return [*CONTROLS.values()]
    words = [] if controls == "none" else list(dict.fromkeys(controls.split(",")))
    if unknown := [word for word in words if word not in CONTROLS]:
        text = f"expected none, all, or some of {','.join(CONTROLS)}"
        raise ValueError(f"--controls {','.join(unknown)}: {text}")
    return [CONTROLS[word] for word in words]


def judge_methods(
    makers: dict[str, Callable[[], Tensor]],
    tasks: list[str],
    judge_one: Callable[[str, Tensor], Report],
    report: Report,
    keep: Callable[[Report], None],
    say: Say,
) -> None:
    """Adds the figures of every method to the report, which says the same of all methods whenever
    it is kept. A task that a method does not permit is left out of all."""
    for method, make in makers.items():
        z = make()
        meters, found = evaluate.collapse(z), dict[str, Report]()
        for task in tasks:
            if task in report["left_out"]:
                continue
            try:
                found[task] = judge_one(task, z)
            except ValueError as error:
                report["left_out"][task] = str(error)
                report["tasks"].pop(task, None)
                say(f"{task} left out: {error}")
                continue
            if method == OURS:
                add(report, method, meters, {task: found[task]})
                keep(report)
        add(report, method, meters, found)
        if report["tasks"]:
            keep(report)
        del z  # before the next is made


def add(report: Report, method: str, meters: Report, found: Report) -> None:
    """found: {task: report} of one method."""
    report["collapse"][method] = meters
    for task, figures in found.items():
        report["tasks"].setdefault(task, {})[method] = figures


def refused(left: dict[str, str]) -> str:
    """A sentence on tasks that were named and cannot be."""
    return "; ".join(f"--task {task}: {why}" for task, why in left.items())


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


def chosen(
    names: str | None, data: Data, clusters: int | None, splits: Splits, say: Say
) -> tuple[list[str], dict[str, str]]:
    """The tasks named, "linear,knn", or all, as far as the graph permits them, and why others are
    left out, which `say` hears. ValueError: an unknown one, or none that the graph permits."""
    wanted = list(dict.fromkeys((names or ",".join(TASKS)).split(",")))
    if unknown := [task for task in wanted if task not in TASKS]:
        raise ValueError(f"--task {','.join(unknown)}: expected some of {','.join(TASKS)}")
    fit, left = [], {}
    for task in wanted:
        try:
            permit(task, data, clusters, splits)
            fit.append(task)
        except ValueError as error:
            left[task] = str(error)
    if names and not fit:
        raise ValueError(refused(left))
    for task, why in left.items():
        say(f"{task} left out: {why}")
    return fit, left


def permit(task: str, data: Data, clusters: int | None, splits: Splits) -> None:
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
        splits()


def judge_nodes(
    task: str, z: Tensor, data: Data, splits: Splits, clusters: int | None, seeds: int
) -> Report:
    """The report of `tasks` on z [N, D] in a task other than link. data has y and masks, of which
    splits makes what `node_splits` does. ValueError: as in `tasks`."""
    if task == "linear":
        return evaluate.linear_on(z, splits())
    if task == "knn":
        return evaluate.knn_on(z, splits(), evaluate.few(splits()))
    return evaluate.cluster(z, data, n_clusters=clusters, seeds=seeds)


def judge_link(
    cfg: Config,
    train: Train,
    data: Data,
    seeds: int,
    beside: Sequence[str],
    say: Say,
) -> Iterator[Report]:
    """After each seed {method: {auc, ap, hits@K: figures over seeds, rows}}. A seed holds out
    edges, then trains the run's settings anew on what is left, without labels; features made of
    edges, too, are made of what is left. train: as `trained`, of settings and a graph; beside:
    names of controls."""
    rows: dict[str, list[Report]] = {}
    for seed in range(cfg.seed, cfg.seed + seeds):
        split = evaluate.split_edges(data, seed=seed)
        split.data.x = remade(split.data, data)
        kept = split.data.edge_index.shape[1] // 2
        say(f"link, seed {seed}: training anew on {kept} edges, {cfg.epochs} epochs")
        own, left = replace(cfg, seed=seed), split.data
        bare = Data(x=left.x, edge_index=left.edge_index, edge_weight=left.edge_weight)
        z, embedder = train(own, bare)
        makers = evaluate.control_makers(left, out=cfg.out, seed=seed, cfg=own, embedder=embedder)
        reports = {OURS: evaluate.link(z, split)}
        reports |= {m: evaluate.link(make(), split) for m, make in makers.items() if m in beside}
        reports |= evaluate.link_controls(split, beside)
        for method, report in reports.items():
            rows.setdefault(method, []).append({"seed": seed, **report})
        yield {method: spread(some) for method, some in rows.items()}


def trained(cfg: Config, data: Data, *, parts: Parts, batch_nodes: int) -> tuple[Tensor, Embedder]:
    """z [N, D] of a training without labels, and what embeds the same graph."""
    ready = batches.prepared(cfg, data, batch_nodes)
    given: Any = ready._asdict() | seams(parts)
    given |= {"keep": label_free, "on_epoch": patience}
    result = batches.train(cfg, data, batch_nodes, **given)
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
