"""NodeJEPA: embeddings of a graph's nodes as a scikit-learn transformer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor
from torch_geometric.data import Data

from nodejepa_ext.graphs.archives import CSR, Array
from nodejepa_ext.graphs.graph import Graph, read_graph
from nodejepa_ext.graphs.scaling import Scaling
from nodejepa_ext.parts.choice import Parts
from nodejepa_ext.training import batches
from nodejepa_ext.training.memory import check_memory
from nodejepa_ext.training.settings import adapted, preset_for
from nodejepa_ext.training.stopping import label_free, patience
from run_full import Config

Floats = NDArray[np.float32]
FIELDS = {field.name for field in fields(Config)}


class NodeJEPA(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Self-supervised: fit learns an encoder from one graph, transform embeds its nodes, the same
    graph with more nodes, or another graph with the same features. Labels never enter.

    A graph, X below, is a PyG Data; a tuple (x, edges) or (x, edges, weights) of x [N, F], an
    array, tensor or SciPy sparse matrix, or None for none, edges [2, E] or, where that cannot be
    meant, [E, 2], or a SciPy adjacency matrix [N, N], and weights [E]; or anything else that
    `read_graph` takes. A graph that comes from `read_graph` is best read with normalise="none",
    so that the statistics of the training graph serve every other.

    preset: auto, best, card or bgrl, see `preset_for`. normalise: see `read_graph`; learnt in
    fit, applied in transform. All other parameters are fields of `run_full.Config`, None: as the
    preset has them; `settings` holds those that have no parameter of their own. The epoch to keep
    is chosen by `label_free`. batch_nodes: of the subgraphs to train on, where the whole graph
    does not fit; transform then goes in chunks of as many nodes. 0: the whole graph at once.

    Fitted: embedding_ [N, D] float32; encoder_; config_; scaling_; n_features_in_, F;
    loss_curve_, a number an epoch; notices_, what was mended in the graph, or assumed.
    The same seed on the same machine gives the same bits."""

    def __init__(
        self,
        preset: str = "auto",
        *,
        epochs: int | None = None,
        encoder: str | None = None,
        hidden: int | None = None,
        out: int | None = None,
        layers: int | None = None,
        own_features: bool | None = None,
        mask: float | None = None,
        lr: float | None = None,
        normalise: str = "auto",
        settings: Mapping[str, Any] | None = None,
        batch_nodes: int = 0,
        seed: int = 0,
        device: str = "auto",
    ) -> None:
        self.preset = preset
        self.epochs = epochs
        self.encoder = encoder
        self.hidden = hidden
        self.out = out
        self.layers = layers
        self.own_features = own_features
        self.mask = mask
        self.lr = lr
        self.normalise = normalise
        self.settings = settings
        self.batch_nodes = batch_nodes
        self.seed = seed
        self.device = device

    def fit(self, X: Any, y: Any = None) -> Self:
        """X: a graph; y, and labels in X, are ignored. GraphError: no sound graph. ValueError: a
        parameter that holds what it may not. RunError 6: too little memory; 7: the loss is not
        finite."""
        graph = graph_of(X)
        scaling = Scaling.fit(graph.data.x, self.normalise)
        data = scaling.prepare(graph)
        config, why = self._config(data, scaling.rule == "structural")
        batches.check(self.batch_nodes, Parts())
        check_memory(data, config, batch_nodes=self.batch_nodes)
        result = batches.train(config, data, self.batch_nodes, keep=label_free, on_epoch=patience)
        assert result.state
        self.encoder_, self.config_, self.scaling_ = result.state.encoder, config, scaling
        self.embedding_: Floats = result.z.numpy()
        self.loss_curve_ = [row["loss"] for row in result.state.rows]
        self.n_features_in_ = data.x.shape[1]
        self.notices_ = [*graph.notices, why]
        return self

    def transform(self, X: Any) -> Floats:
        """z [N, D] of a graph with the training graph's F features. GraphError: no sound graph.
        ValueError: it has other features. NotFittedError: before fit."""
        check_is_fitted(self)
        data = self.scaling_.prepare(graph_of(X), self.n_features_in_)
        return batches.embed(self.encoder_, data, self.batch_nodes).numpy()

    def fit_transform(self, X: Any, y: Any = None) -> Floats:
        """embedding_ [N, D] after fit, whose errors it has."""
        return self.fit(X, y).embedding_

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """nodejepa0 to nodejepa{D - 1}. NotFittedError: before fit."""
        check_is_fitted(self)
        names = [f"nodejepa{i}" for i in range(self.embedding_.shape[1])]
        return np.array(names, object)

    def _config(self, data: Data, structural: bool) -> tuple[Config, str]:
        """preset < settings < parameters, and why this preset; structural: see `auto`."""
        named = {name: value for name, value in self.get_params().items() if name in FIELDS}
        settings = dict(self.settings or {})
        if bad := settings.keys() - (FIELDS - named.keys()):
            own = ", ".join(sorted(FIELDS - named.keys()))
            raise ValueError(f"settings: {', '.join(sorted(bad))}: expected some of {own}")
        given = {name: value for name, value in named.items() if value is not None}
        base, why = preset_for(self.preset, data, structural=structural)
        return adapted(base, settings | given), why

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        return tags


def graph_of(source: Any) -> Graph:
    """What `NodeJEPA` takes, with features as given and without labels. GraphError, ValueError."""
    if isinstance(source, Graph):
        source = source.data
    elif isinstance(source, tuple):
        source = Data.from_dict(arrays_of(*source))
    if isinstance(source, Data):
        named = source.to_dict()
        kept = ("x", *CSR, "edge_index", "edge_weight", "num_nodes")
        source = Data.from_dict({name: named[name] for name in kept if name in named})
    return read_graph(source, normalise="none")


def arrays_of(x: Any, edges: Any, weights: Any = None) -> dict[str, Any]:
    """(x, edges) or (x, edges, weights) as attributes of a Data. ValueError: edges of no such
    shape, or weights beside an adjacency matrix."""
    found: dict[str, Any] = {}
    if sparse.issparse(x):
        csr = sparse.csr_array(x)
        parts = csr.data, csr.indices, csr.indptr, np.array(csr.shape)
        found = dict(zip(CSR, parts, strict=True))
    elif x is not None:
        found["x"] = array_of(x)
    if sparse.issparse(edges):
        if weights is not None:
            raise ValueError("weights beside an adjacency matrix: expected edges [2, E]")
        coo = sparse.coo_array(edges)
        edges, weights = np.stack(coo.coords), None if (coo.data == 1).all() else coo.data
        found["num_nodes"] = max(coo.shape)
    edges = array_of(edges)
    if edges.ndim != 2 or 2 not in edges.shape:
        text = "expected [2, E], [E, 2] or a SciPy matrix [N, N]"
        raise ValueError(f"edges has shape {edges.shape}: {text}")
    found["edge_index"] = edges if len(edges) == 2 else edges.T
    return found if weights is None else found | {"edge_weight": array_of(weights)}


def array_of(values: Any) -> Array:
    return np.asarray(values.detach().cpu().to_dense() if isinstance(values, Tensor) else values)
