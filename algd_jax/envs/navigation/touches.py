"""Where a robot touches obstacles and movable things.

Buttons are spheres, and a pillar acts like one at the height of whatever touches it. What can be
pushed stands upright, so that its outline and the robot's meet in the plane.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from algd_jax.envs.navigation.geometry import (
    Contacts,
    Pose,
    Rectangle,
    disc_rectangle_contact,
    rectangle_rectangle_contacts,
    rectangles_overlap,
)

__all__ = [
    "Part",
    "Touches",
    "box_touches",
    "deepest",
    "parts_of",
    "sphere_touches",
    "touched_boxes",
    "touched_spheres",
]

_GRAZING = 0.001  # m: heights that overlap by less do not touch.


class Part(NamedTuple):
    """A geom of the robot, in the robot's frame.

    Attributes:
      body: id of the body it belongs to.
      is_box: or else a cylinder along x, or a sphere, which has no half extent along x.
      centre: (x, y, z) [m].
      half: (x, y, z) half extents [m].
      inverse_mass: mean inverse mass of its body [1/kg].
    """

    body: int
    is_box: bool
    centre: tuple[float, float, float]
    half: tuple[float, float, float]
    inverse_mass: float

    @property
    def is_sphere(self) -> bool:
        return not self.is_box and self.half[0] == 0.0


def parts_of(model: mujoco.MjModel) -> tuple[Part, ...]:
    """All geoms of a compiled robot; its wheels turn about their own axes only."""
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    origin = data.body("robot").xpos
    parts = []
    for i in range(model.ngeom):
        kind, size, body = model.geom_type[i], model.geom_size[i], model.geom_bodyid[i]
        half = {
            mujoco.mjtGeom.mjGEOM_BOX: tuple(size),
            mujoco.mjtGeom.mjGEOM_CYLINDER: (size[1], size[0], size[0]),
            mujoco.mjtGeom.mjGEOM_SPHERE: (0.0, size[0], size[0]),
        }[mujoco.mjtGeom(kind)]
        parts.append(
            Part(
                body=int(body),
                is_box=kind == mujoco.mjtGeom.mjGEOM_BOX,
                centre=_triple(data.geom_xpos[i] - origin),
                half=_triple(half),
                inverse_mass=float(model.body_invweight0[body, 0]),
            )
        )
    return tuple(parts)


def _triple(values: Sequence[float] | np.ndarray) -> tuple[float, float, float]:
    x, y, z = map(float, values)
    return x, y, z


class Touches(NamedTuple):
    """K contacts of the robot in space.

    Attributes:
      distance: [K] signed distance [m].
      position: [K, 3] [m].
      normal: [K, 3] unit vector towards the robot.
      body: [K] id of the robot's body.
      inverse_mass: [K] of both bodies together [1/kg].
      copies: [K] contacts that MuJoCo has for each.
    """

    distance: jax.Array
    position: jax.Array
    normal: jax.Array
    body: jax.Array
    inverse_mass: jax.Array
    copies: jax.Array


def deepest(touches: Touches, size: int) -> Touches:
    """The `size` contacts with the least distance; more than a few never touch at a time."""
    if len(touches.copies) <= size:
        return touches
    chosen = jax.lax.top_k(-touches.distance, size)[1]
    return jax.tree.map(lambda leaf: leaf[chosen], touches)


def sphere_touches(
    parts: tuple[Part, ...],
    pose: Pose,
    centres: jax.Array,
    radius: float,
    height: float | None,
) -> Touches:
    """Contacts of fixed spheres over [Q, 2] with all parts of the robot.

    Args:
      parts: of the robot.
      pose: the robot's.
      centres: [Q, 2] [m].
      radius: [m].
      height: of the centres [m]; None for upright cylinders, which are touched at any height.
    """
    distance, normal = jax.vmap(lambda centre: _sphere_gaps(parts, pose, centre, radius, height))(
        centres
    )
    distance, normal = distance.ravel(), normal.reshape(-1, 3)
    on_sphere = _raised(parts, pose, centres, height).reshape(-1, 3)
    spheres = len(centres)
    return Touches(
        distance=distance,
        position=on_sphere + normal * (radius + 0.5 * distance)[:, None],
        normal=normal,
        body=jnp.tile(jnp.array([part.body for part in parts]), spheres),
        inverse_mass=jnp.tile(jnp.array([part.inverse_mass for part in parts]), spheres),
        copies=jnp.ones(spheres * len(parts)),
    )


def touched_spheres(
    parts: tuple[Part, ...], pose: Pose, centres: jax.Array, radius: float, height: float | None
) -> jax.Array:
    """Which spheres over [K, 2] the robot touches: [K] boolean; arguments of `sphere_touches`."""

    def one(centre: jax.Array) -> jax.Array:
        return jnp.min(_sphere_gaps(parts, pose, centre, radius, height)[0]) <= 0

    return jax.vmap(one)(centres)


def _raised(
    parts: tuple[Part, ...], pose: Pose, centres: jax.Array, height: float | None
) -> jax.Array:
    """Centres [Q, P, 3] of spheres over [Q, 2] as each of P parts meets them."""
    if height is None:
        levels = jnp.array([part.centre for part in parts]) @ pose.rotation[2] + pose.position[2]
    else:
        levels = jnp.full(len(parts), height)
    flat = jnp.broadcast_to(centres[:, None], (len(centres), len(parts), 2))
    tall = jnp.broadcast_to(levels[None, :, None], (len(centres), len(parts), 1))
    return jnp.concatenate([flat, tall], axis=-1)


def _sphere_gaps(
    parts: tuple[Part, ...], pose: Pose, centre: jax.Array, radius: float, height: float | None
) -> tuple[jax.Array, jax.Array]:
    """Distances [P] and normals [P, 3] from one sphere over [2] to all parts."""
    raised = _raised(parts, pose, centre[None], height)[0]
    centres = jnp.array([part.centre for part in parts])
    half = jnp.array([part.half for part in parts])
    local = (raised - pose.position) @ pose.rotation - centres
    boxed = jnp.clip(local, -half, half)
    across = jnp.linalg.norm(local[:, 1:], axis=1, keepdims=True)
    scale = jnp.minimum(1.0, half[:, 1:2] / jnp.maximum(across, 1e-9))
    rounded = jnp.concatenate([boxed[:, :1], scale * local[:, 1:]], axis=1)
    # A sphere's nearest point lies towards the other one in all three directions.
    reach = jnp.linalg.norm(local, axis=1, keepdims=True)
    round_all = local * jnp.minimum(1.0, half[:, 1:2] / jnp.maximum(reach, 1e-9))
    is_box = np.array([part.is_box for part in parts])[:, None]
    is_sphere = np.array([part.is_sphere for part in parts])[:, None]
    nearest = jnp.where(is_box, boxed, jnp.where(is_sphere, round_all, rounded))
    gap = nearest - local
    length = jnp.sqrt(jnp.sum(gap**2, axis=1) + 1e-20)
    return length - radius, (gap / length[:, None]) @ pose.rotation.T


def box_touches(
    parts: tuple[Part, ...],
    pose: Pose,
    boxes: Rectangle,
    span: tuple[float, float],
    upright: bool,
) -> Touches:
    """Contacts of upright boxes (leaves [Q, …]) with all parts of the robot at their height.

    Args:
      parts: of the robot.
      pose: the robot's.
      boxes: seen from above.
      span: heights between which the boxes reach [m].
      upright: whether the robot cannot tilt; what touches along an upright edge then needs no
        contact at both ends of it, as MuJoCo has.
    """
    found = [_box_touches(cuts, pose, boxes, span) for cuts in _cuts(parts, pose, span, upright)]
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *found)


def touched_boxes(
    parts: tuple[Part, ...],
    pose: Pose,
    boxes: Rectangle,
    span: tuple[float, float],
    upright: bool,
) -> jax.Array:
    """Which boxes (leaves [Q, …]) the robot touches: [Q] boolean; arguments of `box_touches`."""
    touched = [
        (_height_between(cuts, pose, boxes, span) <= 0) & _overlaps(cuts, boxes)
        for cuts in _cuts(parts, pose, span, upright)
    ]
    return jnp.any(jnp.concatenate(touched), axis=0)


class _Cuts(NamedTuple):
    """N horizontal cuts through boxes and wheels of the robot, or through spheres.

    Attributes:
      of: the parts cut, N.
      copies: [N] contacts that MuJoCo has for each found.
      outline: leaves [N, …]; of a sphere the middle counts.
      height: [N] [m].
    """

    of: list[Part]
    copies: np.ndarray
    outline: Rectangle
    height: jax.Array


def _cuts(
    parts: tuple[Part, ...], pose: Pose, span: tuple[float, float], upright: bool
) -> list[_Cuts]:
    """Cuts through all parts between two heights, those of spheres apart."""
    parts = _within(parts, span)
    edged = [part for part in parts if not part.is_sphere]
    spheres = [part for part in parts if part.is_sphere]
    # A sphere touches once, everything else along an edge with two ends.
    one_each = [_cut(spheres, 1.0, pose, span, True)] if spheres else []
    return [_cut(edged, 2.0, pose, span, upright), *one_each]


def _within(parts: tuple[Part, ...], span: tuple[float, float]) -> tuple[Part, ...]:
    """The parts that a level robot on the floor has between two heights."""
    lowest = min(part.centre[2] - part.half[2] for part in parts)
    return tuple(
        part
        for part in parts
        if part.centre[2] + part.half[2] - lowest > span[0] + _GRAZING
        and part.centre[2] - part.half[2] - lowest < span[1] - _GRAZING
    )


def _cut(
    parts: list[Part], copies: float, pose: Pose, span: tuple[float, float], in_the_middle: bool
) -> _Cuts:
    """Cuts parts at both ends of the height that each shares with the boxes, or in the middle."""
    centre = pose.position + jnp.array([part.centre for part in parts]) @ pose.rotation.T
    half = np.array([part.half for part in parts])
    low = jnp.maximum(centre[:, 2] - half[:, 2], span[0])
    high = jnp.minimum(centre[:, 2] + half[:, 2], span[1])
    ends = [0.5 * (low + high)] if in_the_middle else [low, high]
    times, height = len(ends), jnp.concatenate(ends)
    centre = jnp.tile(centre, (times, 1))
    # The parts of a robot that tilts lean sideways; if it lies on its side, any lean will do.
    lean = pose.rotation[:2, 2] / jnp.maximum(pose.rotation[2, 2], 0.1)
    middle = centre[:, :2] + (height - centre[:, 2])[:, None] * lean
    axis = jnp.broadcast_to(pose.axis, middle.shape)
    return _Cuts(
        of=parts * times,
        copies=np.full(len(parts) * times, copies / times),
        outline=Rectangle(middle, axis, jnp.tile(half[:, :2], (times, 1))),
        height=height,
    )


def _box_touches(cuts: _Cuts, pose: Pose, boxes: Rectangle, span: tuple[float, float]) -> Touches:
    """Contacts of boxes (leaves [Q, …]) with parts at the height of the cuts."""
    contacts = _outline_contacts(cuts, boxes)
    overhead = _height_between(cuts, pose, boxes, span)[..., None]
    distance = jnp.maximum(contacts.distance, overhead).ravel()
    each = len(distance) // len(cuts.of)
    position, normal = contacts.position.reshape(-1, 2), contacts.normal.reshape(-1, 2)
    height = jnp.repeat(cuts.height, each)
    return Touches(
        distance=distance,
        position=jnp.concatenate([position, height[:, None]], axis=1),
        normal=jnp.pad(normal, ((0, 0), (0, 1))),
        body=jnp.repeat(jnp.array([part.body for part in cuts.of]), each),
        inverse_mass=jnp.repeat(jnp.array([part.inverse_mass for part in cuts.of]), each),
        copies=jnp.repeat(jnp.asarray(cuts.copies), each),
    )


def _outline_contacts(cuts: _Cuts, boxes: Rectangle) -> Contacts:
    """Contacts, leaves [N, Q, C, …], of boxes (leaves [Q, …]) with cuts seen from above."""
    find = _disc_contact if cuts.of[0].is_sphere else rectangle_rectangle_contacts
    return jax.vmap(lambda cut: jax.vmap(lambda box: find(box, cut))(boxes))(cuts.outline)


def _overlaps(cuts: _Cuts, boxes: Rectangle) -> jax.Array:
    """Which boxes (leaves [Q, …]) overlap which cuts, seen from above: [N, Q] boolean."""
    if cuts.of[0].is_sphere:
        return _outline_contacts(cuts, boxes).distance[..., 0] <= 0
    return jax.vmap(lambda cut: jax.vmap(lambda box: rectangles_overlap(box, cut))(boxes))(
        cuts.outline
    )


def _disc_contact(box: Rectangle, disc: Rectangle) -> Contacts:
    """The contact of a box with a disc, given by the rectangle round it."""
    return disc_rectangle_contact(box, disc.centre, disc.half[1])


def _height_between(
    cuts: _Cuts, pose: Pose, boxes: Rectangle, span: tuple[float, float]
) -> jax.Array:
    """How far boxes [Q] are above or below parts of a robot that tilts, negative if neither."""
    offset = jnp.pad(boxes.centre, ((0, 0), (0, 1)), constant_values=0.5 * (span[0] + span[1]))
    level = (offset - pose.position) @ pose.rotation[:, 2]
    centre = np.array([part.centre[2] for part in cuts.of])[:, None]
    half = np.array([part.half[2] for part in cuts.of])[:, None]
    return jnp.abs(level - centre) - half - 0.5 * (span[1] - span[0])
