"""Processes that work, and the machine they work on."""

from __future__ import annotations

from nodejepa_ext.lazy import lazy

__all__, __getattr__, __dir__ = lazy(
    __name__,
    {
        "supervisor": ("run_jobs", "serve"),
        "seats": ("cores", "visible_gpus"),
        "machine": ("processor", "versions"),
    },
)
