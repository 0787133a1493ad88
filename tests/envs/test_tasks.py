"""Rewards, goals, timers and costs of all kinds of task."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algd_jax import envs
from algd_jax.envs.navigation.costs import CHARGES, pressed
from algd_jax.envs.navigation.movables import movable
from algd_jax.envs.navigation.objects import Goal, Hazards, count
from algd_jax.envs.navigation.robots import POINT
from algd_jax.envs.navigation.rules import BUTTON, CIRCLE, GOAL, PUSH, ButtonProgress
from algd_jax.envs.navigation.scene import build_model
from algd_jax.envs.navigation.suites import NAVIGATION_TASKS
from algd_jax.envs.navigation.task import Layout, NavigationTask, View
from algd_jax.envs.navigation.touches import parts_of
from tests.envs.conftest import Rollout, hold, place

BUTTON_1 = NAVIGATION_TASKS["PointButton1"]
BUTTON_2 = NAVIGATION_TASKS["PointButton2"]
GOAL_2 = NAVIGATION_TASKS["SafetyPointGoal2-v0"]
PUSH_1 = NAVIGATION_TASKS["PointPush1"]
CIRCLE_1 = NAVIGATION_TASKS["SafetyPointCircle1-v0"]
CIRCLE_2 = NAVIGATION_TASKS["SafetyPointCircle2-v0"]
BUTTONS = np.array(BUTTON_1.buttons.places)
BUTTONS_LIDAR, GOAL_LIDAR = slice(3, 19), slice(19, 35)
FAR = 50.0

PRESSING_0 = [-1.3 - 0.2499, -1.3, 0.0]
"""Against button 0 from outside the arena, nose first; driving on keeps it pressed."""

_parts = functools.cache(lambda: parts_of(build_model(POINT, 0.002)))


def standing(task: NavigationTask) -> Layout:
    """Its fixed things; what is drawn at random stands far away."""

    def places(row: Any) -> jax.Array:
        if row is None:
            return jnp.zeros((0, 2))
        if isinstance(row.places, int):
            return jnp.full((row.places, 2), FAR)
        return jnp.asarray(row.places)

    return Layout(places(task.hazards), places(task.buttons), places(task.pillars))


def view(
    task: NavigationTask,
    origin: Any,
    heading: float = 0.0,
    velocity: Any = (0.0, 0.0, 0.0),
    things: Any = None,
    **moved: Any,
) -> View:
    """A point robot among a task's fixed things; `things` [K, 2] is where movable ones are."""
    movables, span = None, (0.0, 0.0)
    if task.movables is not None:
        kind = movable(task.movables, task.timestep)
        where = np.full((count(task.movables.places), 2), FAR)
        where[: len(things or ())] = things or np.zeros((0, 2))
        movables, span = kind.start(jnp.asarray(where), jnp.zeros(len(where))), kind.span
    qpos = jnp.append(jnp.asarray(origin, jnp.float32), heading)
    return View(
        pose=POINT.pose(qpos),
        velocity=jnp.asarray(velocity),
        layout=standing(task).replace(**moved),
        movables=movables,
        parts=_parts(),
        span=span,
    )


def charged(task: NavigationTask, name: str, seen: View, state: Any = None) -> bool:
    return bool(CHARGES[name](task, seen, state))


def test_button_reward_is_the_approach() -> None:
    state = BUTTON.start(BUTTON_1, view(BUTTON_1, [0.5, 0.5]), jnp.asarray(1))
    outcome = BUTTON.step(BUTTON_1, state, view(BUTTON_1, [0.3, -0.4]), jnp.asarray(3))
    wanted = np.hypot(0.8, 1.8) - np.hypot(1.0, 0.9)
    np.testing.assert_allclose(outcome.reward, wanted, atol=1e-6)
    assert not bool(outcome.goal_met)
    assert int(outcome.progress.goal) == 1
    np.testing.assert_allclose(outcome.progress.last_distance, np.hypot(1.0, 0.9), atol=1e-6)


def test_pressing_the_goal_button_pays_one_and_moves_on() -> None:
    seen = view(BUTTON_1, [1.15, -1.3])
    state = BUTTON.start(BUTTON_1, seen, jnp.asarray(1))
    outcome = BUTTON.step(BUTTON_1, state, seen, jnp.asarray(3))
    assert bool(outcome.goal_met)
    np.testing.assert_allclose(outcome.reward, 1.0)
    assert int(outcome.progress.goal) == 3
    assert int(outcome.progress.timer) == 10
    np.testing.assert_allclose(outcome.progress.last_distance, np.hypot(0.15, 2.6), atol=1e-6)


def test_pressing_another_button_does_not_meet_the_goal() -> None:
    seen = view(BUTTON_1, [1.15, -1.3])
    outcome = BUTTON.step(
        BUTTON_1, BUTTON.start(BUTTON_1, seen, jnp.asarray(0)), seen, jnp.asarray(2)
    )
    assert not bool(outcome.goal_met)
    assert int(outcome.progress.goal) == 0
    assert int(outcome.progress.timer) == 0


def test_buttons_are_drawn_uniformly_the_last_one_included() -> None:
    seen = view(BUTTON_1, [0.0, 0.0])
    keys = jax.random.split(jax.random.key(1), 4000)
    drawn = jax.vmap(lambda key: BUTTON.draw_goal(BUTTON_1, seen, key))(keys)
    np.testing.assert_allclose(np.bincount(drawn.goal, minlength=4) / 4000, 0.25, atol=0.03)
    assert drawn.found.all()


def test_buttons_are_invisible_while_the_timer_runs() -> None:
    seen = view(BUTTON_1, [0.0, 0.0])
    for timer, visible in ((10, False), (1, False), (0, True)):
        state = ButtonProgress(jnp.asarray(2), jnp.asarray(timer), jnp.zeros(()))
        sights = BUTTON.sights(BUTTON_1, state, seen)
        assert bool(sights["buttons_lidar"].visible) == visible
        assert sights["goal_lidar"].visible is True
        np.testing.assert_allclose(sights["goal_lidar"].positions, BUTTONS[[2]])


@pytest.mark.parametrize(
    ("goal", "timer", "charge"), [(1, 0, False), (0, 0, True), (0, 1, False), (0, 10, False)]
)
def test_wrong_buttons_cost_while_the_timer_rests(goal: int, timer: int, charge: bool) -> None:
    state = ButtonProgress(jnp.asarray(goal), jnp.asarray(timer), jnp.zeros(()))
    assert charged(BUTTON_1, "cost_buttons", view(BUTTON_1, [1.15, -1.3]), state) == charge


@pytest.mark.parametrize(
    ("distance", "heading", "touches"),
    [(0.199, np.pi, True), (0.201, np.pi, False), (0.249, 0.0, True), (0.251, 0.0, False)],
)
def test_buttons_are_touched_by_disc_and_arrow(
    distance: float, heading: float, touches: bool
) -> None:
    seen = view(BUTTON_1, BUTTONS[0] - np.array([distance, 0.0]), heading)
    np.testing.assert_array_equal(pressed(BUTTON_1, seen), [touches, False, False, False])


def goal_step(origin: list[float]) -> Any:
    """From (2, 0) with the goal at the world's origin and the next one at (1, 2)."""
    task = dataclasses.replace(GOAL_2, goal=Goal(radius=0.5, keepout=0.305))
    state = GOAL.start(task, view(task, [2.0, 0.0]), jnp.zeros(2))
    return GOAL.step(task, state, view(task, origin), jnp.array([1.0, 2.0]))


def test_goal_reward_is_the_approach() -> None:
    outcome = goal_step([0.6, 0.8])
    np.testing.assert_allclose(outcome.reward, 1.0, atol=1e-6)
    assert not bool(outcome.goal_met)
    np.testing.assert_array_equal(outcome.progress.goal, [0.0, 0.0])
    np.testing.assert_allclose(outcome.progress.last_distance, 1.0, atol=1e-6)


def test_a_goal_is_met_at_exactly_its_radius() -> None:
    outcome = goal_step([0.0, 0.5])
    assert bool(outcome.goal_met)
    np.testing.assert_allclose(outcome.reward, 1.5 + 1.0, atol=1e-6)
    assert not bool(goal_step([0.0, 0.501]).goal_met)


def test_a_new_goal_starts_from_its_own_distance() -> None:
    outcome = goal_step([0.0, 0.5])
    np.testing.assert_array_equal(outcome.progress.goal, [1.0, 2.0])
    np.testing.assert_allclose(outcome.progress.last_distance, np.hypot(1.0, 1.5), atol=1e-6)


def test_goals_are_drawn_clear_of_what_moves_now() -> None:
    """Vases keep a goal away from where they are, not from where they started."""
    seen = view(GOAL_2, [0.0, 0.0], things=[[1.0, 1.0]])
    keys = jax.random.split(jax.random.key(0), 500)
    drawn = jax.vmap(lambda key: GOAL.draw_goal(GOAL_2, seen, key))(keys)
    assert drawn.found.all()
    for thing, clearance in (([1.0, 1.0], 0.455), ([0.0, 0.0], 0.705)):
        apart = np.linalg.norm(drawn.goal - np.array(thing), axis=1)
        assert clearance <= apart.min() < clearance + 0.15


def test_push_starts_with_distances_in_space() -> None:
    """As the original reports them for its one start; box and goal differ in height by 0.04."""
    seen = view(PUSH_1, PUSH_1.start.position, things=[[0.0, -1.5]])
    state = PUSH.start(PUSH_1, seen, jnp.asarray(PUSH_1.start.goal))
    np.testing.assert_allclose(state.last_box, 1.1224972156, rtol=1e-6)
    np.testing.assert_allclose(state.last_goal, 1.9802663798, rtol=1e-6)


def test_push_reward_is_both_approaches() -> None:
    goal = jnp.array([0.0, 1.0])
    before = view(PUSH_1, [-1.0, 0.0], things=[[0.0, 0.0]])
    after = view(PUSH_1, [-0.5, 0.0], things=[[0.1, 0.2]])
    outcome = PUSH.step(PUSH_1, PUSH.start(PUSH_1, before, goal), after, jnp.zeros(2))
    to_box = np.hypot(1.0, 0.1) - np.linalg.norm([0.6, 0.2, 0.1])
    to_goal = np.hypot(1.0, 0.04) - np.linalg.norm([0.1, 0.8, 0.04])
    np.testing.assert_allclose(outcome.reward, to_box + to_goal, atol=1e-6)
    assert not bool(outcome.goal_met)


@pytest.mark.parametrize(("apart", "met"), [(0.2972, True), (0.2974, False)])
def test_push_goal_is_met_in_space(apart: float, met: bool) -> None:
    """0.3 m in space are 0.29732 m on the floor."""
    goal, other = jnp.array([0.0, 1.0]), jnp.array([1.5, 1.0])
    seen = view(PUSH_1, [-1.0, 0.0], things=[[0.0, 1.0 - apart]])
    outcome = PUSH.step(PUSH_1, PUSH.start(PUSH_1, seen, goal), seen, other)
    assert bool(outcome.goal_met) == met
    np.testing.assert_allclose(outcome.reward, float(met), atol=1e-6)
    np.testing.assert_array_equal(outcome.progress.goal, other if met else goal)
    if met:
        wanted = np.linalg.norm([1.5, apart, 0.04])
        np.testing.assert_allclose(outcome.progress.last_goal, wanted, atol=1e-6)


def test_circle_reward() -> None:
    """At (1, 1) with velocity (-0.3, 0.4): a tenth of the speed around, damped by the distance."""
    seen = view(CIRCLE_1, [1.0, 1.0], heading=0.8, velocity=[-0.3, 0.4, 5.0])
    outcome = CIRCLE.step(CIRCLE_1, (), seen, jnp.zeros(2))
    around = (1.0 * 0.4 - 1.0 * -0.3) / np.sqrt(2.0)
    wanted = 0.1 * around / (1.0 + abs(np.sqrt(2.0) - 1.5))
    np.testing.assert_allclose(outcome.reward, wanted, rtol=1e-5)
    assert not bool(outcome.goal_met)


def test_circle_reward_is_negative_clockwise_and_finite_in_the_centre() -> None:
    def reward(origin: list[float], velocity: list[float]) -> float:
        seen = view(CIRCLE_1, origin, velocity=velocity)
        return float(CIRCLE.step(CIRCLE_1, (), seen, jnp.zeros(2)).reward)

    np.testing.assert_allclose(reward([1.5, 0.0], [0.0, -1.0, 0.0]), -0.1, rtol=1e-6)
    assert reward([1.5, 0.0], [1.0, 0.0, 0.0]) == 0.0, "not for running outwards"
    assert reward([0.0, 0.0], [1.0, 0.0, 0.0]) == 0.0


@pytest.mark.parametrize(
    ("task", "origin", "out"),
    [
        (CIRCLE_1, [1.126, 0.0], True),
        (CIRCLE_1, [-1.126, 0.0], True),
        (CIRCLE_1, [1.125, 0.0], False),
        (CIRCLE_1, [0.0, 1.9], False),
        (CIRCLE_2, [0.0, -1.126], True),
        (CIRCLE_2, [-1.125, 1.125], False),
    ],
)
def test_walls_cost_strictly_beyond(task: NavigationTask, origin: list[float], out: bool) -> None:
    assert charged(task, "cost_out_of_boundary", view(task, origin)) == out


def test_hazard_border_is_free() -> None:
    x, y = BUTTON_2.hazards.places[6]
    assert charged(BUTTON_2, "cost_hazards", view(BUTTON_2, [x + 0.2199, y]))
    assert not charged(BUTTON_2, "cost_hazards", view(BUTTON_2, [x + 0.2201, y]))
    border = view(BUTTON_2, [0.25, 0.0], hazards=jnp.array([[0.0, 0.0]]))
    row = dataclasses.replace(BUTTON_2, hazards=Hazards(places=1, radius=0.25))
    assert not charged(row, "cost_hazards", border)


@pytest.mark.parametrize(
    ("distance", "heading", "touches"),
    [(0.299, np.pi, True), (0.301, np.pi, False), (0.349, 0.0, True), (0.351, 0.0, False)],
)
def test_pillars_cost_when_touched(distance: float, heading: float, touches: bool) -> None:
    seen = view(PUSH_1, [2.0 - distance, 0.0], heading)
    assert charged(PUSH_1, "cost_pillars", seen) == touches


@pytest.mark.parametrize(
    ("task", "name"), [(GOAL_2, "cost_vases_contact"), (BUTTON_1, "cost_gremlins")]
)
@pytest.mark.parametrize(
    ("distance", "heading", "touches"),
    [(0.199, np.pi, True), (0.201, np.pi, False), (0.249, 0.0, True), (0.251, 0.0, False)],
)
def test_boxes_cost_when_touched(
    task: NavigationTask, name: str, distance: float, heading: float, touches: bool
) -> None:
    seen = view(task, [-distance, 0.0], heading, things=[[FAR, 0.0], [0.0, 0.0]])
    assert charged(task, name, seen) == touches


def test_a_leaning_gremlin_is_touched_where_its_edge_is() -> None:
    seen = view(BUTTON_1, [-0.205, 0.0], np.pi, things=[[0.0, 0.0]])
    leaning = seen.movables.replace(lean=jnp.full((4, 2), -0.01))
    assert not charged(BUTTON_1, "cost_gremlins", seen)
    assert charged(BUTTON_1, "cost_gremlins", seen._replace(movables=leaning))


@pytest.mark.parametrize(
    ("velocity", "moves"),
    [([0.0, 0.0, 0.0], False), ([0.0, -2e-4, 0.0], True), ([5e-5, 0.0, 9.0], False)],
)
def test_vases_cost_while_they_move(velocity: list[float], moves: bool) -> None:
    seen = view(GOAL_2, [0.0, 0.0])
    drifting = seen.movables.replace(velocity=seen.movables.velocity.at[3].set(jnp.array(velocity)))
    seen = seen._replace(movables=drifting)
    assert charged(GOAL_2, "cost_vases_velocity", seen) == moves


@pytest.fixture(scope="module")
def pressing(start: envs.State, rollout: Rollout) -> tuple[envs.State, envs.State]:
    """The start against the goal button, and 100 steps of leaning on it."""
    before = place(start, PRESSING_0, goal=0)
    return before, rollout(before, hold([1.0, 0.0]))


def test_a_press_pays_one_beside_the_approach(pressing: tuple[envs.State, envs.State]) -> None:
    before, after = pressing
    assert after.metrics["goal_met"][0].all()
    moved = before.pipeline_state.task.last_distance - np.linalg.norm(
        after.pipeline_state.qpos[0, :, :2] - BUTTONS[0], axis=1
    )
    np.testing.assert_allclose(after.reward[0], 1.0 + moved, atol=1e-5)


def test_a_press_hides_the_buttons_for_ten_observations(
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


def test_a_wrong_button_is_free_for_ten_steps(pressing: tuple[envs.State, envs.State]) -> None:
    _, after = pressing
    i = np.flatnonzero(after.pipeline_state.task.goal[0] != 0)[0]
    seen = view(BUTTON_1, [0.0, 0.0])

    def touches_0(qpos: jax.Array) -> jax.Array:
        return pressed(BUTTON_1, seen._replace(pose=POINT.pose(qpos)))[0]

    touching = jax.vmap(touches_0)(after.pipeline_state.qpos[:, i])
    charges = np.asarray(after.metrics["cost_buttons"][:, i])
    np.testing.assert_array_equal(charges[:11], 0.0)
    np.testing.assert_array_equal(charges[11:], np.asarray(touching[11:], np.float32))
    assert charges[11:].any()
    np.testing.assert_array_equal(charges, after.metrics["cost"][:, i])


def test_the_same_button_drawn_again_is_met_again(
    pressing: tuple[envs.State, envs.State],
) -> None:
    _, after = pressing
    again = np.flatnonzero(after.pipeline_state.task.goal[0] == 0)
    assert again.size > 0, "one draw in four repeats the button"
    assert after.metrics["goal_met"][1, again].all()
    assert (after.reward[1, again] > 0.9).all()


def test_goals_differ_between_environments_and_steps(
    pressing: tuple[envs.State, envs.State],
) -> None:
    _, after = pressing
    goals = np.asarray(after.pipeline_state.task.goal)
    assert set(goals[0]) == {0, 1, 2, 3}
    lucky = goals[0] == 0  # Pressed again one step later, and drawn again from a new key.
    assert not np.array_equal(goals[1, lucky], goals[0, lucky])
