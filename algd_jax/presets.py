"""Named presets: complete configurations to start from.

``paper`` is the paper's regime to the letter; ``quick`` shows a safe policy within minutes on a
laptop-class CPU; ``throughput`` feeds an accelerator.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from algd_jax.agents.algorithms import configured
from algd_jax.config import AgentConfig, Config, Hyper, LoopConfig
from algd_jax.envs import EnvSpec, registry
from algd_jax.errors import unknown_name


def quick(spec: EnvSpec) -> Config:
    """Small networks, 32 environments, larger steps: learns within minutes on two CPU cores."""
    return Config(
        loop=LoopConfig(
            env_steps=200_000,
            num_envs=32,
            warmup_steps=5_000,
            updates_per_step=8,
            batch_size=128,
            replay_capacity=200_000,
            epoch_steps=32 * spec.episode_length // 2,
            eval_episodes=20,
            checkpoint_epochs=6,
            termination_frees_cost=True,
        ),
        agent=AgentConfig(critic_width=64, actor_width=64, target_period=1),
        # Targets that follow twenty times faster than the paper's: over so few updates, values
        # could not travel along an episode otherwise.
        hyper=Hyper(cost_limit=spec.cost_limit, actor_lr=1e-3, critic_lr=1e-3, polyak=0.05),
    )


def paper(spec: EnvSpec) -> Config:
    """The paper's regime: one environment, ten updates of batch 256 per step, 250 epochs."""
    warmup_steps, epochs = 5_000, 250
    return Config(
        loop=LoopConfig(
            env_steps=warmup_steps + epochs * spec.episode_length,
            warmup_steps=warmup_steps,
            epoch_steps=spec.episode_length,
            checkpoint_epochs=50,
            timeout_terminates=spec.timeout_terminal,
            termination_frees_cost=spec.timeout_terminal,
        ),
        hyper=Hyper(cost_limit=spec.cost_limit),
    )


def throughput(spec: EnvSpec) -> Config:
    """Many environments side by side, each transition drawn eight times: for an accelerator.

    Rates are those of ``quick``: there are even fewer updates per step.
    """
    num_envs = 2_048
    return Config(
        loop=LoopConfig(
            env_steps=4_000_000,
            num_envs=num_envs,
            warmup_steps=50_000,
            updates_per_step=32,
            batch_size=512,
            replay_capacity=1_000_000,
            epoch_steps=num_envs * spec.episode_length // 4,
            eval_episodes=64,
            checkpoint_epochs=10,
            termination_frees_cost=True,
        ),
        agent=AgentConfig(critic_width=128, target_period=1),
        hyper=Hyper(cost_limit=spec.cost_limit, actor_lr=1e-3, critic_lr=1e-3, polyak=0.05),
    )


_TUNED: dict[str, dict[str, float]] = {
    # A step of 0.02 s earns a few hundredths: at their usual weights the score regression and the
    # penalty outweigh that. Cost critics expect too little, most of all where a hazard is being
    # touched, so that their mean alone allows too much.
    "SafetyPointGoal1-v0": {"rho": 0.1, "score_weight": 0.01, "temperature": 0.1, "kappa": 3.0},
}
"""Numbers found for an environment, with ``algd`` (docs/learning.md); ``paper`` takes none."""

_RECTIFIERS = {"Ant": 100.0, "HalfCheetah": 1000.0, "Humanoid": 1000.0}
"""c of ``cal`` where the paper's runs of it took another than on the Safety-Gym tasks."""

PRESETS: dict[str, Callable[[EnvSpec], Config]] = {
    "quick": quick,
    "paper": paper,
    "throughput": throughput,
}


def preset(name: str, env: str, algorithm: str = Config.algorithm) -> Config:
    """The complete configuration of a preset for one environment and algorithm.

    Raises:
      ConfigError: for an unknown preset, environment or algorithm.
    """
    if name not in PRESETS:
        raise unknown_name("preset", name, PRESETS)
    spec = registry.spec(env)
    config = dataclasses.replace(PRESETS[name](spec), env=env, preset=name)
    tuned = {} if name == "paper" else _TUNED.get(env, {})
    hyper = config.hyper.replace(rectifier=_RECTIFIERS.get(env, config.hyper.rectifier), **tuned)
    config = dataclasses.replace(config, hyper=hyper)
    return configured(_as_the_limit_is_summed(config, spec), algorithm)


def _as_the_limit_is_summed(config: Config, spec: EnvSpec) -> Config:
    """Where the limit bounds a discounted sum, the cost critics discount alike."""
    if spec.cost_discount == 1:
        return config
    return dataclasses.replace(config, hyper=config.hyper.replace(cost_discount=spec.cost_discount))
