"""Bodies from Gymnasium's files, and how they move in MJX: forces, contacts, integration."""

import copy
import dataclasses
import importlib.util
import pathlib
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from mujoco import mjx

from algd_jax.envs.contact_solver import Rows, solve, solve_positive

__all__ = ["Motion", "Scene", "build_model", "build_scene"]

_STAGE_TIMES = np.array([0.5, 0.5, 1.0, 0.0], np.float32)
_STAGE_WEIGHTS = np.array([1.0, 2.0, 2.0, 1.0], np.float32) / 6
"""Classical Runge-Kutta: from where the next stage is taken, and what each stage counts."""

_MAX_ITERATIONS = 10
"""With 4, some recorded steps of Ant are wrong by 1e-2; with 10, none. It ends once all settled."""

_PLANE = int(mujoco.mjtGeom.mjGEOM_PLANE)
_CAPSULE = int(mujoco.mjtGeom.mjGEOM_CAPSULE)
_UPRIGHT = 1e-6
"""Sine of the angle to the vertical below which a capsule has no direction on the floor."""


class Motion(NamedTuple):
    """What changes from one physics step to the next.

    Attributes:
      qpos: [nq] coordinates.
      qvel: [nv] velocities.
      qacc: [nv] the last evaluated acceleration, where the contact solver starts.
      derived: what `Scene.derive` read where the forces were last evaluated.
    """

    qpos: jax.Array
    qvel: jax.Array
    qacc: jax.Array
    derived: Any


@dataclasses.dataclass(frozen=True)
class Scene:
    """A body on its floor, ready to be stepped.

    Attributes:
      model: MJX model.
      motors: [nu, nv] force on each coordinate for a unit of each action; constant, because all
        motors act on joints.
      template: MJX data in which `qpos` and the like are replaced before use.
      derive: reads from MJX data what is wanted at the last evaluation of forces.
    """

    model: mjx.Model
    motors: jax.Array
    template: mjx.Data
    derive: Callable[[mjx.Model, mjx.Data], Any]

    def still(self, qpos: jax.Array, qvel: jax.Array) -> mjx.Data:
        """Poses and velocities of all parts, without forces."""
        data = self.template.replace(qpos=qpos, qvel=qvel)
        data = mjx.com_pos(self.model, mjx.kinematics(self.model, data))
        return mjx.com_vel(self.model, data)

    def forward(
        self, qpos: jax.Array, qvel: jax.Array, drive: jax.Array, guess: jax.Array
    ) -> mjx.Data:
        """Forces and accelerations of one state under motor forces drive [nv].

        The solver starts from guess [nv].
        """
        model = self.model
        data = self.still(qpos, qvel).replace(qfrc_actuator=drive)
        data = _align_friction(model, mjx.collision(model, mjx.crb(model, data)))
        data = mjx.make_constraint(model, data)
        data = mjx.rne(model, mjx.passive(model, data))
        data = data.replace(qfrc_smooth=data.qfrc_passive - data.qfrc_bias + drive)
        rows = Rows(data._impl.efc_J, data._impl.efc_aref, data._impl.efc_D)
        inertia = mjx.full_m(model, data)
        qacc, force = solve(inertia, data.qfrc_smooth, rows, guess, _MAX_ITERATIONS)
        return data.tree_replace(
            {
                "qacc": qacc,
                "qfrc_constraint": data._impl.efc_J.T @ force,
                "_impl.efc_force": force,
            }
        )

    def drive(self, action: jax.Array) -> jax.Array:
        """Forces [nv] of the motors for an action [nu], which they clip to their range."""
        low, high = self.model.actuator_ctrlrange.T
        return jnp.clip(action, low, high) @ self.motors

    def step(self, motion: Motion, drive: jax.Array) -> Motion:
        """One physics step by the model's integrator."""
        if self.model.opt.integrator == mjx.IntegratorType.RK4:
            return self._runge_kutta(motion, drive)
        return self._euler(motion, drive)

    def _euler(self, motion: Motion, drive: jax.Array) -> Motion:
        """Semi-implicit Euler step, joint damping implicit."""
        data = self.forward(motion.qpos, motion.qvel, drive, motion.qacc)
        model = self.model
        damped = mjx.full_m(model, data) + jnp.diag(model.opt.timestep * model.dof_damping)
        qacc = solve_positive(damped, data.qfrc_smooth + data.qfrc_constraint)
        after = mjx.euler(model, data.replace(qacc=qacc))
        return Motion(after.qpos, after.qvel, data.qacc, self.derive(self.model, data))

    def _runge_kutta(self, motion: Motion, drive: jax.Array) -> Motion:
        """Classical Runge-Kutta step; a loop over its stages, so that one is compiled."""
        timestep = self.model.opt.timestep

        def stage(carry: Any, tableau: Any) -> tuple[Any, None]:
            at, velocity, acceleration = carry
            time, weight = tableau
            data = self.forward(at.qpos, at.qvel, drive, at.qacc)
            velocity = velocity + weight * at.qvel
            acceleration = acceleration + weight * data.qacc
            there = Motion(
                self.advance(motion.qpos, at.qvel, time * timestep),
                motion.qvel + time * timestep * data.qacc,
                data.qacc,
                self.derive(self.model, data),
            )
            return (there, velocity, acceleration), None

        still = jnp.zeros_like(motion.qvel)
        (last, velocity, acceleration), _ = jax.lax.scan(
            stage, (motion, still, still), (_STAGE_TIMES, _STAGE_WEIGHTS)
        )
        return last._replace(
            qpos=self.advance(motion.qpos, velocity, timestep),
            qvel=motion.qvel + timestep * acceleration,
        )

    def advance(self, qpos: jax.Array, qvel: jax.Array, duration: jax.Array) -> jax.Array:
        """Coordinates [nq] after moving with constant velocity."""
        if self.model.nq == self.model.nv:
            return qpos + duration * qvel
        return jnp.concatenate(
            [
                qpos[:3] + duration * qvel[:3],
                _turned(qpos[3:7], duration * qvel[3:6]),
                qpos[7:] + duration * qvel[6:],
            ]
        )


def _align_friction(model: mjx.Model, data: mjx.Data) -> mjx.Data:
    """Lays the friction pyramid of a capsule on the floor along the capsule, as MuJoCo does.

    MJX does so only for capsules that lie rather than stand; the pyramid's orientation matters.
    """
    contact = data._impl.contact
    if not len(contact.dist):
        return data
    normal = contact.frame[:, 0]
    axis = data.geom_xmat[contact.geom[:, 1], :, 2]
    along = axis - normal * jnp.sum(normal * axis, axis=1, keepdims=True)
    length = jnp.sqrt(jnp.sum(along**2, axis=1, keepdims=True))
    along = along / jnp.maximum(length, _UPRIGHT)
    frame = jnp.stack([normal, along, jnp.cross(normal, along)], axis=1)
    types = jnp.asarray(model.geom_type)[contact.geom]
    on_floor = jnp.all(types == np.array([_PLANE, _CAPSULE]), axis=1)
    aligned = (on_floor & (length[:, 0] > _UPRIGHT))[:, None, None]
    contact = contact.replace(frame=jnp.where(aligned, frame, contact.frame))
    return data.tree_replace({"_impl.contact": contact})


def _turned(quaternion: jax.Array, rotation: jax.Array) -> jax.Array:
    """Unit quaternion [4] turned by a rotation vector [3] in its own frame."""
    angle = jnp.sqrt(jnp.sum(rotation**2))
    # sinc is smooth at zero: sin(angle / 2) / angle = sinc(angle / 2π) / 2.
    x, y, z = rotation * jnp.sinc(angle / (2 * jnp.pi)) / 2
    w = jnp.cos(angle / 2)
    right_product = jnp.array([[w, -x, -y, -z], [x, w, z, -y], [y, -z, w, x], [z, y, -x, w]])
    product = right_product @ quaternion
    return product / jnp.sqrt(jnp.sum(product**2))


def build_model(asset: str, contact_points: int = -1) -> mujoco.MjModel:
    """Compiles one of Gymnasium's MuJoCo files in the meaning of MuJoCo 2.

    MuJoCo 3 adds the margins of two touching geoms, where MuJoCo 2 took the larger. Wherever these
    files set a margin they set it on all geoms, so half of it restores what was meant.

    Args:
      asset: name of the file, without its ending.
      contact_points: the most that MJX looks at in a step, -1 for all.
    """
    root = ET.parse(_asset_folder() / f"{asset}.xml").getroot()
    compiler = root.find("compiler")
    # MuJoCo 3 warns of this attribute, and writes a log file to the working directory.
    total_mass = None if compiler is None else compiler.attrib.pop("settotalmass", None)
    # Replaced, not added to: MJX looks a number up by its place in the list, which is right only if
    # no list of numbers stands before it.
    for custom in root.findall("custom"):
        root.remove(custom)
    custom = ET.SubElement(root, "custom")
    ET.SubElement(custom, "numeric", name="max_contact_points", data=str(contact_points))
    model = mujoco.MjModel.from_xml_string(ET.tostring(root, encoding="unicode"))
    if total_mass is not None:
        mujoco.mj_setTotalmass(model, float(total_mass))
        mujoco.mj_setConst(model, mujoco.MjData(model))
    model.geom_margin[:] /= 2
    return model


def _asset_folder() -> pathlib.Path:
    """Where Gymnasium keeps its MuJoCo files; found without importing Gymnasium."""
    spec = importlib.util.find_spec("gymnasium")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("the velocity tasks take their bodies from package gymnasium")
    return pathlib.Path(spec.origin).parent / "envs" / "mujoco" / "assets"


def build_scene(model: mujoco.MjModel, derive: Callable[[mjx.Model, mjx.Data], Any]) -> Scene:
    """Puts a body on the device; `derive` as in `Scene`."""
    model = copy.copy(model)
    model.opt.solver = mujoco.mjtSolver.mjSOL_NEWTON  # MJX has no PGS, Humanoid's choice.
    # Damping is made implicit by `Scene`, see `solve_positive`.
    model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_EULERDAMP
    motors = np.zeros((model.nu, model.nv), np.float32)
    dofs = model.jnt_dofadr[model.actuator_trnid[:, 0]]
    motors[np.arange(model.nu), dofs] = model.actuator_gear[:, 0]
    on_device = mjx.put_model(model)
    return Scene(
        model=on_device,
        motors=jnp.asarray(motors),
        template=mjx.make_data(on_device),
        derive=derive,
    )
