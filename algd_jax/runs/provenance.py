"""Where a run came from: versions, device, commit, command line, time."""

from __future__ import annotations

import datetime
import importlib.metadata
import platform
import subprocess
from pathlib import Path
from typing import Any

import jax

import algd_jax

_DISTRIBUTIONS = (
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "mujoco",
    "mujoco-mjx",
    "brax",
    "numpy",
)


def provenance(command: list[str]) -> dict[str, Any]:
    """What ``config.json`` tells about the start of a run, JSON-ready.

    Args:
      command: the command line, or an empty list when the run was started from Python.
    """
    return {
        "start_time": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "command": command,
        "git_commit": git_commit(),
        "device": device_record(),
        "versions": versions(),
    }


def versions() -> dict[str, str | None]:
    """Versions of Python and of every library that shapes a run; None if not installed."""
    own = {"python": platform.python_version(), "algd-jax": algd_jax.__version__}
    return own | {name: _installed_version(name) for name in _DISTRIBUTIONS}


def device_record() -> dict[str, Any]:
    """The devices JAX runs on, and the host."""
    device = jax.devices()[0]
    return {
        "platform": device.platform,
        "kind": device.device_kind,
        "count": jax.device_count(),
        "host": platform.platform(),
    }


def processor() -> str:
    """The processor's name; Linux tells it in a file only."""
    described = Path("/proc/cpuinfo")
    lines = described.read_text().splitlines() if described.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def git_commit() -> str | None:
    """Commit of the checkout this package runs from ("-dirty" if changed), or None."""
    checkout = Path(algd_jax.__file__).parents[1]
    if not (checkout / ".git").exists():
        return None
    describe = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        result = subprocess.run(describe, cwd=checkout, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return result.stdout.strip()


def _installed_version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
