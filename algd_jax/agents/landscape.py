"""The energy landscape over actions at one state: heights, slices and curvature. Pure."""

from __future__ import annotations

import dataclasses
from functools import partial

import chex
import jax
import jax.numpy as jnp
from flax import struct

from algd_jax.agents.algorithm import Algorithm
from algd_jax.agents.state import AgentState
from algd_jax.config import Hyper
from algd_jax.diffusion.score_target import EnergyFunction
from algd_jax.lagrangian.energy import augmented_lagrangian, plain_lagrangian
from algd_jax.types import Scalar


class Energies(struct.PyTreeNode):
    """What the critics make of one action, or of an array of actions, at one state.

    Attributes:
      plain: plain Lagrangian L [discounted reward].
      augmented: augmented Lagrangian L_A [discounted reward].
      excess: risk above the budget, Q_c^risk − h [discounted cost]; feasible where <= 0. Of
        several constraints the largest.
    """

    plain: jax.Array
    augmented: jax.Array
    excess: jax.Array


class Curvatures(struct.PyTreeNode):
    """Smallest eigenvalue of the Hessian of each energy; negative where it is not convex.

    Attributes:
      plain: [N] of L [discounted reward / action²].
      augmented: [N] of L_A.
    """

    plain: jax.Array
    augmented: jax.Array


class Plane(struct.PyTreeNode):
    """A two-dimensional slice of the action space: action(u, v) = origin + u·d_1 + v·d_2.

    Attributes:
      origin: [A] the point of the slice with u = v = 0; orthogonal to both directions.
      directions: [2, A] orthonormal d_1, d_2.
    """

    origin: jax.Array
    directions: jax.Array

    def action(self, coordinates: jax.Array) -> jax.Array:
        """Coordinates [..., 2] to actions [..., A]."""
        return self.origin + coordinates @ self.directions

    def coordinates(self, actions: jax.Array) -> jax.Array:
        """Orthogonal projection of actions [..., A] to coordinates [..., 2]."""
        return actions @ self.directions.T


class Survey(struct.PyTreeNode):
    """The landscape at one state, as :func:`survey` finds it.

    Attributes:
      axes: [2, n] coordinates u and v of the grid.
      heights: leaves [n, n], row = v, column = u; NaN outside the action box.
      actions: [N, 2] coordinates of actions drawn from the policy.
      action_excess: [N] risk of each drawn action above the budget.
      hessian: smallest eigenvalues at the drawn actions, per energy.
      mean_hessian: likewise of the Hessian averaged over ``reach``.
    """

    axes: jax.Array
    heights: Energies
    actions: jax.Array
    action_excess: jax.Array
    hessian: Curvatures
    mean_hessian: Curvatures


def survey(
    algorithm: Algorithm,
    agent: AgentState,
    obs: jax.Array,
    directions: jax.Array,
    key: jax.Array,
    hyper: Hyper,
    *,
    low: jax.Array,
    high: jax.Array,
    reach: Scalar,
    points: int,
    samples: int,
) -> Survey:
    """Both energies on the plane through the deterministic action, and curved how at drawn ones.

    Args:
      algorithm: whose agent it is.
      agent: critics, multiplier and policy.
      obs: [O] the state.
      directions: [2, A] orthonormal.
      key: one PRNG key, consumed by the drawn actions.
      hyper: scalars.
      low, high: [A] action box.
      reach: [] see :func:`mean_hessian`.
      points: n, grid points per axis.
      samples: N, actions drawn.
    """
    plain, augmented, excess = energies(algorithm, agent, obs, hyper)
    centre = algorithm.act_deterministic(agent, obs, hyper)
    plane = plane_through(centre, directions)
    limits = box_limits(plane, centre, low, high)
    axes = jnp.linspace(limits[:, 0], limits[:, 1], points, axis=1)

    def heights(coordinates):
        action = plane.action(coordinates)
        slack = 1e-5 * (high - low)  # The grid's own ends lie on the box, up to rounding.
        inside = jnp.all((action >= low - slack) & (action <= high + slack))
        found = Energies(plain(action), augmented(action), excess(action))
        return jax.tree.map(lambda height: jnp.where(inside, height, jnp.nan), found)

    def curvatures(matrix_of):
        def smallest(energy):
            return jax.vmap(lambda action: smallest_eigenvalue(matrix_of(energy, action)))(actions)

        return Curvatures(plain=smallest(plain), augmented=smallest(augmented))

    keys = jax.random.split(key, samples)
    actions = jax.vmap(lambda one: algorithm.act(agent, obs, one, hyper))(keys)
    return Survey(
        axes=axes,
        heights=jax.vmap(jax.vmap(heights))(jnp.stack(jnp.meshgrid(*axes), axis=-1)),
        actions=plane.coordinates(actions),
        action_excess=jax.vmap(excess)(actions),
        hessian=curvatures(hessian),
        mean_hessian=curvatures(partial(mean_hessian, reach=reach)),
    )


def energies(
    algorithm: Algorithm, agent: AgentState, obs: jax.Array, hyper: Hyper
) -> tuple[EnergyFunction, EnergyFunction, EnergyFunction]:
    """The three functions of one action [A] that :class:`Energies` names, in its order.

    Args:
      algorithm: whose agent it is; its own energy plays no role.
      agent: critics, multiplier and penalty.
      obs: [O].
      hyper: scalars.
    """
    seen, pressure = algorithm.seen(agent, obs), algorithm.pressure(agent, hyper)
    unit = algorithm.units(agent, hyper)

    def guided_by(lagrangian, scale):
        guided = dataclasses.replace(algorithm, lagrangian=lagrangian)
        energy = guided.energies(agent.critics, seen, pressure, hyper)
        return lambda action: scale * energy(action)

    def excess(reward_value, risk, lam, rho, budget):
        return jnp.max(jnp.asarray((risk - budget) * unit.cost))

    return (
        guided_by(plain_lagrangian, unit.reward),
        guided_by(augmented_lagrangian, unit.reward),
        guided_by(excess, 1.0),
    )


def plane_through(action: jax.Array, directions: jax.Array) -> Plane:
    """The plane through an action [A], spanned by orthonormal directions [2, A].

    Its coordinates are those of the action space: along an axis, u *is* that action component.
    """
    chex.assert_rank([action, directions], [1, 2])
    return Plane(action - (directions @ action) @ directions, directions)


def random_directions(key: jax.Array, action_size: int) -> jax.Array:
    """Two orthonormal directions [2, A] spanning a uniformly distributed plane; A >= 2."""
    basis, _ = jnp.linalg.qr(jax.random.normal(key, (action_size, 2)))
    return basis.T


def box_limits(plane: Plane, action: jax.Array, low: jax.Array, high: jax.Array) -> jax.Array:
    """How far the box reaches along each direction from an action in it: [2, 2], (low, high) rows.

    Args:
      plane: the slice.
      action: [A] a point of the slice inside the box.
      low, high: [A] action box.
    """

    def along(direction, coordinate):
        moves = direction != 0
        rate = jnp.where(moves, direction, 1.0)
        to_low, to_high = (low - action) / rate, (high - action) / rate
        nearest = jnp.where(moves, jnp.minimum(to_low, to_high), -jnp.inf).max()
        farthest = jnp.where(moves, jnp.maximum(to_low, to_high), jnp.inf).min()
        return coordinate + jnp.stack([nearest, farthest])

    return jax.vmap(along)(plane.directions, plane.coordinates(action))


def hessian(energy: EnergyFunction, action: jax.Array) -> jax.Array:
    """∇²E at one action [A]: [A, A].

    Networks of ReLU units are piecewise linear, so the reward critics contribute nothing here;
    their kinks show in :func:`mean_hessian`.
    """
    return jax.hessian(energy)(action)


def mean_hessian(energy: EnergyFunction, action: jax.Array, reach: Scalar) -> jax.Array:
    """Hessian by central differences of the gradient: column j is its mean over a segment.

    (∇E(a + r e_j) − ∇E(a − r e_j)) / 2r, made symmetric: exact for quadratics, and it sees the
    kinks of piecewise linear energies within reach.

    Args:
      energy: differentiable almost everywhere.
      action: [A].
      reach: [] r > 0, half the length of the segments [units of the action].

    Returns:
      [A, A].
    """
    gradient = jax.grad(energy)
    steps = reach * jnp.eye(action.shape[0], dtype=action.dtype)
    differences = jax.vmap(lambda step: gradient(action + step) - gradient(action - step))(steps)
    slopes = differences / (2 * reach)
    return (slopes + slopes.T) / 2


def smallest_eigenvalue(matrix: jax.Array) -> jax.Array:
    """[] of a symmetric matrix [A, A]; 0 where float32 cannot tell it from 0."""
    eigenvalues = jnp.linalg.eigvalsh(matrix)
    rounding = 1e-5 * jnp.max(jnp.abs(eigenvalues))
    return jnp.where(jnp.abs(eigenvalues[0]) > rounding, eigenvalues[0], 0.0)
