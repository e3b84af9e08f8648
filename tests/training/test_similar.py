"""Claims about neighbours of similar features in large graphs, each with a test below.

1. pynndescent finds nearly what the exact search finds, the same each time; a node is never its own
   neighbour, and nodes that have nothing in common are none. (slow: it compiles itself)
2. From each node edges of weight total / k go to those found, as `run_full.join_neighbours` has it.
3. A run keeps what was found: it is sought once, also where the run goes on or embeds again; what
   was kept and is damaged is refused, exit code 4; what is gone is sought again.
4. `auto` joins them where features are words and pynndescent is installed; where it is not, none,
   and says so once. Features that are no words, and structural ones, are none of its business.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data

import run_full
from nodejepa_ext.graphs.graph import read_graph, write_graph
from nodejepa_ext.graphs.source import Source, read
from nodejepa_ext.training import batches, similar
from nodejepa_ext.training import folder as runs
from nodejepa_ext.training.settings import auto
from run_full import Config, Graph, RunError, TrainState

CFG = Config(hidden=8, out=4, epochs=4, warmup=1, eval_every=2, device="cpu", neighbours=3)


def exact(data: Data, k: int) -> Tensor:
    """What `find` finds if nothing escapes it."""
    bare = Data(x=data.x, edge_index=torch.empty(2, 0, dtype=torch.long))
    nodes = torch.full((len(data.x), k), -1, dtype=torch.int32)
    place = [0] * len(nodes)
    for row, other in run_full.join_neighbours(bare, k, 1.0).edge_index.t().tolist():
        nodes[row, place[row]] = other
        place[row] += 1
    return nodes


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Every graph is a large one, and is searched exactly; k of each search."""
    made: list[int] = []

    def find(data: Data, k: int) -> Tensor:
        made.append(k)
        return exact(data, k)

    monkeypatch.setattr(run_full, "MOST_JOINED", 10)
    monkeypatch.setattr(similar, "installed", lambda: True)
    monkeypatch.setattr(similar, "find", find)
    return made


@pytest.fixture
def words(data: Data) -> Data:
    data.x = (data.x > 0.5).float()
    return data


@pytest.fixture
def mapped(words: Data, tmp_path: Path) -> Path:
    write_graph(read_graph(words), tmp_path / "graph")
    return tmp_path / "graph"


def run_json(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "run.json").read_text())
    return found


# 1


@pytest.mark.slow
def test_what_is_found() -> None:
    pytest.importorskip("pynndescent")
    generator = torch.Generator().manual_seed(0)
    kind = torch.arange(600) % 6
    often = torch.rand(6, 80, generator=generator).pow(4)
    x = (torch.rand(600, 80, generator=generator) < often[kind]).float()
    x[:3] = 0  # a word that no other node has, or none
    x = torch.cat([x, torch.zeros(600, 1)], 1)
    x[0, 80] = 1
    data = Data(x=x, edge_index=torch.empty(2, 0, dtype=torch.long))
    found, wanted = similar.find(data, 10), exact(data, 10)
    assert found.shape == (600, 10) and found.dtype == torch.int32
    assert torch.equal(found, similar.find(data, 10))
    assert (found[:3] == -1).all() and not (found == torch.arange(600)[:, None]).any()
    share = [
        len({*a} & {*b}) / 10 for a, b in zip(found[3:].tolist(), wanted[3:].tolist(), strict=True)
    ]
    assert sum(share) / len(share) > 0.9


@pytest.mark.slow
def test_a_run_of_the_real_search(
    mapped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pynndescent")
    monkeypatch.setattr(run_full, "MOST_JOINED", 10)
    runs.start(read(Source.of(str(mapped))), CFG, tmp_path / "run")
    about = run_json(tmp_path / "run")["neighbours"]
    assert about["by"].startswith("pynndescent ") and len(about["sha256"]) == 64
    assert (tmp_path / "run" / similar.FILE).is_file()


# 2


def test_edges() -> None:
    x = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    data = Data(x=x, edge_index=torch.tensor([[0, 2], [2, 0]]))
    data.similar = torch.tensor([[1, -1], [0, -1], [-1, -1]], dtype=torch.int32)
    cfg = Config(neighbours=2, neighbour_weight=3.0, device="cpu")
    joined = similar.joined(data, cfg)
    assert joined.edge_index.tolist() == [[0, 2, 0, 1], [2, 0, 1, 0]]
    assert joined.edge_weight.tolist() == [1.0, 1.0, 1.5, 1.5]


@pytest.mark.parametrize("nodes", [0, 20])
def test_the_same_as_an_exact_search(words: Data, calls: list[int], nodes: int) -> None:
    bare = Data(x=words.x, edge_index=words.edge_index)
    graph, plain = similar.graph_of(bare, CFG), Graph.of(bare, CFG)
    torch.testing.assert_close(graph.adj.to_dense(), plain.adj.to_dense())
    assert graph.cfg == CFG and torch.equal(graph.data.edge_index, bare.edge_index)
    a = batches.prepared(CFG, bare, nodes)
    state = TrainState.new(CFG, bare, run_full.Encoder, run_full.MLPPredictor)
    torch.testing.assert_close(a.embedder(state.encoder), run_full.embed(state.encoder, plain))
    assert calls == [3, 3]


# 3


def test_a_run_keeps_them(mapped: Path, calls: list[int], tmp_path: Path) -> None:
    ready, out = read(Source.of(str(mapped))), tmp_path / "run"
    runs.start(ready, CFG, out)
    assert calls == [3] and run_json(out)["neighbours"]["by"].startswith("pynndescent")
    model = runs.load_model(out)
    z = model.embed(runs.source_graph(out).data)
    assert calls == [3] and z.shape == (60, 4)
    (out / similar.FILE).unlink()
    torch.testing.assert_close(model.embed(runs.source_graph(out).data), z)
    assert calls == [3, 3]


def test_a_run_goes_on_with_them(mapped: Path, calls: list[int], tmp_path: Path) -> None:
    def cut(state: TrainState, row: dict[str, float]) -> None:
        if state.step == 2:
            raise RunError("cut", 130)

    out, whole = tmp_path / "run", tmp_path / "whole"
    runs.start(read(Source.of(str(mapped))), CFG, whole)
    with pytest.raises(RunError):
        runs.start(read(Source.of(str(mapped))), CFG, out, every=1, watch=cut)
    assert calls == [3, 3]
    runs.resume(out, say=lambda text: None)
    assert calls == [3, 3]
    assert run_json(out)["files"]["embeddings.npz"] == run_json(whole)["files"]["embeddings.npz"]


def test_damage(mapped: Path, calls: list[int], tmp_path: Path) -> None:
    out = tmp_path / "run"
    runs.start(read(Source.of(str(mapped))), CFG, out)
    path = out / similar.FILE
    payload = path.read_bytes()
    path.write_bytes(payload[:-1] + b"\x7f")
    with pytest.raises(RunError, match=f"{similar.FILE} has SHA-256 .*, expected ") as end:
        runs.source_graph(out)
    assert end.value.args[1] == 4
    runs.start(read(Source.of(str(mapped))), CFG, out, overwrite=True)
    assert path.read_bytes() == payload
    plain = Config(hidden=8, out=4, epochs=1, warmup=1, device="cpu")
    runs.start(read(Source.of(str(mapped))), plain, out, overwrite=True)
    assert not path.exists() and "neighbours" not in run_json(out)


# 4


def test_auto(words: Data, calls: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    bare = Data(x=words.x, edge_index=words.edge_index)
    cfg, why = auto(bare)
    assert cfg.neighbours == 20
    assert "each node joined to the 20 of most similar features, which pynndescent seeks" in why
    assert cfg.neighbour_weight == round(0.2 * bare.num_edges / 60, 2)
    assert auto(bare, structural=True)[0].neighbours == 0
    monkeypatch.setattr(similar, "installed", lambda: False)
    cfg, why = auto(bare)
    assert cfg.neighbours == 0 and why.count("nodejepa[scale]") == 1
    assert "nodejepa[scale]" not in auto(bare, structural=True)[1]
    numbers = torch.rand(60, 12, generator=torch.Generator().manual_seed(1))
    cfg, why = auto(Data(x=numbers, edge_index=words.edge_index))
    assert cfg.neighbours == 0 and "nodejepa[scale]" not in why
    assert calls == []
