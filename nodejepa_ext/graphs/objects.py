"""A graph in Python's own objects -> one sound graph: arrays, tensors, SciPy, data frames, PyG.

Apart from graph.py, which takes files and whole graphs: here its parts come one by one, as they do
to an estimator. Data frames of any kind go through narwhals; their rows are nodes by id, not by
place. Shapes: N nodes, E edges, F features.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import narwhals as nw
import numpy as np
from scipy import sparse
from torch import Tensor
from torch_geometric.data import Data

from nodejepa_ext.graphs.archives import CSR, MASKS, Array, GraphError
from nodejepa_ext.graphs.columns import ANSWER, NAMES, ROW_NUMBER, SPLIT, listed
from nodejepa_ext.graphs.graph import Graph, raw_features, read_graph

PARTS = ("x", *CSR, "edge_index", "edge_weight", "edge_attr", "adj_t", "node_id", "num_nodes")
WANTED = "expected (X, edges) or (X, edges, weights), a PyG Data, a networkx graph or a path"


class Given(NamedTuple):
    """A graph without labels, features as they came, and the names of their columns, if any."""

    graph: Graph
    columns: list[str] | None


class Nodes(NamedTuple):
    """A data frame of nodes, taken apart."""

    ids: Array | None  # [N]; None: 0 to N - 1
    columns: list[str]  # [F]
    x: Array  # [N, F]


def graph_of(source: Any) -> Given:
    """A PyG Data; a tuple (x, edges) or (x, edges, weights); a Graph, or anything else that
    `read_graph` takes. x [N, F] is an array, tensor, SciPy matrix or data frame, or None; edges
    [2, E] or, where that cannot be meant, [E, 2], places of nodes; a SciPy adjacency [N, N]; or a
    data frame of source, target and, if any, weight, which hold ids. A frame's ids are its column
    id, node or node_id, or the index that pandas has. Labels, masks and splits are left behind, and
    so are a frame's columns of their names.

    GraphError: no sound graph. ValueError: no graph at all, edges of no such shape, or rows of a
    table without its edges."""
    columns = None
    notices: list[str] = []
    if isinstance(source, Graph):
        columns = names_of(source)
        named = {"node_id": source.node_id, **source.data.to_dict()}
        source = Data.from_dict({k: v for k, v in named.items() if v is not None})
    elif isinstance(source, tuple):
        arrays, columns = arrays_of(*source, notices=notices)
        source = Data.from_dict(arrays)
    elif no_graph(source):
        text = "rows without edges are no graph"
        reason = "the nodes of one graph depend on each other and cannot be split by rows"
        way = "judge one embedding of the whole graph, with nodejepa_ext.evaluate.linear"
        raise ValueError(f"X is a {type(source).__name__}: {text}; {WANTED}; {reason}: {way}")
    if isinstance(source, Data):
        named = source.to_dict() | ({"x": raw_features(source)} if source.x is not None else {})
        source = Data.from_dict({name: named[name] for name in PARTS if name in named})
    graph = read_graph(source, normalise="none")
    columns = columns or names_of(graph)
    return Given(graph._replace(notices=[*notices, *graph.notices]), columns)


def names_of(graph: Graph) -> list[str] | None:
    """[F] of the columns that x has, where the source has names for them."""
    found = None if graph.columns is None else graph.columns.features
    x = graph.data.x
    return found if found and x is not None and len(found) == x.shape[1] else None


def no_graph(source: Any) -> bool:
    """Whether it is a table, or a list, in which no edges can be."""
    if sparse.issparse(source):
        return source.shape[0] != source.shape[1]  # else an adjacency matrix
    return isinstance(source, np.ndarray | Tensor | list) or frame_of(source) is not None


def frame_of(values: Any) -> Any:
    """A narwhals DataFrame of any eager data frame, or None."""
    if nw.dependencies.is_pandas_dataframe(values):
        values = values.rename(columns=str)  # narwhals takes a column 0 for row 0
    frame = nw.from_native(values, eager_only=True, pass_through=True)
    return frame if isinstance(frame, nw.DataFrame) else None


def arrays_of(
    x: Any, edges: Any, weights: Any = None, *, notices: list[str]
) -> tuple[dict[str, Any], list[str] | None]:
    """(x, edges) or (x, edges, weights) as attributes of a Data, and the names of x's columns.
    ValueError: edges of no such shape, or weights beside edges that have their own."""
    found: dict[str, Any] = {}
    nodes: Nodes | None = None
    if (frame := frame_of(x)) is not None:
        nodes = nodes_of(frame, notices)
        found["x"] = nodes.x
        if nodes.ids is not None:
            found["node_id"] = nodes.ids
    elif sparse.issparse(x):
        csr = sparse.csr_array(x)
        parts = csr.data, csr.indices, csr.indptr, np.array(csr.shape)
        found = dict(zip(CSR, parts, strict=True))
    elif x is not None:
        found["x"] = array_of(x)
    table = frame_of(edges)
    if weights is not None and (sparse.issparse(edges) or table is not None):
        raise ValueError("weights beside an adjacency matrix or a table: expected edges [2, E]")
    if table is not None:
        index, weights, ids = edges_of(table, nodes, found.get("x"))
        if ids is not None:
            found["node_id"] = ids
    elif sparse.issparse(edges):
        coo = sparse.coo_array(edges)
        index = np.stack(coo.coords)
        weights = None if (coo.data == 1).all() else coo.data
        found["num_nodes"] = max(coo.shape)
    else:
        index = array_of(edges)
        if index.ndim != 2 or 2 not in index.shape:
            text = "expected [2, E], [E, 2] or a SciPy matrix [N, N]"
            raise ValueError(f"edges has shape {index.shape}: {text}")
        index = index if len(index) == 2 else index.T
    found["edge_index"] = index  # [2, E]
    if weights is not None:
        found["edge_weight"] = array_of(weights)
    return found, None if nodes is None else nodes.columns


def array_of(values: Any) -> Array:
    return np.asarray(values.detach().cpu().to_dense() if isinstance(values, Tensor) else values)


def nodes_of(frame: Any, notices: list[str]) -> Nodes:
    """GraphError: two columns of ids, or a column of other things than numbers."""
    named = [c for c in frame.columns if str(c).lower() in NAMES["id"]]
    if len(named) > 1:
        raise GraphError(f"x: columns {named[0]!r} and {named[1]!r}, expected one for the id")
    index = nw.maybe_get_index(frame)
    ids = None if index is None else np.asarray(index)
    if named:
        ids = frame[named[0]].to_numpy()
        notices.append(f"column {named[0]!r} of x taken as the ids of its rows")
    left = [c for c in frame.columns if c not in named and no_feature(str(c))]
    if left:
        text = "left out: by their names labels, splits or row numbers"
        notices.append(f"{listed([str(c) for c in left])} of x {text}")
    columns = [c for c in frame.columns if c not in (*named, *left)]
    for name in columns:
        kind = frame.schema[name]
        if not (kind.is_numeric() or kind == nw.Boolean):
            raise GraphError(f"x, column {name!r}: {kind}, expected numbers or booleans")
        if ANSWER.fullmatch(str(name)):
            notices.append(f"column {name!r} of x taken as a feature, by whatever it tells")
    parts = [np.asarray(frame[name].to_numpy(), np.float64) for name in columns]
    x = np.stack(parts, 1) if parts else np.empty((len(frame), 0))
    if ids is not None:
        ids = identifiers("x, its index" if not named else f"x, column {named[0]!r}", ids)
    return Nodes(ids, [str(name) for name in columns], x)


def no_feature(name: str) -> bool:
    """Whether a column of nodes is by its name a label, a split or the numbers of rows."""
    known = [*NAMES["label"], *(known for mask in MASKS for known in NAMES[mask])]
    low = name.lower()
    return low in known or bool(SPLIT.fullmatch(low) or ROW_NUMBER.fullmatch(name))


def identifiers(place: str, ids: Array) -> Array:
    """[n] as integers or strings, what the format can hold; 3.0, as pandas has 3 beside gaps, is 3.
    GraphError: an id is missing, or a fraction."""
    if ids.dtype.kind in "iu":
        return ids
    if missing := sum(value is None or value != value for value in ids.tolist()):
        raise GraphError(f"{place}: {missing} missing, expected an id in every row")
    if ids.dtype.kind == "f":
        if (ids != np.floor(ids)).any():
            bad = ids[ids != np.floor(ids)][0]
            raise GraphError(f"{place}: {bad}, expected an integer or text as an id")
        return ids.astype(np.int64)
    return np.array([str(value) for value in ids.tolist()])


def edges_of(frame: Any, nodes: Nodes | None, x: Any) -> tuple[Array, Array | None, Array | None]:
    """Places [2, E] of the ids in source and target; weights [E], if there are any; and the ids
    themselves where no table of nodes has them. GraphError: columns that cannot be told, or an id
    of no node."""
    found = {}
    for role in ("source", "target", "weight"):
        named = [c for c in frame.columns if str(c).lower() in NAMES[role]]
        if len(named) > 1:
            raise GraphError(f"edges: columns {named[0]!r}, {named[1]!r}, expected one {role}")
        if named:
            found[role] = named[0]
    if not {"source", "target"} <= found.keys():
        if found or len(frame.columns) != 2:
            wanted = "columns source, target and, if any, weight"
            raise GraphError(f"edges: columns {list(frame.columns)}, expected {wanted}")
        found = dict(zip(("source", "target"), frame.columns, strict=True))
    ends = np.stack(
        [
            identifiers(f"edges, column {found[end]!r}", frame[found[end]].to_numpy())
            for end in ("source", "target")
        ]
    )
    weights = frame[found["weight"]].to_numpy() if "weight" in found else None
    known = None if nodes is None else nodes.ids
    if known is None and x is None:
        known, places = np.unique(ends, return_inverse=True)
        return places.reshape(ends.shape), weights, known
    if known is None:
        known = np.arange(len(x))
    place = {value: i for i, value in enumerate(known.tolist())}
    missing = [value for value in dict.fromkeys(ends.ravel().tolist()) if value not in place]
    if missing:
        some = ", ".join(map(repr, missing[:5]))
        kinds = f"expected ids of x, such as {known[0].item()!r}"
        raise GraphError(f"edges: {len(missing)} ids of no row of x: {some}; {kinds}")
    index = np.array([place[value] for value in ends.ravel().tolist()], np.int64)
    return index.reshape(ends.shape), weights, None
