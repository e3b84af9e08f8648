"""Trainings that survive their machine, fit into it, and choose their settings and their epoch."""

from __future__ import annotations

from nodejepa_ext.lazy import lazy

__all__, __getattr__, __dir__ = lazy(
    __name__,
    {
        "estimator": ("NodeJEPA",),
        "folder": ("start", "resume", "load_model", "Model"),
        "settings": ("preset", "preset_for", "resolve"),
        "facts": ("describe",),
        "memory": ("check_memory",),
        "portable": ("Portable", "exported"),
        "stopping": ("label_free", "patience"),
    },
)
