"""What an agent learns, and what one update reports."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import optax
from flax import struct

from algd_jax.agents.critics import CriticParams
from algd_jax.agents.statistics import Statistics
from algd_jax.types import Scalar


class AgentState(struct.PyTreeNode):
    """Everything an agent learns.

    Attributes:
      actor: parameters of the actor.
      critics: parameters of all critics.
      target_critics: their slowly moving copies.
      multiplier: state of the multiplier's rule.
      penalty: state of the penalty's rule.
      actor_optimizer, critic_optimizer: Adam moments.
      updates: [] int32, updates made.
      statistics: of what the environments return.
      average: running mean of the actor's parameters, which act deterministically; ``()`` if the
        actor itself does.
    """

    actor: dict
    critics: CriticParams
    target_critics: CriticParams
    multiplier: Any
    penalty: Any
    actor_optimizer: optax.OptState
    critic_optimizer: optax.OptState
    updates: jax.Array
    statistics: Statistics = Statistics()
    average: Any = ()


class UpdateMetrics(struct.PyTreeNode):
    """What one update reports, in the order in which it arises; scalars.

    With C constraints ``risk``, ``violation``, ``lam`` and ``rho`` are [C].

    Attributes:
      reward_loss: summed squared error of the twin reward critics.
      cost_loss: mean squared error of the cost critics.
      critic_gradient: global norm of the critics' gradient.
      reward_value: mean value of replayed pairs.
      risk: mean pessimistic discounted cost of replayed pairs.
      violation: risk above the discounted budget; negative when there is slack.
      energy: mean energy of the policy's actions.
      auxiliary: mean of the actor's other loss term (score error, or log density).
      actor_gradient: global norm of the actor's gradient.
      lam: multiplier λ after the update.
      rho: penalty ρ after the update.
    """

    reward_loss: jax.Array
    cost_loss: jax.Array
    critic_gradient: jax.Array
    reward_value: jax.Array
    risk: jax.Array
    violation: jax.Array
    energy: jax.Array
    auxiliary: jax.Array
    actor_gradient: jax.Array
    lam: jax.Array
    rho: jax.Array


class Pressure(NamedTuple):
    """What weighs the cost in the energy of one update.

    Attributes:
      lam: λ as the energy sees it, [] or [C].
      rho: ρ, [] or [C].
      budget: h, discounted cost allowed, [] or [C].
    """

    lam: Scalar
    rho: Scalar
    budget: Scalar
