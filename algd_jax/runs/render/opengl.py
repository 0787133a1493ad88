"""Which OpenGL draws without a screen here."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys

from algd_jax.envs.rendering import MakeContext
from algd_jax.errors import ConfigError
from algd_jax.runs.processes import starting_a_process

_WAYS = ("egl", "osmesa", "glfw")
"""MuJoCo's: on a GPU or Mesa's software, in memory alone, in a window."""

_TRIAL = """
import mujoco
from mujoco.{way} import GLContext
context = GLContext(8, 8)
context.make_current()
mujoco.MjrContext(mujoco.MjModel.from_xml_string("<mujoco/>"), 100)
"""
_SECONDS = 120.0


def find_context() -> MakeContext:
    """The first way to draw that works: the one ``MUJOCO_GL`` names, else any.

    Raises:
      ConfigError: if there is none.
    """
    wanted = os.environ.get("MUJOCO_GL", "").strip().lower()
    ways = (wanted,) if wanted in _WAYS else _WAYS
    for way in ways:
        if _works(way):
            return importlib.import_module(f"mujoco.{way}").GLContext
    raise ConfigError(
        f"renderer: MuJoCo cannot draw here (tried {', '.join(ways)}); install EGL (Debian and "
        "Ubuntu: apt install libegl1 libgl1), or let --out end in .png or .html, which need none"
    )


def _works(way: str) -> bool:
    """Tried in a process of its own: PyOpenGL stays with the first one that it loads."""
    trial = [sys.executable, "-c", _TRIAL.format(way=way)]
    try:
        with starting_a_process():
            return subprocess.run(trial, capture_output=True, timeout=_SECONDS).returncode == 0
    except subprocess.TimeoutExpired:
        return False
