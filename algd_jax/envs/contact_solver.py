"""The acceleration that a mechanical system takes under its contacts and limits."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

__all__ = ["Rows", "solve", "solve_positive"]

_LINE_SEARCH_ITERATIONS = 3
_TINY = 1e-20
"""Keeps a step of length zero, once the minimum is reached, from being divided by zero."""

_Progress = tuple[jax.Array, jax.Array, jax.Array, jax.Array]
"""Acceleration [n], slack [R], whether it is the minimum [], iterations done []."""


class Rows(NamedTuple):
    """R constraint rows on a system of n velocities; each pushes and never pulls.

    Attributes:
      jacobian: [R, n] velocity along the row per generalised velocity.
      reference: [R] wanted acceleration along the row [m/s^2].
      stiffness: [R] weight in the Gauss cost [kg]; zero where there is no contact.
    """

    jacobian: jax.Array
    reference: jax.Array
    stiffness: jax.Array


def solve_positive(matrix: jax.Array, vector: jax.Array) -> jax.Array:
    """Solves a small positive definite system by elimination.

    Written out because XLA on the CPU hands batches of Cholesky factors to LAPACK in parallel, and
    (jaxlib 0.10.2) large batches of them, such as 480 of size 14, never come back. It is also
    faster up to size 6.

    Args:
      matrix: [n, n] symmetric.
      vector: [n].
    """
    rest = jnp.concatenate([matrix, vector[:, None]], axis=1)
    rows = []
    for _ in range(len(vector)):
        row = rest[0] / rest[0, 0]
        rows.append(row)
        # Fused, every entry would be computed anew for each of the steps that follow.
        rest = jax.lax.optimization_barrier(rest[1:, 1:] - rest[1:, :1] * row[1:])
    solution = jnp.zeros(0, matrix.dtype)
    for row in reversed(rows):
        entry = row[-1] - jnp.sum(row[1:-1] * solution)
        solution = jnp.concatenate([entry[None], solution])
    return solution


def solve(
    inertia: jax.Array, smooth: jax.Array, rows: Rows, guess: jax.Array, max_iterations: int
) -> tuple[jax.Array, jax.Array]:
    """Solves MuJoCo's convex problem for pyramidal friction cones by Newton's method.

    With inertia M, smooth forces τ and, per row, Jacobian J, stiffness D and reference
    acceleration r, the acceleration a minimises aᵀMa / 2 − aᵀτ + Σ D min(J a − r, 0)² / 2 (MuJoCo
    documentation, "Computation"). The problem is piecewise quadratic, so Newton's method is exact
    once it knows which rows push; it ends there.

    Args:
      inertia: [n, n].
      smooth: [n] forces apart from the constraints'.
      rows: the constraints.
      guess: [n] acceleration to start from.
      max_iterations: Newton steps at most.

    Returns:
      Acceleration [n] and forces [R] along the rows.
    """

    def pushing(slack: jax.Array) -> jax.Array:
        return jnp.where(slack < 0, rows.stiffness, 0.0)

    def improve(progress: _Progress) -> _Progress:
        acceleration, slack, _, iteration = progress
        active = pushing(slack)
        gradient = inertia @ acceleration - smooth + (active * slack) @ rows.jacobian
        hessian = inertia + (rows.jacobian.T * active) @ rows.jacobian
        direction = -solve_positive(hessian, gradient)
        change, slope = rows.jacobian @ direction, gradient @ direction
        curvature = direction @ inertia @ direction

        def along(_: jax.Array, length: jax.Array) -> jax.Array:
            """A Newton step for the zero of the slope along the direction."""
            now = slack + length * change
            push = pushing(now)
            first = slope + length * curvature + change @ (push * now - active * slack)
            return length - first / (curvature + push @ change**2 + _TINY)

        length = jax.lax.fori_loop(
            0, _LINE_SEARCH_ITERATIONS, along, jnp.ones_like(slope), unroll=True
        )
        # A full step that changes no row from pushing to not pushing has reached the minimum.
        settled = jnp.all(((slack + change) < 0) == (slack < 0))
        return acceleration + length * direction, slack + length * change, settled, iteration + 1

    def goes_on(progress: _Progress) -> jax.Array:
        _, _, settled, iteration = progress
        return ~settled & (iteration < max_iterations)

    slack = rows.jacobian @ guess - rows.reference
    start = (guess, slack, jnp.asarray(False), jnp.asarray(0))
    acceleration, slack, _, _ = jax.lax.while_loop(goes_on, improve, start)
    return acceleration, -pushing(slack) * slack
