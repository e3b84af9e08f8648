"""Arms paired by seed, the rows they leave, and what these show."""

from __future__ import annotations

from nodejepa_ext.lazy import lazy

__all__, __getattr__, __dir__ = lazy(
    __name__,
    {
        "arms": ("Arm",),
        "run": ("Plan", "plan"),
        "rows": ("Rows",),
        "revisions": ("revisions_of",),
    },
)
