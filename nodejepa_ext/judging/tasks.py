"""Frozen embeddings, judged: linear probe, nearest neighbours, clustering, link prediction.

z [N, D] is a tensor or an array, one row a node. Validation chooses whatever there is to choose;
test labels, or test pairs, count once, in the last line of a judgement. Every judgement returns
plain JSON-able figures, fractions where they are shares; a figure that does not exist is None.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
import torch_geometric.utils as pyg
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import (
    adjusted_rand_score,
    average_precision_score,
    normalized_mutual_info_score,
    roc_auc_score,
    silhouette_score,
)
from torch import Tensor
from torch_geometric.data import Data

import run_full
from nodejepa_ext.judging import large
from nodejepa_ext.judging.baselines import fastrp
from nodejepa_ext.judging.splits import PARTS, labelled, labels, node_splits
from nodejepa_ext.judging.stats import interval
from run_full import (
    Config,
    Embedder,
    Encoder,
    Graph,
    MLPPredictor,
    Result,
    TrainState,
    score_test,
)

Report = dict[str, Any]
Floats = NDArray[np.floating[Any]]
PairScores = Callable[[Tensor], Floats]  # pairs [2, P] -> [P], larger where an edge is likelier

KS = (5, 10, 20)  # neighbours that vote
LINK_CONTROLS = ("raw features", "common neighbours", "Adamic-Adar")
SILHOUETTE_NODES = 10_000  # its cost is quadratic


def linear(
    z: Tensor | ArrayLike, data: Data | ArrayLike, *, splits: int | None = None, seed: int = 0
) -> Report:
    """Test accuracy of `run_full.linear_probe`, which chooses C and scaling on validation nodes.
    data: a Data with y and, if any, masks, or labels alone [N], see `labelled`.

    Returns the mean over the splits of `node_splits`, std, low and high (95% t interval), n, and
    rows {split, val, test, c, scaling}. Splits share nodes: the interval is of the draw of splits
    alone, not of seeds or of graphs. ValueError: as in `node_splits`; a z that does not fit."""
    return linear_on(z, node_splits(data, splits, seed))


def linear_on(z: Tensor | ArrayLike, parts: Sequence[Data]) -> Report:
    """`linear` on the splits of `node_splits`, made before."""
    rows = embedding(z, parts[0].num_nodes)
    results = [large.linear_probe(rows, part) for part in parts]
    return scored(results, [{"c": r.c, "scaling": r.scaling} for r in results])


def knn(
    z: Tensor | ArrayLike,
    data: Data | ArrayLike,
    ks: Sequence[int] | None = None,
    *,
    splits: int | None = None,
    seed: int = 0,
) -> Report:
    """Test accuracy of the majority among the k training nodes of largest cosine; k by validation.

    ks: by default those of `few`. Equal votes go to the smaller class, equal ks to the larger k.
    Returns what `linear` does, of
    the same splits, with rows {split, val, test, k}. ValueError: as in `linear`; ks is empty, or
    holds a k below 1 or above the number of training nodes."""
    parts = node_splits(data, splits, seed)
    return knn_on(z, parts, few(parts) if ks is None else ks)


def few(parts: Sequence[Data]) -> list[int]:
    """Those of 5, 10 and 20 neighbours that there are training nodes for, at least 1."""
    fewest = min(int(part.train_mask.sum()) for part in parts)
    return [k for k in KS if k <= fewest] or [1]


def knn_on(z: Tensor | ArrayLike, parts: Sequence[Data], ks: Sequence[int]) -> Report:
    """`knn` on the splits of `node_splits`, made before."""
    fewest = min(int(part.train_mask.sum()) for part in parts)
    if not len(ks) or not 1 <= min(ks) <= max(ks) <= fewest:
        raise ValueError(f"ks = {tuple(ks)}: expected from 1 to {fewest}, the training nodes")
    rows, results, chosen = embedding(z, parts[0].num_nodes), [], []
    for part in parts:
        near = large.nearest(rows, part.train_mask, max(ks))
        votes = part.y[part.train_mask][near]  # [N, max(ks)], nearest first
        said = {k: votes[:, :k].mode(1).values for k in ks}  # k -> [N]; the smallest mode
        val = {k: (said[k] == part.y)[part.val_mask].double().mean().item() for k in ks}
        best, k = max((accuracy, k) for k, accuracy in val.items())
        results.append(Result(part, rows, best, predicted=said[k].numpy()))
        chosen.append({"k": int(k)})
    return scored(results, chosen)


def cluster(
    z: Tensor | ArrayLike,
    data: Data | ArrayLike | None = None,
    *,
    n_clusters: int | None = None,
    seeds: int = 10,
) -> Report:
    """k-means (best inertia of 10 starts, see `large.clusters`) on rows of unit length, once a
    seed, no seed chosen.

    n_clusters: the number of classes, if None. Returns figures of silhouette (Euclidean; of 10,000
    nodes drawn by the seed where there are more; 0 where k-means finds one cluster only) and,
    with labels, of nmi (arithmetic mean) and ari over labelled nodes: mean, std, low, high, n each.
    ValueError: n_clusters outside 2 to N - 1, or None without labels; seeds below 1."""
    known_data = None if data is None else labelled(data)
    y = None if known_data is None or "y" not in known_data else labels(known_data)
    unit = F.normalize(embedding(z, None if y is None else len(y))).numpy()
    known = np.empty(0, int) if y is None else np.flatnonzero(y >= 0)
    truth = None if y is None else y.numpy()[known]
    if n_clusters is None:
        n_clusters = 0 if truth is None else len(np.unique(truth))
    if not 2 <= n_clusters < len(unit):
        expected = f"expected from 2 to {len(unit) - 1}, or labels of at least two classes"
        raise ValueError(f"n_clusters = {n_clusters}: {expected}")
    if seeds < 1:
        raise ValueError(f"seeds = {seeds}: expected at least 1")
    rows: list[Report] = []
    for seed in range(seeds):
        with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
            # a collapsed embedding has fewer distinct rows than clusters
            found = large.clusters(unit, n_clusters, seed)
        row = {"seed": seed, "silhouette": silhouette(unit, found, seed)}
        if truth is not None and len(truth):
            row["nmi"] = float(normalized_mutual_info_score(truth, found[known]))
            row["ari"] = float(adjusted_rand_score(truth, found[known]))
        rows.append(row)
    measures = {name: figures([row[name] for row in rows]) for name in rows[0] if name != "seed"}
    return {"n_clusters": n_clusters, **measures, "rows": rows}


def collapse(z: Tensor | ArrayLike) -> Report:
    """`run_full.collapse`: effective rank, mean pairwise cosine, smallest column std."""
    return large.collapse(embedding(z))


class LinkSplit(NamedTuple):
    """A graph to train on, and pairs of nodes [2, P], u < v, to judge on: held-out edges of the
    whole graph, and as many pairs that are no edge of it. No pair is in two of them."""

    data: Data
    val: Tensor
    val_negative: Tensor
    test: Tensor
    test_negative: Tensor


def split_edges(data: Data, *, val: float = 0.05, test: float = 0.10, seed: int = 0) -> LinkSplit:
    """Holds out shares of the undirected edges, in both directions, BEFORE anything is trained.

    Edges are taken as undirected, loops left out; nothing keeps the rest connected. Negatives are
    drawn uniformly from all pairs that are no edge. The graph returned has x, y, masks and what is
    left of edge_index and edge_weight. ValueError: a share that holds out no edge, or leaves none;
    fewer pairs without an edge than negatives."""
    n, rng = data.num_nodes, np.random.default_rng(seed)
    weight = torch.ones(data.edge_index.shape[1]) if data.edge_weight is None else data.edge_weight
    edges, weight = pyg.remove_self_loops(data.edge_index.cpu(), weight.cpu())
    edges, weight = pyg.to_undirected(edges, weight, n, reduce="max")
    once = edges[0] < edges[1]
    edges, weight = edges[:, once], weight[once]  # [2, E], [E]
    total = edges.shape[1]
    counts = [round(val * total), round(test * total)]
    if min(counts) < 1 or sum(counts) >= total:
        shares = f"val = {val}, test = {test}: {counts[0]} and {counts[1]} of {total} edges"
        raise ValueError(f"{shares}, expected at least one each, and one left")
    order = torch.from_numpy(rng.permutation(total))
    val_pairs, test_pairs, left = edges[:, order].split([*counts, total - sum(counts)], dim=1)
    negative = non_edges(edges, n, sum(counts), rng).split(counts, dim=1)
    # an attribute that is not named here could hold the edges held out
    kept = {name: data[name] for name in ("x", "y", *PARTS) if name in data}
    left, weight = pyg.to_undirected(left, weight[order[sum(counts) :]], n)
    if data.edge_weight is not None:
        kept["edge_weight"] = weight.to(data.edge_weight)
    graph = Data(edge_index=left.to(data.edge_index.device), num_nodes=n, **kept)
    return LinkSplit(graph, val_pairs, negative[0], test_pairs, negative[1])


def link(z: Tensor | ArrayLike, split: LinkSplit) -> Report:
    """Test pairs ranked by cosine or by inner product of their rows, whichever has the larger
    validation AUC, cosine if equal. z: of an encoder that saw `split.data` alone.

    Returns {scorer, val: its validation AUC, auc, ap, hits@20, hits@50, hits@100}, as in
    `ranking`. ValueError: a z that does not fit."""
    rows = embedding(z, split.data.num_nodes)
    unit = F.normalize(rows)
    scorers = {"cosine": partial(products, unit), "inner product": partial(products, rows)}
    return ranked(scorers, split)


def link_controls(split: LinkSplit, names: Sequence[str] = LINK_CONTROLS) -> dict[str, Report]:
    """`link` of what trains nothing, of those named: cosine of raw features; common neighbours in
    the training graph, counted, or each by 1 / log degree (Adamic and Adar 2003)."""
    n, (u, v) = split.data.num_nodes, split.data.edge_index.cpu().numpy()
    adj = sparse.csr_array((np.ones(len(u)), (u, v)), (n, n))
    rarity = 1 / np.log(np.maximum(adj.sum(1), 2))  # [N]; a common neighbour has degree 2 or more
    unit = F.normalize(embedding(split.data.x, n))
    scorers: dict[str, dict[str, PairScores]] = {
        "raw features": {"cosine": partial(products, unit)},
        "common neighbours": {"count": partial(shared, adj, np.ones(n))},
        "Adamic-Adar": {"sum": partial(shared, adj, rarity)},
    }
    return {name: ranked(some, split) for name, some in scorers.items() if name in names}


def ranking(
    positive: ArrayLike, negative: ArrayLike, ks: Sequence[int] = (20, 50, 100)
) -> dict[str, float]:
    """Scores of edges [P] and of pairs without one [Q] -> auc; ap, average precision; hits@K, the
    share of edges above the K-th largest of the others (OGB, Hu et al. 2020), for K up to Q."""
    above, below = np.asarray(positive, float), np.sort(np.asarray(negative, float))
    true = np.repeat([1, 0], [len(above), len(below)])
    scores = np.concatenate([above, below])
    area, precision = roc_auc_score(true, scores), average_precision_score(true, scores)
    hits = {f"hits@{k}": float((above > below[-k]).mean()) for k in ks if k <= len(below)}
    return {"auc": float(area), "ap": float(precision)} | hits


def controls(
    data: Data,
    *,
    out: int = 256,
    seed: int = 0,
    cfg: Config | None = None,
    embedder: Embedder | None = None,
) -> dict[str, Tensor]:
    """Embeddings [N, ...] to set beside a judged one: raw features, an encoder never trained (of
    cfg if given, out wide), FastRP without and with features. For links: of `split.data`. embedder:
    of data under cfg, if at hand; else data's graph is built."""
    own: Any = dict(out=out, seed=seed, cfg=cfg, embedder=embedder)
    return {name: make() for name, make in control_makers(data, **own).items()}


def control_makers(
    data: Data,
    *,
    out: int = 256,
    seed: int = 0,
    cfg: Config | None = None,
    embedder: Embedder | None = None,
) -> dict[str, Callable[[], Tensor]]:
    """What `controls` returns, each made when it is called: of a large graph they do not fit into
    memory at once."""
    cfg = replace(cfg or Config(), out=out, seed=seed)

    def untrained() -> Tensor:
        encoder = TrainState.new(cfg, data, Encoder, MLPPredictor).encoder
        return embedder(encoder) if embedder else run_full.embed(encoder, Graph.of(data, cfg))

    return {
        "raw features": partial(embedding, data.x),
        "untrained": untrained,
        "FastRP": partial(fastrp, data, out, seed=seed),
        "FastRP on features": partial(fastrp, data, out, features=True, seed=seed),
    }


def embedding(z: Tensor | ArrayLike, n: int | None = None) -> Tensor:
    """z [N, D], dense float32 on the cpu; ValueError: not of n rows, or not finite."""
    z = z.detach().cpu().to_dense() if isinstance(z, Tensor) else torch.tensor(np.asarray(z))
    z = z.float()
    if z.ndim != 2 or (n is not None and len(z) != n) or not z.numel():
        rows = "[N, D]" if n is None else f"{n} rows, one a node"
        raise ValueError(f"z has shape {tuple(z.shape)}: expected {rows}")
    if (bad := large.first_infinite(z)) is not None:
        row, column = bad
        raise ValueError(f"z[{row}, {column}] = {z[row, column]}: expected finite numbers")
    return z


def figures(values: Sequence[float]) -> Report:
    """{mean, std, low, high, n}: `stats.interval`, with None for nan."""
    found = interval(values)._asdict()
    return {name: None if math.isnan(value) else value for name, value in found.items()}


def scored(results: Sequence[Result], chosen: Sequence[Report]) -> Report:
    """Test nodes are counted here, once a split; chosen: what validation chose in each."""
    rows = [
        {"split": i, "val": result.val, "test": score_test(result), **choice}
        for i, (result, choice) in enumerate(zip(results, chosen, strict=True))
    ]
    return figures([row["test"] for row in rows]) | {"rows": rows}


def silhouette(unit: Floats, found: NDArray[np.integer[Any]], seed: int) -> float:
    """Of unit [N, D] under clusters found [N], or of a sample of it; 0 where it has no meaning."""
    draw, n = np.random.default_rng(seed), len(unit)
    some = np.sort(draw.choice(n, min(n, SILHOUETTE_NODES), replace=False))
    several = 1 < len(np.unique(found[some])) < len(some)
    return float(silhouette_score(unit[some], found[some])) if several else 0.0


def non_edges(edges: Tensor, n: int, count: int, rng: np.random.Generator) -> Tensor:
    """count distinct pairs [2, count], u < v, drawn uniformly from those not among edges [2, E].

    Pair (u, v) has number v(v - 1)/2 + u. The r-th number that is no edge's is r plus how many
    edges come before it, so nothing is drawn in vain, however dense the graph."""
    u, v = edges.numpy()
    first = np.arange(n) * np.arange(-1, n - 1) // 2  # [N] the number of pair (0, v)
    taken = np.sort(first[v] + u)  # [E]
    free = n * (n - 1) // 2 - len(taken)
    if free < count:
        raise ValueError(f"data.edge_index: {free} pairs have no edge, expected at least {count}")
    rank = rng.choice(free, count, replace=False)
    number = rank + np.searchsorted(taken - np.arange(len(taken)), rank, side="right")
    v = np.searchsorted(first, number, side="right") - 1
    return torch.from_numpy(np.stack([number - first[v], v]))


def products(z: Tensor, pairs: Tensor) -> Floats:
    """Inner products of the rows of z [N, D] at pairs [2, P] -> [P]."""
    parts = [(z[u] * z[v]).sum(1) for u, v in pairs.split(2**16, dim=1)]
    return torch.cat(parts).numpy()


def shared(adj: sparse.csr_array, weight: Floats, pairs: Tensor) -> Floats:
    """Sum of weight [N] over the common neighbours, under adj [N, N], of pairs [2, P] -> [P]."""
    u, v = pairs.numpy()
    return np.asarray((adj[u] * adj[v]) @ weight)


def ranked(scorers: Mapping[str, PairScores], split: LinkSplit) -> Report:
    """The scorer with the largest validation AUC, the first if equal, on the test pairs."""
    val = {
        name: ranking(score(split.val), score(split.val_negative))["auc"]
        for name, score in scorers.items()
    }
    best = max(val, key=val.__getitem__)
    test = ranking(scorers[best](split.test), scorers[best](split.test_negative))
    return {"scorer": best, "val": val[best], **test}
