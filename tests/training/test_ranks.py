"""Claims about one training by several processes, each with a test below; real processes, gloo.

1. After every step weights, running statistics and moments are equal on all ranks, bit for bit; and
   what two ranks learn is what one process learns that averages the gradients of both subgraphs.
2. The ranks of a step see other subgraphs; in a pass together every node once.
   An evaluation is shared: each rank computes its rows of every layer, all get the same, which is
   what one process embeds; what is embedded besides is no one's but the rank's that asks.
3. StopTraining at an evaluation of rank 0 ends all ranks after that epoch.
4. A world of one is no world: every file is what it is without torchrun.
5. Rank 0 alone writes and speaks; the report, run.json and the exit code are of the whole. The
   others need no folder of the run, to go on either.
6. SIGKILL of either rank ends both, in one sentence; resumed, the run equals an uninterrupted one.
   So does one after SIGTERM of either, which both end after the same epoch, 143.
7. A rank that is silent ends both, after the environment's minutes.
8. Refused in one sentence of rank 0, exit 2, before anything is written: whole graphs, fewer
   subgraphs than ranks, other settings or another graph on a rank, a folder that is taken, options
   that are none, devices that cannot be shared; on --resume, another number of ranks. What ends one
   rank alone is said by rank 0, with its exit code. An environment that is none is a sentence.
9. `bench ranks` times a pass that its ranks share; its ratio is the median of rounds.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import SMALL
from torch_geometric.data import Data
from training.test_folder import epochs, run_json, tables, z_of

import run_full
from nodejepa_ext.bench import ranks as bench
from nodejepa_ext.bench import survive_process as processes
from nodejepa_ext.bench.survive_process import Ended
from nodejepa_ext.training import batches
from nodejepa_ext.training.group import Group, averaged_of
from nodejepa_ext.training.meeting import join
from run_full import Config, StopTraining, TrainState

ROOT = Path(__file__).parents[2]
ENV = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
SIZE = ["--hidden", "16", "--out-width", "8", "--device", "cpu", "--threads", "1"]
SHORT = [*SIZE, "--batch-nodes", "50", "--epochs", "12", "--eval-every", "6"]
LONG = [*SIZE, "--batch-nodes", "50", "--epochs", "120", "--eval-every", "60"]
LONG += ["--checkpoint-every", "15"]
ONLINE = replace(
    SMALL, target="online", predictor=0, directions=1, regulariser="decorrelation", norm="none"
)
PROG = "nodejepa-ext train: "
NAMES = ("nodes_per_second", "nodes_per_cpu_second")


@pytest.fixture(scope="module", autouse=True)
def imported() -> None:
    """Here, so that forked commands need not."""
    processes.preload()


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tables(tmp_path_factory.mktemp("graphs") / "mine")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def environments(size: int) -> list[dict[str, str]]:
    """Of each rank, as torchrun sets it."""
    common = {"WORLD_SIZE": str(size), "LOCAL_WORLD_SIZE": str(size)}
    common |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    return [common | {"RANK": str(r), "LOCAL_RANK": str(r)} for r in range(size)]


class Commands:
    """`nodejepa-ext`, once a rank, each in a process and a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pids: list[int] = []
        self.words: list[list[str]] = []

    def start(self, size: int, *words: object, **more: Any) -> None:
        """more: last, further words of the last rank; env, of all."""
        self.words = [[*map(str, words)] for _ in range(size)]
        self.words[-1] += more.get("last", [])
        self.pids = []
        for rank, env in enumerate(environments(size)):
            (folder := self.folder / f"rank{rank}").mkdir(exist_ok=True)
            change = partial(os.environ.update, env | more.get("env", {}))
            self.pids.append(processes.begin(self.words[rank], folder, self.log(rank), change))

    def log(self, rank: int) -> Path:
        return self.folder / f"log{rank}"

    def ends(self) -> list[Ended]:
        found = [
            processes.finished(pid, words, self.log(rank), 100)
            for rank, (pid, words) in enumerate(zip(self.pids, self.words, strict=True))
        ]
        assert not any(end.hung or "Traceback" in end.err for end in found), found
        return found

    def __call__(self, size: int, *words: object, **more: Any) -> list[Ended]:
        self.start(size, *words, **more)
        return self.ends()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Commands]:
    commands = Commands(tmp_path)
    yield commands
    for pid in commands.pids:
        processes.end_group(pid)


def sentences(end: Ended) -> list[str]:
    return [line.removeprefix(PROG) for line in end.err.splitlines() if line.startswith(PROG)]


def together(size: int, folder: Path, work: Callable[[Group], Any]) -> list[Any]:
    """What work returns in each of so many processes."""

    def run(env: dict[str, str], path: Path) -> int:
        os.environ.update(env)
        group = join(lambda: 0)
        path.write_text(json.dumps(work(group)))
        group.wait()
        group.leave()
        return 0

    paths = [folder / f"rank{rank}.json" for rank in range(size)]
    pairs = zip(environments(size), paths, strict=True)
    pids = [processes.fork(partial(run, env, path)) for env, path in pairs]
    codes = [processes.waited(pid, 100) for pid in pids]
    for pid, code in zip(pids, codes, strict=True):
        if code is None:
            processes.end_group(pid)
    assert codes == [0] * size
    return [json.loads(path.read_text()) for path in paths]


def state_of(cfg: Config, data: Data) -> TrainState:
    return TrainState.new(cfg, data, run_full.Encoder, run_full.MLPPredictor)


def digest(state: TrainState) -> str:
    """Of all that a step changes, but rows and random streams."""
    found = hashlib.sha256()
    for module in (state.encoder, state.target_encoder, state.predictor):
        for tensor in module.state_dict().values():
            found.update(tensor.numpy().tobytes())
    for slots in state.optimizer.state_dict()["state"].values():
        for tensor in slots.values():
            found.update(tensor.numpy().tobytes())
    return found.hexdigest()


def learnt(group: Group, cfg: Config, data: Data) -> list[str]:
    """Digests of this rank, one a step."""
    found: list[str] = []
    group.train(
        cfg,
        data,
        20,
        state=state_of(cfg, data),
        on_epoch=lambda state, row: found.append(digest(state)),
    )
    return found


def learnt_by_one(cfg: Config, data: Data) -> list[str]:
    """The same of two ranks, in this process, without torch.distributed."""
    sampler, found = batches.prepared(cfg, data, 20).sampler, []
    states = [state_of(cfg, data) for _ in range(2)]
    term = run_full.REGULARISERS[cfg.regulariser]
    for step in range(cfg.epochs):
        for rank, state in enumerate(states):
            sequence = np.random.SeedSequence(cfg.seed, spawn_key=(step, rank))
            seeds = sequence.generate_state(5, np.uint64).tolist()
            for stream, seed in zip(state.streams.values(), seeds, strict=True):
                stream.manual_seed(seed)
            state.optimizer.zero_grad()
            run_full.step_loss(state, sampler(2 * step + rank), run_full.random_mask, term)
        with torch.no_grad():
            for a, b in zip(*map(averaged_of, states), strict=True):
                a.add_(b).div_(2)
        lr, momentum = run_full.schedule(step, cfg)
        first = states[0]
        first.optimizer.param_groups[0]["lr"] = lr
        first.optimizer.step()
        if cfg.target == "ema":
            run_full.update_target(first.target_encoder, first.encoder, momentum)
        found.append(digest(first))
        for part in ("encoder", "target_encoder", "predictor"):
            getattr(states[1], part).load_state_dict(getattr(first, part).state_dict())
        states[0].step = states[1].step = step + 1
    return found


@pytest.mark.parametrize("cfg", [SMALL, ONLINE], ids=["ema, batch norm", "online"])
def test_ranks_learn_the_same(cfg: Config, data: Data, tmp_path: Path) -> None:
    first, second = together(2, tmp_path, partial(learnt, cfg=cfg, data=data))
    assert len(first) == cfg.epochs == len({*first})
    assert first == second == learnt_by_one(cfg, data)


@pytest.mark.slow
def test_three_ranks_learn_the_same(data: Data, tmp_path: Path) -> None:
    first, *others = together(3, tmp_path, partial(learnt, cfg=SMALL, data=data))
    assert len({*first}) == SMALL.epochs
    assert others == [first, first]


def test_a_pass_is_shared(data: Data, tmp_path: Path) -> None:
    def seen(group: Group) -> list[list[float]]:
        """First features of the nodes of two steps, which differ from node to node."""
        marked = data.clone()
        marked.x[:, 0] = torch.arange(60) + 1
        state, sampler = state_of(SMALL, marked), batches.prepared(SMALL, marked, 15).sampler
        return [group.sample(sampler, state, step).data.x[:, 0].tolist() for step in range(2)]

    first, second = together(2, tmp_path, seen)
    nodes = [node for part in (*first, *second) for node in part]
    assert sorted(nodes) == list(range(1, 61))


@pytest.mark.parametrize("encoder", ["gcn", "gat"])
def test_an_evaluation_is_shared(encoder: str, data: Data, tmp_path: Path) -> None:
    cfg = replace(SMALL, encoder=encoder, own_features=True)

    def shared(group: Group) -> list[Any]:
        """Rows that this rank computed, z of all and of one process, and z of this rank alone."""
        state, plain, rows = state_of(cfg, data), batches.filled, list[int]()

        def counted(n: int, chunk: int, rows_of: batches.Rows) -> torch.Tensor:
            rows.append(n)
            return plain(n, chunk, rows_of)

        own = batches.prepared(cfg, data, 20, group.filled).embedder
        group.state = state
        alone = own(state.encoder)
        state.rows.append({"epoch": 1})
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(batches, "filled", counted)
            z = own(state.encoder)
        return [rows, z.tolist(), alone.tolist()]

    first, second = together(2, tmp_path, shared)
    assert {*first[0]} == {*second[0]} == {30}  # of 60 nodes, in every layer
    assert first[1] == second[1] and first[2] == second[2]
    torch.testing.assert_close(torch.tensor(first[1]), torch.tensor(first[2]))


def test_rank_0_ends_a_training(data: Data, tmp_path: Path) -> None:
    def steps(group: Group) -> int:
        def end(state: TrainState, row: dict[str, float]) -> None:
            if group.rank == 0 and state.step == 4:  # eval_every = 2
                raise StopTraining

        state = state_of(SMALL, data)
        group.train(SMALL, data, 20, state=state, on_epoch=end)
        return state.step

    assert together(2, tmp_path, steps) == [4, 4]


def contents(folder: Path) -> dict[str, bytes]:
    """But run.json, which has times, and what the report says of time and place."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "run.json"]
    found = {str(path.relative_to(folder)): path.read_bytes() for path in files}
    report = re.sub(rb"(?m)^(#|- Trained).*$", b"", found["report.md"])
    return found | {"report.md": report}


def test_a_world_of_one(run: Commands, graph: Path, tmp_path: Path) -> None:
    run.start(1, "train", graph, "--out", tmp_path / "world", *SHORT, "--checkpoint-every", 5)
    assert [end.code for end in run.ends()] == [0]
    words = ["train", str(graph), "--out", str(tmp_path / "none"), *SHORT, "--checkpoint-every=5"]
    end = processes.command(words, tmp_path, tmp_path / "none.log")
    assert end.code == 0, end.err
    assert contents(tmp_path / "none") == contents(tmp_path / "world")
    assert "ranks" not in run_json(tmp_path / "world")


def test_rank_0_writes_and_speaks(run: Commands, graph: Path, tmp_path: Path) -> None:
    out = tmp_path / "rank0/out"
    first, second = run(2, "train", graph, "--out", "out", *SHORT)
    assert (first.code, second.code) == (0, 0), first.err
    assert first.out == (out / "report.md").read_text() and not second.out + second.err
    assert not [*(tmp_path / "rank1").iterdir()]
    said = "12 steps of at most 50 nodes in each of 2 processes: 6 passes over 200 nodes"
    assert said in first.err
    assert run_json(out)["ranks"] == 2 and epochs(out) == [*range(1, 13)]
    first, second = run(2, "train", "--resume", "out")
    assert (first.code, second.code) == (0, 0) and "nothing to resume" in first.err
    first, second = run(2, "train", graph, "--out", "dry", *SHORT, "--dry-run", "--json")
    assert "12 epochs into dr" in first.out and not second.out + second.err
    assert not (tmp_path / "rank0/dry").exists()


@pytest.fixture(scope="module")
def whole(graph: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run of two ranks. Not to be changed."""
    folder = tmp_path_factory.mktemp("whole")
    ends = Commands(folder)(2, "train", graph, "--out", folder / "out", *LONG)
    assert [end.code for end in ends] == [0, 0], ends
    return folder / "out"


def same_run(one: Path, other: Path) -> None:
    assert np.array_equal(z_of(one), z_of(other))
    for name in ("metrics.jsonl", "model.safetensors"):
        assert (one / name).read_bytes() == (other / name).read_bytes()


def wait_for(out: Path, rows: int) -> None:
    path, deadline = out / "metrics.jsonl", time.monotonic() + 100
    while not path.exists() or path.read_bytes().count(b"\n") < rows:
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_killed_and_resumed(run: Commands, graph: Path, whole: Path, victim: int) -> None:
    out = run.folder / "rank0/out"
    run.start(2, "train", graph, "--out", "out", *LONG)
    wait_for(out, 40)
    os.kill(run.pids[victim], signal.SIGKILL)
    ends = run.ends()
    assert ends[victim].code == -signal.SIGKILL and ends[1 - victim].code == 1
    (said,) = sentences(ends[1 - victim])
    assert "another of 2 processes has ended" in said
    if victim:
        how = "nodejepa-ext train --resume out, by 2 processes as before, continues"
        assert said.endswith(how) and run_json(out)["status"] == "failed"
    first, second = run(2, "train", "--resume", "out")
    assert (first.code, second.code) == (0, 0), first.err
    assert "resumes after epoch" in first.err and not second.out + second.err
    same_run(out, whole)


@pytest.mark.slow
@pytest.mark.parametrize("asked", [0, 1])
def test_asked_to_stop(run: Commands, graph: Path, whole: Path, asked: int) -> None:
    out = run.folder / "rank0/out"
    run.start(2, "train", graph, "--out", "out", *LONG)
    wait_for(out, 40)
    os.kill(run.pids[asked], signal.SIGTERM)
    first, second = run.ends()
    assert (first.code, second.code) == (143, 143), first.err
    last = epochs(out)[-1]
    assert sentences(first) == [
        f"out: stopped after epoch {last}, which is kept; nodejepa-ext train --resume out, by 2 "
        "processes as before, continues"
    ]
    assert not sentences(second) and run_json(out)["status"] == "interrupted"
    for other in (1, 3):  # of another number of ranks
        first, *others = run(other, "train", "--resume", "out")
        assert [end.code for end in (first, *others)] == [2] * other, [first, *others]
        found = f"out: began with 2 process(es), expected as many to go on, found {other}"
        assert sentences(first) == [found] and not any(map(sentences, others))
    first, second = run(2, "train", "--resume", "out")
    assert (first.code, second.code) == (0, 0), first.err
    assert f"resumes after epoch {last} of" in first.err
    same_run(out, whole)


@pytest.mark.slow
def test_a_silent_rank(run: Commands, graph: Path) -> None:
    run.start(2, "train", graph, "--out", "out", *LONG, env={"NODEJEPA_RANKS_MINUTES": "0.05"})
    wait_for(run.folder / "rank0/out", 40)
    os.kill(run.pids[1], signal.SIGSTOP)
    assert processes.waited(run.pids[0], 60) == 1
    err = run.log(0).with_suffix(".err").read_text()
    assert "another of 2 processes has ended, or was silent for 0.05 minutes" in err


REFUSED = {
    "whole graph": (
        2,
        ["--batch-nodes", "0"],
        [],
        "batch_nodes = 0: expected from 2 to 199, for 2",
    ),
    "large batches": (2, ["--batch-nodes", "200"], [], "batch_nodes = 200: expected from 2 to 199"),
    "fewer subgraphs": (
        5,
        [],
        [],
        "batch_nodes = 50: 200 nodes make 4 subgraphs, expected one for",
    ),
    "other settings": (2, [], ["--epochs=13"], "rank 1: epochs = 13, expected 12 as rank 0"),
    "other parts": (3, [], ["--bfs-mask"], "rank 2: bfs_mask = True, expected False as rank 0"),
    "other batches": (2, [], ["--batch-nodes=40"], "rank 1: batch_nodes = 40, expected 50 as rank"),
    "one's own device": (2, ["--device", "cpu:0"], [], "device = cpu:0: expected one of auto, cpu"),
    "no option, of one": (2, [], ["--hidden=1.5"], "rank 1: its options are not those of train"),
    "no number": (2, ["--hidden", "1.5"], [], "error: argument --hidden: invalid int value: '1.5'"),
    "no batches": (2, ["--batch-nodes", "1"], [], "batch_nodes = 1: expected 0, for none"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(run: Commands, graph: Path, case: str) -> None:
    size, more, last, said = REFUSED[case]
    first, *others = run(size, "train", graph, "--out", "out", *SHORT, *more, last=last)
    assert [end.code for end in (first, *others)] == [2] * size, first.err
    (sentence,) = sentences(first)
    assert sentence.startswith(said), sentence
    assert not any(end.out + end.err for end in others)
    assert not (run.folder / "rank0/out").exists()


def test_one_option_too_many(run: Commands, graph: Path) -> None:
    for words in (["--bogus"], ["--seed", "-1"], ["--preset", "brst"]):
        first, second = run(2, "train", graph, *SHORT, *words)
        assert (first.code, second.code) == (2, 2) and first.err and not second.err


def test_another_graph(run: Commands, graph: Path, tmp_path: Path) -> None:
    for rank, n in ((0, 200), (1, 201)):
        (tmp_path / f"rank{rank}").mkdir()
        tables(tmp_path / f"rank{rank}/own", n)
    first, second = run(2, "train", "own/", "--out", "out", *SHORT)
    assert (first.code, second.code) == (2, 2)
    assert sentences(first)[0].startswith("rank 1: SHA-256 of the graph = ") and not second.err
    shutil.rmtree(tmp_path / "rank1/own")
    first, second = run(2, "train", "own/", "--out", "out", *SHORT)
    assert first.code == second.code == 2 and not second.err
    assert sentences(first)[0].startswith(f"rank 1: {tmp_path}/rank1/own")
    first, second = run(2, "train", "gone/", "--out", "out", *SHORT)
    assert first.code == second.code == 2 and not second.err
    assert sentences(first)[0].startswith(f"{tmp_path}/rank0/gone")


def test_a_folder_that_is_taken(run: Commands, graph: Path, whole: Path) -> None:
    first, second = run(2, "train", graph, "--out", whole, *SHORT)
    assert (first.code, second.code) == (2, 2) and not second.err
    assert sentences(first)[0].endswith("--resume continues its run, --overwrite replaces it")


def test_divergence(run: Commands, graph: Path, tmp_path: Path) -> None:
    wild = ["--lr", "10", "--layers", "8", "--epochs", "60"]
    first, second = run(2, "train", graph, "--out", "out", *SHORT, *wild)
    assert (first.code, second.code) == (7, 7) and not second.err
    (said,) = sentences(first)
    assert (
        "first tensor not finite" in said and run_json(tmp_path / "rank0/out")["status"] == "failed"
    )


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE = two: expected a number from 0"),
        ({"RANK": "2"}, "RANK = 2: expected below WORLD_SIZE, which is 2"),
        ({"MASTER_ADDR": ""}, "MASTER_ADDR: expected the host of rank 0"),
        ({"MASTER_PORT": "-1"}, "MASTER_PORT = -1: expected a number from 0"),
        ({"NODEJEPA_RANKS_MINUTES": "0"}, "NODEJEPA_RANKS_MINUTES = 0: expected minutes, above 0"),
    ],
)
def test_environments_that_are_none(
    tmp_path: Path, graph: Path, env: dict[str, str], said: str
) -> None:
    change = partial(os.environ.update, environments(2)[0] | env)
    end = processes.command(["train", str(graph), *SHORT], tmp_path, tmp_path / "log", change)
    assert end.code == 2 and sentences(end)[0].startswith(said), end


def test_the_others_never_come(tmp_path: Path, graph: Path) -> None:
    change = partial(os.environ.update, environments(2)[0] | {"NODEJEPA_RANKS_MINUTES": "0.005"})
    end = processes.command(["train", str(graph), *SHORT], tmp_path, tmp_path / "log", change)
    assert end.code == 1 and "rank 0: not all of 2 processes met at 127.0.0.1" in end.err
    assert sentences(end)[0].endswith("1 came within 0.005 minutes")


def test_bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {"NODES": 300, "EDGES": 900, "WIDTH": 8, "BATCH": 50}.items():
        monkeypatch.setattr(bench, name, value)
    found = together(2, tmp_path, bench.timed)
    assert [row["nodes"] for row in found] == [300, 300]
    assert all(row["seconds"] > 0 and row["cpu_seconds"] > 0 for row in found)
    rates = iter([100, 150, 90, 180, 100, 190])

    def rate(size: int) -> dict[str, Any]:
        of = next(rates)
        return {"processes": size, "load": 0.0, "evaluation": of} | dict.fromkeys(NAMES, of)

    monkeypatch.setattr(bench, "run", rate)
    report = bench.measure_all(3, lambda text: None)
    assert [report[name] for name in NAMES] == [[100, 180]] * 2
    assert [report[f"ratio_of_{name}"] for name in NAMES] == [1.9, 3.8]
    assert report["evaluation"] == [100, 180]
    assert bench.table(report).row_count == 6
