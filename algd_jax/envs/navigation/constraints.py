"""The law of MuJoCo's soft constraints: what acceleration they ask for, and how firmly.

A constraint with residual r and velocity v asks for the acceleration (MuJoCo documentation,
"Computation")

    a_ref = -b v - k d r,    b = 2 / (d_max tc),    k = 1 / (d_max tc dr)^2,

with the stiffness D = d / (1 - d) / w of its impedance d and inverse mass w. `contact_solver` finds
the acceleration that obeys. The constants are MuJoCo's defaults, which Safety-Gym keeps.
"""

import jax
import jax.numpy as jnp

__all__ = [
    "FRICTION",
    "IMPEDANCE",
    "contact_impedance",
    "pyramid_stiffness",
    "reference_acceleration",
    "stiffness",
]

IMPEDANCE = (0.9, 0.95)
"""Impedance of a contact at touch, and from `_IMPEDANCE_WIDTH` deep on; welds have the second."""
FRICTION = 1.0
_IMPEDANCE_WIDTH = 0.001  # m
_TIME, _DAMPING_RATIO = 0.02, 1.0  # s, of contacts.


def stiffness(impedance: jax.Array | float, inverse_mass: jax.Array | float) -> jax.Array | float:
    """Stiffness [kg] of a constraint: the mass it acts on, stretched by its impedance."""
    return impedance / (1.0 - impedance) / inverse_mass


def reference_acceleration(
    residual: jax.Array,
    velocity: jax.Array,
    impedance: jax.Array | float,
    time: float = _TIME,
    damping_ratio: float = _DAMPING_RATIO,
) -> jax.Array:
    """Acceleration that a constraint asks for: a damped spring."""
    damping = 2.0 / (IMPEDANCE[1] * time)
    stiffness = 1.0 / (IMPEDANCE[1] * time * damping_ratio) ** 2
    return -damping * velocity - stiffness * impedance * residual


def contact_impedance(distance: jax.Array) -> jax.Array:
    """Impedance of contacts: a smooth step from touch to `_IMPEDANCE_WIDTH` deep."""
    depth = jnp.clip(-distance / _IMPEDANCE_WIDTH, 0.0, 1.0)
    rise = jnp.where(depth < 0.5, 2.0 * depth**2, 1.0 - 2.0 * (1.0 - depth) ** 2)
    return IMPEDANCE[0] + rise * (IMPEDANCE[1] - IMPEDANCE[0])


def pyramid_stiffness(distance: jax.Array, inverse_mass: jax.Array | float) -> jax.Array:
    """Stiffness [kg] of each edge of a contact's friction pyramid, zero where nothing touches.

    Args:
      distance: [...] signed distance of the two surfaces [m].
      inverse_mass: sum of the two bodies' mean inverse masses [1/kg].
    """
    squared = FRICTION**2
    edge = stiffness(contact_impedance(distance), inverse_mass * (1.0 + squared) * 2.0 * squared)
    return edge * (distance < 0)
