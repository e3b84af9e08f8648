"""The arrays of the project's format -> those of a sound graph: what sound means is said here.

Apart from graph.py because whatever a graph came from, its arrays are judged by the same rules.
Names and shapes as in archives.py: N nodes, E edges as given, F features, C classes, k splits.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import sparse

from nodejepa_ext.graphs.archives import (
    CSR,
    MASKS,
    MOST_PROBLEMS,
    Array,
    Arrays,
    GraphError,
    check_csr,
    refuse_large,
)
from nodejepa_ext.graphs.cells import LARGEST, array_of

BLOCK = 1 << 20  # numbers


def expect(name: str, a: Arrays, key: str, kinds: str, *ndim: int) -> Array:
    """a[key]. GraphError: it is absent, of another type or of another number of dimensions."""
    if key not in a:
        raise GraphError(f"{name}: holds {', '.join(a) or 'nothing known'}, expected {key} as well")
    if (array := a[key]).dtype.kind in kinds and array.ndim in ndim:
        return array
    names = {"iu": "integers", "b": "booleans", "biuf": "numbers"}
    shapes = {"edge_index": "[2, E]", "edge_weight": "[E]", "x": "[N, F]"}
    shape = shapes.get(key, " or ".join(("", "[N]", "[N, k]")[d] for d in ndim))
    wanted = f"{names.get(kinds, 'integers or strings')} {shape}"
    raise GraphError(f"{name}, {key}: {array.dtype} {array.shape}, expected {wanted}")


def refuse(name: str, key: str, bad: Array, array: Array, expected: str) -> None:
    """GraphError with the first entries [..] of array where bad [..] is True, if any is."""
    if bad.any():
        places = [tuple(place.tolist()) for place in np.argwhere(bad)[:MOST_PROBLEMS]]
        raise GraphError(
            *(f"{name}, {key}{[*i]}: {array[i].item()!r}, expected {expected}" for i in places)
        )


def features(name: str, a: Arrays, notices: list[str]) -> Array | None:
    """x [N, F] float32, contiguous; None if there are none."""
    if given := [key for key in CSR if key in a]:
        array = csr_features(name, a, notices)
        if "x" in a:
            raise GraphError(f"{name}: x and {', '.join(given)}, expected one of these")
    elif "x" not in a or not (array := expect(name, a, "x", "biuf", 2)).shape[1]:
        return None
    refuse_large(f"{name}, x", 4 * array.size)
    with np.errstate(over="ignore"):
        x = np.ascontiguousarray(array, np.float32)
    if not all(np.isfinite(block).all() for block in blocks(x)):
        refuse(name, "x", ~np.isfinite(x), array, "a finite number")
    return x if x.shape[1] else None


def blocks(x: Array) -> Iterator[Array]:
    """x [N, F] in rows of about BLOCK numbers, so that what is made of it stays small."""
    step = max(BLOCK // max(x.shape[1], 1), 1)
    return (x[i : i + step] for i in range(0, len(x), step))


def constant(x: Array) -> bool:
    """Whether all rows of x [N, F] are equal."""
    return all(bool((block == x[0]).all()) for block in blocks(x))


def csr_features(name: str, a: Arrays, notices: list[str]) -> Array:
    """x [N, F] from its CSR parts."""
    value = expect(name, a, "x_data", "biuf", 1)
    indices, indptr, size = (expect(name, a, key, "iu", 1) for key in CSR[1:])
    if size.shape != (2,) or min(size) < 0:
        raise GraphError(f"{name}, x_shape: {size.tolist()}, expected [N, F]")
    n, width = map(int, size)
    check_csr(f"{name}, x", indices, indptr, (n, width))
    if value.shape != indices.shape:
        raise GraphError(f"{name}, x_data: {len(value)} values, expected {len(indices)}")
    refuse_large(f"{name}, x", 4 * max(n, 1) * width)
    with np.errstate(over="ignore"):
        parts = value.astype(np.float32), indices.copy(), indptr.astype(np.int64)
    csr = sparse.csr_array(parts, (n, width))
    csr.sum_duplicates()
    if merged := len(value) - csr.nnz:
        notices.append(f"{merged} entries of x given twice were summed")
    return csr.toarray()


def count(name: str, a: Arrays) -> int:
    """N, by all that has a row a node; else by the largest end of an edge."""
    if len(ends := expect(name, a, "edge_index", "iu", 2)) != 2:
        raise GraphError(f"{name}, edge_index: {ends.shape}, expected [2, E]")
    rows = {key: len(a[key]) for key in ("x", "y", *MASKS, "node_id") if key in a and a[key].ndim}
    rows |= {"x": int(a["x_shape"][0])} if "x_shape" in a else {}
    if len({*rows.values()}) > 1:
        found = ", ".join(f"{key} {n}" for key, n in rows.items())
        raise GraphError(f"{name}: rows of {found}, expected one a node in each")
    n = next(iter(rows.values())) if rows else int(ends.max()) + 1 if ends.size else 0
    if not rows and n > 20 * ends.size + 1000:
        text = f"{name}, edge_index: {n - 1}, with {ends.size // 2} edges in all"
        raise GraphError(f"{text}, expected ids from 0 without large gaps, or node_id [N]")
    refuse_large(f"{name}: {n} nodes", 64 * n)
    if n < 2:
        raise GraphError(f"{name}: {n} nodes, expected at least 2")
    return n


def identifiers(name: str, a: Arrays) -> Array | None:
    """node_id [N]; None where they are 0 to N - 1."""
    if "node_id" not in a:
        return None
    ids = expect(name, a, "node_id", "iuUS", 1)
    if ids.dtype.kind in "iu" and (ids == np.arange(len(ids))).all():
        return None
    if ids.dtype.kind == "S":
        ids = decoded(f"{name}, node_id", ids)
    if ids.dtype.kind == "U":
        refuse(name, "node_id", nul_within(ids), ids, "an id without NUL characters")
    again = np.ones(len(ids), bool)
    again[np.unique(ids, return_index=True)[1]] = False
    refuse(name, "node_id", again, ids, "an id once only")
    return ids


def decoded(place: str, raw: Array) -> Array:
    """Bytes [n] as strings. GraphError: they are too large."""
    refuse_large(place, 4 * raw.nbytes)
    texts: Array = np.char.decode(raw, "utf-8", "backslashreplace")
    return texts


def nul_within(texts: Array) -> Array:
    """[n] bool: of strings [n], those with a NUL before another character. Trailing ones are the
    padding of numpy's strings."""
    width = texts.dtype.itemsize // 4
    if width < 2:
        return np.zeros(len(texts), bool)
    codes = np.ascontiguousarray(texts).view(np.uint32).reshape(len(texts), width)
    ended = np.logical_or.accumulate(codes == 0, axis=1)
    return (ended & (codes != 0)).any(1)


def edge_arrays(name: str, a: Arrays, n: int, notices: list[str]) -> tuple[Array, Array | None]:
    """edge_index [2, 2E] sorted, each edge both ways, and edge_weight [2E] or None."""
    ends, weight = a["edge_index"], None
    if "edge_weight" in a:
        weight = expect(name, a, "edge_weight", "biuf", 1)
    refuse(name, "edge_index", (ends < 0) | (ends >= n), ends, f"0 to {n - 1}, as of {n} nodes")
    if weight is not None and len(weight) != ends.shape[1]:
        raise GraphError(
            f"{name}, edge_weight: {len(weight)}, expected {ends.shape[1]}, one an edge"
        )
    value = np.ones(ends.shape[1], bool)
    if weight is not None:
        value = weight.astype(np.float64)
        small, large = np.finfo(np.float32).tiny, LARGEST
        bad = ~((value >= small) & (value <= large))
        refuse(name, "edge_weight", bad, value, "finite, above 0")
    row, col = ends.astype(np.int64, copy=False)
    other = row != col
    if loops := int((~other).sum()):
        notices.append(f"{loops} self-loops left out: training gives every node its own")
        value, row, col = value[other], row[other], col[other]
    directed = sparse.csr_array((value, (row, col)), (n, n))
    both = directed.maximum(directed.T).tocsr()
    both.sort_indices()
    say_merged(ends.shape[1] - loops, directed, both, weight is not None, notices)
    del directed, row, col, value  # before the largest arrays are made
    degrees = np.diff(both.indptr)
    if alone := int((degrees == 0).sum()):
        notices.append(f"{alone} of {n} nodes have no edges")
    edge_index = np.empty((2, both.nnz), np.int64)
    edge_index[0] = np.repeat(np.arange(n), degrees)
    edge_index[1] = both.indices
    if weight is None:
        return edge_index, None
    with np.errstate(over="ignore"):
        total = both.data.astype(np.float32)
    refuse(name, "edge_weight", ~np.isfinite(total), both.data, "a sum that is finite in float32")
    return edge_index, total


def say_merged(given: int, directed: Any, both: Any, weighted: bool, notices: list[str]) -> None:
    """Of `given` edges without loops, those given twice, in one direction, or with a weight for
    each; directed and both: [N, N], as given and undirected."""
    pairs, links = directed.nnz, both.nnz // 2
    if again := given - pairs:
        summed = ", their weights summed" if weighted else ""
        notices.append(f"{again} edges given again were merged{summed}")
    if one_way := 2 * links - pairs:
        text = f"{one_way} of {links} edges are given in one direction only"
        notices.append(f"{text}: the graph is taken as undirected")
    if uneven := (directed != directed.T).nnz // 2 - one_way if weighted else 0:
        notices.append(f"{uneven} edges have a weight for each direction: the larger was kept")


def labels(name: str, a: Arrays, notices: list[str]) -> tuple[Array | None, Array | None]:
    """y [N], -1 unlabelled, and the names of the classes where they are not 0 to C - 1."""
    if "y" not in a:
        return None, None
    y = expect(name, a, "y", "biufUS", 1)
    if y.dtype.kind == "S":
        y = decoded(f"{name}, y", y)
    if y.dtype.kind == "U":
        y = whole_numbers(y)
    if y.dtype.kind == "f":
        odd = ~np.isfinite(y) | (np.abs(y) > 2**53) | (y != np.round(y))
        refuse(name, "y", odd & ~np.isnan(y), y, "a class, an integer")
        y = np.where(np.isnan(y), -1, y)
    text = y.dtype.kind == "U"
    if not text:
        wanted = "a class from 0, or -1 for none"
        refuse(name, "y", (y < -1) | (y > 2**63 - 1025), y, wanted)
        y = y.astype(np.int64)
    else:
        refuse(name, "y", nul_within(y), y, "a class without NUL characters")
    missing = y == ("" if text else -1)
    names, codes = np.unique(y[~missing], return_inverse=True)
    out = np.full(len(y), -1)
    out[~missing] = codes
    if unlabelled := int(missing.sum()):
        notices.append(f"{unlabelled} of {len(y)} nodes have no label")
    if len(names) < 2:
        notices.append(f"{len(names)} classes: labels can choose and judge nothing")
    if not len(names) or not text and names[-1] == len(names) - 1:
        return (out, None) if len(names) else (None, None)
    shown = ", ".join(map(repr, names[:10].tolist()))
    if len(names) > 10:
        shown += ", ..."
    notices.append(f"classes 0 to {len(names) - 1} stand for {shown}")
    return out, names


def whole_numbers(y: Array) -> Array:
    """Strings [N] as integers, -1 for "", where all are integers as Python writes them."""
    texts, codes = np.unique(y, return_inverse=True)
    values = array_of(texts[texts != ""].tolist())
    if values.dtype.kind != "i":
        return y
    whole = np.full(len(texts), -1)
    whole[texts != ""] = values
    numbers: Array = whole[codes]
    return numbers


def masks_of(
    name: str, a: Arrays, y: Array | None, split: int | None, notices: list[str]
) -> dict[str, Array]:
    """train_mask, val_mask and test_mask, as far as there are any: [N], or [N, k] if split is None.
    GraphError: two of them overlap, or there is no such split."""
    masks = {key: expect(name, a, key, "b", 1, 2) for key in MASKS if key in a}
    if masks and y is None:
        notices.append(f"{', '.join(masks)} left out: there are no labels")
        return {}
    widths = {mask.shape[1] for mask in masks.values() if mask.ndim == 2}
    if len(widths) > 1 or not 0 <= (split or 0) < max(widths, default=1):
        raise GraphError(
            f"{name}: masks of {sorted(widths)} splits, expected split {split or 0} in all"
        )
    wide = {key: mask[:, None] if mask.ndim == 1 else mask for key, mask in masks.items()}  # [N, k]
    for (one, first), (other, second) in itertools.combinations(wide.items(), 2):
        refuse(name, f"{one} and {other}", first & second, first, "a node in one of them only")
    if split is not None and widths:
        notices.append(f"masks of {max(widths)} splits: split {split} is taken")
    if split is not None:
        masks = {key: m if m.ndim == 1 else m[:, split] for key, m in masks.items()}
    for key, mask in masks.items():
        if hidden := int((mask[y == -1]).sum()):
            notices.append(f"{key}: {hidden} nodes without a label left out")
        masks[key] = (mask.T & (y != -1)).T
    for key in [key for key, mask in masks.items() if not mask.any()]:
        notices.append(f"{key} left out: it holds no node")
        del masks[key]
    if masks and {"train_mask", "val_mask"} - masks.keys():
        notices.append("without train_mask and val_mask, nothing is chosen on validation nodes")
    return masks
