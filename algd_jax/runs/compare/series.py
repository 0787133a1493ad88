"""What the pictures of a comparison show, as arrays: learning curves and profiles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from algd_jax.runs.compare import statistics
from algd_jax.runs.compare.limits import limited_costs
from algd_jax.runs.compare.summary import Comparison, Row

if TYPE_CHECKING:
    import pandas as pd

_POINTS = 200  # Of a line; more cannot be seen.
_RESAMPLES = 1000  # For bands, of which there are many.


class Line(NamedTuple):
    """A line over x with its pointwise 95 % band.

    Attributes:
      x, y: points [t].
      low, high: band [t]; None if there are too few runs for one.
    """

    x: np.ndarray
    y: np.ndarray
    low: np.ndarray | None
    high: np.ndarray | None


def learning_curve(epochs: pd.DataFrame, quantity: str) -> Line:
    """Interquartile mean over runs at the steps that all of them evaluated.

    Args:
      epochs: of one configuration in one environment.
      quantity: ``return`` or ``cost``.
    """
    table = epochs.pivot(index="step", columns="trial", values=quantity).dropna()
    every = -(-len(table) // _POINTS) or 1
    table = table[::-1][::every][::-1]  # The last step stays.
    values = table.to_numpy()
    y = statistics.interquartile_mean(values)
    alike = np.zeros(values.shape[1])
    bounds = statistics.interval(values, alike, statistics.interquartile_mean, _RESAMPLES)
    return Line(table.index.to_numpy(), y, *(bounds or (None, None)))


def return_profile(comparison: Comparison, configuration: str, thresholds: np.ndarray) -> Line:
    """Share of a configuration's runs with a return above each threshold."""
    last = _of(comparison.last, configuration)
    above = last[return_column(comparison)].to_numpy()[None, :] > thresholds[:, None]
    return _share(thresholds, above, last)


def cost_profile(comparison: Comparison, configuration: str, thresholds: np.ndarray) -> Line:
    """Share of a configuration's runs with a cost up to each threshold."""
    last = _of(comparison.last, configuration)
    within = last[cost_column(comparison)].to_numpy()[None, :] <= thresholds[:, None]
    return _share(thresholds, within, last)


def _share(thresholds: np.ndarray, achieved: np.ndarray, last: pd.DataFrame) -> Line:
    """The share of runs, [t] of [t, n], with its band."""
    bounds = statistics.interval(
        achieved.astype(np.float64), last.env.to_numpy(), statistics.mean, _RESAMPLES
    )
    return Line(thresholds, statistics.mean(achieved), *(bounds or (None, None)))


def thresholds_of(values: np.ndarray) -> np.ndarray:
    """Thresholds [t] over the range of values [n], a little beyond both ends."""
    low, high = float(np.min(values)), float(np.max(values))
    margin = 0.05 * (high - low) or 1.0
    return np.linspace(low - margin, high + margin, _POINTS)


def return_column(comparison: Comparison) -> str:
    """The returns of ``last`` that may be put together: raw ones of one environment only."""
    return "return" if len(comparison.rows) == 1 else "score"


def cost_column(comparison: Comparison) -> str:
    """The costs of ``last`` that may be put together: raw ones of one environment or limit only."""
    alike = len(comparison.rows) == 1 or comparison.last.cost_limit.nunique() == 1
    return "cost" if alike else "excess"


def limited_in(comparison: Comparison, env: str) -> list[str]:
    """Names of the limited costs in an environment if there are several, of which the worst counts:
    its ``cost`` is then above its limit."""
    return limited_costs(comparison.last[comparison.last.env == env])


def limits_of(comparison: Comparison, configurations: Sequence[str], env: str) -> list[float]:
    """The limits of some configurations in an environment, or of all if none was run in it."""
    rows = comparison.rows[env]
    asked = [row for row in rows if row.configuration in configurations]
    return sorted({row.cost_limit for row in asked or rows})


def front(rows: Sequence[Row]) -> np.ndarray:
    """Mean costs and returns [m, 2] of the feasible Pareto front, by cost."""
    points = [(row.mean_cost.value, row.returns.value) for row in rows if row.pareto]
    return np.array(sorted(points)).reshape(-1, 2)


def _of(table: pd.DataFrame, configuration: str) -> pd.DataFrame:
    return table[table.configuration == configuration]
