"""The host loop: drives the jitted epoch and keeps clock, logs, checkpoints and screen.

from algd_jax.presets import preset
from algd_jax.runs.run import train

result = train(preset("quick", "PointButton1"), "runs/first")
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from algd_jax.agents.update import AgentState
from algd_jax.config import Config, Hyper
from algd_jax.envs.base import FLAGS, INVALID_COST
from algd_jax.errors import ConfigError
from algd_jax.runs.build import Stream, build, stream_key
from algd_jax.runs.curves import save_curves
from algd_jax.runs.directory import RunDirectory, write_json
from algd_jax.runs.display import Display, Progress
from algd_jax.runs.evaluate import Summary, evaluate_checkpoint
from algd_jax.runs.logs import Logger, Record
from algd_jax.runs.memory import available_memory, check_memory
from algd_jax.runs.programs import Programs
from algd_jax.training import checkpoint
from algd_jax.training.epoch import CHECKED, EpochMetrics, Trainer, TrainState
from algd_jax.training.evaluation import Episodes
from algd_jax.training.health import Health, describe
from algd_jax.training.memory import required_memory


class RunError(Exception):
    """A run that failed; the message is one line fit for a terminal."""


_PROBLEMS = {"cost": INVALID_COST, **FLAGS}


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


class Best(NamedTuple):
    """The best feasible policy so far.

    Attributes:
      step: environment steps made when it was evaluated.
      eval_return, eval_cost: means of that evaluation.
    """

    step: int
    eval_return: float
    eval_cost: float


def train(
    config: Config,
    run_dir: str | Path,
    *,
    display: Display | None = None,
    stop_requested: Callable[[], bool] = lambda: False,
    resume: bool = False,
    command: Sequence[str] = (),
) -> RunResult:
    """Train, evaluate and log one run.

    Args:
      config: what to train. To resume, the run's own (see :func:`resumed_config`).
      run_dir: folder of the run; must be new or empty unless ``resume``.
      display: what the user sees; nothing by default.
      stop_requested: asked before the first epoch and after each; a true answer ends the run
        with a checkpoint.
      resume: continue from the run's last checkpoint of the whole state.
      command: the command line, for the record.

    Raises:
      ConfigError: if the configuration or the folder cannot work; nothing has been written then.
      RunError: if a number became NaN or infinite; the last good checkpoints are kept.
    """
    directory = RunDirectory(Path(run_dir))
    if resume:
        _check_resumable(directory, config)
    else:
        directory.check_free()
    trainer, hyper = build(config), config.hyper.as_arrays()
    available = available_memory(jax.devices()[0])
    check_memory(required_memory(trainer, hyper), available, config)
    if not resume:
        directory.create(config, list(command))
    run = _Run(trainer, hyper, directory, display or Display())
    run.display.start(_title(config, directory))
    try:
        if resume:
            # Before anything of the stopped run is overwritten.
            state = run.restore()
            directory.add_resumption(config, list(command))
        else:
            state = run.begin()
        with run:
            return run.train(state, stop_requested)
    finally:
        run.display.stop()


def resumed_config(run_dir: str | Path, env_steps: int | None = None) -> Config:
    """The configuration to resume a run with.

    Args:
      run_dir: the run's folder.
      env_steps: new total, if the run shall go on beyond its configured end.
    """
    config = RunDirectory(Path(run_dir)).read_config()
    if env_steps is None:
        return config
    return dataclasses.replace(config, loop=dataclasses.replace(config.loop, env_steps=env_steps))


class _Run:
    """The host side of one run; a context from its first epoch to its end, while it logs."""

    def __init__(self, trainer: Trainer, hyper: Hyper, directory: RunDirectory, display: Display):
        self.trainer, self.hyper, self.directory, self.display = trainer, hyper, directory, display
        self.config = trainer.config
        self.start_time = time.perf_counter()
        self.best = _read_best(directory)
        self.init_key = stream_key(self.config.seed, Stream.TRAINING)
        self.eval_key = stream_key(self.config.seed, Stream.EVALUATION)

    def __enter__(self) -> _Run:
        resumed_step = checkpoint.latest(self.directory.state) or 0
        self.logger = Logger(self.directory.metrics_file, self.directory.tensorboard, resumed_step)
        if self.logger.records:
            self.start_time -= self.logger.records[-1]["wall_time"]
        return self

    def __exit__(self, *_: object) -> None:
        self.logger.close()
        if self.logger.records:
            save_curves(
                self.directory.curves_file,
                self.logger.records,
                self.config.hyper.cost_limit,
                f"{self.config.algorithm} on {self.config.env}, seed {self.config.seed}",
            )

    def begin(self) -> TrainState:
        """The state after warm-up, from nothing."""
        self._start_compiling(fresh=True)
        state = self.programs.init(self.init_key, self.hyper)
        state = self.programs.warmup(state, self.hyper)
        self._check_health(jax.device_get(state.health))
        return state

    def restore(self) -> TrainState:
        """The state of the last checkpoint."""
        self.display.phase("restoring")
        like = jax.eval_shape(self.trainer.init, self.init_key, self.hyper)
        state = checkpoint.restore(self.directory.state, like)
        self._start_compiling(fresh=False)
        return state

    def train(self, state: TrainState, stop_requested: Callable[[], bool]) -> RunResult:
        """All remaining epochs and, unless stopped before, the final evaluation."""
        self.programs.wait()
        done = first = epochs_made(self.config, int(state.env_steps))
        clock = time.perf_counter()
        stopped = stop_requested()
        while done < self.config.epochs and not stopped:
            state, record = self._epoch(state, done)
            done += 1
            stopped = stop_requested()
            if stopped or self._checkpoint_due(done):
                self._save_state(state)
            seconds_per_epoch = (time.perf_counter() - clock) / (done - first)
            self._show(record, (self.config.epochs - done) * seconds_per_epoch)
        self._save_state(state)
        finished = done >= self.config.epochs
        return RunResult(
            run_dir=self.directory.path,
            step=int(state.env_steps),
            evaluation=self._final_evaluation() if finished else None,
        )

    def _checkpoint_due(self, epochs: int) -> bool:
        period = self.config.loop.checkpoint_epochs
        return period > 0 and epochs % period == 0

    def _start_compiling(self, *, fresh: bool) -> None:
        self.display.phase("compiling and warming up" if fresh else "compiling")
        self.programs = Programs(self.trainer, self.hyper, self.init_key, fresh=fresh)

    def _epoch(self, state: TrainState, epoch: int) -> tuple[TrainState, Record]:
        """Train, evaluate, log, and keep the policy; ``epoch`` counts from 0."""
        self.display.phase("training")
        clock = time.perf_counter()
        state, metrics = self.programs.train_epoch(state, self.hyper)
        metrics, health, step, updates = jax.device_get(
            (metrics, state.health, state.env_steps, state.agent.updates)
        )
        seconds = time.perf_counter() - clock
        self._check_health(health)
        self.display.phase("evaluating")
        evaluation = self._evaluate(state.agent, epoch, int(step))
        record = {
            "epoch": epoch + 1,
            "step": int(step),
            "updates": int(updates),
            "wall_time": time.perf_counter() - self.start_time,
            **_speeds(self.config, seconds),
            **_metrics_record(metrics),
            "eval_return": float(np.mean(evaluation.returns)),
            "eval_cost": float(np.mean(evaluation.costs)),
        }
        self.logger.log(record)
        self.display.phase("checkpointing")
        self._save_policies(state.agent, record)
        return state, record

    def _evaluate(self, agent: AgentState, epoch: int, step: int) -> Episodes:
        key = jax.random.fold_in(self.eval_key, epoch)
        episodes = jax.device_get(self.programs.evaluate(agent, key, self.hyper))
        for name in ("returns", "costs"):
            if not np.all(np.isfinite(getattr(episodes, name))):
                raise self._not_finite(f"evaluation {name}", step)
        return episodes

    def _save_policies(self, agent: AgentState, record: Record) -> None:
        """The last policy, and the best if this is it."""
        candidate = Best(record["step"], record["eval_return"], record["eval_cost"])
        checkpoint.save(self.directory.last, candidate.step, agent, candidate._asdict())
        feasible = candidate.eval_cost <= self.config.hyper.cost_limit
        if feasible and (self.best is None or candidate.eval_return > self.best.eval_return):
            self.best = candidate
            checkpoint.save(self.directory.best, candidate.step, agent, candidate._asdict())

    def _save_state(self, state: TrainState) -> None:
        step = int(state.env_steps)
        if checkpoint.latest(self.directory.state) != step:
            self.display.phase("checkpointing")
            checkpoint.save(self.directory.state, step, state)

    def _final_evaluation(self) -> Summary:
        self.display.phase("final evaluation")
        summary = evaluate_checkpoint(self.trainer, self.directory, self.programs.evaluate)
        write_json(self.directory.evaluation_file, summary._asdict())
        return summary

    def _show(self, record: Record, seconds_left: float) -> None:
        self.display.epoch(
            Progress(
                record=record,
                total_steps=planned_steps(self.config),
                cost_limit=self.config.hyper.cost_limit,
                seconds_left=seconds_left,
                best=_best_text(self.best),
            )
        )

    def _check_health(self, health: Health) -> None:
        bad = describe(health, CHECKED)
        if bad is not None:
            raise self._not_finite(bad.quantity, bad.env_step)

    def _not_finite(self, quantity: str, env_step: int) -> RunError:
        step = checkpoint.latest(self.directory.last)
        kept = (
            "no epoch was completed before"
            if step is None
            else f"the last good policy, of step {step}, is kept in {self.directory.last}"
        )
        problem = _PROBLEMS.get(quantity, "is NaN or infinite")
        return RunError(f"{quantity} {problem} at environment step {env_step}; {kept}")


def planned_steps(config: Config) -> int:
    """Environment steps of a whole run: ``env_steps`` rounded up to whole epochs."""
    iterations = config.warmup_iterations + config.epochs * config.steps_per_epoch
    return iterations * config.loop.num_envs


def epochs_made(config: Config, env_steps: int) -> int:
    """Epochs a state with ``env_steps`` steps has behind it."""
    iterations = env_steps // config.loop.num_envs - config.warmup_iterations
    return iterations // config.steps_per_epoch


def _check_resumable(directory: RunDirectory, config: Config) -> None:
    path, env_steps = directory.path, config.loop.env_steps
    if resumed_config(path, env_steps) != config:
        raise ConfigError(f"resume: only env_steps may differ from the configuration of {path}")
    step = checkpoint.latest(directory.state)
    if step is None:
        raise ConfigError(f"resume: {path} has no checkpoint of a whole state to continue from")
    # A run killed in its final evaluation has made all its steps, but is not complete.
    complete = directory.evaluation_file.exists()
    if planned_steps(config) < step or (planned_steps(config) == step and complete):
        raise ConfigError(
            f"env_steps: got {env_steps}, but {path} has made {step} steps already; "
            f"allowed is a number > {step}"
        )


def _read_best(directory: RunDirectory) -> Best | None:
    if checkpoint.latest(directory.best) is None:
        return None
    return Best(**checkpoint.read_notes(directory.best))


def _best_text(best: Best | None) -> str:
    if best is None:
        return "none"
    return f"{best.eval_return:.2f} at step {best.step:,}"


def _speeds(config: Config, seconds: float) -> Record:
    """Rates of one epoch that took ``seconds``."""
    iterations = config.steps_per_epoch
    return {
        "steps_per_second": iterations * config.loop.num_envs / seconds,
        "updates_per_second": iterations * config.loop.updates_per_step / seconds,
    }


def _metrics_record(metrics: EpochMetrics) -> Record:
    """An epoch's metrics by name; None for the episode means when no episode ended."""
    updates = dataclasses.asdict(metrics.updates)
    record: Record = {name: float(value) for name, value in updates.items()}
    ended = metrics.episodes > 0
    return record | {
        "episodes": int(metrics.episodes),
        "episode_return": float(metrics.episode_return) if ended else None,
        "episode_cost": float(metrics.episode_cost) if ended else None,
        "step_cost": float(metrics.step_cost),
    }


def _title(config: Config, directory: RunDirectory) -> str:
    device = jax.devices()[0]
    return (
        f"{config.algorithm} on {config.env}, preset {config.preset}, seed {config.seed}, "
        f"{device.platform} ({device.device_kind}) -> {directory.path}"
    )
