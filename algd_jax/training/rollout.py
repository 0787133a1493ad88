"""Episodes kept step by step, to be looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from algd_jax.envs import SafetyEnv

KeyedPolicy = Callable[[jax.Array, jax.Array], jax.Array]
"""Observation [O], key -> action [A]; a deterministic policy ignores the key."""


class Rollout(struct.PyTreeNode):
    """One episode of at most T steps, the time limit; n of them have a leading axis.

    What follows termination is undefined, the simulation goes on there.

    Attributes:
      states: ``pipeline_state`` at the start and after every step, leaves [T + 1, ...].
      rewards: [T] of each step.
      metrics: [T] each, what the environment reports of each step, by name.
      length: [] int32 steps until termination or the time limit.
    """

    states: Any
    rewards: jax.Array
    metrics: dict[str, jax.Array]
    length: jax.Array


def rollout(env: SafetyEnv, policy: KeyedPolicy, reset_key: jax.Array, key: jax.Array) -> Rollout:
    """One episode from a full reset.

    Args:
      env: a single environment.
      policy: its actions.
      reset_key: of the reset; an episode of ``training.evaluation`` with this key starts alike.
      key: of the policy's draws.
    """

    def step(carry, step_key):
        state, alive = carry
        after = env.step(state, policy(state.obs, step_key))
        kept = (after.pipeline_state, after.reward, after.metrics, alive)
        return (after, alive & (after.done == 0)), kept

    start = env.reset(reset_key)
    keys = jax.random.split(key, env.spec.episode_length)
    _, (states, rewards, metrics, alive) = jax.lax.scan(step, (start, jnp.bool_(True)), keys)
    states = jax.tree.map(
        lambda first, later: jnp.concatenate([jnp.asarray(first)[None], later]),
        start.pipeline_state,
        states,
    )
    return Rollout(states, rewards, dict(metrics), jnp.sum(alive, dtype=jnp.int32))
