"""One trial of a packed program, as its own run directory sees it."""

from __future__ import annotations

import contextlib
import math
import time
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from algd_jax.agents.state import AgentState
from algd_jax.config import Config
from algd_jax.files import append_note, read_json
from algd_jax.runs.best import (
    BEST_KEPT,
    Best,
    confirmation_record,
    evaluation_record,
    is_candidate,
    new_best,
)
from algd_jax.runs.curves import save_curves
from algd_jax.runs.directory import write_json
from algd_jax.runs.evaluate import summarize
from algd_jax.runs.final import FinalChoice
from algd_jax.runs.keeping import LAST_KEPT
from algd_jax.runs.logs import Logger, Record, is_feasible, log_name
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
      bests: the newest of the policies that were the best feasible one so far, the best one last.
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
        self.bests: list[Best] = []
        self.failure: str | None = None
        self._config, self._directory, self._tell = config, directory, tell
        self._tracking, self._final = tracking, typing.cast(Record | None, None)
        self._choice = FinalChoice(self._note)
        self._refused = 0
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

    def is_candidate(self, episodes: Episodes) -> bool:
        """Whether a policy with this evaluation is to be evaluated anew."""
        record = evaluation_record(self._config, episodes)
        best = self.bests[-1] if self.bests else None
        return self.failure is None and is_candidate(record, best, self._config.limits)

    def log(
        self,
        epoch: int,
        step: int,
        updates: int,
        seconds: tuple[float, float],
        metrics: EpochMetrics,
        episodes: Episodes,
        fresh: Episodes | None,
    ) -> bool:
        """Note an epoch, unless the trial has failed.

        Args:
          epoch: counts from 0.
          step: environment steps made.
          updates: made.
          seconds: of training and of evaluation.
          metrics: of training.
          episodes: of its evaluation.
          fresh: of a candidate, played anew; else None.

        Returns:
          Whether its policy is the best feasible one so far.
        """
        for played in (episodes, fresh):
            if self.failure is None and played is not None:
                self._check_finite(played, step)
        if self.failure is not None:
            return False
        training_seconds, eval_seconds = seconds
        record = {
            "epoch": epoch + 1,
            "step": step,
            "updates": updates,
            "wall_time": time.perf_counter() - self._start_time,
            **speeds(self._config, training_seconds),
            **metrics_record(self._config, metrics),
            **evaluation_record(self._config, episodes),
            **confirmation_record(self._config, fresh),
            "eval_seconds": eval_seconds,
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

    def save_policies(self, last: AgentState, bests: Sequence[AgentState]) -> None:
        """Write the policies that an ordinary run leaves, where there are any.

        Args:
          last: of the last epoch; of a failed trial, before what went bad.
          bests: that were the best feasible ones, the newest first; others beyond ``self.bests``.
        """
        directory = self._directory
        if self.records:
            notes = {name: self.records[-1][name] for name in ("step", "eval_return", "eval_cost")}
            keep, owner = checkpoint.newest(LAST_KEPT), directory.owner("last")
            checkpoint.save(directory.last, notes["step"], last, notes, keep, owner)
        if directory.evaluation_file.exists():  # It has refused some of the best.
            return
        there = {entry.step for entry in checkpoint.entries(directory.best)}
        for best, agent in reversed(list(zip(reversed(self.bests), bests, strict=False))):
            if best.step not in there:
                keep, owner = checkpoint.newest(BEST_KEPT), directory.owner("best")
                checkpoint.save(directory.best, best.step, agent, best._asdict(), keep, owner)

    @property
    def in_question(self) -> int | None:
        """Which of the best policies, from 0 for the newest, the final evaluation is about.

        None if there is none: then it is about the last policy.
        """
        return self._refused if self.bests else None

    def refuses(self, outcome: Episodes) -> bool:
        """Note the final evaluation of the policy in question.

        Returns:
          Whether it is refused and there is one before, which is in question then.
        """
        config, last_step = self._config, self.records[-1]["step"]
        self._check_finite(outcome, last_step)
        if self.failure is not None:
            return False
        if self.bests:
            step = self.bests[-1 - self._refused].step
            summary = summarize(config, outcome, step, "best", config.seed)
        else:
            summary = summarize(config, outcome, last_step, "last", config.seed)
        if not self._choice.refuses(summary) or self._refused + 1 == len(self.bests):
            return False
        self._refused += 1
        return True

    def end(self) -> None:
        """Write curves and the final evaluation."""
        self.draw()
        if self.failure is None:  # The last file, so that a trial that has it is complete.
            self._choice.forget_refused(self._directory)
            summary = self._choice.summary
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
        before = self.bests[-1] if self.bests else None
        found = new_best(before, record, self._config.limits)
        if found is not None:
            self.bests = [*self.bests, found][-BEST_KEPT:]
        return found is not None

    def _note(self, line: str) -> None:
        self._tell(f"{self._directory.path.name}: {line}")
        append_note(self._directory.log_file, line)

    def _check_finite(self, episodes: Episodes, step: int) -> None:
        for name, values in {"returns": episodes.returns, **episodes.named_costs}.items():
            if not np.all(np.isfinite(values)):
                self.fail(f"evaluation {name} is NaN or infinite at environment step {step}", step)


def _read(path: Path) -> dict[str, Any] | None:
    """What was noted of a failure; None if nothing was, or half of it."""
    try:
        noted = read_json(path, _LARGEST_NOTE)
    except (OSError, ValueError):
        return None
    fine = isinstance(noted, dict) and type(noted.get("step")) is int
    return noted if fine and isinstance(noted.get("reason"), str) else None
