"""Claims about the space of a sweep, each with a test below.

1.  Whatever a file says, a draw is a valid Config, inside every range, on every grid; a field that
    is absent, or whose condition fails, keeps the value of the base.
2.  params() of a configuration, enqueued, is drawn back bit for bit, through a journal file too;
    so does a finished trial; one outside the space is refused, by its first field.
3.  describe() is JSON, and equal exactly if the spaces are, however they were written; differences
    between two are sentences.
4.  The built-in spaces hold the preset `best`, have at most 10 knobs, all of which count, and leave
    widths alone; a field given as an option is left out, and with it what then changes nothing.
5.  A table named after a graph says a field anew; those of other graphs say nothing here.
6.  A conditional knob is drawn only where its condition holds, conditions on conditions included.
7.  Every mistake is refused with one sentence: file, graph, field, value, what was expected.
8.  A combination that Config refuses is found wherever one is, and only there.
9.  A knob that would change nothing is refused.
10. Importing the module imports no Optuna.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

import run_full
from nodejepa_ext.sweep import space as module
from nodejepa_ext.sweep.space import BUILT_IN, FIELDS, Space, differences, read_space
from run_full import Config

optuna.logging.set_verbosity(optuna.logging.WARNING)
BEST = replace(run_full.preset("best", "cora"), neighbours=0, layers=2, hops=1)
KNOWN = ", ".join(FIELDS)


def read(text: str, graph: str = "cora", base: Config = BEST, **more: Any) -> Space:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "space.toml"
        path.write_text(text)
        return read_space(path, graph, base, **more)


def study(seed: int = 0, storage: Any = None) -> optuna.Study:
    return optuna.create_study(storage=storage, sampler=optuna.samplers.RandomSampler(seed))


def draws(space: Space, n: int, seed: int = 0) -> Iterator[Config]:
    asked = study(seed)
    return (space.suggest(asked.ask()) for _ in range(n))


def drawn_back(space: Space, cfg: Config) -> Config:
    asked = study()
    asked.enqueue_trial(space.params(cfg))
    return space.suggest(asked.ask())


def toml(entry: Any) -> str:
    if isinstance(entry, dict):
        return "{" + ", ".join(f"{key} = {toml(value)}" for key, value in entry.items()) + "}"
    return json.dumps(entry)


def document(entries: dict[str, Any]) -> str:
    return "".join(f"{name} = {toml(entry)}\n" for name, entry in entries.items())


# 1, 2: any space

FLOATS = ["lr", "mask", "edge1", "feat2"]
INTS = ["epochs", "warmup", "out", "eval_every"]
LISTS: dict[str, list[Any]] = {"target": ["ema", "online", "frozen"], "layers": [1, 2, 3, 8]}
LISTS |= {"skip": ["none", "linear"], "weight_decay": [0, 1e-5, 1e-3, 0.5], "loss": ["cosine"]}
WHERE_EMA = {"low": 0.5, "high": 0.999, "when": {"target": "ema"}}


@st.composite
def ranges(draw: st.DrawFn, number: type, digits: int) -> dict[str, Any]:
    """On a decimal grid, within 0 and 0.89 or 890."""
    low, step = (Decimal(draw(st.integers(1, n))).scaleb(-digits) for n in (90, 40))
    entry = {"low": number(low), "high": number(low + draw(st.integers(1, 20)) * step)}
    return entry | draw(st.sampled_from([{}, {"log": True}, {"step": number(step)}]))


@st.composite
def spaces(draw: st.DrawFn) -> dict[str, Any]:
    entries: dict[str, Any] = {}
    for name in draw(st.sets(st.sampled_from(FLOATS))):
        entries[name] = draw(ranges(float, draw(st.integers(3, 6))))
    for name in draw(st.sets(st.sampled_from(INTS))):
        entries[name] = draw(ranges(int, 0))
    for name, values in LISTS.items():
        chosen = draw(st.lists(st.sampled_from(values), unique=True))
        entries |= {name: chosen[0] if len(chosen) == 1 else chosen} if chosen else {}
    if "ema" in (target := entries.get("target", "")) and isinstance(target, list):
        entries |= {"momentum": WHERE_EMA}
    return entries | {"hops": draw(st.sampled_from([[1, 2], [3, 2, 1], {"low": 1, "high": 9}]))}


def inside(entry: Any, value: Any) -> bool:
    if isinstance(entry, list):
        return value in entry
    if not isinstance(entry, dict):
        return bool(value == entry)
    steps = (Decimal(str(value)) - Decimal(str(entry["low"]))) / Decimal(str(entry.get("step", 1)))
    return bool(entry["low"] <= value <= entry["high"]) and ("step" not in entry or steps % 1 == 0)


@settings(max_examples=150, deadline=None)
@given(spaces(), st.integers(0, 2**31))
def test_any_space_draws_valid_configurations_and_gives_them_back(
    entries: dict[str, Any], seed: int
) -> None:
    space = read(document(entries))
    for cfg in draws(space, 3, seed):
        assert cfg == replace(BEST, **{name: getattr(cfg, name) for name in entries})
        for name, entry in entries.items():
            drawn = name != "momentum" or cfg.target == "ema"
            assert inside(entry if drawn else BEST.momentum, getattr(cfg, name))
            assert type(getattr(cfg, name)) is type(FIELDS[name].default)
        again = drawn_back(space, cfg)
        assert again == cfg and str(again) == str(cfg)


def test_draws_reach_all_of_a_space() -> None:
    space = read(
        "mask = {low = 0.1, high = 0.7, step = 0.1}\nlayers = [2, 1]\nown_features = [true, false]"
    )
    found = list(draws(space, 200))
    assert {cfg.mask for cfg in found} == {0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7}  # as one writes them
    assert {(cfg.layers, cfg.own_features) for cfg in found} == {
        (1, False),
        (1, True),
        (2, False),
        (2, True),
    }


@pytest.mark.parametrize("field", ["lr = {low = 1e-6, high = 1.0", "out = {low = 1, high = 10000"])
def test_a_log_range_is_drawn_in_its_logarithm(field: str) -> None:
    space = read(f"{field}, log = true}}")
    name, middle = ("lr", 1e-3) if "lr" in field else ("out", 100)
    assert 60 < sum(getattr(cfg, name) < middle for cfg in draws(space, 200)) < 140


def test_through_a_journal_and_from_a_finished_trial(tmp_path: Path) -> None:
    space = read_space(None, "cora", BEST)
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "journal.jsonl")))
    asked = study(storage=storage)
    asked.enqueue_trial(space.params(BEST))
    configs = []
    for n in range(6):
        trial = asked.ask()
        configs.append(space.suggest(trial))
        asked.tell(trial, n / 10)
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "journal.jsonl")))
    (name,) = (s.study_name for s in storage.get_all_studies())
    trials = optuna.load_study(study_name=name, storage=storage).trials
    assert configs[0] == BEST and [space.suggest(trial) for trial in trials] == configs
    assert all(drawn_back(space, cfg) == cfg for cfg in configs)


def test_seed_device_and_precision_are_not_of_the_space() -> None:
    space = read("layers = [1, 2]", base=replace(BEST, device="cpu"))
    other = replace(BEST, seed=7, precision="fp32", device="cuda")
    assert space.params(other) == {"layers": 2}
    assert drawn_back(space, other) == replace(BEST, device="cpu")


def test_a_whole_number_is_a_float_where_the_field_is() -> None:
    space = read("feat1 = {low = 0, high = 0.5}")
    assert str(drawn_back(space, replace(BEST, feat1=0))) == str(BEST)


def test_the_base_may_lie_outside() -> None:
    space = read("lr = {low = 0.5, high = 1.0}")
    with pytest.raises(ValueError, match="lr = 0.001: outside the space, which has 0.5 to 1.0"):
        space.params(space.base)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"lr": 0.5}, "lr = 0.5: outside the space, which has 0.0001 to 0.01, log"),
        ({"mask": 0.35, "lr": 0.5}, "mask = 0.35: outside .* 0.1 to 0.5, step 0.1"),
        ({"mask": 0.1 + 0.2}, "mask = 0.30000000000000004: outside .* 0.1 to 0.5, step 0.1"),
        ({"out": 64}, "out = 64: outside the space, which has 512"),
        ({"target": "frozen"}, "target = frozen: outside the space, which has one of ema, online"),
        ({"momentum": 0.95}, "momentum = 0.95: outside the space, which has 0.99$"),
        (
            {"target": "ema", "momentum": 0.5},
            "momentum = 0.5: .* 0.9 to 0.999, where target is ema, else 0.99$",
        ),
    ],
)
def test_configurations_outside_are_refused(change: dict[str, Any], said: str) -> None:
    space = read(
        "lr = {low = 1e-4, high = 1e-2, log = true}\nmask = {low = 0.1, high = 0.5, step = 0.1}\n"
        "target = ['online', 'ema']\nmomentum = {low = 0.9, high = 0.999, when = {target = 'ema'}}"
    )
    with pytest.raises(ValueError, match=said):
        space.params(replace(BEST, **change))


# 3

SAME = [
    """lr = {low = 1e-4, high = 1, log = true}
    epochs = {low = 20, high = 60, step = 1}
    target = ["ema", "online", "frozen"]
    momentum = {low = 0, high = 0.9, when = {target = ["ema", "frozen"], out = 512}}
    feat1 = 0""",
    """momentum = {when = {target = ["frozen", "ema"]}, high = 0.9, low = 0.0}
    target = {choices = ["online", "frozen", "ema"]}
    feat1 = 0.5
    epochs = {high = 60, low = 20}
    [cora]
    feat1 = 0.0
    lr = {low = 0.0001, high = 1.0, log = true}
    [pubmed]
    epochs = 10""",
]


def test_descriptions_are_canonical() -> None:
    one, other = (read(text) for text in SAME)
    assert one.describe() == other.describe()
    assert json.dumps(one.describe()) == json.dumps(other.describe())
    assert json.loads(json.dumps(one.describe())) == one.describe()
    assert list(draws(one, 5)) == list(draws(other, 5))
    assert one.lines() == [
        "target: one of ema, frozen, online",
        "momentum: 0.0 to 0.9, where target is ema or frozen, else 0.99",
        "lr: 0.0001 to 1.0, log",
        "epochs: 20 to 60",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SAME[0].replace("1e-4", "1e-3"), ["lr: 0.0001 to 1.0, log -> 0.001 to 1.0, log"]),
        (SAME[0].replace("step = 1", "step = 20"), ["epochs: 20 to 60 -> 20 to 60, step 20"]),
        (
            SAME[0].replace('["ema", "frozen"], ', '"ema", '),
            [
                "momentum: 0.0 to 0.9, where target is ema or frozen, else 0.99"
                " -> 0.0 to 0.9, where target is ema, else 0.99"
            ],
        ),
        (SAME[0] + "\nlayers = [1, 2]", ["layers: 2 -> one of 1, 2"]),
        (SAME[0] + "\nskip = 'input'", ["skip: none -> input"]),
        (SAME[0], []),
    ],
)
def test_differences_are_sentences(text: str, said: list[str]) -> None:
    assert differences(read(SAME[0]).describe(), read(text).describe()) == said


def test_the_base_counts_where_it_shows() -> None:
    one, other = (read(SAME[0], base=replace(BEST, momentum=m)) for m in (0.99, 0.9))
    assert one.describe() != other.describe()  # where target is online
    one, other = (read(SAME[0], base=replace(BEST, lr=lr)) for lr in (1e-3, 2e-3))
    assert one.describe() == other.describe()


# 4


@pytest.mark.parametrize("graph", run_full.GRAPHS)
def test_built_in_spaces_hold_the_best_preset(graph: str) -> None:
    best = run_full.preset("best", graph)
    space = read_space(None, graph, best)
    assert drawn_back(space, best) == best == space.base
    assert space.knobs.keys() == BUILT_IN[graph].keys() and len(space.knobs) <= 10
    for name in ("hidden", "out", "own_features"):
        assert space.fixed(name)
    assert not space.fixed("lr") and len(space.lines()) == len(space.knobs)
    assert all(isinstance(cfg, Config) for cfg in draws(space, 20))


def test_pubmed_is_cheaper_and_other_graphs_have_a_space() -> None:
    epochs = {g: read_space(None, g, BEST).knobs["epochs"].corners()[-1] for g in run_full.GRAPHS}
    assert epochs["pubmed"] < epochs["cora"]
    assert read_space(None, "mine", BEST).params(BEST) == read_space(None, "cora", BEST).params(
        BEST
    )


def test_built_in_spaces_yield_to_options() -> None:
    base = replace(BEST, mask=0.0, regulariser="none", lr=1.0)
    space = read_space(None, "cora", base, given={"mask", "regulariser", "lr"})
    left = BUILT_IN["cora"].keys() - {"mask", "lr", "regulariser_weight"}
    assert space.knobs.keys() == left and drawn_back(space, base) == base
    with pytest.raises(ValueError, match="^built-in space, on cora: nothing varies, expected"):
        read_space(None, "cora", BEST, given=FIELDS)


# 5, 6


def test_a_table_refines_its_graph() -> None:
    text = "lr = {low = 1e-4, high = 1e-2, log = true}\nlayers = [1, 2]\nnorm = 'batch'\n"
    text += "[citeseer]\nlayers = 1\nlr = {low = 0.5, high = 1}\n[mine]\nnorm = ['batch', 'none']"
    cora, citeseer, mine = (read(text, g, graphs=["mine"]) for g in ("cora", "citeseer", "mine"))
    assert cora.lines() == ["layers: one of 1, 2", "lr: 0.0001 to 0.01, log"]
    assert citeseer.lines() == ["lr: 0.5 to 1.0"]  # all of the range, not its ends alone
    assert citeseer.base == replace(BEST, layers=1, norm="batch") and citeseer.fixed("layers")
    assert mine.lines() == ["layers: one of 1, 2", "norm: one of batch, none", cora.lines()[1]]
    assert read("mask = 0.1\nlayers = [1, 2]", "mask").base.mask == 0.1  # a graph of that name


def test_conditions_on_conditions() -> None:
    space = read(
        "momentum = {low = 0.5, high = 0.9, when = {target = 'ema'}}\n"
        "target = {choices = ['ema', 'frozen'], when = {layers = [1, 2], hops = 1}}\n"
        "layers = [1, 2, 3]\npredictor = {choices = [1, 2], when = {target = ['online', 'ema']}}"
    )
    deep = replace(BEST, layers=3, predictor=1)
    assert space.params(deep) == {"layers": 3, "predictor": 1}
    seen = set()
    for cfg in draws(space, 100):
        seen.add((cfg.layers, cfg.target, cfg.momentum != BEST.momentum, cfg.predictor))
        assert drawn_back(space, cfg) == cfg
    shallow = {(n, "ema", True, p) for n in (1, 2) for p in (1, 2)}
    frozen = {(n, "frozen", False, BEST.predictor) for n in (1, 2)}
    assert seen == shallow | frozen | {(3, "online", False, p) for p in (1, 2)}


def test_a_condition_on_a_fixed_field() -> None:
    text = "target = 'ema'\nmomentum = {low = 0.5, high = 0.9, when = {target = ['ema']}}"
    plain = read(text.replace(", when = {target = ['ema']}", ""))
    assert read(text).describe() == plain.describe()


# 7

REFUSED = [
    ("momentun = 0.5", f"momentun: expected some of {KNOWN}, or a table of citeseer, cora, pubmed"),
    ("seed = [1, 2]", "seed: expected some of encoder"),
    ("[citseer]\nlr = 0.5", "citseer: expected some of encoder"),
    ("cora = 3", "cora: expected some of encoder"),
    ("[pubmed]\nlrr = 0.5", f"[pubmed] lrr: expected some of {KNOWN}"),
    ("[cora.lr]\nlow = 1", "lr = {'low': 1}: expected low and high"),
    ("lr = 'fast'", "lr = 'fast': expected peak learning rate of AdamW (0.0 to 10.0)"),
    ("lr = [1, 20]", "lr = 20: expected peak learning rate of AdamW (0.0 to 10.0)"),
    ("lr = [nan, 1.0]", "lr = nan: expected peak learning rate"),
    ("lr = true", "lr = True: expected peak learning rate"),
    ("layers = [1, 2.0]", "layers = 2.0: expected layers of the encoder (1 to 8)"),
    ("layers = [true, 2]", "layers = True: expected layers of the encoder (1 to 8)"),
    ("layers = [1, [2]]", "layers = [2]: expected layers of the encoder (1 to 8)"),
    ("reg_node = [0, 1]", "reg_node = 0: expected true or false"),
    ("norm = ['batch', 'layer']", "norm = 'layer': expected before PReLU; none: last layer linear"),
    ("layers = [1]", "layers = [1]: expected two values or more, or layers = V"),
    ("layers = []", "layers = []: expected a list of values"),
    ("layers = {choices = 2}", "layers = 2: expected a list of values"),
    ("feat1 = [0, 0.0]", "feat1 = [0, 0.0]: expected each value once"),
    ("layers = {choices = [1, 2], low = 1}", "layers.low: expected some of choices, when"),
    ("lr = {min = 1, high = 2}", "lr.min: expected some of low, high, step, log, when"),
    ("lr = {high = 2}", "lr = {'high': 2}: expected low and high"),
    ("lr = {low = 0.5, high = 0.5}", "lr.low = 0.5: expected less than high = 0.5"),
    ("lr = {low = 1, high = 0.5}", "lr.low = 1.0: expected less than high = 0.5"),
    ("lr = {low = -1, high = 0.5}", "lr.low = -1: expected peak learning rate of AdamW (0.0 to"),
    ("lr = {low = 0.5, high = inf}", "lr.high = inf: expected peak learning rate of AdamW"),
    ("lr = {low = 0, high = 1, log = true}", "expected low above 0 and no step with log"),
    ("lr = {low = 1, high = 2, step = 1, log = true}", "expected low above 0 and no step with log"),
    ("lr = {low = 1, high = 2, log = 1}", "lr.log = 1: expected true or false"),
    ("epochs = {low = 20, high = 60.0}", "epochs.high = 60.0: expected full-batch steps"),
    ("epochs = {low = 20, high = true}", "epochs.high = True: expected full-batch steps"),
    (
        "epochs = {low = 20, high = 60, step = 7}",
        "epochs.step = 7: expected a divisor of high - lo",
    ),
    ("epochs = {low = 20, high = 60, step = 2.0}", "epochs.step = 2.0: expected a divisor of high"),
    ("epochs = {low = 20, high = 60, step = 0}", "epochs.step = 0: expected a divisor of high - l"),
    ("epochs = {low = 20, high = 60, step = 80}", "epochs.step = 80: expected a divisor of high -"),
    ("mask = {low = 0, high = 0.7, step = 0.2}", "mask.step = 0.2: expected a divisor of high - l"),
    ("mask = {low = 0, high = 0.7, step = nan}", "mask.step = nan: expected a divisor of high - l"),
    ("mask = {low = 0, high = 0.7, step = 1e-9}", "mask.step = 1e-09: expected a divisor of high "),
    ("mask = {low = 0, high = 0.7, step = 'x'}", "mask.step = 'x': expected a divisor of high - l"),
    ("skip = {low = 0, high = 1}", "skip = {'low': 0, 'high': 1}: expected a list of values, for"),
    (
        "skip = [true, false]",
        "skip = True: expected linear map of input or x, added (none o",
    ),
    ("norm = {low = 'a', high = 'b'}", "expected a list of values, for it is no number"),
    ("norm = 'batch'", "nothing varies, expected a range or a list of values"),
    ("", "nothing varies, expected a range or a list of values"),
    ("lr = 1 2", "Expected newline or end of document after a statement (at line 1"),
    ("lr = [1, 2]\nlr = [2, 3]", "Cannot overwrite a value"),
    ("x = " + "[" * 3000, "recursion"),
    (
        "layers = 1\nencoder = 'gat'\nlr = [1, 2]\nout = 6",
        "heads = 4: expected a divisor of hidden",
    ),
]
WHEN = [
    ("{}", "momentum.when = {}: expected a table of fields and values"),
    ("'ema'", "momentum.when = 'ema': expected a table of fields and values"),
    ("{targt = 'ema'}", f"momentum.when.targt: expected some of {KNOWN}"),
    ("{target = []}", "momentum.when.target = []: expected a list of values"),
    (
        "{target = 'EMA'}",
        "momentum.when.target = 'EMA': expected the target encoder (ema or online",
    ),
    (
        "{target = ['ema', 'ema']}",
        "momentum.when.target = ['ema', 'ema']: expected each value once",
    ),
    (
        "{target = 'frozen'}",
        "momentum.when.target = 'frozen': expected some of ema, online, all that it takes here",
    ),
    ("{layers = 1}", "momentum.when.layers = 1: expected some of 2, all that it takes here"),
    ("{epochs = 20}", "momentum.when: epochs varies from 20 to 60, expected a list of values or"),
    ("{momentum = 0.9}", "momentum on momentum: conditions in a circle"),
    ("{skip = 'linear'}", "momentum on skip on momentum: conditions in a circle"),
    (
        "{target = 'ema', norm = 'batch'}",
        "momentum.when: never holds, expected values that occur together",
    ),
]
BESIDE = """
target = ["ema", "online"]
epochs = {low = 20, high = 60}
norm = {choices = ["batch", "none"], when = {target = "online"}}
skip = {choices = ["none", "linear"], when = {momentum = 0.9}}
"""


@pytest.mark.parametrize(("text", "said"), REFUSED, ids=[said[:40] for _, said in REFUSED])
def test_mistakes_are_refused(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "space.toml").write_text(text)
    with pytest.raises(ValueError) as caught:
        read_space(tmp_path / "space.toml", "cora", BEST)
    assert str(caught.value).startswith(f"{tmp_path / 'space.toml'}, on cora: ")
    assert said in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(("when", "said"), WHEN)
def test_conditions_that_cannot_be_are_refused(when: str, said: str) -> None:
    beside = BESIDE if "skip" in when else BESIDE.rsplit("\n", 2)[0]
    with pytest.raises(ValueError) as caught:
        read(f"momentum = {{low = 0.5, high = 0.9, when = {when}}}{beside}")
    assert said in str(caught.value)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes("# é\nlr = [1, 2]".encode("latin-1"))
    for name, said in {"none.toml": "No such file", "": "directory", "latin.toml": "utf-8"}.items():
        with pytest.raises(ValueError, match=said) as caught:
            read_space(tmp_path / name, "cora", BEST)
        assert str(caught.value).startswith(str(tmp_path / name))


def test_a_field_is_said_once() -> None:
    for text in ("lr = [0.1, 0.2]\nlayers = 1", "lr = [0.1, 0.2]\n[cora]\nlayers = 1"):
        with pytest.raises(ValueError, match="layers: given as an option too, expected once"):
            read(text, given={"layers", "seed"})
        assert read(text, "pubmed" if "[" in text else "cora", given={"seed", "hops"})


# 8


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(["'gat'", "['gcn', 'gat']", "['gat', 'gcn']", "'gcn'"]),
    st.tuples(st.integers(1, 12), st.integers(1, 6), st.integers(1, 8)),
    st.lists(st.integers(1, 12), min_size=2, max_size=2, unique=True),
    st.lists(st.integers(1, 4), min_size=2, max_size=2, unique=True),
    st.booleans(),
)
def test_refused_combinations_are_found_exactly(
    encoder: str, span: tuple[int, int, int], out: list[int], heads: list[int], only: bool
) -> None:
    low, step, n = span
    when = ", when = {encoder = 'gat'}" if only and "gat" in encoder else ""
    text = (
        f"encoder = {encoder}\nhidden = {{low = {low}, high = {low + n * step}, step = {step}}}\n"
    )
    text += f"out = {out}\nheads = {{choices = {heads}{when}}}\nlayers = [1, 2]"
    sound = "gat" not in encoder or not any(
        width % h for h in heads for width in [*out, *range(low, low + n * step + 1, step)]
    )
    base = replace(BEST, heads=1)
    if sound and encoder != "'gcn'":
        assert all(isinstance(cfg, Config) for cfg in draws(read(text, base=base), 5))
    elif not sound:
        with pytest.raises(
            ValueError, match="encoder = gat, hidden = .*, heads = .*: expected a d"
        ):
            read(text, base=base)


@pytest.mark.parametrize(
    "text",
    [
        "hidden = {low = 64, high = 72, step = 2}",  # its ends are multiples of 4
        "hidden = {low = 64, high = 128}",
        "layers = [1, 2]\nheads = {choices = [3, 4], when = {layers = 1}}",  # base: 2
    ],
)
def test_a_refused_combination_does_not_hide(text: str) -> None:
    with pytest.raises(ValueError, match="encoder = gat, .*: expected a divisor of hidden and of"):
        read(f"encoder = 'gat'\n{text}")


def test_the_values_of_a_refused_combination_are_named() -> None:
    said = (
        "encoder = gat, hidden = 1024, out = 100, neighbours = 0, heads = 8: expected a divisor of "
        "hidden and of out"
    )
    with pytest.raises(ValueError, match=said):
        read("encoder = ['gcn', 'gat']\nout = [64, 100]\nheads = [4, 8]")
    read("encoder = ['gcn', 'gat']\nout = {choices = [64, 100], when = {encoder = 'gcn'}}")


# 9


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("momentum = [0.9, 0.99]", "momentum: changes nothing at target is not ema"),
        ("momentum = [0.9, 0.99]\ntarget = ['frozen', 'online']", "momentum: changes nothing at"),
        ("heads = [2, 4]", "heads: changes nothing at encoder = gcn, expected it not to vary"),
        ("layers = 1\nhidden = [64, 128]", "hidden: changes nothing at layers = 1"),
        ("mask = 0\nloss_nodes = ['all', 'hidden']", "loss_nodes: changes nothing at mask = 0"),
        ("predictor = [0, 1]\npredictor_norm = ['batch', 'none']", "predictor_norm: changes nothi"),
    ],
)
def test_idle_knobs_are_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read(text)


def test_the_base_is_no_excuse_where_it_is_not_drawn() -> None:
    text = "target = ['frozen', 'online']\nmomentum = [0.9, 0.99]"
    with pytest.raises(ValueError, match="momentum: changes nothing at target is not ema"):
        read(text, base=replace(BEST, target="ema"))


def test_knobs_that_count_somewhere_are_not_idle() -> None:
    for text in (
        "momentum = [0.9, 0.99]\ntarget = ['ema', 'online']",
        "hidden = [64, 128]\nlayers = {low = 1, high = 2}",
        "loss_nodes = ['all', 'hidden']\nmask = {low = 0.0, high = 0.5}",
    ):
        assert len(read(text).knobs) == 2


# 10


def test_the_import_is_free_of_optuna_and_the_example_is_right() -> None:
    code = "import sys, nodejepa_ext.sweep.space; sys.exit('optuna' in sys.modules)"
    home = Path(run_full.__file__).parent
    assert subprocess.run([sys.executable, "-c", code], cwd=home, check=False).returncode == 0
    assert module.__doc__
    example = module.__doc__.split("anew:\n\n")[1].split("\n\nA field")[0]
    space = read(example)
    assert len(space.lines()) == 6 and len(list(draws(space, 20))) == 20
    assert read(example, "citeseer").fixed("layers")
