"""Successive halving: which members of a running population go on being trained.

At a few epochs, the rungs, all configurations of a program are ranked, and one in ``reduction`` of
them, the best, goes on (Jamieson and Talwalkar 2016, arXiv 1502.07943). A configuration is what
differs in its numbers; its seeds stay together, because a seed is luck, not a setting.

All members are at a rung at once, so ranking is a sort. Optuna's pruners are made for trials that
arrive one after the other: the first to arrive is kept whatever comes (docs/sweeps.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from algd_jax.errors import ConfigError

SUCCESSIVE_HALVING = "successive-halving"
REDUCTION = 3


class Halving(NamedTuple):
    """How a sweep searches.

    Attributes:
      reduction: η, at least 2: one of so many configurations goes on at a rung, and the next rung
        is so many times later.
      first_rung: epochs before the first rung; None for as many as let the last survivors train
        about ``reduction`` times longer than to their last rung.
    """

    reduction: int = REDUCTION
    first_rung: int | None = None


class Rung(NamedTuple):
    """When members are ranked.

    Attributes:
      epoch: after so many epochs.
      kept: configurations that go on.
    """

    epoch: int
    kept: int


def rungs(search: Halving, configurations: int, epochs: int) -> tuple[Rung, ...]:
    """The rungs of a program, none after its last epoch or once one configuration is left.

    Args:
      search: how the sweep searches.
      configurations: how many begin.
      epochs: of a whole run.
    """
    found, kept, epoch = [], configurations, first_rung(search, configurations, epochs)
    while kept > 1 and epoch < epochs:
        kept = max(1, kept // search.reduction)
        found.append(Rung(epoch, kept))
        epoch *= search.reduction
    return tuple(found)


def first_rung(search: Halving, configurations: int, epochs: int) -> int:
    """Epochs before the first rung."""
    if search.first_rung is not None:
        return search.first_rung
    while configurations >= search.reduction:
        configurations, epochs = configurations // search.reduction, epochs // search.reduction
    return max(1, epochs)


def ranking(
    configurations: Sequence[Sequence[int]], returns: np.ndarray, excesses: np.ndarray
) -> list[int]:
    """Configurations from the best to the worst, by the means of their members.

    Feasible ones come first, by return; then the others, by how far the worst of their limited
    costs is above its limit; last those with a member that has failed. Ties keep their order.

    Args:
      configurations: members of each.
      returns: [P], NaN for a member that has failed.
      excesses: [P, C] each limited cost above its limit.
    """

    def rank(number: int) -> tuple[int, float, float]:
        members = list(configurations[number])
        gain, excess = returns[members].mean(), excesses[members].mean(axis=0).max()
        if not np.isfinite(gain + excess):
            return 2, 0.0, 0.0
        return int(excess > 0), max(excess, 0.0), -gain

    return sorted(range(len(configurations)), key=rank)


def check_search(search: Halving | None) -> None:
    """Raise :class:`ConfigError` for numbers that cannot work in any sweep."""
    if search is None:
        return
    if search.reduction < 2:
        raise ConfigError(f"--reduction: got {search.reduction}, allowed is an integer >= 2")
    if search.first_rung is not None and search.first_rung < 1:
        raise ConfigError(f"--first-rung: got {search.first_rung}, allowed is an integer >= 1")


def describe_search(search: Halving | None) -> str:
    """In words, as flags."""
    if search is None:
        return "none"
    flags = [SUCCESSIVE_HALVING, f"--reduction {search.reduction}"]
    if search.first_rung is not None:
        flags.append(f"--first-rung {search.first_rung}")
    return " ".join(flags)
