"""What a navigation task is: a row of the table in `suites`, and what its functions are given.

An episode's own memory of the task, such as goal and timer, is called its progress. Each kind of
task has a record of its own for it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from flax import struct

from algd_jax.envs.navigation.geometry import Pose
from algd_jax.envs.navigation.objects import (
    Area,
    Buttons,
    Circle,
    Goal,
    Gremlins,
    Hazards,
    Pillars,
    PushBox,
    Start,
    Vases,
)
from algd_jax.envs.navigation.robots import Robot
from algd_jax.envs.navigation.touches import Part

__all__ = ["Drawn", "Layout", "NavigationTask", "Rules", "Sight", "TaskStep", "View"]


@dataclasses.dataclass(frozen=True)
class NavigationTask:
    """One row: everything that tells one navigation task from another.

    Attributes:
      name: as in `algd_jax.envs.make`.
      robot: row of `robots`.
      rules: what is rewarded and when, one of `rules`.
      charged: what costs, keys of `costs.CHARGES`.
      timestep: physics time step [s]; ten of them make one environment step.
      episode_length: time limit [environment steps].
      cost_limit: allowed sum of costs [cost / episode].
      extent: placements lie in the square |x|, |y| <= extent [m].
      lidar_range: distance at which the lidar reads zero [m].
      alphabetical: order of the observation's components; otherwise sensors, then lidars.
      start: the one state of a fixed layout; None draws a layout at every reset.
      robot_place: fixed start position (x, y) [m], if a random start has one.
      robot_area: in which the robot starts; None is the whole extent.
      robot_keepout: radius kept free around its start [m].
      goal, circle, hazards, buttons, pillars, movables: what stands in the arena.
    """

    name: str
    robot: Robot
    rules: Rules
    charged: tuple[str, ...]
    timestep: float
    episode_length: int
    cost_limit: float
    extent: float
    lidar_range: float = 3.0
    alphabetical: bool = False
    start: Start | None = None
    robot_place: tuple[float, float] | None = None
    robot_area: Area | None = None
    robot_keepout: float = 0.4
    goal: Goal | None = None
    circle: Circle | None = None
    hazards: Hazards | None = None
    buttons: Buttons | None = None
    pillars: Pillars | None = None
    movables: Gremlins | Vases | PushBox | None = None


class Rules(NamedTuple):
    """A kind of task, as functions.

    Attributes:
      draw_goal: (task, view, key) -> `Drawn`, the next goal.
      start: (task, view, goal) -> the progress at the start of an episode.
      step: (task, progress, view, next goal) -> `TaskStep`; by the old goal, then on to the next.
      sights: (task, progress, view) -> what the kind's own lidars look at, by component name.
    """

    draw_goal: Callable[[NavigationTask, View, jax.Array], Drawn]
    start: Callable[[NavigationTask, View, jax.Array], Any]
    step: Callable[[NavigationTask, Any, View, jax.Array], TaskStep]
    sights: Callable[[NavigationTask, Any, View], dict[str, Sight]]


class View(NamedTuple):
    """What rules and costs look at.

    Attributes:
      pose: the robot's.
      velocity: [3] of its origin, in the world (x, y, yaw) [m/s, m/s, rad/s].
      layout: what stands still.
      movables: state of what does not; None where there is nothing.
      parts: what others can touch of the robot.
      span: heights between which the movables reach [m].
    """

    pose: Pose
    velocity: jax.Array
    layout: Layout
    movables: Any
    parts: tuple[Part, ...]
    span: tuple[float, float]


class Layout(struct.PyTreeNode):
    """What does not move in an episode: positions [K, 2] [m], K = 0 where there are none."""

    hazards: jax.Array
    buttons: jax.Array
    pillars: jax.Array


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
      progress: afterwards.
      reward: [].
      goal_met: [] boolean.
    """

    progress: Any
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
