"""The whole scene in MuJoCo itself: robot, floor and what stands on it, all contacts MuJoCo's."""

import mujoco
import numpy as np

from algd_jax.envs.navigation.robots import Robot

SUBSTEPS = 10


def build(
    robot: Robot,
    timestep: float,
    spheres: tuple[tuple[float, float], ...] = (),
    pillars: tuple[tuple[float, float], ...] = (),
) -> mujoco.MjModel:
    """Compiles a robot on a floor, with buttons (radius 0.1) and pillars (radius 0.2) around."""
    spec = mujoco.MjSpec()
    spec.option.timestep = timestep
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_EULER
    spec.option.cone = mujoco.mjtCone.mjCONE_PYRAMIDAL
    spec.option.solver = mujoco.mjtSolver.mjSOL_NEWTON
    spec.option.magnetic = [0, -0.5, 0]
    plane = mujoco.mjtGeom.mjGEOM_PLANE
    spec.worldbody.add_geom(name="floor", type=plane, size=[3.5, 3.5, 0.1], condim=6)
    robot.build(spec)
    for x, y in spheres:
        kind = mujoco.mjtGeom.mjGEOM_SPHERE
        spec.worldbody.add_geom(type=kind, size=[0.1, 0, 0], pos=[x, y, 0.1], condim=6)
    for x, y in pillars:
        kind = mujoco.mjtGeom.mjGEOM_CYLINDER
        spec.worldbody.add_geom(type=kind, size=[0.2, 0.5, 0], pos=[x, y, 0.5], condim=6)
    return spec.compile()


def simulate(
    model: mujoco.MjModel, qpos: np.ndarray, qvel: np.ndarray, ctrl: np.ndarray, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """State after physics steps under one control, which MuJoCo clips."""
    data = mujoco.MjData(model)
    data.qpos[:], data.qvel[:], data.ctrl[:] = qpos, qvel, ctrl
    for _ in range(steps):
        mujoco.mj_step(model, data)
    return data.qpos.copy(), data.qvel.copy()
