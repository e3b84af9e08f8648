"""A CSV of edges becomes embeddings of its nodes, by the scikit-learn estimator.

python examples/own_graph.py [edges.csv [embeddings.csv]]

edges.csv: two columns, source and target, any names for nodes. Without one, a graph of four
communities of 50 nodes is written and read. Seconds on one core.
"""

from __future__ import annotations

import csv
import sys
import tempfile
from pathlib import Path

import numpy as np

from nodejepa_ext import NodeJEPA, read_graph


def write_communities(path: Path) -> None:
    """200 nodes in four communities: 10 edges a node inside, 2 to others, at random."""
    rng = np.random.default_rng(0)
    community = np.arange(200) // 50
    same = community[:, None] == community[None, :]
    joined = np.triu(rng.random((200, 200)) < np.where(same, 0.2, 0.015), k=1)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["source", "target"])
        writer.writerows(
            (f"{'abcd'[u // 50]}{u}", f"{'abcd'[v // 50]}{v}") for u, v in np.argwhere(joined)
        )


def main(edges: Path, out: Path) -> None:
    graph = read_graph(edges)  # data, node_id, classes, notices
    model = NodeJEPA(epochs=60, hidden=128, out=32, seed=0)
    z = model.fit_transform(graph.data)  # [N, 32]
    for notice in dict.fromkeys([*graph.notices, *model.notices_]):
        print(f"- {notice}")

    with out.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", *(f"z{i}" for i in range(z.shape[1]))])
        writer.writerows([name, *row] for name, row in zip(graph.node_id, z.tolist(), strict=True))
    print(f"{out}: {len(z)} nodes, {z.shape[1]} numbers each")

    unit = z / np.linalg.norm(z, axis=1, keepdims=True)
    cosine = unit @ unit[0]
    nearest = np.argsort(-cosine)[1:6]
    print(f"nearest to {graph.node_id[0]}: {', '.join(graph.node_id[i] for i in nearest)}")


if __name__ == "__main__":
    folder = Path(tempfile.mkdtemp())
    edges = Path(sys.argv[1]) if len(sys.argv) > 1 else folder / "edges.csv"
    if len(sys.argv) < 2:
        write_communities(edges)
    main(edges, Path(sys.argv[2]) if len(sys.argv) > 2 else folder / "embeddings.csv")
