"""Where features say little: `auto` against FastRP on planted classes, and on graphs whose features
are good or misleading.

python ablations/weak_features/measure.py planted DRAW,... [N,...]        adds to rows.jsonl
python ablations/weak_features/measure.py graphs FOLDER NAME,... SEED,...  the same

planted: n nodes in k classes of equal size, every pair an edge by chance, 8 times as likely within
a class, 10 edges a node on average; x = signal * mean of the class + noise, both of unit normal
columns. A draw draws the graph and, for every number of columns and signal, the features, and is
the seed of what is trained. graphs: files as in ablations/one_recipe, or embedded graphs.
A row is one graph and arm; `val` is development accuracy (8 splits, seed 0) after the last epoch.
Arms: ours, `auto` as `train` has it; without positions, the same features alone; FastRP, and FastRP
on features. One thread. Rows that are there are not made again.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import fields, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
import run_full
from nodejepa_ext import read_graph
from nodejepa_ext.graphs.source import subject
from nodejepa_ext.judging import development_accuracy
from nodejepa_ext.judging.baselines import fastrp
from nodejepa_ext.training.settings import auto

ROWS = Path(__file__).with_name("rows.jsonl")
SIZES = {150: 3, 600: 6, 5000: 10}  # nodes: classes
CELLS = [(0, 0.0), *((columns, signal) for columns in (3, 20) for signal in (0.0, 0.5, 1.0))]
DEGREE, RATIO = 10, 8
FEATURES, WITHOUT = "FastRP on features", "without positions"
FILES = {"photo": "amazon_photo", "cora_ml": "cora_ml", "chameleon": "chameleon_filtered"}
FILES |= {"actor": "actor"}
Job = dict[str, Any]  # graph, arm, seed


def planted(n: int, draw: int) -> Data:
    """y [n] and edge_index [2, 2E]."""
    classes = SIZES[n]
    rng = np.random.default_rng([n, draw])
    y = np.repeat(np.arange(classes), n // classes)
    size = n // classes
    between = DEGREE / (RATIO * (size - 1) + n - size)
    found = []
    for u in range(n - 1):
        chance = np.where(y[u + 1 :] == y[u], RATIO * between, between)
        others = np.flatnonzero(rng.random(n - 1 - u) < chance) + u + 1
        found.append(np.stack([np.full(len(others), u), others]))
    edges = torch.from_numpy(np.concatenate(found, 1))
    return Data(edge_index=to_undirected(edges, num_nodes=n), y=torch.from_numpy(y), num_nodes=n)


def features(y: Tensor, columns: int, signal: float, draw: int) -> Tensor:
    """x [N, columns]."""
    rng = np.random.default_rng([len(y), draw, columns, int(2 * signal)])
    means = rng.standard_normal((int(y.max()) + 1, columns))
    noise = rng.standard_normal((len(y), columns))
    return torch.from_numpy(signal * means[y.numpy()] + noise).float()


def ours(
    data: Data, positions: int | None, seed: int
) -> tuple[Tensor, dict[str, Any], dict[str, Any]]:
    """z [N, D] of `auto`, as `train` has it, the fields of Config that are not as they are by
    default, and what else is told; labels have no say."""
    bare = Data(x=data.x, edge_index=data.edge_index, num_nodes=data.num_nodes)
    ready = subject(read_graph(bare, normalise="none"), None, positions)
    x = ready.graph.data
    cfg = auto(x, ready.scaling.rule == "structural")[0]
    cfg = replace(cfg, eval_every=0, device="cpu", seed=seed)
    made = {f.name: getattr(cfg, f.name) for f in fields(cfg) if getattr(cfg, f.name) != f.default}
    began = time.process_time()
    z = run_full.train(cfg, Data(x=x.x, edge_index=x.edge_index)).z
    told = {"positions": ready.scaling.positions, "scaling": ready.scaling.rule}
    return z, made, told | {"cpu_seconds": time.process_time() - began}


def planted_jobs(draws: list[int], sizes: list[int]) -> Iterator[Job]:
    """In every draw, size by size, cell by cell."""
    for draw in draws:
        for n in sizes:
            for columns, signal in CELLS:
                name = f"planted {n}, {columns} columns, signal {signal}"
                yield {"graph": name, "arm": "ours", "seed": draw}
                yield {"graph": name, "arm": FEATURES if columns else "FastRP", "seed": draw}
                if columns and not draw:
                    yield {"graph": name, "arm": WITHOUT, "seed": draw}


def planted_of(job: Job) -> Data:
    """y, edge_index and, if any, x of a job's graph."""
    n, columns, signal = re.findall(r"[0-9.]+", job["graph"].replace(",", ""))
    data = planted(int(n), job["seed"])
    if int(columns):
        data.x = features(data.y, int(columns), float(signal), job["seed"])
    return data


def graph_of(name: str, folder: Path) -> Data:
    """x as it is, y, edge_index and all masks."""
    source = name if name in run_full.GRAPHS else str(folder / f"{FILES[name]}.npz")
    return read_graph(source, normalise="none", split=None).data


def row_of(job: Job, data: Data) -> dict[str, Any]:
    """A whole row."""
    row: dict[str, Any] = {**job, "status": "ok"}
    job = dict(job)
    if job["arm"].startswith("FastRP"):
        z = fastrp(data, features=job["arm"] == FEATURES, seed=job["seed"])
    else:
        z, cfg, told = ours(data, 0 if job["arm"] == WITHOUT else None, job["seed"])
        job["config"] = cfg
        row |= told
    return row | {"val": development_accuracy(z, data)["mean"], "job": job}


def main() -> None:
    """Adds the rows that are not there."""
    torch.set_num_threads(1)
    what, *given = sys.argv[1:]
    folder = Path()
    if what == "planted":
        sizes = [int(n) for n in given[1].split(",")] if len(given) > 1 else [*SIZES]
        jobs = [*planted_jobs([int(draw) for draw in given[0].split(",")], sizes)]
    else:
        folder, names = Path(given[0]), given[1].split(",")
        seeds = [int(seed) for seed in given[2].split(",")]
        triples = product(names, seeds, ("ours", WITHOUT))
        jobs = [{"graph": name, "arm": arm, "seed": seed} for name, seed, arm in triples]
    done = [json.loads(line) for line in ROWS.open()] if ROWS.exists() else []
    known = [{name: row[name] for name in ("graph", "arm", "seed")} for row in done]
    for job in jobs:
        if job in known:
            continue
        data = planted_of(job) if what == "planted" else graph_of(job["graph"], folder)
        row = row_of(job, data)
        with ROWS.open("a") as file:
            file.write(json.dumps(row) + "\n")
        text = ", ".join(map(str, job.values()))
        print(f"{text}: {100 * row['val']:.1f}, {row.get('cpu_seconds', 0):.1f} s", flush=True)


if __name__ == "__main__":
    main()
