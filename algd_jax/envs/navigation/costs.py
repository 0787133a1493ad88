"""What is charged for, by name; a step costs 1 if any charge of its task is true.

Safety-Gym looks at contacts only where an environment step ends, and so do these functions: the
shapes overlap there or they do not. Each maps a task, what there is to see and the progress before
the step to a boolean [].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from algd_jax.envs.navigation import touches
from algd_jax.envs.navigation.geometry import Rectangle, dot, unit_vector
from algd_jax.envs.navigation.task import NavigationTask, View

__all__ = ["CHARGES", "pressed"]

_RESTING = 1e-4  # m/s: a vase is at rest below.


def pressed(task: NavigationTask, view: View) -> jax.Array:
    """Which buttons [B] the robot touches."""
    assert task.buttons is not None
    radius = task.buttons.radius
    return touches.touched_spheres(view.parts, view.pose, view.layout.buttons, radius, radius)


def _in_hazard(task: NavigationTask, view: View, progress: Any) -> jax.Array:
    """Whether the robot's origin lies strictly inside a hazard."""
    assert task.hazards is not None
    offsets = view.layout.hazards - view.pose.origin
    return jnp.any(dot(offsets, offsets) < task.hazards.radius**2)


def _wrong_button(task: NavigationTask, view: View, progress: Any) -> jax.Array:
    """Whether a button that is not the goal is pressed while wrong ones are charged."""
    is_goal = jnp.arange(len(view.layout.buttons)) == progress.goal
    return jnp.any(pressed(task, view) & ~is_goal) & (progress.timer == 0)


def _pillar(task: NavigationTask, view: View, progress: Any) -> jax.Array:
    """Whether the robot touches a pillar."""
    assert task.pillars is not None
    radius = task.pillars.radius
    pillars = view.layout.pillars
    return jnp.any(touches.touched_spheres(view.parts, view.pose, pillars, radius, None))


def _gremlin(task: NavigationTask, view: View, progress: Any) -> jax.Array:
    """Whether the robot touches a gremlin."""
    return _touches(task, view, view.movables.position + view.movables.lean)


def _vase_contact(task: NavigationTask, view: View, progress: Any) -> jax.Array:
    """Whether the robot touches a vase."""
    return _touches(task, view, view.movables.position)


def _touches(task: NavigationTask, view: View, centres: jax.Array) -> jax.Array:
    assert task.movables is not None
    axes = unit_vector(view.movables.yaw)
    halves = jnp.full_like(centres, task.movables.half)
    boxes, upright = Rectangle(centres, axes, halves), task.robot.upright
    return jnp.any(touches.touched_boxes(view.parts, view.pose, boxes, view.span, upright))


def _vase_velocity(task: NavigationTask, view: View, progress: Any) -> jax.Array:
    """Whether a vase moves."""
    moving = view.movables.velocity[:, :2]
    return jnp.any(dot(moving, moving) >= _RESTING**2)


def _out_of_boundary(task: NavigationTask, view: View, progress: Any) -> jax.Array:
    """Whether the robot's origin is beyond a wall."""
    assert task.circle is not None
    return jnp.any(jnp.abs(view.pose.origin) > jnp.asarray(task.circle.walls))


CHARGES: dict[str, Callable[[NavigationTask, View, Any], jax.Array]] = {
    "cost_hazards": _in_hazard,
    "cost_buttons": _wrong_button,
    "cost_pillars": _pillar,
    "cost_gremlins": _gremlin,
    "cost_vases_contact": _vase_contact,
    "cost_vases_velocity": _vase_velocity,
    "cost_out_of_boundary": _out_of_boundary,
}
