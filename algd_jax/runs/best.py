"""Which policy of a run is its best feasible one, and what the log tells of that choice.

The highest of many noisy evaluations is a lucky one. An epoch whose evaluation promises a better
policy is therefore only a candidate: it is evaluated anew, and what it is then believed to return
and to cost comes from those fresh episodes alone. All of it is in the epoch's record, so the best
policy follows from the log (:func:`best_of`), in a run, in a sweep, and for those who look on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from algd_jax.config import Config
from algd_jax.runs.logs import Record, by_cost, is_feasible, is_number, log_name
from algd_jax.training.evaluation import Episodes, Judged
from algd_jax.types import TOTAL_COST

FRESH_BATCHES = 2
"""Evaluations by which a candidate is confirmed."""

BEST_KEPT = 3
"""Of the best policies: the final evaluation may refuse the newest and take the one before."""


class Best(NamedTuple):
    """A policy that was the best feasible one when it was confirmed.

    Attributes:
      step: environment steps made when it was evaluated.
      eval_return, eval_cost: means of the evaluation that made it a candidate.
      confirmed_return, confirmed_cost: means of the fresh episodes.
    """

    step: int
    eval_return: float
    eval_cost: float
    confirmed_return: float
    confirmed_cost: float

    def __str__(self) -> str:
        return f"{self.confirmed_return:.2f} at step {self.step:,}"


def is_candidate(record: Record, best: Best | None, limits: Mapping[str, float]) -> bool:
    """Whether an epoch's evaluation is feasible and returns more than the best policy does."""
    promises_more = best is None or record["eval_return"] > best.confirmed_return
    return promises_more and is_feasible(record, limits)


def new_best(best: Best | None, record: Record, limits: Mapping[str, float]) -> Best | None:
    """The best policy as of an epoch, if it is the epoch's; None if it stays the one before.

    Args:
      best: before.
      record: the epoch's; where it has nothing of a confirmation, it is no candidate.
      limits: allowed cost per episode of each constraint, by name.
    """

    def is_within(name: str) -> bool:
        bound: Any = record.get(log_name("confirmed_bound", name))
        return is_number(bound) and bound <= limits[name]

    if not all(map(is_within, limits)):
        return None
    noted: list[Any] = [record.get(name) for name in Best._fields]
    if not all(map(is_number, noted)):  # As a log of other hands may have it.
        return None
    found = Best(*noted)
    return found if best is None or found.confirmed_return > best.confirmed_return else None


def best_of(records: Sequence[Record], limits: Mapping[str, float]) -> Best | None:
    """The best feasible policy of a run's epochs up to now."""
    best = None
    for record in records:
        best = new_best(best, record, limits) or best
    return best


def evaluation_record(config: Config, episodes: Episodes) -> Record:
    """What an epoch's record says of its evaluation.

    ``risk_correlation`` is Pearson's correlation of the critics' risk with the discounted cost that
    followed, over the states they were asked at in the first half of the time limit, where most of
    what is discounted still fits into the episode; None where one of the two is constant.
    """
    assert episodes.judged is not None
    correlations = dict(zip(config.constraints, _correlations(episodes.judged), strict=True))
    return {
        "eval_return": float(np.mean(episodes.returns)),
        **by_cost("eval_cost", jax.tree.map(np.mean, episodes.named_costs)),
        **{log_name("risk_correlation", name): value for name, value in correlations.items()},
    }


def confirmation_record(config: Config, fresh: Episodes | None) -> Record:
    """What an epoch's record says of the fresh episodes of a candidate.

    Each limited cost is bounded by its mean plus one standard error.

    Args:
      config: of the run.
      fresh: leaves [n], n >= 2; None if the epoch was no candidate.
    """
    costs = (TOTAL_COST, *config.limited_parts)
    if fresh is None:
        names = [log_name("confirmed_cost", name) for name in costs]
        names += [log_name("confirmed_bound", name) for name in config.limits]
        return dict.fromkeys(["confirmed_return", *names])
    bounds = {name: _bound(np.asarray(fresh.named_costs[name])) for name in config.limits}
    return {
        "confirmed_return": float(np.mean(fresh.returns)),
        **by_cost("confirmed_cost", jax.tree.map(np.mean, fresh.named_costs)),
        **by_cost("confirmed_bound", bounds),
    }


def _bound(costs: np.ndarray) -> float:
    """Mean plus one standard error of costs [n]."""
    return float(np.mean(costs) + np.std(costs, ddof=1) / math.sqrt(len(costs)))


def _correlations(judged: Judged) -> list[float | None]:
    """Of each constraint's risk [n, S, C] with its cost, over the first half of the S states."""
    half = math.ceil(judged.alive.shape[-1] / 2)
    alive = np.asarray(judged.alive[:, :half])
    pairs: list[Any] = [
        np.asarray(values[:, :half], np.float64)[alive] for values in (judged.risk, judged.cost)
    ]
    return [_correlation(risk, cost) for risk, cost in zip(*(p.T for p in pairs), strict=True)]


def _correlation(first: np.ndarray, second: np.ndarray) -> float | None:
    """Pearson's of two samples [m]; None where it is undefined."""
    if not (np.ptp(first) > 0 and np.ptp(second) > 0):  # Nor where one of them is NaN.
        return None
    correlation = float(np.corrcoef(first, second)[0, 1])
    return correlation if math.isfinite(correlation) else None
