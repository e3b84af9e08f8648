"""Claims about training on subgraphs and inference in chunks, each with a test below.

1. `embed` in chunks of any size is `run_full.embed` to 1e-5: GCN and GAT, hops, skip, norm, own
   features, hops on the embedding, [REG], edge weights, isolated nodes. It leaves the mode alone.
2. It makes no tensor of the size of x, and nothing as wide as a layer for every edge.
3. The subgraphs of a pass hold every node once, in parts of nearly equal size, whatever the
   components; passes and seeds differ, a step's is always the same. Cut from a grid, parts keep
   far more edges than random nodes would.
4. `induced` is PyG's subgraph; of edges that occur twice the larger weight stays.
5. Of no batch or of all nodes, `train` is `run_full.train`, bit for bit.
6. Every step is run_full's on that step's subgraph; every evaluation is of the whole graph and
   chooses the epoch; a state, packed after any step, goes on bit for bit; a hook can end it.
   Neighbours are joined once, the whole graph is built once and without features; an encoder of
   one's own asks for an embedder. Of many nodes evaluations see some, z is of all; there is
   at most one a pass unless it is said.
7. The mask sees the subgraph. It learns: labels it never saw can be read off.
8. Killed and resumed, embeddings and metrics are bit-equal to those of an uninterrupted run.
9. A run keeps batch_nodes, its report has it, `embed` and `evaluate` go by it; laplacian_pe and
   sizes that are none are refused.
10. Too little memory: the refusal names a --batch-nodes that does, where a larger would not.
11. NodeJEPA: transform of the training graph is embedding_, bit for bit.
12. `bench batches` measures all that its table says.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch_geometric.utils as pyg
from conftest import SMALL, graph_of, state_of
from hypothesis import given
from hypothesis import strategies as st
from torch import Generator, Tensor
from torch_geometric.data import Data
from training.test_folder import SHORT, Command, kill_and_resume, run_json, tables, z_of

import run_full
from nodejepa_ext.bench import batches as bench_batches
from nodejepa_ext.commands.train import seldom
from nodejepa_ext.judging import report as judge
from nodejepa_ext.parts.choice import Parts
from nodejepa_ext.training import batches, passes
from nodejepa_ext.training import folder as runs
from nodejepa_ext.training.checkpoints import pack, unpack
from nodejepa_ext.training.estimator import NodeJEPA
from nodejepa_ext.training.memory import SHARE, Sizes, check_memory, training_bytes
from nodejepa_ext.training.passes import Passes
from nodejepa_ext.training.settings import toml_of
from nodejepa_ext.training.stopping import label_free, patience
from run_full import Config, RunError, StopTraining, TrainState


def random_graph(seed: int, n: int = 60, e: int = 90, weights: bool = False) -> Data:
    """Duplicates, self-loops and isolated nodes among its edges; x [n, 12]."""
    g = torch.Generator().manual_seed(seed)
    edges = torch.randint(0, n - n // 8, (2, e), generator=g)
    x = torch.rand(n, 12, generator=g) * (torch.rand(n, 12, generator=g) < 0.5)
    return Data(
        x=x, edge_index=edges, edge_weight=torch.rand(e, generator=g) + 0.1 if weights else None
    )


def trained_like(cfg: Config, seed: int = 0) -> run_full.Encoder:
    """An encoder none of whose parameters or statistics is 0 or 1."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        encoder = run_full.Encoder(cfg, 12)
        for t in encoder.state_dict().values():
            if t.is_floating_point():
                t.add_(0.1 * torch.rand_like(t))
    return encoder


def close(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=1e-5, atol=1e-5 * float(a.abs().max()))


SHAPES: list[dict[str, Any]] = [
    dict(encoder=encoder, hops=hops, reg_node=reg, own_features=own, embed_hops=hops - 1)
    | dict(skip=skip, norm=norm, layers=layers, neighbours=3 * own * (encoder == "gcn"))
    for (encoder, hops, reg, own), (skip, norm, layers) in itertools.product(
        itertools.product(("gcn", "gat"), (1, 2), (False, True), (False, True)),
        (("linear", "batch", 2), ("none", "none", 2), ("linear", "none", 1), ("input", "batch", 3)),
    )
]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "-".join(map(str, shape.values())))
def test_chunks_are_the_whole(shape: dict[str, Any], cfg: Config) -> None:
    own = replace(cfg, heads=2, **shape)
    encoder = trained_like(own)
    for weights in (False, True) if own.encoder == "gcn" else (False,):
        data = random_graph(0, weights=weights)
        whole = run_full.embed(encoder, graph_of(data, own))
        assert close(whole, batches.embed(encoder, data, 7)) and encoder.training
        assert close(whole, batches.embed(encoder.eval(), data, 59)) and not encoder.training
        assert torch.equal(whole, batches.embed(encoder.train(), data, 60))
        assert torch.equal(whole, batches.embed(encoder, data, 0))


@given(st.integers(0, 10**6), st.integers(2, 40), st.integers(0, 80), st.integers(1, 40))
def test_chunks_of_any_size(seed: int, n: int, e: int, chunk: int) -> None:
    data = random_graph(seed, n, e)
    for kind in ("gcn", "gat"):
        cfg = replace(SMALL, encoder=kind, heads=2, reg_node=bool(seed % 2))
        encoder = trained_like(cfg, seed)
        whole = run_full.embed(encoder, graph_of(data, cfg))
        assert close(whole, batches.embed(encoder, data, chunk))


def test_chunks_refuse_what_the_whole_refuses(cfg: Config) -> None:
    encoder = trained_like(replace(cfg, encoder="gat", heads=2))
    with pytest.raises(ValueError, match="where edges have weights"):
        batches.embed(encoder, random_graph(0, weights=True), 7)


class Largest(torch.overrides.TorchFunctionMode):
    """How many numbers the largest dense tensor had that any operation in the block gave."""

    numbers = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        new = isinstance(out, Tensor) and all(out is not given for given in args)
        if new and out.layout == torch.strided:
            self.numbers = max(self.numbers, out.numel())
        return out


@pytest.mark.parametrize("kind", ["gcn", "gat"])
def test_nothing_wide_for_every_edge(kind: str, cfg: Config) -> None:
    n, e, width = 400, 20_000, 64
    data = random_graph(0, n, e)
    data.x = data.x.repeat(1, 100)
    own = replace(cfg, encoder=kind, hidden=width, out=width)
    encoder = run_full.Encoder(own, 1200)
    with Largest() as chunks:
        batches.embed(encoder, data, 50)
    with Largest() as whole:
        run_full.embed(encoder, graph_of(data, own))
    assert chunks.numbers <= 4 * e < data.x.numel() / 4 < e * width  # indices of both directions
    assert whole.numbers >= (1.5 * e * width if kind == "gat" else data.x.numel())


def adjacency_of(edges: list[tuple[int, int]], n: int) -> Any:
    index = torch.tensor(edges, dtype=torch.long).reshape(-1, 2).t()
    return batches.adjacency(Data(x=torch.zeros(n, 1), edge_index=index, edge_weight=None))


def passes_of(graph: Any, nodes: int, seed: int = 0) -> Passes:
    data = Data(x=torch.zeros(graph.shape[0], 1), edge_weight=None)
    return Passes(data, graph, nodes, seed)


@given(st.integers(0, 10**6), st.integers(2, 80), st.integers(0, 120), st.data())
def test_a_pass_is_every_node_once(seed: int, n: int, e: int, more: st.DataObject) -> None:
    graph = batches.adjacency(random_graph(seed, n, e))
    size = more.draw(st.integers(1, n))
    found = passes_of(graph, size, seed)
    parts = [found.nodes(step) for step in range(found.steps)]
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(n))
    assert max(map(len, parts)) <= size and np.ptp([len(part) for part in parts]) <= 1
    later = [found.nodes(found.steps + step) for step in range(found.steps)]
    assert np.array_equal(np.sort(np.concatenate(later)), np.arange(n))
    again = passes_of(graph, size, seed)
    assert np.array_equal(again.nodes(found.steps), later[0])  # out of turn
    assert np.array_equal(again.nodes(0), parts[0])


def test_passes_and_seeds_differ() -> None:
    graph = batches.adjacency(random_graph(0))
    found = [passes_of(graph, 10, seed).nodes(step) for seed in (0, 1) for step in (0, 6)]
    assert len({tuple(nodes) for nodes in found}) == 4


def test_parts_of_a_grid_hang_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "REGION", 100)
    side = 50
    place = np.arange(side * side).reshape(side, side)
    right = np.stack([place[:, :-1].ravel(), place[:, 1:].ravel()], 1)
    down = np.stack([place[:-1].ravel(), place[1:].ravel()], 1)
    graph = adjacency_of(np.concatenate([right, down]).tolist(), side * side)
    found = passes_of(graph, 250)
    found.data.x = torch.zeros(side * side, 1)
    kept = sum(found.subgraph(step).edge_index.shape[1] for step in range(found.steps))
    assert kept / graph.nnz > 0.7  # of random nodes, a tenth


def test_components_of_any_size() -> None:
    for edges in [], [(v, v + 1) for v in range(0, 5000, 2)], [(v, v + 1) for v in range(4999)]:
        found = passes_of(adjacency_of(edges, 5000), 1250)
        parts = [found.nodes(step) for step in range(4)]
        assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(5000))
    pairs = adjacency_of([(v, v + 1) for v in range(0, 5000, 2)], 5000)
    nodes = {*passes_of(pairs, 1250).nodes(0).tolist()}
    assert sum(v ^ 1 in nodes for v in nodes) >= 1248  # but where the parts were cut


@pytest.mark.parametrize("weights", [False, True])
def test_induced_is_the_textbooks(weights: bool) -> None:
    data = random_graph(1, e=400, weights=weights)
    nodes = np.sort(np.random.default_rng(0).permutation(60)[:25])
    place = np.full(60, -1)
    part = passes.induced(data, batches.adjacency(data), nodes, place)
    assert (place == -1).all()
    edges, weight = pyg.remove_self_loops(data.edge_index, data.edge_weight)
    weight = torch.ones(edges.shape[1]) if weight is None else weight
    edges, weight = pyg.to_undirected(edges, weight, 60, reduce="max")
    edges, weight = pyg.subgraph(
        torch.from_numpy(nodes), edges, weight, relabel_nodes=True, num_nodes=60
    )
    assert torch.equal(part.edge_index, edges) and torch.equal(part.x, data.x[nodes])
    assert torch.equal(part.edge_weight, weight) if weights else part.edge_weight is None
    assert {*part.keys()} == {"x", "edge_index"} | ({"edge_weight"} if weights else set())


def test_all_nodes_are_the_ordinary_training(data: Data, cfg: Config) -> None:
    whole = run_full.train(cfg, data)
    for size in (0, 60, 1000):
        found = batches.train(cfg, data, size)
        assert torch.equal(found.z, whole.z) and found.val == whole.val
        assert found.state and whole.state and found.state.rows == whole.state.rows


def test_steps_and_evaluations(data: Data, cfg: Config) -> None:
    own = replace(cfg, epochs=7, eval_every=3)
    seen: list[tuple[TrainState, dict[str, float]]] = []

    def look(state: TrainState, row: dict[str, float]) -> None:
        seen.append((state, dict(row)))
        if "val" in row:
            z = batches.embed(state.encoder, data, 25)
            assert row["val"] == run_full.linear_probe(z, data).val and len(z) == 60
            assert row["effective_rank"] == run_full.effective_rank(z)

    found = batches.train(own, data, 25, on_epoch=look)
    assert [row["epoch"] for _, row in seen] == [*range(1, 8)]
    assert [row["epoch"] for _, row in seen if "val" in row] == [3, 6, 7]
    best = max(row["val"] for _, row in seen if "val" in row)
    assert found.val == best and found.state and found.state.best["val"] == best
    assert found.state.rows == [row for _, row in seen] and found.z.shape == (60, 8)

    # By hand: a loss is the reference's on that step's subgraph.
    part = Passes(data, batches.adjacency(data), 25, own.seed).subgraph(0)
    slow = state_of(own, data)
    run_full.train_step(slow, graph_of(part, own), run_full.random_mask, None)
    assert seen[0][1]["loss"] == slow.rows[0]["loss"]


def test_of_many_nodes_evaluations_see_some(
    data: Data, cfg: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those to train and choose on, and others; z is of all, of the epoch that was kept."""
    monkeypatch.setattr(batches, "NODES", 45)
    nodes = batches.judged(data, cfg.seed)
    must = (data.train_mask | data.val_mask).nonzero()[:, 0]
    assert len(nodes) == 45 and {*must.tolist()} < {*nodes.tolist()}
    assert torch.equal(nodes, batches.judged(data, cfg.seed)) and (nodes.diff() > 0).all()
    assert len(batches.judged(Data(x=data.x), 1)) == 45
    many = data.clone()
    many.train_mask = torch.ones(60, 2, dtype=torch.bool)
    assert len(batches.judged(many, 0)) == 60

    own = replace(cfg, epochs=7, eval_every=3)
    part = Data(y=data.y[nodes], **{k: data[k][nodes] for k in ("train_mask", "val_mask")})
    weights: dict[int, Tensor] = {}

    def look(state: TrainState, row: dict[str, float]) -> None:
        if "val" in row:
            z = batches.embed(state.encoder, data, 25)
            weights[state.step] = z
            assert row["val"] == run_full.linear_probe(z[nodes], part).val
            assert row["effective_rank"] == run_full.effective_rank(z[nodes])

    for keep in (lambda state, row: state.step == 3, lambda state, row: state.step == 7):
        found = batches.train(own, data, 25, on_epoch=look, keep=keep)
        assert found.state and found.data is data
        assert torch.equal(found.z, weights[found.state.best["epoch"]])
        assert batches.collapse(found.z, data, 0) == run_full.collapse(found.z[nodes])
    again = batches.train(own, data, 25, state=found.state)
    assert torch.equal(again.z, found.z) and again.val == found.val


def test_evaluations_are_seldom(cfg: Config, tmp_path: Path) -> None:
    """At most one a pass, unless it is said."""
    (tmp_path / "c.toml").write_text("eval_every = 3")
    own, bare = replace(cfg, eval_every=2), argparse.Namespace(config=None)
    assert seldom(own, bare, 60, 20).eval_every == 3 and seldom(own, bare, 60, 0) == own
    assert seldom(own, bare, 60, 50).eval_every == 2 == seldom(own, bare, 60, 60).eval_every
    assert seldom(replace(cfg, eval_every=0), bare, 60, 2).eval_every == 0
    said = (
        argparse.Namespace(config=None, eval_every=2),
        argparse.Namespace(config=tmp_path / "c.toml", graph="mine"),
    )
    assert all(seldom(own, args, 60, 2) == own for args in said)


def test_neighbours_are_joined_once(
    data: Data, cfg: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, plain = [], run_full.join_neighbours

    def counted(*args: Any) -> Data:
        calls.append(args)
        return plain(*args)

    monkeypatch.setattr(run_full, "join_neighbours", counted)
    found = batches.train(replace(cfg, neighbours=2), data, 20)
    assert len(calls) == 1 and found.z.shape == (60, 8)
    batches.train(replace(cfg, neighbours=2), data, 60)
    assert len(calls) == 2


def test_the_whole_graph_is_built_without_features(
    data: Data, cfg: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes, plain = [], run_full.Graph.of

    def counted(data: Data, cfg: Config) -> run_full.Graph:
        shapes.append(tuple(data.x.shape))
        return plain(data, cfg)

    monkeypatch.setattr(batches.Graph, "of", counted)
    batches.train(replace(cfg, epochs=4, eval_every=2), data, 20)
    assert shapes == [(20, 12), (20, 12), (60, 0), (20, 12), (20, 12)]


def test_an_encoder_of_ones_own_needs_an_embedder(data: Data, cfg: Config) -> None:
    with pytest.raises(ValueError, match="batch_nodes = 20: expected an embedder beside"):
        batches.train(cfg, data, 20, make_encoder=run_full.Encoder)
    whole = graph_of(data, cfg)
    seams: dict[str, Any] = {"make_encoder": run_full.Encoder}
    seams["embedder"] = lambda encoder: run_full.embed(encoder, whole)
    bare = Data(x=data.x, edge_index=data.edge_index)  # labels would choose an epoch by a hair
    found, plain = batches.train(cfg, bare, 20, **seams), batches.train(cfg, bare, 20)
    assert close(found.z, plain.z)


@pytest.mark.parametrize("step", range(1, 7))
def test_a_state_goes_on_bit_for_bit(step: int, data: Data, cfg: Config) -> None:
    own, kept = replace(cfg, mask=0.3), b""

    def stop(state: TrainState, row: dict[str, float]) -> None:
        nonlocal kept
        if state.step == step:
            kept = pack(state)
            raise KeyboardInterrupt

    whole = batches.train(own, data, 20)
    with pytest.raises(KeyboardInterrupt):
        batches.train(own, data, 20, on_epoch=stop)
    unpack(state := state_of(own, data), kept)
    found = batches.train(own, data, 20, state=state)
    assert torch.equal(found.z, whole.z) and found.val == whole.val
    assert whole.state and state.rows == whole.state.rows


def test_a_hook_can_end_it(data: Data, cfg: Config) -> None:
    def stop(state: TrainState, row: dict[str, float]) -> None:
        if state.step == 3:
            raise StopTraining

    found = batches.train(cfg, data, 20, on_epoch=stop)
    assert found.state and found.state.step == 3 and found.state.best["epoch"] == 2
    assert found.z.shape == (60, 8) and found.val == found.state.best["val"]
    bare = Data(x=data.x, edge_index=data.edge_index)
    long = replace(cfg, epochs=40, eval_every=2, lr=0.0)  # nothing changes: no evaluation is better
    found = batches.train(long, bare, 20, keep=label_free, on_epoch=patience)
    assert found.state and found.state.step < 40 and found.val == -1


def test_the_mask_sees_the_subgraph(data: Data, cfg: Config) -> None:
    sizes = []

    def mask(part: Data, ratio: float, generator: Generator) -> Tensor:
        sizes.append(len(part.x))
        assert "y" not in part and "train_mask" not in part
        assert part.edge_index.numel() == 0 or int(part.edge_index.max()) < 20
        return run_full.random_mask(part, ratio, generator)

    batches.train(cfg, data, 20, mask_fn=mask)
    assert sizes == [20] * 6


def test_it_learns(data: Data) -> None:
    cfg = replace(SMALL, hidden=32, out=16, epochs=60, eval_every=20, lr=5e-3, seed=1)
    found, untrained = (batches.train(replace(cfg, epochs=n), data, 20) for n in (60, 0))
    assert found.val >= 0.8 and found.state  # 1 / 3 by chance
    losses = [row["loss"] for row in found.state.rows]
    assert np.mean(losses[-10:]) < losses[0] - 0.2
    assert untrained.val > 0


@pytest.fixture(scope="module")
def ext(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    command = Command(tmp_path_factory.mktemp("command"))
    with command.server:
        yield command


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tables(tmp_path_factory.mktemp("graphs") / "mine")


@pytest.mark.slow
def test_killed_and_resumed(ext: Command, graph: Path, tmp_path: Path) -> None:
    options = ["--preset", "card", "--encoder", "gcn", "--bfs-mask", "--batch-nodes", "70"]
    rng = random.Random(3)
    for n in itertools.count():
        (folder := tmp_path / str(n)).mkdir()
        if kill_and_resume(ext, graph, folder, options, 1, rng):
            break


@pytest.mark.slow
def test_a_run(ext: Command, graph: Path, tmp_path: Path) -> None:
    out = tmp_path / "r"
    assert ext("train", graph, "--out", out, *SHORT, "--batch-nodes", "70") == 0, ext.err
    assert run_json(out)["settings"]["batch_nodes"] == 70
    assert toml_of(out / "config.toml") == run_json(out)["settings"]
    assert "another subgraph of 70 nodes" in (out / "report.md").read_text()
    model, data = runs.load_model(out), runs.source_graph(out).data
    kept = torch.from_numpy(z_of(out))
    assert torch.equal(model.embed(data), kept)
    assert close(run_full.embed(model.encoder, graph_of(data, model.cfg)), kept)
    assert ext("embed", out, "--out", tmp_path / "z.npz") == 0, ext.err
    with np.load(tmp_path / "z.npz", allow_pickle=False) as npz:
        assert np.array_equal(npz["z"], z_of(out))
    toml = ("--config", out / "config.toml", "--seed", 0, "--threads", 1)
    assert ext("train", graph, "--out", tmp_path / "again", *toml) == 0, ext.err
    assert np.array_equal(z_of(tmp_path / "again"), z_of(out))
    report = judge.judge(out, None, "linear,link", None, 1, lambda text: None)
    assert report["tasks"]["linear"][judge.OURS]["mean"] > 0.4
    plain = tmp_path / "plain"
    assert ext("train", graph, "--out", plain, *SHORT) == 0, ext.err
    assert "batch_nodes" not in run_json(plain)["settings"]
    assert not np.array_equal(z_of(plain), z_of(out))


def test_refused(ext: Command, graph: Path, data: Data, tmp_path: Path) -> None:
    told = ["--laplacian-pe", "--predictor", "1"]
    out = tmp_path / "r"
    for size, more, text in (
        ("70", told, "batch_nodes = 70: expected 0, for laplacian_pe"),
        ("1", [], "batch_nodes = 1: expected 0, for none, or at least 2"),
        ("-1", [], "'--batch-nodes'"),
    ):
        assert ext("train", graph, "--out", out, *SHORT, "--batch-nodes", size, *more) == 2
        assert text in ext.err and not out.exists()
    batches.check(200, Parts(laplacian_pe=True), 200)  # the whole graph at once
    assert ext("train", graph, "--out", out, *SHORT, "--batch-nodes", "70") == 0, ext.err
    meta = run_json(out)
    meta["settings"]["batch_nodes"] = "many"
    (out / "run.json").write_text(json.dumps(meta))
    with pytest.raises(ValueError, match="batch_nodes = 'many'"):
        runs.read_run(out)
    for bad in (1, -3, "9", 2.5, None):
        with pytest.raises(ValueError, match="expected 0, for none, or at least 2"):
            batches.check(bad, Parts())


@pytest.mark.parametrize("kind", ["gcn", "gat"])
def test_memory(kind: str, tmp_path: Path) -> None:
    g = torch.Generator().manual_seed(0)
    data = Data(x=torch.rand(5000, 8, generator=g))
    data.edge_index = pyg.to_undirected(torch.randint(0, 5000, (2, 40_000), generator=g))
    cfg = replace(SMALL, encoder=kind, hidden=512, out=256)
    sizes = Sizes.of(data)
    needs = [sizes.training(cfg, size) for size in (32, 256, 1024, 4096)]
    assert needs == sorted(needs)
    assert sizes.training(cfg, 5000) == training_bytes(*sizes[:4], cfg)
    free = int(sizes.training(cfg, 1024) / SHARE) + 2
    with pytest.raises(RunError, match="--hidden .* or --batch-nodes 1024 would fit") as caught:
        check_memory(data, cfg, free)
    assert caught.value.args[1] == 6
    check_memory(data, cfg, free, batch_nodes=1024)
    with pytest.raises(RunError, match="--batch-nodes 1024 would fit"):
        check_memory(data, cfg, free, batch_nodes=2048)
    with pytest.raises(RunError, match="no width would fit"):
        check_memory(data, cfg, 1 << 20, batch_nodes=2048)


def test_estimator(data: Data) -> None:
    small: dict[str, Any] = dict(epochs=4, hidden=8, out=4, device="cpu", batch_nodes=20)
    model = NodeJEPA("card", **small).fit(data)
    assert np.array_equal(model.transform(data), model.embedding_)
    assert np.array_equal(model.embedding_, NodeJEPA("card", **small).fit_transform(data))
    whole = NodeJEPA("card", **small | {"batch_nodes": 0}).fit_transform(data)
    assert np.array_equal(
        whole, NodeJEPA("card", **small | {"batch_nodes": 60}).fit_transform(data)
    )
    assert not np.allclose(whole, model.embedding_)
    with pytest.raises(ValueError, match="batch_nodes = -1"):
        NodeJEPA("card", **small | {"batch_nodes": -1}).fit(data)


def test_bench(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("NODES", 300), ("EDGES", 900), ("WIDTH", 16), ("BATCH", 64)):
        monkeypatch.setattr(bench_batches, name, value)
    report = {"processor": "this", "threads": 1} | bench_batches.measure(2)
    assert 0 < report["above_imports_mib"] < report["peak_mib"]
    assert report["step_seconds"] > 0 and report["inference_seconds"] > 0
    assert bench_batches.table(report).row_count == 5
