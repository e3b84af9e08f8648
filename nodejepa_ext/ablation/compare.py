"""A comparison with other methods: jobs, one a graph, method and seed, and what a worker makes.

The rows, the loop over workers and the way in which a command goes on are those of an ablation;
here it is decided what is compared. A row has a process of its own (`python -m
nodejepa_ext.ablation.compare`), so that its peak memory is its own. CPU seconds and memory are of
embedding, without the judge.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch_geometric
from torch import Tensor
from torch_geometric.data import Data

import run_full
from nodejepa_ext.ablation import costs
from nodejepa_ext.ablation.arms import Arm
from nodejepa_ext.ablation.costs import LINKS, NODES, TASKS, Request
from nodejepa_ext.ablation.revisions import ALWAYS
from nodejepa_ext.ablation.rows import Row
from nodejepa_ext.ablation.run import Plan
from nodejepa_ext.graphs.archives import MASKS
from nodejepa_ext.graphs.graph import read_graph
from nodejepa_ext.graphs.scaling import remade
from nodejepa_ext.graphs.source import Source, subject
from nodejepa_ext.judging import contest
from nodejepa_ext.judging.peers import PEERS, Peer, node_jepa, subject_of
from nodejepa_ext.judging.tasks import split_edges
from nodejepa_ext.workers.job import check_seat
from nodejepa_ext.workers.memory import resident
from nodejepa_ext.workers.seats import placement
from nodejepa_ext.workers.supervisor import serve
from run_full import GRAPHS, Config, RunError

MODULE = "nodejepa_ext.ablation.compare"  # what a worker runs
QUICK_EPOCHS = 5
BY_NAME = {peer.name: peer for peer in PEERS}
Say = Callable[[str], None]


class Read(NamedTuple):
    """A graph as every method sees it, with labels and at most one official split."""

    data: Data
    structural: bool  # x is made of the edges
    sha256: str
    notices: list[str]


def read(source: Source) -> Read:
    """Several official splits count as none. Errors: as in `read_graph`."""
    raw = read_graph(
        source.source,
        edges=source.edges,
        nodes=source.nodes,
        split=None,
        normalise="none",
        choices=source.choices,
    )
    for name in MASKS:
        mask = raw.data.get(name)
        if mask is not None and mask.dim() == 2 and mask.shape[1] == 1:
            raw.data[name] = mask[:, 0]
        elif mask is not None and mask.dim() == 2:
            del raw.data[name]
    found = subject(raw, source, None)
    structural = found.scaling.rule == "structural"
    return Read(found.graph.data, structural, found.sha256, found.graph.notices)


def plan(asked: Request, workers: int, say: Say) -> Plan:
    """`say` hears what is left out, and why. ValueError: nothing is left to compare; --final on a
    graph without one official split. Errors of reading: as in `read_graph`."""
    places = {name: Source.of(source, None, asked.nodes) for name, source in asked.graphs.items()}
    jobs: list[Row] = []
    for name, source in places.items():
        graph = read(source)
        if asked.final and not contest.official(graph.data):
            raise ValueError(f"--final: {name} has no official split, expected one")
        for notice in [] if name in GRAPHS else graph.notices:
            say(f"{name}: {notice}")
        jobs += jobs_of(name, graph, asked, say)
    if not jobs:
        raise ValueError("nothing to compare: no method fits these graphs")
    arms = [Arm(method, {}) for method in dict.fromkeys(job["method"] for job in jobs)]
    args = argparse.Namespace(quick=asked.quick, final=asked.final)
    workers, threads, devices = placement(workers, len(jobs), Config())
    rough = {
        (job["graph"], job["arm"]): costs.seconds(job["method"], asked.graphs[job["graph"]])
        for job in jobs
    }
    return Plan(
        args,
        arms,
        list(places),
        jobs,
        asked.out,
        workers,
        threads,
        devices,
        data={name: source._asdict() for name, source in places.items()},
        module=MODULE,
        recycle=1,
        seconds=rough,
    )


def jobs_of(name: str, graph: Read, asked: Request, say: Say) -> list[Row]:
    """Of one graph, seed by seed, in each seed method by method."""
    tasks = permitted(name, graph.data, asked.tasks, say)
    kinds = [kind for kind in asked.kinds() if kind == NODES or "link" in tasks]
    about = subject_of(name if name in GRAPHS else "", graph.data, graph.structural)
    settled: dict[str, dict[str, Any]] = {}
    for method in asked.methods:
        settings = BY_NAME[method].settings(about)
        if isinstance(settings, str):
            say(f"{name}: {method} left out: {settings}")
        else:
            settled[method] = shortened(settings) if asked.quick else settings
    beside = 0 if graph.structural else int(graph.data.get("positions") or 0)
    made = {"positions": beside} if beside else {}
    return [
        job_of(name, BY_NAME[method], kind, seed, settings, tasks, asked.final, graph.sha256) | made
        for seed in asked.range_of(name)
        for kind in kinds
        for method, settings in settled.items()
        if kind == LINKS or seed == asked.first or BY_NAME[method].seeded
    ]


def permitted(name: str, data: Data, wanted: Sequence[str] | None, say: Say) -> list[str]:
    """The tasks named, or all that the graph permits. ValueError: one is named that it does not."""
    fit = []
    for task in TASKS if wanted is None else wanted:
        reason = contest.why_not(task, data)
        if reason and wanted is not None:
            raise ValueError(f"--tasks {task}: {name}: {reason}")
        if reason:
            say(f"{name}: {task} left out: {reason}")
        else:
            fit.append(task)
    return fit


def shortened(settings: dict[str, Any]) -> dict[str, Any]:
    """Of a quick run: few epochs, and the first of what may be chosen."""
    quick = {k: v[0] if isinstance(v, list) else v for k, v in settings.items()}
    if "epochs" in quick:
        quick["epochs"] = min(quick["epochs"], QUICK_EPOCHS)
    return quick


def job_of(
    graph: str,
    peer: Peer,
    kind: str,
    seed: int,
    settings: dict[str, Any],
    tasks: Sequence[str],
    final: bool,
    sha256: str,
) -> Row:
    """All that decides a row, with the revisions of the code that does."""
    job: Row = {"graph": graph, "arm": costs.arm(peer.name, kind), "seed": seed}
    job |= {"method": peer.name, "kind": kind, "settings": settings, "sha256": sha256}
    if kind == NODES:
        job |= {"tasks": [task for task in tasks if task != "link"], "final": final}
    used = ALWAYS if peer.embed is node_jepa else {k: ALWAYS[k] for k in ("graph", "probe")}
    return job | {"revisions": {**used, "judge": contest.REVISION, peer.name: peer.revision}}


def work(message: Row) -> Row:
    """A worker's whole task: a job -> the rest of its row."""
    job = message["job"]
    check_seat(message.get("device", ""))
    graph = read(Source(**message["data"][job["graph"]]))
    row: Row = {"status": "ok", "job": job}
    try:
        row |= links_row(job, graph) if job["kind"] == LINKS else nodes_row(job, graph)
    except RunError as error:
        row |= {"status": "diverged", "message": str(error.args[0]), "wall_seconds": 0.0}
    row |= {"threads": torch.get_num_threads(), "torch": torch.__version__}
    return row | {"torch_geometric": torch_geometric.__version__}


def nodes_row(job: Row, graph: Read) -> Row:
    embeddings, cost = embedded(job, graph.data)
    return cost | contest.judge_nodes(embeddings, graph.data, job["tasks"], job["final"])


def links_row(job: Row, graph: Read) -> Row:
    """Trained on what is left when edges are held out; so are features that are made of edges."""
    split = split_edges(graph.data, seed=job["seed"])
    split.data.x = remade(split.data, graph.data)
    embeddings, cost = embedded(job, split.data)
    return cost | contest.judge_links(embeddings, split)


def embedded(job: Row, data: Data) -> tuple[list[Tensor], Row]:
    """The method's embeddings [N, D], one a choice, and what they cost. No label goes in."""
    peer, device = BY_NAME[job["method"]], run_full.placement(Config())[0]
    bare = Data(x=data.x, edge_index=data.edge_index, edge_weight=data.edge_weight).to(device)
    found, peak = list[Tensor](), 0.0
    cpu, wall = time.process_time(), time.monotonic()
    for settings in contest.choices(job["settings"]):
        base = fresh_peak()
        z = peer.embed(bare, job["seed"], **settings)
        peak = max(peak, resident("VmHWM") - base)
        if not z.isfinite().all():
            raise RunError(f"{peer.name}: its embedding is not finite", 7)
        found.append(z)
    cost: Row = {"cpu_seconds": time.process_time() - cpu, "wall_seconds": time.monotonic() - wall}
    return found, cost | {"peak_mib": peak, "device": device.type, "width": found[0].shape[1]}


def fresh_peak() -> float:
    """MiB resident now; from here on VmHWM is the peak since now, where /proc permits it."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass
    return resident("VmRSS")


if __name__ == "__main__":
    serve(lambda message, report: work(message))
