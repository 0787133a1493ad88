"""Where a run stands, and whether it can go on."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from algd_jax.config import Config
from algd_jax.errors import ConfigError
from algd_jax.runs.directory import RunDirectory
from algd_jax.runs.logs import read_records
from algd_jax.training import checkpoint


def resumed_config(
    run_dir: str | Path, env_steps: int | None = None, env: str | None = None
) -> Config:
    """The configuration to resume a run with.

    Args:
      run_dir: the run's folder.
      env_steps: new total, if the run shall go on beyond its configured end.
      env: the run's environment, needed if it is "module:attribute".
    """
    config = RunDirectory(Path(run_dir)).read_config(env)
    if env_steps is None:
        return config
    return dataclasses.replace(config, loop=dataclasses.replace(config.loop, env_steps=env_steps))


def planned_steps(config: Config) -> int:
    """Environment steps of a whole run: ``env_steps`` rounded up to whole epochs."""
    iterations = config.warmup_iterations + config.epochs * config.steps_per_epoch
    return iterations * config.loop.num_envs


def epochs_made(config: Config, env_steps: int) -> int:
    """Epochs a state with ``env_steps`` steps has behind it."""
    iterations = env_steps // config.loop.num_envs - config.warmup_iterations
    return iterations // config.steps_per_epoch


def check_resumable(directory: RunDirectory, config: Config) -> None:
    """Raise :class:`ConfigError` unless the run can go on as ``config`` says."""
    path, env_steps = directory.path, config.loop.env_steps
    if resumed_config(path, env_steps, config.env) != config:
        raise ConfigError(f"resume: only env_steps may differ from the configuration of {path}")
    records, step = read_records(directory.metrics_file), checkpoint.latest(directory.state)
    if step is None:
        if records:
            raise ConfigError(f"resume: {path} has no checkpoint of a whole state to continue from")
        return  # It was stopped before anything was made: it begins again.
    # A run killed in its final evaluation has made all its steps, but is not complete.
    complete = directory.evaluation_file.exists()
    if planned_steps(config) < step or (planned_steps(config) == step and complete):
        raise ConfigError(
            f"env_steps: got {env_steps}, but {path} has made {step} steps already; "
            f"allowed is a number > {step}"
        )
