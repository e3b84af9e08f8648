"""Claims about the networks, each with a test below.

1. A GCN layer equals PyG's GCNConv, with edge weights and without, a GAT layer PyG's GATConv, on
   the same parameters.
2. CSR, COO and dense forms of the adjacency and of x give the same numbers and gradients, in an
   encoder and in a whole training.
3. PReLU equals torch's: values and gradients, whatever the slope; in bf16 it is off by the
   rounding of bf16.
4. The features of hidden nodes have no influence on the context; [MASK] has.
5. The encoder is equivariant under permutation of the nodes.
6. Weights of 1 change nothing; views keep the weights of their edges; gat refuses weights.
7. A [REG] node joins all nodes; own features join x; neither changes the number of rows.
8. Neighbours in features are those of scikit-learn, share their weight, and join a
   graph once; a node without features has none.
9. A sparse product has the gradient of the dense one.
10. The skip of the input is the formula written out, hidden nodes or none; in one layer it is none.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import graph_of
from sklearn.neighbors import NearestNeighbors
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GATConv, GCNConv
from torch_geometric.utils import to_undirected

import run_full
from run_full import Config, Encoder, PReLU


def linear_layer(cfg: Config, data: Data) -> Encoder:
    """One layer, no norm: z = conv(x) + bias."""
    encoder = Encoder(replace(cfg, layers=1, norm="none", skip="none"), data.x.shape[1])
    nn.init.normal_(encoder.layers[0].bias)
    return encoder


def test_gcn_layer_equals_pyg(cfg: Config, data: Data, sparse_data: Data) -> None:
    for graph in (data, sparse_data):
        encoder, conv = linear_layer(cfg, graph), GCNConv(graph.x.shape[1], cfg.out)
        conv.lin.weight.data = encoder.layers[0].weight.data.t().contiguous()
        conv.bias.data = encoder.layers[0].bias.data
        ours = encoder(graph_of(graph, cfg))
        torch.testing.assert_close(ours, conv(graph.x, to_undirected(graph.edge_index)))


def weighted(data: Data) -> Data:
    """Symmetric weights, each edge in both directions."""
    edges = to_undirected(data.edge_index)
    return Data(x=data.x, edge_index=edges, edge_weight=1.0 + (edges.sum(0) % 7) / 3)


def test_weighted_gcn_layer_equals_pyg(cfg: Config, data: Data) -> None:
    graph, encoder = weighted(data), linear_layer(cfg, data)
    conv = GCNConv(data.x.shape[1], cfg.out)
    conv.lin.weight.data = encoder.layers[0].weight.data.t().contiguous()
    conv.bias.data = encoder.layers[0].bias.data
    theirs = conv(graph.x, graph.edge_index, graph.edge_weight)
    torch.testing.assert_close(encoder(graph_of(graph, cfg)), theirs)


def test_unit_weights_change_nothing(cfg: Config, data: Data) -> None:
    edges = to_undirected(data.edge_index)
    unit = Data(x=data.x, edge_index=edges, edge_weight=torch.ones(edges.shape[1]))
    losses = [[row["loss"] for row in run_full.train(cfg, g).state.rows] for g in (data, unit)]
    assert losses[0] == losses[1]


def test_views_keep_the_weights_of_their_edges(cfg: Config, data: Data) -> None:
    graph = weighted(data)
    view = graph_of(graph, cfg).view(0.0, 0.5, torch.Generator().manual_seed(0))
    left = view.adj.to_dense()
    row, col = view.entries
    weight = torch.where(row == col, 1.0, 1.0 + ((row + col) % 7) / 3)
    degree = torch.zeros(60).index_add(0, row, weight)
    assert len(row) < len(graph.edge_weight)
    torch.testing.assert_close(left[row, col], weight * (degree[row] * degree[col]).rsqrt())


def test_gat_refuses_weights(cfg: Config, data: Data) -> None:
    with pytest.raises(ValueError, match="encoder = gat"):
        graph_of(weighted(data), replace(cfg, encoder="gat"))


def test_gat_layer_equals_pyg(cfg: Config, data: Data) -> None:
    encoder = linear_layer(replace(cfg, encoder="gat", heads=2), data)
    layer, conv = encoder.layers[0], GATConv(data.x.shape[1], cfg.out // 2, heads=2)
    conv.lin.weight.data = layer.weight.data.t().contiguous()
    conv.att_src.data, conv.att_dst.data = layer.gat.att_src.data, layer.gat.att_dst.data
    conv.bias.data = layer.bias.data
    ours = encoder(graph_of(data, cfg))
    torch.testing.assert_close(ours, conv(data.x, to_undirected(data.edge_index)))


def coo(index: Tensor, value: Tensor, shape: tuple[int, ...]) -> Tensor:
    """As `run_full.matrix` where there are no products of CSR."""
    return torch.sparse_coo_tensor(index, value, shape, is_coalesced=True, check_invariants=False)


def test_csr_coo_and_dense_agree(
    cfg: Config, sparse_data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = replace(cfg, own_features=True, embed_hops=2, target_hops=1)
    csr = graph_of(sparse_data, own)
    losses = [run_full.train(own, sparse_data).state.rows]
    with monkeypatch.context() as patch:
        patch.setattr(run_full, "matrix", coo)
        other = graph_of(sparse_data, own)
        losses.append(run_full.train(own, sparse_data).state.rows)
    dense = replace(csr, adj=csr.adj.to_dense(), x=csr.x.to_dense())
    assert csr.adj.layout == csr.x.layout == torch.sparse_csr
    assert other.adj.layout == other.x.layout == torch.sparse_coo
    hidden = torch.arange(60) % 3 == 0
    encoder = Encoder(cfg, sparse_data.x.shape[1])
    nn.init.normal_(encoder.mask)
    results = []
    for form in (csr, other, dense):
        encoder.zero_grad()
        z = encoder(form, hidden)
        z.square().sum().backward()
        results.append((z, encoder.layers[0].weight.grad.clone(), encoder.mask.grad.clone()))
    for found in results[1:]:
        for a, b in zip(found, results[0], strict=True):
            assert (a - b).norm() < 1e-5 * b.norm()
    for one, two in zip(*losses, strict=True):
        assert one["loss"] == pytest.approx(two["loss"], rel=1e-5)


@pytest.mark.parametrize("slope", [0.25, 0.0, -0.5])
@pytest.mark.parametrize("shape", [(7, 3), (1100, 5)])
def test_prelu_equals_stock(shape: tuple[int, int], slope: float) -> None:
    torch.manual_seed(0)
    x, g, found = torch.randn(shape), torch.randn(shape), []
    for act in (PReLU(init=slope), nn.PReLU(init=slope)):
        own = x.clone().requires_grad_()
        (y := act(own)).backward(g)
        found.append((y, own.grad, act.weight.grad))
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-5)


def test_prelu_in_bf16() -> None:
    torch.manual_seed(0)
    x, g = torch.randn(1100, 8).bfloat16(), torch.randn(1100, 8).bfloat16()
    low, exact = x.clone().requires_grad_(), x.float().requires_grad_()
    ours, stock = PReLU(), nn.PReLU()
    (y := ours(low)).backward(g)
    (expected := stock(exact)).backward(g.float())
    assert y.dtype == low.grad.dtype == torch.bfloat16 and ours.weight.grad.dtype == torch.float32
    pairs = (y, expected), (low.grad, exact.grad), (ours.weight.grad, stock.weight.grad)
    for rough, fine in pairs:
        assert (rough.float() - fine).norm() < 0.01 * fine.norm()


@pytest.mark.parametrize("encoder", ["gcn", "gat"])
def test_hidden_features_have_no_influence(
    cfg: Config, data: Data, sparse_data: Data, encoder: str
) -> None:
    cfg = replace(cfg, encoder=encoder, own_features=True)
    hidden = torch.arange(60) % 2 == 0
    for graph in (data, sparse_data):
        other = graph.clone()
        other.x = torch.where(hidden[:, None], torch.zeros(()), graph.x)
        other.x[0, 0] = 9.0  # node 0 is hidden
        net = Encoder(cfg, graph.x.shape[1])
        a, b = graph_of(graph, cfg), graph_of(other, cfg)
        torch.testing.assert_close(net(a, hidden), net(b, hidden), rtol=1e-6, atol=1e-6)
        before = net(a, hidden)
        nn.init.normal_(net.mask)
        assert not torch.allclose(net(a, hidden), before)
        seen = (net(a) - net(b)).abs().max()
        assert seen > 1e-3  # unhidden, the same change is visible


@pytest.mark.parametrize("changes", [{}, {"encoder": "gat"}, {"reg_node": True, "hops": 2}])
def test_permutation_equivariance(cfg: Config, data: Data, changes: dict[str, object]) -> None:
    cfg = replace(cfg, **changes)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(1))
    place = torch.empty(60, dtype=torch.long).scatter_(0, order, torch.arange(60))
    permuted = Data(x=data.x[order], edge_index=place[data.edge_index])
    encoder = Encoder(cfg, data.x.shape[1]).eval()
    z, z_permuted = encoder(graph_of(data, cfg)), encoder(graph_of(permuted, cfg))
    torch.testing.assert_close(z[order], z_permuted, rtol=1e-4, atol=1e-5)


def test_reg_node_and_own_features(cfg: Config, data: Data) -> None:
    view = graph_of(data, cfg, reg_node=True)
    dense = view.adj.to_dense()
    assert dense.shape == (61, 61) and (dense[60] > 0).all() and (dense[:, 60] > 0).all()
    dropped = view.view(0.0, 1.0, torch.Generator())
    assert (dropped.adj.to_dense()[60] > 0).all()  # its edges are never dropped
    encoder = Encoder(replace(cfg, reg_node=True, own_features=True), data.x.shape[1])
    z = encoder(view)
    assert z.shape == (60, 2 * cfg.out)
    own = encoder(view)[:, cfg.out :]
    torch.testing.assert_close(own, data.x @ encoder.own)


def test_golden_adjacency_and_hops(cfg: Config) -> None:
    """A path of three nodes, with a duplicate, a reverse and a self-loop among its edges."""
    edge_index = torch.tensor([[0, 1, 1, 1, 2], [1, 0, 2, 2, 2]])
    path = Data(x=torch.eye(3), edge_index=edge_index)
    expected = torch.tensor([[1 / 2, 6**-0.5, 0], [6**-0.5, 1 / 3, 6**-0.5], [0, 6**-0.5, 1 / 2]])
    view = graph_of(path, cfg)
    torch.testing.assert_close(view.adj.to_dense(), expected)
    encoder = linear_layer(replace(cfg, hops=3), path)
    ours = encoder(view)
    weight, bias = encoder.layers[0].weight, encoder.layers[0].bias
    torch.testing.assert_close(ours, expected.matrix_power(3) @ weight + bias)


def test_bf16_stays_close(cfg: Config, sparse_data: Data) -> None:
    encoder = Encoder(cfg, sparse_data.x.shape[1])
    exact = encoder(graph_of(sparse_data, cfg))
    with torch.autocast("cpu", torch.bfloat16):
        rough = encoder(graph_of(sparse_data, cfg, precision="bf16"))
    assert rough.dtype == torch.float32
    assert F.cosine_similarity(exact, rough).min() > 0.99
    assert run_full.placement(replace(cfg, precision="bf16"))[1]


@pytest.mark.parametrize("kind", ["numbers", "words by rows", "words by columns"])
def test_neighbours_are_those_of_sklearn(data: Data, kind: str) -> None:
    n, k = len(data.x), 3
    x = torch.rand(n, 24, generator=torch.Generator().manual_seed(1))
    x = x * (x > 0.5)
    x[0] = 0
    words = (x > 0).float()
    rare = x if kind == "numbers" else words * (n / words.sum(0)).log()
    if kind == "words by rows":
        x = words / words.sum(1, keepdim=True).clamp(min=1)
    elif kind == "words by columns":
        x = (words - words.mean(0)) / words.std(0)
    near = NearestNeighbors(n_neighbors=k + 1, metric="cosine").fit(rare[1:].numpy())
    expected = {
        (i + 1, int(j) + 1)
        for i, row in enumerate(near.kneighbors(return_distance=False, n_neighbors=k))
        for j in row
    }
    joined = run_full.join_neighbours(Data(x=x, edge_index=data.edge_index), k, 1.5)
    found = joined.edge_index[:, data.edge_index.shape[1] :]
    assert {*map(tuple, found.t().tolist())} == expected
    weight = joined.edge_weight[data.edge_index.shape[1] :]
    assert torch.equal(weight, torch.full((k * (n - 1),), 1.5 / k))


def test_neighbours_join_a_graph_once(cfg: Config, data: Data) -> None:
    joined = run_full.join_neighbours(data, 2, 1.0)
    whole, by_hand = graph_of(data, replace(cfg, neighbours=2)), graph_of(joined, cfg)
    assert torch.equal(whole.adj.to_dense(), by_hand.adj.to_dense())
    plain = graph_of(data, cfg)
    assert whole.edges.shape[1] > plain.edges.shape[1]
    kept = (whole.weight == 1).sum()  # an edge that is a neighbour too keeps its weight
    assert kept == len(plain.weight) and np.isin(whole.weight, [1, 0.5]).all()
    assert graph_of(data, replace(cfg, neighbours=1000)).edges.numel()  # more than there are


def test_gat_refuses_neighbours(cfg: Config) -> None:
    with pytest.raises(ValueError, match="neighbours = 2: expected 0 with encoder gat"):
        replace(cfg, encoder="gat", neighbours=2)


@pytest.mark.parametrize("layout", [run_full.matrix, coo])
def test_a_sparse_product_has_the_dense_gradient(layout: Any) -> None:
    torch.manual_seed(0)
    dense = torch.rand(9, 14) * (torch.rand(9, 14) < 0.3)
    a = dense.to_sparse_coo().coalesce()
    b, g = torch.randn(14, 5, requires_grad=True), torch.randn(9, 5)
    (out := run_full.product(layout(a.indices(), a.values(), a.shape), b)).backward(g)
    torch.testing.assert_close((out, b.grad), (dense @ b, dense.t() @ g))


@pytest.mark.parametrize("hidden", [None, torch.tensor([False, True, False, False])])
def test_skip_of_the_input_by_hand(hidden: Tensor | None, cfg: Config) -> None:
    """A path of four nodes; three linear layers but for PReLU between them."""
    path = Data(x=torch.rand(4, 3), edge_index=torch.tensor([[0, 1, 2], [1, 2, 3]]))
    own = replace(cfg, layers=3, hidden=5, out=2, norm="none", skip="input")
    encoder = Encoder(own, 3)
    for parameter in encoder.parameters():
        nn.init.normal_(parameter)
    first, second, third = encoder.layers
    degree = torch.tensor([2.0, 3.0, 3.0, 2.0])
    edges = torch.eye(4) + torch.diag(torch.ones(3), 1) + torch.diag(torch.ones(3), -1)
    adj = edges * (degree[:, None] * degree).rsqrt()
    x = path.x if hidden is None else torch.where(hidden[:, None], encoder.mask, path.x)
    h = F.prelu(adj @ x @ first.weight + first.bias, first.finish[1].weight)
    h = adj @ (h + x @ encoder.inputs[0]) @ second.weight + second.bias
    h = F.prelu(h, second.finish[1].weight)
    expected = adj @ (h + x @ encoder.inputs[1]) @ third.weight + third.bias
    torch.testing.assert_close(encoder(graph_of(path, own), hidden), expected)


def test_skip_of_the_input_needs_two_layers(cfg: Config, data: Data) -> None:
    one = replace(cfg, layers=1, epochs=2)
    states = [run_full.train(replace(one, skip=skip), data).state for skip in ("none", "input")]
    assert states[0].rows == states[1].rows
    assert run_full.train(replace(one, skip="linear"), data).state.rows != states[0].rows
