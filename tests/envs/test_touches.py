"""What others can touch of the robots, against MuJoCo's own distances."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from algd_jax.envs.navigation import touches
from algd_jax.envs.navigation.geometry import Pose, Rectangle, unit_vector
from algd_jax.envs.navigation.robots import CAR, POINT, Robot
from algd_jax.envs.navigation.scene import build_model

CASES = 40
_ROBOTS = pytest.mark.parametrize("robot", [POINT, CAR], ids=["point", "car"])


class Stage:
    """A robot in MuJoCo, and one more geom anywhere."""

    def __init__(self, robot: Robot, kind: mujoco.mjtGeom, size: list[float]):
        spec = mujoco.MjSpec()
        robot.build(spec)
        spec.worldbody.add_body(name="other", mocap=True).add_geom(type=kind, size=size)
        self.model = spec.compile()
        self.data = mujoco.MjData(self.model)
        (self.other,) = np.flatnonzero(self.model.body_mocapid[self.model.geom_bodyid] >= 0)
        # In the order of the robot's own model, from which parts are read.
        self.parts = [i for i in range(self.model.ngeom) if i != self.other]

    def distances(self, qpos: np.ndarray, position: np.ndarray, yaw: float = 0.0) -> np.ndarray:
        """Signed distances [P] of the robot's geoms from the other geom."""
        self.data.qpos[:] = qpos
        self.data.mocap_pos[0] = position
        self.data.mocap_quat[0] = [np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)]
        mujoco.mj_forward(self.model, self.data)
        measure = mujoco.mj_geomDistance
        return np.array(
            [measure(self.model, self.data, i, self.other, 10.0, None) for i in self.parts]
        )


def parts_of(robot: Robot) -> tuple[touches.Part, ...]:
    return touches.parts_of(build_model(robot, 0.002))


def level_poses(robot: Robot, rng: np.random.Generator) -> np.ndarray:
    """qpos [CASES, nq] of robots that stand on the floor."""
    origins, headings = rng.uniform(-1, 1, (CASES, 2)), rng.uniform(0, 6.3, CASES)
    return np.array(jax.vmap(robot.rest)(jnp.asarray(origins), jnp.asarray(headings)))


def any_poses(robot: Robot, rng: np.random.Generator) -> np.ndarray:
    """The same, but cars tilt and turn their wheels and caster."""
    qpos = level_poses(robot, rng)
    if not robot.upright:
        for i in range(CASES):
            tilt = np.concatenate([[1.0], rng.uniform(-0.3, 0.3, 2), [rng.uniform(-5, 5)]])
            qpos[i, 2] += rng.uniform(-0.02, 0.1)
            qpos[i, 3:7] = tilt / np.linalg.norm(tilt)
            qpos[i, 7:9] = rng.uniform(-3, 3, 2)
            caster = rng.normal(size=4)
            qpos[i, 9:13] = caster / np.linalg.norm(caster)
    return qpos


def around(qpos: np.ndarray, rng: np.random.Generator, reach: float) -> np.ndarray:
    """Places [CASES, 2] near the robots."""
    return qpos[:, :2] + rng.uniform(-reach, reach, (CASES, 2))


def poses(robot: Robot, qpos: np.ndarray) -> Pose:
    return jax.vmap(robot.pose)(jnp.asarray(qpos))


def test_parts_of_the_point() -> None:
    sphere, arrow = parts_of(POINT)
    assert sphere.is_sphere
    assert not sphere.is_box
    np.testing.assert_allclose(sphere.half[1:], 0.1)
    assert arrow.is_box
    np.testing.assert_allclose(arrow.centre, [0.1, 0.0, 0.0], atol=1e-9)
    np.testing.assert_allclose(arrow.half, 0.05)


def test_parts_of_the_car() -> None:
    parts = parts_of(CAR)
    assert [part.is_box for part in parts] == [True] * 5 + [False] * 3
    left, right, rear = parts[5:]
    assert not left.is_sphere
    np.testing.assert_allclose([left.half, right.half], [[0.025, 0.05, 0.05]] * 2)
    np.testing.assert_allclose(left.centre, [-0.13, 0.1, -0.05], atol=1e-9)
    np.testing.assert_allclose(right.centre, [0.13, 0.1, -0.05], atol=1e-9)
    assert rear.is_sphere
    np.testing.assert_allclose(rear.centre, [0.0, -0.1, -0.05], atol=1e-9)
    assert len({part.body for part in parts}) == 4


@_ROBOTS
def test_parts_carry_the_inverse_mass_of_their_body(robot: Robot) -> None:
    model = build_model(robot, 0.002)
    for part in parts_of(robot):
        assert part.inverse_mass == model.body_invweight0[part.body, 0] > 0


@_ROBOTS
def test_spheres_are_as_far_as_mujoco_says(robot: Robot) -> None:
    rng, radius, height, parts = np.random.default_rng(0), 0.1, 0.1, parts_of(robot)
    stage = Stage(robot, mujoco.mjtGeom.mjGEOM_SPHERE, [radius, 0, 0])
    qpos = any_poses(robot, rng)
    centres = around(qpos, rng, 0.35)
    found = jax.vmap(
        lambda pose, centre: touches.sphere_touches(parts, pose, centre[None], radius, height)
    )(poses(robot, qpos), jnp.asarray(centres))
    wanted = np.array(
        [stage.distances(q, [*c, height]) for q, c in zip(qpos, centres, strict=True)]
    )
    from_outside = wanted > -radius  # Else the centre lies inside a part.
    assert (wanted < 0).sum() > 10, "many of them touch"
    np.testing.assert_allclose(
        np.asarray(found.distance)[from_outside], wanted[from_outside], atol=1e-5
    )


@_ROBOTS
def test_contacts_with_spheres_lie_on_the_way(robot: Robot) -> None:
    """From the sphere's centre, a contact lies along the normal, midway between the surfaces."""
    rng, radius, parts = np.random.default_rng(1), 0.1, parts_of(robot)
    qpos = any_poses(robot, rng)[0]
    centre = np.array([qpos[0] + 0.2, qpos[1] + 0.25, 0.1])
    pose = robot.pose(jnp.asarray(qpos))
    found = touches.sphere_touches(parts, pose, jnp.asarray(centre[None, :2]), radius, 0.1)
    length = radius + 0.5 * np.asarray(found.distance)
    np.testing.assert_allclose(np.linalg.norm(found.normal, axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose(
        found.position, centre + length[:, None] * np.asarray(found.normal), atol=1e-6
    )
    towards_robot = (np.asarray(pose.position) - centre) @ np.asarray(found.normal).T
    assert (towards_robot > 0).all()


@_ROBOTS
def test_pillars_are_as_far_as_mujoco_says(robot: Robot) -> None:
    rng, radius, parts = np.random.default_rng(2), 0.2, parts_of(robot)
    stage = Stage(robot, mujoco.mjtGeom.mjGEOM_CYLINDER, [radius, 0.5, 0])
    qpos = level_poses(robot, rng)
    centres = around(qpos, rng, 0.5)
    found = jax.vmap(
        lambda pose, centre: touches.sphere_touches(parts, pose, centre[None], radius, None)
    )(poses(robot, qpos), jnp.asarray(centres))
    wanted = np.array([stage.distances(q, [*c, 0.5]) for q, c in zip(qpos, centres, strict=True)])
    apart = wanted > 1e-3
    assert apart.sum() > CASES
    np.testing.assert_allclose(np.asarray(found.distance)[apart], wanted[apart], atol=2e-4)
    touched = jax.vmap(
        lambda pose, centre: touches.touched_spheres(parts, pose, centre[None], radius, None)
    )(poses(robot, qpos), jnp.asarray(centres))
    clear = np.abs(wanted.min(axis=1)) > 1e-3
    np.testing.assert_array_equal(np.asarray(touched)[clear, 0], wanted.min(axis=1)[clear] < 0)


@_ROBOTS
def test_touched_boxes_are_those_that_mujoco_finds(robot: Robot) -> None:
    rng, half, parts = np.random.default_rng(3), 0.1, parts_of(robot)
    stage = Stage(robot, mujoco.mjtGeom.mjGEOM_BOX, [half] * 3)
    qpos = level_poses(robot, rng)
    centres, yaws = around(qpos, rng, 0.3), rng.uniform(0, 6.3, CASES)
    boxes = Rectangle(
        jnp.asarray(centres), unit_vector(jnp.asarray(yaws)), jnp.full((CASES, 2), half)
    )

    def touched(pose: Pose, box: Rectangle) -> jax.Array:
        only = jax.tree.map(lambda leaf: leaf[None], box)
        return touches.touched_boxes(parts, pose, only, (0.0, 2 * half), robot.upright)[0]

    found = np.asarray(jax.vmap(touched)(poses(robot, qpos), boxes))
    wanted = np.array(
        [
            stage.distances(q, [*c, half], yaw).min()
            for q, c, yaw in zip(qpos, centres, yaws, strict=True)
        ]
    )
    clear = np.abs(wanted) > 1e-4
    np.testing.assert_array_equal(found[clear], wanted[clear] < 0)
    assert 5 < found.sum() < CASES - 5, "some touch and some do not"


def test_a_tilted_car_touches_a_hovering_box_where_its_edges_are() -> None:
    """Its upper edges lean out by millimetres, and those are what the box meets."""
    rng, parts = np.random.default_rng(5), parts_of(CAR)
    stage = Stage(CAR, mujoco.mjtGeom.mjGEOM_BOX, [0.1] * 3)
    qpos = np.repeat(level_poses(CAR, rng), 5, axis=0)
    qpos[:, 4:6] = rng.uniform(-0.035, 0.035, (len(qpos), 2))
    qpos[:, 3:7] /= np.linalg.norm(qpos[:, 3:7], axis=1, keepdims=True)
    angles, yaws = rng.uniform(0, 6.3, (2, len(qpos)))
    away = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    centres = qpos[:, :2] + rng.uniform(0.2, 0.3, (len(qpos), 1)) * away
    chassis = slice(5)  # The wheels graze the box's lower face.
    wanted = np.array(
        [
            stage.distances(q, [*c, 0.2], yaw)[chassis].min()
            for q, c, yaw in zip(qpos, centres, yaws, strict=True)
        ]
    )

    def touched(pose: Pose, centre: jax.Array, yaw: jax.Array) -> jax.Array:
        box = Rectangle(centre[None], unit_vector(yaw)[None], jnp.full((1, 2), 0.1))
        return touches.touched_boxes(parts, pose, box, (0.1, 0.3), False)[0]

    found = np.asarray(
        jax.jit(jax.vmap(touched))(poses(CAR, qpos), jnp.asarray(centres), jnp.asarray(yaws))
    )
    clear = np.abs(wanted) > 5e-4
    np.testing.assert_array_equal(found[clear], wanted[clear] < 0)
    assert 50 < found.sum() < len(found) - 50, "some touch and some do not"


def test_a_hovering_box_passes_over_the_wheels() -> None:
    """A gremlin's lower edge is as high as a wheel's upper one, but half as high as the chassis."""
    parts, pose = parts_of(CAR), CAR.pose(CAR.rest(jnp.zeros(2), jnp.zeros(())))
    beside = Rectangle(jnp.array([[0.24, 0.1]]), jnp.array([[1.0, 0.0]]), jnp.full((1, 2), 0.1))
    nearer = beside.replace(centre=jnp.array([[0.19, 0.1]]))
    on_floor, hovering = (0.0, 0.2), (0.1, 0.3)
    assert touches.touched_boxes(parts, pose, beside, on_floor, False).all()
    assert not touches.touched_boxes(parts, pose, beside, hovering, False).any()
    assert touches.touched_boxes(parts, pose, nearer, hovering, False).all()


@_ROBOTS
def test_box_contacts_touch_where_the_shapes_do(robot: Robot) -> None:
    rng, half, parts = np.random.default_rng(4), 0.1, parts_of(robot)
    qpos = level_poses(robot, rng)
    centres = around(qpos, rng, 0.3)
    axes = unit_vector(jnp.asarray(rng.uniform(0, 6.3, CASES)))
    boxes = Rectangle(jnp.asarray(centres), axes, jnp.full((CASES, 2), half))

    def both(pose: Pose, box: Rectangle) -> tuple[jax.Array, jax.Array]:
        only, span = jax.tree.map(lambda leaf: leaf[None], box), (0.0, 2 * half)
        found = touches.box_touches(parts, pose, only, span, robot.upright)
        touched = touches.touched_boxes(parts, pose, only, span, robot.upright)
        return jnp.min(found.distance), touched[0]

    least, touched = map(np.asarray, jax.vmap(both)(poses(robot, qpos), boxes))
    clear = np.abs(least) > 1e-4
    np.testing.assert_array_equal(least[clear] < 0, touched[clear])


def test_deepest_picks_the_least_distances() -> None:
    distance = jnp.array([0.3, -0.02, 0.1, -0.05, 0.0])
    count = len(distance)
    found = touches.Touches(
        distance=distance,
        position=jnp.tile(distance[:, None], (1, 3)),
        normal=jnp.zeros((count, 3)),
        body=jnp.arange(count),
        inverse_mass=jnp.ones(count),
        copies=jnp.ones(count),
    )
    chosen = touches.deepest(found, 2)
    np.testing.assert_array_equal(chosen.body, [3, 1])
    np.testing.assert_allclose(chosen.position[:, 0], [-0.05, -0.02])
    assert touches.deepest(found, count) is found
