"""The table of algorithms: each is a record of pure functions assembled from shared parts."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from algd_jax.agents.actors import Actor
from algd_jax.agents.algorithm import Algorithm, Lagrangian
from algd_jax.agents.critics import make_critics
from algd_jax.agents.diffusion_actor import FORMS, make_diffusion_actor
from algd_jax.agents.gaussian_actor import make_gaussian_actor
from algd_jax.agents.heads import Head, categorical_head, mean_head
from algd_jax.agents.networks import COMPUTE_TYPES
from algd_jax.config import AgentConfig, Config, Hyper, validate_sizes
from algd_jax.errors import ConfigError, unknown_name
from algd_jax.lagrangian.energy import augmented_lagrangian, plain_lagrangian
from algd_jax.lagrangian.multiplier import (
    MultiplierRule,
    log_adam,
    no_multiplier,
    pid,
    projected_gradient,
)
from algd_jax.lagrangian.penalty import PenaltyRule, fixed_penalty, growing_penalty

ActorFactory = Callable[[int, tuple[float, ...], tuple[float, ...], AgentConfig], Actor]
"""(O, action_low, action_high, sizes) -> actor."""


@dataclasses.dataclass(frozen=True)
class Row:
    """What tells one algorithm from another.

    Attributes:
      actor: the class of policies.
      lagrangian: the energy that guides the policy.
      constrained: whether cost counts at all; if not, λ is 0.
      rectified: whether the energy sees λ − rect instead of λ.
      agent, hyper: settings the algorithm's authors chose differently, by field name.
    """

    actor: ActorFactory
    lagrangian: Lagrangian = plain_lagrangian
    constrained: bool = True
    rectified: bool = False
    agent: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    hyper: Mapping[str, Any] = dataclasses.field(default_factory=dict)


_PLAIN = {"smallest_lam": 0.0}
"""Below zero λ would reward cost in the plain Lagrangian."""

ALGORITHMS: dict[str, Row] = {
    "algd": Row(make_diffusion_actor, augmented_lagrangian),
    "diffusion_lagrangian": Row(make_diffusion_actor, hyper=_PLAIN),
    "cal": Row(make_gaussian_actor, rectified=True, hyper={"kappa": 0.5} | _PLAIN),
    "sac_lagrangian": Row(make_gaussian_actor, agent={"cost_critics": 1}, hyper=_PLAIN),
    "sac": Row(make_gaussian_actor, constrained=False, agent={"cost_critics": 1}),
}

REWARD_RANGE, COST_RANGE = (-10.0, 10.0), (-2.0, 18.0)
"""What histograms of critics cover, in units of the discounted sums' standard deviation."""

HEADS: dict[str, Callable[[float, float], Head]] = {
    "mean": lambda low, high: mean_head(),
    "categorical": lambda low, high: categorical_head(low, high, 51),
}

MULTIPLIERS: dict[str, Callable[[Hyper], MultiplierRule]] = {
    "log_adam": lambda hyper: log_adam(hyper.multiplier_lr, hyper.largest_lam),
    "projected_gradient": lambda hyper: projected_gradient(hyper.multiplier_lr, hyper.largest_lam),
    "pid": lambda hyper: pid(
        hyper.pid_proportional,
        hyper.pid_integral,
        hyper.pid_derivative,
        hyper.largest_lam,
        hyper.smallest_lam,
    ),
}

PENALTIES: dict[str, Callable[[Hyper], PenaltyRule]] = {
    "fixed": lambda hyper: fixed_penalty(hyper.rho),
    "growing": lambda hyper: growing_penalty(
        hyper.rho,
        hyper.penalty_growth,
        hyper.penalty_shrink,
        hyper.penalty_largest,
        hyper.penalty_period,
    ),
}


def configured(config: Config, name: str) -> Config:
    """``config`` for the named algorithm, with the settings its authors chose.

    Raises:
      ConfigError: for an unknown name.
    """
    row = _look_up("algorithm", name, ALGORITHMS)
    agent = dataclasses.replace(config.agent, **row.agent)
    hyper = config.hyper.replace(**row.hyper)
    return dataclasses.replace(config, algorithm=name, agent=agent, hyper=hyper)


def make_algorithm(
    name: str,
    obs_size: int,
    action_low: tuple[float, ...],
    action_high: tuple[float, ...],
    horizon: int | None,
    sizes: AgentConfig = AgentConfig(),
    constraints: int = 1,
    episode_length: int | None = None,
) -> Algorithm:
    """Assemble an algorithm for one kind of environment.

    Args:
      name: a key of ``ALGORITHMS``.
      obs_size: O.
      action_low, action_high: [A] action box.
      horizon: H, steps per episode over which ``cost_limit`` sums; None if the limit bounds the
        discounted sum and is the critics' budget as it stands.
      sizes: networks, chain length, ensemble size and rules.
      constraints: C; for C > 1 costs are [B, C] and limits [C].
      episode_length: time limit of an episode [steps]; by default the horizon.

    Raises:
      ConfigError: for an unknown name, a size that is none, or an action box that is empty or
        infinite.
    """
    validate_sizes(sizes)
    _check_counts(obs_size=obs_size, horizon=horizon, constraints=constraints)
    row = _look_up("algorithm", name, ALGORITHMS)
    _look_up("diffusion", sizes.diffusion, FORMS)  # Even where the policy is none of them.
    multiplier = _look_up("multiplier", sizes.multiplier, MULTIPLIERS)
    compute = _look_up("compute", sizes.compute, COMPUTE_TYPES)
    reward_head = _look_up("reward_head", sizes.reward_head, HEADS)
    cost_head = _look_up("cost_head", sizes.cost_head, HEADS)
    _check_box(action_low, action_high)
    return Algorithm(
        actor=row.actor(obs_size, action_low, action_high, sizes),
        critics=make_critics(
            obs_size,
            len(action_low),
            (sizes.critic_width,) * sizes.critic_layers,
            sizes.cost_critics,
            constraints,
            compute,
            sizes.critic_norm,
            (reward_head(*REWARD_RANGE), cost_head(*COST_RANGE)),
        ),
        lagrangian=row.lagrangian,
        multiplier=multiplier if row.constrained else lambda hyper: no_multiplier(),
        penalty=_look_up("penalty", sizes.penalty, PENALTIES),
        rectified=row.rectified,
        constraints=() if constraints == 1 else (constraints,),
        horizon=horizon,
        episode_length=horizon if episode_length is None else episode_length,
        target_period=sizes.target_period,
        average_actor=sizes.average_actor,
        normalize_obs=sizes.normalize_obs,
        scale_energy=sizes.scale_energy,
        measured=sizes.measured_cost and row.constrained,
    )


Entry = TypeVar("Entry")


def _look_up(field: str, name: str, table: Mapping[str, Entry]) -> Entry:
    if name not in table:
        raise unknown_name(field, name, table)
    return table[name]


def _check_counts(**counts: int | None) -> None:
    for name, count in counts.items():
        if count is not None and count < 1:
            raise ConfigError(f"{name}: got {count}, allowed is an integer >= 1")


def _check_box(low: tuple[float, ...], high: tuple[float, ...]) -> None:
    if len(low) != len(high) or not low:
        raise ConfigError(f"action_low, action_high: got {len(low)} and {len(high)} numbers")
    for bottom, top in zip(low, high, strict=True):
        if not (math.isfinite(bottom) and math.isfinite(top) and bottom < top):
            raise ConfigError(
                f"action_low, action_high: got [{bottom}, {top}], "
                "allowed are finite numbers with low < high"
            )
