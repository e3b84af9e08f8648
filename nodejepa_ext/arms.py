"""Arms of an ablation: named settings over `run_full.Config` and over what the toolkit adds.

Kept apart from `ablate`, which trains and reports: here it is decided what is compared, and that
no arm is silently the same as another.
"""

from __future__ import annotations

import argparse
import itertools
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import run_full
from nodejepa_ext.masking import bfs_mask, degree_mask
from nodejepa_ext.objectives import OBJECTIVES
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


class Arm(NamedTuple):
    """Named settings; the first arm of an ablation is the reference."""

    name: str
    settings: Settings


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


def from_switches(
    switches: Settings, vary: dict[str, list[Any]], factorial: bool, args: argparse.Namespace
) -> list[Arm]:
    """The reference and what differs from it: all switches at once and one varied value at a time,
    or with `factorial` the product. The first value of a varied field is the reference's; `args`
    has what was given to every arm. ValueError: a field that is in two of these, or in none."""
    for field in switches.keys() & (vary.keys() | args.given) | vary.keys() & args.given:
        raise ValueError(f"{field}: expected once, as a switch, as --vary or as an option")
    factors = {field: [None, value] for field, value in switches.items()} | vary
    if not factors:
        raise ValueError("nothing to compare: expected a switch, --vary or --arms")
    if factorial:
        levels = list(itertools.product(*factors.values()))
    else:
        first = tuple(values[0] for values in factors.values())
        on = tuple(switches.get(field, values[0]) for field, values in factors.items())
        levels = [first] + [on] * bool(switches)
        for i, field in enumerate(factors):
            more = vary.get(field, [])[1:]
            levels += [(*first[:i], value, *first[i + 1 :]) for value in more]
    return [named(dict(zip(factors, level, strict=True)), switches) for level in levels]


def named(level: Settings, switches: Settings) -> Arm:
    """Switches that are on by their names, varied fields as field=value."""
    settings = {field: value for field, value in level.items() if value is not None}
    said = [
        ("no_" * (value is False) + field) if field in switches else f"{field}={value}"
        for field, value in settings.items()
    ]
    return Arm(" + ".join(said) or "reference", settings)


def parse_vary(texts: Iterable[str]) -> dict[str, list[Any]]:
    """["mask=0,0.5"] -> {"mask": [0.0, 0.5]}; ValueError names what is wrong."""
    vary: dict[str, list[Any]] = {}
    for text in texts:
        field, _, values = text.partition("=")
        field = field.strip().replace("-", "_")
        if field not in KNOWN or field in vary:
            raise ValueError(f"--vary {text}: expected FIELD=V,V once, of {', '.join(KNOWN)}")
        vary[field] = [parse(field, value.strip()) for value in values.split(",")]
        if len(set(map(str, vary[field]))) < max(2, len(vary[field])):
            raise ValueError(f"--vary {text}: expected at least two values, all different")
    return vary


def parse(field: str, text: str) -> Any:
    """A value as the field's type has it: "0.5" -> 0.5, "true" -> True. ValueError names both."""
    kind = type(KNOWN[field])
    try:
        return {"true": True, "false": False}[text.lower()] if kind is bool else kind(text)
    except (ValueError, KeyError):
        raise ValueError(f"--vary {field}: {text!r}, expected {kind.__name__}") from None


def from_toml(path: Path) -> list[Arm]:
    """A table an arm, the first is the reference; keys above them belong to all arms. ValueError
    names the file and the key."""
    try:
        toml = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from None
    common = {key: value for key, value in toml.items() if not isinstance(value, dict)}
    arms = [Arm(name, common | own) for name, own in toml.items() if isinstance(own, dict)]
    if len(arms) < 2:
        raise ValueError(f"{path}: {len(arms)} tables, expected an arm each, at least two")
    for arm in arms:
        for key in arm.settings.keys() - KNOWN.keys():
            raise ValueError(f"{path}: [{arm.name}] {key}: expected some of {', '.join(KNOWN)}")
    return arms


def resolve(arm: Arm, args: argparse.Namespace, graph: str) -> tuple[Config, Parts]:
    """What an arm is on a graph: preset < --config < options < the arm's own settings."""
    given = vars(args) | arm.settings
    core = {k: v for k, v in given.items() if k in Config.__dataclass_fields__ or k not in KNOWN}
    extra = {k: v for k, v in given.items() if k in Parts.__dataclass_fields__}
    if (name := core.get("regulariser")) in OBJECTIVES:
        core["regulariser"], extra["objective"] = "none", name
        core.setdefault("regulariser_weight", OBJECTIVES[name][1])
    try:
        cfg = run_full.configure(argparse.Namespace(**core), graph, args.preset)
        parts = Parts(**extra)
    except ValueError as error:
        raise ValueError(f"arm {arm.name!r} on {graph}: {error}") from None
    return cfg if parts.views else replace(cfg, **RATES), parts


def effective(cfg: Config, parts: Parts) -> Settings:
    """All settings but those that change nothing under the others."""
    settings = asdict(cfg) | asdict(parts)
    settings["warmup"] = min(cfg.warmup, cfg.epochs // 2)  # run_full.schedule
    for names, holds, _ in INERT:
        settings = {k: v for k, v in settings.items() if k not in names or not holds(cfg, parts)}
    return settings


def check_distinct(arms: list[Arm], args: argparse.Namespace, graph: str) -> None:
    """ValueError: two arms that would be the same run on the graph, and the field that makes it."""
    seen: dict[str, tuple[Arm, Any, Any]] = {}
    for arm in arms:
        cfg, parts = resolve(arm, args, graph)
        key = str(sorted(effective(cfg, parts).items()))
        if key not in seen:
            seen[key] = arm, cfg, parts
            continue
        other, *both = seen[key]
        differ = {k for k in KNOWN if arm.settings.get(k) != other.settings.get(k)}
        why = [
            f"{', '.join(sorted(names & differ))} changes nothing at {reason}"
            for names, holds, reason in INERT
            if names & differ and holds(cfg, parts) and holds(*both)
        ] or [f"{', '.join(sorted(differ)) or 'nothing'} is the same there already"]
        raise ValueError(
            f"arm {arm.name!r} is the same as {other.name!r} on {graph}: {'; '.join(why)}"
        )


def seams(parts: Parts) -> Settings:
    """The keyword arguments of `run_full.train` that the parts stand for."""
    chosen: Settings = {}
    if parts.bfs_mask:
        sizes: Any = dict(hops=parts.bfs_hops, block=parts.bfs_block, blocks=parts.bfs_blocks)
        chosen["mask_fn"] = partial(bfs_mask, **sizes)
    if parts.degree_mask:
        chosen["mask_fn"] = partial(degree_mask, first=parts.degree_first)
    if parts.laplacian_pe:
        from nodejepa_ext.positional import LaplacianPredictor  # and with it eigensolvers

        chosen["make_predictor"] = partial(LaplacianPredictor, k=parts.laplacian_k)
    if parts.objective != "none":
        chosen["regulariser"] = OBJECTIVES[parts.objective][0]
    return chosen
