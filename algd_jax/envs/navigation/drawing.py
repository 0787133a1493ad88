"""A navigation task as a MuJoCo model to look at: everything in its place, nothing collides."""

import mujoco
import numpy as np

from algd_jax.envs.navigation.movables import movable
from algd_jax.envs.navigation.rules import ButtonProgress
from algd_jax.envs.navigation.state import NavigationState
from algd_jax.envs.navigation.task import NavigationTask

__all__ = ["draw"]

_COLOURS = {
    "robot": (0.85, 0.15, 0.15, 1.0),
    "goal": (0.2, 0.75, 0.25, 0.9),
    "buttons": (0.95, 0.6, 0.1, 1.0),
    "hazards": (0.25, 0.45, 0.9, 0.6),
    "pillars": (0.45, 0.45, 0.5, 1.0),
    "gremlins": (0.55, 0.2, 0.7, 1.0),
    "vases": (0.1, 0.7, 0.75, 1.0),
    "box": (0.9, 0.8, 0.2, 1.0),
    "circle": (0.2, 0.75, 0.25, 0.25),
    "walls": (0.85, 0.15, 0.15, 0.35),
}
_FLAT = 0.01  # m: half the height of what lies on the floor.
_CAMERA_HEIGHT = 6.5  # m
_Geom = mujoco.mjtGeom


def draw(task: NavigationTask, state: NavigationState) -> tuple[mujoco.MjModel, mujoco.MjData]:
    """The scene of one state (NumPy leaves), with cameras `top` and `side`."""
    spec = mujoco.MjSpec()
    spec.visual.global_.offwidth = spec.visual.global_.offheight = 1024
    _add_surroundings(spec)
    task.robot.build(spec)
    for geom in spec.geoms:
        if geom.name != "floor":
            geom.rgba = _COLOURS["robot"]
    _add_fixed(spec, task, state)
    _add_movables(spec, task, state)
    _add_goal(spec, task, state)
    _add_circle(spec, task)
    model = spec.compile()
    data = mujoco.MjData(model)
    data.qpos[:] = np.asarray(state.qpos)
    mujoco.mj_forward(model, data)
    return model, data


def _add_surroundings(spec: mujoco.MjSpec) -> None:
    """Sky, floor, light and cameras."""
    spec.add_texture(
        name="sky",
        type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_FLAT,
        rgb1=[0.97, 0.98, 1.0],
        width=16,
        height=96,
    )
    spec.add_texture(
        name="checks",
        type=mujoco.mjtTexture.mjTEXTURE_2D,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_CHECKER,
        rgb1=[0.93, 0.93, 0.93],
        rgb2=[0.86, 0.86, 0.86],
        width=256,
        height=256,
    )
    material = spec.add_material(name="floor", texrepeat=[8, 8])
    material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "checks"
    floor = spec.worldbody.add_geom(name="floor", type=_Geom.mjGEOM_PLANE, size=[4, 4, 0.1])
    floor.material = "floor"
    # Even light without highlights, so that a colour looks the same everywhere.
    spec.visual.headlight.ambient = [0.45] * 3
    spec.visual.headlight.diffuse = [0.25] * 3
    spec.visual.headlight.specular = [0.0] * 3
    spec.worldbody.add_light(
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
        dir=[0.3, 0.5, -1],
        diffuse=[0.4] * 3,
        specular=[0.0] * 3,
        castshadow=False,
    )
    spec.worldbody.add_camera(name="top", pos=[0, 0, _CAMERA_HEIGHT], fovy=45)
    sine, cosine = np.sin(np.pi / 8), np.cos(np.pi / 8)  # Half of 45 degrees.
    spec.worldbody.add_camera(name="side", pos=[0, -4.6, 4.6], quat=[cosine, sine, 0, 0], fovy=45)


def _add(
    spec: mujoco.MjSpec,
    kind: str,
    shape: mujoco.mjtGeom,
    size: list[float],
    place: tuple[float, float, float],
    yaw: float = 0.0,
) -> None:
    spec.worldbody.add_geom(
        name=f"{kind} {len(spec.geoms)}",  # For pictures that name what they show.
        type=shape,
        size=size,
        pos=place,
        quat=[np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)],
        rgba=_COLOURS[kind],
        contype=0,
        conaffinity=0,
    )


def _add_fixed(spec: mujoco.MjSpec, task: NavigationTask, state: NavigationState) -> None:
    layout = state.layout
    if task.hazards is not None:
        for x, y in np.asarray(layout.hazards):
            _add(spec, "hazards", _Geom.mjGEOM_CYLINDER, [task.hazards.radius, _FLAT, 0], (x, y, 0))
    if task.pillars is not None:
        for x, y in np.asarray(layout.pillars):
            _add(spec, "pillars", _Geom.mjGEOM_CYLINDER, [task.pillars.radius, 0.5, 0], (x, y, 0.5))
    if task.buttons is not None:
        radius = task.buttons.radius
        for i, (x, y) in enumerate(np.asarray(layout.buttons)):
            is_goal = isinstance(state.task, ButtonProgress) and i == int(state.task.goal)
            kind = "goal" if is_goal else "buttons"
            _add(spec, kind, _Geom.mjGEOM_SPHERE, [radius, 0, 0], (x, y, radius))


def _add_movables(spec: mujoco.MjSpec, task: NavigationTask, state: NavigationState) -> None:
    if task.movables is None:
        return
    physics = movable(task.movables, task.timestep)
    height = 0.5 * sum(physics.span)
    yaws = np.asarray(state.movables.yaw)
    for (x, y), yaw in zip(np.asarray(state.movables.position), yaws, strict=True):
        turn = np.array([[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]])
        for part in physics.prisms:
            dx, dy = turn @ part.centre
            size = [*part.half, part.half_height]
            place = (x + dx, y + dy, height)
            _add(spec, task.movables.name, _Geom.mjGEOM_BOX, size, place, yaw)


def _add_goal(spec: mujoco.MjSpec, task: NavigationTask, state: NavigationState) -> None:
    if task.goal is None or isinstance(state.task, ButtonProgress):
        return
    x, y = np.asarray(state.task.goal)
    _add(spec, "goal", _Geom.mjGEOM_CYLINDER, [task.goal.radius, _FLAT, 0], (x, y, 0))


def _add_circle(spec: mujoco.MjSpec, task: NavigationTask) -> None:
    if task.circle is None:
        return
    _add(spec, "circle", _Geom.mjGEOM_CYLINDER, [task.circle.radius, _FLAT, 0], (0, 0, 0))
    x_wall, y_wall = task.circle.walls
    for sign in (-1.0, 1.0):
        if np.isfinite(x_wall):
            _add(spec, "walls", _Geom.mjGEOM_BOX, [0.02, 2.0, 0.15], (sign * x_wall, 0, 0.15))
        if np.isfinite(y_wall):
            _add(spec, "walls", _Geom.mjGEOM_BOX, [2.0, 0.02, 0.15], (0, sign * y_wall, 0.15))
