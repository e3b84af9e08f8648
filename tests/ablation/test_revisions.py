"""Claims about the revisions of recorded rows, each with a test below.

1. Each component has a golden record of its current revision.
2. Each component still gives the numbers of that record, up to rounding.

`python tests/ablation/test_revisions.py` writes golden.json anew, after a revision was bumped.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Generator, Tensor
from torch_geometric.data import Data

import run_full
from nodejepa_ext import bfs_mask, degree_mask, fastrp, laplacian_pe
from nodejepa_ext.ablation.revisions import ALWAYS, PARTS
from nodejepa_ext.parts.objectives import OBJECTIVES
from run_full import Config, Graph

GOLDEN = Path(__file__).with_name("golden.json")
N = 24


def waves(rows: int, columns: int, phase: float) -> Tensor:
    """[rows, columns] of numbers that no generator draws."""
    i = torch.arange(rows, dtype=torch.double)[:, None]
    j = torch.arange(columns, dtype=torch.double)
    return torch.sin(1 + phase + 0.7 * i + 1.3 * j + 0.11 * i * j).float()


def graph() -> Data:
    """A ring of 24 nodes with chords and a hub, 3 classes, words as features."""
    ring = [(i, (i + 1) % N) for i in range(N)]
    edges = ring + [(i, (5 * i + 3) % N) for i in range(0, N, 3)] + [(0, i) for i in (4, 9, 13)]
    x, at = (waves(N, 16, 0.0) > 0.3).float(), torch.arange(N)
    masks = {"train_mask": at % 4 < 2, "val_mask": at % 4 == 2, "test_mask": at % 4 == 3}
    once = torch.tensor([edge for edge in edges if edge[0] != edge[1]]).t()
    both = torch.cat([once, once.flip(0)], 1).unique(dim=1)
    y = (at * 3) // N
    return Data(x=x / x.sum(1, keepdim=True).clamp(min=1), edge_index=both, y=y, **masks)


def config(**changes: Any) -> Config:
    """The settings of these records, whatever the defaults are."""
    base: dict[str, Any] = dict(hidden=16, out=8, epochs=4, warmup=1, eval_every=0)
    return Config(**base | dict(device="cpu", precision="fp32", seed=3) | changes)


def stream() -> Generator:
    return Generator().manual_seed(5)


# One function a component, which alone knows how the code is called.


def numbers_of_graph() -> list[float]:
    """Entries of the adjacency, plain and with neighbours joined."""
    views = [Graph.of(graph(), config(neighbours=k, neighbour_weight=0.5)) for k in (0, 3)]
    return [entry for view in views for entry in view.adj.values().tolist()[:40]]


def numbers_of_views() -> list[float]:
    """Entries of an augmented view's adjacency, and the columns left."""
    view = Graph.of(graph(), config()).view(0.4, 0.5, stream())
    return [*view.adj.values().tolist()[:40], *view.columns.float().tolist()]


def numbers_of_encoder() -> list[float]:
    """Rows that seeded encoders embed."""
    found: list[float] = []
    settings = {"gcn": {}, "gat": {"encoder": "gat", "heads": 2}, "reg": {"reg_node": True}}
    settings |= {"own": {"own_features": True, "norm": "none", "embed_hops": 1}}
    for changes in settings.values():
        torch.manual_seed(7)
        whole = Graph.of(graph(), config(**changes))
        encoder = run_full.Encoder(whole.cfg, 16)
        found += run_full.embed(encoder, whole)[:3].flatten().tolist()
    return found


def numbers_of_objective() -> list[float]:
    """First losses of the two families of settings."""
    other = dict(target="online", predictor=0, directions=1, loss_nodes="all", norm="none")
    other |= dict(loss="standardised", regulariser="decorrelation")
    results = [run_full.train(config(**changes), graph()) for changes in ({}, other)]
    return [row["loss"] for result in results if result.state for row in result.state.rows]


def numbers_of_probe() -> list[float]:
    """C, scaling, accuracy and classes of a fixed embedding."""
    data = graph()
    z = waves(N, 6, 2.0) + torch.nn.functional.one_hot(data.y, 6) * 1.5
    found = run_full.linear_probe(z, data)
    return [found.c, float(found.scaling == "unit"), found.val, *map(float, found.predicted)]


def numbers_of_bfs_mask() -> list[float]:
    masks = bfs_mask(graph(), 0.5, stream()), bfs_mask(graph(), 0.3, stream(), hops=1)
    return [float(node) for mask in masks for node in mask.nonzero()[:, 0]]


def numbers_of_degree_mask() -> list[float]:
    masks = [degree_mask(graph(), 0.4, stream(), first=first) for first in ("hubs", "leaves")]
    return [float(node) for mask in masks for node in mask.nonzero()[:, 0]]


def numbers_of_laplacian_pe() -> list[float]:
    """Projections onto the eigenvectors, in which no sign has a say."""
    pe = laplacian_pe(graph(), 3)[:8].double()
    return (pe[:, :, None] * pe[0][None, None]).abs().flatten().tolist()


def numbers_of_term(name: str) -> list[float]:
    z1, z2 = waves(N, 8, 0.5), waves(N, 8, 0.9)
    return [float(OBJECTIVES[name][0](z1, z2, stream())), OBJECTIVES[name][1]]


def numbers_of_fastrp() -> list[float]:
    rows = [fastrp(graph(), 8, features=features, seed=2)[:2] for features in (False, True)]
    return torch.cat(rows).flatten().tolist()


COMPONENTS: dict[str, Callable[[], list[float]]] = {
    "graph": numbers_of_graph,
    "views": numbers_of_views,
    "encoder": numbers_of_encoder,
    "objective": numbers_of_objective,
    "probe": numbers_of_probe,
    "bfs_mask": numbers_of_bfs_mask,
    "degree_mask": numbers_of_degree_mask,
    "laplacian_pe": numbers_of_laplacian_pe,
    "fastrp": numbers_of_fastrp,
    **{name: lambda name=name: numbers_of_term(name) for name in OBJECTIVES},
}


def test_each_component_has_a_record() -> None:
    golden = json.loads(GOLDEN.read_text())
    assert golden.keys() == COMPONENTS.keys() == (ALWAYS | PARTS).keys()


@pytest.mark.parametrize("name", COMPONENTS)
def test_numbers_are_those_of_the_revision(name: str) -> None:
    golden = json.loads(GOLDEN.read_text())[name]
    file = "nodejepa_ext/ablation/revisions.py"
    again = "python tests/ablation/test_revisions.py"
    assert golden["revision"] == (ALWAYS | PARTS)[name], f"{name}: write its record anew: {again}"
    assert COMPONENTS[name]() == pytest.approx(golden["numbers"], rel=1e-4, abs=1e-6), (
        f"the numbers of {name} have changed: bump its revision in {file}, then {again}"
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    record = {
        name: {"revision": (ALWAYS | PARTS)[name], "numbers": numbers()}
        for name, numbers in COMPONENTS.items()
    }
    assert all(map(math.isfinite, (n for part in record.values() for n in part["numbers"])))
    lines = [f"{json.dumps(name)}: {json.dumps(part)}" for name, part in record.items()]
    GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n")
