"""The navigation environment: one class for all rows of `suites`."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from algd_jax.envs.base import EnvSpec, SafetyEnv, State
from algd_jax.envs.navigation import costs, gremlins, layout, scene, sensors
from algd_jax.envs.navigation.geometry import Pose, to_body, unit_vector
from algd_jax.envs.navigation.suites import NavigationTask
from algd_jax.envs.navigation.tasks import Sight
from algd_jax.errors import ConfigError

__all__ = ["NavigationEnv", "NavigationState"]

SUBSTEPS = 10
COST_NAMES = ("cost_hazards", "cost_gremlins")
"""What every kind of task charges for."""


@struct.dataclass
class NavigationState:
    """Everything that an episode carries from step to step.

    Attributes:
      qpos, qvel: [3] the robot's coordinates and velocities, see its row in `robots`.
      time: [] simulated time [s].
      gremlins: where the gremlins are; None in tasks without.
      task: the state of the task's rules, such as goal and timer.
      key: from which later goals are drawn.
    """

    qpos: jax.Array
    qvel: jax.Array
    time: jax.Array
    gremlins: gremlins.GremlinState | None
    task: Any
    key: jax.Array


class _Motion(NamedTuple):
    """What changes from substep to substep; fields as in `NavigationState`.

    qacc [3] is the robot's acceleration in the state before the last substep.
    """

    qpos: jax.Array
    qvel: jax.Array
    qacc: jax.Array
    time: jax.Array
    gremlins: gremlins.GremlinState | None


class NavigationEnv(SafetyEnv):
    """A robot in the plane that earns reward by reaching goals and pays for what it touches.

    Args:
      task: a row of `suites`.
      random_start: draw robot pose and first goal at every reset, instead of the row's start.
    """

    def __init__(self, task: NavigationTask, random_start: bool = False):
        if not isinstance(random_start, bool):
            raise ConfigError(f"random_start: got {random_start!r}, allowed is True or False")
        self._task = task
        self._random_start = random_start
        self._scene = scene.build_scene(task.robot, task.buttons.radius, task.timestep)
        action_size = self._scene.model.nu
        observation = jax.eval_shape(self.reset, jax.random.key(0)).obs
        self.spec = EnvSpec(
            name=task.name,
            observation_size=observation.shape[0],
            action_size=action_size,
            action_low=(-1.0,) * action_size,
            action_high=(1.0,) * action_size,
            episode_length=task.episode_length,
            cost_limit=task.cost_limit,
            control_period=SUBSTEPS * task.timestep,
        )

    def reset(self, rng: jax.Array) -> State:
        """Starts an episode at rest."""
        layout_key, key = jax.random.split(rng)
        placement = self._place(layout_key)
        task = self._task
        qpos = task.robot.rest(placement.pose)
        still = jnp.zeros_like(qpos)
        state = NavigationState(
            qpos=qpos,
            qvel=still,
            time=jnp.zeros(()),
            gremlins=gremlins.initial_gremlins(task.gremlins) if task.gremlins else None,
            task=task.rules.start(task, placement.goal, placement.pose.origin),
            key=key,
        )
        nothing = jnp.asarray(False)
        return State(
            pipeline_state=state,
            obs=self._observe(state, acceleration=still),
            reward=jnp.zeros(()),
            done=jnp.zeros(()),
            metrics=_metrics(
                dict.fromkeys((*COST_NAMES, *task.rules.cost_names), nothing), nothing
            ),
            info={"placement_failed": placement.failed.astype(jnp.float32)},
        )

    def step(self, state: State, action: jax.Array) -> State:
        """One control period: ten physics steps, then reward and costs, then the new goal."""
        self.check_action(action)
        task, before = self._task, state.pipeline_state
        motion = self._simulate(before, jnp.clip(action, -1.0, 1.0))
        pose = task.robot.pose(motion.qpos)

        key, goal_key = jax.random.split(before.key)
        next_goal = task.rules.draw_goal(task, goal_key)
        outcome = task.rules.step(task, before.task, next_goal, pose)
        after = NavigationState(
            qpos=motion.qpos,
            qvel=motion.qvel,
            time=motion.time,
            gremlins=motion.gremlins,
            task=outcome.state,
            key=key,
        )
        charges = {**outcome.costs, **self._charges(after, pose)}
        return state.replace(
            pipeline_state=after,
            obs=self._observe(after, motion.qacc),
            reward=outcome.reward,
            done=jnp.zeros(()),
            metrics={**state.metrics, **_metrics(charges, outcome.goal_met)},
        )

    def _place(self, key: jax.Array) -> layout.Placement:
        if self._random_start:
            return layout.random_start(self._task, key)
        return layout.constant_start(self._task)

    def _simulate(self, state: NavigationState, action: jax.Array) -> _Motion:
        """Ten physics steps, and an eleventh of which only the accelerations are kept.

        The sensors must read the state that the step ends in. To take their accelerations from one
        more round of the same loop, and not from a forward pass of its own, halves compilation.
        """
        centres = jnp.asarray(self._task.buttons.centres)
        origin = self._task.robot.pose(state.qpos).origin
        nearest = jnp.argmin(jnp.sum((centres - origin) ** 2, axis=1))

        def substep(motion: _Motion, moves: jax.Array) -> tuple[_Motion, None]:
            after = self._substep(motion, action, centres[nearest])
            kept = jax.tree.map(lambda new, old: jnp.where(moves, new, old), after, motion)
            return kept._replace(qacc=after.qacc), None

        start = _Motion(
            qpos=state.qpos,
            qvel=state.qvel,
            qacc=jnp.zeros_like(state.qvel),
            time=state.time,
            gremlins=state.gremlins,
        )
        moves = jnp.arange(SUBSTEPS + 1) < SUBSTEPS
        return jax.lax.scan(substep, start, moves)[0]

    def _substep(self, motion: _Motion, action: jax.Array, obstacle: jax.Array) -> _Motion:
        """One physics step: the robot alone, then what a gremlin's push adds."""
        qpos, qvel, swarm = motion.qpos, motion.qvel, motion.gremlins
        data = self._scene.forward(qpos, qvel, action, obstacle)
        qacc, force = data.qacc, jnp.zeros_like(qvel)
        row, timestep = self._task.gremlins, self._task.timestep
        if row is not None and swarm is not None:
            origin, heading = self._task.robot.pose(qpos)
            robot = gremlins.PlanarMotion(origin, unit_vector(heading), qvel, qacc)
            swarm, push = gremlins.gremlin_step(
                row, self._scene.body, timestep, swarm, motion.time, robot
            )
            qacc, force = push.acceleration, push.force
        data = self._scene.integrate(data, force)
        time = motion.time + timestep
        return _Motion(data.qpos, data.qvel, qacc, time, swarm)

    def _charges(self, state: NavigationState, pose: Pose) -> dict[str, jax.Array]:
        """What every kind of task charges for: [] booleans by name."""
        row, footprint, swarm = self._task.gremlins, self._task.robot.footprint, state.gremlins
        touched = jnp.asarray(False)
        if row is not None and swarm is not None:
            touched = gremlins.touched(row, swarm, footprint, pose.origin, pose.heading)
        in_hazard = costs.in_hazard(self._task.hazards, pose.origin)
        return {"cost_hazards": in_hazard, "cost_gremlins": touched}

    def _observe(self, state: NavigationState, acceleration: jax.Array) -> jax.Array:
        """The observation [O]: site sensors and one lidar per kind of object."""
        task = self._task
        sights = task.rules.sights(task, state.task)
        sights["hazards_lidar"] = Sight(jnp.asarray(task.hazards.centres))
        if state.gremlins is not None:
            sights["gremlins_lidar"] = Sight(state.gremlins.position)
        readings = task.robot.read(state.qpos, state.qvel, acceleration)
        return sensors.flatten({**readings, **self._lidars(sights, task.robot.pose(state.qpos))})

    def _lidars(self, sights: dict[str, Sight], pose: Pose) -> dict[str, jax.Array]:
        """Lidar [16] of every sight, computed for all objects in one go."""
        everything = jnp.concatenate([sight.positions for sight in sights.values()]) - pose.origin
        readings = sensors.pseudo_lidar(
            to_body(everything, unit_vector(pose.heading)), self._task.lidar_range
        )
        ends = np.cumsum([len(sight.positions) for sight in sights.values()])
        parts = jnp.split(readings, ends[:-1])
        return {
            name: jnp.where(sight.visible, jnp.max(part, axis=0), 0.0)
            for (name, sight), part in zip(sights.items(), parts, strict=True)
        }


def _metrics(costs: dict[str, jax.Array], goal_met: jax.Array) -> dict[str, jax.Array]:
    """Metrics of a step as float32 zeros and ones; `cost` is 1 if any part of it is."""
    total = jnp.any(jnp.stack(list(costs.values())))
    flags = {"cost": total, **costs, "goal_met": goal_met}
    return {name: flag.astype(jnp.float32) for name, flag in flags.items()}
