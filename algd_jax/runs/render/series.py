"""What an episode is over time, for tasks without a map: speed or reward, and cost."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from algd_jax.runs.render.episodes import Episode
from algd_jax.types import TOTAL_COST

_AXES = ("x_velocity", "y_velocity")


class Series(NamedTuple):
    """A quantity of every step.

    Attributes:
      name: what it is, with its unit.
      values: [L].
    """

    name: str
    values: np.ndarray


def progress_of(episode: Episode) -> Series:
    """The speed if the environment reports velocities, else the reward."""
    velocities = [episode.metrics[axis] for axis in _AXES if axis in episode.metrics]
    if not velocities:
        return Series("reward of the step", episode.rewards)
    if len(velocities) == 1:
        return Series("velocity forward [m/s]", velocities[0])
    return Series("speed [m/s]", np.hypot(*velocities))


def heading(episode: Episode, limit: float | None) -> str:
    """An episode in one line."""
    cost = f"cost {episode.costs_so_far()[-1]:.4g}"
    allowed = "" if limit is None else f" (limit {limit:g})"
    returns = f"return {episode.returns_so_far[-1]:.2f}"
    return f"episode {episode.number}: {returns}, {cost}{allowed}, {len(episode)} steps"


def is_over(episode: Episode, limit: float | None) -> bool:
    """Whether the cost is above its limit."""
    return limit is not None and bool(episode.costs_so_far()[-1] > limit)


def parts_of(episode: Episode, step: int, since: int | None = None) -> str:
    """Which cost the steps after moment ``since`` up to ``step`` had, and of which parts, in words.

    By default that is the one step before moment ``step``.
    """
    steps = slice(max(0, step - 1) if since is None else since, step)
    if not episode.costly[steps].any():
        return "no cost"
    parts = [
        name.removeprefix("cost_")
        for name, values in episode.metrics.items()
        if name.startswith("cost_") and np.any(values[steps] > 0)
    ]
    cost = f"cost {episode.metrics[TOTAL_COST][steps].sum():.4g}"
    return f"{cost}: {', '.join(parts)}" if parts else cost
