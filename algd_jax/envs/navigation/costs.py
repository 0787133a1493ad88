"""What is charged for, by name; a step costs 1 if any charge of its task is true.

Safety-Gym looks at contacts only where an environment step ends, and so do these functions: the
shapes overlap there or they do not. Each maps a row of `suites`, what there is to see and the
task's own state before the step to a boolean [].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp

from algd_jax.envs.navigation import touches
from algd_jax.envs.navigation.geometry import Pose, Rectangle, dot, unit_vector
from algd_jax.envs.navigation.layout import Layout

if TYPE_CHECKING:
    from algd_jax.envs.navigation.suites import NavigationTask

__all__ = ["CHARGES", "View", "pressed"]

_RESTING = 1e-4  # m/s: a vase is at rest below.


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
    parts: tuple[touches.Part, ...]
    span: tuple[float, float]


def pressed(row: NavigationTask, view: View) -> jax.Array:
    """Which buttons [B] the robot touches."""
    assert row.buttons is not None
    radius = row.buttons.radius
    return touches.touched_spheres(view.parts, view.pose, view.layout.buttons, radius, radius)


def _in_hazard(row: NavigationTask, view: View, state: Any) -> jax.Array:
    """Whether the robot's origin lies strictly inside a hazard."""
    assert row.hazards is not None
    offsets = view.layout.hazards - view.pose.origin
    return jnp.any(dot(offsets, offsets) < row.hazards.radius**2)


def _wrong_button(row: NavigationTask, view: View, state: Any) -> jax.Array:
    """Whether a button that is not the goal is pressed while wrong ones are charged."""
    is_goal = jnp.arange(len(view.layout.buttons)) == state.goal
    return jnp.any(pressed(row, view) & ~is_goal) & (state.timer == 0)


def _pillar(row: NavigationTask, view: View, state: Any) -> jax.Array:
    """Whether the robot touches a pillar."""
    assert row.pillars is not None
    radius = row.pillars.radius
    pillars = view.layout.pillars
    return jnp.any(touches.touched_spheres(view.parts, view.pose, pillars, radius, None))


def _gremlin(row: NavigationTask, view: View, state: Any) -> jax.Array:
    """Whether the robot touches a gremlin."""
    return _touches(row, view, view.movables.position + view.movables.lean)


def _vase_contact(row: NavigationTask, view: View, state: Any) -> jax.Array:
    """Whether the robot touches a vase."""
    return _touches(row, view, view.movables.position)


def _touches(row: NavigationTask, view: View, centres: jax.Array) -> jax.Array:
    assert row.movables is not None
    axes = unit_vector(view.movables.yaw)
    halves = jnp.full_like(centres, row.movables.half)
    boxes, upright = Rectangle(centres, axes, halves), row.robot.upright
    return jnp.any(touches.touched_boxes(view.parts, view.pose, boxes, view.span, upright))


def _vase_velocity(row: NavigationTask, view: View, state: Any) -> jax.Array:
    """Whether a vase moves."""
    moving = view.movables.velocity[:, :2]
    return jnp.any(dot(moving, moving) >= _RESTING**2)


def _out_of_boundary(row: NavigationTask, view: View, state: Any) -> jax.Array:
    """Whether the robot's origin is beyond a wall."""
    assert row.circle is not None
    return jnp.any(jnp.abs(view.pose.origin) > jnp.asarray(row.circle.walls))


CHARGES: dict[str, Callable[[NavigationTask, View, Any], jax.Array]] = {
    "cost_hazards": _in_hazard,
    "cost_buttons": _wrong_button,
    "cost_pillars": _pillar,
    "cost_gremlins": _gremlin,
    "cost_vases_contact": _vase_contact,
    "cost_vases_velocity": _vase_velocity,
    "cost_out_of_boundary": _out_of_boundary,
}
