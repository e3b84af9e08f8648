"""What fills the seams of `run_full.train`: masks, positions, objectives, and their choice."""

from __future__ import annotations

from nodejepa_ext.lazy import lazy

__all__, __getattr__, __dir__ = lazy(
    __name__,
    {
        "masking": ("bfs_mask", "degree_mask", "ball"),
        "positional": ("laplacian_pe", "LaplacianPredictor"),
        "objectives": ("SIGReg", "vicreg", "cross_decorrelation", "GroupSparsity", "OBJECTIVES"),
        "choice": ("Parts", "effective", "seams"),
    },
)
