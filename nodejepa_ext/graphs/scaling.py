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


class Scaling(NamedTuple):
    """How features [N, F] become an encoder's input; the rules are `read_graph`'s."""

    rule: str  # rows, columns, none; structural: the training graph had no features
    mean: Tensor | None = None  # [F] float64, for columns alone
    scale: Tensor | None = None  # [F] float64, inf where the training graph's column is constant

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
        `read_graph` makes of it by the same rule, bit for bit. ValueError: F is not `width`, or
        there are features where training had none, or none where it had."""
        x, edges = graph.data.x, graph.data.edge_index
        n = int(graph.data.num_nodes)
        if self.rule == "structural" and x is None:
            x = structural_features(graph.data)
        found = f"no features for {n} nodes" if x is None else f"features {list(x.shape)}"
        if self.rule == "structural" and graph.data.x is not None:
            raise ValueError(f"{found}, expected none, as in training")
        if x is None or x.shape[1] != (width or x.shape[1]):
            raise ValueError(f"{found}, expected {[n, width or 'F']}, as in training")
        if self.rule == "rows":
            x = by_rows(x)
        if self.mean is not None and self.scale is not None:
            x = ((x - self.mean) / self.scale).float()
        return Data(x=x, edge_index=edges, edge_weight=graph.data.edge_weight)
