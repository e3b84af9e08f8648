"""Claims about encoders as exported programs, each with a test below.

1. On the graph of training, z is that of `run_full.embed` to 1e-5, whatever the settings.
2. So it is on a graph of another size, after the program was written and read again.
3. Attention, and encoders of one's own, are refused by name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch_geometric.data import Data

import run_full
from nodejepa_ext.training.portable import exported, inputs
from run_full import Config, Graph

SMALL: dict[str, Any] = dict(hidden=8, out=4, epochs=2, eval_every=0, device="cpu")


def trained(data: Data, **settings: Any) -> tuple[nn.Module, Graph]:
    cfg = Config(**SMALL | settings)
    graph = Graph.of(data, cfg)
    state = run_full.train(cfg, data, graph=graph).state
    assert state
    return state.encoder, graph


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"norm": "none", "embed_hops": 2},
        {"reg_node": True, "embed_hops": 1},
        {"skip": "linear", "own_features": True},
        {"skip": "input", "layers": 3, "hops": 2},
        {"neighbours": 5},
    ],
    ids=str,
)
def test_a_program_agrees(data: Data, tmp_path: Path, settings: dict[str, Any]) -> None:
    encoder, graph = trained(data, **settings)
    encoder.train()
    program = exported(encoder, graph)
    assert encoder.training  # the caller's is left as it was
    z = program.module()(*inputs(graph))
    assert torch.allclose(z, run_full.embed(encoder, graph), atol=1e-5)
    torch.export.save(program, tmp_path / "encoder.pt2")
    again = torch.export.load(tmp_path / "encoder.pt2").module()
    part = data.subgraph(torch.arange(60) < 37)
    other = Graph.of(Data(x=part.x, edge_index=part.edge_index), graph.cfg)
    assert torch.allclose(again(*inputs(other)), run_full.embed(encoder, other), atol=1e-5)


def test_what_is_refused(data: Data) -> None:
    encoder, graph = trained(data, encoder="gat", heads=2)
    with pytest.raises(ValueError, match="encoder = gat: expected gcn"):
        exported(encoder, graph)
    with pytest.raises(ValueError, match="a Linear: expected a run_full.Encoder"):
        exported(nn.Linear(2, 2), graph)
