"""The host loop: drives the jitted epoch and keeps clock, logs, checkpoints and screen.

from algd_jax.presets import preset
from algd_jax.runs.run import train

result = train(preset("quick", "PointButton1"), "runs/first")
"""

from __future__ import annotations

import contextlib
import math
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from algd_jax.agents.state import AgentState
from algd_jax.config import RESTORE, Config, Hyper
from algd_jax.errors import ConfigError
from algd_jax.files import append_note
from algd_jax.runs.best import (
    FRESH_BATCHES,
    confirmation_record,
    evaluation_record,
    is_candidate,
)
from algd_jax.runs.build import Stream, build, stream_key
from algd_jax.runs.curves import save_curves
from algd_jax.runs.directory import RunDirectory, write_json
from algd_jax.runs.display import Display, Progress
from algd_jax.runs.evaluate import Summary, concatenated
from algd_jax.runs.final import final_evaluation
from algd_jax.runs.health import diverging, found
from algd_jax.runs.interrupt import preempted
from algd_jax.runs.keeping import Keeper
from algd_jax.runs.logs import Logger, Record, by_cost
from algd_jax.runs.memory import available_memory, check_memory
from algd_jax.runs.programs import Programs
from algd_jax.runs.resuming import check_resumable, epochs_made, planned_steps
from algd_jax.runs.tracking.choice import Tracking
from algd_jax.training import checkpoint
from algd_jax.training.checkpoint import CheckpointError
from algd_jax.training.epoch import CHECKED, EpochMetrics, Trainer, TrainState
from algd_jax.training.evaluation import Episodes
from algd_jax.training.health import Health, describe
from algd_jax.training.memory import required_memory
from algd_jax.training.sharding import data_mesh, first_devices, sharded
from algd_jax.types import TOTAL_COST


class RunError(Exception):
    """A run that failed; the message is one line fit for a terminal."""


class BadNumberError(RunError):
    """A number that went bad; from the last checkpoint the run may go another way.

    Attributes:
      found: what was bad.
    """

    def __init__(self, found: str, kept: str):
        super().__init__(f"{found}; {kept}")
        self.found = found


_PER_CONSTRAINT = ("risk", "violation", "lam", "rho")
"""What an update reports of each constraint."""

RESTORES = 3
"""Times that a run is set back to one checkpoint before it counts as failed."""


class RunResult(NamedTuple):
    """How a run ended.

    Attributes:
      run_dir: its folder.
      step: environment steps made.
      evaluation: the final evaluation; None if the run was stopped before its end.
    """

    run_dir: Path
    step: int
    evaluation: Summary | None


def train(
    config: Config,
    run_dir: str | Path,
    *,
    display: Display | None = None,
    stop_requested: Callable[[], bool] = lambda: False,
    resume: bool = False,
    devices: int = 1,
    command: Sequence[str] = (),
    tracking: Tracking = Tracking(),
) -> RunResult:
    """Train, evaluate and log one run.

    Args:
      config: what to train. To resume, the run's own (``algd_jax.runs.resuming.resumed_config``).
      run_dir: folder of the run; must be new or empty unless ``resume``.
      display: what the user sees; nothing by default.
      stop_requested: asked before the first epoch and after each; a true answer ends the run
        with a checkpoint, as does a notice of JAX's preemption service.
      resume: continue from the run's last checkpoint of the whole state.
      devices: how many of the local ones share environments, replay and batches. It changes nothing
        but rounding, and may be another number when the run is resumed.
      command: the command line, for the record.
      tracking: where else the run is logged.

    Raises:
      ConfigError: if the configuration or the folder cannot work; nothing has been written then.
      RunError: if a number became NaN or infinite, or what the run shall leave cannot be written;
        the last good checkpoints are kept.
    """
    directory = RunDirectory(Path(run_dir))
    if resume:
        check_resumable(directory, config)
    else:
        directory.check_free()
    trainer, hyper = _trainer(config, devices), config.hyper.as_arrays()
    config = trainer.config
    first = jax.devices()[0]
    required = required_memory(trainer, hyper)
    if first.platform != "cpu":
        required = required.on_each_of(devices)
    check_memory(required, available_memory(first), config)
    tracking.check(directory)
    if not resume:
        directory.create(config, list(command))
    display = display or Display()
    with directory.running(), contextlib.ExitStack() as ending:
        run = _Run(trainer, hyper, directory, display, tracking, ending)
        run.display.start(_title(config, directory))
        # A run killed before its first checkpoint begins again.
        begun = checkpoint.latest(directory.state) is not None
        # A run that cannot be restored is left as it is.
        with contextlib.nullcontext() if begun else run.noting_failure():
            state = run.restore() if begun else run.begin()
        if resume:  # From here on, files of the stopped run are overwritten.
            with run.writing(directory.config_file):
                directory.add_resumption(config, list(command))
            run.tell_of_logs_left_out()
        with run.noting_failure():
            return run.train(state, stop_requested)


@contextlib.contextmanager
def failure_noted(
    log_file: Path, tell: Callable[[str], None] = lambda line: None
) -> Iterator[None]:
    """Context that notes in a log what ended it: an error of this package in its own words, any
    other exception by its traceback.

    Args:
      log_file: the log.
      tell: takes the line that says where the traceback is.
    """
    try:
        yield
    except (RunError, ConfigError) as error:
        append_note(log_file, f"failed: {error}")
        raise
    except Exception:
        append_note(log_file, "failed:", *traceback.format_exc().splitlines())
        tell(f"the traceback of this failure is in {log_file}")
        raise


def _trainer(config: Config, devices: int) -> Trainer:
    """The functions of the run, on so many devices."""
    chosen, trainer = first_devices(devices), build(config)
    return trainer if devices == 1 else sharded(trainer, data_mesh(chosen))


class _Run:
    """The host side of one run."""

    def __init__(
        self,
        trainer: Trainer,
        hyper: Hyper,
        directory: RunDirectory,
        display: Display,
        tracking: Tracking,
        ending: contextlib.ExitStack,
    ):
        self.trainer, self.hyper, self.directory, self.display = trainer, hyper, directory, display
        self.config, self.tracking, self.ending = trainer.config, tracking, ending
        self.evaluation: Summary | None = None
        self.start_time = time.perf_counter()
        self.keeper = Keeper(directory, self.config, self._tell)
        self.ending.callback(display.stop)
        self.ending.callback(self.keeper.close)
        self.init_key = stream_key(self.config.seed, Stream.TRAINING)
        self.eval_key = stream_key(self.config.seed, Stream.EVALUATION)
        self.confirm_key = stream_key(self.config.seed, Stream.CONFIRMATION)
        self.set_back_to: list[int] = []
        self.diverging: set[str] = set()

    def noting_failure(self) -> contextlib.AbstractContextManager[None]:
        """Context that keeps in run.log what ended the run."""
        return failure_noted(self.directory.log_file, self.display.note)

    def begin(self) -> TrainState:
        """The state after warm-up, from nothing."""
        self._start_compiling(fresh=True)
        state = self.programs.init(self.init_key, self.hyper)
        state = self.programs.warmup(state, self.hyper)
        self._check_health(jax.device_get(state.health))
        if self.config.loop.checkpoint_epochs:  # From here on, a killed run can be resumed.
            self.keeper.keep_state(state, int(state.env_steps))
        return state

    def restore(self) -> TrainState:
        """The state of the last undamaged checkpoint."""
        self.display.phase("restoring")
        state = self.keeper.restore_state(self._state_like())
        self._start_compiling(fresh=False)
        return state

    def _state_like(self) -> TrainState:
        state = jax.eval_shape(self.trainer.init, self.init_key, self.hyper)
        return self.trainer.placed(state)

    def _set_back(self, error: BadNumberError) -> TrainState:
        """The last good state with a new key, if the run shall go on from there.

        Raises:
          BadNumberError: the same, if it shall not, or did not help.
        """
        if self.config.health.on_bad_number != RESTORE:
            raise error
        state = self.keeper.restore_state(self._state_like())
        step = int(state.env_steps)
        self.set_back_to.append(step)
        attempt = self.set_back_to.count(step)
        if attempt > RESTORES:
            raise error
        self._tell(f"{error.found}; going on from the checkpoint of step {step} with a new key")
        self.keeper.forget_after(step)
        self.logger.rewind(step)
        self.keeper.recall(self.logger.records)
        # An epoch splits this key in three, which is the same as folding in 0, 1 and 2.
        return state.replace(key=jax.random.fold_in(state.key, 2 + attempt))

    def train(self, state: TrainState, stop_requested: Callable[[], bool]) -> RunResult:
        """All remaining epochs and, unless stopped before, the final evaluation."""
        self.programs.wait()
        self._wait_for_checkpoints()
        step = int(state.env_steps)
        with self._logging(step):
            done = first = epochs_made(self.config, step)
            clock = time.perf_counter()
            stopped = stop_requested() or preempted(done)
            while done < self.config.epochs and not stopped:
                try:
                    state, record = self._epoch(state, done)
                except BadNumberError as error:
                    state = self._set_back(error)
                    done = epochs_made(self.config, int(state.env_steps))
                    continue
                done += 1
                stopped = stop_requested() or preempted(done)
                self.display.phase("checkpointing")
                self.keeper.keep(state, record, now=stopped or done == self.config.epochs)
                if stopped:  # Before it is shown: that may be all there is time for.
                    self._wait_for_checkpoints()
                seconds_per_epoch = (time.perf_counter() - clock) / max(1, done - first)
                self._show(record, (self.config.epochs - done) * seconds_per_epoch)
            self.keeper.keep_state(state, int(state.env_steps))
            self._wait_for_checkpoints()
        # The last file, so that a run that has it is complete.
        if done >= self.config.epochs:
            self.evaluation = self._final_evaluation()
        return RunResult(self.directory.path, int(state.env_steps), self.evaluation)

    @contextlib.contextmanager
    def _logging(self, step: int) -> Iterator[None]:
        """Opens the logs of a run that has made ``step`` steps; afterwards draws its curves."""
        with self.writing(self.directory.metrics_file):
            self.logger = Logger(
                self.directory.metrics_file,
                self.directory.tensorboard,
                step,
                self.tracking.logs(self.config, self.directory, self._tell),
            )
        self.ending.callback(self._close_logs)
        self.keeper.recall(self.logger.records)
        if self.logger.records:
            self.start_time -= self.logger.records[-1].get("wall_time") or 0.0
        try:
            yield
        finally:
            if self.logger.records:
                self._draw_curves()

    def tell_of_logs_left_out(self) -> None:
        """A service where a resumed run was logged is written only if it is asked for again."""
        for name in self.tracking.left_out(self.directory):
            self._tell(f"this run was logged to {name} before; --log-to {name} goes on there")

    def _close_logs(self) -> None:
        if self.tracking.log_to:
            self.display.phase("sending the last epochs")
        self.logger.close(None if self.evaluation is None else self.evaluation.numbers())

    def _draw_curves(self) -> None:
        title = f"{self.config.algorithm} on {self.config.env}, seed {self.config.seed}"
        limits = self.config.limits
        try:
            save_curves(self.directory.curves_file, self.logger.records, limits, title)
        except OSError as error:  # A picture is no reason to fail.
            self._tell(f"{self.directory.curves_file} was not written: {error.strerror}")

    @contextlib.contextmanager
    def writing(self, path: Path) -> Iterator[None]:
        """Turns what the file system refuses for ``path`` into one clear line."""
        try:
            yield
        except OSError as error:
            with contextlib.suppress(RunError):
                self._wait_for_checkpoints()
            raise RunError(
                f"{path} was not written: {error.strerror}; {self.keeper.last_good()}"
            ) from error

    def _wait_for_checkpoints(self) -> None:
        try:
            self.keeper.wait()
        except CheckpointError as error:
            raise RunError(str(error)) from error

    def _tell(self, line: str) -> None:
        """What the user should know, now and later."""
        self.display.note(line)
        append_note(self.directory.log_file, line)

    def _start_compiling(self, *, fresh: bool) -> None:
        self.display.phase("compiling and warming up" if fresh else "compiling")
        self.programs = Programs(self.trainer, self.hyper, self.init_key, fresh=fresh)

    def _epoch(self, state: TrainState, epoch: int) -> tuple[TrainState, Record]:
        """Train, evaluate and log; ``epoch`` counts from 0."""
        self.display.phase("training")
        clock = time.perf_counter()
        state, metrics = self.programs.train_epoch(state, self.hyper)
        metrics, health, step, updates = jax.device_get(
            (metrics, state.health, state.env_steps, state.agent.updates)
        )
        seconds = time.perf_counter() - clock
        self._check_health(health, metrics)
        self.display.phase("evaluating")
        clock = time.perf_counter()
        evaluation = self._evaluation_record(state.agent, epoch, int(step))
        record = {
            "epoch": epoch + 1,
            "step": int(step),
            "updates": int(updates),
            "wall_time": time.perf_counter() - self.start_time,
            **speeds(self.config, seconds),
            **metrics_record(self.config, metrics),
            **evaluation,
            "eval_seconds": time.perf_counter() - clock,
        }
        with self.writing(self.directory.metrics_file):
            self.logger.log(record)
        self._warn_of_divergence(record)
        return state, record

    def _evaluation_record(self, agent: AgentState, epoch: int, step: int) -> Record:
        """Evaluate, and a candidate for the best policy anew."""
        key = jax.random.fold_in(self.eval_key, epoch)
        record = evaluation_record(self.config, self._evaluate(agent, key, step))
        fresh = None
        if is_candidate(record, self.keeper.best, self.config.limits):
            key = jax.random.fold_in(self.confirm_key, epoch)
            keys = [jax.random.fold_in(key, number) for number in range(FRESH_BATCHES)]
            fresh = concatenated([self._evaluate(agent, one, step) for one in keys])
        return record | confirmation_record(self.config, fresh)

    def _evaluate(self, agent: AgentState, key: jax.Array, step: int) -> Episodes:
        episodes = jax.device_get(self.programs.evaluate(agent, key, self.hyper))
        for name, values in {"returns": episodes.returns, **episodes.named_costs}.items():
            if not np.all(np.isfinite(values)):
                raise self._not_finite(
                    f"evaluation {name} is NaN or infinite at environment step {step}"
                )
        return episodes

    def _final_evaluation(self) -> Summary:
        self.display.phase("final evaluation")
        choice = final_evaluation(self.trainer, self.directory, self.programs.evaluate, self._tell)
        summary = choice.summary
        if not summary.is_finite:
            raise self._not_finite("the final evaluation is NaN or infinite")
        choice.forget_refused(self.directory)
        with self.writing(self.directory.evaluation_file):
            write_json(self.directory.evaluation_file, summary.record())
        return summary

    def _show(self, record: Record, seconds_left: float) -> None:
        self.display.epoch(
            Progress(
                record=record,
                total_steps=planned_steps(self.config),
                limits=self.config.limits,
                seconds_left=seconds_left,
                best=str(self.keeper.best or "none"),
            )
        )

    def _check_health(self, health: Health, metrics: EpochMetrics | None = None) -> None:
        """Deal with the first bad number of an epoch, or of warm-up (without metrics)."""
        bad = describe(health, CHECKED)
        if bad is None:
            return
        every = self.config.steps_per_epoch * self.config.loop.updates_per_step
        can_go_on = self.config.health.skips_updates and (
            metrics is None or metrics.skipped < every
        )
        if not can_go_on:
            raise self._not_finite(found(bad))
        skipped = 0 if metrics is None else int(metrics.skipped)
        self._tell(f"{found(bad)}; {skipped} updates and all bad transitions were left out")

    def _warn_of_divergence(self, record: Record) -> None:
        """Tell what has passed its bound, once until it comes back."""
        beyond = dict(diverging(record, self.config))
        for name in beyond.keys() - self.diverging:
            self._tell(beyond[name])
        self.diverging = set(beyond)

    def _not_finite(self, what: str) -> BadNumberError:
        with contextlib.suppress(RunError):  # The last good one may be on its way to the disk.
            self._wait_for_checkpoints()
        step = checkpoint.latest(self.directory.last)
        kept = (
            "no epoch was completed before"
            if step is None
            else f"the last good policy, of step {step}, is kept in {self.directory.last}"
        )
        return BadNumberError(what, kept)


def speeds(config: Config, seconds: float) -> Record:
    """Rates of one epoch that took ``seconds``."""
    iterations = config.steps_per_epoch
    return {
        "steps_per_second": iterations * config.loop.num_envs / seconds,
        "updates_per_second": iterations * config.loop.updates_per_step / seconds,
    }


def metrics_record(config: Config, metrics: EpochMetrics) -> Record:
    """An epoch's metrics by name; None for the episode means when no episode ended."""
    record: Record = {}
    for name, value in vars(metrics.updates).items():
        costs = config.constraints if name in _PER_CONSTRAINT else (TOTAL_COST,)
        record |= by_cost(name, dict(zip(costs, np.atleast_1d(value), strict=True)))
    episodes = by_cost("episode_cost", {TOTAL_COST: metrics.episode_cost, **metrics.episode_parts})
    episodes["episode_return"] = float(metrics.episode_return)
    ended = metrics.episodes > 0
    return record | {
        "episodes": int(metrics.episodes),
        **{
            name: value if ended and math.isfinite(value) else None
            for name, value in episodes.items()
        },
        "step_cost": float(metrics.step_cost) if math.isfinite(metrics.step_cost) else None,
        "skipped_updates": int(metrics.skipped),
    }


def _title(config: Config, directory: RunDirectory) -> str:
    device = jax.devices()[0]
    physics = "" if config.physics == Config.physics else f", physics {config.physics}"
    return (
        f"{config.algorithm} on {config.env}, preset {config.preset}, seed {config.seed}, "
        f"{device.platform} ({device.device_kind}){physics} -> {directory.path}"
    )
