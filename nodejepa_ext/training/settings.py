"""Settings: presets, what `auto` decides for an unknown graph without labels, and their layers,
preset < --config < options, for every verb that has them.

Shapes: N nodes, E undirected edges, F features.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any

from torch_geometric.data import Data

import run_full
from nodejepa_ext.graphs.likeness import likeness
from nodejepa_ext.parts.choice import RATES, Parts, Settings
from nodejepa_ext.parts.objectives import OBJECTIVES
from nodejepa_ext.records import Damaged, read_toml
from nodejepa_ext.training import batches, similar
from run_full import BEST, GRAPHS, Config

PRESETS = ("best", "card", "bgrl")
NAMES = ("auto", *PRESETS)
NUMBERS: Settings = {  # of `recipe`, where features are no words
    "layers": BEST.layers,
    "hops": BEST.hops,
    "neighbours": BEST.neighbours,
    "neighbour_weight": BEST.neighbour_weight,
}
CHANCE = 1.23  # over the root of 2 E: three standard errors of `likeness` where there is none
BGRL = Config(  # a fair BGRL (Thakoor et al. 2022): no mask, two views, both ways
    layers=1,
    hops=2,
    out=1024,
    predictor=1,
    mask=0.0,
    warmup=6,
    epochs=60,
    eval_every=20,
)
INPUT = ("transform", "neighbours", "neighbour_weight", "own_features")  # what an encoder takes in


def bgrl(own: Config) -> Config:
    """One recipe for every graph as well, with the input of `own`: chosen by development accuracy
    among 24 arms on Cora and 21 on CiteSeer, those of `best` among 58 (ablations/one_recipe)."""
    return replace(BGRL, **{name: getattr(own, name) for name in INPUT})


@cache
def preset(name: str, graph: str) -> Config:
    """The settings called `name` for an embedded graph: those of `run_full`, or `bgrl`. ValueError:
    there are none."""
    if name not in PRESETS:
        raise ValueError(f"{name!r}: expected one of {', '.join(PRESETS)}")
    if name == "bgrl":
        return bgrl(run_full.preset("best", graph))
    return run_full.preset(name, graph)


def command_line(prog: str, *more: type) -> argparse.ArgumentParser:
    """The parser of `run_full.command_line`, with the toolkit's presets and its --config."""
    parser = run_full.command_line(*more)
    parser.prog, parser.conflict_handler = prog, "resolve"  # the latter of two options counts
    add = parser.add_argument_group("toolkit").add_argument
    add("--preset", default="best", choices=PRESETS, help="settings to start from (best)")
    add("--config", type=Path, help="TOML of fields, with a section a graph; options win")
    return parser


def recipe(data: Data, most_joined: int = run_full.MOST_JOINED) -> Config:
    """`run_full.recipe`, and own features beside z where edges join nodes of unlike ones, which
    those of no embedded graph do."""
    return replace(run_full.recipe(data, most_joined), own_features=likeness(data) < 0.5)


def auto(data: Data, structural: bool = False) -> tuple[Config, str]:
    """Settings for a graph, and why: those of `recipe`, which takes x and edges alone; x counts as
    no words where it is `structural`, made of the edges themselves, or its last columns are
    (`positions` in data, see `Scaling.prepare`); there the others decide on own features, which
    come in only where chance would seldom have it so. Above `run_full.MOST_JOINED` nodes neighbours
    are joined where `similar` can find them. Measured in ablations/auto and
    ablations/weak_features."""
    made = 0 if structural else int(data.get("positions") or 0)
    if made:
        data = Data(x=data.x[:, :-made], edge_index=data.edge_index, edge_weight=data.edge_weight)
    sought = similar.large(data) and not structural and not made
    sought = sought and run_full.words(data.x.to_dense().float()) is not None
    most = len(data.x) if sought and similar.installed() else run_full.MOST_JOINED
    cfg, alike = recipe(data, most), likeness(data)
    if structural or made:
        cfg = replace(cfg, **NUMBERS)
    why = f"an edge joins nodes more alike than chance with probability {alike:.2f}"
    if made:
        cfg = replace(cfg, transform="none")
        cfg = replace(cfg, own_features=alike < 0.5 - CHANCE / data.edge_index.shape[1] ** 0.5)
    if cfg.own_features:
        why += ": own features beside the propagated ones"
    if cfg.transform == "root":
        why += "; features by their square roots"
    if cfg.layers == 1:
        why += "; features are words: one linear layer of two hops"
    if cfg.neighbours:
        why += f"; each node joined to the {cfg.neighbours} of most similar features"
        why += ", which pynndescent seeks, for half a minute or more" if sought else ""
    elif sought:
        why += f"; no neighbours joined: of over {run_full.MOST_JOINED:,} nodes pynndescent finds "
        why += "those of similar features, which nodejepa[scale] installs"
    return cfg, why


def nearest(data: Data) -> tuple[str, str]:
    """The embedded graph whose settings suit x [N, F] and edge_index [2, 2E], and what says so."""
    degree = data.edge_index.shape[1] / len(data.x)
    dense = int(data.x.count_nonzero()) / data.x.numel()
    why = f"mean degree {degree:.1f}, {100 * dense:.2g} % of {data.x.shape[1]} features not zero"
    return ("pubmed" if dense > 0.05 else "citeseer" if degree < 3.5 else "cora"), why


def preset_for(
    name: str, data: Data, graph: str = "", *, structural: bool = False
) -> tuple[Config, str]:
    """The preset `name`, of `graph` where it is an embedded one, and why. On another graph `best`
    is `auto`, which see for structural, `bgrl` has the input of that, and `card` is that of the
    nearest to data. ValueError: there is none of that name."""
    if name not in NAMES:
        raise ValueError(f"--preset {name}: expected one of {', '.join(NAMES)}")
    if name == "auto" or (name == "best" and graph not in GRAPHS):
        return auto(data, structural)
    if graph in GRAPHS:
        return preset(name, graph), f"`{name}` on {graph}"
    if name == "bgrl":
        own, why = auto(data, structural)
        return bgrl(own), why
    graph, why = nearest(data)
    return preset(name, graph), f"{why}: as `{name}` on {graph}"


def resolve(
    base: Config, args: argparse.Namespace, graph: str, *, own: bool = False
) -> tuple[Config, Parts]:
    """base, with fewer epochs under --quick < --config (its top level < its section of the graph) <
    options. own: of a graph of one's own, where gat takes `base` without neighbours and --config
    may hold batch_nodes, which is no setting. ValueError names what is wrong."""
    if getattr(args, "quick", False):
        base = replace(base, epochs=min(base.epochs, 5), eval_every=5)
    extra = {f.name for f in fields(Parts)}
    known = extra | {f.name for f in fields(Config)}
    toml = section_of(args.config, graph) if args.config else {}
    if bad := toml.keys() - known - ({"batch_nodes"} if own else set()):
        text = f"expected some of {', '.join(sorted(known))}"
        raise ValueError(f"{args.config}: {', '.join(sorted(bad))}: {text}")
    given = {k: v for k, v in (toml | vars(args)).items() if k in known}
    name = given.get("regulariser")
    if isinstance(name, str) and name in OBJECTIVES:
        weight = {"regulariser_weight": OBJECTIVES[name][1]}
        given = weight | given | {"regulariser": "none", "objective": name}
    with named_file(args.config, toml, vars(args)):
        parts = Parts(**{k: v for k, v in given.items() if k in extra})
        core = {k: v for k, v in given.items() if k not in extra}
        cfg = adapted(base, core) if own else replace(base, **core)
    return cfg if parts.views else replace(cfg, **RATES), parts


@contextmanager
def named_file(path: Path | None, toml: Settings, given: Settings) -> Iterator[None]:
    """A ValueError about a field that the file has, and no option, names the file."""
    try:
        yield
    except ValueError as error:
        field = str(error).partition(" = ")[0]
        if field not in toml or field in given:
            raise
        raise ValueError(f"{path}: {error}") from None


def section_of(path: Path, graph: str) -> Settings:
    """What a TOML says of a graph: its top level, then its section of that name."""
    toml = toml_of(path)
    own = toml.get(graph, {}) if graph in GRAPHS else {}
    if not isinstance(own, dict):
        raise ValueError(f"{path}: {graph} = {own!r}: expected a section")
    return {k: v for k, v in toml.items() if k not in GRAPHS} | own


def batch_nodes_in(args: argparse.Namespace) -> int:
    """What --config has for the graph, if anything. ValueError: it is no such number."""
    found: Any = section_of(args.config, args.graph).get("batch_nodes", 0) if args.config else 0
    batches.check(found, Parts())
    return int(found)


def adapted(base: Config, given: Settings) -> Config:
    """base with the given settings; without the neighbours of base, and what goes with them, where
    gat, which takes no edge weights, is asked for. ValueError: a setting that cannot be."""
    if given.get("encoder") == "gat" and base.neighbours:
        base = replace(base, **NUMBERS)
    return replace(base, **given)


def toml_of(path: Path) -> Settings:
    """ValueError: not there, or no TOML."""
    try:
        return read_toml(path)
    except OSError as error:
        raise ValueError(f"{path}: {error}") from None
    except Damaged as error:
        raise ValueError(str(error)) from None


def toml_text(settings: Settings, preset: str) -> str:
    lines = (f"{name} = {json.dumps(value)}" for name, value in settings.items())
    return "\n".join([f"# preset: {preset}", *lines, ""])
