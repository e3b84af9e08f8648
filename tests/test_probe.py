"""Claims about judging, each with a test below.

1. Test nodes given an out-of-range class change nothing before `score_test`.
2. All labels shuffled: the pre-training losses are bit-equal.
3. The probe is the textbook one: equal to scikit-learn on the full features at the chosen C.
4. Ties go to the stronger regularisation, epochs to the earliest best.
5. Effective rank, pairwise cosine and smallest std on inputs with known values.
6. latent_loss and decorrelation equal their formulas written out.
7. SGC and raw features: the propagated features are those of the formula.
8. An embedding that is not finite has no judgement, but exit code 7.
9. The embedded graphs are the published ones; a changed byte is refused.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch_geometric.data import Data
from torch_geometric.transforms import NormalizeFeatures

import run_full
from run_full import Config, Graph, Result, RunError, linear_probe, score_test, train


def controls_of(data: Data, cfg: Config) -> dict[str, Result]:
    return run_full.controls(Graph.of(data, cfg))


def test_test_labels_are_not_seen(cfg: Config, data: Data) -> None:
    honest = train(cfg, data)
    spoilt = data.clone()
    spoilt.y[spoilt.test_mask] = 10**6
    blind = train(cfg, spoilt)
    assert torch.equal(honest.z, blind.z) and honest.state.rows == blind.state.rows
    assert np.array_equal(honest.predicted, blind.predicted) and honest.c == blind.c
    control, blind_control = controls_of(data, cfg), controls_of(spoilt, cfg)
    assert {k: r.val for k, r in control.items()} == {k: r.val for k, r in blind_control.items()}
    assert score_test(honest) > 0.3 and score_test(blind) == 0.0


def test_shuffled_labels_leave_the_losses_alone(cfg: Config, data: Data) -> None:
    shuffled = data.clone()
    shuffled.y = data.y[torch.randperm(60, generator=torch.Generator().manual_seed(3))]
    a, b = train(cfg, data).state.rows, train(cfg, shuffled).state.rows
    assert [row["loss"] for row in a] == [row["loss"] for row in b]
    assert [row.get("val") for row in a] != [row.get("val") for row in b]


def test_probe_equals_scikit_learn(data: Data) -> None:
    z = torch.randn(60, 300, generator=torch.Generator().manual_seed(0))  # D > nodes
    z[:, :3] += 2 * torch.nn.functional.one_hot(data.y)
    result = linear_probe(z, data)
    rows = torch.nn.functional.normalize(z.double())
    if result.scaling == "standardised":
        rows = (z.double() - z.double().mean(0)) / z.double().std(0) / math.sqrt(300)
    full = LogisticRegression(C=result.c, max_iter=10000, tol=1e-8)
    full.fit(rows[data.train_mask], data.y[data.train_mask])
    agree = (full.predict(rows) == result.predicted).mean()
    assert agree > 0.98  # both converge, to their tolerance
    assert result.val == (result.predicted == data.y.numpy())[data.val_mask.numpy()].mean()


def test_an_embedding_that_is_not_finite_is_refused(data: Data) -> None:
    z = torch.randn(60, 4)
    z[7, 1] = float("inf")
    with pytest.raises(RunError, match="the embedding is not finite") as caught:
        linear_probe(z, data)
    assert caught.value.args[1] == 7


def test_ties_go_to_the_stronger_regularisation(data: Data) -> None:
    z = torch.nn.functional.one_hot(data.y).float()  # separable: every C scores 1
    result = linear_probe(z, data)
    assert (result.val, result.c, result.scaling) == (1.0, 2.0**-6, "standardised")


def test_the_earliest_best_epoch_is_kept(cfg: Config, data: Data) -> None:
    state = train(replace(cfg, lr=0.0, momentum=1.0, norm="none"), data).state
    assert state.best["epoch"] == cfg.eval_every  # nothing changes, so the first wins
    rows = [row for row in train(replace(cfg, epochs=20), data).state.rows if "val" in row]
    best = max(rows, key=lambda row: (row["val"], -row["epoch"]))
    again = train(replace(cfg, epochs=20), data)
    assert (again.state.best["epoch"], again.val) == (best["epoch"], best["val"])


def test_collapse_meters() -> None:
    assert run_full.effective_rank(torch.ones(9, 4)) == pytest.approx(1.0)
    line = torch.arange(9.0)[:, None] * torch.tensor([[1.0, 2.0, 3.0]])
    assert run_full.effective_rank(line) == pytest.approx(1.0, abs=1e-3)
    axes = torch.cat([torch.eye(4), -torch.eye(4)])
    assert run_full.effective_rank(axes) == pytest.approx(4.0)
    meters = run_full.collapse(axes)
    assert meters["cosine"] == pytest.approx(-1 / 7)  # 4 opposite pairs of 28
    assert meters["min_std"] == pytest.approx(math.sqrt(2 / 7))
    assert run_full.collapse(torch.ones(5, 3))["cosine"] == pytest.approx(1.0)


def test_losses_equal_their_formulas() -> None:
    g = torch.Generator().manual_seed(0)
    a, b = torch.randn(50, 4, generator=g) + 1, torch.randn(50, 4, generator=g)
    cosine = sum(float(p @ t / p.norm() / t.norm()) for p, t in zip(a, b, strict=True)) / 50
    assert run_full.latent_loss("cosine", a, b).item() == pytest.approx(-cosine, rel=1e-5)
    corr = [np.corrcoef(a[:, d], b[:, d])[0, 1] for d in range(4)]
    assert run_full.latent_loss("standardised", a, b).item() == pytest.approx(-sum(corr), rel=1e-4)
    terms = [np.square(np.corrcoef(z.numpy().T) - np.eye(4)).sum() for z in (a, b)]
    assert run_full.decorrelation(a, b, g).item() == pytest.approx(sum(terms), rel=1e-4)


def test_controls(cfg: Config, data: Data) -> None:
    results = run_full.controls(Graph.of(data, cfg), 4)
    assert torch.equal(results["raw features"].z, data.x)
    adj = Graph.of(data, cfg).adj.to_dense()
    powers = [adj.matrix_power(k) @ data.x for k in range(1, 5)]
    assert any(torch.allclose(results["SGC"].z, p, atol=1e-5) for p in powers)
    assert results["SGC"].val == max(linear_probe(p, data).val for p in powers)
    graph = Graph.of(data, replace(cfg, neighbours=2, neighbour_weight=0.5))
    adj = graph.adj.to_dense()
    joined = run_full.controls(graph, 4)
    powers = [adj.matrix_power(k) @ data.x for k in range(1, 5)]
    assert joined.pop("SGC, our input").val == max(linear_probe(p, data).val for p in powers)
    assert {k: r.val for k, r in joined.items()} == {k: r.val for k, r in results.items()}


PUBLISHED = {
    "cora": (2708, 5278, 1433, 7, 140),
    "citeseer": (3327, 4552, 3703, 6, 120),
    "pubmed": (19717, 44324, 500, 3, 60),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_embedded_graphs(name: str) -> None:
    data, (n, e, f, classes, labelled) = run_full.load_graph(name), PUBLISHED[name]
    assert data.x.shape == (n, f) and data.edge_index.shape == (2, 2 * e)
    assert int(data.y.max()) + 1 == classes and data.is_undirected()
    sizes = [int(data[f"{part}_mask"].sum()) for part in ("train", "val", "test")]
    assert sizes == [labelled, 500, 1000]
    whole = Data(x=data.x.clone(), edge_index=data.edge_index)
    torch.testing.assert_close(NormalizeFeatures()(whole).x, data.x)  # already normalised


def test_changed_or_missing_graph_is_refused(tmp_path: Path) -> None:
    source = Path(run_full.__file__).parent / "nodejepa_ext/datasets/cora.npz"
    content = bytearray(source.read_bytes())
    content[1000] ^= 1
    (tmp_path / "cora.npz").write_bytes(content)
    with pytest.raises(RunError, match=r"cora\.npz.*SHA-256.*expected 01754b72") as caught:
        run_full.load_graph("cora", tmp_path)
    assert caught.value.args[1] == 3
    with pytest.raises(RunError, match=r"citeseer\.npz.*--data DIR"):
        run_full.load_graph("citeseer", tmp_path)
    with pytest.raises(ValueError, match="expected one of cora, citeseer, pubmed"):
        run_full.load_graph("corra")
