"""What torch.save wrote of a PyG graph -> its attributes, read without trust.

Apart from archives.py, whose files are numpy's: torch's restricted loader makes the objects here,
and none of their own code or methods is called.
"""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path
from typing import Any

from nodejepa_ext.graphs.archives import (
    GraphError,
    distrust,
    opened,
    refuse_bomb,
    refuse_unpacked,
)


def read_pt(path: Path, notices: list[str]) -> dict[str, Any]:
    """The attributes of a PyG Data, of a HeteroData of one type of nodes, or of the one graph in a
    dataset's processed (data, slices). torch's old format, a bare pickle, is refused."""
    import torch
    from torch_geometric.data import Data, HeteroData
    from torch_geometric.data.data import DataEdgeAttr, DataTensorAttr
    from torch_geometric.data.storage import (
        BaseStorage,
        EdgeStorage,
        GlobalStorage,
        NodeStorage,
    )

    allowed = [Data, HeteroData, DataEdgeAttr, DataTensorAttr]
    allowed += [BaseStorage, GlobalStorage, NodeStorage, EdgeStorage]
    with opened(path) as file, distrust(str(path), "torch.save of a PyG Data of tensors"):
        refuse_bomb(path, zipfile.ZipFile(file))
        file.seek(0)
        with torch.serialization.safe_globals(allowed), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of kinds of tensors that are refused below
            saved = torch.load(file, weights_only=True, map_location="cpu")
        if isinstance(saved, tuple) and saved:
            saved = one_graph(path, saved, notices)
        if isinstance(saved, dict):
            held = of_dict(path, saved)
        elif isinstance(saved, HeteroData):
            held = one_type(path, vars(saved), notices)
        elif isinstance(saved, Data):
            held = mapping(path, vars(saved).get("_store"))
        else:
            raise GraphError(f"{path}: holds a {type(saved).__name__}, expected a PyG Data")
    for key, value in held.items():
        if isinstance(value, torch.Tensor):
            refuse_unpacked(f"{path}, {key}", size_of(value), path.stat().st_size)
    return held


def size_of(value: Any) -> int:
    """Bytes that a tensor takes when it is laid out: strides of 0 make much of little."""
    import torch

    parts = [value]
    if value.layout == torch.sparse_coo:
        parts = [value._indices(), value._values()]
    elif value.layout == torch.sparse_csr:
        parts = [value.crow_indices(), value.col_indices(), value.values()]
    elif value.layout != torch.strided:
        return 0  # refused by its kind
    return sum(part.numel() * max(part.element_size(), 4) for part in parts)


def mapping(path: Path, store: Any) -> dict[str, Any]:
    """Of a storage of PyG's, not by its methods, which the file may have replaced."""
    from torch_geometric.data.storage import BaseStorage

    held = vars(store).get("_mapping") if isinstance(store, BaseStorage) else None
    if not isinstance(held, dict) or not all(isinstance(key, str) for key in held):
        raise GraphError(f"{path}: a Data without its attributes, expected a PyG Data")
    return dict(held)


def of_dict(path: Path, saved: dict[Any, Any]) -> dict[str, Any]:
    """What newer datasets of PyG keep of a Data in place of it."""
    if "edge_index" not in saved or not all(isinstance(key, str) for key in saved):
        raise GraphError(f"{path}: holds a dict, expected a PyG Data")
    return dict(saved)


def one_graph(path: Path, saved: tuple[Any, ...], notices: list[str]) -> Any:
    """The Data of (data, slices), as PyG keeps a dataset, if that is one graph."""
    import torch

    slices = saved[1] if len(saved) > 1 else None
    if isinstance(slices, dict):
        edges = slices.get("edge_index")
        count = len(edges) - 1 if isinstance(edges, torch.Tensor | list) else 1
        if count != 1:
            raise GraphError(f"{path}: a dataset of {count} graphs, expected one graph")
    elif slices is not None:
        raise GraphError(f"{path}: holds a tuple, expected a PyG Data")
    notices.append("the one graph of a processed dataset")
    return saved[0]


def one_type(path: Path, hetero: dict[str, Any], notices: list[str]) -> dict[str, Any]:
    """Attributes of the one type of nodes and the one type of edges between them."""
    nodes, edges = hetero.get("_node_store_dict"), hetero.get("_edge_store_dict")
    if not isinstance(nodes, dict) or not isinstance(edges, dict):
        raise GraphError(f"{path}: a HeteroData without its parts, expected a PyG Data")
    if len(nodes) != 1 or len(edges) != 1:
        kinds = f"{len(nodes)} types of nodes and {len(edges)} of edges"
        wanted = "one of each; HeteroData.to_homogeneous() makes one graph of it"
        raise GraphError(f"{path}: a HeteroData of {kinds}, expected {wanted}")
    notices.append(f"a HeteroData of one type of nodes, {next(iter(nodes))!r}")
    (node_store,), (edge_store,) = nodes.values(), edges.values()
    return mapping(path, node_store) | mapping(path, edge_store)
