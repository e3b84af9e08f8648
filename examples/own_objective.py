"""A term of your own against collapse, with and without, on Cora.

python examples/own_objective.py

Gradients through both branches and no BatchNorm: nothing but the term holds latents apart. Watch
the mean cosine. Seconds on one core.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from run_full import Graph, collapse, load_graph, preset, train


def spread(z1: Tensor, z2: Tensor, generator: Generator) -> Tensor:
    """A run_full.Regulariser: the mean squared cosine between 512 nodes drawn at random, 0 where
    their latents are orthogonal. z1, z2 [N, D] of both views -> scalar."""
    some = torch.randperm(len(z1), generator=generator)[:512]
    total = z1.new_zeros(())
    for z in (z1, z2):
        unit = F.normalize(z[some])  # [512, D]
        cosine = unit @ unit.t()
        total = total + (cosine.square().sum() - len(some)) / (len(some) * (len(some) - 1))
    return total / 2


def main() -> None:
    data = load_graph("cora")
    cfg = replace(
        preset("card", "cora"),
        target="online",
        predictor=0,
        norm="none",
        hidden=128,
        out=64,
        mask=0.0,
        loss_nodes="all",
        lr=5e-3,
        warmup=5,
        epochs=40,
        eval_every=0,
        regulariser_weight=1.0,
    )
    graph = Graph.of(data, cfg)
    print("term     validation %  effective rank  mean cosine")
    for name, term in {"none": None, "spread": spread}.items():
        result = train(cfg, data, graph=graph, regulariser=term)
        meters = collapse(result.z)
        shown = f"{100 * result.val:12.1f}  {meters['effective_rank']:14.1f}"
        print(f"{name:8} {shown}  {meters['cosine']:11.3f}")


if __name__ == "__main__":
    main()
