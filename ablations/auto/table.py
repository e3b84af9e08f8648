"""The table of README.md, from the rows of `measure.py`: python ablations/auto/table.py

A line a graph. The rule of the column "left out" is that of RULES with the highest mean lead on the
other graphs: accuracy minus that of the best control.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

OURS = ("propagated", "own", "joined", "joined, own")
ALIKE = 0.5  # below this likeness `auto` puts own features beside the propagated ones
RULES = [(joins, alike) for joins in ("never", "words", "always") for alike in (0.0, ALIKE, 1.0)]


def table(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Markdown."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    alike, words = {}, {}
    for row in rows:
        found[row["graph"]][row["arm"]].append(100 * row["val"])
        alike[row["graph"]], words[row["graph"]] = row["likeness"], row["words"]
    mean = {g: {s: float(np.mean(v)) for s, v in by.items()} for g, by in found.items()}

    def chosen(graph: str, rule: tuple[str, float]) -> str:
        joins = rule[0] == "always" or rule[0] == "words" and words[graph]
        return OURS[2 * joins + (alike[graph] < rule[1])]

    def lead(graph: str, rule: tuple[str, float]) -> float:
        ours, by = chosen(graph, rule), mean[graph]
        others = [by[s] for s in ("raw features", "SGC", "FastRP", f"untrained {ours}")]
        return by[ours] - max(others)

    names = ("raw features", "SGC", "FastRP", *OURS)
    last = "`auto` | its untrained | lead | left out"
    yield f"| graph | words | likeness | {' | '.join(names)} | {last} |"
    yield "|" + "---|" * (len(names) + 7)
    for graph, by in mean.items():
        best = max(RULES, key=lambda r: np.mean([lead(g, r) for g in mean if g != graph]))
        rule = ("words", ALIKE)
        ours = chosen(graph, rule)
        cells = [f"{by[name]:.1f}" for name in (*names, ours, f"untrained {ours}")]
        cells += [f"{lead(graph, rule):+.1f}", f"{lead(graph, best):+.1f}"]
        about = f"{'yes' if words[graph] else 'no'} | {alike[graph]:.2f}"
        yield f"| {graph} | {about} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    lines = (Path(__file__).parent / "rows.jsonl").read_text().splitlines()
    print("\n".join(table([json.loads(line) for line in lines])))
