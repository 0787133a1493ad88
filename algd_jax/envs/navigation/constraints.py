"""MuJoCo's soft constraints: their law, and the accelerations that obey it.

A constraint with residual r and velocity v asks for the acceleration (MuJoCo documentation,
"Computation")

    a_ref = -b v - k d r,    b = 2 / (d_max tc),    k = 1 / (d_max tc dr)^2,

with the weight D = d / (1 - d) / w of its impedance d and inverse mass w. The acceleration is the
one that minimises the weighted squares of all active constraints and of the free motion (Gauss's
principle): a small convex problem, solved here by a fixed number of Newton steps. The constants are
MuJoCo's defaults, which Safety-Gym keeps.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

__all__ = [
    "FRICTION",
    "IMPEDANCE",
    "Rows",
    "contact_impedance",
    "pyramid_weight",
    "reference_acceleration",
    "solve",
    "stack_rows",
    "weight",
]

IMPEDANCE = (0.9, 0.95)
"""Impedance of a contact at touch, and from `_IMPEDANCE_WIDTH` deep on; welds have the second."""
FRICTION = 1.0
_IMPEDANCE_WIDTH = 0.001  # m
_TIME, _DAMPING_RATIO = 0.02, 1.0  # s, of contacts.


class Rows(NamedTuple):
    """R constraint rows on a system of n velocities; each pushes and never pulls.

    Attributes:
      jacobian: [R, n] velocity along the row per generalised velocity.
      reference: [R] wanted acceleration along the row [m/s^2].
      weight: [R] weight in the Gauss cost [kg]; zero where there is no contact.
    """

    jacobian: jax.Array
    reference: jax.Array
    weight: jax.Array


def weight(impedance: jax.Array | float, inverse_mass: jax.Array | float) -> jax.Array | float:
    """Weight [kg] of a constraint: the mass it acts on, stretched by its impedance."""
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


def pyramid_weight(distance: jax.Array, inverse_mass: jax.Array | float) -> jax.Array:
    """Weight [kg] of each edge of a contact's friction pyramid, zero where nothing touches.

    Args:
      distance: [...] signed distance of the two surfaces [m].
      inverse_mass: sum of the two bodies' mean inverse masses [1/kg].
    """
    squared = FRICTION**2
    edge = weight(contact_impedance(distance), inverse_mass * (1.0 + squared) * 2.0 * squared)
    return edge * (distance < 0)


def stack_rows(parts: list[Rows]) -> Rows:
    """All rows of several kinds of contact."""
    return Rows(*(jnp.concatenate(part) for part in zip(*parts, strict=True)))


def solve(
    inertia: jax.Array, free: jax.Array, rows: Rows, iterations: int
) -> tuple[jax.Array, jax.Array]:
    """Acceleration [n] and generalised constraint force [n].

    Args:
      inertia: [n, n] mass matrix M.
      free: [n] acceleration without the constraints.
      rows: the constraints.
      iterations: Newton steps.
    """

    def pull(gap: jax.Array) -> jax.Array:
        return jnp.where(gap < 0, rows.weight, 0.0)

    def newton(_: int, state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        acceleration, gap = state
        active = pull(gap)
        slope = inertia @ (acceleration - free) + (active * gap) @ rows.jacobian
        curvature = inertia + (rows.jacobian * active[:, None]).T @ rows.jacobian
        step = -jax.scipy.linalg.cho_solve((jnp.linalg.cholesky(curvature), True), slope)
        along = rows.jacobian @ step
        size = _line_search(inertia, acceleration - free, step, gap, along, rows.weight)
        return acceleration + size * step, gap + size * along

    start = (free, rows.jacobian @ free - rows.reference)
    acceleration, gap = jax.lax.fori_loop(0, iterations, newton, start)
    return acceleration, -(pull(gap) * gap) @ rows.jacobian


def _line_search(
    inertia: jax.Array,
    deviation: jax.Array,
    step: jax.Array,
    gap: jax.Array,
    along: jax.Array,
    row_weight: jax.Array,
) -> jax.Array:
    """Size [] of the step that minimises the Gauss cost along it, by Newton in one dimension."""
    momentum = inertia @ step
    first, second = momentum @ deviation, momentum @ step
    size = jnp.ones(())
    for _ in range(3):
        reach = gap + size * along
        active = jnp.where(reach < 0, row_weight, 0.0)
        slope = first + size * second + active @ (along * reach)
        size = size - slope / (second + active @ along**2 + 1e-20)
    return size
