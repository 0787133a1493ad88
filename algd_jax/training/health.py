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
      quantity: [] int32, its index among the names checked, or ``HEALTHY``.
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


def check(health: Health, quantities: dict[str, jax.Array], env_step: jax.Array) -> Health:
    """Record the first of ``quantities`` (in dict order) with a NaN or an infinity.

    An earlier finding is kept: what broke first is what explains the rest.
    """
    finite = jnp.stack([jnp.all(jnp.isfinite(value)) for value in quantities.values()])
    first_bad = jnp.argmin(finite).astype(jnp.int32)
    newly_bad = (health.quantity == HEALTHY) & ~jnp.all(finite)
    return Health(
        quantity=jnp.where(newly_bad, first_bad, health.quantity),
        env_step=jnp.where(newly_bad, env_step, health.env_step),
    )


def describe(health: Health, names: tuple[str, ...]) -> BadNumber | None:
    """The finding in words (on the host), or None when all was finite."""
    index = int(health.quantity)
    return None if index == HEALTHY else BadNumber(names[index], int(health.env_step))
