"""Whether a training fits into memory: its forecast, and its refusal before anything is allocated.

Shapes: N nodes, E undirected edges, F features, D latent dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import torch
from torch_geometric.data import Data

import run_full
from nodejepa_ext.workers.memory import room
from run_full import OUT_OF_MEMORY, Config, RunError

REFUSED = (*OUT_OF_MEMORY, "bad_alloc")
SEEN = 50_000  # nodes, that a training's own evaluations see of more
SHARE = 0.8  # of the free memory, at most


def training_bytes(n: int, e: int, f: int, nonzero: int, cfg: Config) -> int:
    """Of memory that training takes beyond the graph itself; nonzero: of the N * F features.

    Fitted to the peaks (VmHWM) of 55 trainings in fp32, on 3,000 to 40,000 random nodes with 64 to
    3,700 features: GCN and GAT, with and without target encoder, skip, norm, regulariser,
    predictor, neighbours. It was 1.0 to 1.55 of what was measured, and 1.05 to 1.4 for `card` and
    `best` on the embedded graphs; bf16 takes less."""
    e += n * cfg.neighbours
    step = n * latent_bytes(cfg) + 350 * e + 28 * weights(f, cfg) + (24 << 20)
    if cfg.regulariser != "none":
        step += 150 * cfg.latent**2
    if cfg.encoder == "gat":  # a message an edge and head
        wide = cfg.hidden * (cfg.layers - 1) + cfg.latent
        step += int((20 if both_views(cfg) else 16) * e * (2 - cfg.edge1 - cfg.edge2) * wide)
    step += 4 * n * f + 24 * nonzero
    saved = 56 * weights(f, cfg)  # both encoders, AdamW, the best, a checkpoint of them
    build = 32 * nonzero
    if cfg.neighbours:  # how alike nodes are
        build = 12 * n * f + 4 * min(n * n, 2**25 + n) + 200 * e
    return max(step, saved, build)


def both_views(cfg: Config) -> bool:
    """Whether a step holds both views at once."""
    return cfg.target == "online" or cfg.regulariser != "none"


def latent_bytes(cfg: Config) -> int:
    """A node's, of what a step holds of every layer, with gradients."""
    hidden = cfg.hidden * (cfg.layers - 1)
    told = 512 if cfg.predictor == 2 else 0
    hops = 8 * (cfg.hops - 1) * (hidden + cfg.latent)
    if both_views(cfg):
        return (38 if cfg.norm == "batch" else 24) * hidden + 38 * told + 52 * cfg.latent + 2 * hops
    size = (21 if cfg.norm == "batch" else 14) * hidden + 21 * told + 72 * cfg.latent + hops
    return size if cfg.directions == 2 else 4 * size // 5


def weights(f: int, cfg: Config) -> int:
    """How many numbers encoder and predictor learn, but for vectors."""
    widths = [f, *[cfg.hidden] * (cfg.layers - 1), cfg.out]
    total = sum(a * b for a, b in pairwise(widths))
    if cfg.skip == "linear":
        total *= 2
    if cfg.skip == "input":
        total += (cfg.layers - 1) * f * cfg.hidden
    if cfg.own_features:
        total += f * cfg.out
    if cfg.predictor == 1:
        total += cfg.latent**2
    if cfg.predictor == 2:
        total += 1024 * cfg.latent
    return total


def free_bytes(device: torch.device) -> int:
    """Of the device's memory, or of this machine's."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 2 * room()


def inference_bytes(n: int, e: int, cfg: Config) -> int:
    """Of memory that `batches.embed` takes beyond the graph itself, or the meters and the probe of
    what a training sees of its result, `batches.NODES` nodes at most unless more are to train and
    choose on. Of 200,000 nodes and 2,000,000 edges it was 1.0 to 1.2 of what was measured."""
    copies = 3 if cfg.encoder == "gat" else 2
    widths = [0, *[cfg.hidden] * (cfg.layers - 1), cfg.out]
    e += n * cfg.neighbours
    wide = max(a + copies * b for a, b in pairwise(widths))  # what goes in, and what comes out
    if cfg.own_features:
        wide = max(wide, 9 * cfg.latent // 4)  # put together of two
    if cfg.embed_hops:
        wide = max(wide, 4 * cfg.latent)
    return max(4 * n * wide + 250 * e, 4 * n * cfg.latent + 48 * min(n, SEEN) * cfg.latent)


class Sizes(NamedTuple):
    """Of a graph: what its training's memory goes by."""

    n: int
    e: int
    f: int
    nonzero: int  # of n * f features
    met: float  # mean degree of the nodes that a search meets, which are found by their edges

    @classmethod
    def of(cls, data: Data) -> Sizes:
        n, f = data.x.shape
        degree = torch.bincount(data.edge_index[0], minlength=n).double()
        met = float(degree.square().sum() / degree.sum().clamp(min=1))
        return cls(n, data.edge_index.shape[1] // 2, f, int(data.x.count_nonzero()), met)

    def training(self, cfg: Config, batch_nodes: int) -> int:
        """Bytes; on subgraphs of batch_nodes nodes, unless that is 0 or at least n."""
        n, e, f, nonzero, met = self
        if not 0 < batch_nodes < n:
            return training_bytes(n, e, f, nonzero, cfg)
        inner = min(e, int(batch_nodes * met / 2))  # as if no edge left the subgraph
        step = training_bytes(batch_nodes, inner, f, nonzero * batch_nodes // n, cfg)
        return step + inference_bytes(n, e, cfg)


def check_memory(data: Data, cfg: Config, free: int | None = None, batch_nodes: int = 0) -> None:
    """Before anything is allocated. RunError 6: training would take over 80 % of `free` bytes, by
    default what is free now; it names what would not: the largest width, of hidden and out, and the
    largest power of two for batch_nodes."""
    most = SHARE * (free_bytes(run_full.placement(cfg)[0]) if free is None else free)
    sizes = Sizes.of(data)
    if (needed := sizes.training(cfg, batch_nodes)) <= most:
        return
    unit = math.lcm(8, cfg.heads if cfg.encoder == "gat" else 1)
    low, high = 0, max(cfg.hidden, cfg.out) // unit + 1  # low units fit, or it is 0; high do not
    while high - low > 1:
        middle = (low + high) // 2
        width = middle * unit
        small = replace(cfg, hidden=min(cfg.hidden, width), out=min(cfg.out, width))
        fits = sizes.training(small, batch_nodes) <= most
        low, high = (middle, high) if fits else (low, middle)
    width, hints = low * unit, list[str]()
    if low:
        hints = [f"--hidden {min(cfg.hidden, width)} --out-width {min(cfg.out, width)}"]
    whole = batch_nodes if 0 < batch_nodes < sizes.n else sizes.n
    powers = (2**k for k in reversed(range(5, (whole - 1).bit_length())))
    if batch := next((b for b in powers if sizes.training(cfg, b) <= most), 0):
        hints.append(f"--batch-nodes {batch}")
    text = f"training takes about {needed >> 20} MiB, expected at most {int(most) >> 20}, 80 % of"
    raise RunError(f"{text} what is free; {' or '.join(hints) or 'no width'} would fit", 6)


def check_inference(data: Data, cfg: Config, batch_nodes: int = 0, free: int | None = None) -> None:
    """Before anything is allocated. RunError 6: embedding, in chunks of batch_nodes nodes or, if
    that is 0, at once, would take over 80 % of `free` bytes, by default what is free now."""
    most = SHARE * (free_bytes(run_full.placement(cfg)[0]) if free is None else free)
    n, f = data.x.shape
    needed = inference_bytes(n, data.edge_index.shape[1] // 2, cfg)
    if not 0 < batch_nodes < n:
        needed += 4 * n * f + 40 * int(data.x.count_nonzero())  # x as `Graph.of` makes it
    if needed > most:
        text = f"embedding takes about {needed >> 20} MiB, expected at most {int(most) >> 20}, 80 %"
        raise RunError(f"{text} of what is free; a machine with more memory would do", 6)


@contextmanager
def memory_errors() -> Iterator[None]:
    """An allocation that fails in the block is a RunError 6."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not any(text in str(error) for text in REFUSED):
            raise
        text = "out of memory; a smaller --hidden, --out-width or --batch-nodes takes less"
        raise RunError(text, 6) from None
