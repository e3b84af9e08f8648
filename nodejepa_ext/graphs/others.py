"""Formats of other tools: MatrixMarket, GraphML, GML.

Apart from archives.py, whose arrays are the project's: here text is read, which runs no code, and
what becomes of it is judged as SciPy's and networkx's own objects are.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from nodejepa_ext.graphs.archives import GraphError, distrust, opened, refuse_large

NETWORKX = (".graphml", ".gml")
LINE = 1 << 16  # bytes of a line of a MatrixMarket file's head
FIELDS = ("real", "double", "integer", "pattern")
SYMMETRIES = {"general": 0, "symmetric": 1, "skew-symmetric": -1, "hermitian": 1}
TIMES = 40  # bytes in memory a byte of text, of networkx


def read_mtx(path: Path) -> Any:
    """A SciPy matrix [N, M] of coordinates. GraphError: it is none, or is dense.

    Not by SciPy's reader: on damaged files it ends the process, by SIGABRT and SIGSEGV (1.17)."""
    with opened(path) as file, distrust(str(path), "a MatrixMarket file"):
        refuse_large(str(path), 16 * path.stat().st_size)
        banner = file.readline(LINE).decode("ascii").lower().split()
        if len(banner) != 5 or banner[:2] != ["%%matrixmarket", "matrix"]:
            raise ValueError("no line %%MatrixMarket matrix FORMAT FIELD SYMMETRY")
        form, field, symmetry = banner[2:]
        if form == "array":
            raise GraphError(f"{path}: a dense matrix, expected coordinates of edges")
        if form != "coordinate" or field not in FIELDS or symmetry not in SYMMETRIES:
            raise ValueError(f"{form} {field} {symmetry}: expected coordinates, real and symmetric")
        return coordinates(file, field, SYMMETRIES[symmetry])


def coordinates(file: Any, field: str, sign: int) -> Any:
    """The matrix below a banner; sign: of the entry mirrored at the diagonal, 0: there is none.
    ValueError: it is none."""
    import numpy as np
    from scipy import sparse

    line = file.readline(LINE)
    while line.startswith(b"%") or line.strip() == b"" != line:
        line = file.readline(LINE)
    n, m, count = map(int, line.decode("ascii").split())
    columns = 2 if field == "pattern" else 3
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of no rows, which are counted here
        read = np.loadtxt(file, comments="%", ndmin=2, encoding="ascii")
    entries = read.reshape(-1, columns) if not read.size else read
    if entries.shape != (count, columns):
        raise ValueError(f"{entries.shape[0]} rows of {entries.shape[1]}, expected {count}")
    places = entries[:, :2] - 1
    if not ((places >= 0) & (places < (n, m)) & (places == np.round(places))).all():
        raise ValueError(f"a place outside the {n} x {m} of the matrix")
    row, col = places.astype(np.int64).T
    data = np.ones(count) if columns == 2 else entries[:, 2]
    if sign:
        other = row != col
        row, col = np.append(row, col[other]), np.append(col, row[other])
        data = np.append(data, sign * data[other])
    return sparse.coo_array((data, (row, col)), shape=(n, m))


def read_networkx(path: Path) -> Any:
    """A networkx graph of a GraphML or GML file. GraphError: it is none."""
    import networkx

    with opened(path) as file, distrust(str(path), f"a {path.suffix} file"):
        refuse_large(str(path), TIMES * path.stat().st_size)
        if path.suffix.lower() == ".graphml":
            return networkx.read_graphml(file)
        return networkx.read_gml(file)
