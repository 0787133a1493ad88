"""The kinds of task: what is rewarded, when a goal is met, what a lidar sees.

A kind is a record of functions (`Rules`) of a task and of an episode's progress in it.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import struct

from algd_jax.envs.navigation.costs import pressed
from algd_jax.envs.navigation.layout import draw_goal_position
from algd_jax.envs.navigation.task import Drawn, NavigationTask, Rules, Sight, TaskStep, View

__all__ = [
    "BUTTON",
    "CIRCLE",
    "GOAL",
    "PUSH",
    "ButtonProgress",
    "GoalProgress",
    "PushProgress",
]

_GOAL_CLEARANCE = 0.01  # m, of a goal's lower face over the floor.
_CIRCLE_REWARD = 0.1


class ButtonProgress(struct.PyTreeNode):
    """Attributes:
    goal: [] int32 index of the goal button.
    timer: [] int32 steps for which the buttons stay invisible and wrong ones free of charge.
    last_distance: [] distance from the robot's origin to the goal at the last step [m].
    """

    goal: jax.Array
    timer: jax.Array
    last_distance: jax.Array


def _draw_button(task: NavigationTask, view: View, key: jax.Array) -> Drawn:
    """Each button as likely, the one just pressed included."""
    goal = jax.random.randint(key, (), 0, len(view.layout.buttons))
    return Drawn(goal, jnp.asarray(True))


def _button_distance(view: View, goal: jax.Array) -> jax.Array:
    return jnp.linalg.norm(view.layout.buttons[goal] - view.pose.origin)


def _start_button(task: NavigationTask, view: View, goal: jax.Array) -> ButtonProgress:
    goal = jnp.asarray(goal, jnp.int32)
    return ButtonProgress(goal, jnp.zeros((), jnp.int32), _button_distance(view, goal))


def _step_button(
    task: NavigationTask, progress: ButtonProgress, view: View, next_goal: jax.Array
) -> TaskStep:
    assert task.buttons is not None
    distance = _button_distance(view, progress.goal)
    goal_met = pressed(task, view)[progress.goal]
    goal = jnp.where(goal_met, next_goal, progress.goal)
    after = ButtonProgress(
        goal=goal,
        timer=jnp.where(goal_met, task.buttons.delay, jnp.maximum(0, progress.timer - 1)),
        last_distance=jnp.where(goal_met, _button_distance(view, goal), distance),
    )
    return TaskStep(after, progress.last_distance - distance + goal_met, goal_met)


def _see_buttons(task: NavigationTask, progress: ButtonProgress, view: View) -> dict[str, Sight]:
    # A press hides all buttons for a while, the goal excepted.
    return {
        "buttons_lidar": Sight(view.layout.buttons, visible=progress.timer == 0),
        "goal_lidar": Sight(view.layout.buttons[progress.goal][None]),
    }


BUTTON = Rules(_draw_button, _start_button, _step_button, _see_buttons)
"""Press the goal button, again and again; other buttons cost."""


class GoalProgress(struct.PyTreeNode):
    """Attributes:
    goal: [2] position [m].
    last_distance: [] distance from the robot's origin to the goal at the last step [m].
    """

    goal: jax.Array
    last_distance: jax.Array


def _draw_place(task: NavigationTask, view: View, key: jax.Array) -> Drawn:
    movables = jnp.zeros((0, 2)) if view.movables is None else view.movables.position
    return Drawn(*draw_goal_position(task, key, view.pose.origin, view.layout, movables))


def _start_goal(task: NavigationTask, view: View, goal: jax.Array) -> GoalProgress:
    return GoalProgress(goal, jnp.linalg.norm(goal - view.pose.origin))


def _step_goal(
    task: NavigationTask, progress: GoalProgress, view: View, next_goal: jax.Array
) -> TaskStep:
    assert task.goal is not None
    distance = jnp.linalg.norm(progress.goal - view.pose.origin)
    goal_met = distance <= task.goal.radius
    next_start = _start_goal(task, view, next_goal)
    going_on = GoalProgress(progress.goal, distance)
    after = jax.tree.map(lambda new, old: jnp.where(goal_met, new, old), next_start, going_on)
    return TaskStep(after, progress.last_distance - distance + goal_met, goal_met)


def _see_goal(task: NavigationTask, progress: GoalProgress, view: View) -> dict[str, Sight]:
    return {"goal_lidar": Sight(progress.goal[None])}


GOAL = Rules(_draw_place, _start_goal, _step_goal, _see_goal)
"""Reach the goal, again and again."""


class PushProgress(struct.PyTreeNode):
    """Attributes:
    goal: [2] position [m].
    last_box: [] distance in space from the robot's origin to the box at the last step [m].
    last_goal: [] distance in space from the box to the goal at the last step [m].
    """

    goal: jax.Array
    last_box: jax.Array
    last_goal: jax.Array


def _start_push(task: NavigationTask, view: View, goal: jax.Array) -> PushProgress:
    assert task.goal is not None
    assert task.movables is not None
    box = jnp.append(view.movables.position[0], task.movables.half)
    at = jnp.append(goal, task.goal.radius / 2 + _GOAL_CLEARANCE)
    return PushProgress(
        goal=goal,
        last_box=jnp.linalg.norm(box - view.pose.position),
        last_goal=jnp.linalg.norm(box - at),
    )


def _step_push(
    task: NavigationTask, progress: PushProgress, view: View, next_goal: jax.Array
) -> TaskStep:
    assert task.goal is not None
    now = _start_push(task, view, progress.goal)
    goal_met = now.last_goal <= task.goal.radius
    reward = progress.last_box - now.last_box + progress.last_goal - now.last_goal + goal_met
    next_start = _start_push(task, view, next_goal)
    after = jax.tree.map(lambda new, old: jnp.where(goal_met, new, old), next_start, now)
    return TaskStep(after, reward, goal_met)


PUSH = Rules(_draw_place, _start_push, _step_push, _see_goal)
"""Push the box to the goal, again and again."""


def _step_circle(
    task: NavigationTask, progress: tuple[()], view: View, next_goal: jax.Array
) -> TaskStep:
    assert task.circle is not None
    (x, y), (u, v) = view.pose.origin, view.velocity[:2]
    distance = jnp.sqrt(x * x + y * y)
    round_about = (v * x - u * y) / jnp.maximum(distance, 1e-6)
    reward = _CIRCLE_REWARD * round_about / (1.0 + jnp.abs(distance - task.circle.radius))
    return TaskStep(progress, reward, jnp.asarray(False))


CIRCLE = Rules(
    draw_goal=lambda task, view, key: Drawn(jnp.zeros(2), jnp.asarray(True)),
    start=lambda task, view, goal: (),
    step=_step_circle,
    sights=lambda task, progress, view: {"circle_lidar": Sight(jnp.zeros((1, 2)))},
)
"""Run along the circle, counter-clockwise."""
