"""One trial of a packed program, as its own run directory sees it."""

from __future__ import annotations

import contextlib
import math
import time
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from algd_jax.agents.state import AgentState
from algd_jax.config import Config
from algd_jax.files import append_note, read_json
from algd_jax.runs.curves import save_curves
from algd_jax.runs.directory import write_json
from algd_jax.runs.evaluate import Which, summarize
from algd_jax.runs.keeping import POLICIES_KEPT, Best
from algd_jax.runs.logs import Logger, Record, by_cost, is_feasible, log_name
from algd_jax.runs.run import metrics_record, speeds
from algd_jax.runs.sweep.directory import TrialDirectory
from algd_jax.runs.tracking.choice import Tracking
from algd_jax.training import checkpoint
from algd_jax.training.epoch import EpochMetrics
from algd_jax.training.evaluation import Episodes

_LARGEST_NOTE = 2**20


class Member:
    """The host side of one trial.

    Attributes:
      best: the best feasible policy so far.
      failure: why the trial has failed, or None.
    """

    def __init__(
        self,
        config: Config,
        directory: TrialDirectory,
        tell: Callable[[str], None],
        tracking: Tracking = Tracking(),
    ):
        """Args:
        config: of the trial.
        directory: its folder.
        tell: takes a line worth knowing.
        tracking: where else it is logged.
        """
        self.best: Best | None = None
        self.failure: str | None = None
        self._config, self._directory, self._tell = config, directory, tell
        self._tracking, self._final = tracking, typing.cast(Record | None, None)
        self._ending = contextlib.ExitStack()

    @property
    def records(self) -> list[Record]:
        """The epochs logged so far."""
        return self._logger.records

    def begin(self, command: tuple[str, ...]) -> None:
        """Make the run directory, unless it is there already."""
        if not self._directory.config_file.is_file():
            self._directory.create(self._config, list(command))

    def open(self, step: int) -> None:
        """Go on from environment step ``step``: what was noted of later ones is to be made anew."""
        self._logger = Logger(
            self._directory.metrics_file,
            self._directory.tensorboard,
            step,
            self._tracking.logs(self._config, self._directory, self._tell, self._directory.sweep),
        )
        self._ending.callback(lambda: self._logger.close(self._final))
        self._start_time = time.perf_counter()
        if self.records:
            self._start_time -= self.records[-1]["wall_time"]
        for record in self.records:
            self._compare(record)
        noted = _read(self._directory.failure_file)
        if noted is not None and noted["step"] <= step:
            self.failure = noted["reason"]
        else:
            self._directory.failure_file.unlink(missing_ok=True)
        self._directory.pruned_file.unlink(missing_ok=True)  # It is still trained.

    def fail(self, reason: str, step: int) -> None:
        """Note that something went bad, found at environment step ``step``; once."""
        if self.failure is None:
            self.failure = reason
            write_json(self._directory.failure_file, {"reason": reason, "step": step})
            self._tell(f"{self._directory.path.name} failed: {reason}; the others go on")
            append_note(self._directory.log_file, f"failed: {reason}")

    def log(
        self,
        epoch: int,
        step: int,
        updates: int,
        seconds: float,
        metrics: EpochMetrics,
        episodes: Episodes,
    ) -> bool:
        """Note an epoch, which counts from 0, unless the trial has failed.

        Returns:
          Whether its policy is the best feasible one so far.
        """
        if self.failure is None:
            self._check_finite(episodes, step)
        if self.failure is not None:
            return False
        record = {
            "epoch": epoch + 1,
            "step": step,
            "updates": updates,
            "wall_time": time.perf_counter() - self._start_time,
            **speeds(self._config, seconds),
            **metrics_record(self._config, metrics),
            "eval_return": float(np.mean(episodes.returns)),
            **by_cost("eval_cost", {k: np.mean(v) for k, v in episodes.named_costs.items()}),
        }
        self._logger.log(record)
        return self._compare(record)

    def standing(self) -> tuple[float, list[float]]:
        """Return, and each limited cost above its limit, of the last epoch; NaN if it failed."""
        limits = self._config.limits
        if self.failure is not None:
            return math.nan, [math.nan] * len(limits)
        record = self.records[-1]
        costs = {name: record[log_name("eval_cost", name)] for name in limits}
        return record["eval_return"], [costs[name] - limits[name] for name in limits]

    def prune(self, step: int, epoch: int, rank: int, ranked: int) -> None:
        """Note that the trial is not trained any further; a failed one has ended already.

        Args:
          step: environment steps made.
          epoch: epochs made.
          rank: of its configuration, from 1.
          ranked: configurations that were ranked.
        """
        self.draw()
        if self.failure is None:
            noted = {"step": step, "epoch": epoch, "rank": rank, "ranked": ranked}
            write_json(self._directory.pruned_file, noted)
            append_note(self._directory.log_file, f"pruned: rank {rank} of {ranked}")

    def is_feasible(self) -> bool:
        """Whether the trial has not failed, and its last epoch's policy was feasible."""
        sound = self.failure is None and bool(self.records)
        return sound and is_feasible(self.records[-1], self._config.limits)

    def save_policies(self, last: AgentState, best: AgentState) -> None:
        """Write the policies that an ordinary run leaves, where there are any.

        Args:
          last: of the last epoch; of a failed trial, before what went bad.
          best: of the best feasible evaluation; not used if there was none.
        """
        if self.records:
            self._save(self._directory.last, last, _evaluation(self.records[-1]))
        if self.best is not None and checkpoint.latest(self._directory.best) != self.best.step:
            self._save(self._directory.best, best, self.best)

    def end(self, outcome: Episodes) -> None:
        """Write curves and the final evaluation, of the best policy or else of the last one."""
        config = self._config
        which: Which = "last" if self.best is None else "best"
        step = self.records[-1]["step"] if self.best is None else self.best.step
        self._check_finite(outcome, self.records[-1]["step"])
        self.draw()
        if self.failure is None:  # The last file, so that a trial that has it is complete.
            summary = summarize(config, outcome, step, which, config.seed)
            write_json(self._directory.evaluation_file, summary.record())
            self._final = summary.numbers()

    def close(self) -> None:
        """End the trial's logs, if they are open."""
        self._ending.close()

    def draw(self) -> None:
        """Draw the curves; a picture is no reason to fail."""
        config = self._config
        title = f"{config.algorithm} on {config.env}, seed {config.seed}"
        with contextlib.suppress(OSError):
            if self.records:
                save_curves(self._directory.curves_file, self.records, config.limits, title)

    def _compare(self, record: Record) -> bool:
        """Keep in mind the best feasible policy; whether it is this epoch's."""
        candidate = _evaluation(record)
        is_best = is_feasible(record, self._config.limits) and (
            self.best is None or candidate.eval_return > self.best.eval_return
        )
        self.best = candidate if is_best else self.best
        return is_best

    def _check_finite(self, episodes: Episodes, step: int) -> None:
        for name, values in {"returns": episodes.returns, **episodes.named_costs}.items():
            if not np.all(np.isfinite(values)):
                self.fail(f"evaluation {name} is NaN or infinite at environment step {step}", step)

    def _save(self, folder: Path, agent: AgentState, notes: Best) -> None:
        keep = checkpoint.newest(POLICIES_KEPT)
        owner = self._directory.owner(folder.name)
        checkpoint.save(folder, notes.step, agent, notes._asdict(), keep, owner)


def _evaluation(record: Record) -> Best:
    return Best(record["step"], record["eval_return"], record["eval_cost"])


def _read(path: Path) -> dict[str, Any] | None:
    """What was noted of a failure; None if nothing was, or half of it."""
    try:
        noted = read_json(path, _LARGEST_NOTE)
    except (OSError, ValueError):
        return None
    fine = isinstance(noted, dict) and type(noted.get("step")) is int
    return noted if fine and isinstance(noted.get("reason"), str) else None
