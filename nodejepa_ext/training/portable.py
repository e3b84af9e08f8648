"""A trained encoder as a program of plain tensors, which torch.export takes and others can run.

Apart from run_full.py, whose sparse products torch.export does not know: here a product with the
adjacency is a sum over its entries, slower and in more memory. Shapes: N nodes, N' with a [REG]
node, F features, D latent dimensions, K entries of the adjacency.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from run_full import Encoder, Graph


class Portable(nn.Module):
    """Of a trained `run_full.Encoder` with graph convolutions, in evaluation mode. ValueError: it
    is another encoder, or one with attention."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        if not isinstance(encoder, Encoder):
            raise ValueError(f"a {type(encoder).__name__}: expected a run_full.Encoder")
        if encoder.cfg.encoder != "gcn":
            raise ValueError(f"encoder = {encoder.cfg.encoder}: expected gcn")
        self.encoder: Any = encoder
        self.cfg = encoder.cfg
        self.eval()

    def forward(self, x: Tensor, entries: Tensor, values: Tensor) -> Tensor:
        """x [N, F] float32, as `Graph` has it; entries [2, K] and values [K] of the normalised
        adjacency [N', N'], see `inputs` -> z [N, D]."""
        encoder = self.encoder
        n = x.shape[0]

        def lift(weight: Tensor) -> Tensor:
            """x @ weight [N', width]."""
            h = x @ weight
            return torch.cat([h, (encoder.reg @ weight)[None]]) if self.cfg.reg_node else h

        h = self.layer(0, lift, entries, values)
        for i in range(1, self.cfg.layers):
            if self.cfg.skip == "input":
                h = h + lift(encoder.inputs[i - 1])
            h = self.layer(i, h.matmul, entries, values)
        if encoder.own is not None:
            h = torch.cat([h, lift(encoder.own)], 1)
        if self.cfg.embed_hops == 0:
            return h[:n]
        if self.cfg.reg_node:
            h = torch.cat([h[:n], torch.zeros_like(h[n:])])  # which has no say in a mean
        for _ in range(self.cfg.embed_hops):
            h = averaged(h, entries, values)
            if self.cfg.reg_node:
                h = torch.cat([h[:n], torch.zeros_like(h[n:])])
        return h[:n]

    def layer(
        self, number: int, times: Callable[[Tensor], Tensor], entries: Tensor, values: Tensor
    ) -> Tensor:
        """`run_full.Layer`; times(weight): its input @ weight -> [N', width]."""
        layer: Any = self.encoder.layers[number]
        h = times(layer.weight)
        for _ in range(layer.hops):
            h = averaged(h, entries, values)
        if layer.bias is not None:
            h = h + layer.bias
        if layer.skip is not None:
            h = h + times(layer.skip)
        return finished(layer.finish, h)


def finished(parts: Any, h: Tensor) -> Tensor:
    """What `run_full.norm_prelu` does to h [N', width], by PReLU's own function."""
    if isinstance(parts, nn.Identity):
        return h
    norm, prelu = parts[0], parts[1]
    return torch.nn.functional.prelu(norm(h), prelu.weight)


def averaged(h: Tensor, entries: Tensor, values: Tensor) -> Tensor:
    """The adjacency @ h [N', width]."""
    messages = values[:, None] * h[entries[1]]  # [K, width]
    return torch.zeros_like(h).index_add(0, entries[0], messages)


def inputs(graph: Graph) -> tuple[Tensor, Tensor, Tensor]:
    """x [N, F] dense, entries [2, K] and values [K], as `Portable` takes them, on the cpu."""
    if graph.adj.layout == torch.sparse_csr:
        values = graph.adj.values()
    else:
        values = graph.adj.coalesce().values()
    return graph.x.to_dense().cpu(), graph.entries.cpu(), values.cpu().clone()


def exported(encoder: nn.Module, graph: Graph) -> torch.export.ExportedProgram:
    """Of any number of nodes, at least 2, and of entries; graph: an example. ValueError: as in
    `Portable`."""
    program = Portable(copy.deepcopy(encoder)).cpu()  # the caller's stays where it is
    n, k = torch.export.Dim("nodes", min=2), torch.export.Dim("entries", min=2)
    shapes = {"x": {0: n}, "entries": {1: k}, "values": {0: k}}
    return torch.export.export(program, inputs(graph), dynamic_shapes=shapes)
