"""Claims about positions and the predictor that is told them, each with a test below.

1. Paths, cycles and tori have the eigenspaces of the closed forms, repeated eigenvalues included.
2. Two triangles joined by an edge are told apart by the sign of the first column.
3. Trivial eigenvectors of every component are left out; nodes without edges are at 0.
4. Direction, repetition and self-loops of edges do not matter; renumbered nodes keep their place.
5. The residual is small on Cora and a random graph; the filtered solver agrees with LAPACK.
6. Columns have mean square 1, the largest entry is positive, and a second call gives the same.
7. What is in the cache is used; what is broken there is replaced; no cache is no obstacle.
8. k < 1, k beyond the graph, over 500,000 nodes and no convergence: refused in one sentence.
9. LaplacianPredictor's MLP starts as MLPPredictor's does, and ignoring positions is equal to it.
10. Sign flips come from the generator; each node is told its own position.
11. It trains through the seam, in bf16 too, and a saved state continues bit for bit.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import state_of
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator, Tensor
from torch_geometric.data import Data
from torch_geometric.utils import erdos_renyi_graph, to_dense_adj, to_undirected

import run_full
from nodejepa_ext.parts import positional
from nodejepa_ext.parts.positional import LaplacianPredictor, laplacian_pe
from run_full import Config, MLPPredictor, TrainState

TRIANGLES = [(0, 1), (1, 2), (0, 2), (2, 3), (3, 4), (4, 5), (3, 5)]  # two, joined by (2, 3)


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> object:
    """Nothing here may write to the home folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NODEJEPA_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def graph(edges: list[tuple[int, int]], n: int) -> Data:
    return Data(edge_index=torch.tensor(edges).t(), num_nodes=n)


def random_graph(n: int, degree: float, seed: int) -> Data:
    torch.manual_seed(seed)
    return Data(edge_index=erdos_renyi_graph(n, degree / n), num_nodes=n)


def projector(columns: Tensor) -> Tensor:
    """Onto the span of orthogonal columns [N, k], whatever their rotation and signs: [N, N]."""
    unit = columns.double() / columns.double().norm(dim=0)
    return unit @ unit.t()


def assert_projectors_equal(ours: Tensor, exact: Tensor) -> None:
    torch.testing.assert_close(projector(ours), projector(exact), atol=1e-6, rtol=0)


def residual(data: Data, k: int) -> float:
    """The largest ||A v - lambda v|| over the k columns, taken to unit length."""
    n = data.num_nodes
    row, col = to_undirected(data.edge_index, num_nodes=n)
    root = torch.bincount(row, minlength=n).double().rsqrt()
    v = laplacian_pe(data, k).double() / n**0.5  # [N, k]
    av = torch.zeros_like(v).index_add(0, row, v[col] * (root[row] * root[col])[:, None])
    return float((av - v * (v * av).sum(0)).norm(dim=0).max())


def test_path_has_the_closed_form() -> None:
    n = 9
    pe = laplacian_pe(graph([(i, i + 1) for i in range(n - 1)], n), 4)
    i, j = torch.arange(n)[:, None], torch.arange(1, 5)
    root = torch.full((n, 1), 2.0).index_fill(0, torch.tensor([0, n - 1]), 1.0).sqrt()
    expected = root * torch.cos(torch.pi * i * j / (n - 1))  # [N, 4]
    for column in range(4):
        one = slice(column, column + 1)
        assert_projectors_equal(pe[:, one], expected[:, one])


@pytest.mark.parametrize("n", [7, 12])
def test_cycle_has_the_closed_form(n: int) -> None:
    pe, angle = laplacian_pe(graph([(i, (i + 1) % n) for i in range(n)], n), 4), torch.arange(n)
    for j in (1, 2):  # each eigenvalue twice
        wave = 2 * torch.pi * j * angle / n
        assert_projectors_equal(pe[:, 2 * j - 2 : 2 * j], torch.stack([wave.cos(), wave.sin()], 1))


def test_large_torus_has_all_four_copies() -> None:
    """One Lanczos vector finds a single copy of a repeated eigenvalue; here the first four are."""
    m, i = 40, torch.arange(1600).view(40, 40)
    edges = [torch.stack([i.flatten(), i.roll(1, d).flatten()]) for d in (0, 1)]
    pe = laplacian_pe(Data(edge_index=torch.cat(edges, 1), num_nodes=1600), 4)
    waves = [2 * torch.pi * t.flatten() / m for t in (i // m, i % m)]
    exact = torch.stack([f(wave) for wave in waves for f in (torch.cos, torch.sin)], 1)
    assert_projectors_equal(pe, exact)


def test_joined_triangles_are_told_apart() -> None:
    side = laplacian_pe(graph(TRIANGLES, 6), 1)[:, 0].sign()
    assert side[0] != 0 and side.tolist() == [side[0].item()] * 3 + [-side[0].item()] * 3


def test_components_and_isolated_nodes() -> None:
    """K3 and K4 have eigenvalues -1/2 twice and -1/3 three times once their 1 is left out."""
    edges = [*combinations((1, 2, 3), 2), *combinations((4, 5, 6, 7), 2)]
    data = graph(edges, 9)  # 0 and 8 have no edges
    pe = laplacian_pe(data, 5)
    assert (pe[[0, 8]] == 0).all()
    eye, k3_nodes, k4_nodes = torch.eye(9).double(), range(1, 4), range(4, 8)
    for columns, nodes in ((pe[:, :3], k4_nodes), (pe[:, 3:], k3_nodes)):
        inside = eye[list(nodes)].sum(0)
        expected = inside.diag() - projector(inside[:, None])
        torch.testing.assert_close(projector(columns), expected, atol=1e-6, rtol=0)
    with pytest.raises(ValueError, match="k = 6: expected at most 5"):
        laplacian_pe(data, 6)


def test_graph_is_undirected_and_simple() -> None:
    plain = laplacian_pe(graph(TRIANGLES, 6), 2)
    noisy = TRIANGLES[::-1] + [(b, a) for a, b in TRIANGLES[:3]] + [(4, 4)]
    assert torch.equal(laplacian_pe(graph(noisy, 6), 2), plain)


def test_renumbered_nodes_keep_their_place() -> None:
    data = random_graph(50, 6, seed=0)
    order = torch.randperm(50)  # node i is called order[i]
    other = laplacian_pe(Data(edge_index=order[data.edge_index], num_nodes=50), 4)
    torch.testing.assert_close(other[order], laplacian_pe(data, 4), atol=1e-4, rtol=0)


def test_residual() -> None:
    assert residual(run_full.load_graph("cora"), 8) < 1e-6
    assert residual(random_graph(3000, 10, seed=0), 8) < 1e-6


@settings(max_examples=15, deadline=None)
@given(st.integers(60, 150), st.floats(1, 8), st.integers(0, 99), st.integers(1, 6))
def test_filtered_solver_agrees_with_lapack(n: int, degree: float, seed: int, k: int) -> None:
    edges = random_graph(n, degree, seed).edge_index.numpy().astype(np.int32)
    adj = to_dense_adj(torch.from_numpy(edges).long(), max_num_nodes=n)[0].double()
    root = adj.sum(0).clamp(min=1).rsqrt()
    values = []
    for dense in (10**6, 0):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(positional, "DENSE", dense)
            v = torch.from_numpy(positional.eigenvectors(edges, n, k)).double() / n**0.5
        torch.testing.assert_close(v.t() @ v, torch.eye(k).double(), atol=1e-6, rtol=0)
        values.append((v * (root[:, None] * (adj @ (root[:, None] * v)))).sum(0))
    torch.testing.assert_close(values[1], values[0], atol=1e-6, rtol=0)
    assert (values[0].diff() < 1e-6).all()  # largest first


@pytest.mark.parametrize("n", [60, 1700])
def test_scale_sign_and_determinism(n: int, tmp_path: Path) -> None:
    data = random_graph(n, 8, seed=1)
    pe = laplacian_pe(data, 5, cache=tmp_path / "a")
    assert pe.dtype == torch.float32 and pe.shape == (n, 5) and pe.device.type == "cpu"
    torch.testing.assert_close(pe.square().mean(0), torch.ones(5))
    assert (pe.gather(0, pe.abs().argmax(0)[None]) > 0).all()
    assert torch.equal(laplacian_pe(data, 5, cache=tmp_path / "b"), pe)


def test_cache_is_used(tmp_path: Path) -> None:
    pe = laplacian_pe(graph(TRIANGLES, 6), 2, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    assert torch.equal(laplacian_pe(graph(TRIANGLES, 6), 2, cache=tmp_path), pe)
    np.savez(file, pe=np.full((6, 2), 7, np.float32))
    assert (laplacian_pe(graph(TRIANGLES[::-1], 6), 2, cache=tmp_path) == 7).all()
    for data, k in (
        (graph(TRIANGLES, 6), 1),
        (graph(TRIANGLES, 7), 2),
        (graph(TRIANGLES[1:], 6), 2),
    ):
        assert not (laplacian_pe(data, k, cache=tmp_path) == 7).any()
    assert len([*tmp_path.iterdir()]) == 4  # and no temporary file is left


@pytest.mark.parametrize("fault", ["empty", "cut", "flipped", "text", "pickle", "shape", "nan"])
def test_broken_cache_is_replaced(fault: str, tmp_path: Path) -> None:
    pe = laplacian_pe(graph(TRIANGLES, 6), 2, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    at = whole.index(pe.numpy().tobytes())
    flipped = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
    texts = {"empty": b"", "cut": whole[:-30], "flipped": flipped, "text": b"\x93NUMPY or not"}
    arrays = {"pickle": np.array([{}], object), "shape": np.ones((6, 3), np.float32)}
    if fault in texts:
        file.write_bytes(texts[fault])
    else:
        np.savez(file, pe=arrays.get(fault, np.full((6, 2), np.nan, np.float32)))
    assert torch.equal(laplacian_pe(graph(TRIANGLES, 6), 2, cache=tmp_path), pe)
    assert file.read_bytes()[: at + pe.nbytes] == whole[: at + pe.nbytes]
    assert [*tmp_path.iterdir()] == [file]


def test_no_cache_is_no_obstacle(tmp_path: Path) -> None:
    (file := tmp_path / "file").write_text("not a folder")
    for folder in (file, file / "below"):
        assert laplacian_pe(graph(TRIANGLES, 6), 2, cache=folder).shape == (6, 2)
    assert file.read_text() == "not a folder"


def test_default_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert str(positional.default_cache()).startswith("/") and tmp_path.is_dir()
    monkeypatch.delenv("NODEJEPA_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert positional.default_cache() == Path("/x/nodejepa")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/h")
    assert positional.default_cache() == Path("/h/.cache/nodejepa")


def test_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="k = 0: expected at least 1"):
        laplacian_pe(graph(TRIANGLES, 6), 0)
    with pytest.raises(ValueError, match="k = 6: expected at most 5"):
        laplacian_pe(graph(TRIANGLES, 6), 6)
    empty = torch.empty(2, 0, dtype=torch.long)
    with pytest.raises(ValueError, match="k = 1: expected at most 0"):
        laplacian_pe(Data(edge_index=empty, num_nodes=3), 1)
    with pytest.raises(ValueError, match="num_nodes = 500001: expected at most 500000.*fastrp"):
        laplacian_pe(Data(edge_index=empty, num_nodes=500_001), 8)
    monkeypatch.setattr(positional, "SWEEPS", 1)
    with pytest.raises(ValueError, match="k = 3: residual .* in 1 sweeps, expected 0.001"):
        laplacian_pe(random_graph(1600, 6, seed=0), 3)


def pair(cfg: Config, data: Data) -> tuple[LaplacianPredictor, MLPPredictor]:
    torch.manual_seed(3)
    ours = LaplacianPredictor(cfg, data, k=4)
    torch.manual_seed(3)
    return ours, MLPPredictor(cfg, data)


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("own_features", [False, True])
def test_mlp_starts_alike(cfg: Config, data: Data, depth: int, own_features: bool) -> None:
    cfg = replace(cfg, predictor=depth, own_features=own_features)
    ours, plain = pair(cfg, data)
    assert ours.state_dict().keys() - plain.state_dict().keys() == {"position.weight"}
    for name, tensor in plain.state_dict().items():
        assert torch.equal(ours.state_dict()[name], tensor)
    z, hidden = torch.randn(60, cfg.out * (1 + own_features)), torch.arange(60) % 3 == 0
    told = ours(z, hidden, Generator())
    torch.nn.init.zeros_(ours.position.weight)
    for at, rows in ((hidden, 20), (None, 60)):
        expected = plain(z, at, Generator())
        assert expected.shape == (rows, z.shape[1])
        assert torch.equal(ours(z, at, Generator()), expected)
    assert not torch.allclose(told, ours(z, hidden, Generator()))


def test_predictor_needs_layers(cfg: Config, data: Data) -> None:
    with pytest.raises(ValueError, match="predictor = 0"):
        LaplacianPredictor(replace(cfg, predictor=0), data)


def test_signs_come_from_the_generator(cfg: Config, data: Data) -> None:
    """One linear layer: its output less that of no position is W (signs * pe), node by node."""
    ours, plain = pair(replace(cfg, predictor=1), data)
    z, hidden, seen = torch.randn(60, 8), torch.arange(60) % 2 == 0, set()
    pe = laplacian_pe(data, 4)
    for seed in range(40):
        out = ours(z, hidden, Generator().manual_seed(seed))
        assert torch.equal(out, ours(z, hidden, Generator().manual_seed(seed)))
        signs = torch.randint(2, (4,), generator=Generator().manual_seed(seed)) * 2 - 1
        expected = plain(z + ours.position(pe * signs), hidden, Generator())
        torch.testing.assert_close(out, expected)
        seen.add(tuple(signs.tolist()))
    assert len(seen) > 10
    stream = Generator().manual_seed(0)
    assert len({ours(z, None, stream).sum().item() for _ in range(9)}) > 1


def losses(result: run_full.Result) -> list[float]:
    return [row["loss"] for row in result.state.rows]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_trains_through_the_seam(cfg: Config, data: Data, precision: str) -> None:
    cfg, bare = replace(cfg, precision=precision), Data(x=data.x, edge_index=data.edge_index)
    make = partial(LaplacianPredictor, k=4)
    ours = losses(run_full.train(cfg, bare, make_predictor=make))
    assert ours == losses(run_full.train(cfg, bare, make_predictor=make))
    assert len(ours) == cfg.epochs and ours != losses(run_full.train(cfg, bare))


def test_saved_state_continues(cfg: Config, data: Data) -> None:
    bare, make = Data(x=data.x, edge_index=data.edge_index), partial(LaplacianPredictor, k=4)
    whole = losses(run_full.train(cfg, bare, make_predictor=make))

    def stop(state: TrainState, row: dict[str, float]) -> None:
        if state.step == 4:  # judged, and kept, since there are no labels
            raise run_full.StopTraining

    old = run_full.train(cfg, bare, make_predictor=make, on_epoch=stop).state
    new = state_of(cfg, bare, make)
    new.step, new.rows = old.step, old.rows
    for name in ("encoder", "target_encoder", "predictor", "optimizer"):
        getattr(new, name).load_state_dict(copy.deepcopy(getattr(old, name).state_dict()))
    for name, stream in old.streams.items():
        new.streams[name].set_state(stream.get_state())
    assert losses(run_full.train(cfg, bare, make_predictor=make, state=new)) == whole
