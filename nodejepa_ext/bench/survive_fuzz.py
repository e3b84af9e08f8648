"""Damaged files of every format, each read by a real command: it is a sound result that reads back
equal, or one sentence with a documented exit code.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from nodejepa_ext.bench import survive_damage as damage
from nodejepa_ext.bench import survive_files as files
from nodejepa_ext.bench.survive_process import (
    Ended,
    Tally,
    call,
    fork,
    many,
    to_files,
    waited,
    wrong_end,
)

CASES = 10_000
SHARE_BACK = 0.25  # of the cases: files that were written by commands, and are read back
Told = list[tuple[str, Any]]


def within(words: list[str]) -> Ended:
    """The command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = call(words)
    return Ended(words, code, out.getvalue(), err.getvalue())


def told(end: Ended, what: str) -> Told:
    """As `many` hands it on."""
    wrong = wrong_end(end)
    return [("exit", end.code)] if wrong is None else [(wrong[0], f"{what}: {wrong[1]}")]


def drawn(kind: files.Kind, payload: bytes, rng: random.Random) -> tuple[str, bytes]:
    """-> the name of a damage, and the bytes."""
    made = damage.MADE[Path(kind.path.removesuffix(".gz")).suffix]
    if rng.random() < 0.5:
        packed = kind.path.endswith(".gz")
        inner = gzip.decompress(payload) if packed else payload
        found = made(inner, rng)
        return made.__name__, gzip.compress(found, mtime=0) if packed else found
    way = rng.choice(damage.BYTES)
    return way.__name__, way(payload, rng)


def placed(home: Path, place: Path, kind: files.Kind, seed: str) -> str:
    """Sound files with one damaged in `place` -> the damage's name. Of an array beside its hash,
    half the hashes are renewed."""
    files.fresh(home, place, (kind.path, *kind.words, "graph.npz", "first.toml"))
    rng, path = random.Random(seed), place / kind.path
    name, payload = drawn(kind, path.read_bytes(), rng)
    path.write_bytes(payload)
    if path.suffix == ".npy" and rng.random() < 0.5:
        damage.told_again(path.with_name("graph.json"), path)
        name += ", told again"
    return name


def graph_case(kind: files.Kind, what: str, made: str) -> Told:
    """`check` of it; and of what it accepts, that it is sound and what `convert` writes to `made`
    reads equal."""
    words = [*kind.words]
    end = within(words)
    if end.code or wrong_end(end):
        return told(end, what)
    source, more = words[2], words[3:]
    for again in (["data", "convert", source, made, *more], ["data", "check", made]):
        other = within(again)
        if other.code:
            return [
                ("lost", f"{what}: check accepts it, but {' '.join(again)}: {other.err[-400:]}")
            ]
    return [("exit", 0), *(("lost", f"{what}: {text}") for text in unequal(source, more, made))]


def unequal(source: str, more: list[str], made: str) -> list[str]:
    """What is unsound in the graph of a source, or other in the one that was made of it."""
    from nodejepa_ext.graphs.graph import read_graph

    one = read_graph(source, nodes=more[1] if more else None, split=None)
    two = read_graph(made, split=None)
    first, second = of_graph(one), of_graph(two)
    found = unsound(one.data)
    for name in sorted(first.keys() | second.keys()):
        a, b = first.get(name), second.get(name)
        if a is None or b is None or a.dtype != b.dtype or not np.array_equal(a, b):
            found.append(f"{name}: {a} became {b}"[:300])
    return found


def of_graph(graph: Any) -> dict[str, Any]:
    """All arrays of a graph; numbers in order where nodes or classes have no names."""
    found = {k: t.numpy() for k, t in graph.data.to_dict().items() if k != "num_nodes"}
    ids = np.arange(int(graph.data.num_nodes))
    found["node_id"] = ids if graph.node_id is None else graph.node_id
    if graph.data.y is not None:
        plain = np.arange(1 + max(int(graph.data.y.max()), 0))
        found["classes"] = plain if graph.classes is None else graph.classes
    return found


def unsound(data: Any) -> list[str]:
    """What is said of every graph that was read, and is not so here."""
    ends, n, found = data.edge_index.numpy(), int(data.num_nodes), []
    if ends.size and not (ends.min() >= 0 and ends.max() < n):
        found.append("an edge of no node")
    if (ends[0] == ends[1]).any():
        found.append("a self-loop")
    pairs = ends[0].astype(np.int64) * n + ends[1]
    if (np.diff(pairs) <= 0).any():
        found.append("edges out of order, or twice")
    if {*pairs.tolist()} != {*(ends[1].astype(np.int64) * n + ends[0]).tolist()}:
        found.append("an edge one way only")
    for name in ("x", "edge_weight"):
        if name in data and data[name] is not None and not bool(data[name].isfinite().all()):
            found.append(f"{name} is not finite")
    if "edge_weight" in data and data.edge_weight is not None and (data.edge_weight <= 0).any():
        found.append("a weight that is not above 0")
    return found


def back_case(kind: files.Kind, what: str, way: str, home: Path) -> Told:
    """A command that reads a file back: its end, and its answer where that is sealed."""
    end = within([*kind.words])
    found = told(end, what)
    if end.code or not kind.answer or way not in {w.__name__ for w in damage.BYTES}:
        return found
    wanted = (home / answer_name(kind)).read_bytes()
    have = end.out.encode() if kind.answer == "-" else Path(kind.answer).read_bytes()
    if have != wanted and not (kind.answer == "-" and way in ("cut", "replace")):
        found.append(("lost", f"{what}: {' '.join(kind.words)}: another answer without a word"))
    return found


def answer_name(kind: files.Kind) -> str:
    return "answer-" + "-".join(kind.words).replace("/", "-") + kind.answer.replace("/", "-")


def answers(home: Path, place: Path) -> list[str]:
    """What the commands say of sound files, kept in home -> those that fail on them."""
    wrong = []
    for kind in dict.fromkeys((*files.GRAPHS, *files.BACK)):
        files.fresh(home, place, (kind.path, *kind.words, "graph.npz", "first.toml"))
        with contextlib.chdir(place):
            end = within([*kind.words])
            if end.code:
                wrong.append(f"{' '.join(kind.words)}: {end.code}: {end.err[-500:]}")
            elif kind.answer:
                have = end.out.encode() if kind.answer == "-" else Path(kind.answer).read_bytes()
                (home / answer_name(kind)).write_bytes(have)
    return wrong


def fuzz(home: Path, scratch: Path, count: int, seed: int) -> list[Tally]:
    """Tallies of graphs' files and of files that are read back, `count` in all."""
    back = round(SHARE_BACK * count)
    return [
        fuzzed("damaged graphs", files.GRAPHS, home, scratch, count - back, seed),
        fuzzed("damaged files read back", files.BACK, home, scratch, back, seed),
    ]


def fuzzed(
    name: str, kinds: tuple[files.Kind, ...], home: Path, scratch: Path, count: int, seed: int
) -> Tally:
    """Of these kinds in turn, each damaged in another way."""
    tally, place = Tally(name, count), scratch / "case"

    def trial(number: int) -> Told:
        kind = kinds[number % len(kinds)]
        way = placed(home, place, kind, f"{seed}/{name}/{number}")
        what = f"case {number}, {kind.path}, {way}"
        with contextlib.chdir(place):
            if kind.words[0] == "data":
                made = "made/" if number // len(kinds) % 2 else "made.npz"
                return graph_case(kind, what, made)
            return back_case(kind, what, way, home)

    for outcome in many(trial, count, scratch / "fuzz"):
        take(tally, outcome)
    shutil.rmtree(place, ignore_errors=True)
    return tally


def take(tally: Tally, outcome: Told) -> None:
    """Counts what `many` hands on."""
    for kind, value in outcome:
        if kind == "exit":
            tally.exits[value] += 1
        else:
            tally.fault(kind, value)


def answers_in_a_process(home: Path, scratch: Path) -> None:
    """`answers`. RuntimeError: a command fails on sound files."""
    log = scratch / "answers"

    def run() -> int:
        to_files(log)
        if wrong := answers(home, scratch / "case"):
            print("\n".join(wrong))
        return len(wrong)

    if waited(fork(run), 300.0):
        raise RuntimeError(f"commands fail on sound files: {Path(f'{log}.out').read_text()[:2000]}")
