"""Compiled programs, kept between runs by JAX's persistent compilation cache.

They lie in the user's cache directory. ``JAX_COMPILATION_CACHE_DIR`` names another folder, and
``JAX_ENABLE_COMPILATION_CACHE=0`` keeps nothing.
"""

from __future__ import annotations

import contextlib
import glob
import os
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import platformdirs

_DAMAGED = re.compile(r"Error reading persistent compilation cache entry for '([^']+)'")


def keep_compiled_programs() -> None:
    """From now on look for compiled programs on disk, and leave new ones there."""
    defaults = {
        "jax_compilation_cache_dir": str(platformdirs.user_cache_path("algd-jax") / "compiled"),
        "jax_persistent_cache_min_compile_time_secs": 0.5,
    }
    for name, value in defaults.items():
        if name.upper() not in os.environ:
            jax.config.update(name, value)
    warnings.showwarning = _removing_damaged_programs(warnings.showwarning)


def _removing_damaged_programs(show: Callable[..., None]) -> Callable[..., None]:
    """``show`` of the module ``warnings``, except for damage, which is removed instead.

    JAX warns of a file that it cannot read (a process killed while writing leaves one), compiles,
    and never writes a file that exists: every later run would compile anew.
    """

    def show_warning(message: Warning | str, *rest: Any, **named: Any) -> None:
        damaged = _DAMAGED.match(str(message))
        if damaged is None:
            show(message, *rest, **named)
        else:
            _remove_programs(damaged[1])

    return show_warning


def _remove_programs(name: str) -> None:
    """Remove all kept programs of that name: the warning does not tell which one is damaged."""
    folder = Path(jax.config.values["jax_compilation_cache_dir"])
    for file in folder.glob(f"{glob.escape(name)}-*"):
        with contextlib.suppress(OSError):
            file.unlink()
