"""A PyG Data's attributes -> the arrays of the project's format.

Apart from archives.py, which reads what torch.save wrote: here is what the attributes mean, however
the Data came. What has no place in the format is left out, and said.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from nodejepa_ext.graphs.archives import (
    CSR,
    FORMAT,
    MASKS,
    Array,
    Arrays,
    GraphError,
    refuse_large,
)

OURS = ("num_nodes", "x_mean", "x_scale")  # what `read_graph` leaves beside the format


def arrays_of(name: str, values: dict[str, Any], notices: list[str]) -> Arrays:
    """GraphError: what numpy cannot hold."""
    values = {key: value for key, value in values.items() if value is not None}
    matrix_edges(name, values, notices)
    weights_of(values, notices)
    if other := [key for key in values if key not in (*FORMAT, *OURS)]:
        notices.append(f"left out, no part of the format: {', '.join(map(repr, other))}")
    arrays: Arrays = {}
    for key in (key for key in FORMAT if key in values):
        arrays |= plain(name, key, values[key])
    if "y" in arrays:
        one_class(name, arrays, notices)
    for mask in MASKS:
        if mask in arrays and arrays[mask].dtype == np.uint8 and (arrays[mask] <= 1).all():
            arrays[mask] = arrays[mask].astype(bool)
            notices.append(f"{mask}: 0 and 1 are taken as false and true")
    if isinstance(n := values.get("num_nodes"), int) and "node_id" not in arrays:
        refuse_large(f"{name}: {n} nodes", 64 * n)
        arrays["node_id"] = np.arange(n)
    return arrays


def matrix_edges(name: str, values: dict[str, Any], notices: list[str]) -> None:
    """edge_index of adj_t, a sparse tensor [N, N], as PyG's ToSparseTensor leaves it: transposed,
    which in a graph taken as undirected is the same."""
    matrix = values.get("adj_t")
    if not isinstance(matrix, Tensor) or matrix.layout == torch.strided or "edge_index" in values:
        return
    if matrix.dim() != 2 or matrix.shape[0] != matrix.shape[1]:
        raise GraphError(f"{name}, adj_t: {list(matrix.shape)}, expected [N, N]")
    refuse_large(f"{name}, adj_t: {matrix.shape[0]} nodes", 64 * matrix.shape[0])
    coo = matrix.detach().cpu().to_sparse_coo().coalesce()
    values["edge_index"] = coo.indices()
    values.setdefault("num_nodes", int(coo.shape[0]))
    if not bool((coo.values() == 1).all()):
        values.setdefault("edge_weight", coo.values())
    del values["adj_t"]
    notices.append("edges are those of adj_t")


def weights_of(values: dict[str, Any], notices: list[str]) -> None:
    """edge_weight of an edge_attr of one column."""
    attributes = values.get("edge_attr")
    if not isinstance(attributes, Tensor) or "edge_weight" in values:
        return
    if attributes.dim() == 2 and attributes.shape[1] == 1:
        attributes = attributes[:, 0]
    if attributes.dim() == 1 and not attributes.is_complex():
        values["edge_weight"] = attributes
        del values["edge_attr"]
        notices.append("edge_attr, one number an edge, is taken as the edge weight")


def plain(name: str, key: str, value: Any) -> Arrays:
    """The attribute as arrays of the format: x as CSR where it is sparse."""
    if isinstance(value, list) and value and {*map(type, value)} == {str}:
        return {key: np.array(value)}
    if isinstance(value, np.ndarray):
        return {key: value}
    if not isinstance(value, Tensor) or value.is_meta:
        what = "meta tensor" if isinstance(value, Tensor) else type(value).__name__
        raise GraphError(f"{name}, {key}: a {what}, expected a dense tensor")
    if value.is_quantized or value.is_complex():
        raise GraphError(f"{name}, {key}: {value.dtype}, expected plain numbers")
    if key == "x" and value.layout in (torch.sparse_coo, torch.sparse_csr):
        if value.dim() != 2:
            raise GraphError(f"{name}, x: {list(value.shape)}, expected [N, F]")
        refuse_large(f"{name}, x", 4 * value.shape[0] * max(value.shape[1], 1))
        coo = value.detach().cpu().float().to_sparse_coo().coalesce()
        entries = coo.values().numpy(), tuple(coo.indices().numpy())
        csr = sparse.csr_array(entries, tuple(coo.shape))
        parts = csr.data, csr.indices, csr.indptr, np.array(csr.shape)
        return dict(zip(CSR, parts, strict=True))
    if value.layout != torch.strided:
        raise GraphError(f"{name}, {key}: a {value.layout} tensor, expected a dense tensor")
    refuse_large(f"{name}, {key}", 4 * value.numel())
    value = value.detach().cpu().resolve_neg()
    return {key: (value.float() if value.is_floating_point() else value).numpy()}


def one_class(name: str, arrays: Arrays, notices: list[str]) -> None:
    """y [N] of y [N, 1]; without y where a node has several classes, or a number."""
    y: Array = arrays["y"]
    if y.ndim == 2 and y.shape[1] == 1:
        y = arrays["y"] = y[:, 0]
    why = ""
    if y.ndim == 2:
        why = f"{y.shape[1]} values a node"
    elif y.dtype.kind == "f" and bool((np.isfinite(y) & (y != np.round(y))).any()):
        why = "fractions"
    if not why:
        return
    del arrays["y"]
    masks = [mask for mask in MASKS if mask in arrays]
    for mask in masks:
        del arrays[mask]
    also = f", {', '.join(masks)} with it" if masks else ""
    notices.append(f"y holds {why}: no classes, left out{also}")
