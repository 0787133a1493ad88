"""The point robot: MJX against MuJoCo, and what the accelerated Safety-Gym measured."""

import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from algd_jax.envs import State
from algd_jax.envs.navigation.robots import POINT
from algd_jax.envs.navigation.scene import build_model
from tests.envs.conftest import STEPS, N, Rollout, hold, place

SUBSTEPS = 10
TIMESTEP = 0.006
NOWHERE = [6.0, 6.0, 0.3]
BUTTON = np.array([1.3, 1.3])


@pytest.fixture(scope="module")
def mujoco_model() -> mujoco.MjModel:
    return build_model(POINT, button_radius=0.1, timestep=TIMESTEP)


def step_mujoco(
    model: mujoco.MjModel, qpos: np.ndarray, qvel: np.ndarray, actions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """State after environment steps under actions [T, 2] in MuJoCo itself."""
    data = mujoco.MjData(model)
    data.qpos[:], data.qvel[:] = qpos, qvel
    data.mocap_pos[0, :2] = BUTTON
    for action in actions:
        data.ctrl[:] = action
        for _ in range(SUBSTEPS):
            mujoco.mj_step(model, data)
    return data.qpos, data.qvel


def test_body_has_the_original_mass_and_inertia(mujoco_model: mujoco.MjModel) -> None:
    body = mujoco_model.body("robot")
    np.testing.assert_allclose(body.mass, 0.00518879, rtol=1e-5)
    np.testing.assert_allclose(body.ipos, [0.0192723, 0.0, 0.0], atol=1e-7)
    data = mujoco.MjData(mujoco_model)
    mujoco.mj_forward(mujoco_model, data)
    inertia = np.zeros((3, 3))
    mujoco.mj_fullM(mujoco_model, data, inertia)
    np.testing.assert_allclose(inertia[2, 2], 2.84218e-5, rtol=1e-5)
    np.testing.assert_allclose(inertia[1, 2], 1.0e-4, rtol=1e-3)


def test_fifty_free_steps_match_mujoco(
    start: State, rollout: Rollout, mujoco_model: mujoco.MjModel
) -> None:
    # A saturated yaw servo; in between it is chaotic and no two programs agree for long.
    signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(N, 2))
    actions = np.repeat(signs[None], STEPS, axis=0)
    after = rollout(place(start, NOWHERE), jnp.asarray(actions)).pipeline_state
    for i in range(N):
        for step, tolerance in ((1, 1e-5), (50, 1e-3)):
            qpos, qvel = step_mujoco(mujoco_model, NOWHERE, np.zeros(3), actions[:step, i])
            np.testing.assert_allclose(after.qpos[step - 1, i], qpos, atol=tolerance)
            np.testing.assert_allclose(after.qvel[step - 1, i], qvel, atol=tolerance)


def test_one_step_against_a_button_matches_mujoco(
    start: State, rollout: Rollout, mujoco_model: mujoco.MjModel
) -> None:
    rng = np.random.default_rng(1)
    bearing = rng.uniform(0, 2 * np.pi, N)
    outward = np.stack([np.cos(bearing), np.sin(bearing)], axis=1)
    heading = bearing + np.pi + rng.uniform(-0.5, 0.5, N)
    qpos = np.column_stack([BUTTON + 0.27 * outward, heading]).astype(np.float32)
    qvel = np.column_stack([-outward, np.zeros(N)]).astype(np.float32)
    moving = place(start, qpos)
    moving = moving.replace(pipeline_state=moving.pipeline_state.replace(qvel=jnp.asarray(qvel)))
    actions = np.ones((N, 2))
    after = rollout(moving, hold([1.0, 1.0])).pipeline_state
    bounced = 0
    for i in range(N):
        wanted_qpos, wanted_qvel = step_mujoco(mujoco_model, qpos[i], qvel[i], actions[i : i + 1])
        np.testing.assert_allclose(after.qpos[0, i], wanted_qpos, atol=1e-4)
        np.testing.assert_allclose(after.qvel[0, i], wanted_qvel, atol=1e-2)
        bounced += np.dot(wanted_qvel[:2], outward[i]) > -0.5
    assert bounced > N // 2, "the states must lead to contacts"


def test_sensors_match_mujoco() -> None:
    spec = mujoco.MjSpec()
    spec.option.magnetic = [0, -0.5, 0]
    POINT.build(spec)
    kinds = ("accelerometer", "velocimeter", "gyro", "magnetometer")
    for name in kinds:
        kind = getattr(mujoco.mjtSensor, f"mjSENS_{name.upper()}")
        site = mujoco.mjtObj.mjOBJ_SITE
        spec.add_sensor(name=name, type=kind, objtype=site, objname="robot")
    model = spec.compile()
    data = mujoco.MjData(model)
    rng = np.random.default_rng(2)
    for _ in range(10):
        data.qpos[:], data.qvel[:] = rng.normal(size=3), rng.normal(size=3)
        data.ctrl[:] = rng.uniform(-1, 1, 2)
        mujoco.mj_forward(model, data)
        readings = POINT.read(*map(jnp.asarray, (data.qpos, data.qvel, data.qacc)))
        for name in kinds:
            wanted = data.sensor(name).data
            np.testing.assert_allclose(readings[name], wanted, rtol=1e-4, atol=1e-4, err_msg=name)


def test_top_speed(start: State, rollout: Rollout) -> None:
    # Along x, where no rounding wakes the yaw servo.
    after = rollout(place(start, [6.0, 6.0, 0.0]), hold([1.0, 0.0])).pipeline_state
    speed = np.linalg.norm(after.qvel[..., :2], axis=-1)
    np.testing.assert_allclose(speed[-1], 1.5, atol=1e-3)
    # 1.5 (1 - exp(-t / 0.52 s)), the mass over the damping.
    np.testing.assert_allclose(speed[9], 1.5 * (1 - np.exp(-0.6 / 0.518879)), atol=0.01)
    np.testing.assert_allclose(after.qvel[-1, :, 2], 0.0)


def test_drive_saturates_at_a_twentieth(start: State, rollout: Rollout) -> None:
    commands = jnp.array([[0.025, 0.0], [0.05, 0.0], [1.0, 0.0], [-7.0, 0.0]])
    after = rollout(place(start, NOWHERE), hold(jnp.tile(commands, (N // 4, 1))))
    speed = np.linalg.norm(after.pipeline_state.qvel[-1, :4, :2], axis=-1)
    np.testing.assert_allclose(speed, [0.75, 1.5, 1.5, 1.5], atol=1e-3)


def test_mean_yaw_rates(start: State, rollout: Rollout) -> None:
    """The servo's limit cycle: a dead zone, then steps, as measured in the original."""
    table = {0.0: 0.0, 0.1: 0.0, 0.2: 0.0, 0.3: 0.18, 0.4: 0.92, 0.5: 1.0, 0.6: 1.0}
    table |= {0.7: 1.57, 0.8: 1.90, 0.9: 2.63, 0.95: 2.998, 1.0: 2.998}
    table |= {-0.4: -0.92, -0.8: -1.90, -1.0: -2.998, -0.6: -1.0}
    commands = jnp.array([[0.0, yaw] for yaw in table])
    heading = rollout(place(start, NOWHERE), hold(commands)).pipeline_state.qpos[..., 2]
    settled = 20
    rate = (heading[-1] - heading[settled]) / (0.06 * (STEPS - 1 - settled))
    np.testing.assert_allclose(rate, list(table.values()), atol=0.05)


def test_limit_cycle_is_there(start: State, rollout: Rollout) -> None:
    commands = hold([0.0, 0.1])
    yaw_rate = rollout(place(start, NOWHERE), commands).pipeline_state.qvel[..., 2]
    amplitude = np.abs(yaw_rate[50:])
    assert amplitude.max() < 1.2
    assert amplitude.min() > 0.8, "an implicit servo would settle at 0.3 rad/s"
