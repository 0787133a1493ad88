"""Configuration: what shapes the program (static) and what only changes numbers (``Hyper``).

``Config`` is frozen and complete: it is what ``config.json`` holds and what the command line fills
in, one flag per field. ``Hyper`` is its numeric half, a pytree: inside jit its fields are float32
arrays, and it may be vmapped over a population without compiling again.
"""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from algd_jax.errors import ConfigError, unknown_name
from algd_jax.types import TOTAL_COST

_COUNTER_LIMIT = 2**31 - 1


class _Numbers(NamedTuple):
    """A range of real numbers: as messages describe it, and as a test of numbers or arrays."""

    words: str
    contain: Callable[[Any], Any]


class _Integers(NamedTuple):
    """A range of integers, both ends included."""

    least: int
    most: int = _COUNTER_LIMIT


_POSITIVE = _Numbers("a finite number > 0", lambda x: x > 0)
_NOT_NEGATIVE = _Numbers("a finite number >= 0", lambda x: x >= 0)
_NOT_POSITIVE = _Numbers("a finite number <= 0", lambda x: x <= 0)
_AT_LEAST_ONE = _Numbers("a finite number >= 1", lambda x: x >= 1)
_BELOW_ONE = _Numbers("a number in [0, 1)", lambda x: (x >= 0) & (x < 1))
_INSIDE_ONE = _Numbers("a number in (0, 1)", lambda x: (x > 0) & (x < 1))
_UP_TO_ONE = _Numbers("a number in (0, 1]", lambda x: (x > 0) & (x <= 1))
_SHARE = _Numbers("a number in [0, 1]", lambda x: (x >= 0) & (x <= 1))

_COUNT = _Integers(1)
_COUNT_OR_ZERO = _Integers(0)
MOST_EPISODES = 100_000
"""Of an evaluation."""

# More would be traced for hours, long before memory could run out.
_CHAIN = _Integers(1, 10_000)
_LAYERS = _Integers(1, 100)


def _number(default: Any, allowed: _Numbers | _Integers) -> Any:
    """A field for a number in that range."""
    return dataclasses.field(default=default, metadata={"allowed": allowed})


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
      quiet_share: share of a batch whose chains have no noise in the actor loss.
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
      largest_lam: bound of λ.
      smallest_lam: its lower bound (pid); below 0 only for the augmented Lagrangian.
      penalty_growth: factor by which the growing penalty grows.
      penalty_shrink: share of the violation that may remain after a period without growth.
      penalty_largest: bound of the growing penalty.
      penalty_period: updates between two of its decisions.
      measuring_rate: weight of the newest step in the measured cost (measured_cost).
      average_rate: weight of the newest actor in the averaged one (average_actor).
    """

    cost_limit: float | tuple[float, ...] = _number(10.0, _NOT_NEGATIVE)
    discount: float = _number(0.99, _BELOW_ONE)
    cost_discount: float = _number(0.99, _BELOW_ONE)
    actor_lr: float = _number(3e-4, _POSITIVE)
    critic_lr: float = _number(3e-4, _POSITIVE)
    multiplier_lr: float = _number(3e-4, _NOT_NEGATIVE)
    polyak: float = _number(0.005, _UP_TO_ONE)
    rho: float = _number(1.0, _POSITIVE)
    temperature: float = _number(1.0, _POSITIVE)
    kappa: float = _number(1.0, _NOT_NEGATIVE)
    initial_lam: float = _number(0.6931, _POSITIVE)
    score_weight: float = _number(0.1, _NOT_NEGATIVE)
    quiet_share: float = _number(0.0, _SHARE)
    sigma_min: float = _number(0.01, _POSITIVE)
    sigma_max: float = _number(1.0, _POSITIVE)
    ddpm_beta_min: float = _number(1e-4, _INSIDE_ONE)
    ddpm_beta_max: float = _number(0.02, _INSIDE_ONE)
    guidance: float = _number(0.05, _NOT_NEGATIVE)
    initial_alpha: float = _number(0.2, _POSITIVE)
    rectifier: float = _number(10.0, _NOT_NEGATIVE)
    pid_proportional: float = _number(0.1, _NOT_NEGATIVE)
    pid_integral: float = _number(1e-4, _NOT_NEGATIVE)
    pid_derivative: float = _number(0.01, _NOT_NEGATIVE)
    largest_lam: float = _number(1e6, _POSITIVE)
    smallest_lam: float = _number(0.0, _NOT_POSITIVE)
    penalty_growth: float = _number(2.0, _AT_LEAST_ONE)
    penalty_shrink: float = _number(0.5, _SHARE)
    penalty_largest: float = _number(100.0, _POSITIVE)
    penalty_period: float = _number(10_000.0, _AT_LEAST_ONE)
    measuring_rate: float = _number(0.01, _UP_TO_ONE)
    average_rate: float = _number(0.005, _UP_TO_ONE)

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
      critic_norm: whether critics normalise their hidden layers.
      reward_head: what reward critics predict: mean, or categorical (a histogram, HL-Gauss).
      cost_head: likewise for cost critics.
      average_actor: whether the policy that is evaluated and exported is a running mean of the
        actor.
      normalize_obs: whether networks see observations in standard deviations from their mean.
      scale_energy: whether rewards and costs are measured in units of their own spread, so that
        rho, lam, temperature and kappa mean the same on every task.
      measured_cost: whether the multiplier follows the cost that the running environments pay,
        and not what the critics expect.
      actor_period: critic updates for each update of the policy.
    """

    diffusion: str = "ve"
    multiplier: str = "log_adam"
    penalty: str = "fixed"
    chain_steps: int = _number(5, _CHAIN)
    score_samples: int = _number(4, _COUNT)
    cost_critics: int = _number(4, _COUNT)
    critic_width: int = _number(256, _COUNT)
    critic_layers: int = _number(2, _LAYERS)
    actor_width: int = _number(128, _COUNT)
    actor_layers: int = _number(3, _LAYERS)
    time_features: int = _number(16, _COUNT)
    target_period: int = _number(2, _COUNT)
    compute: str = "float32"
    chain_gradient: bool = True
    critic_norm: bool = False
    reward_head: str = "mean"
    cost_head: str = "mean"
    average_actor: bool = False
    normalize_obs: bool = False
    scale_energy: bool = False
    measured_cost: bool = False
    actor_period: int = _number(1, _COUNT)


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
      keep_best: whether the one of the best feasible policy is written and kept too.
      goal_terminates: whether reaching a goal ends the value of the reward critic.
      timeout_terminates: whether the time limit counts as termination.
      termination_frees_cost: whether cost critics stop bootstrapping at terminations.
      spread_episodes: whether the first episode of each environment is cut to a random length, so
        that episodes which run to the time limit do not all end in one step.
      target_steps: n, steps whose rewards and costs a critic's target sums.
    """

    env_steps: int = _number(100_000, _COUNT)
    num_envs: int = _number(1, _COUNT)
    warmup_steps: int = _number(5_000, _COUNT_OR_ZERO)
    updates_per_step: int = _number(10, _COUNT)
    batch_size: int = _number(256, _COUNT)
    replay_capacity: int = _number(1_000_000, _COUNT)
    epoch_steps: int = _number(400, _COUNT)
    eval_episodes: int = _number(1, _COUNT)
    final_eval_episodes: int = _number(20, _Integers(1, MOST_EPISODES))
    checkpoint_epochs: int = _number(0, _COUNT_OR_ZERO)
    keep_last: int = _number(2, _COUNT)
    keep_every: int = _number(0, _COUNT_OR_ZERO)
    keep_best: bool = False
    goal_terminates: bool = True
    timeout_terminates: bool = False
    termination_frees_cost: bool = False
    target_steps: int = _number(1, _COUNT)
    spread_episodes: bool = False


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
    lam_bound: float = _number(1e3, _POSITIVE)
    value_bound: float = _number(1e4, _POSITIVE)

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
      physics: what simulates the velocity bodies: mujoco (its C code, on a CPU), mjx, or auto, the
        faster one on the device; environments without that choice take only auto.
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
    physics: str = "auto"
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
    def policy_updates(self) -> int:
        """Updates of the policy after each step, at least one.

        One for every ``actor_period`` updates of the critics, or fewer where that does not divide.
        """
        updates = self.loop.updates_per_step
        most = max(1, updates // self.agent.actor_period)
        return next(count for count in range(most, 0, -1) if updates % count == 0)

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
    kinds, ranges = typing.get_type_hints(type(sizes)), _ranges(sizes)
    for name, value in vars(sizes).items():
        if kinds[name] is bool and not isinstance(value, bool):
            raise _out_of_range(name, value, "True or False")
        if kinds[name] is int:  # Names are checked where their tables are.
            _check_integer(name, value, ranges[name])


def _ranges(group: AgentConfig | LoopConfig | HealthConfig | Hyper) -> dict[str, Any]:
    fields = dataclasses.fields(group)
    return {each.name: each.metadata["allowed"] for each in fields if "allowed" in each.metadata}


def _check_integer(name: str, value: object, allowed: _Integers) -> None:
    if type(value) is not int or value < allowed.least:
        raise _out_of_range(name, value, f"an integer >= {allowed.least}")
    if value > allowed.most:
        raise _out_of_range(name, value, f"at most {allowed.most}")


def validate_hyper(hyper: Hyper) -> None:
    """Raise :class:`ConfigError` for the first number that cannot work.

    Arrays are checked element by element; what is traced has no value yet and passes.
    """
    known = {name: value for name, value in vars(hyper).items() if not _is_traced(value)}
    ranges = _ranges(hyper)
    for name, value in known.items():
        _check_number(name, value, ranges[name])
    for lower, upper, words, in_order in _ORDERED:
        if {lower, upper} <= known.keys():
            ends = (known[lower], known[upper])
            if not np.all(in_order(*map(_to_float32, ends))):
                raise _out_of_range(lower, ends[0], f"a number {words} {upper} = {ends[1]}")


_ORDERED = (
    ("sigma_min", "sigma_max", "below", np.less),
    ("ddpm_beta_min", "ddpm_beta_max", "up to", np.less_equal),
)


def _check_number(name: str, value: Any, allowed: _Numbers) -> None:
    rounded = _to_float32(value)
    fine = np.isfinite(rounded) & allowed.contain(rounded)
    if not fine.all():
        raise _out_of_range(name, np.broadcast_to(value, fine.shape)[~fine][0], allowed.words)


def _is_traced(value: object) -> bool:
    return isinstance(value, jax.core.Tracer)


def _to_float32(value: object) -> np.ndarray:
    """As the program will see it: a float64 below 1 may be 1 in float32."""
    with np.errstate(over="ignore"):
        return np.asarray(value, np.float64).astype(np.float32)


def _validate_health(config: Config) -> None:
    health = config.health
    if health.on_bad_number not in ON_BAD_NUMBER:
        raise unknown_name("on_bad_number", health.on_bad_number, ON_BAD_NUMBER)
    for name, allowed in _ranges(health).items():
        value = getattr(health, name)
        if not (math.isfinite(value) and allowed.contain(value)):
            raise _out_of_range(name, value, allowed.words)
    if health.on_bad_number == RESTORE and not config.loop.checkpoint_epochs:
        needed = "restore only with checkpoint_epochs >= 1, so that there is what to restore"
        raise _out_of_range("on_bad_number", RESTORE, needed)


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
