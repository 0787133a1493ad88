"""Contacts of a robot, or of what it pushes, as rows of constraints.

Every contact of MuJoCo's `condim 6` pushes along the ten edges of its friction pyramid: the normal
leaning by the friction coefficient towards two tangents, a twist and two rolls, forwards and back.
On the floor all ten are kept. Twist and rolls hardly lean (5e-3 and 1e-4 m), so that elsewhere
those six edges are one row of six-fold stiffness along the normal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from algd_jax.envs.contact_solver import Rows
from algd_jax.envs.navigation.constraints import (
    FRICTION,
    contact_impedance,
    pyramid_stiffness,
    reference_acceleration,
)
from algd_jax.envs.navigation.geometry import Contacts, Rectangle, disc_rectangle_contact
from algd_jax.envs.navigation.touches import Touches, deepest

__all__ = ["Pushed", "floor_rows", "obstacle_rows", "push_rows", "stop_rows"]

_TORSION, _ROLLING = 0.005, 0.0001  # m, of geoms on the floor.
_UPRIGHT_EDGES = 6.0  # Edges of a pyramid that do not lean sideways.

Jacobian = Callable[[jax.Array, jax.Array], jax.Array]
"""(point [3], body id []) -> [n, 3] velocity of the point per generalised velocity."""


class Pushed(NamedTuple):
    """A movable body in the system.

    Attributes:
      origin: [2] its centre [m].
      planar: [3, n] from the system's velocities to its own (x, y, yaw).
      inverse_mass: [1/kg].
    """

    origin: jax.Array
    planar: jax.Array
    inverse_mass: float

    def linear(self, position: jax.Array) -> jax.Array:
        """[K, n, 2] Jacobians of points [K, 2] fixed to the body."""
        lever = position - self.origin
        x = self.planar[0] - lever[:, 1:] * self.planar[2]
        y = self.planar[1] + lever[:, :1] * self.planar[2]
        return jnp.stack([x, y], axis=-1)


def obstacle_rows(touches: Touches, jacobian: Jacobian, velocity: jax.Array) -> Rows:
    """Rows of contacts with what does not move; velocity [n] of the system."""
    linear = jax.vmap(jacobian)(touches.position, touches.body)  # [K, n, 3]
    normal, *tangents = _frame(touches.normal)
    along = _components(linear, normal)
    leans = [_components(linear, tangent) for tangent in tangents]
    return _pyramid_rows(touches, along, leans, velocity)


def _frame(normal: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The normals [K, 3], horizontal tangents, and the tangents across both."""
    sideways = jnp.stack([-normal[:, 1], normal[:, 0], jnp.zeros(len(normal))], axis=1)
    sideways = sideways / jnp.maximum(jnp.linalg.norm(sideways, axis=1, keepdims=True), 1e-6)
    return normal, sideways, jnp.cross(normal, sideways)


def _components(linear: jax.Array, direction: jax.Array) -> jax.Array:
    """[K, n] components of Jacobians [K, n, 3] along directions [K, 3]."""
    return jnp.sum(linear * direction[:, None], axis=-1)


def _pyramid_rows(
    touches: Touches, along: jax.Array, leans: list[jax.Array], velocity: jax.Array
) -> Rows:
    """Rows of friction pyramids: one along the normal and two for each tangent.

    Args:
      touches: K contacts.
      along: [K, n] Jacobian along the normals.
      leans: the same along the tangents; those in which nothing can move may be missing.
      velocity: [n].
    """
    edges = [along]
    for lean in leans:
        edges += [along + FRICTION * lean, along - FRICTION * lean]
    matrix = jnp.concatenate(edges)
    edge = pyramid_stiffness(touches.distance, touches.inverse_mass) * touches.copies
    # Edges that lean where nothing can move are as upright as the rest.
    upright = _UPRIGHT_EDGES + 2.0 * (2 - len(leans))
    distance = jnp.tile(touches.distance, len(edges))
    return Rows(
        jacobian=matrix,
        reference=reference_acceleration(distance, matrix @ velocity, contact_impedance(distance)),
        stiffness=jnp.concatenate([upright * edge, *[edge] * (len(edges) - 1)]),
    )


def push_rows(
    touches: Touches, jacobian: Jacobian, pushed: Pushed, velocity: jax.Array, upright: bool
) -> Rows:
    """Rows of contacts between the robot and a movable body."""
    linear = jax.vmap(jacobian)(touches.position, touches.body)
    yielding = pushed.linear(touches.position[:, :2])
    relative = linear - jnp.pad(yielding, ((0, 0), (0, 0), (0, 1)))
    normal, sideways, upwards = _frame(touches.normal)
    tangents = [sideways] if upright else [sideways, upwards]
    touches = touches._replace(inverse_mass=touches.inverse_mass + pushed.inverse_mass)
    along = _components(relative, normal)
    leans = [_components(relative, tangent) for tangent in tangents]
    return _pyramid_rows(touches, along, leans, velocity)


def stop_rows(
    boxes: Rectangle, centres: jax.Array, radius: float, pushed: Pushed, velocity: jax.Array
) -> Rows:
    """Rows of a movable body's boxes (leaves [Q, …]) against fixed upright cylinders."""

    def against(centre: jax.Array) -> Contacts:
        found = jax.vmap(lambda box: disc_rectangle_contact(box, centre, radius))(boxes)
        return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), found)

    found = jax.vmap(against)(centres)
    contacts = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), found)
    count = len(contacts.distance)
    touches = Touches(
        distance=contacts.distance,
        position=contacts.position,
        normal=-contacts.normal,  # Towards the box.
        body=jnp.zeros(count, int),
        inverse_mass=jnp.full(count, pushed.inverse_mass),
        copies=jnp.full(count, 2.0),
    )
    touches = deepest(touches, 3)
    linear = pushed.linear(touches.position)
    sideways = jnp.stack([-touches.normal[:, 1], touches.normal[:, 0]], axis=1)
    along, lean = _components(linear, touches.normal), _components(linear, sideways)
    return _pyramid_rows(touches, along, [lean], velocity)


def floor_rows(
    depth: jax.Array,
    linear: jax.Array,
    angular: jax.Array,
    inverse_mass: jax.Array,
    velocity: jax.Array,
) -> Rows:
    """Ten rows for each of K points of the robot over the floor.

    Args:
      depth: [K] height of the points, negative below the floor [m].
      linear, angular: [K, n, 3] Jacobians of the points' velocities.
      inverse_mass: [K] of the bodies they belong to [1/kg].
      velocity: [n] of the robot.
    """
    leans = jnp.stack(
        [
            FRICTION * linear[..., 0],
            FRICTION * linear[..., 1],
            _TORSION * angular[..., 2],
            _ROLLING * angular[..., 0],
            _ROLLING * angular[..., 1],
        ]
    )
    normal = linear[..., 2]
    edges = jnp.concatenate([normal + leans, normal - leans])  # [10, K, n]
    reference = reference_acceleration(depth, edges @ velocity, contact_impedance(depth))
    firm = jnp.broadcast_to(pyramid_stiffness(depth, inverse_mass), reference.shape)
    return Rows(edges.reshape(-1, edges.shape[-1]), reference.ravel(), firm.ravel())
