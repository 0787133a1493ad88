"""The Button task: press the goal button, again and again."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from algd_jax.envs.navigation.suites import Buttons

__all__ = [
    "ButtonState",
    "ButtonStep",
    "button_step",
    "draw_goal",
    "goal_distance",
    "start_button_task",
]


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
