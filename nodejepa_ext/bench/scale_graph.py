"""A large graph of known kind, written as the tables that people have.

A block model with hubs: the degrees that nodes ask for fall as a power law, `ALIKE` of the edges
join nodes of one class, features lie around the centre of their class. Apart from scale.py, which
measures commands on it: a process of its own makes it (`python -m nodejepa_ext.bench.scale_graph
NODES FOLDER`), so that none of its memory is in what is measured. Shapes: N nodes, E edges as
written, F features.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv, parquet

EDGES, FEATURES, CLASSES = 10, 128, 7  # edges a node
LABELLED, CHOOSE = 20, 500  # training nodes of a class; nodes to choose on, all others are scored
EXPONENT, ALIKE, SPREAD = 2.5, 0.7, 16.0  # of degrees; share within a class; of features
ROWS = 1 << 15  # of a table at a time
Ints = NDArray[np.int64]


def edges_of(y: Ints, rng: np.random.Generator) -> Ints:
    """[2, E], E = 10 N: each pair once, no loops. y [N]: classes."""
    n = len(y)
    weight = np.minimum(rng.pareto(EXPONENT - 1, n) + 1, n**0.5)
    order = np.argsort(y, kind="stable")  # a class is a stretch of this order
    sums = np.concatenate([[0.0], np.cumsum(weight[order])])
    starts = np.searchsorted(y[order], np.arange(CLASSES + 1))
    found, wanted = np.empty(0, np.int64), EDGES * n
    while len(found) < wanted:
        more = (wanted - len(found)) * 6 // 5 + 100
        u = drawn(sums, np.zeros(more), np.full(more, sums[-1]), rng)
        own = y[order[u]]
        alike = rng.random(more) < ALIKE
        low, high = (np.where(alike, sums[starts[own + i]], i * sums[-1]) for i in (0, 1))
        v = drawn(sums, low, high, rng)
        pairs = np.minimum(u, v) * n + np.maximum(u, v)
        found = np.union1d(found, pairs[u != v])
    kept = rng.permutation(found)[:wanted]
    return order[np.stack(np.divmod(kept, n))]


def drawn(
    sums: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    rng: np.random.Generator,
) -> Ints:
    """Places, each with the probability that its step in sums [N + 1] has of high - low."""
    at = np.searchsorted(sums, low + rng.random(len(low)) * (high - low), side="right") - 1
    return np.minimum(at, len(sums) - 2)


def splits_of(y: Ints, rng: np.random.Generator) -> Ints:
    """[N] 0 train, 1 val, 2 test."""
    part = np.full(len(y), 2)
    for c in range(CLASSES):
        part[rng.permutation(np.flatnonzero(y == c))[:LABELLED]] = 0
    left = np.flatnonzero(part == 2)
    part[rng.choice(left, min(CHOOSE, len(left) // 2), replace=False)] = 1
    return part


def write(n: int, folder: Path, seed: int = 0) -> None:
    """edges and nodes of a graph of n nodes, as .parquet in folder/parquet, as .csv in folder/csv.
    Names of nodes are numbers in no order. OSError: they cannot be written."""
    rng = np.random.default_rng(seed)
    y, names = rng.integers(CLASSES, size=n), rng.permutation(n)
    ends, part = edges_of(y, rng), splits_of(y, rng)
    kinds = pa.array(["train", "val", "test"])
    centres = rng.standard_normal((CLASSES, FEATURES))
    edges = pa.table({"source": names[ends[0]], "target": names[ends[1]]})
    for kind in ("parquet", "csv"):
        (folder / kind).mkdir(parents=True)
    parquet.write_table(edges, folder / "parquet/edges.parquet")
    csv.write_csv(edges, folder / "csv/edges.csv")
    columns = [f"f{i}" for i in range(FEATURES)]
    schema = pa.schema(
        [("id", pa.int64()), ("label", pa.int64()), ("split", pa.string())]
        + [(name, pa.float32()) for name in columns]
    )
    with (
        parquet.ParquetWriter(folder / "parquet/nodes.parquet", schema) as one,
        csv.CSVWriter(folder / "csv/nodes.csv", schema) as other,
    ):
        for start in range(0, n, ROWS):
            rows = slice(start, start + ROWS)
            noise = rng.standard_normal((len(y[rows]), FEATURES), np.float32)
            x = (centres[y[rows]] + SPREAD * noise).astype(np.float32)
            fields = [names[rows], y[rows], kinds.take(pa.array(part[rows]))]
            fields += [np.ascontiguousarray(column) for column in x.T]
            batch = pa.record_batch([pa.array(field) for field in fields], schema=schema)
            one.write_batch(batch)
            other.write_batch(batch)


if __name__ == "__main__":
    write(int(sys.argv[1]), Path(sys.argv[2]))
