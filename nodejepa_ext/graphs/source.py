"""A user's graph made ready to train on, and recognised when a run goes on with it.

Apart from training, which keeps folders: here a graph is read, scaled and hashed. Shapes: N nodes,
F features.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import Tensor

from nodejepa_ext.graphs import folders
from nodejepa_ext.graphs.archives import GraphError
from nodejepa_ext.graphs.columns import Choices
from nodejepa_ext.graphs.graph import Graph, kept, read_graph
from nodejepa_ext.graphs.scaling import Scaling, prepared
from run_full import GRAPHS, RunError


class Source(NamedTuple):
    """Where a graph was read from, paths absolute, and what was said of its columns, see
    `columns.Choices`: arguments of `read_graph`."""

    source: str | None
    edges: str | None = None
    nodes: str | None = None
    features: list[str] | None = None
    not_features: list[str] | None = None
    label: str | None = None
    weight: str | None = None

    @classmethod
    def of(
        cls,
        source: str | None,
        edges: Path | None = None,
        nodes: Path | None = None,
        choices: Choices | None = None,
    ) -> Source:
        """Of paths as given; an embedded graph keeps its name."""
        paths = [str(Path(p).absolute()) if p is not None else None for p in (source, edges, nodes)]
        found = cls(source if source in GRAPHS else paths[0], paths[1], paths[2])
        return found if choices is None else found.deciding(choices)

    def deciding(self, choices: Choices) -> Source:
        """The same with these choices."""
        return self._replace(
            features=None if choices.features is None else [*choices.features],
            not_features=[*choices.not_features] or None,
            label=choices.label,
            weight=choices.weight,
        )

    @property
    def choices(self) -> Choices:
        features = None if self.features is None else tuple(self.features)
        return Choices(features, tuple(self.not_features or ()), self.label, self.weight)

    def graph(self) -> Graph:
        """Features as they are. GraphError, ValueError, ImportError: as `read_graph`."""
        return read_graph(
            self.source,
            edges=self.edges,
            nodes=self.nodes,
            normalise="none",
            choices=self.choices,
        )


class Subject(NamedTuple):
    """A graph to train on: x [N, F] as the encoder gets it, how it was made, and what was read."""

    graph: Graph
    scaling: Scaling
    sha256: str  # of the graph as read, before scaling; of a folder, as `recorded`
    source: Source | None
    mapped: tuple[folders.Mark, ...] = ()  # files that are still read from

    def check_unchanged(self) -> None:
        """RunError 3: a mapped file has been written to since it was read."""
        try:
            folders.unchanged(self.mapped)
        except GraphError as error:
            raise RunError(
                f"{error}; put the file back, as it was when training began", 3
            ) from None


def read(source: Source, positions: int | None = 0) -> Subject:
    """GraphError, ValueError, ImportError: as `read_graph`; positions: see `subject`."""
    return subject(source.graph(), source, positions)


def subject(graph: Graph, source: Source | None = None, positions: int | None = 0) -> Subject:
    """Of a graph read with normalise="none". A train_mask of one class is left out: a linear probe
    could tell nothing. positions: columns of them beside features; None: where `prepared` finds
    features weak, but not in an embedded graph."""
    if source is not None and source.source in GRAPHS and positions is None:
        positions = 0
    scaling, data, said = prepared(graph, positions=positions)
    raw, notices = graph.data, list(graph.notices)
    labels = {k: raw[k] for k in ("y", "train_mask", "val_mask", "test_mask") if k in raw}
    if "train_mask" in labels and labels["y"][labels["train_mask"]].unique().numel() < 2:
        del labels["train_mask"]
        notices.append("train_mask left out: its nodes are of one class")
    for name, value in labels.items():
        data[name] = value
    ready = graph._replace(data=data, notices=[*notices, *said])
    sha256 = recorded(source) if source is not None else None
    mapped = folders.marks(Path(source.source)) if sha256 and source and source.source else ()
    return Subject(ready, scaling, sha256 or sha256_of(graph), source, mapped)


def recorded(source: Source) -> str | None:
    """Of a folder that `write_graph` wrote: a hash of those in its graph.json, for reading it has
    compared them with the files, without hashing gigabytes again. None: it is no such folder."""
    if source.source is None or source.edges or source.nodes or not kept(source.source):
        return None
    return folders.recorded(Path(source.source))


def sha256_of(graph: Graph) -> str:
    """Of everything in a graph that its source decides."""
    digest = hashlib.sha256(str(graph.data.num_nodes).encode())
    arrays = {k: t.numpy() for k, t in graph.data.to_dict().items() if isinstance(t, Tensor)}
    for name, array in (*sorted(arrays.items()), ("id", graph.node_id), ("y", graph.classes)):
        if array is not None:
            digest.update(f"{name} {array.dtype} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
