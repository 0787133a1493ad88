"""The velocity environment: one class for all rows of `suites`."""

from typing import Any

import jax
import jax.numpy as jnp
import mujoco

from algd_jax.envs.base import EnvSpec, SafetyEnv, State, in_full_precision
from algd_jax.envs.velocity.physics import build_model
from algd_jax.envs.velocity.simulator import Simulator
from algd_jax.envs.velocity.suites import VelocityTask
from algd_jax.envs.velocity.with_mjx import MjxSimulator
from algd_jax.envs.velocity.with_mujoco import MujocoSimulator
from algd_jax.errors import ConfigError, unknown_name

__all__ = ["PHYSICS", "VelocityEnv"]


PHYSICS = ("auto", "mujoco", "mjx")
"""What may simulate the bodies: MuJoCo's C code or MJX; auto is the faster one on the device."""


class VelocityEnv(SafetyEnv):
    """A body that earns reward by running, and pays for speed.

    `metrics` holds `cost`, `x_velocity` [m/s] and, for bodies that move in two axes, `y_velocity`.
    The control cost is that of the action as given; the motors clip it to their range.

    Args:
      task: a row of `suites`.
      physics: one of `PHYSICS`.

    Raises:
      ConfigError: for other physics, or MuJoCo's where programs run on an accelerator.
    """

    def __init__(self, task: VelocityTask, physics: str = "auto"):
        self._task = task
        self.physics = _chosen(physics)
        native = self.physics == "mujoco"
        self._simulator: Simulator = MujocoSimulator(task) if native else MjxSimulator(task)
        body, model = task.body, build_model(task.body.asset)
        self._rest, self._velocities = model.qpos0, model.nv
        low, high = model.actuator_ctrlrange.T
        self.spec = EnvSpec(
            name=task.name,
            observation_size=model.nq - body.axes + model.nv + self._simulator.forces,
            action_size=model.nu,
            action_low=tuple(float(bound) for bound in low),
            action_high=tuple(float(bound) for bound in high),
            episode_length=task.episode_length,
            cost_limit=task.cost_limit,
            control_period=body.frame_skip * float(model.opt.timestep),
            cost_discount=task.cost_discount,
            timeout_terminal=task.timeout_terminal,
        )

    @property
    def backend(self) -> str:
        return self.physics

    @in_full_precision
    def reset(self, rng: jax.Array) -> State:
        """Starts an episode from the body's pose with noise on coordinates and velocities."""
        body, rest, nv = self._task.body, jnp.asarray(self._rest, jnp.float32), self._velocities
        position_key, velocity_key = jax.random.split(rng)
        qpos = rest + body.noise * jax.random.uniform(position_key, rest.shape, minval=-1.0)
        if body.velocity_noise is None:
            qvel = body.noise * jax.random.uniform(velocity_key, (nv,), minval=-1.0)
        else:
            qvel = body.velocity_noise * jax.random.normal(velocity_key, (nv,))
        if len(rest) > nv:
            orientation = qpos[3:7]
            qpos = qpos.at[3:7].divide(jnp.sqrt(jnp.sum(orientation**2)))
        started = self._simulator.start(qpos, qvel)
        zero = jnp.zeros(())
        velocities = ("x_velocity", "y_velocity")[: body.axes]
        return State(
            pipeline_state=started.state,
            obs=self._observe(qpos, qvel, started.forces),
            reward=zero,
            done=zero,
            metrics={"cost": zero, **dict.fromkeys(velocities, zero)},
        )

    @in_full_precision
    def step(self, state: State, action: jax.Array) -> State:
        """One control period, then reward and cost of the velocity over it."""
        self.check_action(action)
        task, body = self._task, self._task.body
        state_after, velocity, forces = self._simulator.move(state.pipeline_state, action)
        qpos, qvel = state_after.qpos, state_after.qvel
        reward = (
            body.forward_reward * velocity[0]
            + body.alive_bonus
            - body.control_cost * jnp.sum(action**2)
        )
        healthy = body.healthy(qpos, qvel) if body.healthy else True
        named = zip(("x_velocity", "y_velocity"), velocity, strict=False)
        return state.replace(
            pipeline_state=state_after,
            obs=self._observe(qpos, qvel, forces),
            reward=reward,
            done=1.0 - jnp.asarray(healthy, jnp.float32),
            metrics={**state.metrics, "cost": _cost(task, velocity), **dict(named)},
        )

    def draw(self, pipeline_state: Any) -> tuple[mujoco.MjModel, mujoco.MjData]:
        """The body in one state."""
        model = build_model(self._task.body.asset)
        model.vis.global_.offwidth = model.vis.global_.offheight = 1024
        data = mujoco.MjData(model)
        data.qpos[:] = pipeline_state.qpos
        mujoco.mj_forward(model, data)
        return model, data

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


def _chosen(physics: str) -> str:
    """The physics itself where the choice is left to the device."""
    if physics not in PHYSICS:
        raise unknown_name("physics", physics, PHYSICS)
    platform = jax.default_backend()
    if physics == "auto":
        return "mujoco" if platform == "cpu" else "mjx"
    if physics == "mujoco" and platform != "cpu":
        raise ConfigError(
            f"physics: got mujoco on a {platform}, allowed is mjx "
            "(mujoco runs on CPUs only, which JAX_PLATFORMS=cpu chooses)"
        )
    return physics
