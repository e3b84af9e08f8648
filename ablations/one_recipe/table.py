"""Prints the tables of README.md from rows.jsonl and bars/rows.jsonl."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

GRAPHS = ("cora", "citeseer", "cora_ml", "chameleon", "pubmed", "photo", "actor")


def cell(values: list[float]) -> str:
    """Of one or two seeds, in %."""
    return " / ".join(f"{100 * value:.1f}" for value in values)


def gain(of: dict[str, list[float]], base: dict[str, list[float]]) -> str:
    """Mean over the graphs that the arm has of the mean difference at common seeds, in points."""
    by_graph = []
    for graph, values in of.items():
        if not values:
            continue
        pairs = [own - other for own, other in zip(values, base[graph], strict=False)]
        by_graph.append(100 * sum(pairs) / len(pairs))
    return f"{sum(by_graph) / len(by_graph):+.1f}"


def bars() -> None:
    """The recipe beside its controls, per graph, in %; of five seeds mean, least and most."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for line in (Path(__file__).with_name("bars") / "rows.jsonl").open():
        row = json.loads(line)
        found[row["arm"]][row["graph"]].append(100 * row["val"])
    print("| arm |", " | ".join(GRAPHS), "|")
    print("|---" * (1 + len(GRAPHS)) + "|")
    for arm, of in found.items():
        cells = []
        for graph in GRAPHS:
            mean = sum(of[graph]) / max(len(of[graph]), 1)
            spread = f" [{min(of[graph]):.1f}, {max(of[graph]):.1f}]" if len(of[graph]) > 1 else ""
            cells.append(f"{mean:.1f}{spread}")
        print(f"| {arm} |", " | ".join(cells), "|")


def changes() -> None:
    """What one change does, per arm and graph."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    rows = [json.loads(line) for line in Path(__file__).with_name("rows.jsonl").open()]
    for row in sorted(rows, key=lambda row: row["seed"]):
        found[row["arm"]][row["graph"]].append(row["val"])
    print("| arm |", " | ".join(GRAPHS), "| mean difference |")
    print("|---" * (2 + len(GRAPHS)) + "|")
    base = found["recipe: as it is"]
    for arm, of in found.items():
        print(
            f"| {arm} |", " | ".join(cell(of[graph]) for graph in GRAPHS), f"| {gain(of, base)} |"
        )


if __name__ == "__main__":
    changes()
    print()
    bars()
