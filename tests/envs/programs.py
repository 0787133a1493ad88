"""Compiled programs that several tests use: compiling one is what most of them wait for."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from algd_jax import envs
from algd_jax.envs import SafetyEnv, State


@functools.cache
def batched_step(name: str, **options: Any) -> tuple[SafetyEnv, Any]:
    """An environment, and its jitted step of a batch; one program for each size of batch."""
    env = envs.make(name, **options)
    return env, jax.jit(jax.vmap(env.step))


def blank_states(env: SafetyEnv, size: int, pipeline_state: Any) -> State:
    """A batch of states in which only the pipeline state says anything."""
    shapes = jax.eval_shape(env.reset, jax.random.PRNGKey(0))
    zeros = jax.tree.map(lambda leaf: jnp.zeros((size, *leaf.shape), leaf.dtype), shapes)
    return zeros.replace(pipeline_state=pipeline_state)
