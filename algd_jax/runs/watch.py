"""``algd watch``: a run as another terminal sees it, from the files in its folder."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from algd_jax.config import Config, validate
from algd_jax.errors import ConfigError
from algd_jax.runs.best import best_of
from algd_jax.runs.directory import RunDirectory
from algd_jax.runs.display import Display, Progress
from algd_jax.runs.evaluation_file import read_summary
from algd_jax.runs.logs import Record, is_number, log_name, read_records
from algd_jax.runs.resuming import planned_steps

SECONDS_BETWEEN_LOOKS = 1.0

_AT_FIRST = 10
"""Epochs made before the watch began of which a line is shown, the newest."""


def watch(
    run_dir: Path, display: Display, once: bool = False, seconds: float = SECONDS_BETWEEN_LOOKS
) -> None:
    """Show the epochs of a run as they are logged, until its last evaluation is written.

    Nothing is written, and nothing that the folder names is imported.

    Args:
      run_dir: the run's folder.
      display: what the user sees.
      once: show the newest epoch and how the run stands, and return.
      seconds: between two looks at the folder [s].

    Raises:
      ConfigError: if this is no run, or its log holds something else than epochs.
    """
    directory = RunDirectory(run_dir)
    config = directory.look_up_config()
    watcher = _Watcher(directory, display, at_first=1 if once else _AT_FIRST)
    display.start(
        f"{config.algorithm} on {config.env}, preset {config.preset}, seed {config.seed}: {run_dir}"
    )
    try:
        while not watcher.look() and not once:
            time.sleep(seconds)
    finally:
        display.stop()


_LARGEST_OF_CLOCK = 1e12


class _Watcher:
    """Remembers what has been shown."""

    def __init__(self, directory: RunDirectory, display: Display, at_first: int):
        self._directory, self._display, self._at_first = directory, display, at_first
        self._last_step: int | None = None
        self._waits = False

    def look(self) -> bool:
        """Show what is new; whether the run is complete."""
        # First, so that what was logged before the end has been read when the end is seen.
        outcome = _outcome(self._directory.evaluation_file)
        config = self._directory.look_up_config()  # Anew: a resumed run may go on for longer.
        validate(config)
        self._show(read_records(self._directory.metrics_file), config)
        if outcome is not None:
            self._display.note(outcome)
        return outcome is not None

    def _show(self, records: Sequence[Record], config: Config) -> None:
        steps = [record["step"] for record in records]
        if self._last_step is None:
            new = range(max(0, len(steps) - self._at_first), len(steps))
        elif self._last_step in steps:
            new = range(steps.index(self._last_step) + 1, len(steps))
        else:  # The run was resumed from an earlier step; those epochs are made again.
            new = range(max(0, len(steps) - 1), len(steps))
        for index in new:
            self._display.epoch(
                _progress(records[: index + 1], config, self._directory.metrics_file)
            )
        if not steps and not self._waits:
            self._waits = True
            self._display.phase("waiting for the first epoch")
        if new:
            self._last_step = steps[-1]
            done = self._last_step >= planned_steps(config)
            self._display.phase("final evaluation" if done else "waiting for the next epoch")


def _progress(records: Sequence[Record], config: Config, file: Path) -> Progress:
    """How far a run was when the last of ``records`` was logged.

    Raises:
      ConfigError: if that record lacks what an epoch of this run has.
    """
    limits, newest = config.limits, records[-1]
    shown = ["eval_return", "steps_per_second", "wall_time"]
    shown += [log_name(kind, cost) for cost in limits for kind in ("eval_cost", "lam")]
    for name in shown:
        if not is_number(newest.get(name)):
            raise ConfigError(f"{file}: the epoch of step {newest['step']} has no number {name!r}")
    for name in ("steps_per_second", "wall_time"):
        if not 0 <= newest[name] <= _LARGEST_OF_CLOCK:
            raise ConfigError(
                f"{file}: the epoch of step {newest['step']}: {name}: got {newest[name]}, allowed "
                f"is a number from 0 to {_LARGEST_OF_CLOCK:g}"
            )
    total = planned_steps(config)
    return Progress(
        record=newest,
        total_steps=total,
        limits=limits,
        seconds_left=_seconds_left(records, total),
        best=str(best_of(records, limits) or "none"),
    )


def _seconds_left(records: Sequence[Record], total: int) -> float:
    """Until ``total`` steps, at the pace of the epochs after the first, which waits for compiling.

    The first epoch alone tells its own pace.
    """
    first, newest = records[0], records[-1]
    left = max(0, total - newest["step"])
    if len(records) == 1 or newest["step"] == first["step"]:
        return left / max(newest["steps_per_second"], 1e-9)
    seconds = newest["wall_time"] - (first.get("wall_time") or 0.0)
    return left * max(0.0, seconds) / (newest["step"] - first["step"])


def _outcome(evaluation_file: Path) -> str | None:
    """The final evaluation in words; None as long as there is none."""
    summary = read_summary(evaluation_file)
    if summary is None:
        return None
    verdict = "feasible" if summary.feasible else "NOT feasible"
    figures = f"return {summary.return_mean:.2f}, cost {summary.cost_mean:.2f} per episode"
    return f"finished: {figures}, {verdict}"
