"""Claims about MatrixMarket files, each with a test below.

1. What SciPy writes is read as SciPy reads it: fields, symmetries, comments.
2. A damaged file is one sentence, never the end of the process.
"""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from scipy import io, sparse

from nodejepa_ext.graphs.graph import GraphError, read_graph
from nodejepa_ext.graphs.others import read_mtx


def matrix(symmetric: bool) -> sparse.coo_array:
    a = sparse.random_array((9, 9), density=0.3, rng=np.random.default_rng(0), format="csr")
    return sparse.coo_array(a + a.T if symmetric else a)


@pytest.mark.parametrize("field", ["real", "integer", "pattern"])
@pytest.mark.parametrize("symmetry", ["general", "symmetric"])
def test_as_scipy_reads_it(tmp_path: Path, field: str, symmetry: str) -> None:
    path, wanted = tmp_path / "g.mtx", matrix(symmetry == "symmetric")
    if field == "integer":
        wanted.data = np.ceil(9 * wanted.data).astype(np.int64)
    io.mmwrite(path, wanted, comment="one\ntwo", field=field, symmetry=symmetry)
    assert (read_mtx(path).toarray() == io.mmread(path).toarray()).all()
    (tmp_path / "none.mtx").write_text(f"%%MatrixMarket matrix coordinate {field} general\n3 3 0\n")
    assert read_mtx(tmp_path / "none.mtx").shape == (3, 3)


@pytest.mark.parametrize("text", ["", "1 1\n", "0 1 1\n", "1 4 1\n", "1.5 1 1\n", "x"])
def test_damaged(tmp_path: Path, text: str) -> None:
    path = tmp_path / "g.mtx"
    path.write_text(f"%%MatrixMarket matrix coordinate real general\n3 3 2\n1 2 1\n{text}")
    with pytest.raises(GraphError, match="g.mtx"):
        read_graph(path)
    path.write_text("%%MatrixMarket matrix array real general\n1 1\n1\n")
    with pytest.raises(GraphError, match="dense"):
        read_graph(path)


def test_any_byte_another(tmp_path: Path) -> None:
    path, rng = tmp_path / "g.mtx", random.Random(0)
    io.mmwrite(path, matrix(False))
    sound = path.read_bytes()
    for _ in range(200):
        found = bytearray(sound)
        found[rng.randrange(len(found))] = rng.randrange(256)
        path.write_bytes(found[: rng.choice((len(found), rng.randrange(len(found))))])
        try:
            read_graph(path)
        except GraphError as error:
            assert "g.mtx" in str(error)
