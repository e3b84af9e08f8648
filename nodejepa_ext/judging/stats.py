"""What the seeds show: intervals, paired tests, Holm's correction, and a finding in one sentence.

Arms of an experiment share their seeds, so arms are compared pair by pair. Accuracies go in as
fractions; only the sentence speaks of percentage points. A figure that does not exist (the spread
of one seed) is nan; nothing here warns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, stats

LEVEL = 0.05  # of significance, after Holm
ROUNDING = 16 * np.finfo(float).eps  # a spread below this share of the samples is float noise


class Interval(NamedTuple):
    """Mean of n seeds, sample standard deviation, t interval; nan where n is too small."""

    mean: float
    std: float
    low: float
    high: float
    n: int


class Paired(NamedTuple):
    """Mean difference over n seeds, t interval, two-sided p, smallest detectable difference."""

    difference: float
    low: float
    high: float
    p: float
    detectable: float
    n: int


class Comparison(NamedTuple):
    """One arm against a reference on one graph; holm_p: paired.p adjusted for all of its table."""

    graph: str
    arm: str
    reference: str
    paired: Paired
    holm_p: float


def interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """t interval of the mean of values [n], one a seed; level: its coverage.

    ValueError: values that are not finite numbers in one dimension, a level outside (0, 1).
    """
    (sample,) = _samples(values=values)
    return _interval(sample, np.abs(sample).max(initial=0.0), level)


def paired(arm: ArrayLike, reference: ArrayLike, level: float = 0.95) -> Paired:
    """arm - reference, both [n] and of the same seeds in the same order, by a paired t test.

    detectable: `smallest_detectable` at the differences' own standard deviation.
    ValueError: as in `interval`, and samples that differ in length.
    """
    a, b = _samples(arm=arm, reference=reference)
    return _against_zero(a - b, np.abs([a, b]).max(initial=0.0), level)


def interaction(
    both: ArrayLike, first: ArrayLike, second: ArrayLike, reference: ArrayLike
) -> Paired:
    """Of a 2 x 2 factorial, each [n]: what two changes together add to the sum of each alone.

    both - first - second + reference, seed by seed, against zero. ValueError: as in `paired`.
    """
    b, f, s, r = cells = _samples(both=both, first=first, second=second, reference=reference)
    return _against_zero(b - f - s + r, np.abs(cells).max(initial=0.0), 0.95)


def smallest_detectable(std: float, n: int, power: float = 0.8, alpha: float = 0.05) -> float:
    """The true mean difference that a two-sided paired t test of n pairs finds with that power.

    std: of the differences, whose unit the result has. Under a true difference d the statistic is
    noncentral t with noncentrality d sqrt(n) / std (Cohen 1988, chapter 2). nan if n < 2.
    ValueError: a negative std; not 0 < alpha < power < 1.
    """
    if std < 0:
        raise ValueError(f"std = {std}: expected 0 or more")
    if not 0 < alpha < power < 1:
        raise ValueError(f"alpha = {alpha}, power = {power}: expected 0 < alpha < power < 1")
    if n < 2:
        return math.nan
    df = n - 1
    critical = stats.t.isf(alpha / 2, df)

    def excess(shift: float) -> float:
        found = stats.nct.sf(critical, df, shift) + stats.nct.sf(critical, df, -shift)
        return float(found) - power

    # Bonferroni's inequality on the statistic's numerator and denominator bounds the root
    miss = (1 - power) / 2
    bound = critical * math.sqrt(stats.chi2.isf(miss, df) / df) + stats.norm.isf(miss)
    return float(optimize.brentq(excess, 0.0, bound)) * std / math.sqrt(n)


def holm(p: Sequence[float]) -> list[float]:
    """Adjusted p values in the order given (Holm 1979): they bound the chance of any false find.

    nan, a comparison that could not be made, stays nan and counts for nothing.
    ValueError: a p outside [0, 1].
    """
    made = sorted((value, place) for place, value in enumerate(p) if not math.isnan(value))
    if made and not 0 <= made[0][0] <= made[-1][0] <= 1:
        raise ValueError(f"p = {list(p)}: expected values from 0 to 1, or nan")
    adjusted, largest = [math.nan] * len(p), 0.0
    for rank, (value, place) in enumerate(made):
        largest = max(largest, min(1.0, (len(made) - rank) * value))
        adjusted[place] = largest
    return adjusted


def finding(comparisons: Sequence[Comparison]) -> str:
    """One sentence, in percentage points: per graph what is above, what below, and the rest.

    holm_p < 0.05 decides. Brackets hold the interval of arm - reference. The difference that would
    have been seen is the largest `detectable` of the arms it is said of: at 5%, before Holm.
    """
    if not comparisons:
        return "No comparison was made."
    pairs = {(c.arm, c.reference) for c in comparisons}
    named = len(pairs) == 1 and any(c.holm_p < LEVEL for c in comparisons)
    graphs: dict[str, list[Comparison]] = {}
    for c in comparisons:
        graphs.setdefault(c.graph, []).append(c)
    text = "; ".join(f"on {graph} {_graph(own, named)}" for graph, own in graphs.items())
    return f"O{text[1:]}."


def _graph(comparisons: list[Comparison], named: bool) -> str:
    """The clauses on one graph; named: the sentence says elsewhere what is compared."""
    shown = [c for c in comparisons if c.holm_p < LEVEL]
    shown.sort(key=lambda c: -c.paired.difference)
    rest: dict[tuple[str, int], list[Comparison]] = {}
    for c in comparisons:
        if not c.holm_p < LEVEL:  # nan too
            rest.setdefault((c.reference, c.paired.n), []).append(c)
    return ", ".join([*map(_shown, shown), *(_not_shown(group, named) for group in rest.values())])


def _shown(c: Comparison) -> str:
    difference, low, high = map(_points, c.paired[:3])
    side = "below" if c.paired.difference < 0 else "above"
    p = "p<0.001" if c.holm_p < 0.001 else f"p={c.holm_p:.2g}"
    return (
        f"{c.arm} is {difference.lstrip('-')} points {side} {c.reference} [{low}, {high}] "
        f"(n={c.paired.n}, {p} after Holm)"
    )


def _not_shown(group: list[Comparison], named: bool) -> str:
    """group: of one reference and one n."""
    n = group[0].paired.n
    arms = ", ".join(c.arm for c in group)
    subject = "" if named else f" for {arms} against {group[0].reference}"
    if n < 2:
        return f"{'one seed shows nothing' if n else 'no seed in common'}{subject}"
    detectable = max(c.paired.detectable for c in group)
    seen = f"a difference of {_points(detectable)} points would have been seen with 80% power"
    return f"no difference shown at n={n}{subject} ({seen if detectable else 'equal on all seeds'})"


def _points(fraction: float) -> str:
    """In percentage points to one decimal, or to one digit where that would be 0.0."""
    points = 100 * fraction
    return f"{points:.1g}" if 0 < abs(points) < 0.05 else f"{points:.1f}"


def _samples(**samples: ArrayLike) -> list[NDArray[np.float64]]:
    """The samples as float arrays of one length; ValueError names the one at fault."""
    arrays = {name: np.asarray(values, dtype=float) for name, values in samples.items()}
    first = next(iter(arrays))
    for name, array in arrays.items():
        if array.ndim != 1 or not np.isfinite(array).all():
            raise ValueError(f"{name} = {array.tolist()}: expected finite numbers, one a seed")
        if len(array) != len(arrays[first]):
            expected = f"expected {len(arrays[first])}, one a seed, as {first} has"
            raise ValueError(f"{name} has {len(array)} values: {expected}")
    return list(arrays.values())


def _interval(sample: NDArray[np.float64], scale: float, level: float) -> Interval:
    """scale: the largest magnitude among the numbers that the sample was calculated from."""
    if not 0 < level < 1:
        raise ValueError(f"level = {level}: expected a number between 0 and 1")
    n = len(sample)
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, math.nan, n)
    if np.ptp(sample) <= ROUNDING * scale:  # equal, but for the last bits of 0.83 - 0.82
        mean, std = float(sample[0]) if abs(sample[0]) > ROUNDING * scale else 0.0, 0.0
    else:
        mean, std = float(sample.mean()), float(sample.std(ddof=1))
    if n == 1:
        return Interval(mean, math.nan, math.nan, math.nan, n)
    half = float(stats.t.isf((1 - level) / 2, n - 1)) * std / math.sqrt(n)
    return Interval(mean, std, mean - half, mean + half, n)


def _against_zero(differences: NDArray[np.float64], scale: float, level: float) -> Paired:
    """One-sample t test of the mean of differences [n]; without spread it is certain."""
    mean, std, low, high, n = _interval(differences, scale, level)
    if n < 2:
        p = math.nan
    elif std == 0:
        p = float(mean == 0)
    else:
        p = float(2 * stats.t.sf(abs(mean) / std * math.sqrt(n), n - 1))
    return Paired(mean, low, high, p, smallest_detectable(std, n), n)
