"""What an environment of one's own returns, looked at once before anything is built on it."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from algd_jax.envs.base import SafetyEnv
from algd_jax.errors import ConfigError

__all__ = ["check_env", "said_by"]


def check_env(env: SafetyEnv) -> None:
    """Traces `reset` and `step`, and looks at what they return.

    `step` is called in a loop, so it must return a state of the shapes and dtypes that it was
    given; only `info` it may leave out. (Numbers are checked at every step of training.)

    Raises:
      ConfigError: naming the environment, the call and what is wrong with it.
    """
    action = jax.ShapeDtypeStruct((env.spec.action_size,), jnp.float32)
    state = _traced(env, "reset", env.reset, jax.random.key(0))
    _check_parts(env, "reset", state)
    after = _traced(env, "step", env.step, state, action)
    _check_parts(env, "step", after)
    old, new = _kinds(state), _kinds(after)
    for place in dict.fromkeys([*old, *new]):
        left_out = place.startswith("info") and place not in new
        if old.get(place) != new.get(place) and not left_out:
            raise ConfigError(
                f"{env.spec.name}: step returns {place} as {new.get(place, 'nothing')}, "
                f"allowed is {old.get(place, 'nothing')}, as it was given"
            )


def said_by(error: BaseException) -> str:
    """An exception as Python ends with it, in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def _traced(env: SafetyEnv, call: str, function: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return jax.eval_shape(function, *arguments)
    except ConfigError:
        raise
    except (Exception, SystemExit) as error:
        raise ConfigError(
            f"{env.spec.name}: {type(env).__name__}.{call} raised {said_by(error)} "
            "(--debug shows where)"
        ) from error


def _check_parts(env: SafetyEnv, call: str, state: Any) -> None:
    """Raises for an observation, a reward or a cost of another shape than it has to have."""
    name, size = env.spec.name, env.spec.observation_size
    for part in ("obs", "reward", "done", "metrics", "info"):
        if not hasattr(state, part):
            raise ConfigError(f"{name}: {call} returns something else than a State of Brax")
    if jnp.shape(state.obs) != (size,):
        raise ConfigError(
            f"{name}: observation_size: got {size}, but {call} returns observations of shape "
            f"{jnp.shape(state.obs)}"
        )
    scalars = {"reward": state.reward, "done": state.done}
    for cost in env.spec.limitable_costs:
        if cost not in state.metrics:
            raise ConfigError(f"{name}: {call} returns no {cost!r} in its metrics")
        scalars[cost] = state.metrics[cost]
    for part, value in scalars.items():
        if jnp.shape(value) != ():
            raise ConfigError(
                f"{name}: {call} returns {part} of shape {jnp.shape(value)}, allowed is ()"
            )


def _kinds(state: Any) -> dict[str, str]:
    """Dtype and shape of every leaf but ``done``, which becomes a float anyhow."""
    leaves = jax.tree_util.tree_leaves_with_path(state)
    kinds = {
        jax.tree_util.keystr(path, simple=True, separator="."): f"{leaf.dtype}{list(leaf.shape)}"
        for path, leaf in leaves
    }
    return {place: kind for place, kind in kinds.items() if place != "done"}
