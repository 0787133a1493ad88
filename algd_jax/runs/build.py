"""From a configuration to the run's pure functions and keys."""

from __future__ import annotations

import dataclasses
import enum
from typing import Any

import jax

from algd_jax.agents.algorithms import make_algorithm
from algd_jax.config import Config, validate
from algd_jax.envs import EnvSpec, SafetyEnv
from algd_jax.envs.checking import check_env
from algd_jax.envs.registry import is_built_in, shared
from algd_jax.errors import ConfigError, unknown_name
from algd_jax.training.epoch import Trainer


class Stream(enum.IntEnum):
    """Independent sources of randomness of a run, all derived from its seed."""

    TRAINING = 0
    EVALUATION = 1
    FINAL_EVALUATION = 2
    LANDSCAPE = 3
    EXPORT = 4
    PLAY = 5
    REPORT = 6
    CONFIRMATION = 7


def stream_key(seed: int, stream: Stream) -> jax.Array:
    """The PRNG key of one stream."""
    return jax.random.fold_in(jax.random.key(seed), stream)


def build(config: Config) -> Trainer:
    """Environment, algorithm and loop of a run; its configuration names the physics chosen.

    Raises:
      ConfigError: if the configuration cannot work.
    """
    validate(config)
    env = _env(config)
    config = dataclasses.replace(config, physics=env.physics)
    _check_constraints(config, env.spec)
    check_discount(config, env.spec)
    algorithm = make_algorithm(
        config.algorithm,
        env.spec.observation_size,
        env.spec.action_low,
        env.spec.action_high,
        env.spec.limited_steps,
        config.agent,
        len(config.constraints),
        env.spec.episode_length,
    )
    return Trainer(env, algorithm, config)


def _check_constraints(config: Config, spec: EnvSpec) -> None:
    for name in config.constraints:
        if name not in spec.limitable_costs:
            raise unknown_name("constraints", name, spec.limitable_costs)


def check_discount(config: Config, spec: EnvSpec) -> None:
    """Raise :class:`ConfigError` unless critics discount costs as a discounted limit does.

    Such a limit is their budget as it stands.
    """
    got, allowed = config.hyper.cost_discount, spec.cost_discount
    if allowed != 1 and got != allowed:
        raise ConfigError(
            f"cost_discount: got {got}, allowed is {allowed}, by which {spec.name} sums its cost"
        )


def settled(config: Config) -> Config:
    """The same configuration, with the physics named that is chosen on this device."""
    return dataclasses.replace(config, physics=_env(config).physics)


def shared_env(name: str, **options: Any) -> SafetyEnv:
    """An environment that is built once; what one of the user's own returns is checked.

    Raises:
      ConfigError: if it cannot be made, or cannot work.
    """
    env = shared(name, **options)
    if not is_built_in(name):
        check_env(env)
    return env


def _env(config: Config) -> SafetyEnv:
    # Only what is asked for: not every environment has these options.
    options: dict[str, Any] = {"random_start": True} if config.random_start else {}
    if config.physics != Config.physics:
        options["physics"] = config.physics
    return shared_env(config.env, **options)
