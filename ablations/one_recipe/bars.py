"""The recipe beside its controls on splits and seeds that nothing was chosen on.

python ablations/one_recipe/bars.py FOLDER [GRAPH,...]   adds to bars/rows.jsonl

FOLDER as in measure.py. Ours: `settings.recipe`, last epoch, seeds 6000 to 6004. Development
accuracy on 16 splits drawn with seed 2 (the record's own were 8, with seed 0; those of the recipe
before, which PubMed still has with seeds 3000 to 3004, with seed 1). Controls on the same
splits: raw features; SGC of 1, 2, 3, 5 or 8 hops, on x and edges as they came and as our encoder
takes them in; the untrained encoder, each seed. The hops are chosen by the accuracy on the nodes
that choose C, not by that of scored ones. Rows that are there are not made again.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
import run_full
from ablations.one_recipe.measure import GRAPHS, graph_of
from nodejepa_ext.judging import development_accuracy
from nodejepa_ext.training.settings import recipe

ROWS = Path(__file__).with_name("bars") / "rows.jsonl"
SEEDS, SPLITS, SPLIT_SEED = range(6000, 6005), 16, 2
HOPS = (1, 2, 3, 5, 8)


def judged(z: Tensor, data: Data) -> dict[str, Any]:
    """Means over the splits, and each split's scored accuracy."""
    found = development_accuracy(z, data, splits=SPLITS, seed=SPLIT_SEED)["rows"]
    chosen = [row["val"] for row in found]
    scored = [row["test"] for row in found]
    return {"chosen": sum(chosen) / SPLITS, "val": sum(scored) / SPLITS, "splits": scored}


def sgc(graph: run_full.Graph, data: Data) -> dict[str, Any]:
    """Of the hops that the choosing nodes prefer."""
    x = graph.x.to_dense()
    found = [judged(graph.average(x, hops), data) | {"hops": hops} for hops in HOPS]
    return max(found, key=lambda row: row["chosen"])


def measured(name: str, data: Data) -> Iterator[tuple[str, int | None, dict[str, Any]]]:
    """Arm, seed and figures; labels have no say before the judge."""
    bare = Data(x=data.x, edge_index=data.edge_index)
    cfg = replace(recipe(bare), eval_every=0, device="cpu")
    graph = run_full.Graph.of(bare, cfg)
    yield "raw features", None, judged(data.x, data)
    yield "SGC", None, sgc(run_full.Graph.of(bare, run_full.Config(device="cpu")), data)
    yield "SGC, our input", None, sgc(graph, data)
    for seed in SEEDS:
        own = replace(cfg, seed=seed)
        began = time.process_time()
        result = run_full.train(own, bare, graph=graph)
        spent = time.process_time() - began
        yield "recipe", seed, judged(result.z, data) | {"cpu_seconds": spent}
        untrained = run_full.train(replace(own, epochs=0), bare, graph=graph)
        yield "untrained", seed, judged(untrained.z, data)


def main() -> None:
    """Adds the rows of the graphs that have none."""
    torch.set_num_threads(1)
    folder, *more = sys.argv[1:]
    ROWS.parent.mkdir(exist_ok=True)
    lines = ROWS.read_text().splitlines() if ROWS.exists() else []
    done = {json.loads(line)["graph"] for line in lines}
    for name in more[0].split(",") if more else GRAPHS:
        if name in done:
            continue
        rows = []
        for arm, seed, figures in measured(name, graph_of(name, Path(folder))):
            job = {"graph": name, "arm": arm, "seed": seed}
            rows.append(job | {"status": "ok", "job": job} | figures)
            print(f"{name}, {arm}, {seed}: {100 * figures['val']:.1f}", flush=True)
        with ROWS.open("a") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)


if __name__ == "__main__":
    main()
