"""What a step, a part, a large graph and a sweep cost on this machine."""

from __future__ import annotations

from nodejepa_ext.lazy import lazy

__all__, __getattr__, __dir__ = lazy(
    __name__,
    {
        "step": ("measure_all",),
    },
)
