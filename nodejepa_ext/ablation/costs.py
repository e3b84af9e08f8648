"""What a comparison would cost, said before anything is imported that takes seconds: a forecast.

Apart from compare.py, which reads the graphs: here are the names of its methods, and what a row of
each took. Without torch, as nothing here needs it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

GRAPHS = ("cora", "citeseer", "pubmed")
SEEDS, FEWER = 5, {"pubmed": 2}  # by default; on graphs where a row takes many minutes
OVERHEAD = (10.0, 14.0, 40.0)  # CPU seconds of a row's start, graph and judge, in the order above
SECONDS: dict[str, tuple[float, float, float]] = {  # of the embedding, in the order above; rough
    "ours": (5, 8, 90),
    "card": (140, 600, 1500),
    "bgrl": (20, 31, 230),
    "cca-ssg": (30, 25, 420),
    "dgi": (110, 250, 400),
    "vgae": (6, 12, 40),
    "vicreg": (115, 240, 920),
    "graphcl": (330, 600, 6000),
    "barlow-twins": (115, 240, 900),
    "sgc": (20, 60, 60),
    "sgc-joined": (20, 60, 60),
    "untrained": (1, 1, 2),
    "untrained-joined": (1, 2, 10),
    "fastrp": (1, 1, 4),
    "fastrp-joined": (1, 2, 10),
    "raw": (5, 20, 10),
    "fastrp-raw": (5, 20, 10),
}
ONCE = {"sgc", "sgc-joined", "raw"}  # the same embedding whatever the seed
NODES, LINKS = "nodes", "links"
TASKS = ("linear", "knn", "cluster", "link")
QUICK_SEEDS = 2
BYTES = {".npz": 6, ".pt": 20}  # an edge takes in a file, features and all; 12 in a table
CORA_EDGES = 5278


class Request(NamedTuple):
    """What a command asks for."""

    graphs: dict[str, str]  # label -> source, as in `read_graph`
    nodes: Path | None  # the table of nodes of the one graph
    methods: list[str]
    tasks: list[str] | None  # None: all that a graph permits
    seeds: int | None  # None: SEEDS, of some graphs FEWER
    out: Path
    final: bool
    quick: bool
    first: int = 0  # seed

    def kinds(self) -> list[str]:
        """What is trained for the tasks: on the whole graph, on one without edges held out."""
        if self.tasks is None:
            return [NODES, LINKS]
        nodes = [NODES] if set(self.tasks) - {"link"} else []
        return [*nodes, LINKS] if "link" in self.tasks else nodes

    def range_of(self, graph: str) -> range:
        """Its seeds."""
        count = FEWER.get(graph, SEEDS) if self.seeds is None else self.seeds
        return range(self.first, self.first + (QUICK_SEEDS if self.quick else count))


def request(
    graphs: Sequence[str],
    nodes: Path | None,
    methods: str | None,
    tasks: str | None,
    seeds: int | None,
    out: Path,
    final: bool,
    quick: bool,
    first: int = 0,
) -> Request:
    """ValueError: they do not go together, or a name is unknown."""
    if nodes is not None and len(graphs) != 1:
        raise ValueError(f"--nodes {nodes}: expected with one GRAPH, not {len(graphs)}")
    named = chosen(methods, list(SECONDS), "--methods")
    wanted = None if tasks is None else chosen(tasks, TASKS, "--tasks")
    if final and wanted is not None and "linear" not in wanted:
        raise ValueError(f"--final --tasks {tasks}: expected linear among them")
    return Request(labels(graphs), nodes, named, wanted, seeds, out, final, quick, first)


def arm(method: str, kind: str) -> str:
    """A row's name: the method's, and for held-out edges another, since it is trained anew."""
    return method if kind == NODES else f"{method}, links"


def chosen(given: str | None, known: Sequence[str], option: str) -> list[str]:
    """ "a,b" -> those of `known` in their order, all if None. ValueError: one that is unknown."""
    wanted = list(known) if given is None else [name.strip() for name in given.split(",")]
    if unknown := [name for name in wanted if name not in known]:
        raise ValueError(f"{option} {','.join(unknown)}: expected some of {','.join(known)}")
    return [name for name in known if name in wanted]


def label(source: str) -> str:
    """What a graph is called in rows and tables. ValueError: its name says nothing."""
    if source in GRAPHS:
        return source
    path = Path(source).absolute()
    name = path.parent.name if path.stem == "edges" else path.stem
    if not name:
        raise ValueError(f"{source}: expected a graph's file or folder")
    return name


def labels(sources: Sequence[str]) -> dict[str, str]:
    """Label -> source. ValueError: two graphs would have one name."""
    found: dict[str, str] = {}
    for source in dict.fromkeys(sources):
        name = label(source)
        if name in found:
            raise ValueError(f"{found[name]}, {source}: both would be called {name} in the table")
        found[name] = source
    return found


def seconds(method: str, source: str) -> float:
    """CPU seconds of a row, roughly; of one's own graph by the size of its files."""
    if source in GRAPHS:
        at = GRAPHS.index(source)
        return SECONDS[method][at] + OVERHEAD[at]
    path = Path(source)
    files = [*path.glob("edges.*")] if path.is_dir() else [path]
    size = sum(file.stat().st_size for file in files if file.is_file())
    times = max(size / BYTES.get(path.suffix, 12) / CORA_EDGES, 0.2)
    return SECONDS[method][0] * times + OVERHEAD[0]


def cores() -> int:
    """Those that this process may use."""
    seen = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return seen or 1


def finished(out: Path) -> set[tuple[str, str, int]]:
    """Rows that are there, by graph, arm and seed; whether their settings fit is seen later."""
    found = set()
    path = out / "rows.jsonl"
    for line in path.read_text().splitlines() if path.is_file() else []:
        try:
            row = json.loads(line)
            if row["status"] != "failed":
                found.add((row["graph"], row["arm"], row["seed"]))
        except (ValueError, KeyError, TypeError):
            continue  # the run itself says what is wrong with it
    return found


def forecast(asked: Request, workers: int) -> str:
    """How many rows, and roughly how long they take. ValueError: a graph that is not there."""
    done, lines = finished(asked.out), list[str]()
    total, rows, kept = 0.0, 0, 0
    for name, source in asked.graphs.items():
        if source not in GRAPHS and not Path(source).exists():
            raise ValueError(f"{source}: no such graph, expected {', '.join(GRAPHS)} or a file")
        for method in asked.methods:
            pairs = pairs_of(asked, name, method)
            left = [pair for pair in pairs if (name, *pair) not in done]
            each = seconds(method, source)
            kept += len(pairs) - len(left)
            rows += len(left)
            total += each * len(left)
            if left:
                lines.append(f"{name}, {method}: {len(left)} rows of about {each:.0f} CPU s each")
    workers = min(workers or cores(), max(rows, 1))
    lines.append(
        f"{rows} rows at most, {kept} in {asked.out} already; roughly {total / 60:.0f} CPU "
        f"minutes, {total / 60 / workers:.0f} by the clock on {workers} worker(s)"
    )
    return "\n".join(lines)


def pairs_of(asked: Request, graph: str, method: str) -> list[tuple[str, int]]:
    """The arm and the seed of each of a method's rows on a graph."""
    return [
        (arm(method, kind), seed)
        for seed in asked.range_of(graph)
        for kind in asked.kinds()
        if kind == LINKS or method not in ONCE or seed == asked.first
    ]
