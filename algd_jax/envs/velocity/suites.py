"""Bodies and tasks as rows of two tables.

The community's tasks are those of safety-gymnasium 1.0 over Gymnasium's `v4` bodies; the paper's
are gym's `v3` bodies with a price on speed.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

__all__ = ["BODIES", "VELOCITY_TASKS", "Body", "VelocityTask"]

Rule = Callable[[jax.Array, jax.Array], jax.Array]


@dataclasses.dataclass(frozen=True)
class Body:
    """A body and the rules of its locomotion task.

    Attributes:
      asset: name of Gymnasium's MuJoCo file.
      frame_skip: physics steps per environment step.
      axes: along how many horizontal axes it moves, 1 or 2; the observation leaves out as many
        leading coordinates.
      control_cost: what the squared action costs.
      noise: half-width of the uniform noise on the initial coordinates, and on the velocities.
      velocity_noise: standard deviation of normal noise on the velocities instead, if any.
      forward_reward: for each metre per second forward.
      alive_bonus: of every step, the terminating one included.
      healthy: (qpos, qvel) -> [] boolean, False terminates; None never does.
      velocity_clip: observed velocities are clipped to plus or minus this.
      place: what moves with the velocity, as the name of a field of MuJoCo's data and the index in
        it, where forces were last evaluated; None takes the first `axes` coordinates.
      contact_points: with MJX at most so many of the deepest contacts act, of each friction type;
        more than random driving of the healthy body brings about, see `docs/velocity.md`.
    """

    asset: str
    frame_skip: int
    axes: int
    control_cost: float
    noise: float
    contact_points: int
    velocity_noise: float | None = None
    forward_reward: float = 1.0
    alive_bonus: float = 0.0
    healthy: Rule | None = None
    velocity_clip: float = float("inf")
    place: tuple[str, int] | None = None


@dataclasses.dataclass(frozen=True)
class VelocityTask:
    """A task: a body, and what its speed costs.

    Attributes:
      name: id of the task.
      body: row of the body.
      cost_limit: allowed sum of costs, discounted by `cost_discount`.
      threshold: velocity [m/s] above which a step costs 1; None charges the speed itself.
      heading_free: whether speed in any direction counts, not only forward velocity.
      forces: fields of MuJoCo's data that the observation ends with, [F] together, where forces
        were last evaluated.
      cost_discount: per step, of the sum that `cost_limit` bounds.
      timeout_terminal: whether the original counts running out of time as terminal.
      episode_length: [environment steps].
    """

    name: str
    body: Body
    cost_limit: float
    threshold: float | None = None
    heading_free: bool = True
    forces: tuple[str, ...] = ()
    cost_discount: float = 1.0
    timeout_terminal: bool = False
    episode_length: int = 1000


def _hopper_healthy(qpos: jax.Array, qvel: jax.Array) -> jax.Array:
    moderate = jnp.all(jnp.abs(jnp.concatenate([qpos, qvel])[2:]) < 100)
    return moderate & (qpos[1] > 0.7) & (jnp.abs(qpos[2]) < 0.2)


def _walker_healthy(qpos: jax.Array, qvel: jax.Array) -> jax.Array:
    return (qpos[1] > 0.8) & (qpos[1] < 2.0) & (jnp.abs(qpos[2]) < 1.0)


def _ant_healthy(qpos: jax.Array, qvel: jax.Array) -> jax.Array:
    finite = jnp.all(jnp.isfinite(jnp.concatenate([qpos, qvel])))
    return finite & (qpos[2] >= 0.2) & (qpos[2] <= 1.0)


def _humanoid_healthy(qpos: jax.Array, qvel: jax.Array) -> jax.Array:
    return (qpos[2] > 1.0) & (qpos[2] < 2.0)


_HUMANOID_FORCES = ("cinert", "cvel", "qfrc_actuator", "cfrc_ext")
"""Inertias, velocities, actuator forces and contact forces of the parts, 331 numbers."""

BODIES = {
    "Hopper": Body(
        asset="hopper",
        frame_skip=4,
        axes=1,
        control_cost=1e-3,
        noise=5e-3,
        alive_bonus=1.0,
        healthy=_hopper_healthy,
        velocity_clip=10.0,
        contact_points=4,
    ),
    "HalfCheetah": Body(
        asset="half_cheetah",
        frame_skip=5,
        axes=1,
        control_cost=0.1,
        noise=0.1,
        velocity_noise=0.1,
        contact_points=8,
    ),
    "Ant": Body(
        asset="ant",
        frame_skip=5,
        axes=2,
        control_cost=0.5,
        noise=0.1,
        velocity_noise=0.1,
        alive_bonus=1.0,
        healthy=_ant_healthy,
        place=("xpos", 1),
        contact_points=8,
    ),
    "Humanoid": Body(
        asset="humanoid",
        frame_skip=5,
        axes=2,
        control_cost=0.1,
        noise=1e-2,
        forward_reward=1.25,
        alive_bonus=5.0,
        healthy=_humanoid_healthy,
        place=("subtree_com", 0),
        contact_points=10,
    ),
    "Walker2d": Body(
        asset="walker2d",
        frame_skip=4,
        axes=1,
        control_cost=1e-3,
        noise=5e-3,
        alive_bonus=1.0,
        healthy=_walker_healthy,
        velocity_clip=10.0,
        contact_points=8,
    ),
    "Swimmer": Body(
        asset="swimmer",
        frame_skip=4,
        axes=2,
        control_cost=1e-4,
        noise=0.1,
        contact_points=1,
    ),
}
"""By name; the numbers are Gymnasium's."""


def _community(
    name: str, threshold: float, heading_free: bool = False, forces: tuple[str, ...] = ()
) -> VelocityTask:
    return VelocityTask(
        name=f"Safety{name}Velocity-v1",
        body=BODIES[name],
        cost_limit=25.0,
        threshold=threshold,
        heading_free=heading_free,
        forces=forces,
    )


def _paper(name: str, cost_limit: float) -> VelocityTask:
    return VelocityTask(
        name=name,
        body=BODIES[name],
        cost_limit=cost_limit,
        cost_discount=0.99,
        timeout_terminal=True,
    )


_ROWS = (
    _community("Hopper", 0.7402),
    _community("HalfCheetah", 3.2096),
    _community("Ant", 2.6222, heading_free=True),
    _community("Humanoid", 1.4149, heading_free=True, forces=_HUMANOID_FORCES),
    _community("Walker2d", 2.3415),
    _community("Swimmer", 0.2282),
    _paper("Hopper", 82.748),
    _paper("HalfCheetah", 151.989),
    _paper("Ant", 103.115),
    _paper("Humanoid", 20.140),
)

VELOCITY_TASKS = {task.name: task for task in _ROWS}
"""All velocity tasks by name."""
