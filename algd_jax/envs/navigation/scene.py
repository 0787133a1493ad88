"""The physics scene: the robot and the one obstacle that it can reach within a step."""

import dataclasses

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from mujoco import mjx

from algd_jax.envs.navigation.gremlins import RobotBody
from algd_jax.envs.navigation.robots import Robot

__all__ = ["Scene", "build_model", "build_scene"]

# Enough for float32: more iterations change nothing on the recorded contacts. The solver starts
# from the contact-free acceleration; the last step's is a poor guess here, because the yaw servo
# reverses in every step, and to leave it out is cheaper and more accurate.
_SOLVER_ITERATIONS = 4
_LINE_SEARCH_ITERATIONS = 4


@dataclasses.dataclass(frozen=True)
class Scene:
    """A compiled scene.

    Attributes:
      model: MJX model.
      template: MJX data in which `qpos` and the like are replaced before use.
      body: what a gremlin feels of the robot.
    """

    model: mjx.Model
    template: mjx.Data
    body: RobotBody

    def forward(
        self,
        qpos: jax.Array,
        qvel: jax.Array,
        ctrl: jax.Array,
        obstacle: jax.Array,
    ) -> mjx.Data:
        """Forces and accelerations of one state; obstacle [2] is the nearest button's place [m]."""
        height = self.template.mocap_pos[0, 2:]
        data = self.template.replace(
            qpos=qpos,
            qvel=qvel,
            ctrl=ctrl,
            mocap_pos=jnp.concatenate([obstacle, height])[None],
        )
        return mjx.forward(self.model, data)

    def integrate(self, data: mjx.Data, push: jax.Array) -> mjx.Data:
        """One Euler step from the result of `forward`, with a further force `push` [nv]."""
        return mjx.euler(self.model, data.replace(qfrc_smooth=data.qfrc_smooth + push))


def build_model(robot: Robot, button_radius: float, timestep: float) -> mujoco.MjModel:
    """Compiles the robot and one movable place for a button.

    Only the nearest button can be touched within a step, for buttons stand metres apart and the
    robot moves centimetres; so one sphere, put where that button is, replaces them all. There is
    no floor: the point robot has no vertical freedom and meets the floor at distance zero, which
    MuJoCo does not count as contact.
    """
    spec = mujoco.MjSpec()
    spec.option.timestep = timestep
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_EULER
    spec.option.cone = mujoco.mjtCone.mjCONE_PYRAMIDAL
    spec.option.solver = mujoco.mjtSolver.mjSOL_NEWTON
    robot.build(spec)
    button = spec.worldbody.add_body(name="button", mocap=True, pos=[0.0, 0.0, button_radius])
    button.add_geom(
        name="button",
        type=mujoco.mjtGeom.mjGEOM_SPHERE,
        size=[button_radius, 0, 0],
        condim=6,
    )
    return spec.compile()


def build_scene(robot: Robot, button_radius: float, timestep: float) -> Scene:
    """Compiles the scene and puts it on the device."""
    model = build_model(robot, button_radius, timestep)
    model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_WARMSTART
    model.opt.iterations = _SOLVER_ITERATIONS
    model.opt.ls_iterations = _LINE_SEARCH_ITERATIONS
    mjx_model = mjx.put_model(model)
    return Scene(
        model=mjx_model,
        template=mjx.make_data(mjx_model),
        body=RobotBody(
            footprint=robot.footprint,
            inverse_inertia=np.linalg.inv(_planar_inertia(model)),
            inverse_mass=float(model.body("robot").invweight0[0]),
        ),
    )


def _planar_inertia(model: mujoco.MjModel) -> np.ndarray:
    """Inertia [3, 3] of the robot in (x, y, heading) at heading zero."""
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    inertia = np.zeros((model.nv, model.nv))
    mujoco.mj_fullM(model, data, inertia)
    return inertia
