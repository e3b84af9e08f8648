"""What is decided without labels: settings for an unknown graph, whether they fit in memory, and,
where there is no validation set, the epoch to keep.

Apart from `runs`, since the estimator decides in the same way. Shapes: N nodes, E undirected
edges, F features, D latent dimensions.
"""

from __future__ import annotations

import argparse
import copy
import math
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch_geometric.data import Data

import run_full
from nodejepa_ext.arms import RATES, Parts
from nodejepa_ext.graph_files import room
from nodejepa_ext.objectives import OBJECTIVES
from run_full import GRAPHS, PRESETS, Config, RunError, StopTraining, TrainState

NAMES = ("auto", *PRESETS)
REFUSED = ("can't allocate memory", "not enough memory", "out of memory", "bad_alloc")
SHARE = 0.8  # of the free memory, at most
PAIRS, ALIKE = 100_000, 0.5
LARGEST, WEIGHT = 20_000, 0.2  # nodes; of a node's mean edge weights together
PATIENCE = 5  # evaluations without a better epoch
PLATEAU = 0.01  # of what the loss fell in all: less is no fall
COLLAPSED = 0.5  # of the highest rank seen: less is never kept
Settings = dict[str, Any]


def auto(data: Data, structural: bool = False) -> tuple[Config, str]:
    """Settings for a graph, and why: those of `best` on Cora; 20 neighbours where features are
    words (`run_full.words`), but not where they are `structural`, made of the edges themselves, nor
    in graphs of more nodes than were measured, since finding them takes time in N^2; own features
    beside the propagated ones where edges join nodes that are less alike than chance. Labels and
    masks have no say. Measured in ablations/auto."""
    alike, n = likeness(data), len(data.x)
    own = alike < ALIKE
    why = f"an edge joins nodes more alike than chance with probability {alike:.2f}"
    why += ": own features beside the propagated ones" * own
    plain = replace(run_full.preset("best", "cora"), neighbours=0, own_features=own)
    if structural or n > LARGEST or run_full.words(data.x.to_dense().float().cpu()) is None:
        return plain, why
    why += "; each node joined to the 20 of most similar features"
    return replace(plain, **joined(data)), why


def joined(data: Data) -> Settings:
    """20 neighbours, which together weigh a fifth of what a node's edges do on average."""
    total = data.edge_index.shape[1] if data.edge_weight is None else float(data.edge_weight.sum())
    weight = WEIGHT * max(total / len(data.x), 1.0)
    return {"neighbours": 20, "neighbour_weight": round(weight, 2)}


def likeness(data: Data) -> float:
    """Probability that the ends of an edge have more similar features than a random pair of nodes,
    as `run_full.comparable` sees them, ties counted half: of 100,000 drawn pairs of both. 0.5 where
    there are no edges."""
    edges, generator = data.edge_index.cpu(), torch.Generator().manual_seed(0)
    if not edges.numel():
        return 0.5
    x = run_full.comparable(data.x)
    some = edges[:, torch.randint(edges.shape[1], (PAIRS,), generator=generator)]
    random = torch.randint(len(x), (2, PAIRS), generator=generator)
    ours, others = (
        torch.cat([(x[u] * x[v]).sum(1) for u, v in pairs.split(1024, dim=1)])
        for pairs in (some, random)
    )
    return float(((ours > others).float() + (ours == others).float() / 2).mean())


def nearest(data: Data) -> tuple[str, str]:
    """The embedded graph whose settings suit x [N, F] and edge_index [2, 2E], and what says so."""
    degree = data.edge_index.shape[1] / len(data.x)
    dense = int(data.x.count_nonzero()) / data.x.numel()
    why = f"mean degree {degree:.1f}, {100 * dense:.2g} % of {data.x.shape[1]} features not zero"
    return ("pubmed" if dense > 0.05 else "citeseer" if degree < 3.5 else "cora"), why


def settings(
    name: str, data: Data, graph: str = "", *, structural: bool = False
) -> tuple[Config, str]:
    """The preset `name`, of `graph` where it is an embedded one, else of the nearest to data, and
    why; structural: see `auto`. ValueError: there is none of that name."""
    if name not in NAMES:
        raise ValueError(f"--preset {name}: expected one of {', '.join(NAMES)}")
    if name == "auto":
        return auto(data, structural)
    if graph in GRAPHS:
        return run_full.preset(name, graph), f"`{name}` on {graph}"
    graph, why = nearest(data)
    return run_full.preset(name, graph), f"{why}: as `{name}` on {graph}"


def resolve(base: Config, args: argparse.Namespace, graph: str) -> tuple[Config, Parts]:
    """base < --config (its top level < its section of the graph) < options, as `run_full.configure`
    and `arms.resolve` have them for an embedded graph. ValueError names what is wrong."""
    known = {f.name for kind in (Config, Parts) for f in fields(kind)}
    toml = toml_of(args.config) if args.config else {}
    toml = {k: v for k, v in toml.items() if k not in GRAPHS} | toml.get(graph, {})
    toml.pop("batch_nodes", None)  # of a run, not of its settings: see commands/train.py
    if bad := toml.keys() - known:
        text = f"expected some of {', '.join(sorted(known))}"
        raise ValueError(f"{args.config}: {', '.join(sorted(bad))}: {text}")
    given = toml | {k: v for k, v in vars(args).items() if k in known}
    if (name := given.get("regulariser")) in OBJECTIVES:
        weight = {"regulariser_weight": OBJECTIVES[name][1]}
        given = weight | given | {"regulariser": "none", "objective": name}
    extra = {f.name for f in fields(Parts)}
    parts = Parts(**{k: v for k, v in given.items() if k in extra})
    cfg = adapted(base, {k: v for k, v in given.items() if k not in extra})
    return cfg if parts.views else replace(cfg, **RATES), parts


def adapted(base: Config, given: Settings) -> Config:
    """base with the given settings; without the neighbours of base where gat, which takes no edge
    weights, is asked for. ValueError: a setting that cannot be."""
    base = replace(base, neighbours=0) if given.get("encoder") == "gat" else base
    return replace(base, **given)


def toml_of(path: Path) -> Settings:
    """ValueError: not there, or no TOML."""
    try:
        return tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from None


def training_bytes(n: int, e: int, f: int, nonzero: int, cfg: Config) -> int:
    """Of memory that training takes beyond the graph itself; nonzero: of the N * F features.

    Fitted in fp32 to peaks of 5,000 to 20,000 nodes, where it was 1.0 to 1.6 of what was measured;
    bf16 takes less."""
    widths = [f, *[cfg.hidden] * (cfg.layers - 1), cfg.out]
    weights = sum((1 + cfg.skip) * a * b for a, b in pairwise(widths))
    weights += f * cfg.out * cfg.own_features
    latent = cfg.out * (1 + cfg.own_features)
    weights += (0, latent * latent, 1024 * latent)[cfg.predictor]
    wide = sum(widths[1:-1]) + latent
    joined = cfg.target == "online" or cfg.regulariser != "none"  # both views are held at once
    size = (28, 48)[joined] * n * (wide + 512 * (cfg.predictor == 2))  # with their gradients
    size += 48 * weights  # both encoders, gradients, AdamW, the best, a checkpoint
    e += n * cfg.neighbours
    size += (4 + 12 * (cfg.neighbours > 0)) * n * f + 24 * nonzero + 100 * e
    if cfg.encoder == "gat":  # a message an edge and head
        size += int(16 * e * (2 - cfg.edge1 - cfg.edge2) * wide)
    return size + (50 << 20)


def free_bytes(device: torch.device) -> int:
    """Of the device's memory, or of this machine's."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 2 * room()


def inference_bytes(n: int, e: int, cfg: Config) -> int:
    """Of memory that `batches.embed` takes beyond the graph itself, or the meters and the probe of
    its result. Of 200,000 nodes and 2,000,000 edges it was 1.0 to 1.2 of what was measured."""
    latent, copies = cfg.out * (1 + cfg.own_features), 2 + (cfg.encoder == "gat")
    widths, e = [0, *[cfg.hidden] * (cfg.layers - 1), cfg.out], e + n * cfg.neighbours
    wide = max(a + copies * b for a, b in pairwise(widths))  # what goes in, and what comes out
    return max(4 * n * wide + 250 * e, 48 * n * latent)


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


class Evaluation(NamedTuple):
    """Of an epoch at which the embedding was looked at."""

    epoch: int
    loss: float  # mean since the evaluation before
    rank: float  # effective rank / D


def evaluations(rows: list[dict[str, float]], width: int) -> list[Evaluation]:
    """Of the rows of a `TrainState`, whose embedding has `width` columns."""
    found, losses = [], list[float]()
    for row in rows:
        losses.append(row["loss"])
        if "effective_rank" in row:
            mean = math.fsum(losses) / len(losses)
            found.append(Evaluation(int(row["epoch"]), mean, row["effective_rank"] / width))
            losses = []
    return found


def label_free(state: TrainState, row: dict[str, float]) -> None:
    """An EpochHook: keeps the epoch to use where labels cannot say. An evaluation is better if the
    loss has fallen on, or if the rank is higher at no higher loss; never if half the rank is lost.
    StopTraining: none was better for five evaluations. It goes by the state alone."""
    if "effective_rank" not in row:
        return
    cfg = state.encoder.cfg
    marks = evaluations(state.rows, cfg.out * (1 + cfg.own_features))
    now, kept = marks[-1], [m for m in marks if m.epoch == state.best.get("epoch")]
    if not kept or better(now, kept[0], marks):
        weights = copy.deepcopy(state.encoder.state_dict())
        state.best = {"epoch": now.epoch, "val": -1.0, "weights": weights}
    elif len(marks) - marks.index(kept[0]) > PATIENCE:
        raise StopTraining


def better(now: Evaluation, kept: Evaluation, marks: list[Evaluation]) -> bool:
    """Whether an evaluation is to replace the one that is kept; marks: all so far."""
    least = PLATEAU * (marks[0].loss - min(m.loss for m in marks))
    if now.rank < COLLAPSED * max(m.rank for m in marks):
        return False
    fallen = kept.loss - now.loss
    return fallen > least or now.rank > kept.rank and fallen >= -least
