"""What fresh seeds say of the configurations that a search chose: rounds, winner, winner's curse.

Kept apart from `report`, which gathers and prints: here is all that compares. Trials are as
its `entry` makes them, and values as it says.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

from nodejepa_ext.judging.stats import interval, paired

Report = dict[str, Any]
PLACE = {"seed", "device", "precision"}  # fields of Config that are no part of a configuration


def complete(trial: Report) -> bool:
    return trial["state"] == "COMPLETE" and trial["value"] is not None


def value(trial: Report) -> float:
    return float(trial["value"])


def settings(config: Report) -> Report:
    return {name: value for name, value in config.items() if name not in PLACE}


def by_seed(trials: list[Report], number: int) -> dict[int, Report]:
    """Seed -> the last run that ended of the configuration of search trial `number`; one that was
    begun again counts no more, and a complete one before any other."""
    repeated, found = {trial.get("retry_of") for trial in trials}, dict[int, Report]()
    for trial in trials:
        ended = trial["state"] not in ("RUNNING", "WAITING") and trial["number"] not in repeated
        if trial.get("of") == number and ended:
            last = found.get(trial["seed"])
            found[trial["seed"]] = last if last and complete(last) else trial
    return found


def measured(trials: list[Report], measure: str) -> Report:
    """The t interval over all rows that have the measure."""
    rows = [row for trial in trials for row in trial.get("rows", [])]
    return interval([row[measure] for row in rows if measure in row])._asdict()


def configurations(plan: Report, trials: list[Report], fresh: list[Report]) -> list[Report]:
    """A line a configuration of the rounds, the best on fresh seeds first; those that lack a seed
    come after those that have all. None of a search trial whose record was damaged and dropped."""
    whole = {trial["number"] for trial in trials if complete(trial)}
    lines = [
        configuration(plan, trials, number, by_seed(fresh, number))
        for number in dict.fromkeys(t["of"] for t in fresh if t.get("of") in whole)
    ]
    lines.sort(key=lambda line: -line["fresh"]["mean"] if line["values"] else math.inf)
    lines.sort(key=lambda line: bool(line["missing"] or line["failed"]))
    for rank, line in enumerate(lines, 1):
        line["fresh_rank"] = rank if line["values"] else None
    return lines


def configuration(
    plan: Report, trials: list[Report], number: int, attempts: dict[int, Report]
) -> Report:
    """Search trial `number` in the search and on fresh seeds; values: [[seed, value], ...]."""
    trial = next(trial for trial in trials if trial["number"] == number)
    good = {seed: attempt for seed, attempt in sorted(attempts.items()) if complete(attempt)}
    bad = Counter(trial["outcome"] for trial in attempts.values() if not complete(trial))
    return {
        "number": number,
        "params": trial["params"],
        "config": trial["config"],
        "base": settings(trial["config"]) == settings(plan["base"]),
        "search": trial["value"],
        "search_rank": 1 + sum(value(t) > trial["value"] for t in trials if complete(t)),
        "fresh": interval([value(trial) for trial in good.values()])._asdict(),
        "val": measured([*good.values()], "val"),
        "values": [[seed, value(trial)] for seed, trial in good.items()],
        "failed": dict(bad),
        "missing": len(set(plan["rounds"]["seeds"]) - attempts.keys()),
    }


def winning(plan: Report, trials: list[Report], lines: list[Report]) -> Report | None:
    """The best of those that have all fresh seeds or, in a sweep that plans none, of the search."""
    if plan["rounds"]["best"] and plan["rounds"]["seeds"]:
        whole = [line for line in lines if not line["missing"] and not line["failed"]]
        chosen = whole[0] if whole else None
        return chosen and {k: chosen[k] for k in ("number", "config", "val")} | {"by": "rounds"}
    done = [trial for trial in trials if complete(trial)]
    if not done:
        return None
    best = max(done, key=value)
    val = measured([best], "val")
    return {"number": best["number"], "config": best["config"], "val": val, "by": "search"}


def curse(plan: Report, lines: list[Report]) -> Report | None:
    """Search value minus mean on fresh seeds, of what the search chose: over the configurations
    ("all"), and of its best over the seeds ("best"); and how far the two rank alike."""
    k = plan["rounds"]["best"]
    chosen = [line for line in lines if line["values"]]
    chosen = [line for line in chosen if not line["base"] or line["search_rank"] <= k]
    if not chosen:
        return None
    search, fresh = zip(*((line["search"], line["fresh"]["mean"]) for line in chosen), strict=True)
    best = min(chosen, key=lambda line: line["search_rank"])
    drops = interval([best["search"] - value for _, value in best["values"]])
    found: Report = {"all": interval(np.subtract(search, fresh))._asdict()}
    found["best"] = drops._asdict() | {"number": best["number"]}
    return found | {"spearman": spearman(search, fresh)}


def against_base(lines: list[Report]) -> Report | None:
    """The winner minus the settings that the sweep started from, over the fresh seeds of both."""
    base = next((dict(line["values"]) for line in lines if line["base"]), None)
    if not base or lines[0]["base"]:
        return None
    if lines[0]["missing"] or lines[0]["failed"]:
        return None  # no winner
    own = dict(lines[0]["values"])
    seeds = sorted(own.keys() & base.keys())
    return paired([own[seed] for seed in seeds], [base[seed] for seed in seeds])._asdict()


def tested(final: list[Report], winner: Report | None) -> Report | None:
    """Of phase final: accuracy on test nodes, and whether it is the winner's of now."""
    numbers: list[int] = [trial["of"] for trial in final if "of" in trial]
    if not numbers:
        return None
    own = winner is not None and winner["number"] in numbers
    number = winner["number"] if winner and own else numbers[-1]
    attempts = by_seed(final, number).values()
    good = [trial for trial in attempts if complete(trial)]
    failed = dict(Counter(trial["outcome"] for trial in attempts if not complete(trial)))
    found: Report = {"number": number, "winner": own, "failed": failed, "trials": final}
    return found | {"test": measured(good, "test"), "val": measured(good, "val")}


def spearman(a: Sequence[float], b: Sequence[float]) -> Report | None:
    """{"rho", "p", "n"} of a and b [n]: p by all permutations up to n = 7, beyond by Student's t.
    None: fewer than three pairs, or one side all equal."""
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    rho, p = stats.spearmanr(a, b)
    if len(a) <= 7:
        first, second = (stats.rankdata(side) - (len(a) + 1) / 2 for side in (a, b))
        many: Any = dict(permutation_type="pairings", n_resamples=math.factorial(len(a)))
        p = stats.permutation_test([first], lambda x, axis: x @ second, **many).pvalue
    return {"rho": float(rho), "p": float(p), "n": len(a)}
