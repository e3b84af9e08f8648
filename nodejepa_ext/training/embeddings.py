"""Embeddings out of a finished run: of its graph or another, to npy, npz, csv or parquet.

Apart from folder.py, which trains and whose files are the project's own: these, with the ids of the
nodes, are for whatever comes next. Shapes: N nodes, F features, D latent dimensions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from nodejepa_ext.files import atomic, check_disk
from nodejepa_ext.graphs.archives import MASKS, Array
from nodejepa_ext.graphs.graph import Graph, read_graph
from nodejepa_ext.graphs.source import Source
from nodejepa_ext.training.folder import Model, source_graph
from nodejepa_ext.training.pretrained import Pretrained

SUFFIXES = (".npy", ".npz", ".csv", ".parquet")
LAYOUTS = ("columns", "list")
BATCH = 1 << 22  # numbers
MADE = "features made of degrees and positions"
TEXT = 10  # bytes, about, of a number in csv
ODD = re.compile(r'[",\r\n]|^\s|\s$')  # ids that CSV quotes
Floats = NDArray[np.float32]


def graph_for(model: Model | Pretrained, folder: Path, source: Source | None = None) -> Graph:
    """The training graph of the run in `folder`, or the one in `source`; x [N, F] as the encoder
    takes it. GraphError, ImportError: as in `read_graph`. ValueError: its features are not those
    of training, or there is no source and the model is without its run. RunError 3: the training
    graph is another now, or gone."""
    if source is None and isinstance(model, Pretrained):
        raise ValueError(f"{folder}: a model without its training graph, expected --graph")
    if source is None:
        return source_graph(folder)
    graph = read_graph(
        source.source,
        edges=source.edges,
        nodes=source.nodes,
        normalise="none",
        choices=model.choices._replace(if_there=True),
    )
    if graph.columns is not None and graph.data.x is not None:
        same_names(graph.columns.features, model.columns)
    data = model.scaling.prepare(graph, model.features)
    for name in ("y", *MASKS):
        data[name] = graph.data.get(name)
    if model.scaling.positions or model.scaling.rule == "structural":
        made = "positions beside features" if model.scaling.positions else MADE
        graph.notices.append(f"{made}: of two graphs, embeddings do not compare")
    return graph._replace(data=data)


def same_names(found: list[str] | None, trained: list[str] | None) -> None:
    """ValueError: the feature columns of a graph are known, and are not those of training."""
    if found is None or trained is None:
        return
    for i, (name, expected) in enumerate(zip_longest(found, trained), 1):
        if name != expected:
            text = f"feature {i} of {len(found)} is {name!r}, expected {expected!r}"
            raise ValueError(f"{text} of {len(trained)}, as in training")


def writable(path: Path, overwrite: bool = False, layout: str = "columns") -> None:
    """Whether `write` could. ValueError: the name ends in none of `SUFFIXES`, or the layout is not
    one of `LAYOUTS`, or none that such a file has. OSError: there is a file already, or no folder
    for it."""
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path}: expected a name that ends in {', '.join(SUFFIXES)}")
    if layout not in LAYOUTS:
        raise ValueError(f"layout = {layout!r}: expected one of {', '.join(LAYOUTS)}")
    if layout == "list" and path.suffix.lower() != ".parquet":
        raise ValueError(f"{path}: layout = 'list', expected a name that ends in .parquet")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent}: no such folder")
    if path.is_dir() or path.exists() and not overwrite:
        raise FileExistsError(f"{path}: is there already; --overwrite replaces a file")


def roomy(path: Path, n: int, width: int, each_id: int = 8) -> None:
    """OSError names the folder: its disk has no room for the embedding of n nodes, whose ids take
    so many bytes each."""
    each = TEXT if path.suffix.lower() == ".csv" else 4
    text = "for the embedding; free some, or name a file on another disk"
    check_disk(path.parent, n * (each * width + each_id), text)


def write(
    path: Path,
    z: Floats,
    node_id: Array | None,
    *,
    overwrite: bool = False,
    layout: str = "columns",
) -> None:
    """z [N, D] and the nodes' ids [N], 0 to N - 1 if None. csv and parquet: columns id, z0, z1 and
    so on, or, parquet with layout "list", id and z, a list of D numbers in each row; npz: z and
    node_id; npy: z alone, in the order of the nodes. Numbers read back as the same float32.
    Errors: as in `writable`; OSError where writing fails, the old file being kept."""
    writable(path, overwrite, layout)
    ids = np.arange(len(z)) if node_id is None else node_id
    with atomic(path) as file:
        match path.suffix.lower():
            case ".npy":
                np.save(file, z)
            case ".npz":
                np.savez(file, z=z, node_id=ids)
            case ".csv":
                write_csv(file, z, ids)
            case ".parquet":
                write_parquet(file, z, ids, layout)


def batches(z: Floats, ids: Array, layout: str) -> Iterator[Any]:
    """pyarrow's record batches of about BATCH numbers: the ids and z [N, D] in a layout; at least
    one."""
    import pyarrow as pa

    step = max(BATCH // max(z.shape[1], 1), 1)
    for start in range(0, max(len(z), 1), step):
        part = z[start : start + step]  # [n, D]
        # by Python's strings: numpy's end at a NUL in pyarrow
        columns = [pa.array(ids[start : start + step].tolist(), id_type(ids))]
        if layout == "list":
            flat = pa.array(np.ascontiguousarray(part).ravel())
            columns.append(pa.FixedSizeListArray.from_arrays(flat, z.shape[1]))
            names = ["id", "z"]
        else:
            columns += [pa.array(np.ascontiguousarray(column)) for column in part.T]
            names = header(z)
        yield pa.record_batch(columns, names)


def id_type(ids: Array) -> Any:
    """pyarrow's, of ids [N]."""
    import pyarrow as pa

    return pa.int64() if ids.dtype.kind in "iu" else pa.string()


def header(z: Floats) -> list[str]:
    return ["id", *(f"z{i}" for i in range(z.shape[1]))]


def write_csv(file: IO[bytes], z: Floats, ids: Array) -> None:
    """UTF-8; a number has the fewest digits that give the same float32. All ids are quoted where
    one needs it: by RFC 4180, or for the spaces around it."""
    from pyarrow import csv

    bare = ids.dtype.kind in "iu" or not any(map(ODD.search, ids.tolist()))
    quoting = "none" if bare else "needed"
    options = csv.WriteOptions(include_header=False, quoting_style=quoting)
    file.write(",".join(header(z)).encode() + b"\n")
    for batch in batches(z, ids, "columns"):
        csv.write_csv(batch, file, options)


def write_parquet(file: IO[bytes], z: Floats, ids: Array, layout: str) -> None:
    """Ids and z [N, D] in a layout, by groups of rows."""
    from pyarrow import parquet

    parts = batches(z, ids, layout)
    first = next(parts)
    # hardly a number of z is there twice: a dictionary would be built in vain
    with parquet.ParquetWriter(file, first.schema, use_dictionary=False) as writer:
        writer.write_batch(first)
        for batch in parts:
            writer.write_batch(batch)
