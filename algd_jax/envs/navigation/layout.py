"""Where an episode starts."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from algd_jax.envs.navigation.geometry import Pose
from algd_jax.envs.navigation.suites import NavigationTask

__all__ = ["Placement", "constant_start", "random_start"]

_TRIES = 128


class Placement(NamedTuple):
    """Attributes:
    pose: the robot's.
    goal: the first goal.
    failed: [] boolean; every try was rejected and the constant start stands in.
    """

    pose: Pose
    goal: jax.Array
    failed: jax.Array


def constant_start(task: NavigationTask) -> Placement:
    """The one start of the accelerated Safety-Gym.

    Its layout generator is seeded with zero at every reset, so every episode starts alike.
    """
    start = task.start
    return Placement(
        pose=Pose(
            origin=jnp.asarray(start.position, jnp.float32),
            heading=jnp.asarray(start.heading, jnp.float32),
        ),
        goal=jnp.asarray(start.goal, jnp.int32),
        failed=jnp.asarray(False),
    )


def random_start(task: NavigationTask, key: jax.Array) -> Placement:
    """A start drawn uniformly, clear of everything by the sum of the two keepouts.

    All tries are drawn at once and the first good one is taken, so the time is fixed.
    """
    position_key, heading_key, goal_key = jax.random.split(key, 3)
    reach = task.extent - task.robot.keepout
    tries = jax.random.uniform(position_key, (_TRIES, 2), minval=-reach, maxval=reach)
    centres, radii = _keepouts(task)
    distances = jnp.linalg.norm(tries[:, None] - centres, axis=-1)
    accepted = jnp.all(distances >= radii + task.robot.keepout, axis=1)
    found = jnp.any(accepted)
    drawn = Placement(
        pose=Pose(
            origin=tries[jnp.argmax(accepted)],
            heading=jax.random.uniform(heading_key, maxval=2 * jnp.pi),
        ),
        goal=task.rules.draw_goal(task, goal_key),
        failed=jnp.asarray(False),
    )
    fallback = constant_start(task)._replace(failed=jnp.asarray(True))
    return jax.tree.map(lambda new, old: jnp.where(found, new, old), drawn, fallback)


def _keepouts(task: NavigationTask) -> tuple[np.ndarray, np.ndarray]:
    """Centres [K, 2] and keepout radii [K] of everything that stands in the arena."""
    kinds = [kind for kind in (task.buttons, task.hazards, task.gremlins) if kind is not None]
    centres = [np.asarray(kind.centres) for kind in kinds]
    radii = [np.full(len(kind.centres), kind.keepout) for kind in kinds]
    return np.concatenate(centres), np.concatenate(radii)
