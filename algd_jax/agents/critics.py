"""Twin reward critics and the cost-critic ensemble."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct

from algd_jax.agents.heads import Head, mean_head
from algd_jax.agents.networks import ValueNetwork, truncated_fan_in_normal
from algd_jax.lagrangian.energy import risk
from algd_jax.types import Scalar, Transition

TWINS = 2


class CriticParams(struct.PyTreeNode):
    """Parameters of all critics.

    Attributes:
      reward: twin reward critics, every leaf with a leading axis of 2.
      cost: cost critics, every leaf with a leading axis E.
    """

    reward: dict
    cost: dict


class CriticValues(struct.PyTreeNode):
    """What the critics say of one state-action pair.

    Attributes:
      reward: [2] discounted reward.
      cost: [E] discounted cost; [E, C] with several constraints.
    """

    reward: jax.Array
    cost: jax.Array


@dataclasses.dataclass(frozen=True)
class Critics:
    """The critics' networks; parameters are passed in.

    Attributes:
      reward, cost: networks of one critic of each kind.
      ensemble_size: E, cost critics.
      reward_head, cost_head: what their outputs mean.
    """

    reward: ValueNetwork
    cost: ValueNetwork
    ensemble_size: int
    reward_head: Head = mean_head()
    cost_head: Head = mean_head()

    def init(self, key: jax.Array) -> CriticParams:
        """Independent parameters for each critic."""
        reward_key, cost_key = jax.random.split(key)
        return CriticParams(
            reward=_init_members(self.reward, reward_key, TWINS),
            cost=_init_members(self.cost, cost_key, self.ensemble_size),
        )

    def at_state(self, params: CriticParams, obs: jax.Array) -> Callable[[jax.Array], CriticValues]:
        """Values as a function of the action at an observation, which is embedded once.

        For many examples at once the members' axis stays the outermost, as matrix products want it;
        that is why this takes leading axes, where ``jax.vmap`` would put its own axis first.

        Args:
          params: of all critics.
          obs: [..., O].

        Returns:
          Function of actions [..., A], which may have more leading axes than ``obs`` (several
          actions at each observation), to values [2, ...] and [E, ...].
        """
        outputs = self.outputs_at_state(params, obs)
        return lambda action: self.values(outputs(action))

    def outputs_at_state(
        self, params: CriticParams, obs: jax.Array
    ) -> Callable[[jax.Array], CriticValues]:
        """As :meth:`at_state`, but the networks' outputs, of which heads make values."""
        reward = _members_at_state(self.reward, params.reward, obs)
        cost = _members_at_state(self.cost, params.cost, obs)
        return lambda action: CriticValues(reward(action), cost(action))

    def values(self, outputs: CriticValues) -> CriticValues:
        """Values of the networks' outputs."""
        return CriticValues(
            self.reward_head.value(outputs.reward), self.cost_head.value(outputs.cost)
        )

    def losses(self, outputs: CriticValues, targets: CriticValues) -> tuple[jax.Array, jax.Array]:
        """Losses of one example: summed over the twins, averaged over all cost values."""
        reward_loss = jnp.sum(self.reward_head.loss(outputs.reward, targets.reward))
        cost_loss = jnp.mean(self.cost_head.loss(outputs.cost, targets.cost))
        return reward_loss, cost_loss


def make_critics(
    obs_size: int,
    action_size: int,
    widths: tuple[int, ...],
    ensemble_size: int,
    constraints: int = 1,
    dtype: Any = None,
    normalize: bool = False,
    heads: tuple[Head, Head] = (mean_head(), mean_head()),
) -> Critics:
    """Critics as the paper's reference builds them: ReLU and Xavier for reward, SiLU for cost.

    Several constraints share an ensemble member's hidden layers and have an output each.
    """
    norm = dict(dtype=dtype, normalize=normalize)
    relu = (nn.relu, nn.initializers.xavier_uniform())
    silu = (nn.silu, truncated_fan_in_normal())
    shape = () if constraints == 1 else (constraints,)
    reward_head, cost_head = heads
    return Critics(
        ValueNetwork(obs_size, action_size, widths, *relu, reward_head.shape, **norm),
        ValueNetwork(obs_size, action_size, widths, *silu, shape + cost_head.shape, **norm),
        ensemble_size,
        reward_head,
        cost_head,
    )


def td_targets(
    transition: Transition,
    next_values: CriticValues,
    discount: Scalar,
    cost_discount: Scalar,
) -> CriticValues:
    """One-step targets of one transition (paper, section on critics).

    The reward critics share the smaller target value; each cost critic bootstraps from its own
    target copy, which keeps the ensemble's disagreement meaningful.

    Args:
      transition: one transition.
      next_values: target critics at (next_obs, next action).
      discount: [] γ.
      cost_discount: [] γ_c.

    Returns:
      reward: [2], both entries equal; cost: as in ``next_values``.
    """
    weight = discount * (1.0 - transition.terminated)
    cost_weight = cost_discount * (1.0 - transition.cost_terminated)
    if transition.bootstrap is not None and transition.cost_bootstrap is not None:
        weight, cost_weight = transition.bootstrap, transition.cost_bootstrap
    reward = transition.reward + weight * jnp.min(next_values.reward)
    cost = transition.cost + cost_weight * next_values.cost
    return CriticValues(reward=jnp.full(TWINS, reward), cost=cost)


def pessimistic(values: CriticValues, kappa: Scalar) -> tuple[jax.Array, jax.Array]:
    """(smaller reward value [...], risk [...] or [..., C]) of values with these leading axes."""
    return jnp.min(values.reward, axis=0), risk(values.cost, kappa)


def _init_members(network: ValueNetwork, key: jax.Array, members: int) -> dict:
    obs, action = jnp.zeros(network.obs_size), jnp.zeros(network.action_size)

    def init_one(member_key):
        return network.init(member_key, obs, action, method="value")["params"]

    return jax.vmap(init_one)(jax.random.split(key, members))


def _members_at_state(
    network: ValueNetwork, params: dict, obs: jax.Array
) -> Callable[[jax.Array], jax.Array]:
    def embed(member):
        return network.apply({"params": member}, obs, method="embed")

    embeddings = jax.vmap(embed)(params)

    def values(action: jax.Array) -> jax.Array:
        def value(member, embedding):
            return network.apply({"params": member}, embedding, action)

        return jax.vmap(value)(params, embeddings)

    return values
