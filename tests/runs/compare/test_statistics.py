"""Statistics against closed forms, SciPy and properties."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from algd_jax.runs.compare.statistics import (
    COVERAGE,
    estimate,
    improvement,
    interquartile_mean,
    interval,
    mean,
)

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30).map(np.array)
FEW = settings(max_examples=60, deadline=None)


def one_stratum(values):
    return np.zeros(len(values))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([7.0], 7.0),
        ([1.0, 2.0, 9.0], 4.0),  # Of fewer than four none is cut.
        ([-100.0, 2.0, 4.0, 100.0], 3.0),
        ([9, 1, 2, 3, 4, 5, 6, 100], 4.5),
    ],
)
def test_interquartile_mean(values, expected):
    assert interquartile_mean(np.array(values)) == expected


@given(VALUES)
def test_interquartile_mean_is_scipys_trimmed_mean(values):
    expected = scipy.stats.trim_mean(values, 0.25)
    assert interquartile_mean(values) == pytest.approx(expected, rel=1e-12, abs=1e-6)


@given(st.floats(-1e6, 1e6), st.integers(1, 30))
def test_interquartile_mean_of_equal_values_is_that_value(value, count):
    assert interquartile_mean(np.full(count, value)) == pytest.approx(value, rel=1e-12)


@given(VALUES, st.randoms(use_true_random=False))
def test_interquartile_mean_knows_no_order(values, random):
    shuffled = values.copy()
    random.shuffle(shuffled)
    assert interquartile_mean(shuffled) == interquartile_mean(values)


@FEW
@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=12).map(np.array))
def test_an_interval_holds_its_estimate_and_lies_within_the_values(values):
    found = estimate(values, one_stratum(values), interquartile_mean, 2000)
    tolerance = 1e-9 * (1 + np.abs(values).max())
    assert found.low - tolerance <= found.value <= found.high + tolerance
    assert values.min() - tolerance <= found.low
    assert found.high <= values.max() + tolerance


def test_one_run_in_a_stratum_has_no_interval():
    assert estimate(np.array([3.0]), np.zeros(1), mean) == (3.0, None, None)
    two_and_one = estimate(np.array([3.0, 4.0, 5.0]), np.array(["a", "a", "b"]), mean)
    assert two_and_one == (4.0, None, None)


@pytest.mark.parametrize("count", [2, 3])
def test_the_interval_of_so_few_runs_is_their_range(count):
    """All draws of one extreme have probability 1/4 and 1/27, both above 2.5 %."""
    values = np.array([1.0, 5.0, 11.0])[:count]
    found = estimate(values, one_stratum(values), interquartile_mean)
    assert (found.low, found.high) == (values.min(), values.max())


def test_the_interval_of_a_mean_of_two_values_is_binomial():
    """Of n runs that are 0 or 1 with half each, a drawn mean is Binomial(n, ½) / n."""
    values = np.tile([0.0, 1.0], 20)
    found = estimate(values, one_stratum(values), mean, 20_000)
    low, high = scipy.stats.binom.ppf([0.025, 0.975], 40, 0.5) / 40
    assert (found.low, found.high) == (low, high)


def test_intervals_are_scipys_over_strata():
    """SciPy draws each of several samples by itself, which is what strata are."""
    rng = np.random.default_rng(3)
    groups = [rng.normal(0, 1, 9), rng.normal(50, 5, 12)]
    values, strata = np.concatenate(groups), np.repeat(["a", "b"], [9, 12])

    def statistic(*samples, axis):
        return interquartile_mean(np.concatenate(samples, axis=axis))

    reference = scipy.stats.bootstrap(
        groups, statistic, n_resamples=20_000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    low, high = interval(values, strata, interquartile_mean, 20_000)
    assert (low, high) == pytest.approx(tuple(reference), abs=0.05 * (high - low))
    unstratified = interval(values, np.zeros(21), interquartile_mean, 20_000)
    assert unstratified[1] - unstratified[0] > 2 * (high - low)


def test_curves_are_drawn_run_by_run():
    """Two runs that mirror each other have a mean without any spread only if drawn together."""
    values = np.array([[0.0, 1.0], [1.0, 0.0], [5.0, 5.0]])
    low, high = interval(values, np.zeros(2), mean)
    np.testing.assert_array_equal(low, [0, 0, 5])
    np.testing.assert_array_equal(high, [1, 1, 5])
    total_low, total_high = interval(values[:2].sum(axis=0), np.zeros(2), mean)
    assert (total_low, total_high) == (1, 1)


def test_any_leading_axes_are_of_one_run():
    values = np.random.default_rng(2).normal(size=(2, 3, 6))
    low, high = interval(values, np.zeros(6), mean, 500)
    assert low.shape == high.shape == (2, 3)
    alone = interval(values[1, 2], np.zeros(6), mean, 500)
    assert (low[1, 2], high[1, 2]) == alone


def test_the_draw_is_always_the_same():
    values = np.random.default_rng(0).normal(size=20)
    first, second = (interval(values, np.zeros(20), mean) for _ in range(2))
    assert first == second


@given(VALUES, VALUES)
@FEW
def test_improvement_is_the_mann_whitney_statistic(first, second):
    found = improvement(first, second, one_stratum(first), one_stratum(second), 200)
    expected = scipy.stats.mannwhitneyu(first, second).statistic / (len(first) * len(second))
    assert found.value == pytest.approx(expected)
    backwards = improvement(second, first, one_stratum(second), one_stratum(first), 200)
    assert found.value + backwards.value == pytest.approx(1)
    if found.low is not None:
        assert 0 <= found.low <= found.high <= 1


def test_improvement_is_the_mean_over_strata():
    """Certain in one environment, impossible in the other, whatever their numbers of runs."""
    first, first_strata = np.array([9.0, 9.0, 9.0, 0.0, 0.0]), np.array(list("aaabb"))
    second, second_strata = np.array([1.0, 2.0, 3.0, 4.0]), np.array(list("aabb"))
    found = improvement(first, second, first_strata, second_strata)
    assert found == (0.5, 0.5, 0.5)


def test_the_interval_of_an_improvement_is_that_of_drawn_pairs():
    rng = np.random.default_rng(5)
    first, second = rng.normal(0.4, 1, 8), rng.normal(0, 1, 7)
    found = improvement(first, second, np.zeros(8), np.zeros(7), 20_000)
    x, y = rng.choice(first, (20_000, 8)), rng.choice(second, (20_000, 7))
    drawn = np.mean(x[:, :, None] > y[:, None, :], axis=(1, 2))
    drawn += 0.5 * np.mean(x[:, :, None] == y[:, None, :], axis=(1, 2))
    expected = tuple(np.quantile(drawn, [0.025, 0.975]))
    assert (found.low, found.high) == pytest.approx(expected, abs=0.03)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("runs", "expected"), [*COVERAGE.items(), (5, 0.90), (10, 0.94), (20, 0.94)]
)
def test_coverage(runs, expected):
    """How often the interval holds the truth, 0 for a symmetrical distribution, as documented."""
    rng = np.random.default_rng(runs)
    samples, hits = 4000, 0
    for values in rng.normal(size=(samples, runs)):
        low, high = interval(values, np.zeros(runs), interquartile_mean, 1000)
        hits += low <= 0 <= high
    assert hits / samples == pytest.approx(expected, abs=4 * math.sqrt(0.25 / samples))
