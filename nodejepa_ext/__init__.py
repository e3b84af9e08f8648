"""Node-JEPA's toolkit: everything optional around `run_full`, the reference in one file.

Importing the package is free: a public name is resolved when it is first asked for, so neither
torch nor scikit-learn is loaded before something needs it.
"""

from __future__ import annotations

from nodejepa_ext.lazy import lazy

__version__ = "0.1.0"
_names, __getattr__, __dir__ = lazy(
    __name__,
    {
        "parts.masking": ("bfs_mask", "degree_mask", "ball"),
        "parts.positional": ("laplacian_pe", "LaplacianPredictor"),
        "parts.objectives": (
            "SIGReg",
            "vicreg",
            "cross_decorrelation",
            "GroupSparsity",
            "OBJECTIVES",
        ),
        "judging.baselines": ("fastrp",),
        "training.estimator": ("NodeJEPA",),
        "training.facts": ("describe",),
        "graphs.graph": ("read_graph", "write_graph", "structural_features"),
        "graphs.archives": ("GraphError",),
        "judging.stats": (
            "interval",
            "paired",
            "interaction",
            "holm",
            "smallest_detectable",
            "finding",
        ),
    },
    evaluate="judging.tasks",
)
__all__ = ["__version__", *_names]  # noqa: PLE0604
