"""Claims about the statistics, each with a test below.

1. An interval equals scipy's one-sample t interval; a paired comparison scipy's paired t test.
2. An interaction is the one-sample t test of both - first - second + reference.
3. The smallest detectable difference is found as often as promised: by simulation, and by the
   sample sizes that G*Power publishes.
4. Holm's p values equal an example by hand and the textbook's double loop; they keep the order,
   never fall below p nor exceed 1, and pass over nan.
5. No seed, one seed, equal samples and constant differences give exact figures, never a warning;
   the last bits of a float are no evidence.
6. A finding is one sentence that says what is above, what is below, and what was not shown.
7. Bad input is named.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_1samp, ttest_rel

from nodejepa_ext.judging.stats import (
    Comparison,
    Paired,
    finding,
    holm,
    interaction,
    interval,
    paired,
    smallest_detectable,
)

fractions = st.integers(0, 1000).map(lambda k: k / 1000)  # accuracies on 1000 nodes
NAN = math.nan


def accuracies(*seeds: int, n: int = 10) -> list[np.ndarray]:
    return [0.8 + 0.02 * np.random.default_rng(seed).standard_normal(n) for seed in seeds]


@pytest.mark.parametrize("level", [0.8, 0.95])
@pytest.mark.parametrize("n", [2, 10])
def test_interval_equals_scipy(n: int, level: float) -> None:
    (values,) = accuracies(0, n=n)
    ours = interval(values, level)
    expected = ttest_1samp(values, 0).confidence_interval(level)
    assert ours == pytest.approx((values.mean(), values.std(ddof=1), *expected, n))


def test_interval_by_hand() -> None:
    """1, 2, 3: std 1, and 97.5% of t with 2 degrees of freedom lies below 4.303."""
    half = 4.302653 / 3**0.5
    assert interval([1, 2, 3]) == pytest.approx((2, 1, 2 - half, 2 + half, 3))


@pytest.mark.parametrize("n", [2, 3, 20])
def test_paired_equals_scipy(n: int) -> None:
    arm, reference = accuracies(1, 2, n=n)
    ours, test = paired(arm, reference, level=0.9), ttest_rel(arm, reference)
    assert ours[1:4] == pytest.approx((*test.confidence_interval(0.9), test.pvalue))
    assert ours.difference == pytest.approx(arm.mean() - reference.mean())
    assert ours.detectable == smallest_detectable(np.std(arm - reference, ddof=1), n)
    assert ours.n == n


def test_interaction_equals_scipy() -> None:
    both, first, second, reference = accuracies(1, 2, 3, 4)
    ours, sums = interaction(both, first, second, reference), both - first - second + reference
    test = ttest_1samp(sums, 0)
    assert ours[:4] == pytest.approx((sums.mean(), *test.confidence_interval(0.95), test.pvalue))


@pytest.mark.parametrize(("n", "power", "alpha"), [(3, 0.8, 0.05), (10, 0.8, 0.05), (10, 0.5, 0.2)])
def test_detectable_by_simulation(n: int, power: float, alpha: float) -> None:
    d = smallest_detectable(2.0, n, power, alpha)
    differences = np.random.default_rng(0).normal(d, 2.0, size=(20_000, n))
    found = ttest_1samp(differences, 0, axis=1).pvalue < alpha
    assert found.mean() == pytest.approx(power, abs=0.02)


@pytest.mark.parametrize(("dz", "n"), [(0.2, 199), (0.5, 34), (0.8, 15), (1.0, 10)])
def test_detectable_by_published_sample_sizes(dz: float, n: int) -> None:
    """G*Power, matched pairs, two-sided, 80% at 5%: the fewest pairs that find an effect dz."""
    assert smallest_detectable(1.0, n) <= dz < smallest_detectable(1.0, n - 1)


def test_detectable_golden_and_scale() -> None:
    assert smallest_detectable(1.0, 10) == pytest.approx(0.9960, abs=5e-5)
    assert smallest_detectable(0.03, 10) == pytest.approx(0.03 * smallest_detectable(1.0, 10))
    assert smallest_detectable(0.0, 10) == 0
    assert math.isnan(smallest_detectable(NAN, 1))
    assert math.isfinite(smallest_detectable(1.0, 2, 0.99, 0.001))
    assert math.isfinite(smallest_detectable(1.0, 10**6))


def test_holm_by_hand() -> None:
    """In order: 4 x .005, 3 x .01, 2 x .03, and .04, which may not fall below the one before."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.4, 0.6, 0.5]) == [1, 1, 1]
    assert holm([0.03]) == [0.03]
    assert holm([]) == []


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_properties(p: list[float]) -> None:
    adjusted, m = holm(p), len(p)
    assert all(raw <= ours <= 1 for raw, ours in zip(p, adjusted, strict=True))
    order = sorted(range(m), key=lambda i: p[i])
    assert [adjusted[i] for i in order] == sorted(adjusted)
    for place, i in enumerate(order):  # the largest of (m - j) p_(j) up to its own place
        assert adjusted[i] == min(1, max((m - j) * p[order[j]] for j in range(place + 1)))


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), max_size=8), st.data())
def test_holm_passes_over_nan(p: list[float], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(p)))
    with_nan = holm([*p[:place], NAN, *p[place:]])
    assert math.isnan(with_nan.pop(place))
    assert with_nan == holm(p)


def test_no_seed_and_one_seed() -> None:
    assert interval([]) == pytest.approx((NAN, NAN, NAN, NAN, 0), nan_ok=True)
    assert interval([0.8]) == pytest.approx((0.8, NAN, NAN, NAN, 1), nan_ok=True)
    assert paired([], []) == pytest.approx((NAN, NAN, NAN, NAN, NAN, 0), nan_ok=True)
    assert paired([0.75], [0.5]) == pytest.approx((0.25, NAN, NAN, NAN, NAN, 1), nan_ok=True)
    assert interaction([], [], [], []).n == 0


@settings(deadline=None)
@given(st.lists(fractions, min_size=2, max_size=20), fractions, st.integers(0, 1000))
def test_no_spread(reference: list[float], constant: float, thousandths: int) -> None:
    n, k = len(reference), thousandths / 1000
    assert interval([constant] * n) == (constant, 0, constant, constant, n)
    assert paired(reference, reference) == (0, 0, 0, 1, 0, n)
    ours = paired([r + k for r in reference], reference)  # equal up to float rounding
    assert ours.low == ours.difference == ours.high == pytest.approx(k)
    assert (ours.p, ours.detectable) == (float(k == 0), 0)


def test_rounding_is_no_evidence() -> None:
    """0.84 - 0.83 - 0.82 + 0.81 is 1e-16 in floats, and on every seed alike."""
    assert 0.84 - 0.83 - 0.82 + 0.81 != 0
    cells = [[k] * 9 + [k / 2] for k in (0.84, 0.83, 0.82, 0.81)]
    assert interaction(*cells) == (0, 0, 0, 1, 0, 10)


@settings(deadline=None)
@given(st.lists(st.tuples(fractions, fractions), min_size=2, max_size=20))
def test_paired_properties(pairs: list[tuple[float, float]]) -> None:
    arm, reference = map(list, zip(*pairs, strict=True))
    ours, mirrored = paired(arm, reference), paired(reference, arm)
    assert ours.low <= ours.difference <= ours.high and 0 <= ours.p <= 1
    assert (mirrored.difference, mirrored.p) == pytest.approx((-ours.difference, ours.p))
    if abs(ours.p - 0.05) > 1e-9:
        assert (ours.p < 0.05) == (not ours.low <= 0 <= ours.high)


ABOVE = Paired(0.008, 0.002, 0.014, 0.01, 0.009, 10)
BELOW = Paired(-0.012, -0.0204, -0.0003, 0.0001, 0.009, 10)
UNCLEAR = Paired(0.003, -0.004, 0.010, 0.4, 0.011, 10)
EQUAL = Paired(0.0, 0.0, 0.0, 1.0, 0.0, 10)
ONE = Paired(0.003, NAN, NAN, NAN, NAN, 1)
NONE = Paired(NAN, NAN, NAN, NAN, NAN, 0)


def compared(graph: str, paired: Paired, holm_p: float, arm: str = "bfs_mask") -> Comparison:
    return Comparison(graph, arm, "reference", paired, holm_p)


def test_finding_of_one_arm() -> None:
    above, unclear = compared("cora", ABOVE, 0.02), compared("citeseer", UNCLEAR, 0.4)
    shown = "cora bfs_mask is 0.8 points above reference [0.2, 1.4] (n=10, p=0.02 after Holm)"
    rest = "(a difference of 1.1 points would have been seen with 80% power)"
    named = f"no difference shown at n=10 for bfs_mask against reference {rest}"
    unnamed = f"no difference shown at n=10 {rest}"
    assert finding([above, unclear]) == f"On {shown}; on citeseer {unnamed}."
    assert finding([unclear, above]) == f"On citeseer {unnamed}; on {shown}."
    assert finding([unclear]) == f"On citeseer {named}."


def test_finding_groups_many_arms() -> None:
    low = compared("cora", BELOW, 0.0004, "a")
    arms = [low, *(compared("cora", UNCLEAR, 0.9, arm) for arm in "bc")]
    arms += [compared("cora", ABOVE, 0.0301, "d"), compared("cora", EQUAL, 1.0, "e")]
    assert finding(arms) == (
        "On cora d is 0.8 points above reference [0.2, 1.4] (n=10, p=0.03 after Holm), "
        "a is 1.2 points below reference [-2.0, -0.03] (n=10, p<0.001 after Holm), "
        "no difference shown at n=10 for b, c, e against reference "
        "(a difference of 1.1 points would have been seen with 80% power)."
    )


def test_finding_without_evidence() -> None:
    assert finding([]) == "No comparison was made."
    one, none = compared("cora", ONE, NAN), compared("pubmed", NONE, NAN)
    assert finding([one, none]) == (
        "On cora one seed shows nothing for bfs_mask against reference; "
        "on pubmed no seed in common for bfs_mask against reference."
    )
    assert finding([one, compared("pubmed", ABOVE, 0.02)]) == (
        "On cora one seed shows nothing; "
        "on pubmed bfs_mask is 0.8 points above reference [0.2, 1.4] (n=10, p=0.02 after Holm)."
    )
    assert finding([compared("cora", EQUAL, 1.0)]) == (
        "On cora no difference shown at n=10 for bfs_mask against reference (equal on all seeds)."
    )


def test_holm_decides_a_finding() -> None:
    """p = .03 three times: each is below .05 alone, none is after Holm."""
    arms = [compared("cora", ABOVE, p, a) for p, a in zip(holm([0.03] * 3), "abc", strict=True)]
    assert finding(arms).startswith("On cora no difference shown at n=10 for a, b, c against")
    assert "above" in finding([compared("cora", ABOVE, 0.0499)])
    assert "no difference shown at n=10" in finding([compared("cora", ABOVE, 0.05)])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: interval([0.5, NAN]), "values = .*nan.*: expected finite numbers"),
        (lambda: interval([[0.5]]), "values = .*: expected finite numbers"),
        (lambda: interval([0.5], level=95), "level = 95: expected a number between 0 and 1"),
        (lambda: paired([0.5, 0.6], [0.5]), "reference has 1 values: expected 2"),
        (lambda: interaction([1], [1], [1], [math.inf]), "reference = .*inf"),
        (lambda: smallest_detectable(-1.0, 10), "std = -1.0: expected 0 or more"),
        (lambda: smallest_detectable(1.0, 10, power=0.01), "alpha = 0.05, power = 0.01"),
        (lambda: holm([0.5, 1.5]), "p = .*1.5.*: expected values from 0 to 1"),
        (lambda: holm([-0.1, 0.5]), "p = .*-0.1.*: expected values from 0 to 1"),
    ],
)
def test_bad_input_is_named(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
