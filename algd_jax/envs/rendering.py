"""Frames of environment states, by MuJoCo's renderer.

It needs OpenGL without a screen: set `MUJOCO_GL=egl` or `MUJOCO_GL=osmesa` before Python starts, or
pass a `make_context`, as `algd render` does, which looks for one that works.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import mujoco
import numpy as np
from mujoco import gl_context

from algd_jax.envs.base import SafetyEnv

__all__ = ["Renderer", "render_frame"]

MakeContext = Callable[[int, int], Any]
"""Width and height [pixels] -> an OpenGL context with `make_current` and `free`."""

_MOST_GEOMS = 10_000


class Renderer:
    """Frames in one OpenGL context, of models that differ in nothing but their geoms.

    Those that one environment draws do. What takes long, the context, is made once. A context
    manager.

    Args:
      model: the first of the models.
      size: pixels of a side, at most the model's offscreen buffer.
      make_context: one of `mujoco.egl`, `mujoco.osmesa`, `mujoco.glfw`; MuJoCo's choice by default.
    """

    def __init__(
        self, model: mujoco.MjModel, size: int = 480, make_context: MakeContext | None = None
    ):
        self._gl = (make_context or gl_context.GLContext)(size, size)
        self._gl.make_current()
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_150.value)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._context)
        self._scene = mujoco.MjvScene(model, maxgeom=_MOST_GEOMS)
        self._size = size

    def frame(self, model: mujoco.MjModel, data: mujoco.MjData, camera: str = "side") -> np.ndarray:
        """One frame [size, size, 3], uint8, from camera `side` or `top`."""
        mujoco.mjv_updateScene(
            model,
            data,
            mujoco.MjvOption(),
            None,
            _camera(model, data, camera),
            mujoco.mjtCatBit.mjCAT_ALL.value,
            self._scene,
        )
        view = mujoco.MjrRect(0, 0, self._size, self._size)
        pixels = np.empty((self._size, self._size, 3), np.uint8)
        mujoco.mjr_render(view, self._scene, self._context)
        mujoco.mjr_readPixels(pixels, None, view, self._context)
        return pixels[::-1]  # OpenGL counts rows from below.

    def __enter__(self) -> Renderer:
        return self

    def __exit__(self, *_: object) -> None:
        self._context.free()
        self._gl.free()


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
    with Renderer(model, size) as renderer:
        return renderer.frame(model, data, camera)


def _camera(model: mujoco.MjModel, data: mujoco.MjData, name: str) -> mujoco.MjvCamera:
    """The model's camera of this name, or one that follows the first body if it has none."""
    view = mujoco.MjvCamera()
    number = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA.value, name)
    if number >= 0:
        view.type, view.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED.value, number
        return view
    mujoco.mjv_defaultFreeCamera(model, view)
    view.lookat[:] = data.xpos[1]
    view.distance = 4.0
    view.azimuth, view.elevation = (90.0, -15.0) if name == "side" else (90.0, -90.0)
    return view
