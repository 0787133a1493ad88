"""Goals, timer, rewards and costs of the Button task."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algd_jax import envs
from algd_jax.envs.navigation import costs, tasks
from algd_jax.envs.navigation.suites import POINT_BUTTON_1, POINT_BUTTON_2
from tests.envs.conftest import Rollout, hold, place

BUTTONS = POINT_BUTTON_1.buttons
FOOTPRINT = POINT_BUTTON_1.robot.footprint
BUTTON_0 = np.array(BUTTONS.centres[0])
BUTTONS_LIDAR = slice(3, 19)
GOAL_LIDAR = slice(19, 35)

PRESSING_0 = [-1.3 - 0.2499, -1.3, 0.0]
"""Against button 0 from outside the arena, nose first; driving on keeps it pressed."""


@pytest.fixture(scope="module")
def pressing(start: envs.State, rollout: Rollout) -> tuple[envs.State, envs.State]:
    """The start against the goal button, and 100 steps of leaning on it."""
    before = place(start, PRESSING_0, goal=0)
    return before, rollout(before, hold([1.0, 0.0]))


def test_pressing_pays_one(pressing: tuple[envs.State, envs.State]) -> None:
    before, after = pressing
    assert after.metrics["goal_met"][0].all()
    moved = before.pipeline_state.task.last_distance - np.linalg.norm(
        after.pipeline_state.qpos[0, :, :2] - BUTTON_0, axis=1
    )
    np.testing.assert_allclose(after.reward[0], 1.0 + moved, atol=1e-5)


def test_timer_hides_the_buttons_for_ten_observations(
    pressing: tuple[envs.State, envs.State],
) -> None:
    _, after = pressing
    other = np.flatnonzero(after.pipeline_state.task.goal[0] == 1)
    assert other.size > 0
    i = other[0]  # Here a button within lidar range became the goal; button 0 is pressed once.
    timer = np.asarray(after.pipeline_state.task.timer[:, i])
    np.testing.assert_array_equal(timer[:12], [10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0])
    hidden = np.asarray(after.obs[:, i, BUTTONS_LIDAR] == 0).all(axis=1)
    np.testing.assert_array_equal(hidden[:12], [True] * 10 + [False] * 2)
    assert (np.asarray(after.obs[:12, i, GOAL_LIDAR]).max(axis=1) > 0).all()


def test_wrong_button_is_free_for_ten_steps(pressing: tuple[envs.State, envs.State]) -> None:
    _, after = pressing
    i = np.flatnonzero(after.pipeline_state.task.goal[0] != 0)[0]
    origin, heading = after.pipeline_state.qpos[:, i, :2], after.pipeline_state.qpos[:, i, 2]
    touching = jax.vmap(costs.pressed, in_axes=(None, None, 0, 0))(
        BUTTONS, FOOTPRINT, origin, heading
    )[:, 0]
    charged = np.asarray(after.metrics["cost_buttons"][:, i])
    np.testing.assert_array_equal(charged[:11], 0.0)
    np.testing.assert_array_equal(charged[11:], np.asarray(touching[11:], np.float32))
    assert charged[11:].any()
    np.testing.assert_array_equal(charged, after.metrics["cost"][:, i])


def test_same_button_drawn_again_is_met_again(
    pressing: tuple[envs.State, envs.State],
) -> None:
    _, after = pressing
    again = np.flatnonzero(after.pipeline_state.task.goal[0] == 0)
    assert again.size > 0, "one draw in four repeats the button"
    assert after.metrics["goal_met"][1, again].all()
    assert (after.reward[1, again] > 0.9).all()


def test_goals_are_drawn_uniformly() -> None:
    keys = jax.random.split(jax.random.key(1), 4000)
    goals = jax.vmap(lambda key: tasks.draw_goal(BUTTONS, key))(keys)
    np.testing.assert_allclose(np.bincount(goals, minlength=4) / 4000, 0.25, atol=0.03)


def test_goals_differ_between_environments_and_steps(
    pressing: tuple[envs.State, envs.State],
) -> None:
    _, after = pressing
    goals = np.asarray(after.pipeline_state.task.goal)
    assert set(goals[0]) == {0, 1, 2, 3}
    lucky = goals[0] == 0  # Pressed again one step later, and drawn again from a new key.
    assert not np.array_equal(goals[1, lucky], goals[0, lucky])


def test_reward_is_the_approach() -> None:
    origin = jnp.array([0.3, -0.4])
    state = tasks.start_button_task(BUTTONS, 1, jnp.array([0.5, 0.5]))
    outcome = tasks.button_step(BUTTONS, state, 3, jnp.zeros(4, bool), origin)
    wanted = np.hypot(0.8, 1.8) - np.hypot(1.0, 0.9)
    np.testing.assert_allclose(outcome.reward, wanted, atol=1e-6)
    assert int(outcome.state.goal) == 1
    np.testing.assert_allclose(outcome.state.last_distance, np.hypot(1.0, 0.9), atol=1e-6)


def test_new_goal_starts_from_its_own_distance() -> None:
    origin = jnp.array([1.1, -1.3])
    state = tasks.start_button_task(BUTTONS, 1, origin)
    pressed = jnp.array([False, True, False, False])
    outcome = tasks.button_step(BUTTONS, state, 3, pressed, origin)
    assert bool(outcome.goal_met)
    assert int(outcome.state.goal) == 3
    np.testing.assert_allclose(outcome.reward, 1.0)
    np.testing.assert_allclose(outcome.state.last_distance, np.hypot(0.2, 2.6), atol=1e-6)
    assert not bool(outcome.wrong_button)


@pytest.mark.parametrize(
    ("distance", "heading", "touches"),
    [(0.199, np.pi, True), (0.201, np.pi, False), (0.249, 0.0, True), (0.251, 0.0, False)],
)
def test_buttons_are_touched_by_disc_and_arrow(
    distance: float, heading: float, touches: bool
) -> None:
    origin = jnp.asarray(BUTTON_0 - np.array([distance, 0.0]))
    pressed = costs.pressed(BUTTONS, FOOTPRINT, origin, jnp.asarray(heading))
    np.testing.assert_array_equal(pressed, [touches, False, False, False])


def test_hazard_border_is_free() -> None:
    row = POINT_BUTTON_2.hazards
    x, y = row.centres[6]
    assert bool(costs.in_hazard(row, jnp.array([x + 0.2199, y])))
    assert not bool(costs.in_hazard(row, jnp.array([x + 0.2201, y])))
