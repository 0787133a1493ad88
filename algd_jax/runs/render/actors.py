"""Who acts in the episodes that are played."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from algd_jax.envs import EnvSpec, SafetyEnv
from algd_jax.envs.registry import is_code
from algd_jax.errors import ConfigError, printable
from algd_jax.runs.build import build
from algd_jax.runs.directory import RunDirectory
from algd_jax.runs.evaluate import Which, choose_checkpoint, load_agent
from algd_jax.runs.memory import check_evaluation_memory
from algd_jax.runs.render.episodes import random_policy
from algd_jax.training.epoch import Trainer
from algd_jax.training.rollout import KeyedPolicy
from algd_jax.types import TOTAL_COST


class Actor(NamedTuple):
    """Who acts.

    Attributes:
      name: in words.
      policy: makes a policy of ``parameters``.
      parameters: a pytree.
      limits: of the costs, by name [cost / episode].
    """

    name: str
    policy: Callable[[Any], KeyedPolicy]
    parameters: Any
    limits: dict[str, float]


def random_actor(spec: EnvSpec) -> Actor:
    """Actions drawn evenly from their range."""
    return Actor("random actions", lambda _: random_policy(spec), (), {TOTAL_COST: spec.cost_limit})


def trained_actor(trainer: Trainer, directory: RunDirectory, which: Which) -> Actor:
    """A run's deterministic policy; its parameters are the agent and the hyperparameters."""
    check_evaluation_memory(trainer)
    agent, step = load_agent(trainer, directory, which)

    def policy(parameters):
        agent, hyper = parameters
        return lambda obs, key: trainer.algorithm.act_deterministic(agent, obs, hyper)

    name = printable(f"{which} policy of {directory.path.resolve().name}, {step:,} steps")
    parameters = (agent, trainer.config.hyper.as_arrays())
    return Actor(name, policy, parameters, trainer.config.limits)


def guest_actor(
    env: SafetyEnv, name: str, run_dir: Path, which: Which | None, force: bool
) -> Actor:
    """A run's policy in its environment or, by force, in another that it fits."""
    directory = RunDirectory(run_dir)
    trained_on = directory.look_up_config().env
    config = directory.read_config(name if is_code(trained_on) else None)
    which = choose_checkpoint(directory, which)
    trainer = build(config)
    wanted, found = _sizes(trainer.env.spec), _sizes(env.spec)
    if wanted != found:
        raise ConfigError(
            f"policy: {run_dir} was trained on {config.env} with {wanted}, {name} has {found}"
        )
    if name != config.env and not force:
        raise ConfigError(
            f"policy: {run_dir} was trained on {config.env}, not on {name}; "
            "add --force to play it there all the same"
        )
    return trained_actor(trainer, directory, which)


def _sizes(spec: EnvSpec) -> str:
    return f"{spec.observation_size} observations and {spec.action_size} actions"
