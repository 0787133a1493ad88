"""The bodies simulated by MJX: on any device, differentiable, in float32."""

import jax
import jax.numpy as jnp
from flax import struct
from mujoco import mjx

from algd_jax.envs.velocity.physics import Motion, build_model, build_scene
from algd_jax.envs.velocity.simulator import Moved
from algd_jax.envs.velocity.suites import VelocityTask

__all__ = ["MjxSimulator", "VelocityState"]


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


class MjxSimulator:
    """A `Simulator` in JAX alone.

    Attributes:
      scene: the body on its floor.
      forces: F, as in `Simulator`.
    """

    def __init__(self, task: VelocityTask):
        self._task = task
        body = task.body
        # Its numbers are exact; those on the device are rounded to float32.
        model = build_model(body.asset, body.contact_points)
        self._dt = body.frame_skip * float(model.opt.timestep)
        self.scene = build_scene(model, self.derive)
        self._derived = jax.eval_shape(self.derive, self.scene.model, self.scene.template)
        self.forces = self._derived[1].shape[0]

    def start(self, qpos: jax.Array, qvel: jax.Array) -> Moved:
        """See `Simulator.start`."""
        place, forces = self.derive(self.scene.model, self.scene.still(qpos, qvel))
        state = VelocityState(qpos, qvel, jnp.zeros_like(qvel), place)
        return Moved(state, jnp.zeros_like(place), forces)

    def move(self, before: VelocityState, action: jax.Array) -> Moved:
        """See `Simulator.move`."""
        blank = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), self._derived)
        start = Motion(before.qpos, before.qvel, before.qacc, blank)
        drive = self.scene.drive(action)

        def substep(motion: Motion, _: None) -> tuple[Motion, None]:
            return self.scene.step(motion, drive), None

        body = self._task.body
        motion = jax.lax.scan(substep, start, length=body.frame_skip)[0]
        place, forces = motion.derived
        if body.place is None:
            place = motion.qpos[: body.axes]
        state = VelocityState(motion.qpos, motion.qvel, motion.qacc, place)
        return Moved(state, (place - before.place) / self._dt, forces)

    def derive(self, model: mjx.Model, data: mjx.Data) -> tuple[jax.Array, jax.Array]:
        """Place [axes] and forces [F] of the state in which data was evaluated."""
        body = self._task.body
        place = data.qpos if body.place is None else _field(data, body.place[0])[body.place[1]]
        if not self._task.forces:
            return place[: body.axes], jnp.zeros((0,))
        data = mjx.rne_postconstraint(model, data)
        parts = [_field(data, name).reshape(-1) for name in self._task.forces]
        return place[: body.axes], jnp.concatenate(parts)


def _field(data: mjx.Data, name: str) -> jax.Array:
    return getattr(data, name) if hasattr(data, name) else getattr(data._impl, name)
