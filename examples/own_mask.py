"""Does a mask of your own help? Beside the default, seed by seed, on validation nodes of Cora.

python examples/own_mask.py

Two seeds and 30 epochs, to see how it is done, in seconds. To know whether a mask helps takes ten
seeds and the interval of their differences: `nodejepa-ext ablate`, docs/ablate.md.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Generator, Tensor
from torch_geometric.data import Data

from run_full import Graph, load_graph, preset, random_mask, train


def hub_mask(data: Data, ratio: float, generator: Generator) -> Tensor:
    """A run_full.MaskFn: the nodes of most neighbours first, ties at random. hidden [N] bool."""
    n = data.num_nodes
    degree = torch.bincount(data.edge_index[0], minlength=n)
    order = torch.randperm(n, generator=generator)  # random draws: from this generator alone
    order = order[degree[order].argsort(descending=True, stable=True)]
    hidden = torch.zeros(n, dtype=torch.bool)
    hidden[order[: round(ratio * n)]] = True
    return hidden


def main() -> None:
    data = load_graph("cora")
    # The card's objective, narrower and shorter.
    base = replace(preset("card", "cora"), hidden=128, out=64, warmup=5, epochs=30, eval_every=0)
    graph = Graph.of(data, base)  # built once; a seed does not change it
    print("seed  random   hubs  difference   (validation accuracy, %)")
    for seed in range(2):
        cfg = replace(base, seed=seed)
        # Both share initial weights and views: only the mask differs, so the difference is paired.
        plain = train(cfg, data, graph=graph, mask_fn=random_mask).val
        hubs = train(cfg, data, graph=graph, mask_fn=hub_mask).val
        print(f"{seed:4}  {100 * plain:6.1f} {100 * hubs:6.1f}  {100 * (hubs - plain):+10.1f}")


if __name__ == "__main__":
    main()
