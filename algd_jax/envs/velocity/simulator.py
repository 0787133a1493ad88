"""What simulates a body: the contract between the tasks' rules and their physics."""

from typing import Any, NamedTuple, Protocol

import jax

__all__ = ["Moved", "Simulator"]


class Moved(NamedTuple):
    """What the rules of a task read after a control period.

    Attributes:
      state: what the simulator goes on from; has `qpos` [nq] and `qvel` [nv] in float32.
      velocity: [axes] change of place over the period, divided by its duration [m/s].
      forces: [F] of `VelocityTask.forces`, where forces were last evaluated.
    """

    state: Any
    velocity: jax.Array
    forces: jax.Array


class Simulator(Protocol):
    """Pure functions that may be jitted and vmapped.

    Attributes:
      forces: F, how many numbers `VelocityTask.forces` are.
    """

    forces: int

    def start(self, qpos: jax.Array, qvel: jax.Array) -> Moved:
        """The state of an episode's start, at coordinates [nq] and velocities [nv]."""

    def move(self, before: Any, action: jax.Array) -> Moved:
        """One control period under action [A], which the motors clip to their range."""
