"""The map on the page of a run: where each node lies, its neighbours, its cluster, its label.

Apart from page_run, as all that takes time is here. Shapes: N nodes, of which P are shown, D latent
dimensions, K neighbours.
"""

from __future__ import annotations

import base64
import warnings
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.neighbors import NearestNeighbors
from torch_geometric.utils import degree

from nodejepa_ext.graphs.archives import Array
from nodejepa_ext.graphs.graph import Graph
from nodejepa_ext.plots.run import MOST_POINTS, flatten
from nodejepa_ext.plots.style import Notice

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]
MOST_NODES = 50_000  # of a map: as many as 16 bits tell apart, and a page carries
NEAREST = 10  # neighbours of a clicked node
NEAR = 5  # nodes with a place by t-SNE, in whose midst another one is put
CLUSTERS = 8  # where there are no classes to count
ID_BYTES = 4_000_000  # of all ids together; longer ones are cut
ROWS = 512  # of the matrix of cosines that are in memory at once
NONE = 2**16 - 1  # the code of a node without a label


def packed(
    z: Floats, node_id: Array, graph: Graph | None, most: int, clusters: int, notice: Notice
) -> dict[str, Any]:
    """JSON-able: what page.js draws of z [N, D] and the nodes' ids [N]. Arrays are Base64 of
    little-endian numbers: x, y [P] float32, near [P, K] uint16, cosine [P, K] int16 in 1/10000,
    degree [P] uint32, and codes [P] uint16 of labels and clusters. graph: None, where it is not at
    hand: no labels, no degrees. clusters: of k-means; 0: as many as classes."""
    n = len(z)
    shown = np.random.default_rng(0).permutation(n)[: min(most, MOST_NODES)]  # no class on top
    points = project(z[shown])
    near, cosine = nearest(z[shown], NEAREST)
    label = None if graph is None else labels(graph, shown)
    count = clusters or (len(label["names"]) if label else CLUSTERS)
    found: dict[str, Any] = {"total": n, "count": len(shown), "how": method(len(shown))}
    found |= {"ids": identifiers(node_id[shown], notice)}
    found |= {"x": base64_of(points[:, 0], "<f4"), "y": base64_of(points[:, 1], "<f4")}
    found |= {"near": base64_of(near, "<u2"), "cosine": base64_of(cosine * 10_000, "<i2")}
    found |= {"k": near.shape[1], "label": label, "cluster": groups(z[shown], count)}
    if graph is not None:
        degrees = degree(graph.data.edge_index[0], n).numpy()[shown]
        found["degree"] = base64_of(degrees, "<u4")
    return found


def base64_of(array: Array, kind: str) -> str:
    """Rounded where kind is of whole numbers."""
    array = np.rint(array) if kind[1] in "iu" else array
    return base64.b64encode(np.ascontiguousarray(array.astype(kind)).tobytes()).decode()


def method(count: int) -> str:
    """In words: how `project` places so many nodes."""
    text = "t-SNE of the first 50 principal components of the embedding, by seed 0"
    if count <= MOST_POINTS:
        return text
    return (
        f"{text}, of {MOST_POINTS} nodes drawn at random; every other node lies in the midst of "
        f"the {NEAR} of these nearest to it"
    )


def project(z: Floats) -> Floats:
    """z [P, D] -> places [P, 2], the same for the same z: see `method`."""
    if len(z) <= MOST_POINTS:
        return flatten(z)
    some = min(50, z.shape[1])
    reduced = PCA(some, random_state=0).fit(z[:MOST_POINTS]).transform(z).astype(np.float32)
    first = flatten(reduced[:MOST_POINTS])  # [M, 2]
    index = NearestNeighbors(n_neighbors=NEAR, algorithm="brute").fit(reduced[:MOST_POINTS])
    distance, others = index.kneighbors(reduced[MOST_POINTS:])  # [P - M, NEAR]
    weight = 1 / (distance + 1e-3 * distance.mean() + 1e-12)
    weight /= weight.sum(1, keepdims=True)
    return np.concatenate([first, np.einsum("pk,pkc->pc", weight, first[others])])


def nearest(z: Floats, k: int) -> tuple[Ints, Floats]:
    """The k nodes of largest cosine to each of z [P, D], itself left out, the nearest first ->
    their numbers [P, K] and cosines [P, K]; K < k where there are fewer."""
    unit = F.normalize(torch.from_numpy(np.ascontiguousarray(z)).float())
    n = len(unit)
    k = min(k, n - 1)
    near, cosines = np.zeros((n, k), np.int64), np.zeros((n, k), np.float32)
    for start in range(0, n, ROWS):
        cosine = unit[start : start + ROWS] @ unit.T  # [ROWS, P]
        rows = torch.arange(len(cosine))
        cosine[rows, start + rows] = -torch.inf
        values, others = cosine.topk(k)
        near[start : start + ROWS], cosines[start : start + ROWS] = others, values
    return near, cosines.clip(-1, 1)


def labels(graph: Graph, shown: Ints) -> dict[str, Any] | None:
    """Codes of the nodes `shown` and the classes' names; None: the graph has no labels."""
    if "y" not in graph.data or graph.data.y is None or graph.data.y.ndim != 1:
        return None
    y = graph.data.y.numpy()
    count = int(y.max(initial=-1)) + 1
    if not 0 < count < NONE:
        return None
    names = range(count) if graph.classes is None else graph.classes.tolist()
    codes = np.where(y < 0, NONE, y)[shown]
    return {"codes": base64_of(codes, "<u2"), "names": [str(name) for name in names]}


def groups(z: Floats, count: int) -> dict[str, Any]:
    """Clusters of z [P, D] by k-means on rows of unit length, the largest first."""
    unit = F.normalize(torch.from_numpy(np.ascontiguousarray(z)).float()).numpy()
    count = min(count, len(z))
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        # a collapsed embedding has fewer distinct rows than clusters
        found = KMeans(count, n_init=3, random_state=0).fit_predict(unit)
    order = np.argsort(-np.bincount(found, minlength=count), kind="stable")
    codes = np.argsort(order)[found]
    names = [f"cluster {i + 1}" for i in range(int(codes.max()) + 1)]
    return {"codes": base64_of(codes, "<u2"), "names": names}


def identifiers(ids: Array, notice: Notice) -> list[str]:
    """As text, cut where all together are more than ID_BYTES."""
    texts = [str(name) for name in ids.tolist()]
    most = max(8, ID_BYTES // max(len(texts), 1))
    if sum(len(text.encode(errors="replace")) for text in texts) <= ID_BYTES:
        return texts
    notice(f"ids of more than {most} bytes are cut on the map")
    return [cut(text, most) for text in texts]


def cut(text: str, most: int) -> str:
    """To at most so many bytes of UTF-8, … included."""
    raw = text.encode(errors="replace")
    return text if len(raw) <= most else raw[: most - 3].decode(errors="ignore") + "…"
