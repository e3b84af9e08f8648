"""What an embedding is worth, beside what trains nothing."""

from __future__ import annotations

from nodejepa_ext.lazy import lazy

__all__, __getattr__, __dir__ = lazy(
    __name__,
    {
        "tasks": ("linear", "knn", "cluster", "link", "split_edges", "controls"),
        "development": ("development_accuracy", "development_splits"),
        "baselines": ("fastrp",),
        "report": ("judge",),
        "stats": ("interval", "paired", "interaction", "holm", "smallest_detectable", "finding"),
    },
)
