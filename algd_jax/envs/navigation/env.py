"""The navigation environment: one class for all rows of `suites`."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from algd_jax.envs.base import EnvSpec, SafetyEnv, State
from algd_jax.envs.navigation import costs, gremlins, layout, scene, sensors, tasks
from algd_jax.envs.navigation.geometry import to_body, unit_vector
from algd_jax.envs.navigation.suites import NavigationTask
from algd_jax.errors import ConfigError

__all__ = ["NavigationEnv", "NavigationState"]

SUBSTEPS = 10


@struct.dataclass
class NavigationState:
    """Everything that an episode carries from step to step.

    Attributes:
      qpos, qvel: [3] the robot's coordinates and velocities, see its row in `robots`.
      time: [] simulated time [s].
      gremlins: where the gremlins are; None in tasks without.
      task: goal, timer and last distance.
      key: from which later goals are drawn.
    """

    qpos: jax.Array
    qvel: jax.Array
    time: jax.Array
    gremlins: gremlins.GremlinState | None
    task: tasks.ButtonState
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
        qpos = jnp.append(placement.position, placement.heading)
        still = jnp.zeros_like(qpos)
        state = NavigationState(
            qpos=qpos,
            qvel=still,
            time=jnp.zeros(()),
            gremlins=gremlins.initial_gremlins(task.gremlins) if task.gremlins else None,
            task=tasks.start_button_task(task.buttons, placement.goal, placement.position),
            key=key,
        )
        return State(
            pipeline_state=state,
            obs=self._observe(state, acceleration=still),
            reward=jnp.zeros(()),
            done=jnp.zeros(()),
            metrics=_metrics(hazards=False, buttons=False, gremlins=False, goal_met=False),
            info={"placement_failed": placement.failed.astype(jnp.float32)},
        )

    def step(self, state: State, action: jax.Array) -> State:
        """One control period: ten physics steps, then reward and costs, then the new goal."""
        self.check_action(action)
        task, before = self._task, state.pipeline_state
        motion = self._simulate(before, jnp.clip(action, -1.0, 1.0))
        origin, heading = motion.qpos[:2], motion.qpos[2]

        key, goal_key = jax.random.split(before.key)
        next_goal = tasks.draw_goal(task.buttons, goal_key)
        pressed = costs.pressed(task.buttons, task.robot.footprint, origin, heading)
        outcome = tasks.button_step(task.buttons, before.task, next_goal, pressed, origin)
        after = NavigationState(
            qpos=motion.qpos,
            qvel=motion.qvel,
            time=motion.time,
            gremlins=motion.gremlins,
            task=outcome.state,
            key=key,
        )
        metrics = _metrics(
            hazards=costs.in_hazard(task.hazards, origin),
            buttons=outcome.wrong_button,
            gremlins=self._touches_gremlin(after),
            goal_met=outcome.goal_met,
        )
        return state.replace(
            pipeline_state=after,
            obs=self._observe(after, motion.qacc),
            reward=outcome.reward,
            done=jnp.zeros(()),
            metrics={**state.metrics, **metrics},
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
        nearest = jnp.argmin(jnp.sum((centres - state.qpos[:2]) ** 2, axis=1))

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
            robot = gremlins.PlanarMotion(qpos[:2], unit_vector(qpos[2]), qvel, qacc)
            swarm, push = gremlins.gremlin_step(
                row, self._scene.body, timestep, swarm, motion.time, robot
            )
            qacc, force = push.acceleration, push.force
        data = self._scene.integrate(data, force)
        time = motion.time + timestep
        return _Motion(data.qpos, data.qvel, qacc, time, swarm)

    def _touches_gremlin(self, state: NavigationState) -> jax.Array:
        row, footprint = self._task.gremlins, self._task.robot.footprint
        if row is None or state.gremlins is None:
            return jnp.asarray(False)
        return gremlins.touched(row, state.gremlins, footprint, state.qpos[:2], state.qpos[2])

    def _observe(self, state: NavigationState, acceleration: jax.Array) -> jax.Array:
        """The observation [O]: site sensors and one lidar per kind of object."""
        task = self._task
        readings = task.robot.read(state.qpos, state.qvel, acceleration)
        buttons = jnp.asarray(task.buttons.centres)
        targets = {
            "buttons_lidar": buttons,
            "goal_lidar": buttons[state.task.goal][None],
            "hazards_lidar": jnp.asarray(task.hazards.centres),
        }
        if state.gremlins is not None:
            targets["gremlins_lidar"] = state.gremlins.position
        lidars = self._lidars(targets, state.qpos[:2], state.qpos[2])
        # A press hides all buttons for a while, the goal excepted.
        visible = state.task.timer == 0
        lidars["buttons_lidar"] = jnp.where(visible, lidars["buttons_lidar"], 0.0)
        return sensors.flatten({**readings, **lidars})

    def _lidars(
        self, targets: dict[str, jax.Array], origin: jax.Array, heading: jax.Array
    ) -> dict[str, jax.Array]:
        """Lidar [16] of every kind, computed for all objects in one go."""
        everything = jnp.concatenate(list(targets.values())) - origin
        readings = sensors.pseudo_lidar(
            to_body(everything, unit_vector(heading)), self._task.lidar_range
        )
        ends = np.cumsum([len(positions) for positions in targets.values()])
        parts = jnp.split(readings, ends[:-1])
        return {name: jnp.max(part, axis=0) for name, part in zip(targets, parts, strict=True)}


def _metrics(
    hazards: jax.Array | bool,
    buttons: jax.Array | bool,
    gremlins: jax.Array | bool,
    goal_met: jax.Array | bool,
) -> dict[str, jax.Array]:
    """Metrics of a step as float32 zeros and ones; `cost` is 1 if any part of it is."""
    flags = {
        "cost": jnp.logical_or(jnp.logical_or(hazards, buttons), gremlins),
        "cost_hazards": hazards,
        "cost_buttons": buttons,
        "cost_gremlins": gremlins,
        "goal_met": goal_met,
    }
    return {name: jnp.asarray(flag, jnp.float32) for name, flag in flags.items()}
