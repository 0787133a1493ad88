"""``policy.json``: what the numbers mean, and where the policy comes from."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from algd_jax.config import Config
from algd_jax.envs import EnvSpec
from algd_jax.runs.directory import RunDirectory
from algd_jax.runs.evaluate import Which
from algd_jax.runs.evaluation_file import read_summary
from algd_jax.runs.export.policy import ExportedPolicy
from algd_jax.runs.provenance import processor, provenance

FORMAT_VERSION = 1
"""Of ``policy.json`` and the files beside it; raised when a reader must change."""

_PROVENANCE = ("start_time", "command", "git_commit", "device", "versions")


def layout(policy: ExportedPolicy, spec: EnvSpec, config: Config) -> dict[str, Any]:
    """What goes in, what comes out, and what it was trained to keep."""
    return {
        "observation": {"size": spec.observation_size, "dtype": "float32"},
        "action": {
            "size": spec.action_size,
            "dtype": "float32",
            "low": list(spec.action_low),
            "high": list(spec.action_high),
        },
        "noise": {"shape": list(policy.noise_shape), "distribution": "unit normal"},
        "cost_limits": config.limits,
        "cost_discount": spec.cost_discount,
        "episode_length": spec.episode_length,
        "control_period": spec.control_period,
        "units": {
            "cost_limits": "cost per episode",
            "episode_length": "environment steps",
            "control_period": "s",
        },
    }


def origin(directory: RunDirectory, config: Config, which: Which, step: int) -> dict[str, Any]:
    """Which policy of which run, how good it was found to be, and what trained and exported it."""
    started, *resumed = (
        {name: start.get(name) for name in _PROVENANCE} for start in directory.read_provenance()
    )
    return {
        "env": config.env,
        "algorithm": config.algorithm,
        "checkpoint": which,
        "step": step,
        "evaluation": _evaluation(directory, which, step),
        "training": started | {"config": dataclasses.asdict(config), "resumed": resumed},
    }


def circumstances(command: list[str]) -> dict[str, Any]:
    """Where and when the policy was exported and timed."""
    return provenance(command) | {
        "processor": processor(),
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 2),
    }


def _evaluation(directory: RunDirectory, which: Which, step: int) -> dict[str, Any] | None:
    """The run's last evaluation, if it is of this very policy."""
    summary = read_summary(directory.evaluation_file)
    if summary is None or (summary.checkpoint, summary.step) != (which, step):
        return None
    return summary.record()
