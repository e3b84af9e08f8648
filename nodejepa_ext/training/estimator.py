"""NodeJEPA: embeddings of a graph's nodes as a scikit-learn transformer."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from difflib import get_close_matches
from itertools import zip_longest
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn import get_config
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch_geometric.data import Data

from nodejepa_ext.graphs.graph import Graph
from nodejepa_ext.graphs.objects import graph_of
from nodejepa_ext.graphs.positions import wanted
from nodejepa_ext.graphs.scaling import prepared
from nodejepa_ext.parts.choice import Parts
from nodejepa_ext.training import batches, pretrained
from nodejepa_ext.training.memory import check_memory
from nodejepa_ext.training.settings import NAMES, adapted, preset_for
from nodejepa_ext.training.stopping import label_free, patience
from run_full import Config

Floats = NDArray[np.float32]
log = logging.getLogger("nodejepa_ext")  # hears what notices_ holds
FIELDS = {field.name for field in fields(Config)}


class NodeJEPA(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Self-supervised: fit learns an encoder from one graph, transform embeds its nodes, the same
    graph with more nodes, or another graph with the same features. Labels never enter.

    A graph, X below, is what `graph_of` takes: a PyG Data; a tuple (x, edges) or (x, edges,
    weights) of arrays, tensors, SciPy matrices or data frames of any kind; networkx; a file. Of
    files and Graphs, features are taken as they were read: read them with normalise="none", so
    that the statistics of the training graph serve every other.

    preset: auto, best, card or bgrl, see `preset_for`. normalise: see `read_graph`; learnt in
    fit, applied in transform. All other parameters are fields of `run_full.Config`, None: as the
    preset has them; `settings` holds those that have no parameter of their own. The epoch to keep
    is chosen by `label_free`. batch_nodes: of the subgraphs to train on, where the whole graph
    does not fit; transform then goes in chunks of as many nodes. 0: the whole graph at once.

    positions: whether Laplacian eigenvectors are put beside features; None: under `auto`, where
    features say little of the edges, see `positions.weakness`. They belong to one graph: with them,
    or without features, embeddings of two graphs do not compare.

    out: D, the width of the embedding, also where own features are half of it; odd, it goes
    without them.

    Fitted: embedding_ [N, D] float32; node_id_ [N], the ids of its rows; encoder_; config_;
    scaling_; n_features_in_, F; feature_names_in_ [F], where x was a data frame of named columns;
    loss_curve_, a number an epoch; notices_, what was mended in the graph, or assumed.
    set_output(transform="pandas") gives frames whose index is the nodes' ids.
    The same seed on the same machine gives the same bits.

    Rows of one graph depend on each other: `cross_val_score` and its like, which fit on some rows
    of X, have nothing to split here. Fit once, and judge by `nodejepa_ext.evaluate`."""

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
        positions: bool | None = None,
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
        self.positions = positions
        self.settings = settings
        self.batch_nodes = batch_nodes
        self.seed = seed
        self.device = device

    def fit(self, X: Any, y: Any = None) -> Self:
        """X: a graph; y, and labels in X, are ignored. GraphError: no sound graph. ValueError: a
        parameter that holds what it may not, or X without edges. RunError 6: too little memory;
        7: the loss is not finite."""
        given = graph_of(X)
        graph = given.graph
        positions = wanted(self.positions, self.preset)
        scaling, data, said = prepared(graph, self.normalise, positions)
        config, notices = self._config(data, scaling.rule == "structural")
        batches.check_suits(config, Parts(), data, self.batch_nodes)
        check_memory(data, config, batch_nodes=self.batch_nodes)
        result = batches.train(config, data, self.batch_nodes, keep=label_free, on_epoch=patience)
        assert result.state
        self.encoder_, self.config_, self.scaling_ = result.state.encoder, config, scaling
        self.embedding_: Floats = result.z.numpy()
        self.node_id_ = ids_of(graph)
        self.loss_curve_ = [row["loss"] for row in result.state.rows]
        self.n_features_in_ = data.x.shape[1] - scaling.positions
        if given.columns is not None:
            self.feature_names_in_ = np.array(given.columns, object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        self.notices_ = [*graph.notices, *said, *notices]
        if graph.data.edge_weight is not None:
            low, high = graph.data.edge_weight.aminmax()
            self.notices_.append(f"edge weights used, from {low:.4g} to {high:.4g}")
        for notice in self.notices_:
            log.info(notice)
        return self

    def transform(self, X: Any) -> Any:
        """z [N, D] of a graph with the training graph's F features: an array, or the container of
        `set_output`. GraphError: no sound graph. ValueError: it has other features, or others'
        names. NotFittedError: before fit."""
        check_is_fitted(self)
        given = graph_of(X)
        self._same_columns(given.columns)
        width = self.n_features_in_ + self.scaling_.positions
        data = self.scaling_.prepare(given.graph, width)
        z = batches.embed(self.encoder_, data, self.batch_nodes).numpy()
        return self._labelled(z, ids_of(given.graph))

    def fit_transform(self, X: Any, y: Any = None) -> Any:
        """embedding_ [N, D] after fit, whose errors it has, as `transform` gives it."""
        self.fit(X, y)
        return self._labelled(self.embedding_, self.node_id_)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """nodejepa0 to nodejepa{D - 1}. NotFittedError: before fit."""
        check_is_fitted(self)
        names = [f"nodejepa{i}" for i in range(self.config_.latent)]
        return np.array(names, object)

    def save_pretrained(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Writes what `transform` needs, see `pretrained.save`. NotFittedError: before fit."""
        check_is_fitted(self)
        pretrained.save(self._model(), Path(folder), self._trained(), overwrite=overwrite)

    def push_to_hub(self, name: str, **hub: Any) -> str:
        """Sends it to the Hugging Face Hub, see `pretrained.push`. NotFittedError: before fit."""
        check_is_fitted(self)
        return pretrained.push(self._model(), name, self._trained(), **hub)

    @classmethod
    def from_pretrained(cls, where: str | Path, **hub: Any) -> Self:
        """Ready to transform: from a folder that `save_pretrained` or `nodejepa-ext export` wrote,
        or, by OWNER/NAME, from the Hugging Face Hub, see `pretrained.fetch`. It has no embedding_
        and no loss_curve_. RunError 4: no such model, or a damaged one."""
        found = pretrained.load(pretrained.fetch(where, **hub))
        named = {k: v for k, v in asdict(found.cfg).items() if k in cls().get_params()}
        named |= {"out": found.cfg.latent, "batch_nodes": found.batch_nodes}
        named |= {"positions": found.scaling.positions > 0}
        others = {k: v for k, v in asdict(found.cfg).items() if k not in named}
        rule = found.scaling.rule
        rule = "auto" if rule == "structural" else rule  # which a graph without features has
        model = cls(normalise=rule, settings=others, **named)
        model.encoder_, model.config_, model.scaling_ = found.encoder, found.cfg, found.scaling
        model.n_features_in_ = found.features - found.scaling.positions
        if found.columns is not None:
            model.feature_names_in_ = np.array(found.columns, object)
        return model

    def _model(self) -> pretrained.Pretrained:
        names = getattr(self, "feature_names_in_", None)
        columns = None if names is None else names.tolist()
        width = self.n_features_in_ + self.scaling_.positions
        parts = self.encoder_, self.config_, self.scaling_, width
        return pretrained.Pretrained(*parts, columns, self.batch_nodes)

    def _trained(self) -> str:
        nodes = len(getattr(self, "embedding_", ())) or "some"
        return f"Trained on {nodes} nodes, seed {self.config_.seed}; no labels."

    def _labelled(self, z: Floats, ids: NDArray[Any]) -> Any:
        """z [N, D]; with `set_output(transform="pandas")` a frame whose index is ids."""
        own = getattr(self, "_sklearn_output_config", {}).get("transform")
        if (own or get_config()["transform_output"]) != "pandas":
            return z
        import pandas

        return pandas.DataFrame(z, index=pandas.Index(ids, name="id"))

    def _same_columns(self, columns: list[str] | None) -> None:
        """ValueError: names are known of fit and of now, and differ."""
        trained = getattr(self, "feature_names_in_", None)
        if columns is not None and trained is not None and columns != trained.tolist():
            odd = [pair for pair in zip_longest(columns, trained) if pair[0] != pair[1]]
            found, expected = odd[0]
            raise ValueError(f"feature {found!r}, expected {expected!r}, as in training")

    def _config(self, data: Data, structural: bool) -> tuple[Config, list[str]]:
        """preset < settings < parameters, and why; structural: see `auto`."""
        named = {name: value for name, value in self.get_params().items() if name in FIELDS}
        settings = dict(self.settings or {})
        if bad := settings.keys() - (FIELDS - named.keys()):
            own = ", ".join(sorted(FIELDS - named.keys()))
            raise ValueError(f"settings: {', '.join(sorted(bad))}: expected some of {own}")
        given = {name: value for name, value in named.items() if value is not None}
        if self.preset not in NAMES:
            near = get_close_matches(str(self.preset), NAMES, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"preset = {self.preset!r}: expected one of {', '.join(NAMES)}{hint}")
        base, why = preset_for(self.preset, data, structural=structural)
        config = adapted(base, settings | given)
        if self.out is None or not config.own_features:
            return config, [why]
        if config.out % 2 == 0:
            half = replace(config, out=config.out // 2)
            return half, [why, f"own features are half of the {config.out} dimensions"]
        if self.own_features:
            raise ValueError(f"out = {config.out}: expected an even number with own_features")
        return replace(config, own_features=False), [why, "out is odd: without own features"]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = []  # float32, whatever x is
        return tags


def ids_of(graph: Graph) -> NDArray[Any]:
    """[N], the names of the nodes."""
    if graph.node_id is None:
        return np.arange(graph.data.num_nodes)
    return graph.node_id
