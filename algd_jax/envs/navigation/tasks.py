"""The kinds of task: what is rewarded, when a goal is met, what a lidar sees.

A kind is a record of functions (`Rules`) of a row of `suites` and of the kind's own state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from algd_jax.envs.navigation import costs
from algd_jax.envs.navigation.geometry import Pose
from algd_jax.envs.navigation.objects import Buttons

if TYPE_CHECKING:  # The rows of `suites` hold `Rules`.
    from algd_jax.envs.navigation.suites import NavigationTask

__all__ = [
    "BUTTON",
    "ButtonState",
    "ButtonStep",
    "Rules",
    "Sight",
    "TaskStep",
    "button_step",
    "draw_goal",
    "goal_distance",
    "start_button_task",
]


class TaskStep(NamedTuple):
    """What one environment step means to a task.

    Attributes:
      state: the task's own state afterwards.
      reward: [].
      goal_met: [] boolean.
      costs: [] booleans by name, what the kind itself charges for.
    """

    state: Any
    reward: jax.Array
    goal_met: jax.Array
    costs: dict[str, jax.Array]


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
      draw_goal: (row, key) -> goal, the next one, drawn at random.
      start: (row, goal, origin [2]) -> the task's own state at the start of an episode.
      step: (row, state, next goal, pose) -> `TaskStep`.
      sights: (row, state) -> what the kind's own lidars look at, by component name.
      cost_names: names of the costs of a `TaskStep`.
    """

    draw_goal: Callable[[NavigationTask, jax.Array], jax.Array]
    start: Callable[[NavigationTask, jax.Array, jax.Array], Any]
    step: Callable[[NavigationTask, Any, jax.Array, Pose], TaskStep]
    sights: Callable[[NavigationTask, Any], dict[str, Sight]]
    cost_names: tuple[str, ...]


@struct.dataclass
class ButtonState:
    """Attributes:
    goal: [] int32 index of the goal button.
    timer: [] int32 steps for which the buttons stay invisible and wrong ones free of charge.
    last_distance: [] distance from the robot's origin to the goal at the last step [m].
    """

    goal: jax.Array
    timer: jax.Array
    last_distance: jax.Array


class ButtonStep(NamedTuple):
    """Attributes:
    state: the task afterwards.
    reward: [] approach to the goal [m], and 1 if it was pressed.
    goal_met: [] boolean.
    wrong_button: [] boolean, whether a button that is not the goal is pressed and charged.
    """

    state: ButtonState
    reward: jax.Array
    goal_met: jax.Array
    wrong_button: jax.Array


def draw_goal(row: Buttons, key: jax.Array) -> jax.Array:
    """Index [] of a goal button, each as likely, the one just pressed included."""
    return jax.random.randint(key, (), 0, len(row.centres))


def goal_distance(row: Buttons, goal: jax.Array, origin: jax.Array) -> jax.Array:
    """Distance [m] in the plane from the robot's origin [2] to button number `goal`."""
    return jnp.linalg.norm(jnp.asarray(row.centres)[goal] - origin)


def start_button_task(row: Buttons, goal: jax.Array, origin: jax.Array) -> ButtonState:
    """The task at the start of an episode."""
    goal = jnp.asarray(goal, jnp.int32)
    return ButtonState(goal, jnp.zeros((), jnp.int32), goal_distance(row, goal, origin))


def button_step(
    row: Buttons, state: ButtonState, next_goal: jax.Array, pressed: jax.Array, origin: jax.Array
) -> ButtonStep:
    """One environment step: reward and cost by the old goal and timer, then the new ones.

    Args:
      row: the buttons.
      state: the task before.
      next_goal: [] the goal from now on, should the present one be met.
      pressed: [B] which buttons the robot touches.
      origin: [2] where the robot is [m].
    """
    distance = goal_distance(row, state.goal, origin)
    goal_met = pressed[state.goal]
    reward = state.last_distance - distance + goal_met
    is_goal = jnp.arange(len(row.centres)) == state.goal
    wrong_button = jnp.any(pressed & ~is_goal) & (state.timer == 0)

    goal = jnp.where(goal_met, next_goal, state.goal)
    timer = jnp.where(goal_met, row.delay, jnp.maximum(0, state.timer - 1))
    last_distance = jnp.where(goal_met, goal_distance(row, goal, origin), distance)
    return ButtonStep(ButtonState(goal, timer, last_distance), reward, goal_met, wrong_button)


def _button_rules_step(
    row: NavigationTask, state: ButtonState, next_goal: jax.Array, pose: Pose
) -> TaskStep:
    pressed = costs.pressed(row.buttons, row.robot.footprint, pose.origin, pose.heading)
    outcome = button_step(row.buttons, state, next_goal, pressed, pose.origin)
    charged = {"cost_buttons": outcome.wrong_button}
    return TaskStep(outcome.state, outcome.reward, outcome.goal_met, charged)


def _button_sights(row: NavigationTask, state: ButtonState) -> dict[str, Sight]:
    centres = jnp.asarray(row.buttons.centres)
    # A press hides all buttons for a while, the goal excepted.
    return {
        "buttons_lidar": Sight(centres, visible=state.timer == 0),
        "goal_lidar": Sight(centres[state.goal][None]),
    }


BUTTON = Rules(
    draw_goal=lambda row, key: draw_goal(row.buttons, key),
    start=lambda row, goal, origin: start_button_task(row.buttons, goal, origin),
    step=_button_rules_step,
    sights=_button_sights,
    cost_names=("cost_buttons",),
)
"""Press the goal button, again and again; other buttons cost."""
