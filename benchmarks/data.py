"""What the benchmarks feed: transitions, and the agents of presets."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from algd_jax.agents.algorithms import Algorithm
from algd_jax.config import Config, Hyper
from algd_jax.envs import EnvSpec
from algd_jax.presets import preset
from algd_jax.runs.build import build
from algd_jax.training.epoch import Trainer
from algd_jax.types import Transition


class Subject(NamedTuple):
    """An agent to measure, at the sizes of its configuration.

    Attributes:
      trainer: the functions of its run.
      hyper: float32 scalars.
    """

    trainer: Trainer
    hyper: Hyper

    @property
    def config(self) -> Config:
        """Complete."""
        return self.trainer.config

    @property
    def spec(self) -> EnvSpec:
        """Of its environment."""
        return self.trainer.env.spec

    @property
    def algorithm(self) -> Algorithm:
        """Its functions."""
        return self.trainer.algorithm


def subject(
    env: str, preset_name: str, algorithm: str = "algd", batch: int | None = None, **agent: Any
) -> Subject:
    """The agent of a preset.

    Args:
      env: decides O, A and the horizon.
      preset_name: decides all other sizes.
      algorithm: its name.
      batch: B instead of the preset's.
      **agent: fields of ``AgentConfig`` instead of the preset's.
    """
    config = preset(preset_name, env, algorithm)
    config = dataclasses.replace(
        config,
        agent=dataclasses.replace(config.agent, **agent),
        loop=dataclasses.replace(config.loop, batch_size=batch or config.loop.batch_size),
    )
    return Subject(build(config), config.hyper.as_arrays())


def transitions(key: jax.Array, shape: tuple[int, ...], spec: EnvSpec) -> Transition:
    """Random transitions, leaves [*shape, …]: unit-normal states and rewards, one cost in ten."""
    obs_key, action_key, reward_key, cost_key, next_key = jax.random.split(key, 5)
    low, high = jnp.array(spec.action_low), jnp.array(spec.action_high)
    zeros = jnp.zeros(shape)
    return Transition(
        obs=jax.random.normal(obs_key, (*shape, spec.observation_size)),
        action=jax.random.uniform(action_key, (*shape, spec.action_size), minval=low, maxval=high),
        reward=jax.random.normal(reward_key, shape),
        cost=jax.random.bernoulli(cost_key, 0.1, shape).astype(zeros.dtype),
        next_obs=jax.random.normal(next_key, (*shape, spec.observation_size)),
        terminated=zeros,
        cost_terminated=zeros,
    )
