"""Claims about damage that the bench of what is survived found, each with a test below.

1. Weights of parquet that are structs or lists are one sentence that names the column.
2. So are indices of another layout that are no list of numbers.
3. Lists in cells of parquet are judged by the values in them, not by rows.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nodejepa_ext.graphs.graph import GraphError, read_graph


@pytest.mark.parametrize("weights", [[{"a": 1.0}] * 3, [[1.0]] * 3, [[1.0], [1.0, 2.0], []]])
def test_nested_weights(tmp_path: Path, weights: list[object]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    table = pa.table({"source": ["a", "b", "c"], "target": ["b", "c", "a"], "weight": weights})
    parquet.write_table(table, tmp_path / "edges.parquet")
    with pytest.raises(GraphError, match="edges.parquet.*weight"):
        read_graph(tmp_path)


@pytest.mark.parametrize("indices", [np.array(3), np.zeros((2, 2), np.int64)])
def test_indices_of_another_layout(tmp_path: Path, indices: np.ndarray) -> None:
    arrays = {"adj_indices": indices, "adj_indptr": np.array([0, 1, 2]), "adj_shape": [2, 2]}
    np.savez(tmp_path / "g.npz", **arrays, labels=np.array([0, 1]))
    with pytest.raises(GraphError, match="g.npz"):
        read_graph(tmp_path / "g.npz")


def test_lists_in_cells_are_judged_by_what_they_become(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit is lowered here, as what breaks it else takes seconds to write."""
    import pyarrow as pa
    from pyarrow import parquet

    (tmp_path / "edges.csv").write_text("source,target\n0,1\n")
    values = pa.array(np.repeat([0.0, 1.0], 250_000))
    cells = pa.ListArray.from_arrays(pa.array([0, 250_000, 500_000], pa.int32()), values)
    parquet.write_table(pa.table({"id": [0, 1], "x": cells}), tmp_path / "nodes.parquet")
    assert read_graph(tmp_path).data.x.shape == (2, 250_000)
    monkeypatch.setattr("nodejepa_ext.graphs.archives.BOMB", (1 << 20, 100))
    with pytest.raises(GraphError, match=r"nodes.parquet: \d+ bytes become 2\d{6}, expected"):
        read_graph(tmp_path)
