"""The tasks as rows: what stands where, how large it is and what it costs."""

import dataclasses

from algd_jax.envs.navigation.objects import Buttons, Gremlins, Hazards, Start
from algd_jax.envs.navigation.robots import POINT, Robot
from algd_jax.envs.navigation.tasks import BUTTON, Rules

__all__ = ["NAVIGATION_TASKS", "NavigationTask"]


@dataclasses.dataclass(frozen=True)
class NavigationTask:
    """One row: everything that tells one navigation task from another.

    Attributes:
      name: as in `algd_jax.envs.make`.
      robot: row of `robots`.
      rules: what is rewarded and when, one of `tasks`.
      timestep: physics time step [s]; ten of them make one environment step.
      episode_length: time limit [environment steps].
      cost_limit: allowed sum of costs [cost / episode].
      extent: placements lie in the square |x|, |y| <= extent [m].
      lidar_range: distance at which the lidar reads zero [m].
      start: see `Start`.
      buttons, hazards, gremlins: what stands in the arena.
    """

    name: str
    robot: Robot
    rules: Rules
    timestep: float
    episode_length: int
    cost_limit: float
    extent: float
    lidar_range: float
    start: Start
    buttons: Buttons
    hazards: Hazards
    gremlins: Gremlins | None = None


POINT_BUTTON_1 = NavigationTask(
    name="PointButton1",
    robot=POINT,
    rules=BUTTON,
    timestep=0.006,
    episode_length=400,
    cost_limit=10.0,
    extent=2.0,
    lidar_range=3.0,
    start=Start(position=(-0.7246654886, 0.9537498685), heading=2.2343807295, goal=0),
    buttons=Buttons(centres=((-1.3, -1.3), (1.3, -1.3), (-1.3, 1.3), (1.3, 1.3))),
    hazards=Hazards(
        centres=((0.0, -1.9), (0.0, 1.9), (0.0, 0.0), (1.9, 0.0), (-1.9, 0.0)), radius=0.17
    ),
    gremlins=Gremlins(
        centres=((0.0, -1.3), (0.0, 1.3), (1.3, 0.0), (-1.3, 0.0)),
        yaws=(5.908908, 4.808680, 4.703992, 5.678239),
        travel=0.3,
    ),
)

POINT_BUTTON_2 = NavigationTask(
    name="PointButton2",
    robot=POINT,
    rules=BUTTON,
    timestep=0.006,
    episode_length=400,
    cost_limit=10.0,
    extent=1.8,
    lidar_range=3.0,
    start=Start(position=(0.1366778110, 0.6025302258), heading=2.8660770652, goal=2),
    buttons=Buttons(centres=((-1.1, -1.3), (1.8, -1.5), (-1.4, 0.6), (1.0, 1.3))),
    hazards=Hazards(
        centres=(
            (0.1, -1.9),
            (-0.2, 1.7),
            (0.3, 0.1),
            (2.0, -0.1),
            (-1.8, 0.2),
            (-0.1, -1.2),
            (0.0, 1.3),
            (1.1, 0.0),
            (-1.0, 0.0),
            (0.2, -0.9),
            (-1.1, 1.1),
        ),
        radius=0.22,
    ),
)

NAVIGATION_TASKS = {task.name: task for task in (POINT_BUTTON_1, POINT_BUTTON_2)}
"""The paper's accelerated Safety-Gym: fixed layouts, 400 steps, cost limit 10."""
