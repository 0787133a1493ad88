"""The acceleration that a body takes under its contacts and joint limits."""

import jax
import jax.numpy as jnp
from mujoco import mjx

__all__ = ["constrained_acceleration"]

_MAX_ITERATIONS = 10
"""With 4, some recorded steps of Ant are wrong by 1e-2; with 10, none. It ends once all settled."""

_LINE_SEARCH_ITERATIONS = 3
_TINY = 1e-20
"""Keeps a step of length zero, once the minimum is reached, from being divided by zero."""

Progress = tuple[jax.Array, jax.Array, jax.Array]
"""Acceleration [nv], whether it is the minimum [], iterations done []."""


def constrained_acceleration(
    model: mjx.Model, data: mjx.Data, guess: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Solves MuJoCo's convex problem for pyramidal friction cones by Newton's method.

    With inertia M, smooth forces τ and, per constraint row, Jacobian J, stiffness D and reference
    acceleration r, the acceleration a minimises aᵀMa / 2 − aᵀτ + Σ D min(J a − r, 0)² / 2. The
    problem is piecewise quadratic, so Newton's method is exact once it knows which rows push.

    Args:
      model: an MJX model without equality constraints and friction loss.
      data: with inertia, smooth forces and constraints of one state.
      guess: [nv] acceleration to start from, such as that of the state before.

    Returns:
      Acceleration [nv] and constraint forces [nefc].
    """
    inertia, rows = mjx.full_m(model, data), data._impl.efc_J
    stiffness, reference = data._impl.efc_D, data._impl.efc_aref

    def forces(slack: jax.Array) -> jax.Array:
        return -stiffness * jnp.minimum(slack, 0.0)

    def improve(carry: Progress) -> Progress:
        acceleration, _, iteration = carry
        slack = rows @ acceleration - reference
        gradient = inertia @ acceleration - data.qfrc_smooth - rows.T @ forces(slack)
        pushing = jnp.where(slack < 0, stiffness, 0.0)
        hessian = inertia + (rows.T * pushing) @ rows
        direction = -jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(hessian), gradient)
        change, slope = rows @ direction, gradient @ direction
        curvature = direction @ inertia @ direction

        def along(_: jax.Array, length: jax.Array) -> jax.Array:
            """A Newton step for the zero of the slope along the direction."""
            now = slack + length * change
            push = jnp.where(now < 0, stiffness, 0.0)
            first = slope + length * curvature + change @ (push * now - pushing * slack)
            return length - first / (curvature + push @ change**2 + _TINY)

        length = jax.lax.fori_loop(
            0, _LINE_SEARCH_ITERATIONS, along, jnp.ones_like(slope), unroll=True
        )
        # A full step that changes no row from pushing to not pushing has reached the minimum.
        settled = jnp.all(((slack + change) < 0) == (slack < 0))
        return acceleration + length * direction, settled, iteration + 1

    def goes_on(carry: Progress) -> jax.Array:
        _, settled, iteration = carry
        return ~settled & (iteration < _MAX_ITERATIONS)

    start = (guess, jnp.asarray(False), jnp.asarray(0))
    acceleration, _, _ = jax.lax.while_loop(goes_on, improve, start)
    return acceleration, forces(rows @ acceleration - reference)
