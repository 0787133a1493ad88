"""Statistics over few runs, by the method of rliable (Agarwal et al. 2021, arXiv 2108.13264).

Interquartile means, stratified bootstrap intervals and probabilities of improvement, in float64.
Runs are the last axis [n]; their strata are the environments. A performance profile is the mean of
an indicator per threshold.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

CONFIDENCE = 0.95
_TAILS = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)
RESAMPLES = 5000
COVERAGE = {2: 0.50, 3: 0.75, 4: 0.88}
"""How often the 95 % interval of an interquartile mean from so few runs holds the truth, for normal
values; from 5 runs on it is 0.90 or more (docs/comparing.md)."""

Statistic = Callable[[np.ndarray], np.ndarray]
"""(values [..., n]) -> [...]: one number of n runs, whatever their order."""


class Estimate(NamedTuple):
    """A statistic of some runs.

    Attributes:
      value: of the runs themselves.
      low, high: 95 % bootstrap interval; None if a stratum has but one run, which cannot vary.
    """

    value: float
    low: float | None
    high: float | None


def mean(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis."""
    return np.asarray(np.mean(values, axis=-1, dtype=np.float64))


def interquartile_mean(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis [..., n] without the lowest and highest n // 4 values."""
    count = values.shape[-1]
    cut = count // 4
    return mean(np.sort(values, axis=-1)[..., cut : count - cut])


def estimate(
    values: np.ndarray, strata: np.ndarray, statistic: Statistic, resamples: int = RESAMPLES
) -> Estimate:
    """A statistic of ``values`` [n] and its interval; see :func:`interval`."""
    value = float(statistic(np.asarray(values, np.float64)))
    bounds = interval(values, strata, statistic, resamples)
    low, high = map(float, bounds) if bounds else (None, None)
    return Estimate(value, low, high)


def interval(
    values: np.ndarray, strata: np.ndarray, statistic: Statistic, resamples: int = RESAMPLES
) -> tuple[np.ndarray, np.ndarray] | None:
    """Stratified percentile bootstrap of a statistic over runs.

    Args:
      values: [..., n]; a run's values along the leading axes are drawn together.
      strata: label of each run's stratum [n].
      statistic: what the interval is of.
      resamples: how often the runs are drawn anew.

    Returns:
      Lower and upper bounds [...], or None if a stratum has but one run.
    """
    if min(np.unique(strata, return_counts=True)[1]) < 2:
        return None
    drawn = _draw(strata, resamples)
    rows = np.asarray(values, np.float64).reshape(-1, len(strata))
    found = [np.quantile(statistic(row[drawn]), _TAILS) for row in rows]  # One at a time: [R, n].
    bounds = np.reshape(found, (*np.shape(values)[:-1], 2))
    return bounds[..., 0], bounds[..., 1]


def improvement(
    first: np.ndarray,
    second: np.ndarray,
    first_strata: np.ndarray,
    second_strata: np.ndarray,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Probability that a run of the first kind has a higher value than one of the second.

    Ties count half; the mean over strata, which both kinds must share.

    Args:
      first, second: values [n] and [m].
      first_strata, second_strata: labels of their strata [n] and [m].
      resamples: how often the runs are drawn anew, for the interval.
    """
    values, drawn = [], []
    for index, stratum in enumerate(np.unique(first_strata)):
        x, y = first[first_strata == stratum], second[second_strata == stratum]
        wins = (np.sign(x[:, None] - y[None, :]) + 1) / 2
        values.append(wins.mean())
        if min(len(x), len(y)) > 1:
            # How often each run is drawn: the mean over drawn pairs is a bilinear form.
            rng = np.random.default_rng((index, len(x), len(y)))
            times = [rng.multinomial(n, np.full(n, 1 / n), resamples) / n for n in wins.shape]
            drawn.append(np.sum((times[0] @ wins) * times[1], axis=1))
    value = float(np.mean(values))
    if len(drawn) < len(values):
        return Estimate(value, None, None)
    low, high = np.quantile(np.mean(drawn, axis=0), _TAILS).clip(0, 1)  # Rounding goes beyond.
    return Estimate(value, float(low), float(high))


def _draw(strata: np.ndarray, resamples: int) -> np.ndarray:
    """Indices of runs [R, n], drawn with replacement within each stratum; always the same draw."""
    rng = np.random.default_rng(0)
    groups = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
    return np.concatenate([rng.choice(group, (resamples, len(group))) for group in groups], axis=1)
