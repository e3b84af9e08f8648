"""Claims about the masks and the neighbourhoods they grow, each with a test below.

1. Every MaskFn hides exactly round(ratio * N) nodes, at least one and never all; what it hides
   depends on the graph and its generator alone, not on how the edges are listed.
2. Where the graph says nothing, all of them hide what random_mask hides.
3. One block is the nodes nearest to its root: connected, and cut at random among equals.
4. A block reaches no farther than hops, holds no more than its share; more follow as needed.
5. A block does not grow through nodes that are hidden already.
6. degree_mask hides hubs first, or leaves, at random among equals.
7. A ball is PyG's k_hop_subgraph.
8. The graph is read once, and again after any change.
9. A wrong option is refused by name.
10. run_full.train takes them.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from scipy.sparse.csgraph import connected_components, shortest_path
from torch import Generator, Tensor
from torch_geometric.data import Data
from torch_geometric.utils import k_hop_subgraph, subgraph, to_undirected

import run_full
from nodejepa_ext.parts import masking
from nodejepa_ext.parts.masking import ball, bfs_mask, degree_mask, neighbours
from run_full import Config, MaskFn, random_mask

MASKS: dict[str, MaskFn] = {
    "random": random_mask,
    "bfs": bfs_mask,
    "bfs, 1 hop": partial(bfs_mask, hops=1),
    "bfs, of 4 nodes": partial(bfs_mask, hops=3, block=4),
    "bfs, 1 block": partial(bfs_mask, blocks=1),
    "bfs, 3 blocks": partial(bfs_mask, blocks=3),
    "hubs": degree_mask,
    "leaves": partial(degree_mask, first="leaves"),
}
every_mask = pytest.mark.parametrize("mask_fn", MASKS.values(), ids=MASKS.keys())
seeds = st.integers(0, 999)
ratios = st.floats(0, 1)


def graph(n: int, edges: Sequence[tuple[int, int]]) -> Data:
    pairs = torch.tensor(edges, dtype=torch.long).reshape(-1, 2)
    return Data(x=torch.zeros(n, 1), edge_index=pairs.t().contiguous())


def ring(n: int) -> Data:
    return graph(n, [(v, (v + 1) % n) for v in range(n)])


def star(leaves: int) -> Data:
    return graph(leaves + 1, [(0, v) for v in range(1, leaves + 1)])


@st.composite
def graphs(draw: st.DrawFn, connected: bool = False) -> Data:
    """2-30 nodes: components, isolated nodes, self-loops, duplicates, and perhaps a hub."""
    n = draw(st.integers(2, 30))
    node = st.integers(0, n - 1)
    edges = draw(st.lists(st.tuples(node, node), max_size=2 * n))
    if connected:  # every node joined to an earlier one
        edges += [(draw(st.integers(0, v - 1)), v) for v in range(1, n)]
    if draw(st.booleans()):
        edges += [(n // 2, v) for v in range(draw(node))]
    return graph(n, edges)


def hide(mask_fn: MaskFn, data: Data, ratio: float, seed: int = 0) -> Tensor:
    return mask_fn(data, ratio, Generator().manual_seed(seed))


def count(n: int, ratio: float) -> int:
    return min(max(round(ratio * n), 1), n - 1)


def ring_runs(hidden: Tensor) -> list[int]:
    """Lengths of the runs of hidden nodes on a ring, shortest first."""
    shift = int((~hidden).nonzero()[0])
    text = "".join("x" if h else " " for h in hidden.roll(-shift).tolist())
    return sorted(map(len, text.split()))


def pieces(data: Data, hidden: Tensor) -> int:
    """Connected components of the subgraph of the hidden nodes."""
    (row, col), _ = subgraph(hidden, data.edge_index, relabel_nodes=True, num_nodes=len(hidden))
    m = int(hidden.sum())
    return connected_components(sparse.coo_array((np.ones(len(row)), (row, col)), (m, m)))[0]


@every_mask
@given(data=graphs(), ratio=ratios, seed=seeds)
def test_contract(mask_fn: MaskFn, data: Data, ratio: float, seed: int) -> None:
    n, edges = len(data.x), data.edge_index.clone()
    hidden = hide(mask_fn, data, ratio, seed)
    assert hidden.dtype == torch.bool and hidden.shape == (n,) and hidden.device.type == "cpu"
    assert hidden.sum() == count(n, ratio)
    assert torch.equal(data.edge_index, edges)
    torch.manual_seed(seed + 1)
    np.random.seed(seed + 1)
    assert torch.equal(hide(mask_fn, data, ratio, seed), hidden)
    otherwise = Data(x=data.x, edge_index=torch.cat([edges, edges], 1).flip(0, 1))
    assert torch.equal(hide(mask_fn, otherwise, ratio, seed), hidden)
    assert torch.equal(
        hide(mask_fn, Data(x=data.x, edge_index=to_undirected(edges)), ratio, seed), hidden
    )


@every_mask
def test_contract_on_large_graphs(mask_fn: MaskFn) -> None:
    """Isolated nodes, a hub, both, and many small components; each mask takes milliseconds."""
    pairs = graph(20_000, [(v, v + 1) for v in range(0, 20_000, 2)])
    half = graph(20_000, [(0, v) for v in range(1, 10_000)])
    for data in (graph(20_000, []), star(19_999), half, pairs):
        for ratio in (0.0001, 0.5, 0.9999):
            assert hide(mask_fn, data, ratio).sum() == count(20_000, ratio)


@every_mask
def test_draws_differ(mask_fn: MaskFn) -> None:
    generator = Generator().manual_seed(0)
    drawn = {tuple(mask_fn(ring(50), 0.3, generator).tolist()) for _ in range(20)}
    assert len(drawn) > 15


@every_mask
@given(n=st.integers(2, 60), ratio=ratios, seed=seeds)
def test_without_edges_all_are_random_mask(
    mask_fn: MaskFn, n: int, ratio: float, seed: int
) -> None:
    data = graph(n, [(0, 0)])
    assert torch.equal(hide(mask_fn, data, ratio, seed), hide(random_mask, data, ratio, seed))


@given(data=graphs(), ratio=ratios, seed=seeds)
def test_blocks_of_one_are_random_mask(data: Data, ratio: float, seed: int) -> None:
    ours = hide(partial(bfs_mask, block=1), data, ratio, seed)
    assert torch.equal(ours, hide(random_mask, data, ratio, seed))


@given(data=graphs(connected=True), ratio=ratios, seed=seeds)
def test_one_block_is_the_nodes_nearest_to_its_root(data: Data, ratio: float, seed: int) -> None:
    hidden = hide(partial(bfs_mask, blocks=1), data, ratio, seed)
    n, ends = len(data.x), data.edge_index.numpy()
    rank = torch.randperm(n, generator=Generator().manual_seed(seed)).numpy()
    matrix = sparse.coo_array((np.ones(ends.shape[1]), tuple(ends)), (n, n)).tocsr()
    away = shortest_path(matrix, directed=False, unweighted=True, indices=rank.argmin())
    nearest = np.lexsort((rank, away))[: count(n, ratio)]
    assert set(hidden.nonzero()[:, 0].tolist()) == set(nearest.tolist())
    assert pieces(data, hidden) == 1


@given(data=graphs(connected=True), blocks=st.integers(1, 4), seed=seeds)
def test_blocks_are_connected_and_bounded(data: Data, blocks: int, seed: int) -> None:
    """Grown at once where about half of the nodes are hidden: 5 nodes and 3 hops at most."""
    adjacency, n = neighbours(data), len(data.x)
    rank = torch.randperm(n, generator=Generator().manual_seed(seed)).numpy()
    roots, most = np.argsort(rank)[:blocks], np.full(min(blocks, n), 5)
    hidden = np.zeros(n, bool)
    hidden[rank >= n // 2] = True
    hidden[roots] = False
    nodes = masking._grow(adjacency, roots, most, 3, rank, hidden)
    assert len(set(nodes)) == len(nodes) and not hidden[nodes].any()
    starts = [*np.flatnonzero(np.isin(nodes, roots)), len(nodes)]
    assert nodes[starts[:-1]].tolist() == roots.tolist()
    for start, stop in zip(starts, starts[1:], strict=False):
        assert 1 <= stop - start <= 5
        for end in range(start + 1, stop + 1):  # however short it is cut
            part = torch.zeros(n, dtype=torch.bool)
            part[nodes[start:end]] = True
            assert pieces(data, part) == 1
            assert set(nodes[start:end]) <= set(ball(adjacency, nodes[start], 3))


@pytest.mark.parametrize("seed", range(20))
def test_golden_ring(seed: int) -> None:
    """30 nodes; a block of h hops from any root is a run of 2 h + 1."""

    def runs(hide_nodes: int, **options: int) -> list[int]:
        return ring_runs(hide(partial(bfs_mask, **options), ring(30), hide_nodes / 30, seed))

    for hops in (1, 2, 7):
        assert runs(2 * hops + 1, hops=hops) == [2 * hops + 1]
    assert runs(4, hops=2) == [4]  # cut short
    assert runs(5, hops=1) in ([5], [2, 3])  # a second block, cut short
    assert runs(6, block=3) in ([3, 3], [6], [1, 5], [2, 4])
    assert runs(29, blocks=1) == [29]
    assert runs(12, blocks=2) in ([6, 6], [12])
    assert runs(4, blocks=9) == ring_runs(hide(random_mask, ring(30), 4 / 30, seed))


def test_exhausted_components_bring_more_blocks() -> None:
    """Two cliques of ten: 18 nodes are one whole clique and eight of the other."""
    cliques = [(a + c, b + c) for c in (0, 10) for a in range(10) for b in range(a)]
    for options in ({"blocks": 1}, {"hops": 1}):
        hidden = hide(partial(bfs_mask, **options), graph(20, cliques), 0.9)
        assert sorted([int(hidden[:10].sum()), int(hidden[10:].sum())]) == [8, 10]
    hidden = hide(partial(bfs_mask, hops=1), graph(20, cliques), 0.5)
    assert int(hidden[:10].sum()) in (0, 10)


def test_blocks_do_not_grow_through_hidden_nodes() -> None:
    """A path of five with its middle hidden: a block from one end stops there."""
    path = neighbours(graph(5, [(0, 1), (1, 2), (2, 3), (3, 4)]))
    hidden, rank = np.arange(5) == 2, np.arange(5)
    nodes = masking._grow(path, np.array([0]), np.array([5]), 5, rank, hidden)
    assert nodes.tolist() == [0, 1]


def test_golden_growth() -> None:
    """A path 0-6, roots 5 and 1: they meet at 3, which goes to the first."""
    path = neighbours(graph(7, [(v, v + 1) for v in range(6)]))
    grow = partial(masking._grow, path, np.array([5, 1]), hops=2, hidden=np.zeros(7, bool))
    rank = np.array([6, 5, 4, 3, 2, 1, 0])
    assert grow(most=np.array([9, 9]), rank=rank).tolist() == [5, 6, 4, 3, 1, 2, 0]
    assert grow(most=np.array([2, 9]), rank=rank).tolist() == [5, 6, 1, 2, 0, 3]


def test_star_is_cut_at_random() -> None:
    """Half of a star's 20 leaves: each is hidden about half the time, whatever its number."""
    times = sum(hide(bfs_mask, star(20), 11 / 21, seed).int() for seed in range(400))
    assert times[0] == 400  # the hub: the root, or next to it
    assert times[1:].min() > 160 and times[1:].max() < 240  # 200 +- 4 standard deviations


def test_golden_degrees() -> None:
    """A star of leaves 1-5 and a ring 6-9 joined to its hub by 0-6: degrees 6, 1 x 5, 3, 2 x 3."""
    edges = [(0, v) for v in range(1, 7)] + [(6, 7), (7, 8), (8, 9), (9, 6), (9, 9), (2, 0)]
    data, leaves = graph(10, edges), partial(degree_mask, first="leaves")
    for seed in range(10):
        assert hide(degree_mask, data, 0.2, seed).nonzero()[:, 0].tolist() == [0, 6]
        assert hide(degree_mask, data, 0.5, seed).nonzero()[:, 0].tolist() == [0, 6, 7, 8, 9]
        assert hide(leaves, data, 0.5, seed).nonzero()[:, 0].tolist() == [1, 2, 3, 4, 5]
        assert hide(leaves, data, 0.8, seed).nonzero()[:, 0].tolist() == [1, 2, 3, 4, 5, 7, 8, 9]
    drawn = {tuple(hide(leaves, data, 0.2, seed).nonzero()[:, 0].tolist()) for seed in range(200)}
    assert len(drawn) == 10  # every pair of leaves


@given(n=st.integers(3, 40), ratio=ratios, seed=seeds)
def test_equal_degrees_are_random_mask(n: int, ratio: float, seed: int) -> None:
    for first in ("hubs", "leaves"):
        ours = hide(partial(degree_mask, first=first), ring(n), ratio, seed)
        assert torch.equal(ours, hide(random_mask, ring(n), ratio, seed))


@given(data=graphs(), hops=st.integers(0, 6), root=st.integers(0, 29))
def test_ball_equals_pyg(data: Data, hops: int, root: int) -> None:
    n = len(data.x)
    both = to_undirected(data.edge_index, num_nodes=n)
    expected = k_hop_subgraph(root % n, hops, both, num_nodes=n)[0]
    ours = ball(neighbours(data), root % n, hops)
    assert ours.dtype == np.int64 and ours.tolist() == expected.tolist()


def test_ball_equals_pyg_on_cora() -> None:
    cora = run_full.load_graph("cora")
    adjacency = neighbours(cora)
    for root in range(0, 2708, 90):
        for hops in (1, 2, 3):
            expected = k_hop_subgraph(root, hops, cora.edge_index, num_nodes=2708)[0]
            assert np.array_equal(ball(adjacency, root, hops), expected)


def test_golden_neighbours() -> None:
    """0-1 twice, 1-2 both ways, a self-loop at 2, 3 isolated."""
    found = neighbours(graph(4, [(1, 0), (1, 0), (1, 2), (2, 1), (2, 2)]))
    assert found.indptr.tolist() == [0, 1, 3, 4, 4] and found.indices.tolist() == [1, 0, 2, 1]
    nodes, degree = found.around(np.array([1, 3, 0]))
    assert nodes.tolist() == [0, 2, 1] and degree.tolist() == [2, 0, 1]


def test_graph_is_read_once() -> None:
    data = ring(9)
    first = neighbours(data)
    assert neighbours(data) is first
    assert neighbours(Data(x=torch.ones(9, 3), edge_index=data.edge_index)) is first


def test_graph_is_read_again_after_any_change() -> None:
    data = ring(9)
    neighbours(data)
    data.edge_index[1, 0] = 5  # in place
    assert ball(neighbours(data), 0, 1).tolist() == [0, 5, 8]
    data.edge_index = ring(9).edge_index  # another tensor
    assert ball(neighbours(data), 0, 1).tolist() == [0, 1, 8]
    data.x = torch.zeros(11, 1)  # more nodes, the same edges
    assert len(neighbours(data).indptr) == 12
    for n in range(3, 30):  # a new tensor where a dead one lay
        del data
        data = ring(n)
        assert len(neighbours(data).indices) == 2 * n
    with torch.inference_mode():  # these tensors do not count their changes
        data = ring(9)
        neighbours(data)
        data.edge_index[1, 0] = 5
        assert ball(neighbours(data), 0, 1).tolist() == [0, 5, 8]


def test_edges_are_not_kept_alive() -> None:
    data = ring(9)
    neighbours(data)
    assert masking._latest and masking._latest[0]() is data.edge_index
    del data
    gc.collect()
    assert masking._latest[0]() is None


@pytest.mark.parametrize(
    "options, message",
    [
        ({"hops": 0}, "hops = 0: expected an integer of at least 1"),
        ({"hops": 1.5}, "hops = 1.5: expected an integer of at least 1"),
        ({"block": -1}, "block = -1: expected an integer of at least 0"),
        ({"blocks": -2}, "blocks = -2: expected an integer of at least 0"),
        ({"block": 3, "blocks": 2}, "block = 3, blocks = 2: expected one of the two to be 0"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        hide(partial(bfs_mask, **options), ring(9), 0.5)


def test_wrong_order_and_ball_are_refused() -> None:
    with pytest.raises(ValueError, match="^first = 'stars': expected hubs or leaves$"):
        hide(partial(degree_mask, first="stars"), ring(9), 0.5)
    for root, hops in ((9, 1), (-1, 1), (0, -1)):
        with pytest.raises(ValueError, match=f"root = {root}, hops = {hops}: expected 0 to 8, "):
            ball(neighbours(ring(9)), root, hops)


def test_train_takes_them(cfg: Config, data: Data) -> None:
    def losses(mask_fn: MaskFn) -> list[float]:
        state = run_full.train(cfg, data, mask_fn=mask_fn).state
        return [row["loss"] for row in state.rows] if state else []

    runs = [losses(mask_fn) for mask_fn in (random_mask, bfs_mask, degree_mask)]
    assert all(len(run) == cfg.epochs and np.isfinite(run).all() for run in runs)
    assert len(set(map(tuple, runs))) == 3
    assert losses(bfs_mask) == runs[1]
    assert losses(partial(bfs_mask, block=1)) == runs[0]  # all else is drawn from other streams
