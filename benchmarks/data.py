"""What the benchmarks feed: transitions, and the agents of presets."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from algd_jax.agents.algorithm import Algorithm
from algd_jax.config import Config, Hyper, LoopConfig
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


def subject(env: str, preset_name: str, algorithm: str = "algd", **sizes: Any) -> Subject:
    """The agent of a preset.

    Args:
      env: decides O, A and the horizon.
      preset_name: decides all other sizes.
      algorithm: its name.
      **sizes: as :func:`resized` takes them.
    """
    config = resized(preset(preset_name, env, algorithm), **sizes)
    return Subject(build(config), config.hyper.as_arrays())


def resized(config: Config, **sizes: Any) -> Config:
    """``config`` with other fields of its ``loop`` and ``agent``; None leaves a field as it is."""
    changed = {name: size for name, size in sizes.items() if size is not None}
    of_loop = {field.name for field in dataclasses.fields(LoopConfig)} & changed.keys()
    loop = {name: changed.pop(name) for name in of_loop}
    return dataclasses.replace(
        config,
        loop=dataclasses.replace(config.loop, **loop),
        agent=dataclasses.replace(config.agent, **changed),
    )


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
