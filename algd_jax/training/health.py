"""Finding the first number that is not finite, inside the jitted epoch."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

HEALTHY = -1


class Health(struct.PyTreeNode):
    """The first bad quantity seen, if any.

    Attributes:
      quantity: [] int32, its index among the watched names, or ``HEALTHY``.
      env_step: [] int32, environment steps made when it appeared.
    """

    quantity: jax.Array
    env_step: jax.Array


class BadNumber(NamedTuple):
    """A non-finite quantity by name, with the environment step at which it appeared."""

    quantity: str
    env_step: int


def healthy() -> Health:
    """Nothing bad seen yet."""
    return Health(quantity=jnp.int32(HEALTHY), env_step=jnp.int32(0))


def check(
    health: Health, watched: tuple[str, ...], quantities: dict[str, jax.Array], env_step: jax.Array
) -> Health:
    """Record the first quantity that holds a NaN or an infinity.

    An earlier finding is kept: what broke first is what explains the rest.

    Args:
      health: findings so far.
      watched: names of all quantities of the program; says what an index stands for.
      quantities: arrays [T, …] by name, T moments one after the other; within a moment they
        arise in the order of the dict.
      env_step: [] int32, environment steps made.
    """
    finite = jnp.stack([_finite_moments(value) for value in quantities.values()], axis=1)
    first = jnp.argmin(finite.ravel())  # Row by row: the earliest moment comes first.
    indices = jnp.array([watched.index(name) for name in quantities], jnp.int32)
    newly_bad = (health.quantity == HEALTHY) & ~jnp.all(finite)
    return Health(
        quantity=jnp.where(newly_bad, indices[first % len(quantities)], health.quantity),
        env_step=jnp.where(newly_bad, env_step, health.env_step),
    )


def describe(health: Health, watched: tuple[str, ...]) -> BadNumber | None:
    """The finding in words (on the host), or None when all was finite."""
    index = int(health.quantity)
    return None if index == HEALTHY else BadNumber(watched[index], int(health.env_step))


def _finite_moments(value: jax.Array) -> jax.Array:
    """Whether all of an array [T, …] is finite, moment by moment: [T]."""
    return jnp.all(jnp.isfinite(value), axis=tuple(range(1, value.ndim)))
