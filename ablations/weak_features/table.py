"""Prints the table of README.md from rows.jsonl."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

ARMS = (
    "ours",
    "ours, half, linear",
    "ours, half",
    "without positions",
    "FastRP",
    "FastRP on features",
)
Found = dict[str, dict[str, dict[int, float]]]  # graph -> arm -> seed -> %


def mean(values: dict[int, float]) -> str:
    """Over the seeds, and how many."""
    return f"{sum(values.values()) / len(values):.1f} ({len(values)})" if values else ""


def gap(name: str, found: Found) -> str:
    """Ours less the better FastRP, in the mean over the seeds that all three have."""
    bare = found[f"{name.split(',')[0]}, 0 columns, signal 0.0"]["FastRP"]
    own = found[name]["ours"]
    featured = found[name]["FastRP on features"] or bare
    seeds = sorted(own.keys() & bare.keys() & featured.keys())
    if not seeds:
        return ""
    ours, first, second = (sum(of[s] for s in seeds) for of in (own, bare, featured))
    return f"{(ours - max(first, second)) / len(seeds):+.1f}"


def main() -> None:
    """To stdout."""
    found: Found = defaultdict(lambda: defaultdict(dict))
    for line in Path(__file__).with_name("rows.jsonl").open():
        row = json.loads(line)
        found[row["graph"]][row["arm"]][row["seed"]] = 100 * row["val"]
    print("| graph |", " | ".join(ARMS), "| ours less the better FastRP |")
    print("|---" * (2 + len(ARMS)) + "|")
    for name in list(found):
        cells = " | ".join(mean(found[name][arm]) for arm in ARMS)
        print(f"| {name} | {cells} | {gap(name, found) if name.startswith('planted') else ''} |")


if __name__ == "__main__":
    main()
