"""Claims about the choice of parts, each with a test below.

1. The skip is no setting of one layer, unless it is linear, which changes a training.
2. `effective` has none of the settings that change nothing.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from torch_geometric.data import Data

from nodejepa_ext.parts.choice import INERT, Parts, effective
from run_full import Config, train


@pytest.mark.parametrize("layers", [1, 2])
def test_skip(layers: int, cfg: Config, data: Data) -> None:
    names, found = ("none", "input", "linear"), {}
    for name in names:
        own = replace(cfg, layers=layers, skip=name, epochs=2, eval_every=0)
        state = train(own, data).state
        assert state
        losses = tuple(row["loss"] for row in state.rows)
        found.setdefault(str(effective(own, Parts())), set()).add(losses)
    assert [len(losses) for losses in found.values()] == [1] * (2 if layers == 1 else 3)
    assert len(set.union(*found.values())) == len(found)


def test_inert_settings_are_left_out() -> None:
    cfg, parts = Config(), Parts()
    gone = {name for names, holds, _ in INERT if holds(cfg, parts) for name in names}
    assert not gone & effective(cfg, parts).keys() and "skip" not in gone
