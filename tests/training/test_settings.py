"""Claims about the layers of settings, each with a test below.

1. A preset is the same however it is asked for; `bgrl` is the toolkit's; an unknown one is named.
2. preset < --quick < --config, its top level < its section < options.
3. A regulariser of the toolkit brings its weight, unless one is given; --no-views sets all rates 0.
4. What may not be in --config is named; batch_nodes may, for a run of one's own, where gat takes a
   preset without its neighbours.
5. `auto` takes features of many columns.
6. batch_nodes may stand in a section of the graph; what is no number of nodes is named.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch_geometric.data import Data

import run_full
from nodejepa_ext.parts.choice import Parts
from nodejepa_ext.parts.objectives import OBJECTIVES
from nodejepa_ext.training.settings import (
    BGRL,
    INPUT,
    PRESETS,
    auto,
    batch_nodes_in,
    command_line,
    preset,
    resolve,
)
from run_full import GRAPHS


def given(*argv: str) -> argparse.Namespace:
    return command_line("test", Parts).parse_args(argv)


def test_presets() -> None:
    assert given().preset == "best" and given("--preset", "bgrl").preset == "bgrl"
    for graph in GRAPHS:
        assert preset("best", graph) == run_full.preset("best", graph)
        own, fair = preset("best", graph), preset("bgrl", graph)
        same = {name: getattr(own, name) for name in INPUT}
        assert fair == replace(BGRL, **same) and fair.mask == 0
    for name in PRESETS:
        with pytest.raises(ValueError, match="'corra': expected one of cora, citeseer, pubmed"):
            preset(name, "corra")
    with pytest.raises(ValueError, match="'worst': expected one of best, card, bgrl"):
        preset("worst", "cora")
    with pytest.raises(SystemExit):
        given("--preset", "worst")


def test_layers(tmp_path: Path) -> None:
    path, base = tmp_path / "c.toml", preset("card", "cora")
    path.write_text("lr = 0.5\nmask = 0.1\nbfs_mask = true\n[cora]\nmask = 0.2\n")
    args = given("--config", str(path), "--lr", "0.25", "--quick")
    cfg, parts = resolve(base, args, "cora")
    assert (cfg.lr, cfg.mask, cfg.epochs, cfg.eval_every) == (0.25, 0.2, 5, 5) and parts.bfs_mask
    assert resolve(base, args, "pubmed")[0].mask == 0.1
    assert resolve(base, given(), "cora") == (base, Parts())


def test_parts() -> None:
    base = preset("card", "cora")
    cfg, parts = resolve(base, given("--objective", "vicreg"), "cora")
    assert parts.objective == "vicreg" and cfg == base
    for name, (_, weight) in OBJECTIVES.items():
        args = argparse.Namespace(**vars(given()) | {"regulariser": name})
        cfg, parts = resolve(base, args, "cora")
        assert (cfg.regulariser, cfg.regulariser_weight) == ("none", weight)
        assert parts.objective == name
        args.regulariser_weight = 2.0
        assert resolve(base, args, "cora")[0].regulariser_weight == 2.0
    cfg, _ = resolve(base, given("--no-views"), "cora")
    assert cfg.feat1 == cfg.edge1 == cfg.feat2 == cfg.edge2 == 0


@pytest.mark.slow
def test_auto_of_many_columns() -> None:
    """300 nodes of 10^5 features, which take no matrix of columns by columns."""
    x = (torch.rand(300, 100_000, generator=torch.Generator().manual_seed(0)) < 1e-3).float()
    ring = torch.stack([torch.arange(300), torch.arange(1, 301) % 300])
    cfg, why = auto(Data(x=x, edge_index=torch.cat([ring, ring.flip(0)], 1)))
    assert cfg.encoder == "gcn" and "alike" in why


def test_refusals(tmp_path: Path) -> None:
    path, base = tmp_path / "c.toml", preset("best", "cora")
    args = given("--config", str(path))
    for text, said in {
        "msk = 1": "msk: expected some of",
        "cora = 1": "expected a section",
        "batch_nodes = 8": "batch_nodes: expected some of",
        "[cora": "c.toml",
        "encoder = 'gat'": "neighbours = 20",
    }.items():
        path.write_text(text)
        with pytest.raises(ValueError, match=said):
            resolve(base, args, "cora")
    path.write_text("batch_nodes = 8\nencoder = 'gat'")
    cfg, _ = resolve(base, args, "", own=True)
    assert (cfg.encoder, cfg.neighbours) == ("gat", 0)


def test_batch_nodes_of_a_section(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text("batch_nodes = 64\n[cora]\nbatch_nodes = 256\n")
    found = [
        batch_nodes_in(argparse.Namespace(config=path, graph=g)) for g in ("cora", "pubmed", "mine")
    ]
    assert found == [256, 64, 64]
    assert batch_nodes_in(argparse.Namespace(config=None, graph="cora")) == 0
    for value in ('"64"', "-5", "64.5", "1"):
        path.write_text(f"batch_nodes = {value}\n")
        with pytest.raises(ValueError, match=r"batch_nodes = .*: expected 0, for none, or at"):
            batch_nodes_in(argparse.Namespace(config=path, graph="mine"))


def test_a_regulariser_that_is_no_name(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text('regulariser = ["vicreg"]\n')
    with pytest.raises(ValueError, match=r"regulariser = \['vicreg'\]: expected"):
        resolve(preset("card", "cora"), given("--config", str(path)), "cora")
