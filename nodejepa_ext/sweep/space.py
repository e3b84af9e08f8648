"""What a sweep may try on one graph: ranges and lists over the fields of `run_full.Config`.

Kept apart from the sweep, which draws and trains: here a space is read and refused as a whole, so
that no trial can turn out to be no configuration. A file says it for all graphs, and a table named
after a graph says a field anew:

    lr = {low = 1e-4, high = 1e-2, log = true}
    epochs = {low = 20, high = 200, step = 10}
    layers = [1, 2]
    norm = "none"
    target = ["ema", "online"]
    momentum = {low = 0.9, high = 0.999, when = {target = "ema"}}
    predictor = {choices = [1, 2], when = {target = "ema"}}
    [citeseer]
    layers = 1

A field that is absent, or whose condition does not hold, keeps the value that the sweep starts at.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, fields, replace
from decimal import Decimal
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from nodejepa_ext.parts import choice
from nodejepa_ext.parts.choice import INERT, Parts, Settings
from nodejepa_ext.records import read_toml
from run_full import GRAPHS, Config

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

FIELDS = {f.name: f for f in fields(Config) if f.name not in ("seed", "device", "precision")}
KINDS: dict[str, type] = {name: type(f.default) for name, f in FIELDS.items()}
JOINT = ("encoder", "hidden", "out", "neighbours", "heads")  # Config checks them against each other

# Around the preset `best`, ten knobs a graph; widths stay, so that effective ranks compare.
NEAR: Settings = {
    "lr": {"low": 1e-4, "high": 1e-2, "log": True},
    "weight_decay": {"low": 1e-6, "high": 1e-1, "log": True},
    "epochs": {"low": 20, "high": 150, "step": 10},
    "mask": {"low": 0.0, "high": 0.7, "step": 0.1},
    "feat1": {"low": 0.0, "high": 0.5, "step": 0.1},
    "edge1": {"low": 0.0, "high": 0.8, "step": 0.1},
    "edge2": {"low": 0.0, "high": 0.8, "step": 0.1},
    "regulariser_weight": {"low": 1e-4, "high": 1e-2, "log": True},
    "embed_hops": {"low": 0, "high": 3},
}
BUILT_IN: dict[str, Settings] = {
    "cora": NEAR | {"layers": [1, 2]},  # and any other graph
    "citeseer": NEAR | {"hops": {"low": 1, "high": 3}},
    "pubmed": NEAR  # a step costs eight of Cora's
    | {"epochs": {"low": 20, "high": 80, "step": 5}, "target_hops": {"low": 0, "high": 2}},
}


@dataclass(frozen=True)
class Knob:
    """A field that varies; `when`: field -> values, drawn only where all of these hold."""

    when: dict[str, tuple[Any, ...]]

    def active(self, settings: Settings) -> bool:
        return all(settings[field] in values for field, values in self.when.items())


@dataclass(frozen=True)
class Range(Knob):
    """From low to high, both included; all int or all float."""

    low: Any
    high: Any
    step: Any = None  # None: any float, every int
    log: bool = False

    def draw(self, name: str, trial: BaseTrial) -> Any:
        if isinstance(self.low, int):
            return trial.suggest_int(name, self.low, self.high, step=self.step or 1, log=self.log)
        drawn = trial.suggest_float(name, self.low, self.high, step=self.step, log=self.log)
        return self.nearest(drawn)

    def nearest(self, value: Any) -> Any:
        """On the grid, as one writes it: 0.3, where 0.0 + 3 * 0.1 is 0.30000000000000004."""
        if self.step is None:
            return value
        steps = round((value - self.low) / self.step)
        return type(self.low)(Decimal(str(self.low)) + steps * Decimal(str(self.step)))

    def has(self, value: Any) -> bool:
        return bool(self.low <= value <= self.high and self.nearest(value) == value)

    def corners(self) -> tuple[Any, ...]:
        """The ends; of int also the second: what divides the first two divides them all."""
        second = self.low + (self.step or 1) if isinstance(self.low, int) else self.low
        return tuple(sorted({self.low, second, self.high}))

    def describe(self) -> dict[str, Any]:
        step = {"step": self.step} if self.step is not None else {}
        return {"low": self.low, "high": self.high} | step | ({"log": True} if self.log else {})


@dataclass(frozen=True)
class Choice(Knob):
    """One of a list, sorted."""

    values: tuple[Any, ...]

    def draw(self, name: str, trial: BaseTrial) -> Any:
        return trial.suggest_categorical(name, self.values)

    def has(self, value: Any) -> bool:
        return value in self.values

    def corners(self) -> tuple[Any, ...]:
        return self.values

    def describe(self) -> dict[str, Any]:
        return {"choices": list(self.values)}


@dataclass(frozen=True)
class Space:
    """The configurations of one graph that a sweep may try. ValueError: one that Config refuses, a
    condition that never holds."""

    base: Config  # fixed values are in it
    knobs: dict[str, Range | Choice]  # by name, each after those that its condition is about

    def __post_init__(self) -> None:
        for name, knob in self.knobs.items():
            if not any(map(knob.active, self.combinations(knob.when))):
                raise ValueError(f"{name}.when: never holds, expected values that occur together")
        for settings in self.combinations(JOINT):
            try:
                Config(**settings)
            except ValueError as error:
                said = [f"{name} = {settings[name]}" for name in JOINT[:-1]]
                raise ValueError(f"{', '.join(said)}, {error}") from None

    def suggest(self, trial: BaseTrial) -> Config:
        """Draws the knobs whose conditions hold. From a finished trial: what it drew."""
        settings = asdict(self.base)
        for name, knob in self.knobs.items():
            if knob.active(settings):
                settings[name] = knob.draw(name, trial)
        return Config(**settings)

    def params(self, cfg: Config) -> dict[str, Any]:
        """What `study.enqueue_trial` needs for `suggest` to give cfg back; seed, device and
        precision stay the space's. ValueError names the first field in which cfg lies outside."""
        settings, found = asdict(cfg), {}
        for name, kind in KINDS.items():
            knob, value = self.knobs.get(name), settings[name]
            varies = knob is not None and knob.active(settings)
            if knob and varies and knob.has(value):
                found[name] = kind(value)
            elif varies or value != getattr(self.base, name):
                inside = words(self.entry(name) if varies else getattr(self.base, name))
                raise ValueError(f"{name} = {value}: outside the space, which has {inside}")
        return found

    def fixed(self, name: str) -> bool:
        """The field has one value in all of the space."""
        return name not in self.knobs

    def entry(self, name: str) -> Any:
        """A field's value, or its knob as a dict; `otherwise`: where the condition fails."""
        value, knob = getattr(self.base, name), self.knobs.get(name)
        if knob is None or not knob.when:
            return knob.describe() if knob else value
        when = {field: list(values) for field, values in sorted(knob.when.items())}
        return knob.describe() | {"when": when, "otherwise": value}

    def describe(self) -> dict[str, Any]:
        """Every field but seed, device and precision, JSON-able; equal if the spaces are, in
        whatever order they were written."""
        return {name: self.entry(name) for name in FIELDS}

    def lines(self) -> list[str]:
        """["lr: 0.0001 to 0.01, log", ...], one a knob."""
        return [f"{name}: {words(self.entry(name))}" for name in FIELDS if name in self.knobs]

    def combinations(self, names: Collection[str]) -> list[Settings]:
        """All settings of the named knobs and those they hang on, ranges by their corners."""
        wanted = set(names)
        for name, knob in reversed(self.knobs.items()):
            wanted |= knob.when.keys() if name in wanted else set()
        found = [asdict(self.base)]
        for name, knob in self.knobs.items():
            if name in wanted:
                found = [
                    settings | {name: value}
                    for settings in found
                    for value in (knob.corners() if knob.active(settings) else [settings[name]])
                ]
        return found

    def idle(self, name: str) -> str:
        """Under which setting a knob changes nothing all over the space; "" if it may."""
        start = asdict(self.base)
        start |= {other: k.corners()[0] for other, k in self.knobs.items() if not k.when}
        changed = [{other: v} for other, k in self.knobs.items() for v in k.corners()]
        around: list[Any] = [SimpleNamespace(**start | change) for change in [{}, *changed]]
        for names, holds, reason in INERT:
            if name in names and all(holds(settings, Parts()) for settings in around):
                return reason
        return ""


def words(entry: Any) -> str:
    """A field of `Space.describe` for people: "20 to 200, step 10"."""
    if not isinstance(entry, dict):
        return str(entry)
    if "choices" in entry:
        text = f"one of {listed(entry['choices'])}"
    else:
        text = f"{entry['low']} to {entry['high']}"
        text += f", step {entry['step']}" if "step" in entry else ""
        text += ", log" if "log" in entry else ""
    if "when" in entry:
        where = [f"{name} is {' or '.join(map(str, v))}" for name, v in entry["when"].items()]
        text += f", where {' and '.join(where)}, else {entry['otherwise']}"
    return text


def listed(values: Collection[Any]) -> str:
    return ", ".join(map(str, values))


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """["lr: 0.0001 to 0.01, log -> 0.001", ...] between two `Space.describe()`."""
    was, now = ({k: words(v) for k, v in space.items()} for space in (old, new))
    return choice.differences(was, now)


def read_space(
    path: Path | None,
    graph: str,
    base: Config,
    given: Collection[str] = (),
    graphs: Collection[str] = (),
) -> Space:
    """The space that a file has for a graph; None: the built-in one, fields of `given` left as base
    has them, and without knobs that change nothing around base. given: fields that the command line
    sets, which a file may not; graphs: more names that a table may have. ValueError names the file,
    the field, its value and what was expected."""
    try:
        if path is None:
            space = assemble(drop(BUILT_IN.get(graph, BUILT_IN["cora"]), given), base)
            knobs = drop(space.knobs, list(filter(space.idle, space.knobs)))
            return replace(space, knobs=knobs)
        space = assemble(read_entries(path, {*GRAPHS, graph, *graphs}, graph, given), base)
        for name in space.knobs:
            if reason := space.idle(name):
                raise ValueError(f"{name}: changes nothing at {reason}, expected it not to vary")
        return space
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path or 'built-in space'}, on {graph}: {error}") from None


def drop(entries: dict[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: entry for name, entry in entries.items() if name not in names}


def read_entries(path: Path, graphs: set[str], graph: str, given: Collection[str]) -> Settings:
    """Field -> what the file says of it on the graph."""
    toml = read_toml(path)
    tables = {name: toml[name] for name in graphs & toml.keys() if isinstance(toml[name], dict)}
    top = drop(toml, tables)
    for key in sorted(top.keys() - FIELDS.keys()):
        names = f"{listed(FIELDS)}, or a table of {listed(sorted(graphs))}"
        raise ValueError(f"{key}: expected some of {names}")
    for name, table in sorted(tables.items()):
        for key in sorted(table.keys() - FIELDS.keys()):
            raise ValueError(f"[{name}] {key}: expected some of {listed(FIELDS)}")
    entries = top | tables.get(graph, {})
    for key in sorted(entries.keys() & set(given)):
        raise ValueError(f"{key}: given as an option too, expected once")
    return entries


def assemble(entries: Settings, base: Config) -> Space:
    """Fixed values go into base; conditions are settled and knobs put into order."""
    parsed = {name: parse(name, entry) for name, entry in sorted(entries.items())}
    knobs = {name: knob for name, knob in parsed.items() if isinstance(knob, Range | Choice)}
    base = replace(base, **drop(parsed, knobs))
    try:
        graph = {name: sorted(knob.when.keys() & knobs.keys()) for name, knob in knobs.items()}
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise ValueError(f"{' on '.join(error.args[1][::-1])}: conditions in a circle") from None
    if not order:
        raise ValueError("nothing varies, expected a range or a list of values")
    settled: dict[str, Range | Choice] = {}
    for name in order:
        settled[name] = settle(name, knobs[name], settled, base)
    return Space(base, settled)


def parse(name: str, entry: Any) -> Any:
    """A Range, a Choice or a fixed value, of the field's type; conditions not yet settled."""
    if isinstance(entry, list):
        entry = {"choices": entry}
    if not isinstance(entry, dict):
        return checked(name, entry)
    allowed = ("choices", "when") if "choices" in entry else ("low", "high", "step", "log", "when")
    for key in drop(entry, allowed):
        raise ValueError(f"{name}.{key}: expected some of {listed(allowed)}")
    when = parse_when(name, entry["when"]) if "when" in entry else {}
    if "choices" not in entry:
        return parse_range(name, entry, when)
    values = several(name, entry["choices"])
    if len(values) < 2:
        raise ValueError(f"{name} = {entry['choices']}: expected two values or more, or {name} = V")
    return Choice(when, values)


def parse_range(name: str, entry: Settings, when: Settings) -> Range:
    """From low, high and, if any, step or log. ValueError names the key and its value."""
    kind, step, log = KINDS[name], entry.get("step"), entry.get("log", False)
    if kind not in (int, float):
        raise ValueError(f"{name} = {entry}: expected a list of values, for it is no number")
    if not entry.keys() >= {"low", "high"}:
        raise ValueError(f"{name} = {entry}: expected low and high")
    low, high = (checked(name, entry[end], f"{name}.{end}") for end in ("low", "high"))
    if low >= high:
        raise ValueError(f"{name}.low = {low}: expected less than high = {high}")
    if not isinstance(log, bool):
        raise ValueError(f"{name}.log = {log!r}: expected true or false")
    if log and (low <= 0 or step is not None):
        raise ValueError(f"{name} = {entry}: expected low above 0 and no step with log")
    if step is None:
        return Range(when, low, high, None, log)
    span = Decimal(str(high)) - Decimal(str(low))
    good = type(step) in (int, kind) and 0 < step <= high
    steps = span / Decimal(str(step)) if good else Decimal(0)
    if not 1 <= steps <= 10**6 or steps % 1:
        raise ValueError(f"{name}.step = {step!r}: expected a divisor of high - low = {span}")
    return Range(when, low, high, None if kind is int and step == 1 else kind(step))


def parse_when(name: str, entry: Any) -> dict[str, tuple[Any, ...]]:
    """Field -> the values at which the knob `name` varies. ValueError: no such table."""
    if not isinstance(entry, dict) or not entry:
        raise ValueError(f"{name}.when = {entry!r}: expected a table of fields and values")
    when = {}
    for field, values in sorted(entry.items()):
        if field not in FIELDS:
            raise ValueError(f"{name}.when.{field}: expected some of {listed(FIELDS)}")
        values = values if isinstance(values, list) else [values]
        when[field] = several(field, values, f"{name}.when.{field}")
    return when


def several(name: str, values: Any, said: str = "") -> tuple[Any, ...]:
    """A list of different values of a field, sorted."""
    if not isinstance(values, list) or not values:
        raise ValueError(f"{said or name} = {values!r}: expected a list of values")
    found = [checked(name, value, said) for value in values]
    if len(set(found)) < len(found):
        raise ValueError(f"{said or name} = {values}: expected each value once")
    return tuple(sorted(found))


def checked(name: str, value: Any, said: str = "") -> Any:
    """A value that Config takes, of the field's type; said: where it stands, if not at the name."""
    kind = KINDS[name]
    expected = FIELDS[name].metadata["help"] if kind is not bool else "true or false"
    try:
        if isinstance(value, bool) != (kind is bool):
            raise ValueError
        Config(**{name: value})
    except ValueError:
        raise ValueError(f"{said or name} = {value!r}: expected {expected}") from None
    return kind(value)


def settle(
    name: str, knob: Range | Choice, above: dict[str, Range | Choice], base: Config
) -> Range | Choice:
    """The knob without conditions that always hold; above: the knobs that it may hang on."""
    when = dict(knob.when)
    for field, values in knob.when.items():
        parent, found = above.get(field), {getattr(base, field)}
        if isinstance(parent, Range):
            text = f"varies from {parent.low} to {parent.high}, expected a list of values"
            raise ValueError(f"{name}.when: {field} {text} or a fixed one")
        if parent is not None:
            found = set(parent.values) | (found if parent.when else set())
        for value in sorted(set(values) - found):
            text = f"expected some of {listed(sorted(found))}, all that it takes here"
            raise ValueError(f"{name}.when.{field} = {value!r}: {text}")
        if found <= set(values):
            del when[field]
    return replace(knob, when=when)
