"""Which state of the code a row's numbers come from: an integer a component.

Bump one when its numbers change by more than rounding; tests/ablation/test_revisions.py, which has
the numbers of each component, fails until you do. A pure move of code changes none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nodejepa_ext.parts.choice import Parts

ALWAYS = {"graph": 1, "views": 1, "encoder": 1, "objective": 1, "probe": 1}
ADDED = {"transform": "none"}  # fields that older rows lack, and what was done in their stead
PARTS = {
    "bfs_mask": 1,
    "degree_mask": 1,
    "laplacian_pe": 1,
    "sigreg": 1,
    "vicreg": 1,
    "cross_decorrelation": 1,
    "group_sparsity": 1,
    "fastrp": 1,
}


def revisions_of(kind: str, parts: Parts) -> dict[str, int]:
    """Of what decides a row's numbers: the reference's components and the parts that it uses."""
    used = {
        "bfs_mask": parts.bfs_mask,
        "degree_mask": parts.degree_mask,
        "laplacian_pe": parts.laplacian_pe,
        parts.objective: parts.objective != "none",
        "fastrp": kind.startswith("FastRP"),
    }
    return ALWAYS | {name: PARTS[name] for name, is_used in used.items() if is_used}
