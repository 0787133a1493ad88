"""Running statistics of what the environments return, from which an agent takes its units.

Energies are made scale-free by measuring rewards and costs in units of their own spread: the
standard deviation of the discounted sums that the environments collect (Engstrom et al. 2020, arXiv
2005.12729, for rewards). Then ρ, λ and the temperature mean the same on every task.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from algd_jax.types import Scalar

OBSERVATION_RANGE = 10.0
"""Bound of a normalised observation, in standard deviations."""

_SMALLEST_UNIT = 1e-6


class Moments(struct.PyTreeNode):
    """Exponentially weighted mean and mean square, both started at zero.

    Attributes:
      mean: [...] weighted sum of values.
      square: [...] weighted sum of their squares.
      weight: [] sum of the weights; below 1 while little has been seen.
    """

    mean: jax.Array
    square: jax.Array
    weight: jax.Array

    @property
    def centre(self) -> jax.Array:
        """[...] mean of what was seen, 0 before anything was."""
        return self.mean / jnp.maximum(self.weight, _SMALLEST_UNIT)

    @property
    def deviation(self) -> jax.Array:
        """[...] standard deviation of what was seen, 0 before anything was."""
        square = self.square / jnp.maximum(self.weight, _SMALLEST_UNIT)
        return jnp.sqrt(jnp.maximum(square - self.centre**2, 0.0))

    def updated(self, values: jax.Array, rate: Scalar) -> Moments:
        """After a batch of values [N, ...], which gets the weight ``rate``."""

        def towards(old: jax.Array, new: jax.Array) -> jax.Array:
            return old + rate * (new - old)

        return Moments(
            mean=towards(self.mean, jnp.mean(values, axis=0)),
            square=towards(self.square, jnp.mean(values**2, axis=0)),
            weight=towards(self.weight, jnp.float32(1)),
        )


def no_moments(shape: tuple[int, ...]) -> Moments:
    """Moments of values of a shape of which none has been seen."""
    return Moments(jnp.zeros(shape), jnp.zeros(shape), jnp.float32(0))


class Paid(struct.PyTreeNode):
    """The cost that the running environments pay, known long before an episode is over.

    Attributes:
      cost: ``Moments`` [] or [C] of a step's cost, weighted as the cost limit sums it.
      terminated: ``Moments`` [] of the share of steps that terminate an episode.
    """

    cost: Moments
    terminated: Moments

    def per_episode(self, episode_length: int) -> jax.Array:
        """[] or [C] expected cost of an episode, as ``cost_limit`` counts it.

        Mean cost of a step times the expected length: with a share q of steps terminating, at most
        H of them, (1 − (1 − q)^H) / q.
        """
        share = jnp.maximum(self.terminated.centre, _SMALLEST_UNIT)
        length = -jnp.expm1(episode_length * jnp.log1p(-share)) / share
        return self.cost.centre * length


class DiscountedSums(struct.PyTreeNode):
    """What each of N environments has collected since its episode began: s ← γ s + gain.

    Attributes:
      reward: [N].
      cost: [N] or [N, C].
    """

    reward: jax.Array
    cost: jax.Array


class Normalizer(NamedTuple):
    """Observations in standard deviations from their running mean, bounded.

    Attributes:
      centre: [O] mean.
      scale: [O] standard deviation, at least 0.01.
    """

    centre: jax.Array
    scale: jax.Array

    def __call__(self, obs: jax.Array) -> jax.Array:
        """[..., O] -> [..., O]."""
        scaled = (obs - self.centre) / self.scale
        return jnp.clip(scaled, -OBSERVATION_RANGE, OBSERVATION_RANGE)


class Experience(NamedTuple):
    """What one step of the N environments adds to the statistics.

    Attributes:
      obs: [N, O] observations.
      sums: discounted sums since each episode's start; ``()`` if no unit is taken from them.
      costs: [N] or [N, C] costs of the step, weighted as the cost limit sums them.
      terminated: [N] 1 where the step terminated an episode.
      rate: [] weight of the step in running means that shall span about an episode.
    """

    obs: jax.Array
    sums: Any
    costs: jax.Array
    terminated: jax.Array
    rate: Scalar


class Statistics(struct.PyTreeNode):
    """What an agent remembers of the environments; ``()`` in place of what it has no use for.

    Attributes:
      obs: ``Moments`` [O] of observations.
      reward: ``Moments`` [] of discounted sums of rewards.
      cost: ``Moments`` [] or [C] of discounted sums of costs.
      paid: ``Paid``, the cost of an episode.
    """

    obs: Any = ()
    reward: Any = ()
    cost: Any = ()
    paid: Any = ()

    def updated(self, experience: Experience, measuring_rate: Scalar) -> Statistics:
        """After one step of the environments.

        Args:
          experience: the step.
          measuring_rate: [] its weight in ``paid``.
        """
        rate, sums, found = experience.rate, experience.sums, {}
        if self.obs:
            found["obs"] = self.obs.updated(experience.obs, rate)
        if self.reward:
            found["reward"] = self.reward.updated(sums.reward, rate)
            found["cost"] = self.cost.updated(sums.cost, rate)
        if self.paid:
            found["paid"] = Paid(
                cost=self.paid.cost.updated(experience.costs, measuring_rate),
                terminated=self.paid.terminated.updated(experience.terminated, measuring_rate),
            )
        return self.replace(**found)


def init_statistics(
    obs_size: int | None, sums: tuple[int, ...] | None, paid: tuple[int, ...] | None
) -> Statistics:
    """Statistics of which nothing has been seen; None for what is not wanted.

    Args:
      obs_size: O.
      sums, paid: shape of costs, () or (C,).
    """
    return Statistics(
        obs=() if obs_size is None else no_moments((obs_size,)),
        reward=() if sums is None else no_moments(()),
        cost=() if sums is None else no_moments(sums),
        paid=() if paid is None else Paid(no_moments(paid), no_moments(())),
    )


class Units(NamedTuple):
    """What one unit of reward and of cost is to the critics, in the environment's units.

    Attributes:
      reward: [].
      cost: [] or [C].
    """

    reward: Scalar = 1.0
    cost: Scalar = 1.0


def units(statistics: Statistics, budget: jax.Array) -> Units:
    """The spread of discounted sums; of costs at least a tenth of the budget.

    Costs that hardly ever arise would otherwise be blown up beyond all proportion.

    Args:
      statistics: with ``reward`` and ``cost``.
      budget: [] or [C] discounted cost allowed.
    """
    return Units(
        reward=jnp.maximum(statistics.reward.deviation, _SMALLEST_UNIT),
        cost=jnp.maximum(statistics.cost.deviation, jnp.maximum(0.1 * budget, _SMALLEST_UNIT)),
    )


def normalizer(moments: Moments) -> Normalizer:
    """How networks see observations of these moments."""
    return Normalizer(moments.centre, jnp.maximum(moments.deviation, 1e-2))
