"""Gremlins: light boxes drawn round a circle by a soft weld, which yield when leaned on.

In the original each gremlin is a free body of 8e-6 kg, welded softly to a body that is moved along
a circle. Six degrees of freedom each would dominate the cost of a step, so a gremlin here is a
point mass in the plane under the same soft-constraint law (MuJoCo documentation, "Computation"):
a constraint with residual r and velocity v asks for the acceleration

    a_ref = -b v - k d r,    b = 2 / (d_max tc),    k = 1 / (d_max tc dr)^2,

with the weight D = d / (1 - d) / w of the constraint's impedance d and inverse mass w, and the
acceleration is the one that minimises the weighted squares of all active constraints and of the
free motion (Gauss's principle).

Gremlins hover above the floor, so a robot meets the lower edge of the box and tilts it a little.
The weld holds the tilt by the same law, and for small angles a tilted box is a second mass in
series with the first: `lean` is how far the touched edge yields beyond the centre. Yaw is left out.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from algd_jax.envs.navigation.geometry import (
    Contacts,
    Square,
    cross,
    disc_square_contact,
    dot,
    square_square_contacts,
    squares_overlap,
    to_body,
    to_world,
    unit_vector,
)
from algd_jax.envs.navigation.objects import Gremlins
from algd_jax.envs.navigation.robots import Footprint

__all__ = [
    "CONTACT_LEVER",
    "GremlinState",
    "PlanarMotion",
    "Push",
    "RobotBody",
    "gremlin_step",
    "initial_gremlins",
    "touched",
]

_MASS = 8e-6  # kg: a cube of side 0.2 m and density 0.001.
_INERTIA = 5.333e-8  # kg m^2, of that cube about its centre.
CONTACT_LEVER = 0.075  # m: from the centre down to the height at which the robot touches it.
_IMPEDANCE = (0.9, 0.95)  # MuJoCo's default: from touch to _IMPEDANCE_WIDTH deep.
_IMPEDANCE_WIDTH = 0.001  # m
_FRICTION = 1.0
_WELD_TIME, _WELD_DAMPING_RATIO = 0.02, 1.5
_CONTACT_TIME, _CONTACT_DAMPING_RATIO = 0.02, 1.0
_NEWTON_STEPS = 3


def _weight(impedance: jax.Array | float, inverse_mass: float) -> jax.Array | float:
    """Weight [kg] of a constraint: the mass it acts on, stretched by its impedance."""
    return impedance / (1.0 - impedance) / inverse_mass


_WELD_WEIGHT = _weight(_IMPEDANCE[1], 1.0 / _MASS)
_CENTRE_INERTIA = _MASS + _WELD_WEIGHT
# The weld's residual of a rotation is half its angle; angles become lean by the lever.
_TILT_WEIGHT = _weight(_IMPEDANCE[1], 1.0 / _MASS) / (2.0 * CONTACT_LEVER) ** 2
_LEAN_INERTIA = _INERTIA / CONTACT_LEVER**2 + _TILT_WEIGHT
_EDGE_INERTIA = 1.0 / (1.0 / _CENTRE_INERTIA + 1.0 / _LEAN_INERTIA)  # In series.


@struct.dataclass
class GremlinState:
    """G gremlins.

    Attributes:
      position: [G, 2] centres [m].
      velocity: [G, 2] [m/s].
      lean: [G, 2] displacement of the touched edge against the centre, by tilting [m].
      lean_velocity: [G, 2] [m/s].
    """

    position: jax.Array
    velocity: jax.Array
    lean: jax.Array
    lean_velocity: jax.Array


class PlanarMotion(NamedTuple):
    """How the robot moves in the plane, in the world frame.

    Attributes:
      position: [2] body origin [m].
      axis: [2] unit vector of its x axis.
      velocity: [3] (x, y, yaw) [m/s, m/s, rad/s].
      acceleration: [3] without the gremlins' push [m/s^2, m/s^2, rad/s^2].
    """

    position: jax.Array
    axis: jax.Array
    velocity: jax.Array
    acceleration: jax.Array


class RobotBody(NamedTuple):
    """What a gremlin feels of the robot.

    Attributes:
      footprint: see `Footprint`.
      inverse_inertia: [3, 3] from (force x, force y, torque) at the body origin to accelerations,
        in body axes.
      inverse_mass: mean inverse mass of the body [1/kg], from which MuJoCo derives how soft its
        contacts are.
    """

    footprint: Footprint
    inverse_inertia: np.ndarray
    inverse_mass: float


class Push(NamedTuple):
    """What the gremlins do to the robot, in the world frame.

    Attributes:
      force: [3] (force x, force y, torque about its origin) [N, N, N m].
      acceleration: [3] of the robot under that force [m/s^2, m/s^2, rad/s^2].
    """

    force: jax.Array
    acceleration: jax.Array


class _Rows(NamedTuple):
    """Constraint rows between the robot and one gremlin: three per contact, K contacts.

    Attributes:
      direction: [3, K, 2] of the force on the robot.
      torque: [3, K] torque on the robot about its origin per unit force [m].
      reference: [3, K] wanted relative acceleration [m/s^2].
      weight: [3, K] weight in the Gauss cost [kg]; zero where there is no contact.
    """

    direction: jax.Array
    torque: jax.Array
    reference: jax.Array
    weight: jax.Array


def initial_gremlins(row: Gremlins) -> GremlinState:
    """Gremlins at rest in the centres of their circles."""
    centres = jnp.asarray(row.centres, jnp.float32)
    still = jnp.zeros_like(centres)
    return GremlinState(position=centres, velocity=still, lean=still, lean_velocity=still)


def touched(
    row: Gremlins, state: GremlinState, footprint: Footprint, origin: jax.Array, heading: jax.Array
) -> jax.Array:
    """Whether the robot at origin [2], heading [] touches a gremlin."""
    arrow = _robot_square(footprint, origin, unit_vector(heading))

    def one(centre: jax.Array, yaw: jax.Array) -> jax.Array:
        box = Square(centre, unit_vector(yaw), row.half)
        disc = disc_square_contact(box, origin, footprint.disc_radius)
        return (disc.distance[0] <= 0) | squares_overlap(box, arrow)

    return jnp.any(jax.vmap(one)(state.position + state.lean, jnp.asarray(row.yaws)))


def gremlin_step(
    row: Gremlins,
    robot: RobotBody,
    timestep: float,
    state: GremlinState,
    time: jax.Array,
    motion: PlanarMotion,
) -> tuple[GremlinState, Push]:
    """One physics step of all gremlins, of which only the nearest can touch the robot."""
    distances = jnp.sum((state.position - motion.position) ** 2, axis=1)
    is_nearest = (jnp.arange(len(row.centres)) == jnp.argmin(distances))[:, None]

    def near(values: jax.Array) -> jax.Array:
        return jnp.sum(jnp.where(is_nearest, values, 0.0), axis=0)

    free, free_lean = _weld_acceleration(row, state, time), _upright_acceleration(state)

    axes = unit_vector(jnp.asarray(row.yaws))
    box = Square(near(state.position + state.lean), near(axes), row.half)
    edge_velocity = near(state.velocity + state.lean_velocity)
    rows = _contact_rows(robot, box, edge_velocity, motion)
    force, push = _solve(rows, near(free + free_lean), robot, motion)
    force = jnp.where(is_nearest, force, 0.0)

    velocity = state.velocity + timestep * (free + force / _CENTRE_INERTIA)
    lean_velocity = state.lean_velocity + timestep * (free_lean + force / _LEAN_INERTIA)
    after = GremlinState(
        position=state.position + timestep * velocity,
        velocity=velocity,
        lean=state.lean + timestep * lean_velocity,
        lean_velocity=lean_velocity,
    )
    return after, push


def _robot_square(footprint: Footprint, origin: jax.Array, axis: jax.Array) -> Square:
    """The square of the robot's footprint in the world."""
    offset = to_world(jnp.asarray(footprint.square_centre), axis)
    return Square(origin + offset, axis, footprint.square_half)


def _reference(
    residual: jax.Array,
    velocity: jax.Array,
    impedance: jax.Array | float,
    time: float,
    damping_ratio: float,
) -> jax.Array:
    """Acceleration that a constraint asks for: a damped spring."""
    damping = 2.0 / (_IMPEDANCE[1] * time)
    stiffness = 1.0 / (_IMPEDANCE[1] * time * damping_ratio) ** 2
    return -damping * velocity - stiffness * impedance * residual


def _weld_acceleration(row: Gremlins, state: GremlinState, time: jax.Array) -> jax.Array:
    """Acceleration [G, 2] of gremlins that nothing touches.

    The body they hang on is placed anew in every step and has no velocity in MuJoCo's eyes, so
    the weld damps the gremlin's absolute velocity and the gremlin lags behind.
    """
    offset = row.travel * jnp.stack([jnp.sin(time), jnp.cos(time)])
    residual = state.position - (jnp.asarray(row.centres) + offset)
    wanted = _reference(residual, state.velocity, _IMPEDANCE[1], _WELD_TIME, _WELD_DAMPING_RATIO)
    return wanted * _WELD_WEIGHT / _CENTRE_INERTIA


def _upright_acceleration(state: GremlinState) -> jax.Array:
    """Acceleration [G, 2] with which gremlins that nothing touches stand up again."""
    wanted = _reference(
        state.lean, state.lean_velocity, _IMPEDANCE[1], _WELD_TIME, _WELD_DAMPING_RATIO
    )
    return wanted * _TILT_WEIGHT / _LEAN_INERTIA


def _contact_rows(
    robot: RobotBody, box: Square, box_velocity: jax.Array, motion: PlanarMotion
) -> _Rows:
    """Constraint rows of the contacts of one gremlin with the robot's disc and square.

    The friction pyramid of a contact with sliding, twisting and rolling friction has ten edges.
    Two lean sideways within the plane; the other eight are, as far as the plane is concerned,
    along the normal. So a contact gives three rows, the straight one with eight-fold weight.
    """
    arrow = _robot_square(robot.footprint, motion.position, motion.axis)
    disc = disc_square_contact(box, motion.position, robot.footprint.disc_radius)
    corners = square_square_contacts(box, arrow)
    contacts = jax.tree.map(lambda *parts: jnp.concatenate(parts), disc, corners)
    impedance = _contact_impedance(contacts.distance)

    tangent = jnp.stack([-contacts.normal[:, 1], contacts.normal[:, 0]], axis=1)
    sideways = _FRICTION * jnp.array([0.0, 1.0, -1.0])[:, None, None]
    direction = contacts.normal + sideways * tangent  # [3, K, 2]
    torque = cross(contacts.position - motion.position, direction)
    approach = dot(direction, motion.velocity[:2] - box_velocity) + torque * motion.velocity[2]
    reference = _reference(
        contacts.distance, approach, impedance, _CONTACT_TIME, _CONTACT_DAMPING_RATIO
    )
    weight = _contact_weight(robot, contacts, impedance) * jnp.array([[8.0], [1.0], [1.0]])
    return _Rows(direction, torque, reference, weight)


def _contact_impedance(distance: jax.Array) -> jax.Array:
    """Impedance [K] of contacts: a smooth step from touch to `_IMPEDANCE_WIDTH` deep."""
    depth = jnp.clip(-distance / _IMPEDANCE_WIDTH, 0.0, 1.0)
    rise = jnp.where(depth < 0.5, 2.0 * depth**2, 1.0 - 2.0 * (1.0 - depth) ** 2)
    return _IMPEDANCE[0] + rise * (_IMPEDANCE[1] - _IMPEDANCE[0])


def _contact_weight(robot: RobotBody, contacts: Contacts, impedance: jax.Array) -> jax.Array:
    """Weight [K] of one pyramid edge of each contact [kg], zero where nothing touches."""
    squared = _FRICTION**2
    inverse_mass = (robot.inverse_mass + 1.0 / _MASS) * (1.0 + squared) * 2.0 * squared
    # Boxes touch along upright edges, and MuJoCo puts a contact at both ends of an edge.
    copies = jnp.array([1.0, 2.0, 2.0])
    return _weight(impedance, inverse_mass) * copies * (contacts.distance < 0)


def _solve(
    rows: _Rows, free: jax.Array, robot: RobotBody, motion: PlanarMotion
) -> tuple[jax.Array, Push]:
    """Force [2] on the touched edge, and its push on the robot; free [2] is without contact.

    Newton's method on the edge's two accelerations. The robot, thirty times heavier than the weld
    makes a gremlin feel, answers to the push between the iterations.
    """
    acceleration, answer = free, motion.acceleration
    total = jnp.zeros(3)
    for _ in range(_NEWTON_STEPS):
        wanted = dot(rows.direction, answer[:2]) + rows.torque * answer[2] - rows.reference
        active = rows.weight * (wanted < dot(rows.direction, acceleration))
        acceleration = _minimise(rows.direction, active, wanted, free)
        force = active * (dot(rows.direction, acceleration) - wanted)
        sides = jnp.stack([rows.direction[..., 0], rows.direction[..., 1], rows.torque])
        total = jnp.sum(force * sides, axis=(1, 2))
        answer = motion.acceleration + _accelerate(robot.inverse_inertia, total, motion.axis)
    return -total[:2], Push(total, answer)


def _minimise(
    direction: jax.Array, weight: jax.Array, wanted: jax.Array, free: jax.Array
) -> jax.Array:
    """Acceleration a [2] of least Gauss cost, the rows' weights [3, K] given.

    Solves (m I + sum w n n^T) a = m free + sum w n wanted by Cramer's rule.
    """
    x, y = weight * direction[..., 0], weight * direction[..., 1]
    xx = _EDGE_INERTIA + jnp.sum(x * direction[..., 0])
    xy = jnp.sum(x * direction[..., 1])
    yy = _EDGE_INERTIA + jnp.sum(y * direction[..., 1])
    right_x = _EDGE_INERTIA * free[0] + jnp.sum(x * wanted)
    right_y = _EDGE_INERTIA * free[1] + jnp.sum(y * wanted)
    solution = jnp.stack([yy * right_x - xy * right_y, xx * right_y - xy * right_x])
    return solution / (xx * yy - xy * xy)


def _accelerate(inverse_inertia: np.ndarray, force: jax.Array, axis: jax.Array) -> jax.Array:
    """Acceleration [3] that force and torque [3] give the robot, both in the world frame."""
    forces = jnp.append(to_body(force[:2], axis), force[2])
    answer = jnp.sum(jnp.asarray(inverse_inertia, jnp.float32) * forces, axis=1)
    return jnp.append(to_world(answer[:2], axis), answer[2])
