"""Poses, rectangles and discs in the plane."""

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algd_jax.envs.navigation import geometry
from algd_jax.envs.navigation.geometry import Pose, Rectangle

angles = st.floats(0.0, 2 * np.pi)
offsets = st.floats(-0.2, 0.2)
halves = st.floats(0.02, 0.15)

_contacts = jax.jit(geometry.rectangle_rectangle_contacts)
_overlap = jax.jit(geometry.rectangles_overlap)


def rectangle(x: float, y: float, angle: float, long: float, wide: float) -> Rectangle:
    axis = geometry.unit_vector(jnp.asarray(angle, jnp.float32))
    return Rectangle(jnp.array([x, y]), axis, jnp.array([long, wide]))


def sample(shape: Rectangle) -> np.ndarray:
    """Points all over a rectangle, border included [P, 2]."""
    side = np.linspace(-1.0, 1.0, 121)
    local = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2) * np.asarray(shape.half)
    return np.asarray(shape.centre + geometry.to_world(jnp.asarray(local), shape.axis))


def outside(shape: Rectangle, points: np.ndarray) -> np.ndarray:
    """How far points [P, 2] stick out of a rectangle along its worse axis, negative inside."""
    local = geometry.to_body(jnp.asarray(points) - shape.centre, shape.axis)
    return np.asarray(jnp.max(jnp.abs(local) - shape.half, axis=-1))


def test_unit_vector_turns_counter_clockwise() -> None:
    quarter = geometry.unit_vector(jnp.array([0.0, np.pi / 2]))
    np.testing.assert_allclose(quarter, [[1.0, 0.0], [0.0, 1.0]], atol=1e-6)


def test_body_axes_of_a_quarter_turn() -> None:
    axis = jnp.array([0.0, 1.0])
    np.testing.assert_allclose(geometry.to_body(jnp.array([0.0, 2.0]), axis), [2.0, 0.0])
    np.testing.assert_allclose(geometry.to_world(jnp.array([2.0, 0.0]), axis), [0.0, 2.0])


@hypothesis.given(angle=angles, x=offsets, y=offsets)
@hypothesis.settings(deadline=None, max_examples=30)
def test_to_world_undoes_to_body(angle: float, x: float, y: float) -> None:
    axis, vector = geometry.unit_vector(jnp.asarray(angle)), jnp.array([x, y])
    back = geometry.to_world(geometry.to_body(vector, axis), axis)
    np.testing.assert_allclose(back, vector, atol=1e-6)


def test_pose_seen_from_above() -> None:
    turn, tilt = 0.7, 0.4
    level = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    pitch = np.array([[np.cos(tilt), 0, np.sin(tilt)], [0, 1, 0], [-np.sin(tilt), 0, np.cos(tilt)]])
    for rotation in (level, level @ pitch):
        pose = Pose(jnp.array([1.0, 2.0, 0.1]), jnp.asarray(rotation, jnp.float32))
        np.testing.assert_array_equal(pose.origin, [1.0, 2.0])
        np.testing.assert_allclose(pose.axis, [np.cos(turn), np.sin(turn)], atol=1e-6)


def test_a_robot_on_its_nose_has_a_finite_axis() -> None:
    upended = jnp.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
    assert np.isfinite(Pose(jnp.zeros(3), upended).axis).all()


@pytest.mark.parametrize("seed", range(16))
def test_overlap_against_a_dense_sample(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a = rectangle(0.0, 0.0, rng.uniform(0, 6.3), 0.1, 0.04)
    b = rectangle(*rng.uniform(-0.15, 0.15, 2), rng.uniform(0, 6.3), 0.03, 0.12)
    depth = float(outside(a, sample(b)).min())
    if abs(depth) > 2e-3:  # The sample cannot decide closer calls.
        assert bool(_overlap(a, b)) == (depth < 0)


@hypothesis.given(
    x=offsets, y=offsets, turns=st.tuples(angles, angles), sides=st.tuples(*[halves] * 4)
)
@hypothesis.settings(deadline=None, max_examples=80)
def test_contacts_are_where_rectangles_overlap(
    x: float, y: float, turns: tuple[float, float], sides: tuple[float, ...]
) -> None:
    a = rectangle(0.0, 0.0, turns[0], *sides[:2])
    b = rectangle(x, y, turns[1], *sides[2:])
    contacts = _contacts(a, b)
    touching = np.asarray(contacts.distance) < 0
    if touching.any():
        assert bool(_overlap(a, b))
        points = np.asarray(contacts.position)[touching]
        slack = 0.5 * np.abs(contacts.distance)[touching] + 1e-5  # Midway, beside a corner.
        assert (outside(a, points) <= slack).all()
        assert (outside(b, points) <= slack).all()
    np.testing.assert_allclose(np.linalg.norm(contacts.normal, axis=1), 1.0, atol=1e-5)
    assert float(geometry.dot(contacts.normal[0], b.centre - a.centre)) > -1e-6, "from A to B"


def test_contacts_of_parallel_rectangles() -> None:
    contacts = _contacts(rectangle(0, 0, 0, 0.1, 0.2), rectangle(0.14, 0.17, 0, 0.05, 0.08))
    np.testing.assert_allclose(contacts.distance, -0.01, atol=1e-6)
    np.testing.assert_allclose(contacts.normal, [[1, 0], [1, 0]], atol=1e-6)
    ends = np.sort(np.asarray(contacts.position)[:, 1])
    np.testing.assert_allclose(ends, [0.09, 0.2], atol=1e-6)
    np.testing.assert_allclose(contacts.position[:, 0], 0.095, atol=1e-6)


def test_a_corner_digs_in_deepest() -> None:
    """A square on its corner, 1 cm deep in a plank."""
    reach = 0.05 * np.sqrt(2.0)
    contacts = _contacts(
        rectangle(0, 0, 0, 0.3, 0.02), rectangle(0.1, reach + 0.01, np.pi / 4, 0.05, 0.05)
    )
    deepest = int(np.argmin(contacts.distance))
    np.testing.assert_allclose(contacts.distance[deepest], -0.01, atol=1e-6)
    np.testing.assert_allclose(contacts.position[deepest], [0.1, 0.015], atol=1e-5)
    np.testing.assert_allclose(contacts.normal[deepest], [0.0, 1.0], atol=1e-6)


def test_contacts_do_not_depend_on_the_order() -> None:
    a, b = rectangle(0.3, -0.2, 0.4, 0.1, 0.07), rectangle(0.42, -0.13, 1.3, 0.06, 0.04)
    one, other = _contacts(a, b), _contacts(b, a)
    assert float(one.distance.min()) < 0
    order, reverse = np.argsort(one.distance), np.argsort(other.distance)
    np.testing.assert_allclose(one.distance[order], other.distance[reverse], atol=1e-6)
    np.testing.assert_allclose(one.position[order], other.position[reverse], atol=1e-6)
    np.testing.assert_allclose(one.normal, -other.normal, atol=1e-6)


@pytest.mark.parametrize(
    ("centre", "distance", "normal"),
    [
        ((0.25, 0.0), 0.05, (1.0, 0.0)),
        ((0.0, -0.1), -0.05, (0.0, -1.0)),
        ((0.16, 0.13), 0.0, (0.6, 0.8)),
        ((0.02, 0.03), -0.12, (0.0, 1.0)),
        ((-0.09, 0.02), -0.11, (-1.0, 0.0)),
    ],
)
def test_disc_against_rectangle(
    centre: tuple[float, float], distance: float, normal: tuple[float, float]
) -> None:
    plank = rectangle(1.0, 2.0, 0.7, 0.1, 0.05)
    world = plank.centre + geometry.to_world(jnp.asarray(centre), plank.axis)
    contact = geometry.disc_rectangle_contact(plank, world, 0.1)
    np.testing.assert_allclose(contact.distance, [distance], atol=1e-6)
    got = geometry.to_body(contact.normal[0], plank.axis)
    np.testing.assert_allclose(got, normal, atol=1e-5)
    surface = contact.position[0] + 0.5 * contact.distance[0] * contact.normal[0]
    np.testing.assert_allclose(np.linalg.norm(surface - world), 0.1, atol=1e-6)


def test_geometry_is_batched_by_vmap() -> None:
    axes = geometry.unit_vector(jnp.linspace(0.0, 3.0, 5))
    planks = Rectangle(jnp.zeros((5, 2)), axes, jnp.full((5, 2), 0.1))
    centre = jnp.array([0.15, 0.0])
    batched = jax.vmap(geometry.disc_rectangle_contact, in_axes=(0, None, None))
    contact = batched(planks, centre, 0.1)
    assert contact.distance.shape == (5, 1)
    one = geometry.disc_rectangle_contact(jax.tree.map(lambda leaf: leaf[2], planks), centre, 0.1)
    np.testing.assert_allclose(contact.distance[2], one.distance, atol=1e-6)
