"""Claims about training, each with a test below.

1.  Golden losses: the first losses on a tiny graph are the recorded ones, for each kind of run.
2.  The defaults are not special: passed explicitly they give equal results.
3.  Every seam is used: mask, predictor, regulariser, hook, state; others below.
4.  The target gets no gradient; momentum 1 freezes it, 0 copies it, buffers included.
5.  frozen never moves, online sends gradients through both branches.
6.  Schedules: end points of the learning rate and the momentum.
7.  The same seed twice is bit-equal, whatever the ambient random state; another seed is not.
8.  A run saved in the middle and continued is bit-equal to one never interrupted.
9.  Streams are separate: a changed mask leaves views and initial weights alone.
10. Views: an edge drop keeps symmetry and the asked rate; feature columns too.
11. A loss that is not finite ends the run with code 7 and names the first bad tensor.
12. The directions of a step, each with its own backward pass, have the gradient of their sum; a
    run with a regulariser, or gradients through both branches, has one backward pass.
13. It learns: on the block model the probe of a trained encoder beats that of raw features.
14. The graph is built once, whatever is judged; every epoch to be judged, once, the last as well.
15. The data passed in is not changed, and may lie on another device.
16. A sampler and an embedder of the whole graph are the default; an encoder of one's own is used.
17. The rule decides which epoch is kept.
18. Running statistics of the target come by the moving average alone.
19. Losses looked at every ten steps, as on a GPU, are those looked at every step; the hook is told
    of each epoch once, in order, when they are looked at; a loss that is not finite has its epoch.
20. A step of `best` has nothing that a GPU waits for but the two draws of edges, which are on the
    cpu; one of `card` picks rows of hidden nodes by a mask: a guess, its gradient, a target.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import graph_of, state_of
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator, Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch_geometric.data import Data

import run_full
from run_full import Config, MLPPredictor, RunError, StopTraining, TrainState, train

GOLDEN = Path(__file__).parent / "golden_losses.json"
KINDS: dict[str, dict[str, Any]] = {
    "card": {"skip": "linear"},
    "card, gat": {"encoder": "gat", "heads": 2, "skip": "linear"},
    "bgrl": {"mask": 0.0},
    "cca": {"target": "online", "predictor": 0, "directions": 1, "loss_nodes": "all"}
    | {"loss": "standardised", "regulariser": "decorrelation", "norm": "none"},
    "everything": {"reg_node": True, "own_features": True, "target_hops": 2, "hops": 2}
    | {
        "skip": "linear",
        "embed_hops": 1,
        "regulariser": "decorrelation",
        "predictor": 1,
        "layers": 3,
    },
}


def losses(cfg: Config, data: Data, **seams: Any) -> list[float]:
    state = train(cfg, data, **seams).state
    assert state is not None
    return [row["loss"] for row in state.rows]


@pytest.mark.parametrize("kind", KINDS)
def test_golden_losses(kind: str, cfg: Config, data: Data) -> None:
    found = losses(replace(cfg, **KINDS[kind]), data)
    assert found == pytest.approx(json.loads(GOLDEN.read_text())[kind], rel=1e-4)


def test_golden_first_loss_by_hand(cfg: Config) -> None:
    """One linear layer, no views, no predictor, frozen target = online: the cosine of z with z."""
    pair = Data(x=torch.eye(2), edge_index=torch.tensor([[0], [1]]))
    plain = {"feat1": 0.0, "edge1": 0.0, "feat2": 0.0, "edge2": 0.0, "mask": 0.0}
    still = {"predictor": 0, "norm": "none", "layers": 1, "target": "frozen"}
    found = losses(replace(cfg, epochs=1, eval_every=0, **plain, **still), pair)
    assert found == pytest.approx([-1.0], abs=1e-6)


def test_defaults_are_not_special(cfg: Config, data: Data) -> None:
    seams = {"mask_fn": run_full.random_mask, "make_predictor": MLPPredictor, "state": None}
    a, b = train(cfg, data), train(cfg, data, **seams, on_epoch=lambda state, row: None)
    assert torch.equal(a.z, b.z) and a.val == b.val
    named = replace(cfg, regulariser="decorrelation")
    passed = losses(cfg, data, regulariser=run_full.decorrelation)
    assert losses(named, data) == passed != losses(cfg, data)


def test_every_seam_is_used(cfg: Config, data: Data) -> None:
    seen: dict[str, list[Any]] = {"mask": [], "z": [], "epochs": [], "z1": []}

    def first_half(data: Data, ratio: float, generator: Generator) -> Tensor:
        seen["mask"].append(ratio)
        return torch.arange(60) < 30

    class Doubler(nn.Module):
        def __init__(self, cfg: Config, data: Data) -> None:
            super().__init__()
            self.linear = nn.Linear(cfg.out, cfg.out)

        def forward(self, z: Tensor, hidden: Tensor | None, generator: Generator) -> Tensor:
            seen["z"].append((tuple(z.shape), hidden))
            return self.linear(z if hidden is None else z[hidden])

    def spread(z1: Tensor, z2: Tensor, generator: Generator) -> Tensor:
        seen["z1"].append((z1.shape, z2.shape, z1.requires_grad))
        return z1.square().mean() + z2.square().mean()

    def stop_at_three(state: TrainState, row: dict[str, float]) -> None:
        seen["epochs"].append(row["epoch"])
        if state.step == 3:
            raise StopTraining

    train(
        cfg,
        data,
        mask_fn=first_half,
        make_predictor=Doubler,
        regulariser=spread,
        on_epoch=stop_at_three,
    )
    assert seen["mask"] == [cfg.mask] * 3 and seen["epochs"] == [1, 2, 3]
    shapes, hidden = zip(*seen["z"], strict=True)
    assert set(shapes) == {(60, cfg.out)} and hidden[1] is None and hidden[0].sum() == 30
    assert seen["z1"] == [((60, cfg.out), (60, cfg.out), True)] * 3


def numbers(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers, but for counts."""
    return {k: v for k, v in module.state_dict().items() if v.is_floating_point()}


def test_target_follows_without_gradient(cfg: Config, data: Data) -> None:
    state = train(replace(cfg, epochs=3), data).state
    assert all(p.grad is None and not p.requires_grad for p in state.target_encoder.parameters())
    online, target = state.encoder.state_dict(), copy.deepcopy(state.target_encoder)
    assert "layers.0.finish.0.running_mean" in online  # buffers are covered
    before = copy.deepcopy(numbers(target))
    run_full.update_target(target, state.encoder, 1.0)
    assert all(torch.equal(v, before[k]) for k, v in numbers(target).items())
    run_full.update_target(target, state.encoder, 0.5)
    half = {k: (before[k] + online[k]) / 2 for k in before}
    torch.testing.assert_close(numbers(target), half)
    run_full.update_target(target, state.encoder, 0.0)
    assert all(torch.equal(v, online[k]) for k, v in target.state_dict().items())


def test_kinds_of_target(cfg: Config, data: Data) -> None:
    start = state_of(cfg, data).encoder.state_dict()
    for kind in ("frozen", "online"):
        target = numbers(train(replace(cfg, target=kind), data).state.target_encoder)
        assert all(torch.equal(v, start[k]) for k, v in target.items())
    fixed = replace(cfg, target="frozen", predictor=0, mask=0.0, directions=1, lr=0.0)
    grads = {}
    for kind in ("frozen", "online"):
        state = train(replace(fixed, target=kind, epochs=1), data).state
        grads[kind] = state.encoder.layers[0].weight.grad
    assert not torch.allclose(grads["frozen"], grads["online"])


def test_schedule_end_points(cfg: Config) -> None:
    cfg = replace(cfg, epochs=100, warmup=10, lr=2.0, momentum=0.9)
    assert run_full.schedule(0, cfg) == pytest.approx((0.2, 0.9))
    assert run_full.schedule(9, cfg)[0] == run_full.schedule(10, cfg)[0] == pytest.approx(2.0)
    assert run_full.schedule(55, cfg)[0] == pytest.approx(1.0)
    assert run_full.schedule(100, cfg) == pytest.approx((0.0, 1.0))
    assert run_full.schedule(50, cfg)[1] == pytest.approx(0.95)
    short = replace(cfg, epochs=4)  # the warm-up takes half of it at most
    assert run_full.schedule(1, short)[0] == pytest.approx(2.0)


@pytest.mark.parametrize("kind", ["card", "card, gat", "cca"])
def test_same_seed_is_bit_equal(kind: str, cfg: Config, data: Data) -> None:
    cfg = replace(cfg, **KINDS[kind])
    torch.manual_seed(1)
    first = train(cfg, data)
    torch.manual_seed(2)
    ambient = torch.get_rng_state()
    again = train(cfg, data)
    assert torch.equal(torch.get_rng_state(), ambient)  # nor does training touch it
    assert torch.equal(first.z, again.z) and first.state.rows == again.state.rows
    assert not torch.equal(first.z, train(replace(cfg, seed=1), data).z)


@pytest.mark.parametrize("kind", ["card", "card, gat", "cca"])
def test_saved_and_continued_is_bit_equal(kind: str, cfg: Config, data: Data) -> None:
    cfg = replace(cfg, **KINDS[kind])
    whole, saved = train(cfg, data), []

    def stop_at_three(state: TrainState, row: dict[str, float]) -> None:
        if state.step == 3:
            modules = [
                m.state_dict() for m in (state.encoder, state.target_encoder, state.predictor)
            ]
            streams = {k: g.get_state() for k, g in state.streams.items()}
            rest = (state.optimizer.state_dict(), streams, state.best, state.rows)
            saved.extend(copy.deepcopy([modules, *rest]))
            raise StopTraining

    train(cfg, data, on_epoch=stop_at_three)
    modules, optimizer, streams, best, rows = saved
    state = state_of(replace(cfg, seed=99), data)
    for module, values in zip(
        (state.encoder, state.target_encoder, state.predictor), modules, strict=True
    ):
        module.load_state_dict(values)
    state.optimizer.load_state_dict(optimizer)
    for name, generator in state.streams.items():
        generator.set_state(streams[name])
    state.step, state.best, state.rows = 3, best, rows
    continued = train(cfg, data, state=state)
    assert torch.equal(continued.z, whole.z)
    assert continued.state.rows == whole.state.rows


def test_streams_are_separate(cfg: Config, data: Data) -> None:
    def drawn(mask_fn: Callable[..., Tensor]) -> tuple[Any, ...]:
        state = train(replace(cfg, epochs=2, lr=0.0), data, mask_fn=mask_fn).state
        others = {k: g.get_state().tolist() for k, g in state.streams.items() if k != "mask"}
        return others, state.encoder.layers[0].weight.tolist()

    def other(data: Data, ratio: float, generator: Generator) -> Tensor:
        torch.rand(7, generator=generator)
        return torch.arange(60) < 5

    assert drawn(run_full.random_mask) == drawn(other)
    a = state_of(cfg, data)
    b = state_of(replace(cfg, predictor=0), data)
    assert torch.equal(a.encoder.layers[0].weight, b.encoder.layers[0].weight)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.floats(0, 0.95), st.floats(0, 1))
def test_views(seed: int, feat: float, edge: float) -> None:
    edges = torch.combinations(torch.arange(30)).t()  # [2, 435]: the complete graph
    data = Data(x=torch.rand(30, 200, generator=Generator().manual_seed(1)), edge_index=edges)
    whole = graph_of(data, Config(device="cpu", precision="fp32"))
    view = whole.view(feat, edge, Generator().manual_seed(seed))
    adj = view.adj.to_dense()
    assert torch.equal(adj, adj.t()) and (adj.diagonal() > 0).all()
    left = int((adj.triu(1) > 0).sum())
    assert abs(left - 435 * (1 - edge)) < 5 * (435 * 0.25) ** 0.5
    assert abs(int(view.columns.sum()) - 200 * (1 - feat)) < 5 * (200 * 0.25) ** 0.5
    degree = (adj > 0).sum(1)
    torch.testing.assert_close(adj[adj > 0], (degree[:, None] * degree).float().rsqrt()[adj > 0])


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 60), st.floats(0, 1), st.integers(0, 2**31))
def test_random_mask(n: int, ratio: float, seed: int) -> None:
    hidden = run_full.random_mask(Data(x=torch.zeros(n, 1)), ratio, Generator().manual_seed(seed))
    assert hidden.shape == (n,) and hidden.dtype == torch.bool
    assert int(hidden.sum()) == min(max(round(ratio * n), 1), n - 1)


def test_not_finite(cfg: Config, data: Data) -> None:
    data.x[3, 3] = float("nan")
    with pytest.raises(RunError, match=r"epoch 1: data\.x is the first") as caught:
        train(cfg, data)
    assert caught.value.args[1] == 7
    data.x[3, 3] = 0.0

    def poison(state: TrainState, row: dict[str, float]) -> None:
        with torch.no_grad():
            state.encoder.layers[1].weight[0, 0] = float("inf")

    with pytest.raises(RunError, match=r"epoch 2: layers\.1\.weight"):
        train(cfg, data, on_epoch=poison)


def nothing(z1: Tensor, z2: Tensor, generator: Generator) -> Tensor:
    """A Regulariser that has no say, but sees both views."""
    return 0 * (z1.sum() + z2.sum())


@pytest.mark.parametrize("changed", [{}, {"encoder": "gat", "heads": 2}, {"directions": 1}])
def test_parts_have_the_gradient_of_their_sum(
    cfg: Config, data: Data, changed: dict[str, Any]
) -> None:
    cfg, grads, losses = replace(cfg, **changed), [], []
    for term in (None, nothing):
        state = state_of(cfg, data)
        loss = run_full.step_loss(state, graph_of(data, cfg), run_full.random_mask, term)
        losses.append(loss.item())
        learnt = [*state.encoder.parameters(), *state.predictor.parameters()]
        grads.append([p.grad for p in learnt if p.grad is not None])
    assert len(grads[0]) > 5 and losses[0] == pytest.approx(losses[1], rel=1e-5)
    torch.testing.assert_close(*grads)


def test_joined_terms_are_one_part(
    cfg: Config, data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = counted(monkeypatch, "learn")
    wanted: list[tuple[dict[str, Any], Any, int]] = [({}, None, 2), ({"directions": 1}, None, 1)]
    wanted += [({"target": "online"}, None, 1), ({}, run_full.decorrelation, 1)]
    for changed, term, parts in wanted:
        own = replace(cfg, **changed)
        before = len(calls)
        run_full.step_loss(state_of(own, data), graph_of(data, own), run_full.random_mask, term)
        assert len(calls) - before == parts


def counted(monkeypatch: pytest.MonkeyPatch, name: str) -> list[str]:
    """Grows by one with every call of a function of run_full."""
    calls, plain = list[str](), getattr(run_full, name)

    def call(*args: Any) -> Any:
        calls.append(name)
        return plain(*args)

    monkeypatch.setattr(run_full, name, call)
    return calls


@pytest.mark.parametrize("changed", [{}, {"embed_hops": 1, "target_hops": 1}])
def test_the_graph_is_built_once(
    cfg: Config, data: Data, changed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg, calls = replace(cfg, neighbours=2, **changed), counted(monkeypatch, "join_neighbours")
    built = train(cfg, data)
    assert len(calls) == 1
    given = train(cfg, data, graph=run_full.Graph.of(data, cfg))
    assert len(calls) == 2 and torch.equal(built.z, given.z)
    assert built.state and given.state and built.state.rows == given.state.rows


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize(
    ("epochs", "every", "judged"),
    [(6, 2, 3), (7, 3, 3), (6, 0, 1), (6, 6, 1), (5, 1, 5), (0, 2, 1)],
)
def test_each_judged_epoch_is_judged_once(
    epochs: int,
    every: int,
    judged: int,
    labelled: bool,
    cfg: Config,
    data: Data,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = counted(monkeypatch, "linear_probe")
    embedded = counted(monkeypatch, "embed")
    own = data if labelled else Data(x=data.x, edge_index=data.edge_index)
    state = train(replace(cfg, epochs=epochs, eval_every=every), own).state
    assert state and len(calls) == len(embedded) == judged
    assert sum("effective_rank" in row for row in state.rows) == (judged if epochs else 0)


class Elsewhere(Data):
    """x and edge_index lie on a device whose numbers nothing can read before `cpu` is called."""

    def cpu(self, *args: Any, **kwargs: Any) -> Data:
        return Data(**{**self.to_dict(), **self.here})


def test_data_is_left_alone_and_may_lie_elsewhere(cfg: Config, data: Data) -> None:
    cfg = replace(cfg, neighbours=2)
    before, held = data.clone(), dict(data.to_dict())
    result = train(cfg, data)
    assert data.to_dict().keys() == held.keys()
    assert all(value is held[name] for name, value in data.to_dict().items())
    assert all(torch.equal(value, before[name]) for name, value in held.items())
    away = Elsewhere(**{**held, "x": data.x.to("meta"), "edge_index": data.edge_index.to("meta")})
    Elsewhere.here = {"x": data.x, "edge_index": data.edge_index}
    assert torch.equal(train(cfg, away).z, result.z) and away.x.is_meta


def test_sampler_and_embedder_of_the_whole_graph_are_the_default(cfg: Config, data: Data) -> None:
    graph, steps, embedded = run_full.Graph.of(data, cfg), list[int](), list[int]()

    def sampler(step: int) -> run_full.Graph:
        steps.append(step)
        return graph

    def embedder(encoder: nn.Module) -> Tensor:
        embedded.append(len(steps))
        return run_full.embed(encoder, graph)

    plain, found = train(cfg, data), train(cfg, data, sampler=sampler, embedder=embedder)
    assert steps == [*range(6)] and embedded == [2, 4, 6]
    assert plain.state and found.state and plain.state.rows == found.state.rows
    assert torch.equal(plain.z, found.z) and plain.val == found.val


def test_an_encoder_of_ones_own(cfg: Config, data: Data) -> None:
    class Own(nn.Module):
        def __init__(self, cfg: Config, num_features: int) -> None:
            super().__init__()
            self.linear = nn.Linear(num_features, cfg.latent)
            self.hidden: list[bool] = []

        def forward(self, view: run_full.Graph, hidden: Tensor | None = None) -> Tensor:
            self.hidden.append(hidden is not None)
            x = view.x.to_dense() * view.columns
            return self.linear(x if hidden is None else x.masked_fill(hidden[:, None], 0.0))

    result = train(cfg, data, make_encoder=Own)
    state = result.state
    assert state and isinstance(state.encoder, Own) and isinstance(state.target_encoder, Own)
    assert state.encoder.hidden.count(True) == cfg.epochs
    assert result.z.shape == (60, 8) and not state.target_encoder.linear.weight.requires_grad
    torch.testing.assert_close(result.z, state.encoder(run_full.Graph.of(data, cfg)).detach())


def test_the_rule_keeps_the_epoch(cfg: Config, data: Data) -> None:
    asked = []

    def second(state: TrainState, row: dict[str, float]) -> bool:
        assert row is state.rows[-1] and "val" in row and "effective_rank" in row
        asked.append(row["epoch"])
        return row["epoch"] == 4

    result = train(cfg, data, keep=second)
    assert asked == [2, 4, 6] and result.state and result.state.best["epoch"] == 4
    shorter = train(replace(cfg, epochs=6), data, on_epoch=stop_at(4), keep=lambda *_: True)
    assert torch.equal(result.z, shorter.z) and result.val == shorter.val
    never = train(cfg, data, keep=lambda state, row: False)
    assert never.state and not never.state.best and never.z.shape == (60, 8)


def stop_at(step: int) -> Callable[..., None]:
    """An EpochHook."""

    def hook(state: TrainState, row: dict[str, float]) -> None:
        if state.step == step:
            raise StopTraining

    return hook


def test_statistics_of_the_target_come_by_the_average_alone(cfg: Config, data: Data) -> None:
    for momentum in (1.0, 0.5):
        own = replace(cfg, momentum=momentum, epochs=1)
        state, graph = state_of(own, data), graph_of(data, own)
        names = [k for k in state.encoder.state_dict() if "running" in k]
        start = copy.deepcopy(state.target_encoder.state_dict())
        state.target_encoder(graph)  # in training mode
        left = state.target_encoder.state_dict()
        assert names and all(torch.equal(left[k], start[k]) for k in names)
        run_full.train_step(state, graph, run_full.random_mask, None)
        online, target = state.encoder.state_dict(), state.target_encoder.state_dict()
        for k in names:
            assert not torch.equal(online[k], start[k])
            expected = momentum * start[k] + (1 - momentum) * online[k]
            torch.testing.assert_close(target[k], expected)


def test_it_learns(cfg: Config, data: Data) -> None:
    long = replace(cfg, epochs=60, hidden=32, out=32, eval_every=30)
    trained = [train(replace(long, seed=s), data) for s in range(3)]
    raw = run_full.linear_probe(data.x, data).val
    assert sum(r.val for r in trained) / 3 > raw
    assert all(run_full.effective_rank(r.z) > 2 for r in trained)


def test_own_data_without_labels(cfg: Config, data: Data) -> None:
    bare = Data(x=data.x.to_sparse_csr(), edge_index=data.edge_index)
    result = train(cfg, bare)
    assert result.val == -1.0 and torch.equal(result.z, train(replace(cfg, eval_every=0), bare).z)
    assert result.z.shape == (60, cfg.out)


@pytest.mark.parametrize("term", [None, run_full.decorrelation])
def test_losses_are_looked_at_in_tens(
    term: Any, cfg: Config, data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, told = replace(cfg, epochs=27, eval_every=12), list[tuple[int, int]]()
    each = train(own, data, regulariser=term)
    monkeypatch.setattr(run_full, "LOOK_EVERY", {"cpu": 10})

    def hook(state: TrainState, row: dict[str, float]) -> None:
        assert state.rows[int(row["epoch"]) - 1] is row and not state.unread
        told.append((int(row["epoch"]), state.step))

    tens = train(own, data, regulariser=term, on_epoch=hook)
    assert each.state and tens.state and each.state.rows == tens.state.rows
    assert torch.equal(each.z, tens.z) and each.val == tens.val
    looks = [10] * 10 + [12] * 2 + [20] * 8 + [24] * 4 + [27] * 3
    assert told == [*zip(range(1, 28), looks, strict=True)]
    stopped = train(own, data, regulariser=term, on_epoch=stop_at(20)).state
    assert stopped and stopped.step == 20 and stopped.rows == each.state.rows[:20]


def test_a_look_names_the_first_epoch_that_diverged(
    cfg: Config, data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_full, "LOOK_EVERY", {"cpu": 10})
    calls = list[Tensor]()

    def poison(z1: Tensor, z2: Tensor, generator: Generator) -> Tensor:
        calls.append(z1)
        return z1.sum() * (float("nan") if len(calls) == 13 else 0.0)

    with pytest.raises(RunError, match="epoch 13: the loss is the first") as caught:
        train(replace(cfg, epochs=40, eval_every=0), data, regulariser=poison)
    assert caught.value.args[1] == 7 and len(calls) == 20


class Waits(TorchDispatchMode):
    """Keeps the names of operations whose shape or value the host must know."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name in ("nonzero", "_local_scalar_dense", "masked_select", "unique"):
            self.found.append(name)
        if name in ("index", "index_put", "index_put_", "_index_put_impl_"):
            if any(index is not None and index.dtype == torch.bool for index in args[1]):
                self.found.append(f"{name} by mask")
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "name, more", [("best", []), ("card", ["index by mask", "index by mask", "index_put by mask"])]
)
def test_a_gpu_need_not_wait(
    name: str, more: list[str], data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_full, "PReLU", nn.PReLU)  # ours, which is for a cpu, reads its slope
    cfg = replace(run_full.preset(name, "cora"), hidden=16, out=8, device="cpu")
    state, graph = state_of(cfg, data), graph_of(data, cfg)
    with Waits() as waits:
        term = run_full.REGULARISERS[cfg.regulariser]
        run_full.train_step(state, graph, run_full.random_mask, term, look=False)
    assert waits.found == ["nonzero", "nonzero", *more]
