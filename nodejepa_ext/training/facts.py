"""A graph in numbers, and roughly what training on it takes."""

from __future__ import annotations

from typing import Any

from torch_geometric.data import Data
from torch_geometric.utils import degree

from nodejepa_ext.graphs.archives import MASKS
from nodejepa_ext.graphs.graph import rule_for
from nodejepa_ext.graphs.positions import components
from nodejepa_ext.training.memory import training_bytes
from run_full import Config


def describe(data: Data, *, hidden: int = 512, out: int = 256) -> dict[str, Any]:
    """What `read_graph(..., normalise="none")` read, in numbers; JSON can hold them. Keys that do
    not apply are absent. homophily: the share of edges between labelled nodes that join nodes of
    one class. nonzero: the share of features that are not 0. normalise: what `auto` would do.
    train, val, test: nodes in the first of `splits`.

    step_seconds and train_mib are rough: of one core's training step in fp32 of a 2-layer GCN with
    predictor. The first was fitted to `nodejepa-ext bench` on three graphs, expect a
    factor of 2; bf16 takes half the time. The second is what `train` goes by."""
    n, (row, col) = int(data.num_nodes), data.edge_index
    deg, e = degree(row, n), len(row) // 2
    facts: dict[str, Any] = {"nodes": n, "edges": e, "density": 2 * e / (n * (n - 1))}
    facts |= {"components": components(data), "isolated": int((deg == 0).sum())}
    facts |= {"mean_degree": 2 * e / n, "max_degree": int(deg.max())}
    nonzero = width = 0
    if data.x is not None:
        x, width, nonzero = data.x, data.x.shape[1], int(data.x.count_nonzero())
        whole = bool((x >= 0).all() and (x == x.round()).all())
        kind = ("binary" if x.max() <= 1 else "counts") if whole else "real"
        facts |= {"features": width, "kind": kind, "nonzero": nonzero / x.numel()}
        facts |= {"min": x.min().item(), "max": x.max().item(), "normalise": rule_for(x)}
    if data.y is not None:
        known, same = data.y >= 0, data.y[row] == data.y[col]
        both = known[row] & known[col]
        facts |= {"classes": int(data.y.max()) + 1, "labelled": int(known.sum())}
        facts |= {"homophily": same[both].float().mean().item()} if both.any() else {}
    masks = {key: data[key].view(n, -1) for key in MASKS if key in data}  # [N, k]
    facts |= {key.removesuffix("_mask"): int(mask[:, 0].sum()) for key, mask in masks.items()}
    facts |= {"splits": max(m.shape[1] for m in masks.values())} if masks else {}
    dense, gather, memory = 90e9, 20e9, 10e9  # of one core: flop / s twice, bytes / s
    lift = 24 * hidden * min(nonzero / gather, n * width / dense)
    spread = 16 * (2 * e + n) * (hidden + out) / gather + 100 * n * (hidden + out) / memory
    facts["step_seconds"] = 42 * n * hidden * out / dense + lift + spread
    cfg = Config(hidden=hidden, out=out)
    return facts | {"train_mib": training_bytes(n, e, width, nonzero, cfg) / 2**20}
