"""Pictures of runs, ablations and sweeps."""

from __future__ import annotations

from nodejepa_ext.lazy import lazy

__all__, __getattr__, __dir__ = lazy(
    __name__,
    {
        "style": ("ResultsError",),
    },
)
