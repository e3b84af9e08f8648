"""A user's files -> one sound graph."""

from __future__ import annotations

from nodejepa_ext.lazy import lazy

__all__, __getattr__, __dir__ = lazy(
    __name__,
    {
        "graph": ("Graph", "read_graph", "write_graph", "structural_features"),
        "archives": ("GraphError",),
        "scaling": ("Scaling",),
        "source": ("Source", "Subject"),
    },
)
