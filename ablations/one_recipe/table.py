"""Prints tables of this folder and of jepa_parts, from rows.jsonl and bars/rows.jsonl."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

GRAPHS = ("cora", "citeseer", "cora_ml", "chameleon", "pubmed", "photo", "actor")
STAGES = {  # of later rounds: the arm that others are compared with
    "later": "later: as it is",
    "linear": "later: as it is",
    "bgrl": "bgrl: 1 layer of 2 hops, 1024",
    "jepa": "jepa: the recipe",
}
Found = dict[str, dict[str, dict[int, float]]]  # by arm, graph and seed: accuracy


def cell(values: dict[int, float]) -> str:
    """Of up to three seeds, in %, or their mean and number."""
    if len(values) > 3:
        return f"{100 * sum(values.values()) / len(values):.1f} ({len(values)})"
    return " / ".join(f"{100 * values[seed]:.1f}" for seed in sorted(values))


def gain(of: dict[str, dict[int, float]], base: dict[str, dict[int, float]]) -> str:
    """Mean over the graphs that the arm has of the mean difference at common seeds, in points."""
    by_graph = []
    for graph, values in of.items():
        pairs = [values[seed] - base[graph][seed] for seed in values.keys() & base[graph].keys()]
        if pairs:
            by_graph.append(100 * sum(pairs) / len(pairs))
    return f"{sum(by_graph) / len(by_graph):+.1f} ({len(by_graph)})" if by_graph else ""


def head(last: str) -> None:
    print("| arm |", " | ".join(GRAPHS), f"| {last} |")
    print("|---" * (2 + len(GRAPHS)) + "|")


def line(arm: str, of: dict[str, dict[int, float]], last: str) -> None:
    print(f"| {arm} |", " | ".join(cell(of[graph]) for graph in GRAPHS), f"| {last} |")


def rows() -> Found:
    """Those of measure.py."""
    found: Found = defaultdict(lambda: defaultdict(dict))
    for text in Path(__file__).with_name("rows.jsonl").open():
        row = json.loads(text)
        found[row["arm"]][row["graph"]][row["seed"]] = row["val"]
    return found


def changes(found: Found) -> None:
    """What one change does, per arm and graph."""
    head("mean difference")
    for arm, of in found.items():
        if arm.partition(":")[0] not in STAGES:
            line(arm, of, gain(of, found["recipe: as it is"]).partition(" ")[0])


def later(found: Found, stage: str) -> None:
    """The arms of a later stage, with the number of graphs that a difference is the mean of."""
    base = found[STAGES[stage]]
    head("mean difference (graphs)")
    for arm, of in found.items():
        if arm.startswith(f"{stage}: "):
            line(arm.removeprefix(f"{stage}: "), of, gain(of, base))


def bars() -> None:
    """The recipe beside its controls, per graph, in %; of five seeds mean, least and most."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for text in (Path(__file__).with_name("bars") / "rows.jsonl").open():
        row = json.loads(text)
        found[row["arm"]][row["graph"]].append(100 * row["val"])
    print("| arm |", " | ".join(GRAPHS), "|")
    print("|---" * (1 + len(GRAPHS)) + "|")
    for arm, of in found.items():
        cells = []
        for graph in GRAPHS:
            if not of[graph]:
                cells.append("")
                continue
            mean = sum(of[graph]) / len(of[graph])
            spread = f" [{min(of[graph]):.1f}, {max(of[graph]):.1f}]" if len(of[graph]) > 1 else ""
            cells.append(f"{mean:.1f}{spread}")
        print(f"| {arm} |", " | ".join(cells), "|")


if __name__ == "__main__":
    measured = rows()
    changes(measured)
    for name in STAGES:
        print(f"\n{name}\n")
        later(measured, name)
    print()
    bars()
