"""Arms of an ablation: named settings over `run_full.Config` and over what the toolkit adds.

Kept apart from `run`, which trains and reports: here it is decided what is compared, and that
no arm is silently the same as another.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from nodejepa_ext.parts.choice import INERT, KNOWN, Parts, Settings, effective
from nodejepa_ext.records import Damaged, read_toml
from nodejepa_ext.training.settings import preset
from nodejepa_ext.training.settings import resolve as layered
from run_full import Config

CONTROL = "control: "  # before the names of controls, where arms have theirs


class Arm(NamedTuple):
    """Named settings; the first arm of an ablation is the reference."""

    name: str
    settings: Settings


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
    said = []
    for field, value in settings.items():
        if field not in switches:
            said.append(f"{field}={value}")
        else:
            said.append(f"no_{field}" if value is False else field)
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
        toml = read_toml(path)
    except OSError as error:
        raise ValueError(f"{path}: {error}") from None
    except Damaged as error:
        raise ValueError(str(error)) from None
    common = {key: value for key, value in toml.items() if not isinstance(value, dict)}
    arms = [Arm(name, common | own) for name, own in toml.items() if isinstance(own, dict)]
    if len(arms) < 2:
        raise ValueError(f"{path}: {len(arms)} tables, expected an arm each, at least two")
    for arm in arms:
        if arm.name.startswith(CONTROL):
            raise ValueError(f"{path}: [{arm.name}]: expected a name that is no control's")
        for key in arm.settings.keys() - KNOWN.keys():
            raise ValueError(f"{path}: [{arm.name}] {key}: expected some of {', '.join(KNOWN)}")
    return arms


def resolve(arm: Arm, args: argparse.Namespace, graph: str) -> tuple[Config, Parts]:
    """What an arm is on a graph: preset < --config < options < the arm's own settings."""
    given = argparse.Namespace(**vars(args) | arm.settings)
    try:
        return layered(preset(args.preset, graph), given, graph)
    except ValueError as error:
        raise ValueError(f"arm {arm.name!r} on {graph}: {error}") from None


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
