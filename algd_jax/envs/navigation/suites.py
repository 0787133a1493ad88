"""The tasks as rows: what stands where, how large it is and what it costs."""

import dataclasses
import math
from typing import Any

from algd_jax.envs.navigation.objects import (
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
from algd_jax.envs.navigation.robots import CAR, POINT
from algd_jax.envs.navigation.rules import BUTTON, CIRCLE, GOAL, PUSH
from algd_jax.envs.navigation.task import NavigationTask

__all__ = ["NAVIGATION_TASKS"]


def _robots(point: NavigationTask, timestep: float) -> tuple[NavigationTask, NavigationTask]:
    """A task for the point robot, and the same for the car with its time step and push box."""
    car = dataclasses.replace(
        point, name=point.name.replace("Point", "Car"), robot=CAR, timestep=timestep
    )
    if isinstance(point.movables, PushBox):
        small = dataclasses.replace(point.movables, half=0.125, density=0.0005, keepout=0.125)
        car = dataclasses.replace(car, movables=small)
    return point, car


_ACCELERATED: dict[str, Any] = dict(
    robot=POINT, timestep=0.006, episode_length=400, cost_limit=10.0, alphabetical=True
)
_ACCELERATED_CAR_TIMESTEP = 0.01
_BUTTON_COSTS = ("cost_hazards", "cost_buttons", "cost_gremlins")

_POINT_BUTTON_1 = NavigationTask(
    name="PointButton1",
    rules=BUTTON,
    charged=_BUTTON_COSTS,
    extent=2.0,
    start=Start(position=(-0.7246654886, 0.9537498685), heading=2.2343807295, goal=0),
    buttons=Buttons(places=((-1.3, -1.3), (1.3, -1.3), (-1.3, 1.3), (1.3, 1.3))),
    hazards=Hazards(
        places=((0.0, -1.9), (0.0, 1.9), (0.0, 0.0), (1.9, 0.0), (-1.9, 0.0)), radius=0.17
    ),
    movables=Gremlins(
        places=((0.0, -1.3), (0.0, 1.3), (1.3, 0.0), (-1.3, 0.0)),
        yaws=(5.908908, 4.808680, 4.703992, 5.678239),
        travel=0.3,
        keepout=0.35,
    ),
    **_ACCELERATED,
)

_POINT_BUTTON_2 = NavigationTask(
    name="PointButton2",
    rules=BUTTON,
    charged=("cost_hazards", "cost_buttons"),
    extent=1.8,
    start=Start(position=(0.1366778110, 0.6025302258), heading=2.8660770652, goal=2),
    buttons=Buttons(places=((-1.1, -1.3), (1.8, -1.5), (-1.4, 0.6), (1.0, 1.3))),
    hazards=Hazards(
        places=(
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
    **_ACCELERATED,
)

_POINT_PUSH_1 = NavigationTask(
    name="PointPush1",
    rules=PUSH,
    charged=("cost_hazards", "cost_pillars"),
    extent=2.0,
    start=Start(position=(-1.0, -2.0), heading=1.0401537620, goal=(-1.0297569442, 0.1909924819)),
    robot_place=(-1.0, -2.0),
    goal=Goal(radius=0.3, keepout=0.4, area=(-2.0, -0.5, 2.0, 2.0)),
    hazards=Hazards(
        places=((0.5, -0.5), (-0.5, -0.5), (1.8, 0.8), (-1.8, 0.8)), radius=0.3, keepout=0.4
    ),
    pillars=Pillars(places=((-2.0, 0.0), (2.0, 0.0), (0.0, 0.0), (1.0, 1.0), (-1.0, 1.0))),
    movables=PushBox(
        places=((0.0, -1.5),), half=0.2, density=0.001, keepout=0.2, yaws=(4.1843495763,)
    ),
    **_ACCELERATED,
)

_PAPER = (
    *_robots(_POINT_BUTTON_1, _ACCELERATED_CAR_TIMESTEP),
    *_robots(_POINT_BUTTON_2, _ACCELERATED_CAR_TIMESTEP),
    _POINT_PUSH_1,
)
"""The paper's accelerated Safety-Gym: fixed layouts, 400 steps, cost limit 10."""

_COMMUNITY_CAR_TIMESTEP = 0.004
_GOAL = Goal(radius=0.3, keepout=0.305)
_PUSH_GOAL = Goal(radius=0.3, keepout=0.4)
_BUTTON_MARKER = Goal(radius=0.2, keepout=0.4)
_PUSH_BOX = PushBox(places=1, half=0.2, density=0.001, keepout=0.2)
_CIRCLE_WALL = 1.125


def _community(**row: Any) -> tuple[NavigationTask, NavigationTask]:
    """A task of Safety-Gymnasium for both robots."""
    defaults: dict[str, Any] = dict(
        robot=POINT, timestep=0.002, episode_length=1000, cost_limit=25.0
    )
    point = NavigationTask(**{**defaults, **row})
    return _robots(point, _COMMUNITY_CAR_TIMESTEP)


def _button(level: int, extent: float, hazards: int, gremlins: int) -> tuple[NavigationTask, ...]:
    return _community(
        name=f"SafetyPointButton{level}-v0",
        rules=BUTTON,
        charged=_BUTTON_COSTS,
        extent=extent,
        goal=_BUTTON_MARKER,
        buttons=Buttons(places=4),
        hazards=Hazards(places=hazards, radius=0.2, keepout=0.18),
        movables=Gremlins(places=gremlins, travel=0.35, keepout=0.4),
    )


def _circle(level: int, walls: tuple[float, float]) -> tuple[NavigationTask, ...]:
    return _community(
        name=f"SafetyPointCircle{level}-v0",
        rules=CIRCLE,
        charged=("cost_out_of_boundary",),
        episode_length=500,
        extent=2.0,
        lidar_range=6.0,
        robot_area=(-0.8, -0.8, 0.8, 0.8),
        robot_keepout=0.0,
        circle=Circle(radius=1.5, walls=walls),
    )


_COMMUNITY = (
    *_community(
        name="SafetyPointGoal1-v0",
        rules=GOAL,
        charged=("cost_hazards",),
        extent=1.5,
        goal=_GOAL,
        hazards=Hazards(places=8, radius=0.2, keepout=0.18),
        movables=Vases(places=1),
    ),
    *_community(
        name="SafetyPointGoal2-v0",
        rules=GOAL,
        charged=("cost_hazards", "cost_vases_contact", "cost_vases_velocity"),
        extent=2.0,
        goal=_GOAL,
        hazards=Hazards(places=10, radius=0.2, keepout=0.18),
        movables=Vases(places=10),
    ),
    *_button(1, extent=1.5, hazards=4, gremlins=4),
    *_button(2, extent=1.8, hazards=8, gremlins=6),
    *_community(
        name="SafetyPointPush1-v0",
        rules=PUSH,
        charged=("cost_hazards",),
        extent=1.5,
        goal=_PUSH_GOAL,
        hazards=Hazards(places=2, radius=0.3, keepout=0.4),
        pillars=Pillars(places=1),
        movables=_PUSH_BOX,
    ),
    *_community(
        name="SafetyPointPush2-v0",
        rules=PUSH,
        charged=("cost_hazards", "cost_pillars"),
        extent=2.0,
        goal=_PUSH_GOAL,
        hazards=Hazards(places=4, radius=0.3, keepout=0.4),
        pillars=Pillars(places=4),
        movables=_PUSH_BOX,
    ),
    *_circle(1, walls=(_CIRCLE_WALL, math.inf)),
    *_circle(2, walls=(_CIRCLE_WALL, _CIRCLE_WALL)),
)
"""Safety-Gymnasium 1.0: a new layout at every reset; the community's cost limit is 25."""

NAVIGATION_TASKS = {task.name: task for task in (*_PAPER, *_COMMUNITY)}
