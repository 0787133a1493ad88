"""A Brax or MuJoCo Playground environment and a cost function make a `SafetyEnv`."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from algd_jax.envs.base import EnvSpec, SafetyEnv, State
from algd_jax.errors import ConfigError, unknown_name

__all__ = ["ExternalEnv", "FunctionalEnv", "with_cost"]

Cost = Callable[[Any, jax.Array, Any], jax.Array | Mapping[str, jax.Array]]
"""(state, action [A], next state) of the wrapped environment -> cost [], or costs [] by name."""

_NUMERIC = (jax.Array, np.ndarray, np.generic, int, float)


class FunctionalEnv(Protocol):
    """What `brax.envs.Env` and `mujoco_playground.MjxEnv` have in common.

    A state is a pytree with `obs`, `reward`, `done`, `metrics` and `info`.
    """

    @property
    def action_size(self) -> int: ...

    def reset(self, rng: jax.Array) -> Any: ...

    def step(self, state: Any, action: jax.Array) -> Any: ...


def with_cost(
    env: FunctionalEnv,
    cost: Cost,
    *,
    name: str,
    cost_limit: float,
    episode_length: int,
    action_low: float = -1.0,
    action_high: float = 1.0,
    control_period: float | None = None,
    obs_key: str | None = None,
) -> SafetyEnv:
    """Turns an environment without costs into one that this package can train on.

    Args:
      env: a Brax or Playground environment, without wrappers.
      cost: (state, action, next state) -> cost [] of the step, in the wrapped environment's own
        states. A dict of named costs [] makes a vector cost: the cost is their sum, each stands in
        `metrics` under its name, and the names in `spec.cost_names`. Costs must not be negative; a
        negative one becomes NaN, so that the trainer and the adapters stop at it.
      name: id of the new environment, used in messages.
      cost_limit: allowed sum of costs [cost / episode].
      episode_length: time limit [environment steps].
      action_low, action_high: range of every action component; actions are clipped to it.
      control_period: simulated time of a step [s]; by default `env.dt`.
      obs_key: which observation [O] to take where the environment gives a dict.

    Raises:
      ConfigError: naming the environment and the field, for what is no such environment or is a
        wrapped one, an observation that is not one array [O], a cost that is no function or of the
        wrong type, shape or name, a missing control period, or a value that `EnvSpec` refuses.
    """
    missing = [part for part in ("reset", "step", "action_size") if not hasattr(env, part)]
    if missing:
        raise ConfigError(f"{name}: env is a {type(env).__name__} and has no {missing[0]}")
    if not callable(cost):
        raise ConfigError(f"{name}: cost is a {type(cost).__name__}, expected a function")
    if control_period is None:
        control_period = getattr(env, "dt", None)
    if control_period is None:
        raise ConfigError(f"{name}: control_period is missing, and the environment has no dt")
    first = jax.eval_shape(env.reset, jax.random.key(0))
    if "truncation" in first.info:
        raise ConfigError(f"{name}: env has a time limit of its own; pass it without wrappers")
    action_size = env.action_size
    action = jax.ShapeDtypeStruct((action_size,), jnp.float32)

    def costs_of(state: Any, action: jax.Array, next_state: Any) -> dict[str, jax.Array]:
        costs = cost(state, action, next_state)
        _check_types(name, costs)
        return _by_name(costs)

    costs = jax.eval_shape(costs_of, first, action, first)
    _check_costs(name, costs, first.metrics)
    spec = EnvSpec(
        name=name,
        observation_size=_observation_size(name, first.obs, obs_key),
        action_size=action_size,
        action_low=(action_low,) * action_size,
        action_high=(action_high,) * action_size,
        episode_length=episode_length,
        cost_limit=cost_limit,
        control_period=float(control_period),
        cost_names=tuple(part for part in costs if part != "cost"),
    )
    return ExternalEnv(env, cost, spec, obs_key)


class ExternalEnv(SafetyEnv):
    """The environment that `with_cost` makes; `pipeline_state` is the whole state of the other."""

    def __init__(self, env: FunctionalEnv, cost: Cost, spec: EnvSpec, obs_key: str | None):
        self.spec = spec
        self._env, self._cost, self._obs_key = env, cost, obs_key

    @property
    def backend(self) -> str:
        return getattr(self._env, "backend", "mjx")

    def reset(self, rng: jax.Array) -> State:
        nothing = dict.fromkeys(("cost", *self.spec.cost_names), jnp.zeros(()))
        return self._state(self._env.reset(rng), nothing)

    def step(self, state: State, action: jax.Array) -> State:
        self.check_action(action)
        spec, before = self.spec, state.pipeline_state
        action = jnp.clip(action, jnp.array(spec.action_low), jnp.array(spec.action_high))
        after = self._env.step(before, action)
        parts = _by_name(self._cost(before, action, after))
        # Here, because a sum hides a negative part.
        parts = {name: jnp.where(part >= 0, part, jnp.nan) for name, part in parts.items()}
        total = jnp.sum(jnp.stack(list(parts.values())))
        # Other wrappers' entries of info, such as those of Brax's, stay.
        return self._state(after, {**parts, "cost": total}).replace(info=state.info)

    def _state(self, inner: Any, costs: dict[str, jax.Array]) -> State:
        obs = inner.obs if self._obs_key is None else inner.obs[self._obs_key]
        return State(
            pipeline_state=inner,
            obs=jnp.asarray(obs, jnp.float32),
            reward=jnp.asarray(inner.reward, jnp.float32),
            done=jnp.asarray(inner.done, jnp.float32),
            metrics={**inner.metrics, **costs},
        )


def _by_name(costs: jax.Array | Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    """Costs in float32 by name; a lone one is simply called cost."""
    named = costs if isinstance(costs, Mapping) else {"cost": costs}
    return {name: jnp.asarray(value, jnp.float32) for name, value in named.items()}


def _check_types(name: str, costs: Any) -> None:
    named = costs if isinstance(costs, Mapping) else {"cost": costs}
    for part, value in named.items():
        if not isinstance(part, str):
            raise ConfigError(f"{name}: cost {part!r} has no name, expected a text")
        if not isinstance(value, _NUMERIC):
            raise ConfigError(
                f"{name}: cost {part!r} is a {type(value).__name__}, expected a number"
            )


def _check_costs(
    name: str, costs: dict[str, jax.ShapeDtypeStruct], metrics: Mapping[str, Any]
) -> None:
    if not costs:
        raise ConfigError(f"{name}: cost is an empty dict, expected at least one named cost")
    for part, value in costs.items():
        if value.shape != ():
            raise ConfigError(f"{name}: cost {part!r} has shape {value.shape}, expected ()")
        if part == "cost" and len(costs) > 1:
            raise ConfigError(f"{name}: cost 'cost' has the name of the sum of all costs")
        if part != "cost" and part in metrics:
            raise ConfigError(f"{name}: cost {part!r} has the name of a metric of the environment")


def _observation_size(name: str, obs: Any, obs_key: str | None) -> int:
    """O, from the abstract observation of the wrapped environment."""
    if isinstance(obs, Mapping):
        if obs_key not in obs:
            raise unknown_name(f"obs_key of {name}", str(obs_key), obs)
        obs = obs[obs_key]
    elif obs_key is not None:
        raise ConfigError(f"{name}: obs_key: got {obs_key!r}, but the observation is no dict")
    if len(obs.shape) != 1:
        raise ConfigError(f"{name}: observation has shape {obs.shape}, expected one axis")
    return obs.shape[0]
