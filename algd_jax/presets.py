"""Named presets: complete configurations to start from.

``paper`` is the paper's regime to the letter. ``quick`` (a laptop's CPU) and ``throughput`` (an
accelerator) share one recipe, which docs/recipe.md justifies part by part, and differ in sizes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from algd_jax.agents.algorithms import configured
from algd_jax.config import AgentConfig, Config, Hyper, LoopConfig
from algd_jax.envs import EnvSpec
from algd_jax.envs.registry import spec as spec_of
from algd_jax.errors import unknown_name

_RECIPE_AGENT = AgentConfig(
    multiplier="pid",
    critic_width=128,
    actor_width=64,
    target_period=1,
    actor_period=2,
    critic_norm=True,
    normalize_obs=True,
    scale_energy=True,
    measured_cost=True,
    average_actor=True,
)

_RECIPE_HYPER = Hyper(
    actor_lr=1e-3,
    critic_lr=1e-3,
    polyak=0.05,
    average_rate=0.01,
    # Rewards and costs are in units of their own spread, so these hold on every task.
    temperature=0.05,
    score_weight=0.005,
    quiet_share=0.25,
    # Half the paper's noise: where actions cost, a body that trembles less lives longer.
    sigma_max=0.5,
    rho=0.5,
    pid_proportional=2.0,
    pid_integral=0.005,
    pid_derivative=0.0,
    largest_lam=100.0,
    smallest_lam=-2.0,
    # Costs soon to come are what an action decides, and what critics can foresee.
    cost_discount=0.97,
)


def quick(spec: EnvSpec) -> Config:
    """128 environments and batches of 256: learns within minutes on one or two CPU cores."""
    return _recipe(
        spec,
        num_envs=128,
        env_steps=max(200_000, 500 * spec.episode_length),
        warmup_steps=5_000,
        updates_per_step=4,
        batch_size=256,
        eval_episodes=20,
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
    """512 environments and batches of 2,048: for an accelerator."""
    return _recipe(
        spec,
        num_envs=512,
        env_steps=max(1_000_000, 4_000 * spec.episode_length),
        warmup_steps=50_000,
        updates_per_step=8,
        batch_size=2_048,
        eval_episodes=64,
    )


def _recipe(
    spec: EnvSpec,
    *,
    num_envs: int,
    env_steps: int,
    warmup_steps: int,
    updates_per_step: int,
    batch_size: int,
    eval_episodes: int,
) -> Config:
    """The recipe that ``quick`` and ``throughput`` share."""
    return Config(
        loop=LoopConfig(
            num_envs=num_envs,
            env_steps=env_steps,
            warmup_steps=warmup_steps,
            updates_per_step=updates_per_step,
            batch_size=batch_size,
            eval_episodes=eval_episodes,
            # A ring holds several episodes, and an epoch is half an episode of all environments.
            replay_capacity=1_000_000,
            epoch_steps=num_envs * spec.episode_length // 2,
            checkpoint_epochs=6,
            target_steps=5,
            spread_episodes=True,
            termination_frees_cost=True,
        ),
        agent=_RECIPE_AGENT,
        hyper=_RECIPE_HYPER.replace(cost_limit=spec.cost_limit),
    )


_RECTIFIERS = {"Ant": 100.0, "HalfCheetah": 1000.0, "Humanoid": 1000.0}
"""c of ``cal`` where the paper's runs took another; only ``paper`` measures costs as they do."""

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
    spec = spec_of(env)
    config = dataclasses.replace(PRESETS[name](spec), env=env, preset=name)
    if name == "paper":
        rectifier = _RECTIFIERS.get(env, config.hyper.rectifier)
        config = dataclasses.replace(config, hyper=config.hyper.replace(rectifier=rectifier))
    return configured(_as_the_limit_is_summed(config, spec), algorithm)


def _as_the_limit_is_summed(config: Config, spec: EnvSpec) -> Config:
    """Where the limit bounds a discounted sum, the cost critics discount alike."""
    if spec.cost_discount == 1:
        return config
    return dataclasses.replace(config, hyper=config.hyper.replace(cost_discount=spec.cost_discount))
