"""Episodes on the host, step by step, and how they are played."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from algd_jax.envs import EnvSpec, SafetyEnv
from algd_jax.errors import ConfigError
from algd_jax.runs.memory import check_episodes
from algd_jax.training.rollout import KeyedPolicy, Rollout, rollout
from algd_jax.types import TOTAL_COST


@dataclasses.dataclass(frozen=True)
class Episode:
    """One episode of L steps.

    Attributes:
      number: of the episode, from 1.
      states: pipeline states at the start and after each step, NumPy leaves [L + 1, ...].
      rewards: [L].
      metrics: [L] each, what the environment reports of each step, by name.
      discount: of costs, per step, in the sum that is limited.
    """

    number: int
    states: Any
    rewards: np.ndarray
    metrics: dict[str, np.ndarray]
    discount: float = 1.0

    def __len__(self) -> int:
        return len(self.rewards)

    def state(self, step: int) -> Any:
        """The pipeline state after ``step`` steps."""
        return jax.tree.map(lambda leaf: leaf[step], self.states)

    def costs_so_far(self, name: str = TOTAL_COST) -> np.ndarray:
        """[L + 1] sums of a cost as the limit sums them, 0 at the start."""
        weights = self.discount ** np.arange(len(self))
        return np.append(0.0, np.cumsum(weights * self.metrics[name]))

    @cached_property
    def returns_so_far(self) -> np.ndarray:
        """[L + 1] undiscounted sums of rewards, 0 at the start."""
        return np.append(0.0, np.cumsum(self.rewards, dtype=np.float64))

    @cached_property
    def costly(self) -> np.ndarray:
        """[L] whether each step cost something."""
        return self.metrics[TOTAL_COST] > 0


def play(
    env: SafetyEnv,
    policy: Callable[[Any], KeyedPolicy],
    parameters: Any,
    reset_keys: jax.Array,
    key: jax.Array,
) -> list[Episode]:
    """n episodes side by side, in one program.

    Args:
      env: a single environment.
      policy: makes the policy of ``parameters``, which are arguments of the program.
      parameters: of the policy.
      reset_keys: [n] of the resets.
      key: of the policy's draws.

    Raises:
      ConfigError: if what has to be kept does not fit in memory, or a number is none.
    """

    def one(parameters, reset_key, key):
        return rollout(env, policy(parameters), reset_key, key)

    run = jax.vmap(one, in_axes=(None, 0, 0))
    arguments = (parameters, reset_keys, jax.random.split(key, len(reset_keys)))
    check_episodes(jax.eval_shape(run, *arguments), len(reset_keys))
    kept = jax.tree.map(_on_host, jax.jit(run)(*arguments))
    episodes = [_episode(kept, index, env.spec.cost_discount) for index in range(len(reset_keys))]
    for episode in episodes:
        _check_finite(episode, env.spec.name)
    return episodes


def random_policy(spec: EnvSpec) -> KeyedPolicy:
    """Actions drawn evenly from their whole range."""
    low, high = jnp.array(spec.action_low), jnp.array(spec.action_high)

    def act(obs: jax.Array, key: jax.Array) -> jax.Array:
        return jax.random.uniform(key, low.shape, minval=low, maxval=high)

    return act


def _episode(kept: Rollout, index: int, discount: float) -> Episode:
    """One of several episodes, without what follows its end."""
    length = int(kept.length[index])
    return Episode(
        index + 1,
        jax.tree.map(lambda leaf: leaf[index, : length + 1], kept.states),
        np.asarray(kept.rewards[index, :length]),
        {name: np.asarray(values[index, :length]) for name, values in kept.metrics.items()},
        discount,
    )


def _check_finite(episode: Episode, env: str) -> None:
    """Raise :class:`ConfigError` at the first reward or cost that is no number."""
    for name, values in (("reward", episode.rewards), *episode.metrics.items()):
        broken = np.flatnonzero(~np.isfinite(values))
        if broken.size:
            raise ConfigError(
                f"env: {name} of {env} is NaN or infinite at step {broken[0] + 1} of episode "
                f"{episode.number}"
            )


def _on_host(leaf: jax.Array) -> np.ndarray:
    is_key = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(leaf) if is_key else leaf)
