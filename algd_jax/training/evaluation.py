"""Evaluation: fixed-length episodes of a policy, vmapped, with keys of their own."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import struct

from algd_jax.envs import SafetyEnv

Policy = Callable[[jax.Array], jax.Array]
"""Observation [O] -> action [A]."""


class Episodes(struct.PyTreeNode):
    """Outcome of n episodes.

    Attributes:
      returns: [n] undiscounted sums of rewards.
      costs: [n] sums of costs, as the cost limit sums them.
      lengths: [n] steps until termination or the time limit.
    """

    returns: jax.Array
    costs: jax.Array
    lengths: jax.Array


def run_episode(env: SafetyEnv, policy: Policy, key: jax.Array) -> Episodes:
    """One episode from a full reset; after termination nothing counts any more."""

    def step(carry, _):
        state, alive, totals = carry
        state = env.step(state, policy(state.obs))
        # where, not multiplication: a terminated simulation may go on to produce NaN.
        cost = env.spec.cost_discount**totals.lengths * state.metrics["cost"]
        gains = Episodes(returns=state.reward, costs=cost, lengths=jnp.float32(1))
        totals = jax.tree.map(lambda total, gain: total + jnp.where(alive, gain, 0), totals, gains)
        return (state, alive & (state.done == 0), totals), None

    nothing = Episodes(returns=jnp.float32(0), costs=jnp.float32(0), lengths=jnp.float32(0))
    start = (env.reset(key), jnp.bool_(True), nothing)
    (_, _, totals), _ = jax.lax.scan(step, start, length=env.spec.episode_length)
    return totals


def evaluate(env: SafetyEnv, policy: Policy, key: jax.Array, episodes: int) -> Episodes:
    """n independent episodes side by side; leaves [n]."""
    keys = jax.random.split(key, episodes)
    return jax.vmap(lambda episode_key: run_episode(env, policy, episode_key))(keys)
