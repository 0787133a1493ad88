"""A whole sweep: plan it, or take up the plan that is there, and have its programs run."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from algd_jax.errors import ConfigError
from algd_jax.runs.sweep.directory import DONE, FAILED, PRUNED, SweepDirectory
from algd_jax.runs.sweep.executors import Executor, Job, Watcher, run_locally
from algd_jax.runs.sweep.halving import Halving
from algd_jax.runs.sweep.packing import describe, pack
from algd_jax.runs.sweep.plan import Plan, Trial
from algd_jax.runs.sweep.program import CHECKPOINT_MINUTES, Report
from algd_jax.runs.sweep.table import is_complete, write_tables
from algd_jax.runs.tracking.choice import Tracking


class Outcome(NamedTuple):
    """How a sweep stands.

    Attributes:
      path: its folder.
      trials, done, failed, pruned: how many there are, and how many of them ended how.
    """

    path: Path
    trials: int
    done: int
    failed: int
    pruned: int

    @property
    def complete(self) -> bool:
        """Whether nothing is left to do."""
        return self.left == 0

    @property
    def left(self) -> int:
        """Trials that have not ended."""
        return self.trials - self.done - self.failed - self.pruned


def sweep(
    trials: Sequence[Trial],
    run_dir: str | Path,
    *,
    members: int | None = None,
    search: Halving | None = None,
    program: int | None = None,
    minutes: float = CHECKPOINT_MINUTES,
    executor: Executor = run_locally,
    stop_requested: Callable[[], bool] = lambda: False,
    tell: Callable[[str], None] = lambda line: None,
    command: Sequence[str] = (),
    phase: Callable[[str], None] = lambda name: None,
    dry_run: bool = False,
    tracking: Tracking = Tracking(),
) -> Outcome:
    """Begin a sweep, or finish one that was stopped; what is done already is skipped.

    Args:
      trials: see ``make_trials``. To resume, the same ones.
      run_dir: folder of the sweep; new, empty, or that of these very trials.
      members: the most of one program; by default as many as fit in memory.
      search: how members are pruned on the way; by default none are.
      program: run only this one.
      minutes: between two checkpoints of a program's whole state.
      executor: has the programs run; see ``executors.py``.
      stop_requested: asked before each program and after each epoch; a true answer ends the sweep
        with a checkpoint.
      tell: takes a line for the user.
      command: the command line, for the record.
      phase: takes what is done from now on, for a display.
      dry_run: only tell the plan, and write nothing.
      tracking: where else trials are logged.

    Raises:
      ConfigError: if the trials or the folder cannot work; nothing has been written then.
      RunError: if what it shall leave cannot be written.
    """
    if not minutes >= 0:
        raise ConfigError(f"--checkpoint-minutes: got {minutes}, allowed is a number >= 0")
    directory = SweepDirectory(Path(run_dir))
    resumed = directory.exists()
    plan = directory.read_plan() if resumed else pack(trials, members, search)
    directory.check_same(plan, trials, search)
    if resumed:
        directory.check_members(plan, members)
    wanted = _wanted(plan, program)
    tracking.check(*map(directory.trial, plan.trials))
    missing = tuple(k for k in wanted if not (resumed and is_complete(directory, plan, k)))
    tell(_title(plan, directory, len(wanted) - len(missing)))
    for line in describe(plan, members):
        tell(line)
    if not dry_run:
        if not resumed:
            directory.create(plan, command)
        elif missing:
            directory.add_resumption(command)
        progress = _Progress(plan, missing, tell)
        job = Job(directory, plan, missing, minutes, tuple(command), tracking)
        executor(job, Watcher(progress.show, tell, stop_requested, phase))
        write_tables(directory, plan)
    statuses = [directory.trial(trial).status for trial in plan.trials]
    ends = map(statuses.count, (DONE, FAILED, PRUNED))
    return Outcome(directory.path, len(statuses), *ends)


class _Progress:
    """What the user is told after each epoch."""

    def __init__(self, plan: Plan, programs: Sequence[int], tell: Callable[[str], None]):
        self._plan, self._programs, self._tell = plan, programs, tell
        self._is_first = True

    def show(self, report: Report) -> None:
        to_make = self._plan.member_epochs(report.program, report.epoch)
        left = _time(to_make / report.members * report.seconds)
        median = "-" if report.median_return is None else f"{report.median_return:.2f}"
        failed = f", {report.failed} failed" if report.failed else ""
        self._tell(
            f"program {report.program}  epoch {report.epoch}/{report.epochs}  "
            f"step {report.step:,}  median return {median}  "
            f"feasible {report.feasible} of {report.members}{failed}  {left} left"
        )
        if self._is_first and len(self._programs) > 1:
            self._tell(f"by this epoch, all programs one after the other take {self._all(report)}")
        self._is_first = False

    def _all(self, report: Report) -> str:
        """Time until the end of all programs, if every step of a member takes as long."""
        config = self._plan.members(report.program)[0].config
        seconds = report.seconds / (config.steps_per_epoch * config.loop.num_envs * report.members)
        steps = sum(map(self._steps, self._programs))
        return _time((steps - report.step * report.members) * seconds)

    def _steps(self, program: int) -> float:
        """Environment steps of all members of a program."""
        members = self._plan.members(program)
        config = members[0].config
        warmup = len(members) * config.warmup_iterations
        epochs = self._plan.member_epochs(program) * config.steps_per_epoch
        return (warmup + epochs) * config.loop.num_envs


def _wanted(plan: Plan, program: int | None) -> list[int]:
    last = len(plan.programs) - 1
    if program is not None and not 0 <= program <= last:
        raise ConfigError(f"--program: got {program}, allowed is an integer in [0, {last}]")
    return list(range(last + 1)) if program is None else [program]


def _title(plan: Plan, directory: SweepDirectory, complete: int) -> str:
    trials, programs = len(plan.trials), len(plan.programs)
    done = f", {complete} complete already" if complete else ""
    counted = "1 program" if programs == 1 else f"{programs} programs"
    return f"{trials} trials in {counted}{done} -> {directory.path}"


def _time(seconds: float) -> str:
    return str(datetime.timedelta(seconds=round(seconds)))
