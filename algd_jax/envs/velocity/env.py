"""The velocity environment: one class for all rows of `suites`."""

import jax
import jax.numpy as jnp
import mujoco
from flax import struct
from mujoco import mjx

from algd_jax.envs.base import EnvSpec, SafetyEnv, State, in_full_precision
from algd_jax.envs.velocity.physics import Motion, build_model, build_scene
from algd_jax.envs.velocity.suites import VelocityTask

__all__ = ["VelocityEnv", "VelocityState"]


@struct.dataclass
class VelocityState:
    """Everything that an episode carries from step to step.

    Attributes:
      qpos: [nq] coordinates.
      qvel: [nv] velocities.
      qacc: [nv] the last evaluated acceleration, where the contact solver starts.
      place: [axes] horizontal place from which the next velocity is measured [m].
    """

    qpos: jax.Array
    qvel: jax.Array
    qacc: jax.Array
    place: jax.Array


class VelocityEnv(SafetyEnv):
    """A body that earns reward by running, and pays for speed.

    `metrics` holds `cost`, `x_velocity` [m/s] and, for bodies that move in two axes, `y_velocity`.
    The control cost is that of the action as given; the motors clip it to their range.

    Args:
      task: a row of `suites`.
    """

    def __init__(self, task: VelocityTask):
        self._task = task
        body = task.body
        # Its numbers are exact; those on the device are rounded to float32.
        model = build_model(body.asset, body.contact_points)
        self._scene = build_scene(model, self._derive)
        low, high = model.actuator_ctrlrange.T
        forces = jax.eval_shape(self._derive, self._scene.model, self._scene.template)[1]
        self.spec = EnvSpec(
            name=task.name,
            observation_size=model.nq - body.axes + model.nv + forces.shape[0],
            action_size=model.nu,
            action_low=tuple(float(bound) for bound in low),
            action_high=tuple(float(bound) for bound in high),
            episode_length=task.episode_length,
            cost_limit=task.cost_limit,
            control_period=body.frame_skip * float(model.opt.timestep),
            cost_discount=task.cost_discount,
            timeout_terminal=task.timeout_terminal,
        )

    @in_full_precision
    def reset(self, rng: jax.Array) -> State:
        """Starts an episode from the body's pose with noise on coordinates and velocities."""
        model, body = self._scene.model, self._task.body
        position_key, velocity_key = jax.random.split(rng)
        qpos = model.qpos0 + body.noise * jax.random.uniform(position_key, (model.nq,), minval=-1.0)
        if body.velocity_noise is None:
            qvel = body.noise * jax.random.uniform(velocity_key, (model.nv,), minval=-1.0)
        else:
            qvel = body.velocity_noise * jax.random.normal(velocity_key, (model.nv,))
        if model.nq > model.nv:
            orientation = qpos[3:7]
            qpos = qpos.at[3:7].divide(jnp.sqrt(jnp.sum(orientation**2)))
        place, forces = self._derive(model, self._scene.still(qpos, qvel))
        zero = jnp.zeros(())
        velocities = ("x_velocity", "y_velocity")[: body.axes]
        return State(
            pipeline_state=VelocityState(qpos, qvel, jnp.zeros_like(qvel), place),
            obs=self._observe(qpos, qvel, forces),
            reward=zero,
            done=zero,
            metrics={"cost": zero, **dict.fromkeys(velocities, zero)},
        )

    @in_full_precision
    def step(self, state: State, action: jax.Array) -> State:
        """One control period, then reward and cost of the velocity over it."""
        self.check_action(action)
        task, body, before = self._task, self._task.body, state.pipeline_state
        motion = self._simulate(before, action)
        place, forces = motion.derived
        if body.place is None:
            place = motion.qpos[: body.axes]
        velocity = (place - before.place) / self.dt
        reward = (
            body.forward_reward * velocity[0]
            + body.alive_bonus
            - body.control_cost * jnp.sum(action**2)
        )
        healthy = body.healthy(motion.qpos, motion.qvel) if body.healthy else True
        named = zip(("x_velocity", "y_velocity"), velocity, strict=False)
        return state.replace(
            pipeline_state=VelocityState(motion.qpos, motion.qvel, motion.qacc, place),
            obs=self._observe(motion.qpos, motion.qvel, forces),
            reward=reward,
            done=1.0 - jnp.asarray(healthy, jnp.float32),
            metrics={**state.metrics, "cost": _cost(task, velocity), **dict(named)},
        )

    def draw(self, pipeline_state: VelocityState) -> tuple[mujoco.MjModel, mujoco.MjData]:
        """The body in one state."""
        model = build_model(self._task.body.asset)
        model.vis.global_.offwidth = model.vis.global_.offheight = 1024
        data = mujoco.MjData(model)
        data.qpos[:] = pipeline_state.qpos
        mujoco.mj_forward(model, data)
        return model, data

    def _simulate(self, state: VelocityState, action: jax.Array) -> Motion:
        """The physics steps of one control period."""
        model, template = self._scene.model, self._scene.template
        start = Motion(state.qpos, state.qvel, state.qacc, self._blank(model, template))

        drive = self._scene.drive(action)

        def substep(motion: Motion, _: None) -> tuple[Motion, None]:
            return self._scene.step(motion, drive), None

        return jax.lax.scan(substep, start, length=self._task.body.frame_skip)[0]

    def _derive(self, model: mjx.Model, data: mjx.Data) -> tuple[jax.Array, jax.Array]:
        """Place [axes] and further observations [F] of the state in which data was evaluated."""
        body = self._task.body
        place = data.qpos[: body.axes] if body.place is None else body.place(data)
        if not (self._task.observe_forces and body.forces):
            return place, jnp.zeros((0,))
        return place, body.forces(mjx.rne_postconstraint(model, data))

    def _blank(self, model: mjx.Model, data: mjx.Data) -> tuple[jax.Array, jax.Array]:
        shapes = jax.eval_shape(self._derive, model, data)
        return jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)

    def _observe(self, qpos: jax.Array, qvel: jax.Array, forces: jax.Array) -> jax.Array:
        """The observation [O]: coordinates but the horizontal ones, velocities, forces."""
        body = self._task.body
        velocities = jnp.clip(qvel, -body.velocity_clip, body.velocity_clip)
        return jnp.concatenate([qpos[body.axes :], velocities, forces])


def _cost(task: VelocityTask, velocity: jax.Array) -> jax.Array:
    """What the velocity [axes] costs: 1 above the threshold, or its magnitude."""
    speed = jnp.sqrt(jnp.sum(velocity**2)) if task.heading_free else velocity[0]
    if task.threshold is None:
        return speed
    return (speed > task.threshold).astype(jnp.float32)
