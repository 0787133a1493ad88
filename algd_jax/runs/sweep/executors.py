"""Who runs the programs of a sweep: this process, Slurm, or Ray (``ray_executor.py``)."""

from __future__ import annotations

import dataclasses
import os
import shlex
from collections.abc import Callable, Sequence
from typing import NamedTuple

from algd_jax.errors import ConfigError
from algd_jax.files import replace
from algd_jax.runs.sweep.directory import SweepDirectory
from algd_jax.runs.sweep.plan import Plan
from algd_jax.runs.sweep.program import Report, run_program
from algd_jax.runs.tracking.choice import Tracking


class Job(NamedTuple):
    """What an executor is to run.

    Attributes:
      directory: of the sweep; its plan is written.
      plan: of the sweep.
      programs: numbers of those that are not complete.
      minutes: between two checkpoints of a program.
      command: the command line, for the record.
      tracking: where else trials are logged.
    """

    directory: SweepDirectory
    plan: Plan
    programs: tuple[int, ...]
    minutes: float
    command: tuple[str, ...]
    tracking: Tracking = Tracking()


class Watcher(NamedTuple):
    """Who waits for a job.

    Attributes:
      show: takes each epoch's report.
      tell: takes a line for the user.
      stop_requested: asked after each epoch; a true answer ends the job with checkpoints.
      phase: takes what is done from now on.
    """

    show: Callable[[Report], None]
    tell: Callable[[str], None]
    stop_requested: Callable[[], bool]
    phase: Callable[[str], None] = lambda name: None

    def hear(self, said: Report | str) -> None:
        """Take what a program says: a report, or a line."""
        if isinstance(said, str):
            self.tell(said)
        else:
            self.show(said)


Executor = Callable[[Job, Watcher], None]
"""Runs a job."""


class Resources(NamedTuple):
    """What a program asks a cluster for.

    Attributes:
      cpus: cores.
      gpus: accelerators.
    """

    cpus: int = 1
    gpus: int = 0


def run_locally(job: Job, watcher: Watcher) -> None:
    """One program after the other, in this process."""
    for number in job.programs:
        if watcher.stop_requested():
            return
        for said in run_program(
            job.directory,
            job.plan,
            number,
            watcher.stop_requested,
            job.minutes,
            job.command,
            tracking=job.tracking,
            phase=watcher.phase,
        ):
            watcher.hear(said)


@dataclasses.dataclass(frozen=True)
class SlurmScript:
    """Runs nothing, but writes the script of a Slurm array job: a task for each program.

    Attributes:
      arguments: of ``algd sweep`` for this sweep, without executor and program.
      resources: that each task asks for.
    """

    arguments: Sequence[str]
    resources: Resources

    def __call__(self, job: Job, watcher: Watcher) -> None:
        """Write ``sweep.sbatch`` into the sweep's folder."""
        path = job.directory.path / "sweep.sbatch"
        logs = job.directory.path.resolve() / "slurm"
        if not job.programs:
            raise ConfigError(f"executor: every program of {job.directory.path} is complete")
        logs.mkdir(exist_ok=True)
        command = shlex.join(["algd", "sweep", *self.arguments])
        gpus = [f"#SBATCH --gpus-per-task={self.resources.gpus}"] if self.resources.gpus else []
        lines = [
            "#!/bin/bash",
            "# A task for each program of the sweep that is not complete. One that reaches its",
            "# time limit leaves a checkpoint: submit this script again, and it goes on.",
            "#SBATCH --job-name=algd-sweep",
            f"#SBATCH --array={','.join(map(str, job.programs))}",
            "#SBATCH --ntasks=1",
            f"#SBATCH --cpus-per-task={self.resources.cpus}",
            *gpus,
            "#SBATCH --signal=TERM@300",
            "#SBATCH --requeue",
            "#SBATCH --open-mode=append",
            f'#SBATCH --output="{logs}/%A-%a.log"',
            "",
            f"cd {shlex.quote(os.getcwd())}",
            f'exec srun {command} --program="$SLURM_ARRAY_TASK_ID"',
        ]
        replace(path, ("\n".join(lines) + "\n").encode())
        watcher.tell(f"next: sbatch {shlex.quote(str(path))}")
