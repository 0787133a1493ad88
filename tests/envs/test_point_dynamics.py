"""How the point robot drives, as the accelerated Safety-Gym measured."""

import jax.numpy as jnp
import numpy as np

from algd_jax.envs import State
from tests.envs.conftest import STEPS, N, Rollout, hold, place

NOWHERE = [6.0, 6.0, 0.3]


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
