"""Evaluation: fixed-length episodes of a policy, vmapped, with keys of their own."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import struct

from algd_jax.agents.state import AgentState
from algd_jax.config import Hyper
from algd_jax.envs import SafetyEnv
from algd_jax.training.epoch import Trainer
from algd_jax.types import TOTAL_COST

Policy = Callable[[jax.Array], jax.Array]
"""Observation [O] -> action [A]."""


class Episodes(struct.PyTreeNode):
    """Outcome of n episodes.

    Attributes:
      returns: [n] undiscounted sums of rewards.
      costs: [n] sums of costs, as the cost limit sums them.
      lengths: [n] steps until termination or the time limit.
      parts: [n] sums of parts of the cost, by name, likewise.
    """

    returns: jax.Array
    costs: jax.Array
    lengths: jax.Array
    parts: dict[str, jax.Array] = struct.field(default_factory=dict)

    @property
    def named_costs(self) -> dict[str, jax.Array]:
        """Total and parts by name, [n] each."""
        return {TOTAL_COST: self.costs, **self.parts}


def run_episode(
    env: SafetyEnv, policy: Policy, key: jax.Array, parts: tuple[str, ...] = ()
) -> Episodes:
    """One episode from a full reset; after termination nothing counts any more.

    Args:
      env: a single environment.
      policy: its actions.
      key: of the reset.
      parts: names in ``metrics`` of the parts of the cost to sum as well.
    """

    def step(carry, _):
        state, alive, totals = carry
        state = env.step(state, policy(state.obs))
        # where, not multiplication: a terminated simulation may go on to produce NaN.
        weight = env.spec.cost_discount**totals.lengths
        gains = Episodes(
            returns=state.reward,
            costs=weight * state.metrics[TOTAL_COST],
            lengths=jnp.float32(1),
            parts={name: weight * state.metrics[name] for name in parts},
        )
        totals = jax.tree.map(lambda total, gain: total + jnp.where(alive, gain, 0), totals, gains)
        return (state, alive & (state.done == 0), totals), None

    zero = jnp.float32(0)
    nothing = Episodes(returns=zero, costs=zero, lengths=zero, parts=dict.fromkeys(parts, zero))
    start = (env.reset(key), jnp.bool_(True), nothing)
    (_, _, totals), _ = jax.lax.scan(step, start, length=env.spec.episode_length)
    return totals


def evaluate(
    env: SafetyEnv, policy: Policy, key: jax.Array, episodes: int, parts: tuple[str, ...] = ()
) -> Episodes:
    """n independent episodes side by side; leaves [n]."""
    keys = jax.random.split(key, episodes)
    return jax.vmap(lambda episode_key: run_episode(env, policy, episode_key, parts))(keys)


def evaluate_agent(trainer: Trainer, agent: AgentState, key: jax.Array, hyper: Hyper) -> Episodes:
    """``eval_episodes`` episodes of a trainer's deterministic policy; leaves [n]."""

    def policy(obs: jax.Array) -> jax.Array:
        return trainer.algorithm.act_deterministic(agent, obs, hyper)

    config = trainer.config
    return evaluate(trainer.env, policy, key, config.loop.eval_episodes, config.limited_parts)
