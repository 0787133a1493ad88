"""Poses, and distances and contact points of discs and rectangles in the plane.

Everything that Safety-Gym lets a robot touch stands upright, so contacts are planar. All lengths
are in metres. A rotation in the plane is the unit vector (cos, sin) of its angle. Sums are written
out instead of matrix products: a batch of these functions then becomes one fused loop.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

__all__ = [
    "Contacts",
    "Pose",
    "Rectangle",
    "cross",
    "disc_rectangle_contact",
    "dot",
    "rectangle_rectangle_contacts",
    "rectangles_overlap",
    "to_body",
    "to_world",
    "unit_vector",
]

_APART = 1.0  # m: any positive distance, for contacts of shapes that do not overlap.


class Pose(NamedTuple):
    """Where a robot is.

    Attributes:
      position: [3] body origin in the world [m].
      rotation: [3, 3] its axes, as columns, in the world.
    """

    position: jax.Array
    rotation: jax.Array

    @property
    def origin(self) -> jax.Array:
        """[2] position in the plane [m]."""
        return self.position[:2]

    @property
    def axis(self) -> jax.Array:
        """[2] unit vector of the body's x axis, seen from above."""
        # A robot that stands on its side has no heading; any will do.
        return self.rotation[:2, 0] / jnp.maximum(jnp.linalg.norm(self.rotation[:2, 0]), 1e-6)


class Rectangle(struct.PyTreeNode):
    """A rectangle.

    Attributes:
      centre: [2] [m].
      axis: [2] unit vector of its own x direction.
      half: [2] half the lengths of its sides along its own x and y [m].
    """

    centre: jax.Array
    axis: jax.Array
    half: jax.Array


class Contacts(struct.PyTreeNode):
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


def disc_rectangle_contact(
    rectangle: Rectangle, centre: jax.Array, radius: jax.Array | float
) -> Contacts:
    """The one contact of a rectangle (A) with a disc (B) around centre [2]."""
    half = rectangle.half
    local = to_body(centre - rectangle.centre, rectangle.axis)
    gap = local - jnp.clip(local, -half, half)
    length = jnp.sqrt(dot(gap, gap) + 1e-20)
    # A disc whose centre is inside the rectangle leaves through the nearest side.
    depth = half - jnp.abs(local)
    least = jnp.min(depth)
    inside = least > 0
    outward = jnp.where(local < 0, -1.0, 1.0)
    side = jnp.where(jnp.arange(2) == jnp.argmin(depth), outward, 0.0)
    normal = to_world(jnp.where(inside, side, gap / length), rectangle.axis)
    distance = jnp.where(inside, -least, length) - radius
    position = centre - normal * (radius + 0.5 * distance)
    return Contacts(distance[None], position[None], normal[None])


def rectangles_overlap(a: Rectangle, b: Rectangle) -> jax.Array:
    """Whether two rectangles share a point: no side of either separates them."""
    return jnp.maximum(jnp.max(_gaps(a, b)), jnp.max(_gaps(b, a))) <= 0


def rectangle_rectangle_contacts(a: Rectangle, b: Rectangle) -> Contacts:
    """The two contacts of a rectangle (A) with a rectangle (B).

    The side with the widest gap separates the two best. The side that the other one turns to it is
    cut to its length; the two ends of what remains are the contacts.
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


def _gaps(rectangle: Rectangle, other: Rectangle) -> jax.Array:
    """Gaps [2] between two rectangles along the two axes of the first."""
    local = to_body(other.centre - rectangle.centre, rectangle.axis)
    turn = jnp.abs(to_body(other.axis, rectangle.axis))
    reach = turn * other.half[0] + turn[::-1] * other.half[1]
    return jnp.abs(local) - rectangle.half - reach


def _clipped_side(rectangle: Rectangle, other: Rectangle) -> Contacts:
    """Ends of the other one's facing side, cut to the length of this rectangle's best side."""
    # Turn by quarters until the best side is the one towards +x.
    local = to_body(other.centre - rectangle.centre, rectangle.axis)
    gaps = _gaps(rectangle, other)
    along_x = gaps[0] >= gaps[1]
    facing = jnp.where(along_x, jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0]))
    facing = facing * jnp.where(dot(facing, local) < 0, -1.0, 1.0)
    normal = to_world(facing, rectangle.axis)
    depth, breadth = jnp.where(along_x, rectangle.half, rectangle.half[::-1])
    local, turn = to_body(other.centre - rectangle.centre, normal), to_body(other.axis, normal)
    # Of the other one's four sides, the one whose outward normal points most towards -x.
    quarter = jnp.stack([-turn[1], turn[0]])
    by_x = jnp.abs(turn[0]) >= jnp.abs(quarter[0])
    outward = jnp.where(by_x, turn, quarter)
    outward = -outward * jnp.sign(outward[0])
    distance_out, side_half = jnp.where(by_x, other.half, other.half[::-1])
    middle = local + distance_out * outward
    along = side_half * jnp.stack([-outward[1], outward[0]])
    # Cut middle + s * along, s in [-1, 1], to the breadth of the best side.
    slope = jnp.where(jnp.abs(along[1]) < 1e-9, 1e-9, along[1])
    bounds = (jnp.array([-1.0, 1.0]) * breadth - middle[1]) / slope
    ends = jnp.clip(jnp.array([-1.0, 1.0]), jnp.min(bounds), jnp.max(bounds))
    points = middle + ends[:, None] * along
    distance = points[:, 0] - depth
    half_way = points - 0.5 * distance[:, None] * jnp.array([1.0, 0.0])
    position = rectangle.centre + to_world(half_way, normal)
    return Contacts(distance, position, jnp.stack([normal, normal]))
