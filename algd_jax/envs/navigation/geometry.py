"""Distances and contact points of discs and squares in the plane.

Everything that Safety-Gym lets a robot touch stands upright, so contacts are planar. All lengths
are in metres. A rotation is the unit vector (cos, sin) of its angle. Sums are written out instead
of matrix products: a batch of these functions then becomes one fused loop.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

__all__ = [
    "Contacts",
    "Pose",
    "Square",
    "cross",
    "disc_square_contact",
    "dot",
    "point_square_distance",
    "square_square_contacts",
    "squares_overlap",
    "to_body",
    "to_world",
    "unit_vector",
]

_APART = 1.0  # m: any positive distance, for contacts of shapes that do not overlap.


class Pose(NamedTuple):
    """Where a robot is, seen from above.

    Attributes:
      origin: [2] body origin in the world [m].
      heading: [] angle of its x axis, counter-clockwise from world x [rad].
    """

    origin: jax.Array
    heading: jax.Array


@struct.dataclass
class Square:
    """A square.

    Attributes:
      centre: [2] [m].
      axis: [2] unit vector along two of its sides.
      half: [] half the length of a side [m].
    """

    centre: jax.Array
    axis: jax.Array
    half: float


@struct.dataclass
class Contacts:
    """K candidate contacts between bodies A and B, of which those with distance < 0 touch.

    Attributes:
      distance: [K] signed distance [m].
      position: [K, 2] point midway between the two surfaces [m].
      normal: [K, 2] unit vector from A to B.
    """

    distance: jax.Array
    position: jax.Array
    normal: jax.Array


def unit_vector(angle: jax.Array) -> jax.Array:
    """(cos, sin) [..., 2] of an angle [...] in rad, counter-clockwise."""
    return jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=-1)


def dot(a: jax.Array, b: jax.Array) -> jax.Array:
    """Scalar product over the last axis, of size 2."""
    return a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1]


def cross(a: jax.Array, b: jax.Array) -> jax.Array:
    """Vertical component of the vector product, over the last axis of size 2."""
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def to_body(vector: jax.Array, axis: jax.Array) -> jax.Array:
    """Components [..., 2], in a frame turned by `axis`, of a world vector [..., 2]."""
    return jnp.stack([dot(axis, vector), cross(axis, vector)], axis=-1)


def to_world(vector: jax.Array, axis: jax.Array) -> jax.Array:
    """World components [..., 2] of a vector [..., 2] in a frame turned by `axis`."""
    conjugate = axis * jnp.array([1.0, -1.0])
    return to_body(vector, conjugate)


def point_square_distance(point: jax.Array, half: float) -> jax.Array:
    """Signed distance [...] of points [..., 2], in the square's own frame, to its border."""
    outside = jnp.abs(point) - half
    beyond = jnp.maximum(outside, 0.0)
    return jnp.sqrt(dot(beyond, beyond)) + jnp.minimum(jnp.max(outside, axis=-1), 0.0)


def disc_square_contact(square: Square, centre: jax.Array, radius: float) -> Contacts:
    """The one contact of a square (A) with a disc (B) around centre [2]."""
    local = to_body(centre - square.centre, square.axis)
    gap = local - jnp.clip(local, -square.half, square.half)
    length = jnp.sqrt(dot(gap, gap) + 1e-20)
    # A disc whose centre is inside the square leaves through the nearest side.
    depth = square.half - jnp.abs(local)
    least = jnp.min(depth)
    inside = least > 0
    side = jnp.where(depth == least, jnp.sign(local), 0.0)
    normal = to_world(jnp.where(inside, side, gap / length), square.axis)
    distance = jnp.where(inside, -least, length) - radius
    position = centre - normal * (radius + 0.5 * distance)
    return Contacts(distance[None], position[None], normal[None])


def squares_overlap(a: Square, b: Square) -> jax.Array:
    """Whether two squares share a point: no side of either separates them."""
    return jnp.maximum(jnp.max(_gaps(a, b)), jnp.max(_gaps(b, a))) <= 0


def square_square_contacts(a: Square, b: Square) -> Contacts:
    """The two contacts of a square (A) with a square (B).

    The side with the widest gap separates the squares best. The side that the other square turns
    to it is cut to its length; the two ends of what remains are the contacts.
    """
    gap_a, gap_b = jnp.max(_gaps(a, b)), jnp.max(_gaps(b, a))
    a_first = gap_a >= gap_b
    first = jax.tree.map(lambda x, y: jnp.where(a_first, x, y), a, b)
    second = jax.tree.map(lambda x, y: jnp.where(a_first, y, x), a, b)
    contacts = _clipped_side(first, second)
    overlap = jnp.maximum(gap_a, gap_b) < 0
    return Contacts(
        distance=jnp.where(overlap, contacts.distance, _APART),
        position=contacts.position,
        normal=jnp.where(a_first, contacts.normal, -contacts.normal),
    )


def _gaps(square: Square, other: Square) -> jax.Array:
    """Gaps [2] between two squares along the two axes of the first."""
    local = to_body(other.centre - square.centre, square.axis)
    turn = to_body(other.axis, square.axis)
    reach = other.half * (jnp.abs(turn[0]) + jnp.abs(turn[1]))
    return jnp.abs(local) - square.half - reach


def _clipped_side(square: Square, other: Square) -> Contacts:
    """Ends of the other square's facing side, cut to the length of this square's best side."""
    # Turn by quarters until the best side is the one towards +x.
    local = to_body(other.centre - square.centre, square.axis)
    along_x = jnp.abs(local[0]) >= jnp.abs(local[1])
    facing = jnp.where(along_x, jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0]))
    facing = facing * jnp.sign(dot(facing, local))
    normal = to_world(facing, square.axis)
    local, turn = to_body(other.centre - square.centre, normal), to_body(other.axis, normal)
    # Of the other square's four sides, the one whose outward normal points most towards -x.
    quarter = jnp.stack([-turn[1], turn[0]])
    outward = jnp.where(jnp.abs(turn[0]) >= jnp.abs(quarter[0]), turn, quarter)
    outward = -outward * jnp.sign(outward[0])
    middle = local + other.half * outward
    along = other.half * jnp.stack([-outward[1], outward[0]])
    # Cut middle + s * along, s in [-1, 1], to |y| <= half.
    slope = jnp.where(jnp.abs(along[1]) < 1e-9, 1e-9, along[1])
    bounds = (jnp.array([-1.0, 1.0]) * square.half - middle[1]) / slope
    ends = jnp.clip(jnp.array([-1.0, 1.0]), jnp.min(bounds), jnp.max(bounds))
    points = middle + ends[:, None] * along
    distance = points[:, 0] - square.half
    half_way = points - 0.5 * distance[:, None] * jnp.array([1.0, 0.0])
    position = square.centre + to_world(half_way, normal)
    return Contacts(distance, position, jnp.stack([normal, normal]))
