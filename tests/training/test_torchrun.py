"""Claims about one training by several processes under torchrun itself, each with a test below.
Minutes on busy cores; test_ranks.py has what does not need torchrun.

1. A run of two processes is, bit for bit, the run that two processes without torchrun make. SIGKILL
   of a rank ends it in one sentence of ours; resumed, it is the same run.
2. A refusal is one sentence, the ranks' exit code 2; nothing is written. A world of one is a run
   without torchrun.
3. SIGTERM and SIGINT of torchrun end both ranks after the same epoch, which is kept.
4. Two network namespaces train as two hosts: the second needs the graph, not the run's folder.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from training.test_folder import epochs, run_json, tables
from training.test_ranks import ENV, LONG, PROG, SHORT, Commands, contents, same_run, wait_for

from nodejepa_ext.bench import survive_process as processes

pytestmark = pytest.mark.slow
TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]
LIMIT = 300  # seconds of a run
HOSTS = {"nodejepa-a": "10.99.0.1", "nodejepa-b": "10.99.0.2"}


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tables(tmp_path_factory.mktemp("graphs") / "mine")


@pytest.fixture(scope="module")
def whole(graph: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run of two processes without torchrun. Not to be changed."""
    processes.preload()
    folder = tmp_path_factory.mktemp("whole")
    ends = Commands(folder)(2, "train", graph, "--out", folder / "out", *LONG)
    assert [end.code for end in ends] == [0, 0], ends
    return folder / "out"


def started(size: int, *words: object) -> subprocess.Popen[str]:
    how = [*TORCHRUN, "--standalone", f"--nproc-per-node={size}", "-m", "nodejepa_ext", "train"]
    pipe = subprocess.PIPE
    return subprocess.Popen([*how, *map(str, words)], env=ENV, stdout=pipe, stderr=pipe, text=True)


def ended(process: subprocess.Popen[str]) -> tuple[int, str, list[str]]:
    """Exit code of torchrun, stderr, and our sentences in it."""
    _, err = process.communicate(timeout=LIMIT)
    own = [line.removeprefix(PROG) for line in err.splitlines() if line.startswith(PROG)]
    assert "nodejepa_ext/" not in err, err  # no traceback of ours
    return process.returncode, err, own


def ranks_of(process: subprocess.Popen[str]) -> dict[int, int]:
    """Rank -> process, of torchrun's children."""
    found = {}
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    for child in children.split():
        environment = Path(f"/proc/{child}/environ").read_bytes()
        if rank := re.search(rb"\0RANK=(\d+)\0", environment):
            found[int(rank[1])] = int(child)
    return found


@pytest.mark.parametrize("victim", [0, 1])
def test_killed_and_resumed(graph: Path, whole: Path, tmp_path: Path, victim: int) -> None:
    out = tmp_path / "out"
    process = started(2, graph, "--out", out, *LONG)
    wait_for(out, 40)
    os.kill(ranks_of(process)[victim], signal.SIGKILL)
    code, err, own = ended(process)
    assert code and len(own) == 1 and "another of 2 processes has ended" in own[0], err
    assert "exitcode  : -9" in err
    code, err, own = ended(started(2, "--resume", out))
    assert code == 0 and not own, err
    same_run(out, whole)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped(graph: Path, whole: Path, tmp_path: Path, number: signal.Signals) -> None:
    out = tmp_path / "out"
    process = started(2, graph, "--out", out, *LONG)
    wait_for(out, 40)
    process.send_signal(number)
    code, err, own = ended(process)
    assert code and len(own) == 1, err
    assert own[0].startswith(f"{out}: stopped after epoch {epochs(out)[-1]}, which is kept")
    assert run_json(out)["status"] == "interrupted"
    assert ended(started(2, "--resume", out))[0] == 0
    same_run(out, whole)


def test_refused(graph: Path, tmp_path: Path) -> None:
    code, err, own = ended(started(2, graph, "--out", tmp_path / "out", *SHORT, "--batch-nodes=0"))
    assert code and len(own) == 1 and own[0].startswith("batch_nodes = 0: expected from 2"), err
    assert set(re.findall(r"exitcode  : (\S+)", err)) == {"2"}
    assert not (tmp_path / "out").exists()


def test_a_world_of_one(graph: Path, tmp_path: Path) -> None:
    code, err, _ = ended(started(1, graph, "--out", tmp_path / "world", *SHORT))
    assert code == 0, err
    plain = [sys.executable, "-m", "nodejepa_ext", "train", str(graph), *SHORT]
    plain += ["--out", str(tmp_path / "none")]
    subprocess.run(plain, env=ENV, check=True, capture_output=True)
    assert contents(tmp_path / "none") == contents(tmp_path / "world")


def ip(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["ip", *words], capture_output=True, text=True)


@pytest.fixture
def hosts() -> Iterator[list[str]]:
    """Names of two network namespaces with a cable between them."""
    first, second = HOSTS
    with ExitStack() as stack:
        for name in HOSTS:
            try:
                made = ip("netns", "add", name)
            except FileNotFoundError:
                pytest.skip("two hosts: there is no command ip")
            if made.returncode:
                pytest.skip(f"two hosts: network namespaces are not permitted: {made.stderr}")
            stack.callback(ip, "netns", "delete", name)
        ends = ["eth0", "netns", first, "type", "veth", "peer", "name", "eth0", "netns", second]
        made = ip("link", "add", *ends)
        if made.returncode:
            pytest.skip(f"two hosts: virtual cables are not permitted: {made.stderr}")
        for name, address in HOSTS.items():
            for words in (
                ["addr", "add", f"{address}/24", "dev", "eth0"],
                ["link", "set", "eth0", "up"],
                ["link", "set", "lo", "up"],
            ):
                done = ip("-n", name, *words)
                assert done.returncode == 0, done.stderr
        yield [first, second]


def on_hosts(hosts: list[str], folder: Path, *words: object) -> list[tuple[int, str, list[str]]]:
    """The recipe of docs/scale.md, one process a host, each in a folder of its own."""
    found: list[Any] = []
    for rank, name in enumerate(hosts):
        (own := folder / name).mkdir(exist_ok=True)
        how = ["--nnodes=2", f"--node-rank={rank}", "--nproc-per-node=1", "--master-port=29500"]
        how += [f"--master-addr={HOSTS[hosts[0]]}", "-m", "nodejepa_ext", "train"]
        command = ["ip", "netns", "exec", name, *TORCHRUN, *how, *map(str, words)]
        env = ENV | {"GLOO_SOCKET_IFNAME": "eth0"}
        pipe = subprocess.PIPE
        found.append(
            subprocess.Popen(command, env=env, cwd=own, stdout=pipe, stderr=pipe, text=True)
        )
    return [ended(process) for process in found]


def test_two_hosts(hosts: list[str], graph: Path, whole: Path, tmp_path: Path) -> None:
    first, second = on_hosts(hosts, tmp_path, graph, "--out", "out", *LONG)
    assert first[0] == second[0] == 0, first[1] + second[1]
    same_run(tmp_path / hosts[0] / "out", whole)
    assert not [*(tmp_path / hosts[1]).iterdir()]
