"""A user's files -> one validated graph, or one sentence that says what is wrong with them.

`read_graph` takes what people have: tables, .npz, SciPy's and PyG's own files, networkx; whatever
it mends it counts in `notices`. `describe` says what was read, `write_graph` keeps it.
Shapes: N nodes, E undirected edges, F features, k fixed splits.
"""

from __future__ import annotations

import warnings
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from scipy import sparse
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import degree

import run_full
from nodejepa_ext.files import atomic, check_disk
from nodejepa_ext.graphs import archives as files
from nodejepa_ext.graphs import arrays as checks
from nodejepa_ext.graphs import fast, folders, others, pyg_data, rows, saved, tables
from nodejepa_ext.graphs.archives import CSR, MASKS, Array, Arrays, GraphError
from nodejepa_ext.graphs.columns import Choices, Found, sentences
from nodejepa_ext.graphs.positions import COLUMNS, positions

CHOICES = Choices()
LARGE = (
    1 << 26
)  # bytes of arrays, above which they are not compressed: it takes longer than reading
__all__ = ["Graph", "GraphError", "read_graph", "structural_features", "write_graph"]
RULES = ("auto", "rows", "columns", "none")


class Graph(NamedTuple):
    """One sound graph. data: edge_index [2, 2E] sorted, each edge both ways, no self-loops, none
    twice; where there are any, x [N, F] float32, edge_weight [2E] float32, y [N], -1 for no class,
    and masks [N] bool of labelled nodes, never overlapping.
    Without x, data has num_nodes."""

    data: Data
    node_id: Array | None  # [N] names of the nodes; None: they are 0 to N - 1
    classes: Array | None  # [C] names of the classes; None: they are 0 to C - 1
    notices: list[str]  # what was left out, merged or assumed, counted
    columns: Found | None = None  # what became of the columns of tables


def read_graph(
    source: Any = None,
    *,
    edges: str | Path | None = None,
    nodes: str | Path | None = None,
    split: int | None = 0,
    normalise: str = "none",
    choices: Choices = CHOICES,
) -> Graph:
    """The graph in `source`: cora, citeseer or pubmed; a folder of edges.* and, if any, nodes.*, or
    of `write_graph`, whose features stay on disk, mapped, where normalise is `none`;
    a table of edges (.csv .tsv .txt .edges .parquet), with `nodes` a table of nodes; .npz of the
    project's format or of scipy.sparse.save_npz; .pt of a PyG Data; a Data; a networkx graph.

    Edges: source, target and, if any, weight. Nodes: id; label, y or class; split, or split_0 and
    so on, of train, val and test, or train, val and test of 0 and 1; all other columns are
    features. The graph is taken as undirected. Weights of one pair in one direction are summed, of
    its two directions the larger is kept. split: which of k masks; None: all [N, k]. normalise:
    `none`, features as they are, for what learns a scaling, as `NodeJEPA` and `train` do; `rows`,
    by their sum as in run_full; `columns`, to mean 0 and variance 1; `auto`, rows where features
    are not negative and at most a quarter not zero, else columns. choices: which columns are what,
    where their names do not say.

    GraphError: no sound graph. ValueError: no such way of reading. ImportError: no pyarrow."""
    if normalise not in RULES:
        raise ValueError(f"normalise = {normalise!r}: expected one of {', '.join(RULES)}")
    notices: list[str] = []
    try:
        if isinstance(source, str | Path) and edges is None and nodes is None and kept(source):
            graph = of_folder(Path(source), split, notices)
        else:
            graph = of_files(source, edges, nodes, split, notices, choices)
    except OSError as error:
        raise GraphError(f"{error.filename}: {error.strerror}, expected a file to read") from None
    if graph.data.x is not None:
        raw = graph.data.x
        graph.data.x, notice = normalised(raw, normalise)
        notices += notice
        if notice and notice[0].startswith("features: columns"):  # so that `raw_features` can undo
            graph.data.x_mean, graph.data.x_scale = column_scale(raw)
    return graph


def of_files(
    source: Any,
    edges: str | Path | None,
    nodes: str | Path | None,
    split: int | None,
    notices: list[str],
    choices: Choices,
) -> Graph:
    """Of anything but a folder of `write_graph`, features as they are."""
    name, arrays, found = arrays_of(source, edges, nodes, notices, choices)
    graph = sound(name, arrays, split, notices)._replace(columns=found)
    if found is not None:
        if graph.data.x is None:
            found.features = []
        notices += sentences(found)
    return graph


def kept(source: str | Path) -> bool:
    """Whether source is a folder that `write_graph` wrote, or had begun to."""
    return source not in run_full.GRAPHS and folders.holds(Path(source))


def of_folder(folder: Path, split: int | None, notices: list[str]) -> Graph:
    """x and edge_weight mapped, the rest in memory. GraphError: as in `folders.read`."""
    a = folders.read(folder)
    n, y = len(a["indptr"]) - 1, a.get("y")
    if alone := int((np.diff(a["indptr"]) == 0).sum()):
        notices.append(f"{alone} of {n} nodes have no edges")
    y = None if y is None else np.array(y)
    if y is not None and (unlabelled := int((y == -1).sum())):
        notices.append(f"{unlabelled} of {n} nodes have no label")
    own = {key: np.array(a[key]) for key in ("node_id", "classes") if key in a}
    masks = checks.masks_of(str(folder), {k: a[k] for k in MASKS if k in a}, y, split, notices)
    x = informative(a.get("x"), notices)
    tensors = {"x": x, "edge_index": folders.edges_of(a)}
    tensors |= {"edge_weight": a.get("edge_weight"), "y": y, **masks}
    with warnings.catch_warnings(action="ignore"):  # torch: that these arrays cannot be written to
        data = Data(**{k: torch.from_numpy(v) for k, v in tensors.items() if v is not None})
    if x is None:
        data.num_nodes = n
        notices.append("no features: structural_features makes some of degrees and positions")
    return Graph(data, own.get("node_id"), own.get("classes"), notices)


def raw_features(data: Data) -> Tensor:
    """x [N, F] as it was before `read_graph` standardised its columns, to rounding; x where it did
    not."""
    if "x_mean" not in data or "x_scale" not in data:
        return data.x
    spread = torch.where(data.x_scale.isinf(), 0.0, data.x_scale)
    return (data.x.double() * spread + data.x_mean).float()


def arrays_of(
    source: Any,
    edges: str | Path | None,
    nodes: str | Path | None,
    notices: list[str],
    choices: Choices,
) -> tuple[str, Arrays, Found | None]:
    """A name for messages, the arrays of the format, and what became of columns, if of any."""
    if isinstance(source, Data):
        return "data", pyg_data.arrays_of("data", source.to_dict(), notices), None
    if sparse.issparse(source):
        return "matrix", of_matrix("matrix", source, notices), None
    if hasattr(source, "nodes") and hasattr(source, "edges"):
        return of_networkx("graph", source, notices, choices)
    if isinstance(source, str) and source in run_full.GRAPHS:
        if Path(source).exists():
            notices.append(f"the embedded graph {source} is read; ./{source} is the one here")
        source = Path(run_full.__file__).parent / f"nodejepa_ext/datasets/{source}.npz"
    path = Path(source) if isinstance(source, str | Path) else None
    alone = path is not None and edges is None and nodes is None
    suffix = path.suffix.lower() if path is not None else ""
    if path and path.is_dir():
        edges, nodes = edges or only(path, "edges"), nodes or only(path, "nodes")
    elif path and edges is None and rows.suffix_of(path):
        edges = path
    elif path and alone and suffix == ".npz":
        return str(path), files.read_npz(path, notices), None
    elif path and alone and suffix == ".pt":
        return str(path), pyg_data.arrays_of(str(path), saved.read_pt(path, notices), notices), None
    elif path and alone and suffix == ".mtx":
        return str(path), of_matrix(str(path), others.read_mtx(path), notices), None
    elif path and alone and suffix in others.NETWORKX:
        return of_networkx(str(path), others.read_networkx(path), notices, choices)
    elif source is not None or edges is None:
        known = f"{', '.join(run_full.GRAPHS)}, a folder of edges.csv, .npz, .pt,"
        known += f" {', '.join(('.mtx', *others.NETWORKX))}, or a table of edges"
        what = source if isinstance(source, str | Path) else f"a {type(source).__name__}"
        missing = "; nothing of that name is here" if path and not path.exists() else ""
        raise ValueError(f"{what}: expected {known}: {' '.join(rows.SUFFIXES)}{missing}")
    return read_tables([Path(p) for p in (edges, nodes) if p], notices, choices)


def of_networkx(
    name: str, graph: Any, notices: list[str], choices: Choices
) -> tuple[str, Arrays, Found]:
    """Of a networkx graph, whose attributes of nodes are columns."""
    found = Found()
    edge_rows, node_rows = rows.networkx_rows(graph, notices)
    both = (f"{name}.edges", edge_rows), (f"{name}.nodes", node_rows)
    return name, tables.read_tables(*both, notices, choices, found), found


def of_matrix(name: str, matrix: Any, notices: list[str]) -> Arrays:
    """Of a SciPy adjacency [N, N]."""
    coo = sparse.coo_array(matrix)
    parts = {"format": np.array("coo"), "shape": np.array(coo.shape), "data": coo.data}
    row, col = coo.coords
    return files.adjacency(name, parts | {"row": row, "col": col}, notices)


def read_tables(
    paths: list[Path], notices: list[str], choices: Choices
) -> tuple[str, Arrays, Found]:
    """paths: of the edges and, if any, of the nodes."""
    for path in paths:
        if not rows.suffix_of(path):
            raise ValueError(f"{path}: expected a table: {' '.join(rows.SUFFIXES)}")
    found = Found()
    by_columns = fast.read(paths[0], paths[1] if len(paths) > 1 else None, notices, choices, found)
    if by_columns is not None:
        return str(paths[0]), by_columns, found
    with ExitStack() as opened:  # closed here also where a row is refused
        read = [opened.enter_context(closing(rows.rows_of(path))) for path in paths]
        edges, *nodes = zip(map(str, paths), read, strict=True)
        given = edges, nodes[0] if nodes else None
        return edges[0], tables.read_tables(*given, notices, choices, found), found


def only(folder: Path, stem: str) -> Path | None:
    """The table of that name. GraphError: there are two, or none of the edges."""
    found = sorted(p for p in folder.glob(f"{stem}.*") if rows.suffix_of(p))
    if len(found) > 1 or stem == "edges" and not found:
        names = ", ".join(p.name for p in found) or "none"
        raise GraphError(f"{folder}: holds {names}, expected one table called {stem}")
    return found[0] if found else None


def sound(name: str, a: Arrays, split: int | None, notices: list[str]) -> Graph:
    """The arrays of the format as a graph, features as they are. GraphError: they are none."""
    x, n = checks.features(name, a, notices), checks.count(name, a)
    x = informative(x, notices)
    node_id = checks.identifiers(name, a)
    edge_index, weight = checks.edge_arrays(name, a, n, notices)
    y, classes = checks.labels(name, a, notices)
    masks = checks.masks_of(name, a, y, split, notices)
    arrays = {"x": x, "edge_index": edge_index, "edge_weight": weight, "y": y, **masks}
    data = Data(**{k: torch.from_numpy(v) for k, v in arrays.items() if v is not None})
    if x is None:
        data.num_nodes = n
        notices.append("no features: structural_features makes some of degrees and positions")
    return Graph(data, node_id, classes, notices)


def informative(x: Array | None, notices: list[str]) -> Array | None:
    """x [N, F], or None where it has no features, or all rows are equal."""
    if x is None or len(x) < 2 or not checks.constant(x):
        return x
    notices.append(f"{x.shape[1]} features are constant: they say nothing, and are left out")
    return None


def rule_for(x: Tensor) -> str:
    """`rows` where features [N, F] look like bags of words, tf-idf or one-hot codes: none is
    negative, few are not zero; numbers of any other kind come in units of their own: `columns`.
    A quarter lies between PubMed (10 %: rows, as published) and Amazon Photo (35 %: columns are
    better, ablations/auto)."""
    return "rows" if bool((x >= 0).all()) and 4 * x.count_nonzero() <= x.numel() else "columns"


def by_rows(x: Tensor) -> Tensor:
    """x [N, F], each row divided by its sum, where that is above 1. GraphError: a sum is too large
    for float32."""
    total = x.sum(1, keepdim=True)  # [N, 1]
    if not bool(total.isfinite().all()):
        row = int((~total.isfinite()).nonzero()[0, 0])
        raise GraphError(f"x, row {row}: its sum is beyond float32, expected smaller features")
    return x / total.clamp(min=1)


def column_scale(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation [F] of the columns of x [N, F], float64; inf for a constant."""
    mean, std = x.double().mean(0), x.double().std(0, correction=0)
    return mean, torch.where(std > 1e-6 * mean.abs().clamp(min=1e-30), std, torch.inf)


def normalised(x: Tensor, rule: str) -> tuple[Tensor, list[str]]:
    """x [N, F] by a rule of `read_graph`, and a notice of what was done."""
    rule = rule_for(x) if rule == "auto" else rule
    if rule == "rows":
        text = "features: rows divided by their sum, where that is above 1"
        return by_rows(x), [text]
    if rule == "columns":
        mean, scale = column_scale(x)
        flat = int(scale.isinf().sum())
        text = "features: columns standardised"
        if flat:
            text += f", {flat} constant ones to 0"
        return ((x - mean) / scale).float(), [text]
    return x, []


def structural_features(data: Data, k: int = COLUMNS) -> Tensor:
    """Features [N, bins + k'] of a graph that has none: the degree, one-hot by floor(log2(1 +
    degree)), and k' <= k Laplacian positions (`positional.laplacian_pe`), fewer in a small graph.
    They belong to this graph: another graph's positions mean something else."""
    deg = degree(data.edge_index[0], int(data.num_nodes))  # [N]
    bins = F.one_hot(torch.log2(1 + deg).long()).float()
    return torch.cat([bins, positions(data, k)], 1)


def writable(path: str | Path, overwrite: bool = False) -> None:
    """OSError: there is a graph already, or no folder for it. ValueError: a name that neither ends
    in .npz nor is a folder's, see `folders.is_folder`, or a folder that holds something else."""
    if folders.is_folder(path):
        return folders.vacant(Path(path), overwrite)
    path = Path(path)
    if path.suffix != ".npz":
        raise ValueError(f"{path}: expected a name that ends in .npz, or in / for a folder")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent}: no such folder")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path}: there is such a file; --overwrite replaces it")


def write_graph(graph: Graph, path: str | Path, *, overwrite: bool = False) -> None:
    """As .npz of the project's format, or, where path ends in / or has no suffix, as a folder of
    .npy, see `folders`; whole or not at all. `read_graph` gives the same graph. Of the features it
    keeps what is in graph.data: read with split=None to keep what the source holds. OSError,
    ValueError: see `writable`."""
    writable(path, overwrite)
    if folders.is_folder(path):
        return folders.write(Path(path), folder_arrays(graph), overwrite=overwrite)
    arrays = npz_arrays(graph)
    large = (size := sum(array.nbytes for array in arrays.values())) > LARGE
    if large:
        check_disk(Path(path).parent, size, "for the graph; free some, or name another file")
    with atomic(Path(path)) as file:
        if large:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        else:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def folder_arrays(graph: Graph) -> Arrays:
    """The arrays of `folders`."""
    data = graph.data
    arrays = folders.of_edges(data.edge_index.numpy(), int(data.num_nodes))
    names = ("x", "edge_weight", "y", *MASKS)
    arrays |= {name: data[name].numpy() for name in names if data.get(name) is not None}
    own = {"node_id": graph.node_id, "classes": graph.classes}
    return arrays | {name: array for name, array in own.items() if array is not None}


def npz_arrays(graph: Graph) -> Arrays:
    """The arrays of the project's format, see `archives`."""
    data = graph.data
    one = data.edge_index[0] < data.edge_index[1]  # of the two directions
    arrays: Arrays = {"edge_index": data.edge_index[:, one].numpy()}
    arrays |= {key: data[key].numpy() for key in MASKS if key in data}
    if data.x is not None:
        arrays |= compact(data.x.numpy())
    if "edge_weight" in data:
        arrays["edge_weight"] = data.edge_weight[one].numpy()
    if data.y is not None:
        y = data.y.numpy()
        names = np.arange(max(y.max(), 0) + 1) if graph.classes is None else graph.classes
        none = names.dtype.type("" if names.dtype.kind == "U" else -1)
        arrays["y"] = np.where(y >= 0, names[y], none)
    if graph.node_id is not None or len(arrays) == 1 + ("edge_weight" in data):
        known = graph.node_id
        arrays["node_id"] = np.arange(int(data.num_nodes)) if known is None else known
    return arrays


def compact(x: Array) -> Arrays:
    """x [N, F] as whole numbers where they are, as CSR where that is smaller."""
    if x.min() >= 0 and x.max() <= 255 and all((b == np.round(b)).all() for b in checks.blocks(x)):
        x = x.astype(np.uint8)
    if np.count_nonzero(x) * (x.itemsize + np.dtype(np.int32).itemsize) > x.nbytes:
        return {"x": x}
    csr = sparse.csr_array(x)
    return dict(zip(CSR, (csr.data, csr.indices, csr.indptr, np.array(x.shape)), strict=True))
