"""What yields to a push: gremlins on their soft welds, vases and boxes that slide on the floor.

In the original these are free bodies with six degrees of freedom each. Here they move in the plane,
with three: x, y and yaw; and only the one nearest to the robot can be touched within a step.

Gremlins hover above the floor, so a robot meets the lower edge of the box and tilts it a little.
The weld holds the tilt by the same law as the place, and for small angles a tilted box is a second
mass in series with the first: `lean` is how far the touched edge yields beyond the centre.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from algd_jax.envs.navigation.constraints import (
    FRICTION,
    IMPEDANCE,
    reference_acceleration,
    stiffness,
)
from algd_jax.envs.navigation.geometry import cross, to_world, unit_vector
from algd_jax.envs.navigation.objects import Gremlins, PushBox, Vases

__all__ = [
    "CONTACT_LEVER",
    "Bodies",
    "GremlinState",
    "Movable",
    "SlidingState",
    "movable",
]

_GRAVITY = 9.81  # m/s^2
CONTACT_LEVER = 0.075
"""From a gremlin's centre down to the height at which the robot touches it [m]."""
_WELD_TIME, _WELD_DAMPING_RATIO = 0.02, 1.5
_GREMLIN_DENSITY = 0.001  # kg / m^3


class Bodies(NamedTuple):
    """K bodies as a contact sees them.

    Attributes:
      position: [K, 2] [m].
      axis: [K, 2] unit vector of the body's x axis.
      velocity: [K, 3] (x, y, yaw) [m/s, m/s, rad/s].
      free: [K, 3] acceleration without contact [m/s^2, m/s^2, rad/s^2].
    """

    position: jax.Array
    axis: jax.Array
    velocity: jax.Array
    free: jax.Array


class Prism(NamedTuple):
    """An upright box, part of a body: centre (x, y), half sides (x, y), half height [m]."""

    centre: tuple[float, float]
    half: tuple[float, float]
    half_height: float


class Movable(NamedTuple):
    """One kind of movable thing.

    Attributes:
      prisms: its parts, in its own frame.
      inertia: [3] what a contact accelerates, in (x, y, yaw) [kg, kg, kg m^2].
      inverse_mass: from which MuJoCo derives how soft its contacts are [1/kg].
      span: heights between which it reaches [m].
      slides: whether it can come against obstacles.
      start: (positions [K, 2], yaws [K]) -> its state, at rest.
      bodies: (state, time []) -> `Bodies`.
      advance: (state, time [], force [K, 3] of contacts) -> the state after a physics step.
    """

    prisms: tuple[Prism, ...]
    inertia: np.ndarray
    inverse_mass: float
    span: tuple[float, float]
    slides: bool
    start: Callable[[jax.Array, jax.Array], Any]
    bodies: Callable[[Any, jax.Array], Bodies]
    advance: Callable[[Any, jax.Array, jax.Array], Any]


def movable(row: Gremlins | Vases | PushBox, timestep: float) -> Movable:
    """The physics of a row of `objects`, stepped by `timestep` [s]."""
    if isinstance(row, Gremlins):
        return _gremlins(row, timestep)
    if isinstance(row, Vases):
        cube = Prism((0.0, 0.0), (row.half, row.half), row.half)
        return _sliding((cube,), row.density, row.half, timestep)
    return _sliding(_notched_box(row.half), row.density, row.half, timestep)


def _notched_box(half: float) -> tuple[Prism, ...]:
    """A cube and the four columns round its upright edges."""
    signs = ((1.0, 1.0), (1.0, -1.0), (-1.0, 1.0), (-1.0, -1.0))
    cube = Prism((0.0, 0.0), (half, half), half)
    return (cube, *(Prism((x * half, y * half), (half / 2, half / 2), half) for x, y in signs))


def _mass_and_inertia(prisms: tuple[Prism, ...], density: float) -> tuple[float, float]:
    """Mass [kg] and inertia about the vertical [kg m^2]."""
    masses = [density * 8.0 * part.half[0] * part.half[1] * part.half_height for part in prisms]
    squares = [np.square(part.half).sum() / 3.0 + np.square(part.centre).sum() for part in prisms]
    return sum(masses), float(np.dot(masses, squares))


class SlidingState(struct.PyTreeNode):
    """K things on the floor.

    Attributes:
      position: [K, 2] centres [m].
      yaw: [K] [rad].
      velocity: [K, 3] (x, y, yaw) [m/s, m/s, rad/s].
    """

    position: jax.Array
    yaw: jax.Array
    velocity: jax.Array


def _sliding(prisms: tuple[Prism, ...], density: float, height: float, timestep: float) -> Movable:
    mass, inertia = _mass_and_inertia(prisms, density)
    corners = np.array(
        [
            (part.centre[0] + x * part.half[0], part.centre[1] + y * part.half[1])
            for part in prisms
            for x in (-1.0, 1.0)
            for y in (-1.0, 1.0)
        ]
    )
    # Coulomb friction, softened where one step would turn it round: four times the velocity that
    # it can stop within a step, because corners turn more easily than the body moves.
    softness = 4.0 * FRICTION * _GRAVITY * timestep

    def friction(state: SlidingState) -> jax.Array:
        """Deceleration [K, 3], every corner carrying the same part of the weight."""
        levers = to_world(jnp.asarray(corners), unit_vector(state.yaw)[:, None])  # [K, P, 2]
        across = jnp.stack([-levers[..., 1], levers[..., 0]], axis=-1)
        velocity = state.velocity[:, None, :2] + state.velocity[:, None, 2:] * across
        speed = jnp.sqrt(jnp.sum(velocity**2, axis=-1, keepdims=True) + 1e-20)
        pull = -FRICTION * _GRAVITY * velocity / jnp.maximum(speed, softness)
        turn = jnp.mean(cross(levers, pull), axis=1) * (mass / inertia)
        return jnp.concatenate([jnp.mean(pull, axis=1), turn[:, None]], axis=1)

    def bodies(state: SlidingState, time: jax.Array) -> Bodies:
        return Bodies(state.position, unit_vector(state.yaw), state.velocity, friction(state))

    inertias = np.array([mass, mass, inertia])

    def advance(state: SlidingState, time: jax.Array, force: jax.Array) -> SlidingState:
        velocity = state.velocity + timestep * (friction(state) + force / inertias)
        return SlidingState(
            position=state.position + timestep * velocity[:, :2],
            yaw=state.yaw + timestep * velocity[:, 2],
            velocity=velocity,
        )

    def start(position: jax.Array, yaw: jax.Array) -> SlidingState:
        return SlidingState(position, yaw, jnp.zeros((len(position), 3)))

    return Movable(prisms, inertias, 1.0 / mass, (0.0, 2.0 * height), True, start, bodies, advance)


class GremlinState(struct.PyTreeNode):
    """G gremlins.

    Attributes:
      centre: [G, 2] of the circles [m].
      rest_yaw: [G] at which the weld holds them [rad].
      position: [G, 2] centres [m].
      yaw: [G] [rad].
      velocity: [G, 3] (x, y, yaw) [m/s, m/s, rad/s].
      lean: [G, 2] displacement of the touched edge against the centre, by tilting [m].
      lean_velocity: [G, 2] [m/s].
    """

    centre: jax.Array
    rest_yaw: jax.Array
    position: jax.Array
    yaw: jax.Array
    velocity: jax.Array
    lean: jax.Array
    lean_velocity: jax.Array


def _gremlins(row: Gremlins, timestep: float) -> Movable:
    cube = Prism((0.0, 0.0), (row.half, row.half), row.half)
    mass, inertia = _mass_and_inertia((cube,), _GREMLIN_DENSITY)
    weld = float(stiffness(IMPEDANCE[1], 1.0 / mass))
    # The weld's residual of a rotation is half its angle; angles become lean by the lever.
    tilt_weld = weld / (2.0 * CONTACT_LEVER) ** 2
    centre_inertia = np.array([mass + weld, mass + weld, inertia + weld / 4.0])
    lean_inertia = inertia / CONTACT_LEVER**2 + tilt_weld
    edge_inertia = 1.0 / (1.0 / centre_inertia[0] + 1.0 / lean_inertia)  # In series.

    def pull(residual: jax.Array, velocity: jax.Array) -> jax.Array:
        return reference_acceleration(
            residual, velocity, IMPEDANCE[1], _WELD_TIME, _WELD_DAMPING_RATIO
        )

    def free_centre(state: GremlinState, time: jax.Array) -> jax.Array:
        """Acceleration [G, 3] of gremlins that nothing touches.

        The body they hang on is placed anew in every step and has no velocity in MuJoCo's eyes,
        so the weld damps the gremlin's absolute velocity and the gremlin lags behind.
        """
        offset = row.travel * jnp.stack([jnp.sin(time), jnp.cos(time)])
        moved = state.position - (state.centre + offset)
        turned = state.yaw - state.rest_yaw
        residual = jnp.concatenate([moved, turned[:, None]], axis=1)
        held = np.array([weld, weld, weld / 4.0]) / centre_inertia
        return pull(residual, state.velocity) * held

    def free_lean(state: GremlinState) -> jax.Array:
        """Acceleration [G, 2] with which gremlins that nothing touches stand up again."""
        return pull(state.lean, state.lean_velocity) * tilt_weld / lean_inertia

    def bodies(state: GremlinState, time: jax.Array) -> Bodies:
        return Bodies(
            position=state.position + state.lean,
            axis=unit_vector(state.yaw),
            velocity=state.velocity.at[:, :2].add(state.lean_velocity),
            free=free_centre(state, time).at[:, :2].add(free_lean(state)),
        )

    def advance(state: GremlinState, time: jax.Array, force: jax.Array) -> GremlinState:
        velocity = state.velocity + timestep * (free_centre(state, time) + force / centre_inertia)
        lean_velocity = state.lean_velocity + timestep * (
            free_lean(state) + force[:, :2] / lean_inertia
        )
        return state.replace(
            position=state.position + timestep * velocity[:, :2],
            yaw=state.yaw + timestep * velocity[:, 2],
            velocity=velocity,
            lean=state.lean + timestep * lean_velocity,
            lean_velocity=lean_velocity,
        )

    def start(centre: jax.Array, yaw: jax.Array) -> GremlinState:
        still = jnp.zeros_like(centre)
        return GremlinState(centre, yaw, centre, yaw, jnp.zeros((len(centre), 3)), still, still)

    touched = np.array([edge_inertia, edge_inertia, centre_inertia[2]])
    return Movable((cube,), touched, 1.0 / mass, (0.1, 0.3), False, start, bodies, advance)
