"""Tiny graphs that every test can afford, and a configuration to match."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from typing import Any

import pytest
import torch
from threadpoolctl import threadpool_limits
from torch_geometric.data import Data

from run_full import Config, Encoder, Graph, MLPPredictor, TrainState

# Tests run in two processes, and start others, on as few as two cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
threadpool_limits(1)  # NumPy's, which read the environment when they were imported
torch.set_num_threads(1)

os.environ.pop("COLUMNS", None)  # readline puts it into the environment of xdist's workers

# A shell's background job ignores Ctrl-C, and so would the processes that tests send it to.
signal.signal(signal.SIGINT, signal.default_int_handler)

SMALL = Config(hidden=16, out=8, epochs=6, warmup=2, eval_every=2, device="cpu", precision="fp32")


@pytest.fixture
def cfg() -> Config:
    return SMALL


@pytest.fixture
def data() -> Data:
    """A 60-node stochastic block model, three blocks of 20, class = block, 12 noisy features."""
    g = torch.Generator().manual_seed(0)
    y = torch.arange(60) // 20
    same = y[:, None] == y[None]
    drawn = torch.rand(60, 60, generator=g) < torch.where(same, 0.3, 0.02)
    edge_index = drawn.triu(1).nonzero().t()  # [2, E], one direction only
    x = torch.rand(60, 12, generator=g) * (torch.rand(60, 12, generator=g) < 0.5)
    x[torch.arange(60), y] += 0.5
    split = torch.arange(60) % 20
    masks = {"train_mask": split < 4, "val_mask": (split >= 4) & (split < 12)}
    return Data(x=x, edge_index=edge_index, y=y, test_mask=split >= 12, **masks)


@pytest.fixture
def sparse_data(data: Data) -> Data:
    """The same graph with features few enough for the sparse path: about 3% are not zero."""
    wide = torch.zeros(60, 120)
    wide[torch.arange(60), data.y * 7] = 1.0
    wide[torch.arange(60), torch.arange(60) + 30] = 0.5
    wide[::2, 25] = 0.25
    out = data.clone()
    out.x = wide
    return out


def graph_of(data: Data, cfg: Config, **changes: Any) -> Graph:
    return Graph.of(data, replace(cfg, **changes))


def state_of(cfg: Config, data: Data, make: Any = MLPPredictor) -> TrainState:
    return TrainState.new(cfg, data, Encoder, make)
