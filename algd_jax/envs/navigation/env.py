"""The navigation environment: one class for all rows of `suites`."""

from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from algd_jax.envs.base import EnvSpec, SafetyEnv, State, in_full_precision
from algd_jax.envs.navigation import drawing, layout, sensors
from algd_jax.envs.navigation.costs import CHARGES
from algd_jax.envs.navigation.movables import movable
from algd_jax.envs.navigation.scene import Motion, Obstacles, build_scene
from algd_jax.envs.navigation.state import NavigationState
from algd_jax.envs.navigation.task import Layout, NavigationTask, Sight, View
from algd_jax.errors import ConfigError

__all__ = ["NavigationEnv"]

SUBSTEPS = 10


class NavigationEnv(SafetyEnv):
    """A robot in the plane that earns reward by its task and pays for what it touches.

    Args:
      task: a row of `suites`.
      random_start: for rows with one constant start: draw what they leave free at every reset
        instead, the robot's heading, its place unless the row names one, and the first goal. Rows
        without a start draw everything anyway.

    Raises:
      ConfigError: for a wrong option, or if the objects of the row do not fit into its extent.
    """

    def __init__(self, task: NavigationTask, random_start: bool = False):
        if not isinstance(random_start, bool):
            raise ConfigError(f"random_start: got {random_start!r}, allowed is True or False")
        layout.check_room(task)
        self._task = task
        self._random_start = random_start or task.start is None
        self._scene = build_scene(
            robot=task.robot,
            timestep=task.timestep,
            obstacles=_obstacles(task),
            movable=movable(task.movables, task.timestep) if task.movables else None,
        )
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
            cost_names=task.charged,
        )

    @in_full_precision
    def reset(self, rng: jax.Array) -> State:
        """Starts an episode at rest."""
        layout_key, goal_key, key = jax.random.split(rng, 3)
        task = self._task
        placement = self._place(layout_key)
        qpos = task.robot.rest(placement.origin, placement.heading)
        still = jnp.zeros(self._scene.model.nv)
        movables = None
        if self._scene.movable is not None:
            movables = self._scene.movable.start(placement.movables, placement.yaws)
        view = self._view(qpos, still, placement.layout, movables)
        goal, found = task.rules.draw_goal(task, view, goal_key)
        if not self._random_start and task.start is not None:
            goal = jnp.asarray(task.start.goal, goal.dtype)
        elif task.goal is not None and goal.ndim == 1:  # A place, not a button's number.
            goal = jnp.where(found, goal, placement.goal[0])
        state = NavigationState(
            qpos=qpos,
            qvel=still,
            time=jnp.zeros(()),
            layout=placement.layout,
            movables=movables,
            task=task.rules.start(task, view, goal),
            key=key,
        )
        nothing = jnp.asarray(False)
        return State(
            pipeline_state=state,
            obs=self._observe(state, view, acceleration=still),
            reward=jnp.zeros(()),
            done=jnp.zeros(()),
            metrics=_metrics(dict.fromkeys(task.charged, nothing), nothing),
            info={"placement_failed": placement.failed.astype(jnp.float32)},
        )

    @in_full_precision
    def step(self, state: State, action: jax.Array) -> State:
        """One control period: ten physics steps, then reward and costs, then the new goal."""
        self.check_action(action)
        task, before = self._task, state.pipeline_state
        progress = before.task
        motion = self._simulate(before, jnp.clip(action, -1.0, 1.0))
        view = self._view(motion.qpos, motion.qvel, before.layout, motion.movables)

        key, goal_key = jax.random.split(before.key)
        next_goal, found = task.rules.draw_goal(task, view, goal_key)
        charges = {name: CHARGES[name](task, view, progress) for name in task.charged}
        outcome = task.rules.step(task, progress, view, next_goal)
        after = before.replace(
            qpos=motion.qpos,
            qvel=motion.qvel,
            time=motion.time,
            movables=motion.movables,
            task=outcome.progress,
            key=key,
        )
        return state.replace(
            pipeline_state=after,
            obs=self._observe(after, view, motion.qacc),
            reward=outcome.reward,
            # Only a goal that finds no place ends an episode before its time.
            done=(outcome.goal_met & ~found).astype(jnp.float32),
            metrics={**state.metrics, **_metrics(charges, outcome.goal_met)},
        )

    def draw(self, pipeline_state: NavigationState) -> tuple[mujoco.MjModel, mujoco.MjData]:
        """The scene of one state, with cameras `top` and `side`."""
        return drawing.draw(self._task, pipeline_state)

    def _place(self, key: jax.Array) -> layout.Placement:
        if self._random_start:
            return layout.random_placement(self._task, key)
        return layout.constant_placement(self._task)

    def _view(self, qpos: jax.Array, qvel: jax.Array, where: Layout, movables: Any) -> View:
        robot = self._task.robot
        return View(
            pose=robot.pose(qpos),
            velocity=robot.planar(qpos) @ qvel,
            layout=where,
            movables=movables,
            parts=self._scene.parts,
            span=self._scene.movable.span if self._scene.movable else (0.0, 0.0),
        )

    def _simulate(self, state: NavigationState, action: jax.Array) -> Motion:
        """Ten physics steps, and an eleventh of which only the accelerations are kept.

        The sensors must read the state that the step ends in. To take their accelerations from one
        more round of the same loop, and not from a forward pass of its own, halves compilation.
        """
        places = jnp.concatenate([state.layout.buttons, state.layout.pillars])

        def substep(motion: Motion, moves: jax.Array) -> tuple[Motion, None]:
            after = self._scene.step(motion, action, places)
            kept = jax.tree.map(lambda new, old: jnp.where(moves, new, old), after, motion)
            return kept._replace(qacc=after.qacc), None

        start = Motion(
            qpos=state.qpos,
            qvel=state.qvel,
            qacc=jnp.zeros_like(state.qvel),
            time=state.time,
            movables=state.movables,
        )
        moves = jnp.arange(SUBSTEPS + 1) < SUBSTEPS
        return jax.lax.scan(substep, start, moves)[0]

    def _observe(self, state: NavigationState, view: View, acceleration: jax.Array) -> jax.Array:
        """The observation [O]: the robot's sensors and one lidar per kind of object."""
        task = self._task
        sights = task.rules.sights(task, state.task, view)
        if task.hazards is not None:
            sights["hazards_lidar"] = Sight(state.layout.hazards)
        if task.pillars is not None:
            sights["pillars_lidar"] = Sight(state.layout.pillars)
        if task.movables is not None:
            sights[f"{task.movables.name}_lidar"] = Sight(state.movables.position)
        readings = task.robot.read(state.qpos, state.qvel, acceleration)
        components = {name: readings[name] for name in task.robot.sensors}
        return sensors.flatten({**components, **self._lidars(sights, view)}, task.alphabetical)

    def _lidars(self, sights: dict[str, Sight], view: View) -> dict[str, jax.Array]:
        """Lidar [16] of every sight, computed for all objects in one go."""
        positions = jnp.concatenate([sight.positions for sight in sights.values()])
        # Objects are looked for on the floor, which a tilted robot sees shifted a little.
        on_floor = jnp.pad(positions, ((0, 0), (0, 1))) - view.pose.position
        targets = (on_floor @ view.pose.rotation)[:, :2]
        readings = sensors.pseudo_lidar(targets, self._task.lidar_range)
        ends = np.cumsum([len(sight.positions) for sight in sights.values()])
        parts = jnp.split(readings, ends[:-1])
        return {
            name: jnp.where(sight.visible, jnp.max(part, axis=0), 0.0)
            for (name, sight), part in zip(sights.items(), parts, strict=True)
        }


def _obstacles(task: NavigationTask) -> Obstacles | None:
    """Buttons and pillars are solid; no task has both."""
    if task.buttons is not None:
        return Obstacles(task.buttons.radius, height=task.buttons.radius)
    if task.pillars is not None:
        return Obstacles(task.pillars.radius, height=None)
    return None


def _metrics(charges: dict[str, jax.Array], goal_met: jax.Array) -> dict[str, jax.Array]:
    """Metrics of a step as float32 zeros and ones; `cost` is 1 if any part of it is."""
    total = jnp.any(jnp.stack(list(charges.values())))
    flags = {"cost": total, **charges, "goal_met": goal_met}
    return {name: flag.astype(jnp.float32) for name, flag in flags.items()}
