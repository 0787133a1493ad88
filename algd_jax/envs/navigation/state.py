"""What a navigation episode carries from step to step."""

from typing import Any

import jax
from flax import struct

from algd_jax.envs.navigation.task import Layout

__all__ = ["NavigationState"]


class NavigationState(struct.PyTreeNode):
    """Everything that an episode carries from step to step.

    Attributes:
      qpos, qvel: the robot's coordinates and velocities, see its row in `robots`.
      time: [] simulated time [s].
      layout: what stands still.
      movables: where the movable things are; None in tasks without.
      task: the progress in the task, such as goal and timer; checkpoints name its arrays so.
      key: from which later goals are drawn.
    """

    qpos: jax.Array
    qvel: jax.Array
    time: jax.Array
    layout: Layout
    movables: Any
    task: Any
    key: jax.Array
