"""What this machine offers a run, and what is wrong with it."""

from __future__ import annotations

import dataclasses
import os
import platform
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from algd_jax.runs.extras import is_installed
from algd_jax.runs.memory import available_memory, gib, host_memory
from algd_jax.runs.provenance import versions

_SMALLEST_MEMORY = 4 * 2**30
"""Bytes that compiling a run's programs may take for a while."""

_OPTIONAL = {
    "plotly": ("interactive pages", 'pip install "algd-jax[report]"'),
    "imageio_ffmpeg": ("videos as MP4", 'pip install "algd-jax[video]"'),
    "onnx": ("policies as ONNX", 'pip install "algd-jax[onnx]"'),
    "ray": ("sweeps over a cluster", 'pip install "algd-jax[ray]"'),
    "wandb": ("runs logged to Weights & Biases", 'pip install "algd-jax[wandb]"'),
    "mlflow": ("runs logged to MLflow", 'pip install "algd-jax[mlflow]"'),
}


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing looked at.

    Attributes:
      name: what it is.
      value: how it is.
      fix: what to do about it; None if nothing is wrong.
    """

    name: str
    value: str
    fix: str | None = None


def examine() -> list[Finding]:
    """Look at everything; nothing is changed."""
    installed = versions()
    return [
        Finding("Python", f"{platform.python_version()} on {platform.platform()}"),
        Finding("algd-jax", str(installed["algd-jax"])),
        Finding("JAX", f"jax {installed['jax']}, jaxlib {installed['jaxlib']}"),
        devices(jax.devices(), has_nvidia_driver()),
        simulator(installed),
        memory(available_memory(jax.devices()[0]), host_memory()),
        cache(jax.config.values),
        *(extra(name) for name in _OPTIONAL),
    ]


def devices(found: list[Any], has_driver: bool) -> Finding:
    """What JAX computes on.

    Args:
      found: JAX's devices.
      has_driver: whether the machine has an NVIDIA driver.
    """
    kinds = [device.device_kind for device in found]
    value = ", ".join(f"{kinds.count(kind)} x {kind}" for kind in dict.fromkeys(kinds))
    if found[0].platform == "cpu":
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        value = f"{value} ({cores} cores)"
        if has_driver:
            return Finding(
                "devices",
                value,
                "there is an NVIDIA driver, but JAX finds no GPU: "
                'pip install "algd-jax[cuda]" in this environment',
            )
    return Finding("devices", value)


def has_nvidia_driver() -> bool:
    """Whether an NVIDIA driver is loaded (Linux)."""
    return Path("/proc/driver/nvidia/version").exists()


def simulator(installed: Mapping[str, str | None]) -> Finding:
    """MuJoCo and MJX, which must be the same release.

    Args:
      installed: versions by distribution; None if not installed.
    """
    mujoco, mjx = installed["mujoco"], installed["mujoco-mjx"]
    value = f"mujoco {mujoco}, mujoco-mjx {mjx}"
    if mujoco is None or mjx is None or mujoco.split(".")[:2] != mjx.split(".")[:2]:
        release = (mjx or mujoco or "3.17.0").rsplit(".", 1)[0]
        pins = f'"mujoco~={release}.0" "mujoco-mjx~={release}.0"'
        fix = f"they must be of one release: pip install {pins}"
        return Finding("simulator", value, fix)
    return Finding("simulator", value)


def memory(device: int, host: int) -> Finding:
    """Free bytes on the device and on the host."""
    value = f"{gib(device)} free on the device, {gib(host)} on the host"
    if host < _SMALLEST_MEMORY:
        fix = (
            f"compiling may take up to {gib(_SMALLEST_MEMORY)} of the host's: close other programs"
        )
        return Finding("memory", value, fix)
    return Finding("memory", value)


def cache(settings: Mapping[str, Any]) -> Finding:
    """Where compiled programs are kept.

    Args:
      settings: JAX's.
    """
    if not settings["jax_enable_compilation_cache"]:
        return Finding(
            "compilation cache",
            "switched off",
            "every start compiles anew, about half a minute: unset JAX_ENABLE_COMPILATION_CACHE",
        )
    folder = Path(settings["jax_compilation_cache_dir"])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        fix = f"{error.strerror}: name another folder in JAX_COMPILATION_CACHE_DIR"
        return Finding("compilation cache", str(folder), fix)
    sizes = [file.stat().st_size for file in folder.iterdir() if file.is_file()]
    return Finding("compilation cache", f"{folder}: {len(sizes)} files, {gib(sum(sizes))}")


def extra(name: str) -> Finding:
    """An optional package; its absence is no fault."""
    purpose, command = _OPTIONAL[name]
    if not is_installed(name):
        return Finding(name, f"not installed ({purpose}: {command})")
    return Finding(name, f"installed ({purpose})")
