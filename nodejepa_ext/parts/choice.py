"""Which parts fill the seams of `run_full.train`, and what settings change under others.

A part is chosen by fields of `Parts`, beside those of `run_full.Config`; `seams` makes of them the
arguments of `train`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from functools import partial
from typing import Any

import run_full
from nodejepa_ext.parts.masking import bfs_mask, degree_mask
from nodejepa_ext.parts.objectives import OBJECTIVES
from run_full import Config, knob

Settings = dict[str, Any]  # field of Config or Parts -> value


@dataclass(frozen=True)
class Parts:
    """What goes into the seams of `run_full.train`; ValueError as for Config."""

    views: bool = knob(True, "toolkit", "augment the two views; without: all four rates 0")
    bfs_mask: bool = knob(False, "toolkit", "hide neighbourhoods grown by breadth-first search")
    bfs_hops: int = knob(2, "toolkit", "radius of a neighbourhood, at most", 1, 10**6)
    bfs_block: int = knob(0, "toolkit", "nodes of a neighbourhood, at most; 0: any", 0, 10**9)
    bfs_blocks: int = knob(0, "toolkit", "neighbourhoods; 0: as it comes", 0, 10**9)
    degree_mask: bool = knob(False, "toolkit", "hide nodes by their degree")
    degree_first: str = knob("hubs", "toolkit", "which of them first", "hubs", "leaves")
    laplacian_pe: bool = knob(False, "toolkit", "tell the predictor where a node sits")
    laplacian_k: int = knob(8, "toolkit", "eigenvectors it is told", 1, 4096)
    objective: str = knob("none", "toolkit", "regulariser of the toolkit", "none", *OBJECTIVES)

    def __post_init__(self) -> None:
        run_full.check_fields(self)
        if self.bfs_mask and self.degree_mask:
            raise ValueError("bfs_mask and degree_mask: expected one of them in an arm")
        if self.bfs_mask and self.bfs_block and self.bfs_blocks:
            text = f"bfs_block = {self.bfs_block}, bfs_blocks = {self.bfs_blocks}: expected"
            raise ValueError(f"{text} one of the two to be 0")


RATES: Settings = dict(feat1=0.0, edge1=0.0, feat2=0.0, edge2=0.0)
KNOWN: Settings = {f.name: f.default for s in (Config, Parts) for f in fields(s)}
KNOWN = {name: default for name, default in KNOWN.items() if name not in ("seed", "objective")}
# Fields that change nothing, and under which setting: (fields, holds for (cfg, parts), its name).
Rule = tuple[set[str], Callable[[Config, Parts], bool], str]
INERT: list[Rule] = [
    ({"views"}, lambda c, p: True, "feat1, edge1, feat2, edge2 = 0"),  # the rates say it all
    ({"bfs_mask", "degree_mask", "loss_nodes"}, lambda c, p: c.mask == 0, "mask = 0"),
    ({"bfs_hops", "bfs_block", "bfs_blocks", "degree_first"}, lambda c, p: c.mask == 0, "mask = 0"),
    ({"bfs_hops", "bfs_block", "bfs_blocks"}, lambda c, p: not p.bfs_mask, "bfs_mask = False"),
    ({"bfs_hops"}, lambda c, p: p.bfs_blocks > 0, "bfs_blocks > 0"),
    ({"degree_first"}, lambda c, p: not p.degree_mask, "degree_mask = False"),
    ({"laplacian_pe", "laplacian_k"}, lambda c, p: c.predictor == 0, "predictor = 0"),
    ({"laplacian_k"}, lambda c, p: not p.laplacian_pe, "laplacian_pe = False"),
    ({"predictor_norm"}, lambda c, p: c.predictor < 2, "predictor < 2"),
    ({"heads"}, lambda c, p: c.encoder == "gcn", "encoder = gcn"),
    ({"momentum"}, lambda c, p: c.target != "ema", "target is not ema"),
    ({"hidden"}, lambda c, p: c.layers == 1, "layers = 1"),
    ({"skip"}, lambda c, p: c.layers == 1 and c.skip != "linear", "layers = 1"),
    (
        {"regulariser_weight"},
        lambda c, p: c.regulariser == p.objective == "none",
        "regulariser = none",
    ),
    (
        {"regulariser", "objective"},
        lambda c, p: c.regulariser_weight == 0,
        "regulariser_weight = 0",
    ),
]


def effective(cfg: Config, parts: Parts) -> Settings:
    """All settings but those that change nothing under the others."""
    settings = asdict(cfg) | asdict(parts)
    settings["warmup"] = min(cfg.warmup, cfg.epochs // 2)  # run_full.schedule
    for names, holds, _ in INERT:
        settings = {k: v for k, v in settings.items() if k not in names or not holds(cfg, parts)}
    return settings


def seams(parts: Parts) -> Settings:
    """The keyword arguments of `run_full.train` that the parts stand for."""
    chosen: Settings = {}
    if parts.bfs_mask:
        sizes: Any = dict(hops=parts.bfs_hops, block=parts.bfs_block, blocks=parts.bfs_blocks)
        chosen["mask_fn"] = partial(bfs_mask, **sizes)
    if parts.degree_mask:
        chosen["mask_fn"] = partial(degree_mask, first=parts.degree_first)
    if parts.laplacian_pe:
        from nodejepa_ext.parts.positional import LaplacianPredictor

        chosen["make_predictor"] = partial(LaplacianPredictor, k=parts.laplacian_k)
    if parts.objective != "none":
        chosen["regulariser"] = OBJECTIVES[parts.objective][0]
    return chosen


def differences(old: Settings, new: Settings, at: str = "") -> list[str]:
    """["config.mask: 0.5 -> 0.3", ...] between two jobs, nested settings included."""
    found = []
    for name in sorted(old.keys() | new.keys()):
        was, now = old.get(name, "absent"), new.get(name, "absent")
        if isinstance(was, dict) and isinstance(now, dict):
            found += differences(was, now, f"{at}{name}.")
        elif was != now:
            found.append(f"{at}{name}: {was} -> {now}")
    return found
