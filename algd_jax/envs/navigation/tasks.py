"""The kinds of task: what is rewarded, when a goal is met, what a lidar sees.

A kind is a record of functions (`Rules`) of a row of `suites` and of the kind's own state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from algd_jax.envs.navigation.costs import View, pressed
from algd_jax.envs.navigation.layout import draw_goal_position

if TYPE_CHECKING:  # The rows of `suites` hold `Rules`.
    from algd_jax.envs.navigation.suites import NavigationTask

__all__ = [
    "BUTTON",
    "CIRCLE",
    "GOAL",
    "PUSH",
    "ButtonState",
    "Drawn",
    "GoalState",
    "PushState",
    "Rules",
    "Sight",
    "TaskStep",
]

_GOAL_CLEARANCE = 0.01  # m, of a goal's lower face over the floor.
_CIRCLE_REWARD = 0.1


class Drawn(NamedTuple):
    """A goal drawn at random.

    Attributes:
      goal: what the kind calls a goal.
      found: [] boolean, false if there was no place for one.
    """

    goal: jax.Array
    found: jax.Array


class TaskStep(NamedTuple):
    """What one environment step means to a task.

    Attributes:
      state: the task's own state afterwards.
      reward: [].
      goal_met: [] boolean.
    """

    state: Any
    reward: jax.Array
    goal_met: jax.Array


class Sight(NamedTuple):
    """What one lidar looks at.

    Attributes:
      positions: [K, 2] objects [m].
      visible: [] boolean; the lidar reads zero where it is false.
    """

    positions: jax.Array
    visible: jax.Array | bool = True


class Rules(NamedTuple):
    """A kind of task, as functions.

    Attributes:
      draw_goal: (row, view, key) -> `Drawn`, the next goal.
      start: (row, view, goal) -> the task's own state at the start of an episode.
      step: (row, state, view, next goal) -> `TaskStep`; by the old goal, then on to the next.
      sights: (row, state, view) -> what the kind's own lidars look at, by component name.
    """

    draw_goal: Callable[[NavigationTask, View, jax.Array], Drawn]
    start: Callable[[NavigationTask, View, jax.Array], Any]
    step: Callable[[NavigationTask, Any, View, jax.Array], TaskStep]
    sights: Callable[[NavigationTask, Any, View], dict[str, Sight]]


class ButtonState(struct.PyTreeNode):
    """Attributes:
    goal: [] int32 index of the goal button.
    timer: [] int32 steps for which the buttons stay invisible and wrong ones free of charge.
    last_distance: [] distance from the robot's origin to the goal at the last step [m].
    """

    goal: jax.Array
    timer: jax.Array
    last_distance: jax.Array


def _draw_button(row: NavigationTask, view: View, key: jax.Array) -> Drawn:
    """Each button as likely, the one just pressed included."""
    goal = jax.random.randint(key, (), 0, len(view.layout.buttons))
    return Drawn(goal, jnp.asarray(True))


def _button_distance(view: View, goal: jax.Array) -> jax.Array:
    return jnp.linalg.norm(view.layout.buttons[goal] - view.pose.origin)


def _start_button(row: NavigationTask, view: View, goal: jax.Array) -> ButtonState:
    goal = jnp.asarray(goal, jnp.int32)
    return ButtonState(goal, jnp.zeros((), jnp.int32), _button_distance(view, goal))


def _step_button(
    row: NavigationTask, state: ButtonState, view: View, next_goal: jax.Array
) -> TaskStep:
    assert row.buttons is not None
    distance = _button_distance(view, state.goal)
    goal_met = pressed(row, view)[state.goal]
    goal = jnp.where(goal_met, next_goal, state.goal)
    after = ButtonState(
        goal=goal,
        timer=jnp.where(goal_met, row.buttons.delay, jnp.maximum(0, state.timer - 1)),
        last_distance=jnp.where(goal_met, _button_distance(view, goal), distance),
    )
    return TaskStep(after, state.last_distance - distance + goal_met, goal_met)


def _see_buttons(row: NavigationTask, state: ButtonState, view: View) -> dict[str, Sight]:
    # A press hides all buttons for a while, the goal excepted.
    return {
        "buttons_lidar": Sight(view.layout.buttons, visible=state.timer == 0),
        "goal_lidar": Sight(view.layout.buttons[state.goal][None]),
    }


BUTTON = Rules(_draw_button, _start_button, _step_button, _see_buttons)
"""Press the goal button, again and again; other buttons cost."""


class GoalState(struct.PyTreeNode):
    """Attributes:
    goal: [2] position [m].
    last_distance: [] distance from the robot's origin to the goal at the last step [m].
    """

    goal: jax.Array
    last_distance: jax.Array


def _draw_place(row: NavigationTask, view: View, key: jax.Array) -> Drawn:
    movables = jnp.zeros((0, 2)) if view.movables is None else view.movables.position
    return Drawn(*draw_goal_position(row, key, view.pose.origin, view.layout, movables))


def _start_goal(row: NavigationTask, view: View, goal: jax.Array) -> GoalState:
    return GoalState(goal, jnp.linalg.norm(goal - view.pose.origin))


def _step_goal(row: NavigationTask, state: GoalState, view: View, next_goal: jax.Array) -> TaskStep:
    assert row.goal is not None
    distance = jnp.linalg.norm(state.goal - view.pose.origin)
    goal_met = distance <= row.goal.radius
    next_state = _start_goal(row, view, next_goal)
    going_on = GoalState(state.goal, distance)
    after = jax.tree.map(lambda new, old: jnp.where(goal_met, new, old), next_state, going_on)
    return TaskStep(after, state.last_distance - distance + goal_met, goal_met)


def _see_goal(row: NavigationTask, state: GoalState, view: View) -> dict[str, Sight]:
    return {"goal_lidar": Sight(state.goal[None])}


GOAL = Rules(_draw_place, _start_goal, _step_goal, _see_goal)
"""Reach the goal, again and again."""


class PushState(struct.PyTreeNode):
    """Attributes:
    goal: [2] position [m].
    last_box: [] distance in space from the robot's origin to the box at the last step [m].
    last_goal: [] distance in space from the box to the goal at the last step [m].
    """

    goal: jax.Array
    last_box: jax.Array
    last_goal: jax.Array


def _start_push(row: NavigationTask, view: View, goal: jax.Array) -> PushState:
    assert row.goal is not None
    assert row.movables is not None
    box = jnp.append(view.movables.position[0], row.movables.half)
    at = jnp.append(goal, row.goal.radius / 2 + _GOAL_CLEARANCE)
    return PushState(
        goal=goal,
        last_box=jnp.linalg.norm(box - view.pose.position),
        last_goal=jnp.linalg.norm(box - at),
    )


def _step_push(row: NavigationTask, state: PushState, view: View, next_goal: jax.Array) -> TaskStep:
    assert row.goal is not None
    now = _start_push(row, view, state.goal)
    goal_met = now.last_goal <= row.goal.radius
    reward = state.last_box - now.last_box + state.last_goal - now.last_goal + goal_met
    next_state = _start_push(row, view, next_goal)
    after = jax.tree.map(lambda new, old: jnp.where(goal_met, new, old), next_state, now)
    return TaskStep(after, reward, goal_met)


PUSH = Rules(_draw_place, _start_push, _step_push, _see_goal)
"""Push the box to the goal, again and again."""


def _step_circle(
    row: NavigationTask, state: tuple[()], view: View, next_goal: jax.Array
) -> TaskStep:
    assert row.circle is not None
    (x, y), (u, v) = view.pose.origin, view.velocity[:2]
    distance = jnp.sqrt(x * x + y * y)
    round_about = (v * x - u * y) / jnp.maximum(distance, 1e-6)
    reward = _CIRCLE_REWARD * round_about / (1.0 + jnp.abs(distance - row.circle.radius))
    return TaskStep(state, reward, jnp.asarray(False))


CIRCLE = Rules(
    draw_goal=lambda row, view, key: Drawn(jnp.zeros(2), jnp.asarray(True)),
    start=lambda row, view, goal: (),
    step=_step_circle,
    sights=lambda row, state, view: {"circle_lidar": Sight(jnp.zeros((1, 2)))},
)
"""Run along the circle, counter-clockwise."""
