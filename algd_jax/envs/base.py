"""What every environment offers: a Brax environment plus a written specification."""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

import jax
import jax.numpy as jnp
import mujoco
from brax.envs.base import Env, State

from algd_jax.errors import ConfigError
from algd_jax.types import TOTAL_COST

__all__ = [
    "FLAGS",
    "INVALID_COST",
    "EnvSpec",
    "SafetyEnv",
    "State",
    "in_full_precision",
    "named_costs",
]

_P = ParamSpec("_P")
_R = TypeVar("_R")

FLAGS = {"placement_failed": "is set: a reset found no free place"}
"""What an environment, which cannot raise inside jit, reports by a 1 in `state.info`.

The adapters raise on a flag and the trainer stops at it; the words follow the name in the message.
"""

INVALID_COST = "is negative, NaN or infinite"
"""The same for a cost, which needs no flag."""

MOST_STEPS = 1_000_000
"""Of an episode: more would be played for days before anything is known of it."""


@dataclasses.dataclass(frozen=True)
class EnvSpec:
    """What a trainer must know about an environment before it builds anything.

    Attributes:
      name: id under which `algd_jax.envs.make` builds the environment.
      observation_size: O, length of the flat observation.
      action_size: A, length of the action.
      action_low: lowest action, A floats.
      action_high: highest action, A floats. Actions outside the range are clipped.
      episode_length: time limit [environment steps].
      cost_limit: allowed sum of costs [cost / episode].
      control_period: simulated time of one environment step [s].
      cost_names: names in `metrics` of the parts of `cost`, if it has several.
      cost_discount: per step, of the sum that `cost_limit` bounds; 1 is a plain sum.
      timeout_terminal: whether the original counts running out of time as a terminal state.

    Raises:
      ConfigError: naming the environment and the field, for a value that cannot be meant.
    """

    name: str
    observation_size: int
    action_size: int
    action_low: tuple[float, ...]
    action_high: tuple[float, ...]
    episode_length: int
    cost_limit: float
    control_period: float
    cost_names: tuple[str, ...] = ()
    cost_discount: float = 1.0
    timeout_terminal: bool = False

    def __post_init__(self) -> None:
        low, high, actions = self.action_low, self.action_high, self.action_size
        bounded = _are_finite(high, actions) and _are_finite(low, actions)
        allowed = {
            "name": (isinstance(self.name, str) and self.name, "a text that is not empty"),
            "observation_size": (_is_count(self.observation_size), "an integer >= 1"),
            "action_size": (_is_count(actions), "an integer >= 1"),
            "action_low": (_are_finite(low, actions), f"{actions} finite numbers"),
            "action_high": (
                bounded and all(a < b for a, b in zip(low, high, strict=True)),
                f"{actions} finite numbers above action_low",
            ),
            "episode_length": (
                _is_count(self.episode_length) and self.episode_length <= MOST_STEPS,
                f"an integer from 1 to {MOST_STEPS}",
            ),
            "cost_limit": (_is_finite(self.cost_limit) and self.cost_limit >= 0, "a number >= 0"),
            "control_period": (
                _is_finite(self.control_period) and self.control_period > 0,
                "a number > 0",
            ),
            "cost_names": (
                _are_names(self.cost_names),
                f"a tuple of different texts, none of them {TOTAL_COST!r}",
            ),
            "cost_discount": (
                _is_finite(self.cost_discount) and 0 < self.cost_discount <= 1,
                "a number above 0 and up to 1",
            ),
            "timeout_terminal": (isinstance(self.timeout_terminal, bool), "True or False"),
        }
        for field, (fine, what) in allowed.items():
            if not fine:
                got = getattr(self, field)
                raise ConfigError(f"{self.name}: {field}: got {got!r}, allowed is {what}")

    @property
    def limited_steps(self) -> int | None:
        """Steps over whose plain sum of costs the limit goes; None if that sum is discounted."""
        return self.episode_length if self.cost_discount == 1 else None

    @property
    def limitable_costs(self) -> tuple[str, ...]:
        """Names in `metrics` of all costs that can be limited, the total and its parts."""
        return (TOTAL_COST, *self.cost_names)


def named_costs(metrics: Mapping[str, jax.Array], names: Sequence[str]) -> jax.Array:
    """Costs of a step by their names in `metrics`: [...] for one name, [..., C] for C names."""
    costs = [metrics[name] for name in names]
    return costs[0] if len(costs) == 1 else jnp.stack(costs, axis=-1)


def in_full_precision(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """`function` with all its matrix products in float32, whatever the device prefers.

    Accelerators multiply in TensorFloat-32 or bfloat16 unless told otherwise: three decimal digits,
    with which contacts come out wrong, and which networks, not physics, are made for.
    """

    @functools.wraps(function)
    def precise(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with jax.default_matmul_precision("highest"):
            return function(*args, **kwargs)

    return precise


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _are_finite(values: Any, number: int) -> bool:
    return isinstance(values, tuple) and len(values) == number and all(map(_is_finite, values))


def _are_names(values: Any) -> bool:
    return (
        isinstance(values, tuple)
        and all(isinstance(name, str) and name not in ("", TOTAL_COST) for name in values)
        and len(set(values)) == len(values)
    )


class SafetyEnv(Env):
    """A Brax environment whose `metrics` carry `cost` and whose facts are in `spec`.

    `reset(key)` and `step(state, action)` act on one example and are pure. `done` means
    terminated, never timed out: the time limit belongs to `EpisodeWrapper`. Everything that must
    start afresh with an episode lives in `pipeline_state`, so that Brax's own wrappers reset it.
    """

    spec: EnvSpec
    physics: str = "auto"
    """What simulates it, where `make` takes that as an option."""

    @property
    def observation_size(self) -> int:
        return self.spec.observation_size

    @property
    def action_size(self) -> int:
        return self.spec.action_size

    @property
    def backend(self) -> str:
        return "mjx"

    @property
    def dt(self) -> float:
        """Simulated time of one environment step [s]."""
        return self.spec.control_period

    def draw(self, pipeline_state: Any) -> tuple[mujoco.MjModel, mujoco.MjData]:
        """The scene of one state (NumPy leaves) for MuJoCo's renderer or viewer.

        A camera named `top` says that all happens in the plane: the scene has a map then, on which
        the first body moves among the geoms of the world, called by their names up to a space.
        """
        raise NotImplementedError(f"{self.spec.name}: this environment cannot be drawn")

    def check_action(self, action: jax.Array) -> None:
        """Raises ValueError, while tracing, for an action of the wrong shape."""
        expected = (self.spec.action_size,)
        shape = jnp.shape(action)
        if shape != expected:
            raise ValueError(f"{self.spec.name}: action has shape {shape}, expected {expected}")
