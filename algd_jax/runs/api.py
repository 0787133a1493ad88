"""Runs from Python: train one, or open its folder, and use its policy.

For example::

    import algd_jax
    from algd_jax.presets import preset

    run = algd_jax.train(preset("quick", "PointButton1"), "runs/first")
    run.metrics.plot("step", ["eval_return", "eval_cost"])
    action = run.policy(obs)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from algd_jax.agents.algorithm import Algorithm
from algd_jax.agents.state import AgentState
from algd_jax.config import Config, Hyper
from algd_jax.runs import run as host_loop
from algd_jax.runs.build import build
from algd_jax.runs.directory import RunDirectory
from algd_jax.runs.display import Display
from algd_jax.runs.evaluate import (
    Evaluate,
    Summary,
    Which,
    check_evaluation,
    choose_checkpoint,
    evaluate_checkpoint,
    load_agent,
    make_evaluate,
)
from algd_jax.runs.evaluation_file import read_summary
from algd_jax.runs.logs import read_records
from algd_jax.runs.memory import check_evaluation_memory
from algd_jax.runs.tracking.choice import Tracking
from algd_jax.training.epoch import Trainer

if TYPE_CHECKING:
    import pandas as pd


@dataclasses.dataclass(frozen=True)
class Policy:
    """A trained policy: observations in, actions out.

    Attributes:
      algorithm: its functions.
      agent: what it has learnt.
      hyper: float32 scalars.
      step: environment steps it was trained for.
    """

    algorithm: Algorithm
    agent: AgentState
    hyper: Hyper
    step: int

    def __call__(self, obs: jax.Array) -> jax.Array:
        """The deterministic action [..., A] for observations [..., O]; jitted."""
        return self._act(jnp.asarray(obs))

    def sample(self, obs: jax.Array, key: jax.Array) -> jax.Array:
        """Actions [..., A] drawn from the policy for observations [..., O], one key for all."""
        return self._draw(jnp.asarray(obs), key)

    @cached_property
    def _act(self) -> Callable[[jax.Array], jax.Array]:
        def act(obs: jax.Array) -> jax.Array:
            return self.algorithm.act_deterministic(self.agent, obs, self.hyper)

        return jax.jit(jnp.vectorize(act, signature="(o)->(a)"))

    @cached_property
    def _draw(self) -> Callable[[jax.Array, jax.Array], jax.Array]:
        def act(obs: jax.Array, key: jax.Array) -> jax.Array:
            return self.algorithm.act(self.agent, obs, key, self.hyper)

        def draw(obs: jax.Array, key: jax.Array) -> jax.Array:
            keys, of_all = jax.random.split(key, obs.shape[:-1]), act
            for _ in keys.shape:
                of_all = jax.vmap(of_all)
            return of_all(obs, keys)

        return jax.jit(draw)


@dataclasses.dataclass(frozen=True)
class Run:
    """A run on disk, complete or not.

    Attributes:
      path: its folder.
      config: what it trains.
    """

    path: Path
    config: Config

    @classmethod
    def load(cls, path: str | Path, env: str | None = None) -> Run:
        """Open a run's folder; nothing in it is executed.

        Args:
          path: the folder.
          env: the run's environment, needed if it is "module:attribute".

        Raises:
          ConfigError: if it is no run.
        """
        return cls(Path(path), RunDirectory(Path(path)).read_config(env))

    @property
    def metrics(self) -> pd.DataFrame:
        """One row per epoch, columns as in ``metrics.jsonl``."""
        import pandas as pd

        return pd.DataFrame(read_records(self._directory.metrics_file))

    @property
    def evaluation(self) -> dict[str, Any] | None:
        """The final evaluation, as in ``evaluation.json``; None if there is none yet.

        Raises:
          ConfigError: if the file holds something else.
        """
        summary = read_summary(self._directory.evaluation_file)
        return None if summary is None else summary.record()

    @cached_property
    def policy(self) -> Policy:
        """The best feasible policy, or the last if none was feasible."""
        return self.load_policy()

    def load_policy(self, which: Which | None = None) -> Policy:
        """The policy of one checkpoint: best (feasible) or last.

        Raises:
          ConfigError: if the run has no such checkpoint.
        """
        which = choose_checkpoint(self._directory, which)
        agent, step = load_agent(self._trainer, self._directory, which)
        return Policy(self._trainer.algorithm, agent, self.config.hyper.as_arrays(), step)

    def evaluate(
        self, episodes: int | None = None, seed: int | None = None, which: Which | None = None
    ) -> Summary:
        """Episodes of the deterministic policy; compiled at the first call.

        Args:
          episodes: how many; by default as many as the run's own final evaluation.
          seed: by default the run's.
          which: checkpoint; by default the best feasible one, else the last.

        Raises:
          ConfigError: if the run has no such checkpoint, or a number is out of range.
        """
        check_evaluation(episodes, seed)
        return evaluate_checkpoint(
            self._trainer, self._directory, self._evaluate_batch, which, episodes, seed
        )

    @cached_property
    def _trainer(self) -> Trainer:
        return build(self.config)

    @cached_property
    def _evaluate_batch(self) -> Evaluate:
        check_evaluation_memory(self._trainer)
        return make_evaluate(self._trainer)

    @property
    def _directory(self) -> RunDirectory:
        return RunDirectory(self.path)


def train(
    config: Config,
    run_dir: str | Path,
    *,
    display: Display | None = None,
    devices: int = 1,
    tracking: Tracking = Tracking(),
) -> Run:
    """Train, evaluate and log one run; see ``algd_jax.runs.run.train``.

    Args:
      config: what to train, such as a preset.
      run_dir: its folder, new or empty.
      display: what the user sees (``algd_jax.runs.display.make_display``); nothing by default.
      devices: how many of the local ones share environments and batches.
      tracking: where else the run is logged, such as ``Tracking(("wandb",))``.
    """
    result = host_loop.train(config, run_dir, display=display, devices=devices, tracking=tracking)
    return Run(result.run_dir, config)
