"""Configuration: what shapes the program (static) and what only changes numbers (``Hyper``).

``Config`` is frozen and complete: it is what ``config.json`` holds and what the command line fills
in, one flag per field. ``Hyper`` is its numeric half, a pytree: inside jit its fields are float32
arrays, and it may be vmapped over a population without compiling again.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from algd_jax.errors import ConfigError, unknown_name
from algd_jax.types import TOTAL_COST


class Hyper(struct.PyTreeNode):
    """Numbers that do not shape the program; each may differ between members of a population.

    Attributes:
      cost_limit: d, allowed cost per episode, summed as its ``EnvSpec`` says; with C constraints
        C numbers, in their order.
      discount: γ of the reward.
      cost_discount: γ_c of the cost.
      actor_lr: Adam step size of the actor.
      critic_lr: Adam step size of reward and cost critics.
      multiplier_lr: Adam step size of log λ.
      polyak: rate at which target critics follow.
      rho: ρ, penalty of the augmented Lagrangian.
      temperature: T of the Gibbs density exp(−L_A/T) the policy follows.
      kappa: κ, standard deviations of ensemble disagreement added to the cost.
      initial_lam: λ_0, the multiplier at the start.
      score_weight: weight of the score regression in the actor loss.
      sigma_min: smallest noise scale of the chain (ve).
      sigma_max: largest noise scale of the chain (ve).
      ddpm_beta_min: first β of the chain (ddpm).
      ddpm_beta_max: last β of the chain (ddpm).
      guidance: length of the score's push in each step of the chain (ddpm).
      initial_alpha: weight of the entropy at the start (Gaussian policies).
      rectifier: c of the rectified multiplier (cal).
      pid_proportional: K_P of the multiplier rule pid.
      pid_integral: K_I, per update.
      pid_derivative: K_D.
      penalty_growth: factor by which the growing penalty grows.
      penalty_shrink: share of the violation that may remain after a period without growth.
      penalty_largest: bound of the growing penalty.
      penalty_period: updates between two of its decisions.
    """

    cost_limit: float | tuple[float, ...] = 10.0
    discount: float = 0.99
    cost_discount: float = 0.99
    actor_lr: float = 3e-4
    critic_lr: float = 3e-4
    multiplier_lr: float = 3e-4
    polyak: float = 0.005
    rho: float = 1.0
    temperature: float = 1.0
    kappa: float = 1.0
    initial_lam: float = 0.6931
    score_weight: float = 0.1
    sigma_min: float = 0.01
    sigma_max: float = 1.0
    ddpm_beta_min: float = 1e-4
    ddpm_beta_max: float = 0.02
    guidance: float = 0.05
    initial_alpha: float = 0.2
    rectifier: float = 10.0
    pid_proportional: float = 0.1
    pid_integral: float = 1e-4
    pid_derivative: float = 0.01
    penalty_growth: float = 2.0
    penalty_shrink: float = 0.5
    penalty_largest: float = 100.0
    penalty_period: float = 10_000.0

    def as_arrays(self) -> Hyper:
        """The same numbers as float32 arrays, so that a changed value never compiles anew.

        Raises:
          ConfigError: for the first number that cannot work.
        """
        validate_hyper(self)
        return Hyper(**{name: jnp.float32(value) for name, value in vars(self).items()})


@dataclasses.dataclass(frozen=True)
class AgentConfig:
    """Sizes and rules of the agent.

    Attributes:
      diffusion: form of the diffusion policy: ve (variance exploding) or ddpm.
      multiplier: rule of the multiplier: log_adam, projected_gradient or pid.
      penalty: rule of the penalty: fixed or growing.
      chain_steps: K, steps of the diffusion chain.
      score_samples: M, Monte Carlo samples of the score target.
      cost_critics: E, members of the cost-critic ensemble.
      critic_width: width of each hidden critic layer.
      critic_layers: hidden layers of a critic.
      actor_width: width of each hidden score-model layer.
      actor_layers: hidden layers of the score model.
      time_features: width of the chain index's embedding.
      target_period: updates between two steps of the target critics.
      compute: in what networks compute: float32, or bfloat16 for accelerators; parameters,
        optimisers, losses and environments stay float32.
      chain_gradient: whether the score regression teaches the chain too, through its point a_k, as
        in the paper's reference.
    """

    diffusion: str = "ve"
    multiplier: str = "log_adam"
    penalty: str = "fixed"
    chain_steps: int = 5
    score_samples: int = 4
    cost_critics: int = 4
    critic_width: int = 256
    critic_layers: int = 2
    actor_width: int = 128
    actor_layers: int = 3
    time_features: int = 16
    target_period: int = 2
    compute: str = "float32"
    chain_gradient: bool = True


@dataclasses.dataclass(frozen=True)
class LoopConfig:
    """Sizes of the training loop.

    Attributes:
      env_steps: environment steps of training, summed over environments, warm-up included.
      num_envs: N, environments stepped side by side.
      warmup_steps: environment steps acted by the untrained policy before the first update.
      updates_per_step: gradient updates after each step of the N environments.
      batch_size: B, transitions per update.
      replay_capacity: D, rows of replay; an episode takes one more than it has transitions.
      epoch_steps: environment steps between two evaluations and log lines.
      eval_episodes: episodes per evaluation during training.
      final_eval_episodes: episodes of the evaluation that ends a run.
      checkpoint_epochs: epochs between two checkpoints of the whole state; 0: only at the end.
      keep_last: newest checkpoints of the whole state that are kept.
      keep_every: epochs between two that are kept for good; 0: none are.
      keep_best: whether the one of the best feasible evaluation is written and kept too.
      goal_terminates: whether reaching a goal ends the value of the reward critic.
      timeout_terminates: whether the time limit counts as termination.
      termination_frees_cost: whether cost critics stop bootstrapping at terminations.
    """

    env_steps: int = 100_000
    num_envs: int = 1
    warmup_steps: int = 5_000
    updates_per_step: int = 10
    batch_size: int = 256
    replay_capacity: int = 1_000_000
    epoch_steps: int = 400
    eval_episodes: int = 1
    final_eval_episodes: int = 20
    checkpoint_epochs: int = 0
    keep_last: int = 2
    keep_every: int = 0
    keep_best: bool = False
    goal_terminates: bool = True
    timeout_terminates: bool = False
    termination_frees_cost: bool = False


STOP, SKIP_UPDATE, RESTORE = "stop", "skip-update", "restore"
ON_BAD_NUMBER = (STOP, SKIP_UPDATE, RESTORE)


@dataclasses.dataclass(frozen=True)
class HealthConfig:
    """What happens when numbers go bad (docs/reliability.md).

    Attributes:
      on_bad_number: when one is NaN or infinite: stop the run; skip-update, leaving out the update
        or transition that holds it; or restore the last checkpoint and go on with a new key.
      lam_bound: λ above this is told: the multiplier diverges.
      value_bound: mean values and risks beyond this, of either sign, are told: the critics diverge.
    """

    on_bad_number: str = STOP
    lam_bound: float = 1e3
    value_bound: float = 1e4

    @property
    def skips_updates(self) -> bool:
        return self.on_bad_number == SKIP_UPDATE


@dataclasses.dataclass(frozen=True)
class Config:
    """A whole run.

    Attributes:
      env: environment name, see ``algd envs``, or module:attribute of one's own.
      algorithm: algorithm name.
      preset: the preset these values started from.
      seed: seed of every random draw of the run.
      random_start: draw the robot's start pose instead of the suite's constant one.
      constraints: the costs to limit, each by its number of cost_limit: cost, the total, or parts
        of it that the environment names.
      loop: sizes of the training loop.
      agent: sizes of the agent.
      health: what happens when numbers go bad.
      hyper: numbers that do not shape the program.
    """

    env: str = "PointButton1"
    algorithm: str = "algd"
    preset: str = "quick"
    seed: int = 0
    random_start: bool = False
    constraints: tuple[str, ...] = (TOTAL_COST,)
    loop: LoopConfig = LoopConfig()
    agent: AgentConfig = AgentConfig()
    health: HealthConfig = HealthConfig()
    hyper: Hyper = Hyper()

    @property
    def limits(self) -> dict[str, float]:
        """Allowed cost per episode of each constraint, by name."""
        limit = self.hyper.cost_limit
        numbers = limit if isinstance(limit, tuple) else (limit,)
        return dict(zip(self.constraints, numbers, strict=True))

    @property
    def limited_parts(self) -> tuple[str, ...]:
        """The constraints on a part of the cost."""
        return tuple(name for name in self.constraints if name != TOTAL_COST)

    @property
    def steps_per_epoch(self) -> int:
        """Vectorised steps per epoch."""
        return max(1, self.loop.epoch_steps // self.loop.num_envs)

    @property
    def warmup_iterations(self) -> int:
        """Vectorised steps of warm-up; at least one batch is collected."""
        return math.ceil(max(self.loop.warmup_steps, self.loop.batch_size) / self.loop.num_envs)

    @property
    def epochs(self) -> int:
        """Epochs after warm-up; at least one."""
        remaining = self.loop.env_steps - self.warmup_iterations * self.loop.num_envs
        return max(1, math.ceil(remaining / (self.steps_per_epoch * self.loop.num_envs)))


def validate(config: Config) -> None:
    """Raise :class:`ConfigError` for the first field that cannot work."""
    validate_sizes(config.agent)
    validate_sizes(config.loop)
    validate_hyper(config.hyper)
    _validate_health(config)
    _validate_constraints(config)
    if type(config.seed) is not int or not 0 <= config.seed < 2**32:
        raise _out_of_range("seed", config.seed, "an integer in [0, 2**32)")
    _validate_combinations(config)


def flat_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    """Nested fields of a configuration, each under its own name, as its flag has it."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= flat_fields(value) if isinstance(value, Mapping) else {name: value}
    return flat


def validate_sizes(sizes: AgentConfig | LoopConfig) -> None:
    """Raise :class:`ConfigError` for the first size that is none."""
    kinds = {field.name: field.type for field in dataclasses.fields(sizes)}
    for name, value in vars(sizes).items():
        if kinds[name] == "bool" and not isinstance(value, bool):
            raise _out_of_range(name, value, "True or False")
        if kinds[name] != "int":  # Names are checked where their tables are.
            continue
        least, most = 0 if name in _MAY_BE_ZERO else 1, _LARGEST.get(name, _COUNTER_LIMIT)
        if type(value) is not int or value < least:
            raise _out_of_range(name, value, f"an integer >= {least}")
        if value > most:
            raise _out_of_range(name, value, f"at most {most}")


def validate_hyper(hyper: Hyper) -> None:
    """Raise :class:`ConfigError` for the first number that cannot work.

    Arrays are checked element by element; what is traced has no value yet and passes.
    """
    known = {name: value for name, value in vars(hyper).items() if not _is_traced(value)}
    for name, value in known.items():
        allowed, accepts = _HYPER_RANGES[name]
        rounded = _to_float32(value)
        fine = np.isfinite(rounded) & accepts(rounded)
        if not fine.all():
            raise _out_of_range(name, np.broadcast_to(value, fine.shape)[~fine][0], allowed)
    for lower, upper, words, in_order in _ORDERED:
        if {lower, upper} <= known.keys():
            ends = (known[lower], known[upper])
            if not np.all(in_order(*map(_to_float32, ends))):
                raise _out_of_range(lower, ends[0], f"a number {words} {upper} = {ends[1]}")


def _is_traced(value: object) -> bool:
    return isinstance(value, jax.core.Tracer)


def _to_float32(value: object) -> np.ndarray:
    """As the program will see it: a float64 below 1 may be 1 in float32."""
    with np.errstate(over="ignore"):
        return np.asarray(value, np.float64).astype(np.float32)


_COUNTER_LIMIT = 2**31 - 1
_MAY_BE_ZERO = {"warmup_steps", "checkpoint_epochs", "keep_every"}
# What would be traced for hours, long before memory could be asked for.
_LARGEST = {"chain_steps": 10_000, "critic_layers": 100, "actor_layers": 100}

_POSITIVE = ("a finite number > 0", lambda x: x > 0)
_NOT_NEGATIVE = ("a finite number >= 0", lambda x: x >= 0)
_BELOW_ONE = ("a number in [0, 1)", lambda x: (x >= 0) & (x < 1))
_INSIDE_ONE = ("a number in (0, 1)", lambda x: (x > 0) & (x < 1))
_AT_LEAST_ONE = ("a finite number >= 1", lambda x: x >= 1)

_HYPER_RANGES = {
    "cost_limit": _NOT_NEGATIVE,
    "discount": _BELOW_ONE,
    "cost_discount": _BELOW_ONE,
    "actor_lr": _POSITIVE,
    "critic_lr": _POSITIVE,
    "multiplier_lr": _NOT_NEGATIVE,
    "polyak": ("a number in (0, 1]", lambda x: (x > 0) & (x <= 1)),
    "rho": _POSITIVE,
    "temperature": _POSITIVE,
    "kappa": _NOT_NEGATIVE,
    "initial_lam": _POSITIVE,
    "score_weight": _NOT_NEGATIVE,
    "sigma_min": _POSITIVE,
    "sigma_max": _POSITIVE,
    "ddpm_beta_min": _INSIDE_ONE,
    "ddpm_beta_max": _INSIDE_ONE,
    "guidance": _NOT_NEGATIVE,
    "initial_alpha": _POSITIVE,
    "rectifier": _NOT_NEGATIVE,
    "pid_proportional": _NOT_NEGATIVE,
    "pid_integral": _NOT_NEGATIVE,
    "pid_derivative": _NOT_NEGATIVE,
    "penalty_growth": _AT_LEAST_ONE,
    "penalty_shrink": ("a number in [0, 1]", lambda x: (x >= 0) & (x <= 1)),
    "penalty_largest": _POSITIVE,
    "penalty_period": _AT_LEAST_ONE,
}

_ORDERED = (
    ("sigma_min", "sigma_max", "below", np.less),
    ("ddpm_beta_min", "ddpm_beta_max", "up to", np.less_equal),
)


def _validate_health(config: Config) -> None:
    health = config.health
    if health.on_bad_number not in ON_BAD_NUMBER:
        raise unknown_name("on_bad_number", health.on_bad_number, ON_BAD_NUMBER)
    for name in ("lam_bound", "value_bound"):
        allowed, accepts = _POSITIVE
        value = getattr(health, name)
        if not (math.isfinite(value) and accepts(value)):
            raise _out_of_range(name, value, allowed)
    if health.on_bad_number == RESTORE and not config.loop.checkpoint_epochs:
        allowed = "restore only with checkpoint_epochs >= 1, so that there is what to restore"
        raise _out_of_range("on_bad_number", RESTORE, allowed)


def _validate_constraints(config: Config) -> None:
    names, limit = config.constraints, config.hyper.cost_limit
    if not names:
        raise _out_of_range("constraints", "none", "at least one name")
    for name in names:
        if names.count(name) > 1:
            raise _out_of_range("constraints", f"{name!r} twice", "each name once")
    if len(names) == 1 and isinstance(limit, tuple):
        raise _out_of_range("cost_limit", limit, f"one number, for {names[0]}")
    if len(names) > 1 and not (isinstance(limit, tuple) and len(limit) == len(names)):
        allowed = f"{len(names)} numbers, one each for {', '.join(names)}"
        raise _out_of_range("cost_limit", limit, allowed)


def _validate_combinations(config: Config) -> None:
    loop = config.loop
    if loop.batch_size > loop.replay_capacity:
        allowed = f"at most replay_capacity = {loop.replay_capacity}"
        raise _out_of_range("batch_size", loop.batch_size, allowed)
    if loop.num_envs > loop.replay_capacity // 2:
        allowed = f"at most half of replay_capacity = {loop.replay_capacity}"
        raise _out_of_range("num_envs", loop.num_envs, allowed)
    collected = config.warmup_iterations * loop.num_envs
    if loop.env_steps <= collected:
        allowed = f"more than the {collected} steps of warm-up"
        raise _out_of_range("env_steps", loop.env_steps, allowed)
    epoch_steps = config.steps_per_epoch * loop.num_envs
    if loop.env_steps + epoch_steps > _COUNTER_LIMIT:
        allowed = f"at most {_COUNTER_LIMIT - epoch_steps} (steps are counted in 32 bits)"
        raise _out_of_range("env_steps", loop.env_steps, allowed)
    updates = config.epochs * config.steps_per_epoch * loop.updates_per_step
    if updates > _COUNTER_LIMIT:
        allowed = f"at most {_COUNTER_LIMIT} updates in the run (counted in 32 bits), not {updates}"
        raise _out_of_range("updates_per_step", loop.updates_per_step, allowed)


def _out_of_range(field: str, value: object, allowed: str) -> ConfigError:
    return ConfigError(f"{field}: got {value}, allowed is {allowed}")
