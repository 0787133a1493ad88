"""Robots and their contacts: MJX and the project's contact solver against MuJoCo's own."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from algd_jax.envs.navigation.robots import CAR, POINT, Robot
from algd_jax.envs.navigation.scene import Motion, Obstacles, Scene, build_scene
from tests.envs import mujoco_scene

BUTTON, PILLAR = (1.3, 1.3), (-1.0, 0.5)
TIMESTEPS = {"point": 0.006, "car": 0.004}
ROBOTS = {"point": POINT, "car": CAR}

Simulate = Callable[[np.ndarray, np.ndarray, np.ndarray, int], tuple[np.ndarray, np.ndarray]]


def simulator(scene: Scene, places: tuple[tuple[float, float], ...]) -> Simulate:
    """(qpos, qvel, ctrl, steps), all with leading axis S but steps -> qpos, qvel afterwards."""
    where = jnp.asarray(places, jnp.float32).reshape(-1, 2)

    def run(qpos: jax.Array, qvel: jax.Array, ctrl: jax.Array, steps: jax.Array) -> Motion:
        start = Motion(qpos, qvel, jnp.zeros_like(qvel), jnp.zeros(()), None)
        return jax.lax.fori_loop(0, steps, lambda _, now: scene.step(now, ctrl, where), start)

    compiled = jax.jit(jax.vmap(run, in_axes=(0, 0, 0, None)))

    def simulate(qpos, qvel, ctrl, steps):  # type: ignore[no-untyped-def]
        arrays = [jnp.asarray(part, jnp.float32) for part in (qpos, qvel, ctrl)]
        after = jax.device_get(compiled(*arrays, steps))
        return after.qpos, after.qvel

    return simulate


@pytest.fixture(scope="module")
def simulate() -> dict[str, Simulate]:
    """Simulators of both robots, the point beside a button and the car beside a pillar."""
    point = build_scene(POINT, TIMESTEPS["point"], Obstacles(0.1, height=0.1), None)
    car = build_scene(CAR, TIMESTEPS["car"], Obstacles(0.1, height=0.1), None)
    return {"point": simulator(point, (BUTTON,)), "car": simulator(car, (BUTTON,))}


def mujoco_states(
    name: str, qpos: np.ndarray, qvel: np.ndarray, ctrl: np.ndarray, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    model = mujoco_scene.build(ROBOTS[name], TIMESTEPS[name], spheres=(BUTTON,))
    rows = [mujoco_scene.simulate(model, *row, steps) for row in zip(qpos, qvel, ctrl, strict=True)]
    return tuple(np.stack(part) for part in zip(*rows, strict=True))  # type: ignore[return-value]


def resting(robot: Robot, origins: np.ndarray, headings: np.ndarray) -> np.ndarray:
    rest = jax.vmap(robot.rest)(jnp.asarray(origins), jnp.asarray(headings))
    return np.array(rest, np.float32)


def settled_cars(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cars that MuJoCo has driven for a while, and their controls."""
    rng = np.random.default_rng(0)
    model = mujoco_scene.build(CAR, TIMESTEPS["car"])
    starts = resting(CAR, rng.uniform(-1, 0.5, (count, 2)), rng.uniform(0, 6, count))
    ctrl = rng.uniform(-1, 1, (count, 2))
    rows = [
        mujoco_scene.simulate(model, q, np.zeros(11), u, 200)
        for q, u in zip(starts, ctrl, strict=True)
    ]
    qpos, qvel = (np.stack(part).astype(np.float32) for part in zip(*rows, strict=True))
    return qpos, qvel, ctrl


@pytest.mark.parametrize(("steps", "tolerance"), [(1, 1e-5), (50, 1e-3)])
def test_free_point_matches_mujoco(
    simulate: dict[str, Simulate], steps: int, tolerance: float
) -> None:
    # A saturated yaw servo; in between it is chaotic and no two programs agree for long.
    signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(8, 2))
    qpos, qvel = np.tile([6.0, 6.0, 0.3], (8, 1)).astype(np.float32), np.zeros((8, 3))
    got = simulate["point"](qpos, qvel, signs, steps)
    wanted = mujoco_states("point", qpos, qvel, signs, steps)
    np.testing.assert_allclose(got[0], wanted[0], atol=tolerance)
    np.testing.assert_allclose(got[1], wanted[1], atol=tolerance)


@pytest.mark.parametrize(("steps", "tolerance"), [(1, 2e-5), (50, 2e-2)])
def test_car_on_its_wheels_matches_mujoco(
    simulate: dict[str, Simulate], steps: int, tolerance: float
) -> None:
    qpos, qvel, ctrl = settled_cars(8)
    got = simulate["car"](qpos, qvel, ctrl, steps)
    wanted = mujoco_states("car", qpos, qvel, ctrl, steps)
    np.testing.assert_allclose(got[0], wanted[0], atol=tolerance)
    # Velocities, relative to what wheels reach (20 rad/s).
    np.testing.assert_allclose(got[1], wanted[1], atol=20 * tolerance)


def test_one_control_period_against_a_button_matches_mujoco(
    simulate: dict[str, Simulate],
) -> None:
    rng = np.random.default_rng(1)
    bearing = rng.uniform(0, 2 * np.pi, 16)
    outward = np.stack([np.cos(bearing), np.sin(bearing)], axis=1)
    heading = bearing + np.pi + rng.uniform(-0.5, 0.5, 16)
    qpos = np.column_stack([np.asarray(BUTTON) + 0.27 * outward, heading]).astype(np.float32)
    qvel = np.column_stack([-outward, np.zeros(16)]).astype(np.float32)
    ctrl = np.ones((16, 2))
    got = simulate["point"](qpos, qvel, ctrl, 10)
    wanted = mujoco_states("point", qpos, qvel, ctrl, 10)
    np.testing.assert_allclose(got[0], wanted[0], atol=1e-4)
    np.testing.assert_allclose(got[1], wanted[1], atol=1e-2)
    bounced = np.sum(wanted[1][:, :2] * outward, axis=1) > -0.5
    assert bounced.sum() > 8, "the states must lead to contacts"


def test_car_pressing_a_button_matches_mujoco(simulate: dict[str, Simulate]) -> None:
    # Backwards, bumper first: the body's +y towards the button.
    offsets = np.linspace(-0.08, 0.08, 8)
    origins = np.column_stack([BUTTON[0] + offsets, np.full(8, BUTTON[1] - 0.262)])
    qpos = resting(CAR, origins, np.zeros(8))
    qpos[:, 2] = 0.0999
    qvel = np.zeros((8, 11), np.float32)
    qvel[:, 1] = 0.3
    ctrl = -np.ones((8, 2))
    got = simulate["car"](qpos, qvel, ctrl, 10)
    wanted = mujoco_states("car", qpos, qvel, ctrl, 10)
    assert (wanted[1][:, 1] < 0.1).all(), "the states must lead to contacts"
    np.testing.assert_allclose(got[0][:, :7], wanted[0][:, :7], atol=5e-4)
    np.testing.assert_allclose(got[1][:, :3], wanted[1][:, :3], atol=2e-2)


def test_a_pillar_stops_the_point_alike_under_jit_and_vmap() -> None:
    scene = build_scene(POINT, TIMESTEPS["point"], Obstacles(0.2, height=None), None)
    places = jnp.asarray([PILLAR])
    start = Motion(
        qpos=jnp.array([PILLAR[0] - 0.29, PILLAR[1], np.pi]),
        qvel=jnp.array([1.0, 0.1, 0.0]),
        qacc=jnp.zeros(3),
        time=jnp.zeros(()),
        movables=None,
    )
    jitted = jax.jit(scene.step)(start, jnp.ones(2), places)
    batch = jax.tree.map(lambda leaf: jnp.stack([leaf] * 3), start)
    mapped = jax.jit(jax.vmap(scene.step, in_axes=(0, None, None)))(batch, jnp.ones(2), places)
    np.testing.assert_allclose(mapped.qpos[1], jitted.qpos, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(mapped.qvel[1], jitted.qvel, rtol=1e-4, atol=1e-5)
    assert float(jitted.qvel[0]) < 0.9


def test_point_has_the_original_mass_and_inertia() -> None:
    model = mujoco_scene.build(POINT, TIMESTEPS["point"])
    body = model.body("robot")
    np.testing.assert_allclose(body.mass, 0.00518879, rtol=1e-5)
    np.testing.assert_allclose(body.ipos, [0.0192723, 0.0, 0.0], atol=1e-7)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    inertia = np.zeros((3, 3))
    mujoco.mj_fullM(model, data, inertia)
    np.testing.assert_allclose(inertia[2, 2], 2.84218e-5, rtol=1e-5)
    np.testing.assert_allclose(inertia[1, 2], 1.0e-4, rtol=1e-3)


def test_car_has_the_original_masses_and_inertia() -> None:
    model = mujoco_scene.build(CAR, TIMESTEPS["car"])
    masses = [float(model.body(name).mass[0]) for name in ("robot", "left", "right", "rear")]
    np.testing.assert_allclose(masses, [0.0239, 0.0019635, 0.0019635, 0.00261799], rtol=1e-5)
    np.testing.assert_allclose(model.body("robot").ipos, [0.0, 0.003954, 0.001004], atol=1e-6)
    wanted = [2.28442e-4, 1.73901e-4, 9.4812e-5]
    np.testing.assert_allclose(model.body("robot").inertia, wanted, rtol=1e-5)
    assert (model.nq, model.nv, model.nu) == (13, 11, 2)


@pytest.mark.parametrize("name", ["point", "car"])
def test_sensors_match_mujoco(name: str) -> None:
    spec = mujoco.MjSpec()
    spec.option.magnetic = [0, -0.5, 0]
    ROBOTS[name].build(spec)
    kinds = ("accelerometer", "velocimeter", "gyro", "magnetometer")
    site = "robot"
    if name == "car":
        spec.body("robot").add_site(name=site)
    for kind in kinds:
        number = getattr(mujoco.mjtSensor, f"mjSENS_{kind.upper()}")
        spec.add_sensor(name=kind, type=number, objtype=mujoco.mjtObj.mjOBJ_SITE, objname=site)
    model = spec.compile()
    data = mujoco.MjData(model)
    rng = np.random.default_rng(2)
    for _ in range(10):
        data.qpos[:], data.qvel[:] = rng.normal(size=model.nq), rng.normal(size=model.nv)
        mujoco.mj_normalizeQuat(model, data.qpos)
        data.ctrl[:] = rng.uniform(-1, 1, 2)
        mujoco.mj_forward(model, data)
        readings = ROBOTS[name].read(*map(jnp.asarray, (data.qpos, data.qvel, data.qacc)))
        for kind in kinds:
            wanted = data.sensor(kind).data
            np.testing.assert_allclose(readings[kind], wanted, rtol=1e-4, atol=1e-4, err_msg=kind)


@pytest.mark.parametrize("name", ["point", "car"])
def test_pose_and_planar_velocity_match_mujoco(name: str) -> None:
    robot = ROBOTS[name]
    model = mujoco_scene.build(robot, TIMESTEPS[name])
    data = mujoco.MjData(model)
    rng = np.random.default_rng(3)
    data.qpos[:], data.qvel[:] = rng.normal(size=model.nq), rng.normal(size=model.nv)
    mujoco.mj_normalizeQuat(model, data.qpos)
    mujoco.mj_forward(model, data)
    pose = robot.pose(jnp.asarray(data.qpos))
    np.testing.assert_allclose(pose.position, data.body("robot").xpos, atol=1e-6)
    np.testing.assert_allclose(pose.rotation.ravel(), data.body("robot").xmat, atol=1e-6)
    velocity = np.zeros(6)
    body, kind = model.body("robot").id, mujoco.mjtObj.mjOBJ_XBODY
    mujoco.mj_objectVelocity(model, data, kind, body, velocity, 0)
    planar = robot.planar(jnp.asarray(data.qpos)) @ jnp.asarray(data.qvel)
    np.testing.assert_allclose(planar, [velocity[3], velocity[4], velocity[2]], atol=1e-5)


def test_full_throttle_moves_the_car_to_its_front_as_measured(
    simulate: dict[str, Simulate],
) -> None:
    qpos = resting(CAR, np.array([[-1.0, 0.0]] * 8), np.zeros(8))
    ctrl = np.array([[1.0, 1.0], [1.0, -1.0]] * 4)
    _, qvel = simulate["car"](qpos, np.zeros((8, 11)), ctrl, 1000)
    assert 0.7 < np.linalg.norm(qvel[0, :2]) < 0.82
    assert np.abs(qvel[0, 6:8]).min() > 16
    assert 0.9 < abs(qvel[1, 5]) < 1.3
