"""Frames of environment states, by MuJoCo's renderer.

It needs OpenGL without a screen: set `MUJOCO_GL=egl` (a GPU) or `MUJOCO_GL=osmesa` (none) before
Python starts.
"""

from typing import Any

import jax
import mujoco
import numpy as np

from algd_jax.envs.base import SafetyEnv

__all__ = ["render_frame"]


def render_frame(
    env: SafetyEnv, pipeline_state: Any, camera: str = "side", size: int = 480
) -> np.ndarray:
    """One frame [size, size, 3], uint8.

    Args:
      env: an environment whose class can draw itself, see `SafetyEnv.draw`.
      pipeline_state: of one environment.
      camera: `side` or `top`.
      size: pixels, at most 1024.
    """
    model, data = env.draw(jax.device_get(pipeline_state))
    with mujoco.Renderer(model, size, size) as renderer:
        named = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA, camera) >= 0
        renderer.update_scene(data, camera if named else _following(model, data, camera))
        return renderer.render()


def _following(model: mujoco.MjModel, data: mujoco.MjData, camera: str) -> mujoco.MjvCamera:
    """A camera on the first body, for models without one of this name."""
    view = mujoco.MjvCamera()
    mujoco.mjv_defaultFreeCamera(model, view)
    view.lookat[:] = data.xpos[1]
    view.distance = 4.0
    view.azimuth, view.elevation = (90.0, -15.0) if camera == "side" else (90.0, -90.0)
    return view
