"""Speed of the toolkit's parts: BFS balls and masks, Laplacian positions. Beside `step`, which
measures a training step: these are measured in one process, each against what it replaces."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch_geometric.utils as pyg
from scipy import sparse
from torch_geometric.data import Data

import run_full
from nodejepa_ext.parts.masking import ball, bfs_mask, neighbours
from nodejepa_ext.parts.positional import laplacian_pe

if TYPE_CHECKING:
    from rich.table import Table

Row = dict[str, Any]
ROOTS, CALLS = 200, 15


def seconds(calls: list[Callable[[], object]]) -> float:
    """Median CPU seconds of the calls, one after another."""
    taken = []
    for call in calls:
        began = time.process_time()
        call()
        taken.append(time.process_time() - began)
    return statistics.median(taken)


def random_graph(n: int, pairs: int) -> Data:
    """n nodes, about `pairs` undirected edges, drawn uniformly; x has no columns."""
    edges = torch.randint(n, (2, pairs), generator=torch.Generator().manual_seed(0))
    edges = pyg.to_undirected(pyg.remove_self_loops(edges)[0], num_nodes=n)
    return Data(x=torch.empty(n, 0), edge_index=edges)


def communities(n: int, pairs: int) -> Data:
    """The same number of edges, four of five within one of 50 equal communities."""
    rng, size = np.random.default_rng(0), n // 50
    source, inside = rng.integers(0, n, pairs), rng.random(pairs) < 0.8
    near = source // size * size + rng.integers(0, size, pairs)
    edges = np.stack([source, np.where(inside, np.minimum(near, n - 1), rng.integers(0, n, pairs))])
    return Data(x=torch.empty(n, 0), edge_index=torch.from_numpy(edges))


def grid(side: int) -> Data:
    """side x side nodes, each joined to its four neighbours."""
    at = np.arange(side * side).reshape(side, side)
    right, down = [at[:, :-1], at[:, 1:]], [at[:-1], at[1:]]
    edges = np.concatenate([np.stack([a.ravel(), b.ravel()]) for a, b in (right, down)], axis=1)
    return Data(x=torch.empty(side * side, 0), edge_index=torch.from_numpy(edges))


def balls(n: int = 20_000, pairs: int = 180_000) -> list[Row]:
    """`ball` against PyG's k_hop_subgraph, at random roots; the graph is built beforehand."""
    data, rng, rows = random_graph(n, pairs), np.random.default_rng(0), list[Row]()
    adjacency = neighbours(data)
    for hops in (1, 2):
        roots = rng.integers(0, n, ROOTS).tolist()
        ours = seconds([partial(ball, adjacency, root, hops) for root in roots])
        slow = partial(pyg.k_hop_subgraph, edge_index=data.edge_index, num_nodes=n)
        theirs = seconds([partial(slow, root, hops) for root in roots])
        name = f"ball of {hops} hop(s), {n} nodes, {data.num_edges // 2} edges"
        row = {"what": name, "seconds": ours, "against": "k_hop_subgraph"}
        rows.append(row | {"against_seconds": theirs, "times_as_fast": theirs / ours})
    return rows


def masks() -> list[Row]:
    """One call of bfs_mask on an embedded graph at ratio 0.5, the graph's CSR being there."""
    rows: list[Row] = []
    for name in run_full.GRAPHS:
        data, generator = run_full.load_graph(name), torch.Generator().manual_seed(0)
        neighbours(data)
        spent = seconds([partial(bfs_mask, data, 0.5, generator)] * CALLS)
        rows.append({"what": f"bfs_mask, {name}", "seconds": spent})
    return rows


def residual(data: Data, pe: torch.Tensor) -> float:
    """Largest ||A v - lambda v|| over the columns v of pe [N, k], at unit length."""
    n = int(data.num_nodes or 0)
    row, col = pyg.to_undirected(data.edge_index, num_nodes=n).numpy()
    root = np.sqrt(np.maximum(np.bincount(row, minlength=n), 1))
    adj = sparse.csr_array((1 / (root[row] * root[col]), (row, col)), (n, n))
    v = pe.numpy().astype(float)
    v /= np.linalg.norm(v, axis=0)
    image = adj @ v
    return float(np.linalg.norm(image - v * (v * image).sum(0), axis=0).max())


def positions(n: int = 100_000, k: int = 8) -> list[Row]:
    """laplacian_pe without a cache, and how far its columns are from eigenvectors."""
    graphs = {"random": random_graph(n, 5 * n), "50 communities": communities(n, 5 * n)}
    graphs["square grid"] = grid(round(n**0.5))
    rows: list[Row] = []
    for name, data in graphs.items():
        data.edge_index = pyg.remove_self_loops(data.edge_index)[0]
        with tempfile.TemporaryDirectory() as folder:
            began = time.process_time()
            pe = laplacian_pe(data, k, cache=Path(folder))
            spent = time.process_time() - began
        what = f"laplacian_pe, {name}, {data.num_nodes} nodes, k = {k}"
        rows.append({"what": what, "seconds": spent, "residual": residual(data, pe)})
    return rows


def table(rows: list[Row]) -> Table:
    """For a terminal: a line a part; empty where nothing was compared or has a residual."""
    from rich.table import Table

    shown = Table("", title="Parts of the toolkit", title_justify="left")
    for head in ("CPU ms", "against", "CPU ms", "times as fast", "residual"):
        shown.add_column(head, justify="right")
    for row in rows:
        against = (
            [row["against"], f"{1e3 * row['against_seconds']:.3g}"] if "against" in row else []
        )
        more = [*against, f"{row['times_as_fast']:.1f}"] if against else ["", "", ""]
        last = f"{row['residual']:.1e}" if "residual" in row else ""
        shown.add_row(row["what"], f"{1e3 * row['seconds']:.3g}", *more, last)
    return shown
