"""Node-JEPA's toolkit: everything optional around `run_full`, the reference in one file.

Importing the package is free: a public name is resolved when it is first asked for (PEP 562), so
neither torch nor scikit-learn is loaded before something needs it.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "masking": ("bfs_mask", "degree_mask", "ball"),
    "positional": ("laplacian_pe", "LaplacianPredictor"),
    "objectives": ("SIGReg", "vicreg", "cross_decorrelation", "GroupSparsity", "OBJECTIVES"),
    "baselines": ("fastrp",),
    "estimator": ("NodeJEPA",),
    "graphs": ("read_graph", "write_graph", "describe", "structural_features", "GraphError"),
    "stats": ("interval", "paired", "interaction", "holm", "smallest_detectable", "finding"),
}
_HOME = {name: f"{__name__}.{module}" for module, names in _PUBLIC.items() for name in names}

__all__ = ["__version__", *_HOME]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    """The public name, from its own module; AttributeError: there is none of that name."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
