"""What a sweep found, in words: figures with their spread, and the sentences below its tables.

Kept apart from `report`, which gathers what is said here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nodejepa_ext.sweep.kept import ACCURACIES
from nodejepa_ext.sweep.repeats import GIVEN_UP, MOST

Report = dict[str, Any]


def shown(value: float | None, objective: str, sign: str = "") -> str:
    """A value as the objective has it: in %, or a share of D."""
    if value is None:
        return "-"
    return f"{100 * value:{sign}.1f}" if objective in ACCURACIES else f"{value:{sign}.3f}"


def spread(part: Report, objective: str) -> str:
    """Mean ± std, which one seed has not."""
    std = "" if part["std"] is None else f" ± {shown(part['std'], objective)}"
    return shown(part["mean"], objective) + std


def span(part: Report, objective: str, sign: str = "") -> str:
    """The interval; "" if there is none."""
    low, high = (shown(part[end], objective, sign) for end in ("low", "high"))
    return "" if part["low"] is None else f"[{low}, {high}]"


def shift(part: Report, objective: str, key: str = "mean") -> str:
    """A difference with its interval, as in "+1.2 points [+0.3, +2.1]"."""
    unit = " points" if objective in ACCURACIES else ""
    return f"{shown(part[key], objective, '+')}{unit} {span(part, objective, '+')}".strip()


def tallied(counts: Report) -> str:
    return ", ".join(f"{n} {outcome}" for outcome, n in counts.items())


def sentences(part: Report) -> list[str]:
    """What the tables do not say: winner, winner's curse, base, importances, ranks, test."""
    objective, winner, text = part["plan"]["objective"], part["winner"], []
    if winner:
        so_far = " so far: the rounds are unfinished" if part["rounds"]["unfinished"] else ""
        by = "fresh seeds" if winner["by"] == "rounds" else "search, no fresh seeds being planned"
        text.append(f"Winner: trial {winner['number']}, by the {by}{so_far}.")
    if found := part["winners_curse"]:
        many, best = found["all"], found["best"]
        text.append(
            f"Winner's curse, search minus fresh seeds: {shift(many, objective)} over "
            f"{many['n']} configuration(s), {shift(best, objective)} of the search's best, trial "
            f"{best['number']}. Search against fresh: {related(found['spearman'])}."
        )
    if found := part["against_base"]:
        p = "" if found["p"] is None else f", p {found['p']:.2g}"
        text.append(
            f"Winner minus the settings it started from: {shift(found, objective, 'difference')}, "
            f"paired over {found['n']} fresh seed(s){p}; a little high, as they chose the winner."
        )
    if found := part["importances"]:
        shares = ", ".join(f"{name} {share:.2f}" for name, share in found.items())
        text.append(f"Importance (fANOVA) of the knobs that all trials have: {shares}.")
    if part["rank_correlation"]:
        told = related(part["rank_correlation"])
        text.append(f"Effective rank / D and validation accuracy of a trial: {told}.")
    if found := part["test"]:
        whose = "the winner" if found["winner"] else "what is not the winner now"
        bad = f"; {tallied(found['failed'])}" if found["failed"] else ""
        text.append(
            f"Test accuracy of {whose}, trial {found['number']}: {spread(found['test'], 'val')} % "
            f"{span(found['test'], 'val')}, n {found['test']['n']}{bad}."
        )
    text += [
        f"Retired, on {r['supervisor']}: {r['seat']}, {r['why']}." for r in part.get("retired", [])
    ]
    return [*text, *([f"Unfinished: {left}."] if (left := open_ends(part)) else [])]


def listed(numbers: Sequence[int]) -> str:
    """The first ten, and whether there are more."""
    text = ", ".join(map(str, numbers[:10]))
    return f"{text}, ..." if len(numbers) > 10 else text


def open_ends(part: Report) -> str:
    """What of a graph is still to be run, or was given up; "": nothing."""
    parts = []
    for phase, kinds in part.get("unfinished", {}).items():
        for kind, numbers in kinds.items():
            some = listed(numbers)
            told = f"{kind} after {MOST} attempts" if kind == GIVEN_UP else kind
            parts.append(f"{phase}: {len(numbers)} {told} (trial {some})")
    if part["rounds"]["unfinished"] and "rounds" not in part.get("unfinished", {}):
        parts.append("rounds: not all configurations have all fresh seeds")
    return "; ".join(parts)


def related(found: Report | None) -> str:
    return f"Spearman {found['rho']:.2f} (p {found['p']:.2g}, n {found['n']})" if found else "-"
