"""Formats of other tools: MatrixMarket, GraphML, GML.

Apart from archives.py, whose arrays are the project's: here SciPy and networkx read text, which
runs no code, and what they make is judged as theirs is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nodejepa_ext.graphs.archives import GraphError, distrust, opened, refuse_large

NETWORKX = (".graphml", ".gml")
TIMES = 40  # bytes in memory a byte of text, of networkx


def read_mtx(path: Path) -> Any:
    """A SciPy matrix [N, N]. GraphError: it is none, or is dense."""
    from scipy import io, sparse

    with opened(path) as file, distrust(str(path), "a MatrixMarket file"):
        refuse_large(str(path), 8 * path.stat().st_size)
        matrix = io.mmread(file)
    if not sparse.issparse(matrix):
        raise GraphError(f"{path}: a dense matrix, expected coordinates of edges")
    return matrix


def read_networkx(path: Path) -> Any:
    """A networkx graph of a GraphML or GML file. GraphError: it is none."""
    import networkx

    with opened(path) as file, distrust(str(path), f"a {path.suffix} file"):
        refuse_large(str(path), TIMES * path.stat().st_size)
        if path.suffix.lower() == ".graphml":
            return networkx.read_graphml(file)
        return networkx.read_gml(file)
