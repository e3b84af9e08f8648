"""Claims about runs of a user's own graph, each with a test below; real processes, real files.

1. `train` writes what it says; status, figures and hashes are in run.json; load_model embeds the
   same, and source_graph gives the training graph again.
2. SIGKILL at any moment, again and again: resumed, the embeddings are bit-equal to those of an
   uninterrupted run, and metrics.jsonl has a row an epoch. GCN and GAT, BFS masks, EMA and online,
   subgraphs.
3. SIGTERM and Ctrl-C finish the epoch: exit 143 and 130, status interrupted, how to go on is said.
4. A bad checkpoint is named and the older one used; all bad exit 4; a torn last line of the metrics
   goes; settings or a graph that changed are refused; a finished run has nothing to resume.
5. A pickle in place of any file of a run is never executed, and ends in a sentence.
6. Refused, before anything is trained or removed: an --out that is not empty, is a file, is another
   process's; options beside --resume, unknown ones, bad values. --overwrite removes no other file.
7. Without labels the epoch is chosen by loss and rank; a graph without features gets some; edge
   weights count, and those of 1 do not.
8. `auto` goes by unlabelled properties alone; the label-free rule follows the loss down, prefers a
   higher rank where it is flat, keeps no collapsed epoch and stops after five without a better.
9. A run of another format is refused: exit 2 names the format found and the one expected.
   model.safetensors has all of an encoder, BatchNorm's counts as integers.
10. A full disk: exit 1, and after making room the run goes on. Too little memory: exit 6, before
   and in mid-run. Divergence: exit 7, status failed.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import pickle
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from conftest import state_of
from torch_geometric.data import Data

import run_full
from nodejepa_ext.graphs import source as subject
from nodejepa_ext.graphs.graph import read_graph
from nodejepa_ext.graphs.likeness import likeness
from nodejepa_ext.training import folder as runs
from nodejepa_ext.training.memory import SHARE, check_memory, training_bytes
from nodejepa_ext.training.settings import (
    PRESETS,
    adapted,
    auto,
    bgrl,
    nearest,
    preset,
    preset_for,
    recipe,
    toml_of,
)
from nodejepa_ext.training.stopping import PATIENCE, label_free, patience
from run_full import Config, Graph, RunError

ROOT = Path(__file__).parents[2]
ENV = os.environ | {"OMP_NUM_THREADS": "1"}
WIDTH = ["--hidden", "16", "--out-width", "8", "--device", "cpu", "--threads", "1"]
LONG = [*WIDTH, "--epochs", "100", "--eval-every", "0"]
SHORT = [*WIDTH, "--epochs", "12", "--eval-every", "12"]
FILES = {"config.toml", "run.json", "metrics.jsonl", "checkpoints", "model.safetensors"}
FILES |= {"embeddings.npz", "report.md"}
SERVER = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
import nodejepa_ext.training.folder, torch
from nodejepa_ext.commands import app

for line in sys.stdin:
    argv, log, limit = json.loads(line)
    if (child := os.fork()) == 0:
        for number, path, mode in ((0, os.devnull, 0), (1, log, 577), (2, log + '.err', 577)):
            os.dup2(os.open(path, mode, 0o600), number)
        if limit:
            import resource
            resource.setrlimit(getattr(resource, limit[0]), (limit[1], limit[1]))
        code = 1
        try:
            sys.argv = ['nodejepa-ext', *argv]
            app(argv, prog_name='nodejepa-ext')
        except SystemExit as end:
            code = end.code or 0
        except BaseException:
            import traceback
            traceback.print_exc()
        sys.stdout.flush()
        os._exit(code)
    print(child, flush=True)
    sys.stdin.readline()  # until then the child is at worst a zombie, and its number its own
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Command:
    """`nodejepa-ext`, each time in a process of its own, forked from one that has imported it."""

    def __init__(self, folder: Path) -> None:
        self.log, pipe = folder / "log", subprocess.PIPE
        command = [sys.executable, "-c", SERVER, str(ROOT)]
        self.server = subprocess.Popen(
            command, env=ENV, cwd=folder, stdin=pipe, stdout=pipe, text=True
        )

    def start(self, *argv: object, limit: tuple[str, int] | None = None) -> int:
        """-> the process id."""
        assert self.server.stdin and self.server.stdout
        line = json.dumps([[str(a) for a in argv], str(self.log), limit])
        self.server.stdin.write(line + "\n")
        self.server.stdin.flush()
        return int(self.server.stdout.readline())

    def wait(self) -> int:
        """-> exit code; minus the signal's number."""
        assert self.server.stdin and self.server.stdout
        self.server.stdin.write("\n")
        self.server.stdin.flush()
        code = int(self.server.stdout.readline())
        self.out = self.log.read_text()
        self.err = self.log.with_suffix(".err").read_text()
        assert "Traceback" not in self.out + self.err, self.err
        return code

    def __call__(self, *argv: object, limit: tuple[str, int] | None = None) -> int:
        self.start(*argv, limit=limit)
        return self.wait()


@pytest.fixture(scope="module")
def ext(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    command = Command(tmp_path_factory.mktemp("command"))
    with command.server:  # closes its stdin, waits
        yield command


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tables(tmp_path_factory.mktemp("graphs") / "mine")


def tables(folder: Path, n: int = 200, **parts: Any) -> Path:
    """A folder of edges.csv and nodes.csv: four blocks; parts: weight, labels, features."""
    folder.mkdir()
    g = torch.Generator().manual_seed(0)
    y = torch.arange(n) % 4
    rate = torch.where(y[:, None] == y[None], 0.08, 0.005)
    pairs = (torch.rand(n, n, generator=g) < rate).triu(1).nonzero().tolist()
    weight = parts.get("weight")
    lines = ["source,target" + ",weight" * bool(weight)]
    lines += [f"v{a},v{b}" + (f",{weight(a, b)}" if weight else "") for a, b in pairs]
    (folder / "edges.csv").write_text("\n".join(lines))
    x = (torch.rand(n, 12, generator=g) < 0.2).int()
    x[torch.arange(n), y] = 1
    columns: dict[str, list[Any]] = {"id": [f"v{i}" for i in range(n)]}
    if parts.get("labels", True):
        columns |= {
            "label": y.tolist(),
            "split": [("train", "val", "test")[i % 3] for i in range(n)],
        }
    if parts.get("features", True):
        columns |= {f"f{j}": x[:, j].tolist() for j in range(12)}
    rows = (",".join(map(str, row)) for row in zip(*columns.values(), strict=True))
    (folder / "nodes.csv").write_text("\n".join([",".join(columns), *rows]))
    return folder


def z_of(folder: Path) -> np.ndarray[Any, Any]:
    with np.load(folder / "embeddings.npz", allow_pickle=False) as npz:
        z: np.ndarray[Any, Any] = npz["z"]
    return z


def run_json(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return found


def epochs(folder: Path) -> list[int]:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["epoch"] for line in lines]


@pytest.fixture(scope="module")
def finished(ext: Command, graph: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run. Not to be changed."""
    out = tmp_path_factory.mktemp("finished") / "runs" / "mine"
    assert ext("train", graph, "--out", out, *SHORT, "--checkpoint-every", 5) == 0, ext.err
    return out


def test_a_run_writes_what_it_says(ext: Command, graph: Path, finished: Path) -> None:
    assert {p.name for p in finished.iterdir()} == FILES
    meta, rows = run_json(finished), epochs(finished)
    assert meta["status"] == "finished" and rows == [*range(1, 13)]
    assert meta["graph"]["nodes"] == 200 and meta["graph"]["features"] == 28
    assert meta["graph"]["source"]["source"] == str(graph) and meta["argv"][:2] == [
        "train",
        str(graph),
    ]
    assert meta["figures"]["val"] > 0.5 and "test" not in json.dumps(meta["figures"])
    names = {p.name for p in (finished / "checkpoints").iterdir()}
    assert names == {f"step-000000{n}.{kind}" for n in (10, 12) for kind in ("json", "safetensors")}
    model, again = runs.load_model(finished), runs.source_graph(finished)
    assert torch.equal(
        run_full.embed(model.encoder, Graph.of(again.data, model.cfg)),
        torch.from_numpy(z_of(finished)),
    )
    assert model.features == 28 and model.cfg.hidden == 16 and model.scaling.rule == "columns"
    with np.load(finished / "embeddings.npz", allow_pickle=False) as npz:
        assert npz["node_id"].tolist() == [f"v{i}" for i in range(200)]
    report = (finished / "report.md").read_text()
    for words in (
        "200 nodes",
        "Effective rank",
        "Validation accuracy",
        "an edge joins nodes",
        "Kept: epoch",
    ):
        assert words in report


def test_report_is_stdout_and_notices_are_not(ext: Command, graph: Path, tmp_path: Path) -> None:
    assert ext("train", graph, "--out", tmp_path / "r", *SHORT, "--seed", 3) == 0
    assert ext.out == (tmp_path / "r" / "report.md").read_text()
    assert "taken as undirected" in ext.err and "epoch 12/12" in ext.err
    assert run_json(tmp_path / "r")["seed"] == 3


def test_options_and_config_file(ext: Command, graph: Path, tmp_path: Path) -> None:
    toml = tmp_path / "c.toml"
    toml.write_text("lr = 0.02\nepochs = 3\nbfs_mask = true\n[cora]\nlr = 0.5\n")
    given = ("--config", toml, "--epochs", 2, "--regulariser", "vicreg", "--mask", 0.5)
    assert ext("train", graph, "--out", tmp_path / "r", *WIDTH, *given) == 0, ext.err
    settings = run_json(tmp_path / "r")["settings"]
    assert (settings["lr"], settings["epochs"], settings["bfs_mask"]) == (0.02, 2, True)
    assert (settings["objective"], settings["regulariser"]) == ("vicreg", "none")
    text = (tmp_path / "r" / "config.toml").read_text()
    assert text.startswith("# preset: auto\n") and toml_of(tmp_path / "r/config.toml") == settings
    again = ("--config", tmp_path / "r/config.toml", "--seed", 0)
    assert ext("train", graph, "--out", tmp_path / "again", *again, "--threads", 1) == 0, ext.err
    assert np.array_equal(z_of(tmp_path / "r"), z_of(tmp_path / "again"))


# What a run is killed under: name -> options.
KINDS = {
    "gcn, ema": ["--preset", "card", "--encoder", "gcn"],
    "gat, bfs masks": ["--preset", "card", "--encoder", "gat", "--bfs-mask"],
    "gcn, online": ["--preset", "best", "--mask", "0.3", "--bfs-mask"],
    "subgraphs": ["--preset", "card", "--bfs-mask", "--batch-nodes", "70"],
}


def kill_and_resume(
    ext: Command, graph: Path, folder: Path, options: list[str], kills: int, draw: random.Random
) -> int:
    """Trains uninterrupted, then killed up to `kills` times and resumed -> how often it was killed
    before it had finished."""
    options = [*WIDTH, *options, "--epochs", "40", "--eval-every", "20", "--checkpoint-every", "3"]
    began = time.monotonic()
    assert ext("train", graph, "--out", folder / "whole", *options) == 0, ext.err
    seconds, out, killed, code = time.monotonic() - began, folder / "killed", 0, -1
    while code < 0:
        argv = ["--resume", out] if (out / "run.json").exists() else [graph, "--out", out, *options]
        process = ext.start("train", *argv)
        if killed < kills:
            time.sleep(draw.uniform(0, 0.9 * seconds))
            os.kill(process, signal.SIGKILL)
        code = ext.wait()
        killed += code < 0
    assert code == 0, ext.err
    assert np.array_equal(z_of(folder / "whole"), z_of(out))
    lines = [(folder / name / "metrics.jsonl").read_text() for name in ("whole", "killed")]
    assert lines[0] == lines[1]
    assert run_json(folder / "whole")["figures"] == run_json(out)["figures"]
    return killed


def test_killed_and_resumed(ext: Command, graph: Path, tmp_path: Path) -> None:
    killed, draw = 0, random.Random(1)
    for n in itertools.count():
        (folder := tmp_path / str(n)).mkdir()
        killed += kill_and_resume(ext, graph, folder, KINDS["gat, bfs masks"], 3 - killed, draw)
        if killed == 3:
            break


@pytest.mark.slow
def test_killed_at_thirty_moments(ext: Command, graph: Path, tmp_path: Path) -> None:
    killed, draw = 0, random.Random(2)
    for n in itertools.count():
        name = [*KINDS][n % len(KINDS)]
        (folder := tmp_path / str(n)).mkdir()
        killed += kill_and_resume(ext, graph, folder, KINDS[name], 5, draw)
        if killed >= 30 and n >= len(KINDS) - 1:
            break


def wait_for_rows(out: Path) -> None:
    path, deadline = out / "metrics.jsonl", time.monotonic() + 120
    while not path.exists() or path.stat().st_size < 1000:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def check_interrupted(out: Path, message: str) -> None:
    last = epochs(out)[-1]
    said = f"stopped after epoch {last}, which is kept; nodejepa-ext train --resume {out} continues"
    assert message.rstrip().endswith(said) and "Traceback" not in message
    assert run_json(out)["status"] == "interrupted"
    assert (out / f"checkpoints/step-{last:08d}.json").exists()
    with pytest.raises(ValueError, match="interrupted, expected a finished one"):
        runs.load_model(out)


ENDLESS = [*WIDTH, "--epochs", "100000", "--eval-every", "0"]


def test_sigterm(graph: Path, tmp_path: Path) -> None:
    out, command = tmp_path / "r", [sys.executable, "-m", "nodejepa_ext", "train"]
    command += [str(graph), "--out", str(out), *ENDLESS]
    with subprocess.Popen(command, env=ENV, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        wait_for_rows(out)
        process.terminate()
        _, message = process.communicate(timeout=60)
    assert process.returncode == 143
    check_interrupted(out, message)


def test_ctrl_c(ext: Command, graph: Path, tmp_path: Path) -> None:
    out = tmp_path / "r"
    process = ext.start("train", graph, "--out", out, *ENDLESS)
    wait_for_rows(out)
    os.kill(process, signal.SIGINT)
    assert ext.wait() == 130
    check_interrupted(out, ext.err)


@pytest.fixture(scope="module")
def killed(ext: Command, graph: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 100 epochs, killed after some of them, with two checkpoints. Not to be changed."""
    out = tmp_path_factory.mktemp("killed") / "r"
    process = ext.start("train", graph, "--out", out, *LONG, "--checkpoint-every", 15)
    while len(list(out.glob("checkpoints/*.json"))) < 2:
        time.sleep(0.002)
    os.kill(process, signal.SIGKILL)
    assert ext.wait() == -signal.SIGKILL
    return out


@pytest.fixture
def halted(killed: Path, tmp_path: Path) -> Path:
    """The same, a copy."""
    return Path(shutil.copytree(killed, tmp_path / "halted"))


def test_the_older_checkpoint_is_used(ext: Command, halted: Path, graph: Path) -> None:
    with (halted / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 7')
    newest = max(halted.glob("checkpoints/*.json")).with_suffix(".safetensors")
    older = min(halted.glob("checkpoints/*.json")).stem
    newest.write_bytes(newest.read_bytes()[:-1])
    assert ext("train", "--resume", halted) == 0, ext.err
    assert f"{newest.with_suffix('')}: left out: " in ext.err
    assert f"resumes after epoch {int(older[5:])} of 100" in ext.err
    assert epochs(halted) == [*range(1, 101)]
    whole = halted.with_name("whole")
    assert ext("train", graph, "--out", whole, *LONG) == 0
    assert np.array_equal(z_of(whole), z_of(halted))
    assert ext("train", "--resume", halted) == 0 and "finished already" in ext.err


def test_all_checkpoints_bad(ext: Command, halted: Path) -> None:
    before = (halted / "metrics.jsonl").read_bytes()
    for path in halted.glob("checkpoints/*.json"):
        path.write_bytes(path.read_bytes().replace(b"0", b"1"))
    assert ext("train", "--resume", halted) == 4
    assert ext.err.count("left out") == 2 and "none of 2 checkpoints verifies" in ext.err
    assert (halted / "metrics.jsonl").read_bytes() == before


def test_what_changed_is_refused(ext: Command, halted: Path, graph: Path, tmp_path: Path) -> None:
    toml = halted / "config.toml"
    text = toml.read_text()
    toml.write_text(text.replace("epochs = 100", "epochs = 400"))
    assert ext("train", "--resume", halted) == 2
    assert "config.toml: epochs: 100 -> 400 since the run began" in ext.err
    toml.write_text(text)
    other = {"fp32": "bf16", "bf16": "fp32"}[run_json(halted)["precision"]]
    for key, value in {"device": "cuda:1", "precision": other}.items():
        meta = run_json(halted)
        (halted / "run.json").write_text(json.dumps(meta | {key: value}))
        assert ext("train", "--resume", halted) == 2
        assert f"{key}: {value.partition(':')[0]} -> {meta[key]} since the run began" in ext.err
        (halted / "run.json").write_text(json.dumps(meta))
    toml.unlink()  # a process killed before it was written
    moved = tmp_path / "moved"
    shutil.copytree(graph, moved)
    meta = run_json(halted)
    meta["graph"]["source"]["source"] = str(moved)
    (halted / "run.json").write_text(json.dumps(meta))
    with (moved / "edges.csv").open("a") as file:
        file.write("\nv0,v199\n")
    assert ext("train", "--resume", halted) == 3 and f"{moved} has changed: SHA-256" in ext.err
    shutil.rmtree(moved)
    assert ext("train", "--resume", halted) == 3 and f"read from {moved}, where" in ext.err
    shutil.copytree(graph, moved)
    assert ext("train", "--resume", halted) == 0 and toml.read_text() == text


class Bomb:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def test_pickles_are_not_executed(
    ext: Command, halted: Path, finished: Path, tmp_path: Path
) -> None:
    mark, copy, code = tmp_path / "executed", tmp_path / "copy", 0
    for folder in (halted, finished):
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            shutil.copytree(folder, copy)
            victim = copy / path.relative_to(folder)
            victim.write_bytes(pickle.dumps(Bomb(mark)))
            settings = victim.name in ("run.json", "config.toml")
            if settings or folder == halted:
                code = ext("train", "--resume", copy)
                assert code == 2 * settings, ext.err
            if settings or victim.name == "model.safetensors":
                with pytest.raises((ValueError, RunError), match=victim.name):
                    runs.load_model(copy)
            assert not mark.exists()
            shutil.rmtree(copy)


def test_models_that_do_not_verify(finished: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    path = copy / "model.safetensors"
    payload = path.read_bytes()
    for bad in (payload[:-1], payload[:99] + bytes([payload[99] ^ 4]) + payload[100:], b""):
        path.write_bytes(bad)
        with pytest.raises(RunError, match="model.safetensors has SHA-256") as caught:
            runs.load_model(copy)
        assert caught.value.args[1] == 4
    path.unlink()
    with pytest.raises(RunError, match="No such file"):
        runs.load_model(copy)
    with pytest.raises(ValueError, match=r"run\.json"):
        runs.load_model(tmp_path)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--out", "x"], "expected a GRAPH"),
        (["nowhere"], "nowhere: expected cora"),
        (["GRAPH", "--maks", "1"], "--maks"),
        (["GRAPH", "--mask", "1.5"], "mask = 1.5"),
        (["GRAPH", "--preset", "worst"], "--preset worst: expected one of auto, best"),
        (["GRAPH", "--seeds", "3"], "--seeds: no option of train"),
        (["GRAPH", "--quick"], "--quick: no option of train"),
        (["GRAPH", "--threads", "-1"], "--threads -1"),
        (["GRAPH", "--device", "cuda:93"], "cuda:93"),
        (["GRAPH", "--bfs-mask", "--degree-mask"], "bfs_mask and degree_mask"),
        (["GRAPH", "--laplacian-pe", "--laplacian-k", "500", "--predictor", "2"], "k = 500"),
        (["GRAPH", "--config", "nowhere.toml"], "nowhere.toml"),
        (["--resume", "nowhere"], "nowhere: no such folder"),
        (["--resume", "x", "--lr", "0.1"], "takes no other argument: --lr"),
        (["--resume", "x", "--seed", "1"], "takes no other argument: --seed"),
        (["--resume", "x", "GRAPH"], "takes no other argument"),
    ],
)
def test_usage(ext: Command, graph: Path, argv: list[str], said: str, tmp_path: Path) -> None:
    out = [] if "--resume" in argv or "--out" in argv else ["--out", tmp_path / "r"]
    assert ext("train", *(graph if a == "GRAPH" else a for a in argv), *out) == 2
    assert said in ext.err and not list(tmp_path.iterdir())


def test_unsound_graphs(ext: Command, tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text("source,target\n1,2\n3\n")
    assert ext("train", tmp_path / "e.csv", "--out", tmp_path / "r") == 3
    assert "e.csv" in ext.err and not (tmp_path / "r").exists()


def test_folders_that_are_not_free(
    ext: Command, graph: Path, finished: Path, tmp_path: Path
) -> None:
    out, taken = tmp_path / "r", tmp_path / "file"
    taken.touch()
    assert ext("train", graph, "--out", taken, *SHORT) == 2 and "expected a folder" in ext.err
    assert ext("train", graph, "--out", taken / "r", *SHORT) == 2 and "file/r" in ext.err
    assert ext("train", graph, "--out", finished, *SHORT) == 2
    assert "--resume continues its run, --overwrite replaces it" in ext.err
    shutil.copytree(finished, out)
    for name in ("notes.txt", "checkpoints/mine.json"):
        (out / name).write_text("mine")
    assert ext("train", graph, "--out", out, "--mask", "7", "--overwrite") == 2
    assert run_json(out)["status"] == "finished"
    lock = os.open(out, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    for argv in (["--resume", out], [graph, "--out", out, "--overwrite", *SHORT]):
        assert ext("train", *argv) == 2 and "another process is training there" in ext.err
    os.close(lock)
    assert ext("train", graph, "--out", out, *SHORT, "--seed", 1, "--overwrite") == 0, ext.err
    assert {p.name for p in out.iterdir()} == FILES | {"notes.txt"}
    assert (out / "checkpoints/mine.json").exists() and run_json(out)["seed"] == 1
    assert not (out / "checkpoints/step-00000010.json").exists()  # of the run before
    (out / "run.json").unlink()
    assert ext("train", graph, "--out", out, *SHORT, "--overwrite") == 2
    assert "without run.json: not of a run" in ext.err and (out / "config.toml").exists()


def test_without_labels(ext: Command, tmp_path: Path) -> None:
    graph, out = tables(tmp_path / "g", labels=False), tmp_path / "r"
    assert ext("train", graph, "--out", out, *SHORT, "--eval-every", 4) == 0, ext.err
    meta = run_json(out)
    assert "val" not in meta["figures"] and "chosen without labels" in ext.out
    assert meta["figures"]["epoch"] in (4, 8, 12)
    labelled = tables(tmp_path / "h")
    text = (labelled / "nodes.csv").read_text().splitlines()
    rows = [line.split(",") for line in text[1:]]
    one = [",".join([i, "0" if s == "train" else y, s, *rest]) for i, y, s, *rest in rows]
    (labelled / "nodes.csv").write_text("\n".join([text[0], *one]))
    assert ext("train", labelled, "--out", tmp_path / "s", *SHORT, "--eval-every", 4) == 0, ext.err
    assert "train_mask left out: its nodes are of one class" in ext.err
    assert np.array_equal(z_of(out), z_of(tmp_path / "s"))


def test_without_features(ext: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODEJEPA_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "r"
    edges = tables(tmp_path / "g") / "edges.csv"
    assert ext("train", edges, "--out", out, *SHORT) == 0, ext.err
    assert "no features: structural_features" in ext.err
    model, again = runs.load_model(out), runs.source_graph(out)
    assert model.scaling.rule == "structural" and again.data.x.shape[1] == model.features
    assert torch.equal(
        run_full.embed(model.encoder, Graph.of(again.data, model.cfg)), torch.from_numpy(z_of(out))
    )


def test_edge_weights(ext: Command, graph: Path, finished: Path, tmp_path: Path) -> None:
    ones = tables(tmp_path / "ones", weight=lambda a, b: 1)
    apart = tables(tmp_path / "apart", weight=lambda a, b: 1 + (a + b) % 5)
    for name in (ones, apart):
        assert ext("train", name, "--out", tmp_path / f"r-{name.name}", *SHORT) == 0, ext.err
    assert np.array_equal(z_of(tmp_path / "r-ones"), z_of(finished))
    assert not np.allclose(z_of(tmp_path / "r-apart"), z_of(finished))
    out = tmp_path / "gat"
    assert ext("train", apart, "--out", out, *SHORT, "--encoder", "gat") == 2
    assert "expected gcn, where edges have weights" in ext.err and not out.exists()


def test_auto_needs_no_labels(data: Data) -> None:
    bare = Data(x=data.x, edge_index=data.edge_index)
    assert auto(bare) == auto(data)
    one_hot = torch.eye(60).repeat(1, 2)
    cycle = torch.stack([torch.arange(60), (torch.arange(60) + 1) % 60])
    for steps, x, name in (
        (1, one_hot, "citeseer"),
        (2, one_hot, "cora"),
        (2, torch.ones(60, 9), "pubmed"),
    ):
        edges = torch.cat([torch.stack([cycle[0], (cycle[1] + k) % 60]) for k in range(steps)], 1)
        graph = Data(x=x, edge_index=torch.cat([edges, edges.flip(0)], 1))
        assert nearest(graph)[0] == name
        assert preset_for("card", graph)[0] == preset("card", name)
        assert preset_for("bgrl", graph)[0] == bgrl(auto(graph)[0])
        assert preset_for("best", graph)[0] == recipe(graph)
        for each in PRESETS:
            assert preset_for(each, graph, "cora")[0] == preset(each, "cora")


def test_auto_adds_own_features_where_edges_mislead() -> None:
    sides = torch.arange(60) % 2  # two kinds of nodes
    x = torch.nn.functional.one_hot(sides, 2).float()
    index = torch.arange(60).repeat(2)
    for step, share, own in ((2, 0.75, False), (1, 0.25, True)):  # edges in a kind, and across
        edges = torch.stack([index, (index + step) % 60])
        graph = Data(x=x, edge_index=torch.cat([edges, edges.flip(0)], 1))
        assert likeness(graph) == pytest.approx(share, abs=0.01)
        cfg, why = auto(graph)
        joined = {"neighbours": 20, "neighbour_weight": 0.8, "layers": 1, "hops": 2}
        expected = replace(run_full.BEST, **joined, transform="root", own_features=own)
        assert cfg == expected and ("own features" in why) == own
    assert likeness(Data(x=x, edge_index=torch.empty(2, 0, dtype=torch.long))) == 0.5


def test_auto_joins_neighbours_in_words(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    edges, words = data.edge_index, (data.x > 0.3).float()
    bare = Data(x=words, edge_index=edges)
    cfg, why = auto(bare)
    assert cfg.neighbour_weight == round(0.2 * data.num_edges / 60, 2) and "joined" in why
    heavy = Data(**bare, edge_weight=torch.full((data.num_edges,), 10.0))
    assert auto(heavy)[0].neighbour_weight == round(2.0 * data.num_edges / 60, 2)
    assert auto(Data(x=words, edge_index=edges[:, :2]))[0].neighbour_weight == 0.2
    for x, joined in (
        (words / words.sum(1, keepdim=True), True),
        ((words - words.mean(0)) / words.std(0), True),
        (data.x, False),  # numbers
    ):
        assert (auto(Data(x=x, edge_index=edges))[0].neighbours == 20) == joined
    gat = adapted(cfg, {"encoder": "gat", "mask": 0.1})  # which takes no edge weights
    assert (gat.encoder, gat.mask, gat.neighbours) == ("gat", 0.1, 0)
    with pytest.raises(ValueError, match="neighbours = 3: expected 0 with encoder gat"):
        adapted(cfg, {"encoder": "gat", "neighbours": 3})
    assert preset_for("auto", bare, structural=True)[0].neighbours == 0  # they tell it twice
    monkeypatch.setattr(run_full, "MOST_JOINED", 59)
    monkeypatch.setattr("nodejepa_ext.training.similar.installed", lambda: False)
    cfg, why = auto(bare)
    assert cfg.neighbours == 0 and "each node joined" not in why


@pytest.mark.parametrize(
    ("losses", "ranks", "chosen", "stops"),
    [
        ([9, 5, 3, 2, 1], [4, 4, 4, 4, 4], 5, False),  # the loss falls on
        ([9, 1, 1, 1, 1], [4, 4, 5, 6, 5], 4, False),  # a higher rank on the plateau
        ([9, 5, 3, 2, 1], [4, 4, 4, 1, 1], 3, False),  # collapse
        ([9, 1, 3, 3, 3], [4, 4, 6, 6, 6], 2, False),  # a higher rank at a higher loss
        ([9, 1, 1, 1, 1, 1, 1, 0], [4] * 8, 2, True),
    ],
)
def test_label_free(
    losses: list[float], ranks: list[float], chosen: int, stops: bool, cfg: Config, data: Data
) -> None:
    state = state_of(cfg, data)
    stopped = 0
    for loss, rank in zip(losses, ranks, strict=True):
        for extra in ({}, {"effective_rank": rank}):
            state.step += 1
            state.rows.append({"epoch": state.step, "loss": loss, **extra})
            try:
                if extra and label_free(state, state.rows[-1]):
                    state.best = {"epoch": state.step, "val": -1.0, "weights": {}}
                patience(state, state.rows[-1])
            except run_full.StopTraining:
                stopped = state.step
        if stopped:
            break
    assert state.best["epoch"] == 2 * chosen and state.best["val"] == -1
    assert stopped == (2 * (chosen + PATIENCE) if stops else 0)


def test_another_format_is_refused(ext: Command, finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "r"
    shutil.copytree(finished, out)
    (out / "run.json").write_text(json.dumps(run_json(out) | {"format": 1}))
    for words in ("train", "--resume", out), ("embed", out, "--out", tmp_path / "z.npy"):
        assert ext(*words) == 2
        assert "run.json: a run of format 1, expected 2\n" in ext.err


def test_model_has_counts_of_batch_norm(data: Data, cfg: Config, tmp_path: Path) -> None:
    bare = Data(x=data.x, edge_index=data.edge_index)
    runs.start(subject.subject(read_graph(bare, normalise="none")), cfg, tmp_path / "r")
    model = runs.load_model(tmp_path / "r")
    tensors = safetensors.torch.load_file(tmp_path / "r/model.safetensors")
    loaded = model.encoder.state_dict()
    assert all(torch.equal(loaded[name], tensors[name]) for name in loaded)
    count = loaded["layers.0.finish.0.num_batches_tracked"]
    assert count.dtype == torch.long and count == 2 * run_json(tmp_path / "r")["figures"]["epoch"]


def test_full_disk(ext: Command, graph: Path, finished: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    out, options = disk / "r", [*SHORT, "--checkpoint-every", "5"]
    size = max(p.stat().st_size for p in finished.glob("checkpoints/*"))
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size + size // 2 + 20000}", "none", str(disk)]
    mounted = os.geteuid() == 0 and not subprocess.run(mount, capture_output=True).returncode
    limit = None if mounted else ("RLIMIT_FSIZE", size // 2)
    try:
        assert ext("train", graph, "--out", out, *options, limit=limit) == 1
        assert "No space left on device; nodejepa-ext train --resume" in ext.err or limit
        assert not list(disk.rglob("*.tmp"))
        if mounted:
            assert [p.name for p in out.glob("checkpoints/*.json")] == ["step-00000005.json"]
            grow = ["mount", "-o", "remount,size=8m", str(disk)]
            subprocess.run(grow, check=True, capture_output=True)
        assert ext("train", "--resume", out) == 0, ext.err
        assert ("resumes after epoch 5 of 12" in ext.err) == mounted
        assert np.array_equal(z_of(out), z_of(finished))
    finally:
        if mounted:
            subprocess.run(["umount", str(disk)], check=True)


def test_memory(ext: Command, graph: Path, tmp_path: Path) -> None:
    wide = ["--hidden", "65536", "--out-width", "65536", "--layers", "8"]
    assert ext("train", graph, "--out", tmp_path / "r", *wide) == 6
    hint = ext.err.rsplit("; ", 1)[1]
    assert hint.endswith("would fit\n") and not (tmp_path / "r").exists()
    data = subject.read(subject.Source.of(str(graph))).graph.data
    cfg = Config(hidden=512, out=256, device="cpu")
    sizes = 200, data.edge_index.shape[1] // 2, 12, int(data.x.count_nonzero())
    free = training_bytes(*sizes, cfg) / SHARE
    check_memory(data, cfg, int(free) + 1)
    with pytest.raises(
        RunError, match=r"expected at most .* --hidden (\d+) --out-width 256"
    ) as caught:
        check_memory(data, cfg, int(free) - 1)
    assert caught.value.args[1] == 6
    with pytest.raises(RunError, match="no width would fit"):
        check_memory(data, cfg, 1 << 20)


@pytest.mark.parametrize("more", [60, 500])  # MiB: too few for the weights, and for a step
def test_out_of_memory_in_mid_run(ext: Command, graph: Path, more: int, tmp_path: Path) -> None:
    pages = int(Path(f"/proc/{ext.server.pid}/statm").read_text().split()[0])
    limit = "RLIMIT_AS", pages * resource.getpagesize() + (more << 20)
    wide, out = ["--hidden", "4096", "--out-width", "4096"], tmp_path / "r"
    assert ext("train", graph, "--out", out, *wide, "--device", "cpu", limit=limit) == 6
    assert "out of memory" in ext.err and out.exists() == (more == 500)


def test_divergence(ext: Command, graph: Path, tmp_path: Path) -> None:
    wild = ["--lr", "10", "--layers", "8", "--epochs", "60", "--preset", "best"]
    assert ext("train", graph, "--out", tmp_path / "r", *WIDTH, *wild) == 7
    assert "first tensor not finite" in ext.err and run_json(tmp_path / "r")["status"] == "failed"


FOREIGN = {
    "of another tool": {"framework": "keras", "status": "finished"},
    "of another format": {"format": 1},
    "of another content": {"format": 2, "status": "finished"},
}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("flags", [[], ["--overwrite"]])
@pytest.mark.parametrize("kind", ["no manifest", *FOREIGN])
def test_a_folder_that_is_not_ours_is_left_alone(
    ext: Command, graph: Path, tmp_path: Path, kind: str, flags: list[str]
) -> None:
    out = tmp_path / "out"
    (out / "checkpoints").mkdir(parents=True)
    for name in "checkpoints/step-00000001.json", "checkpoints/x.pt", ".a.1.tmp", "report.md":
        (out / name).write_text("theirs")
    if kind in FOREIGN:
        (out / "run.json").write_text(json.dumps(FOREIGN[kind]))
    before = contents(out)
    assert ext("train", graph, "--out", out, *SHORT, *flags) == 2
    assert contents(out) == before and str(out) in ext.err


def test_a_foreign_temporary_file_alone_is_not_ours(
    ext: Command, graph: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/.report.md.12345.tmp").write_text("theirs")
    assert ext("train", graph, "--out", tmp_path / "out", *SHORT) == 2
    assert (tmp_path / "out/.report.md.12345.tmp").read_text() == "theirs"


def test_overwrite_touches_its_own_names_alone(ext: Command, graph: Path, tmp_path: Path) -> None:
    out, away = tmp_path / "out", tmp_path / "away"
    assert ext("train", graph, "--out", out, *SHORT) == 0
    for name in "notes.txt", "checkpoints/mine.pt", "checkpoints/step-1.json":
        (out / name).write_text("mine")
    assert ext("train", graph, "--out", out, *SHORT, "--overwrite") == 0
    for name in "notes.txt", "checkpoints/mine.pt", "checkpoints/step-1.json":
        assert (out / name).read_text() == "mine"
    (out / "checkpoints").rename(away)
    (out / "checkpoints").symlink_to(away)
    before = contents(away)
    assert ext("train", graph, "--out", out, *SHORT, "--overwrite") == 2
    assert "checkpoints: is a link, nothing is replaced" in ext.err and contents(away) == before


def test_a_damaged_manifest_is_a_sentence(ext: Command, graph: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert ext("train", graph, "--out", out, *SHORT) == 0
    meta = json.loads((out / "run.json").read_text())
    words = deque([["train", "--resume", out], ["embed", out, "--out", tmp_path / "z.npy"]])
    for name in "threads", "status", "graph", "settings", "format":
        words.rotate()
        for value in None, "x", [], {}, True, -1, 10**9, 1e300:
            (out / "run.json").write_text(json.dumps(meta | {name: value}))
            words.rotate()  # each command gets every other manifest
            code = ext(*words[0])
            assert code in (2, 3, 4), (name, value, code)
            assert str(out) in ext.err and "Traceback" not in ext.err
