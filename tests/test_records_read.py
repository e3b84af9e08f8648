"""Claims about damaged files that commands read back, each with a test below; real commands.

1. Whatever is wrong with one value of a file (its type, its size, NaN, 10^5 lists in one another),
   the command ends with a documented exit code, and if that is not 0, in one sentence that names
   the file: no traceback.
2. The same holds for a file that was cut off, has flipped bits or bytes that are not UTF-8, is
   empty, or is a pipe.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import re
import shutil
import signal
import sys
import tomllib
import traceback
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from optuna.storages import InMemoryStorage
from sweep.test_report import FRESH, by_hand
from typer.testing import CliRunner

import run_full
from nodejepa_ext.ablation import run as ablation
from nodejepa_ext.commands import app
from nodejepa_ext.graphs.source import Source, read
from nodejepa_ext.judging.report import judge
from nodejepa_ext.sweep import report as sweeps
from nodejepa_ext.training import folder as runs
from nodejepa_ext.training.checkpoints import manifest
from run_full import Config

VALUES = ("null", '"x"', "[]", "{}", "true", "-1", "0.5", "1000000000", "1e999", "NaN")
MORE = ('"\\ud800"', '"\\u0000"', '"a/../../x"', "9" * 5000, "[" * 10**5 + "]" * 10**5)
OF_TOML = ("'x'", "[]", "{}", "true", "-1", "0.5", "1000000000", "inf", "nan", "1979-05-27")
OF_TOML += ("9" * 5000, "[" * 10**5 + "]" * 10**5)
MARK = "@here@"
FEW = 2  # ways to damage a file that every run of the tests sees
MANY = int(os.environ.get("NODEJEPA_DAMAGE", "100"))  # that the slow ones see; 0: all, for hours
GRAPH = "cora"
TINY = ["--graphs", GRAPH, "--hidden", "16", "--out-width", "8", "--device", "cpu"]
TINY += ["--threads", "1", "--epochs", "2", "--seeds", "1", "--workers", "1"]
ABLATE = ["ablate", "--bfs-mask", *TINY, "--out", "ablation"]
MASKS = ("train", "val", "test")
Payloads = Iterator[bytes]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small file of every format, in folders as commands leave them."""
    home = tmp_path_factory.mktemp("sound")
    make_all(home)
    return home


def make_all(home: Path) -> None:
    make_run(home)
    make_rows(home)
    make_results(home / "results")
    by_hand(storage := InMemoryStorage(), FRESH)
    sweeps.write(home / "sweep", sweeps.report(storage))
    (home / "arms.toml").write_text("epochs = 3\n[a]\n[b]\nmask = 0.1\nbfs_mask = true\n")
    given = 'hidden = 16\nout = 8\nepochs = 2\neval_every = 2\nencoder = "gcn"\n[cora]\nlr = 0.01\n'
    (home / "given.toml").write_text(given + "[pubmed]\nmask = 0.5\n")


def make_run(home: Path) -> None:
    """A finished run, one that was stopped, what was exported of it, and its evaluation."""
    rng = np.random.default_rng(0)
    block = np.arange(45) % 3
    drawn = np.triu(rng.random((45, 45)) < np.where(block[:, None] == block, 0.3, 0.02), 1)
    x = (np.eye(3)[block] + 0.5 * rng.random((45, 3))).astype(np.float32)
    masks = {f"{m}_mask": np.arange(45) // 3 % 3 == i for i, m in enumerate(MASKS)}
    np.savez(home / "graph.npz", edge_index=np.stack(drawn.nonzero()), x=x, y=block, **masks)
    cfg = Config(hidden=16, out=8, epochs=4, warmup=2, eval_every=2, device="cpu")
    ready = read(Source.of(str(home / "graph.npz")))
    runs.start(ready, cfg, home / "run", about={"preset": "card", "why": "as given"})
    codes = iter((0, 0, 143))
    with pytest.raises(run_full.RunError):
        runs.start(ready, cfg, home / "stopped", stop=lambda: next(codes), every=1)
    assert CliRunner().invoke(app, ["export", str(home / "run"), "--hub", str(home / "hub")])
    found = judge(home / "run", None, "linear,cluster", 3, 1, lambda text: None)
    (home / "run/evaluation.json").write_text(json.dumps(found))


def make_rows(home: Path) -> None:
    """As `ablate` writes them: without training, for these are not about figures."""
    words = ABLATE[1:-2]
    args = ablation.parse_core([w for w in words if w != "--bfs-mask"][:-2], "test")
    arms = [ablation.Arm("reference", {}), ablation.Arm("bfs_mask", {"bfs_mask": True})]
    (home / "ablation").mkdir()
    with (home / "ablation/rows.jsonl").open("w") as file:
        for job in ablation.plan(args, arms, "val", 1).jobs:
            row = {name: job[name] for name in ("graph", "arm", "seed")}
            curve = [{"epoch": e, "val": 0.5, "effective_rank": 2.0, "loss": 1.0} for e in (1, 2)]
            row |= {"status": "ok", "job": job, "val": 0.6, "effective_rank": 3.0, "cosine": 0.1}
            row |= {"min_std": 0.1, "cpu_seconds": 1.0, "wall_seconds": 1.0, "curve": curve}
            file.write(json.dumps(row) + "\n")
    with contextlib.chdir(home):
        done = CliRunner().invoke(app, ABLATE)  # all are there: it only reports
    assert done.exit_code == 0, done.output


def make_results(folder: Path) -> None:
    """As run_full.py writes them."""
    (folder / GRAPH).mkdir(parents=True)
    z = np.random.default_rng(0).normal(size=(20, 4))
    np.savez(folder / GRAPH / "embeddings.npz", z=z, y=np.arange(20) % 3)
    curve = [{"epoch": e, "loss": 0.1, "val": 0.5, "effective_rank": 3.0} for e in (1, 2)]
    row = {"graph": GRAPH, "method": "best", "seed": 0, "val": 0.5, "test": 0.4, "curve": curve}
    (folder / "final_results.json").write_text(json.dumps({"commit": "abc", "rows": [row]}))
    shutil.copytree(folder, folder.with_name("older"))
    lines = [json.dumps(row | point) + "\n" for point in curve]
    (folder.with_name("older") / "learning_curves.jsonl").write_text("".join(lines))


@dataclass(frozen=True)
class Case:
    """A file that commands read back; paths are relative to the folder of them all."""

    path: str
    commands: tuple[str, ...]
    skip: tuple[str, ...] = ()  # fields whose every number is a wish: 10^9 epochs
    said: tuple[str, ...] = ()  # where the sentence names what the file says, not the file


RUN = ("embed run --out e.csv", "plot run --out p", "export run --hub h", "page run --out p.html")
RUN += ("evaluate run --task linear", "train --resume run", "train graph.npz --out run --overwrite")
AGAIN = "train --resume stopped"
BESIDE = ("config.toml: ", "run/model.safetensors", "run/evaluation.json")
CASES = [
    Case("run/run.json", RUN, said=BESIDE),
    Case("run/config.toml", ("embed run --out e.csv", "plot run --out p", "train --resume run")),
    Case("run/metrics.jsonl", ("plot run --out p", "page run --out p.html")),
    Case("run/embeddings.npz", ("plot run --out p", "page run --out p.html")),
    Case("run/model.safetensors", ("embed run --out e.csv", "export run --hub h")),
    Case("run/evaluation.json", ("page run --out p.html",)),
    Case("stopped/run.json", (AGAIN, "plot stopped --out p"), said=("config.toml: ", "stopped/")),
    Case("stopped/config.toml", (AGAIN,)),
    Case("stopped/metrics.jsonl", (AGAIN,)),
    Case("stopped/checkpoints/step-00000003.json", (AGAIN,)),
    Case("stopped/checkpoints/step-00000003.safetensors", (AGAIN,)),
    Case("hub/config.json", ("embed hub --graph graph.npz --out e.csv",)),
    Case("hub/model.safetensors", ("embed hub --graph graph.npz --out e.csv",)),
    Case("ablation/rows.jsonl", (" ".join(ABLATE), "plot ablation", "page ablation --out p.html")),
    Case("ablation/report.json", ("plot ablation", "page ablation --out p.html")),
    Case(
        "arms.toml",
        (" ".join(["ablate", "--arms", "arms.toml", *TINY[:8], "--dry-run"]),),
        said=("arm '",),
    ),
    Case("given.toml", ("train graph.npz --config given.toml --out new",), ("epochs",)),
    Case("results/final_results.json", ("plot results --out p",)),
    Case("results/cora/embeddings.npz", ("plot results --out p",)),
    Case("older/learning_curves.jsonl", ("plot older --out p",)),
    Case(
        "sweep/final_results.json",
        ("plot sweep --out p", "show sweep", "page sweep --out p.html"),
        said=("sweep: expected a sweep's folder", "sweep: expected a trial that has ended"),
    ),
]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths to all values within; of a list, to those of its first and last item."""
    yield path
    if isinstance(value, dict):
        for name in value:
            yield from places(value[name], (*path, name))
    if isinstance(value, list):
        for i in sorted({0, len(value) - 1}) if value else ():
            yield from places(value[i], (*path, i))


def marked(value: Any, path: tuple[Any, ...]) -> Any:
    """A copy with MARK at the path."""
    if not path:
        return MARK
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = marked(value[path[0]], path[1:])
    return copy


def without(value: Any, path: tuple[Any, ...]) -> Any:
    copy = dict(value) if isinstance(value, dict) else list(value)
    if len(path) == 1:
        del copy[path[0]]
    else:
        copy[path[0]] = without(value[path[0]], path[1:])
    return copy


def other_values(payload: bytes) -> Payloads:
    """Of JSON: every field of another type, or gone."""
    found = json.loads(payload)
    for path in places(found):
        text = json.dumps(marked(found, path))
        for value in VALUES + MORE:
            yield text.replace(json.dumps(MARK), value, 1).encode()
        if path:
            yield json.dumps(without(found, path)).encode()


def other_lines(payload: bytes) -> Payloads:
    """Of JSON lines: the first and the last line with other values."""
    lines = payload.splitlines(keepends=True)
    for first in other_values(lines[0]):
        yield b"".join([first, b"\n", *lines[1:]])
    for last in other_values(lines[-1]):
        yield b"".join([*lines[:-1], last, b"\n"])


def other_toml(payload: bytes) -> Payloads:
    """Of TOML: every line's value another, every section a value, or twice."""
    lines = payload.decode().splitlines()
    for i, line in enumerate(lines):
        name, equals, _ = line.partition(" = ")
        for value in OF_TOML if equals else ():
            yield "\n".join([*lines[:i], f"{name} = {value}", *lines[i + 1 :], ""]).encode()
        if line.startswith("["):
            changed = [f"{line.strip('[]')} = 3", *lines[:i], *lines[i + 1 :], ""]
            yield "\n".join(changed).encode()
        yield "\n".join([*lines, *lines[i:], ""]).encode()


def other_arrays(payload: bytes) -> Payloads:
    """Of an npz: other types, shapes, names; objects."""
    with np.load(io.BytesIO(payload)) as file:
        arrays = dict(file)
    for name, array in arrays.items():
        for other in (
            array[:0],
            array[:-1],
            array.astype(str),
            array.astype(np.complex64),
            array.astype(np.float32) * np.nan,
            array.reshape(-1),
            array[None],
            np.array(3),
            np.array([{"a": 1}] * len(array), dtype=object),
            np.zeros((len(array), 0)),
        ):
            np.savez(file := io.BytesIO(), **arrays | {name: other})
            yield file.getvalue()
        np.savez(file := io.BytesIO(), **{k: v for k, v in arrays.items() if k != name})
        yield file.getvalue()
    with zipfile.ZipFile(file := io.BytesIO(), "w") as archive:
        archive.writestr("z.npy", b"\x93NUMPY\x01\x00" + b"v" * 200)
    yield file.getvalue()


def other_tensors(payload: bytes) -> Payloads:
    """Of safetensors: other shapes and types, and names gone."""
    tensors = safetensors.torch.load(payload)
    for name, tensor in tensors.items():
        for other in (tensor[:0] if tensor.ndim else tensor[None], tensor.double(), tensor[None]):
            yield safetensors.torch.save(tensors | {name: other.contiguous()})
        yield safetensors.torch.save({k: t for k, t in tensors.items() if k != name})
    if (facts := tensors.get("facts")) is not None:
        yield from other_facts(tensors, facts.numpy().tobytes())


def other_facts(tensors: dict[str, torch.Tensor], facts: bytes) -> Payloads:
    for text in other_values(facts):
        other = torch.from_numpy(np.frombuffer(text, np.uint8).copy())
        yield safetensors.torch.save(tensors | {"facts": other})


BY_SUFFIX: dict[str, Callable[[bytes], Payloads]] = {
    ".json": other_values,
    ".jsonl": other_lines,
    ".toml": other_toml,
    ".npz": other_arrays,
    ".safetensors": other_tensors,
}


def other_bytes(payload: bytes, rng: random.Random) -> Payloads:
    """Whatever the format: cut off, bits flipped, no UTF-8, empty, and something else."""
    for _ in range(20):
        yield payload[: rng.randrange(len(payload))]
        flipped = bytearray(payload)
        flipped[rng.randrange(len(payload))] ^= 1 << rng.randrange(8)
        yield bytes(flipped)
        at = rng.randrange(len(payload))
        yield payload[:at] + b"\xff\xfe\x00" + payload[at:]
    yield from (b"", b"\n", b"\x00" * 100, b"[" * 10**5, b"{}", b"[]\n", b"\xef\xbb\xbf" + payload)
    yield payload.replace(b"\n", b"\r\n") + b"\n\n"


@pytest.fixture
def place(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of all, as working folder. Nothing is trained by `ablate`, whose workers would be."""
    monkeypatch.setattr(ablation, "run_jobs", lambda *_, **__: iter(()))
    handlers = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)}
    monkeypatch.chdir(home)  # which is where it was at the end
    yield tmp_path
    for number, handler in handlers.items():
        signal.signal(number, handler)
    torch.set_num_threads(1)


def documented(verb: str) -> set[int]:
    """The exit codes of its --help."""
    text = " ".join(sys.modules[f"nodejepa_ext.commands.{verb}"].EXAMPLES.split())
    return set(map(int, re.findall(r"[:;,] (\d+)\b", text.partition("Exit codes")[2]))) | {0}


def tell(home: Path, place: Path, case: Case, command: str) -> None:
    """Runs it, in a fresh copy that has the damage already. What is asserted is claim 1."""
    os.chdir(place)
    words = command.split()
    done = CliRunner().invoke(app, words)
    os.chdir(home)
    context = f"{command}: {done.exit_code}\n{done.stderr[-2000:]}"
    assert done.exception is None or isinstance(done.exception, SystemExit), (
        context,
        "".join(traceback.format_exception(done.exception)[-3:])[-1500:],
    )
    assert done.exit_code in documented(words[0]), context
    assert "Traceback" not in done.stderr, context
    if done.exit_code:
        *_, last = done.stderr.splitlines()
        assert last.startswith(f"nodejepa-ext {words[0]}: "), context
        assert any(named in last for named in (case.path, *case.said)), context
        assert len(last) < 2000, context


def fresh(home: Path, place: Path, case: Case) -> Path:
    """The path of the file in a new copy of its folder."""
    top = Path(case.path).parts[0]
    for path in place.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copy(home / "graph.npz", place)
    copy = shutil.copytree if (home / top).is_dir() else shutil.copy
    copy(home / top, place / top)
    return place / case.path


def damaged(home: Path, place: Path, case: Case, payload: bytes, command: str) -> None:
    path = fresh(home, place, case)
    path.write_bytes(payload)
    if path.suffix == ".safetensors" and (beside := path.with_suffix(".json")).exists():
        beside.write_bytes(manifest(path.name, payload))  # as somebody would who renews hashes
    tell(home, place, case, command)


def wishes(case: Case, payload: bytes) -> bool:
    """Whether a number in it would be granted, and take for ever."""
    try:
        found = tomllib.loads(payload.decode())
    except (ValueError, RecursionError):
        return False
    return any(isinstance(found.get(name), int) and found[name] > 99 for name in case.skip)


def all_payloads(home: Path, case: Case) -> Payloads:
    sound, rng = (home / case.path).read_bytes(), random.Random(case.path)
    made = (*BY_SUFFIX[Path(case.path).suffix](sound), *other_bytes(sound, rng))
    yield from (payload for payload in made if not wishes(case, payload))


def called(case: Case) -> str:
    return case.path


@pytest.mark.parametrize("case", CASES, ids=called)
def test_sound(home: Path, place: Path, case: Case) -> None:
    for command in case.commands:
        fresh(home, place, case)
        os.chdir(place)
        done = CliRunner().invoke(app, command.split())
        os.chdir(home)
        assert done.exit_code == 0, (command, done.stderr)


@pytest.mark.parametrize("case", CASES, ids=called)
def test_some_damage(home: Path, place: Path, case: Case) -> None:
    some, rng = [*all_payloads(home, case)], random.Random(0)
    for payload in rng.sample(some, FEW):
        damaged(home, place, case, payload, rng.choice(case.commands))


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=called)
def test_much_damage(home: Path, place: Path, case: Case) -> None:
    every, rng, wrong = [*all_payloads(home, case)], random.Random(1), list[str]()
    for payload in rng.sample(every, min(MANY, len(every))) if MANY else every:
        try:
            damaged(home, place, case, payload, rng.choice(case.commands))
        except AssertionError as error:
            wrong.append(f"{error}"[:1500])
    assert not wrong, f"{len(wrong)} ways, such as " + "\n\n".join(wrong[:20])


@pytest.mark.parametrize("case", CASES, ids=called)
def test_a_pipe(home: Path, place: Path, case: Case) -> None:
    path = fresh(home, place, case)
    path.unlink()
    os.mkfifo(path)
    for command in case.commands:
        tell(home, place, case, command)
