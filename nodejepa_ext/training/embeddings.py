"""Embeddings out of a finished run: of its graph or another, to npy, npz, csv or parquet.

Apart from folder.py, which trains and whose files are the project's own: these, with the ids of the
nodes, are for whatever comes next. Shapes: N nodes, F features, D latent dimensions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from nodejepa_ext.files import atomic
from nodejepa_ext.graphs.archives import MASKS, Array
from nodejepa_ext.graphs.graph import Graph
from nodejepa_ext.graphs.source import Source
from nodejepa_ext.training.folder import Model, source_graph
from nodejepa_ext.training.pretrained import Pretrained

SUFFIXES = (".npy", ".npz", ".csv", ".parquet")
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
    graph = source.deciding(model.choices).graph()
    if graph.columns is not None and graph.data.x is not None:
        same_names(graph.columns.features, model.columns)
    data = model.scaling.prepare(graph, model.features)
    for name in ("y", *MASKS):
        data[name] = graph.data.get(name)
    if model.scaling.rule == "structural":
        text = "features made of degrees and positions: of two graphs, embeddings do not compare"
        graph.notices.append(text)
    return graph._replace(data=data)


def same_names(found: list[str] | None, trained: list[str] | None) -> None:
    """ValueError: the feature columns of a graph are known, and are not those of training."""
    if found is None or trained is None:
        return
    for i, (name, expected) in enumerate(zip_longest(found, trained), 1):
        if name != expected:
            text = f"feature {i} of {len(found)} is {name!r}, expected {expected!r}"
            raise ValueError(f"{text} of {len(trained)}, as in training")


def writable(path: Path, overwrite: bool = False) -> None:
    """Whether `write` could. ValueError: the name ends in none of `SUFFIXES`. OSError: there is a
    file already, or no folder for it."""
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path}: expected a name that ends in {', '.join(SUFFIXES)}")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent}: no such folder")
    if path.is_dir() or path.exists() and not overwrite:
        raise FileExistsError(f"{path}: is there already; --overwrite replaces a file")


def write(path: Path, z: Floats, node_id: Array | None, *, overwrite: bool = False) -> None:
    """z [N, D] and the nodes' ids [N], 0 to N - 1 if None. csv and parquet: columns id, z0, z1 and
    so on; npz: z and node_id; npy: z alone, in the order of the nodes. Numbers read back as the
    same float32. Errors: as in `writable`; OSError where writing fails, the old file being kept."""
    writable(path, overwrite)
    ids = np.arange(len(z)) if node_id is None else node_id
    with atomic(path) as file:
        match path.suffix.lower():
            case ".npy":
                np.save(file, z)
            case ".npz":
                np.savez(file, z=z, node_id=ids)
            case ".csv":
                file.writelines(csv_lines(z, ids))
            case ".parquet":
                write_parquet(file, z, ids)


def header(z: Floats) -> list[str]:
    return ["id", *(f"z{i}" for i in range(z.shape[1]))]


def csv_lines(z: Floats, ids: Array) -> Iterator[bytes]:
    """UTF-8, in chunks; a number has the fewest digits that give the same float32."""
    yield ",".join(header(z)).encode() + b"\n"
    for start in range(0, len(z), 1000):
        rows = zip(ids[start : start + 1000].tolist(), z[start : start + 1000], strict=True)
        lines = (",".join([quoted(str(name)), *row.astype(str)]) + "\n" for name, row in rows)
        yield "".join(lines).encode()


def quoted(name: str) -> str:
    """A cell of RFC 4180; spaces around a name are kept by quotes where a reader would strip."""
    return '"' + name.replace('"', '""') + '"' if re.search(r'[",\r\n]|^\s|\s$', name) else name


def write_parquet(file: IO[bytes], z: Floats, ids: Array) -> None:
    """Columns id, z0, z1, ... of z [N, D]."""
    import pyarrow as pa
    from pyarrow import parquet

    columns = [pa.array(ids.tolist()), *(pa.array(column) for column in z.T)]
    parquet.write_table(pa.table(columns, header(z)), file)
