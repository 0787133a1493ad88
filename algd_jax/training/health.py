"""Finding the first number that is bad, inside the jitted epoch.

What is bad is not finite; the caller makes NaN of what is wrong for another reason.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

HEALTHY = -1


class Health(struct.PyTreeNode):
    """The first bad quantity seen, if any.

    Attributes:
      quantity: [] int32, its index among the watched names, or ``HEALTHY``.
      env_step: [] int32, environment steps made when it appeared.
      place: [] int32, where: which environment, or which of the updates after that step.
    """

    quantity: jax.Array
    env_step: jax.Array
    place: jax.Array


class BadNumber(NamedTuple):
    """A bad quantity by name, with the environment step and the place at which it appeared."""

    quantity: str
    env_step: int
    place: int


def healthy() -> Health:
    """Nothing bad seen yet."""
    return Health(quantity=jnp.int32(HEALTHY), env_step=jnp.int32(0), place=jnp.int32(0))


def are_finite(quantities: dict[str, jax.Array]) -> jax.Array:
    """Which quantities are finite, place by place.

    Args:
      quantities: Q arrays [I, …] by name.

    Returns:
      [I, Q] bool.
    """
    return jnp.stack([_finite_places(value) for value in quantities.values()], axis=1)


def note_first_bad(
    health: Health,
    watched: tuple[str, ...],
    names: tuple[str, ...],
    finite: jax.Array,
    env_step: jax.Array,
) -> Health:
    """Record the first quantity that is not finite: of the first place, the one that arose first.

    An earlier finding is kept: what broke first is what explains the rest.

    Args:
      health: findings so far.
      watched: names of all quantities of the program; says what an index stands for.
      names: of the Q quantities, in the order in which they arise at a place.
      finite: [I, Q] bool, as ``are_finite`` tells it of places in their order.
      env_step: [] int32, environment steps made.
    """
    first = jnp.argmin(finite.ravel())  # Row by row: the first place comes first.
    indices = jnp.array([watched.index(name) for name in names], jnp.int32)
    newly_bad = (health.quantity == HEALTHY) & ~jnp.all(finite)
    found = Health(indices[first % len(names)], env_step, first // len(names))
    return jax.tree.map(lambda new, old: jnp.where(newly_bad, new, old), found, health)


def is_finite(tree: Any) -> jax.Array:
    """[] bool, whether all numbers of a tree are finite."""
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree)]))


def describe(health: Health, watched: tuple[str, ...]) -> BadNumber | None:
    """The finding in words (on the host), or None when all was finite."""
    index = int(health.quantity)
    if index == HEALTHY:
        return None
    return BadNumber(watched[index], int(health.env_step), int(health.place))


def _finite_places(value: jax.Array) -> jax.Array:
    """Whether all of an array [I, …] is finite, place by place: [I]."""
    return jnp.all(jnp.isfinite(value), axis=tuple(range(1, value.ndim)))
