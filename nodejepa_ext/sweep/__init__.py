"""A search of configurations, the best judged again on fresh seeds."""

from __future__ import annotations

from nodejepa_ext.lazy import lazy

__all__, __getattr__, __dir__ = lazy(
    __name__,
    {
        "study": ("Plan",),
        "pool": ("Sweep",),
        "space": ("Space", "read_space"),
        "storage": ("open_store",),
    },
)
