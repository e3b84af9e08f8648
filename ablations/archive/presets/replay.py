"""Trains the recorded trials again and prints the validation accuracy beside the recorded one.

python ablations/presets/replay.py [--graph cora] [--name base] [--seed 200]

Test labels are overwritten before anything runs: nothing here can see them.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
import run_full


def main() -> None:
    """One line a trial: graph, name, seed, validation accuracy now and as recorded."""
    parser = argparse.ArgumentParser(description=__doc__)
    for flag in ("--graph", "--name", "--seed"):
        parser.add_argument(flag, type=int if flag == "--seed" else str)
    wanted = {k: v for k, v in vars(parser.parse_args()).items() if v is not None}
    torch.set_num_threads(1)
    lines = (Path(__file__).parent / "rows.jsonl").read_text().splitlines()
    for row in map(json.loads, lines):
        if any(row[key] != value for key, value in wanted.items()):
            continue
        data = run_full.load_graph(row["graph"])
        data.y[data.test_mask] = 0
        cfg = run_full.Config(**row["config"], seed=row["seed"], device="cpu")
        found = run_full.train(cfg, data).val
        print(row["graph"], row["name"], row["seed"], found, "recorded", row["val"], flush=True)


if __name__ == "__main__":
    main()
