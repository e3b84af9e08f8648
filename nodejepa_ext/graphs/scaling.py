"""What an encoder is fed: features scaled by a rule that was learnt once, on the training graph.

Apart from graph.py, which scales a graph by itself: a node that comes later, or another graph,
must be scaled as the training graph was, or its embedding means something else.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor
from torch_geometric.data import Data

from nodejepa_ext.graphs.graph import (
    RULES,
    Graph,
    by_rows,
    column_scale,
    rule_for,
    structural_features,
)
from nodejepa_ext.graphs.positions import COLUMNS, beside, count, weakness, weight_of


class Scaling(NamedTuple):
    """How features [N, F] become an encoder's input; the rules are `read_graph`'s."""

    rule: str  # rows, columns, none; structural: the training graph had no features
    mean: Tensor | None = None  # [F] float64, for columns alone
    scale: Tensor | None = None  # [F] float64, inf where the training graph's column is constant
    positions: int = 0  # columns put beside the features, see `positions.beside`
    weight: Tensor | None = None  # [] float64, of those columns: as the training graph had it

    @classmethod
    def fit(cls, x: Tensor | None, rule: str = "auto") -> Scaling:
        """Of the training graph's x [N, F] as given. ValueError: no such rule."""
        if rule not in RULES:
            raise ValueError(f"normalise = {rule!r}: expected one of {', '.join(RULES)}")
        if x is None:
            return cls("structural")
        if (rule := rule_for(x) if rule == "auto" else rule) != "columns":
            return cls(rule)
        return cls(rule, *column_scale(x))

    def prepare(self, graph: Graph, width: int | None = None) -> Data:
        """x [N, F] scaled, edge_index and, if any, edge_weight of a graph read with
        normalise="none": nothing else, so labels cannot enter. x of the training graph is what
        `read_graph` makes of it by the same rule, bit for bit; its last columns, `positions` in
        number, which the Data has as well, are made of the edges. ValueError: F is not `width`, or
        there are features where training had none, or none where it had."""
        x, edges = graph.data.x, graph.data.edge_index
        n = int(graph.data.num_nodes)
        if self.rule == "structural" and x is None:
            x = structural_features(graph.data)
        found = f"no features for {n} nodes" if x is None else f"features {list(x.shape)}"
        if self.rule == "structural" and graph.data.x is not None:
            raise ValueError(f"{found}, expected none, as in training")
        own = width - self.positions if width else None
        if x is None or x.shape[1] != (own or x.shape[1]):
            raise ValueError(f"{found}, expected {[n, own or 'F']}, as in training")
        if self.rule == "rows":
            x = by_rows(x)
        if self.mean is not None and self.scale is not None:
            x = ((x - self.mean) / self.scale).float()
        data = Data(x=x, edge_index=edges, edge_weight=graph.data.edge_weight)
        if self.positions:
            data.x = beside(x, data, self.positions, self.weight)
        data.positions = x.shape[1] if self.rule == "structural" else self.positions
        return data

    def tensors(self) -> dict[str, Tensor]:
        """What belongs into a file of weights, by name."""
        found = {"scaling.mean": self.mean, "scaling.scale": self.scale}
        found["scaling.weight"] = self.weight
        return {name: t for name, t in found.items() if t is not None}


def prepared(
    graph: Graph, rule: str = "auto", positions: int | None = None
) -> tuple[Scaling, Data, list[str]]:
    """Of a training graph read with normalise="none": how it is scaled, what comes of it, and what
    is to be said. positions: columns of them beside features, as far as the graph has them; None:
    16 where features say little, see `positions.weakness`. Errors: as in `fit` and `prepare`;
    ValueError: positions, and over 500,000 nodes."""
    scaling = Scaling.fit(graph.data.x, rule)
    data = scaling.prepare(graph)
    if scaling.rule == "structural":
        return scaling, data, []
    notices = [f"features: scaling by {scaling.rule}"]
    why = weakness(data) if positions is None else ""
    asked = COLUMNS if why else positions or 0
    k = count(data, asked) if asked else 0
    if why and k:
        notices.append(f"{why}: {k} positions are put beside them")
    if not k:
        return scaling, data, notices
    scaling = scaling._replace(positions=k, weight=weight_of(data))
    return scaling, scaling.prepare(graph), notices


def remade(data: Data, whole: Data) -> Tensor:
    """x [N, F] for data, which is `whole`, made by `prepare`, with fewer edges: what was made of
    edges is made again of those left, in as many columns where features stand beside it."""
    made: int = whole.get("positions") or 0
    if not made:
        return data.x
    if made == whole.x.shape[1]:
        return structural_features(data)
    return beside(whole.x[:, :-made], data, made)
