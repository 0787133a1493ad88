"""Evaluating a policy and saying what came out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from algd_jax.agents.state import AgentState
from algd_jax.config import MOST_EPISODES, Config, Hyper
from algd_jax.errors import ConfigError, printable
from algd_jax.runs.build import Stream, build, stream_key
from algd_jax.runs.directory import RunDirectory
from algd_jax.runs.display import Display
from algd_jax.runs.logs import Record, by_cost, is_number
from algd_jax.runs.memory import check_evaluation_memory
from algd_jax.training import checkpoint
from algd_jax.training.epoch import Trainer
from algd_jax.training.evaluation import Episodes, evaluate_agent
from algd_jax.training.population import Population
from algd_jax.types import TOTAL_COST

_LOGGER = logging.getLogger(__name__)

CONFIDENCE = 0.95

Which = Literal["best", "last"]
"""Checkpoint of the best feasible policy, or of the last one."""

Evaluate = Callable[[AgentState, jax.Array, Hyper], Episodes]
"""(agent, key, hyper) -> one batch of ``eval_episodes`` episodes of the deterministic policy."""


FIGURES = (
    "env",
    "episodes",
    "return_mean",
    "return_std",
    "cost_mean",
    "cost_std",
    "cost_limit",
    "within_limit",
    "feasible",
    "step",
    "constraints",
)
"""The fields of :meth:`Summary.record` that ``algd evaluate --json`` promises."""


class Interval(NamedTuple):
    """Bounds of a confidence interval."""

    low: float
    high: float


class CostSummary(NamedTuple):
    """One limited cost of an evaluation in numbers; fields as those of a :class:`Summary`."""

    cost_mean: float
    cost_std: float
    cost_limit: float
    cost_interval: Interval | None

    @property
    def feasible(self) -> bool:
        return self.cost_mean <= self.cost_limit


class Summary(NamedTuple):
    """An evaluation in numbers.

    Attributes:
      env: environment name.
      episodes: n.
      return_mean, return_std: of undiscounted returns (std with n - 1; 0 for one episode).
      cost_mean, cost_std: of costs summed as the limit sums them, likewise.
      cost_limit: allowed cost per episode; None if only parts of the cost are limited.
      within_limit: fraction of episodes whose limited costs are all within their limits.
      feasible: whether their means are.
      step: environment steps the policy was trained for.
      checkpoint: which one was evaluated.
      seed: of the evaluation's episodes.
      return_interval, cost_interval: 95 % t intervals of the means; None for one episode.
      constraints: every limited cost, by name.
    """

    env: str
    episodes: int
    return_mean: float
    return_std: float
    cost_mean: float
    cost_std: float
    cost_limit: float | None
    within_limit: float
    feasible: bool
    step: int
    checkpoint: Which
    seed: int
    return_interval: Interval | None
    cost_interval: Interval | None
    constraints: dict[str, CostSummary]

    @property
    def is_finite(self) -> bool:
        """Whether all means are numbers, not NaN or infinite."""
        costs = [cost.cost_mean for cost in self.constraints.values()]
        return bool(np.all(np.isfinite([self.return_mean, self.cost_mean, *costs])))

    def record(self) -> dict[str, Any]:
        """All of it, ready for JSON; ``constraints`` only where parts of the cost are limited."""
        record = self._asdict()
        costs = record.pop("constraints")
        if costs.keys() != {TOTAL_COST}:
            record["constraints"] = {name: cost._asdict() for name, cost in costs.items()}
        return record

    def figures(self) -> dict[str, Any]:
        """What ``algd evaluate --json`` prints."""
        return {name: value for name, value in self.record().items() if name in FIGURES}

    def numbers(self) -> Record:
        """What a log of the run ends with."""
        costs = {name: cost.cost_mean for name, cost in self.constraints.items()}
        figures = self.figures() | by_cost("cost_mean", costs)
        return {f"final_{k}": float(value) for k, value in figures.items() if is_number(value)}


def make_evaluate(trainer: Trainer | Population) -> jax.stages.Wrapped:
    """The function a run, or a population, evaluates with: a jitted ``Evaluate``."""
    if isinstance(trainer, Population):
        return jax.jit(trainer.evaluate)
    return jax.jit(partial(evaluate_agent, trainer))


def run_episodes(
    evaluate_batch: Evaluate, agent: AgentState, key: jax.Array, hyper: Hyper, count: int
) -> Episodes:
    """``count`` episodes on the host, in as many batches as it takes: one compiled size serves all.

    Returns:
      NumPy arrays [count].
    """
    batches: list[Episodes] = []
    played = 0
    while played < count:
        batch_key = jax.random.fold_in(key, len(batches))
        batches.append(jax.device_get(evaluate_batch(agent, batch_key, hyper)))
        played += len(batches[-1].returns)
    return jax.tree.map(lambda leaf: leaf[:count], concatenated(batches))


def concatenated(batches: Sequence[Episodes], axis: int = 0) -> Episodes:
    """Episodes on the host, one batch after the other along their axis."""
    return jax.tree.map(lambda *parts: np.concatenate(parts, axis), *batches)


def episode_keys(config: Config, seed: int, count: int) -> jax.Array:
    """Reset keys [count] of the first episodes that ``algd evaluate`` plays with this seed."""
    key, size = stream_key(seed, Stream.FINAL_EVALUATION), config.loop.eval_episodes
    batches = [
        jax.random.split(jax.random.fold_in(key, index), size) for index in range(-(-count // size))
    ]
    return jnp.concatenate(batches)[:count]


def summarize(config: Config, episodes: Episodes, step: int, which: Which, seed: int) -> Summary:
    """Statistics of an evaluation's episodes (leaves [n])."""
    returns = np.asarray(episodes.returns, np.float64)
    costs = {name: np.asarray(cost, np.float64) for name, cost in episodes.named_costs.items()}
    total = costs[TOTAL_COST]
    constraints = {
        name: CostSummary(
            float(costs[name].mean()), _std(costs[name]), limit, mean_interval(costs[name])
        )
        for name, limit in config.limits.items()
    }
    within = [costs[name] <= limit for name, limit in config.limits.items()]
    return Summary(
        env=config.env,
        episodes=len(returns),
        return_mean=float(returns.mean()),
        return_std=_std(returns),
        cost_mean=float(total.mean()),
        cost_std=_std(total),
        cost_limit=config.limits.get(TOTAL_COST),
        within_limit=float(np.mean(np.all(within, axis=0))),
        feasible=all(cost.feasible for cost in constraints.values()),
        step=step,
        checkpoint=which,
        seed=seed,
        return_interval=mean_interval(returns),
        cost_interval=mean_interval(total),
        constraints=constraints,
    )


def mean_interval(values: np.ndarray) -> Interval | None:
    """The t interval of the mean of ``values`` [n] at 95 % confidence; None for n = 1."""
    if len(values) < 2:
        return None
    from scipy import stats  # Here, because it is slow to load and training begins without.

    mean, error = values.mean(), stats.sem(values)
    if error == 0:
        return Interval(float(mean), float(mean))
    low, high = stats.t.interval(CONFIDENCE, len(values) - 1, loc=mean, scale=error)
    return Interval(float(low), float(high))


def evaluate_checkpoint(
    trainer: Trainer,
    directory: RunDirectory,
    evaluate_batch: Evaluate,
    which: Which | None = None,
    episodes: int | None = None,
    seed: int | None = None,
    before: int | None = None,
) -> Summary:
    """Evaluate one of a run's policies; other arguments are those of :func:`evaluate_run`.

    Args:
      trainer: made from the run's configuration.
      directory: the run's folder.
      evaluate_batch: made by :func:`make_evaluate`.
      before: take only policies of earlier steps.
    """
    config, hyper = trainer.config, trainer.config.hyper.as_arrays()
    which = choose_checkpoint(directory, which)
    agent, step = load_agent(trainer, directory, which, before=before)
    seed = config.seed if seed is None else seed
    key = stream_key(seed, Stream.FINAL_EVALUATION)
    count = config.loop.final_eval_episodes if episodes is None else episodes
    outcome = run_episodes(evaluate_batch, agent, key, hyper, count)
    return summarize(config, outcome, step, which, seed)


def load_agent(
    trainer: Trainer,
    directory: RunDirectory,
    which: Which,
    step: int | None = None,
    before: int | None = None,
) -> tuple[AgentState, int]:
    """An agent of a run, and the environment steps it was trained for.

    Args:
      trainer: made from the run's configuration.
      directory: the run's folder.
      which: of the best policies or of the last ones; the newest one,
      step: or the one of this step,
      before: or the newest one of the steps before this one.
    """
    folder = {"best": directory.best, "last": directory.last}[which]
    any_key = jax.eval_shape(jax.random.key, 0)
    hyper = trainer.config.hyper.as_arrays()
    agent_like = jax.eval_shape(trainer.algorithm.init, any_key, hyper)
    restored = checkpoint.restore(folder, agent_like, step, directory.owner(which), before)
    for line in restored.damaged.values():
        _LOGGER.warning("%s; taking the one of step %d", printable(line), restored.step)
    return restored.tree, restored.step


def evaluate_run(
    run_dir: Path,
    which: Which | None = None,
    episodes: int | None = None,
    seed: int | None = None,
    env: str | None = None,
    display: Display | None = None,
) -> Summary:
    """Evaluate a policy of a finished or stopped run.

    Args:
      run_dir: the run's folder.
      which: checkpoint; by default the best feasible one, else the last.
      episodes: how many; by default as many as the run's own final evaluation.
      seed: by default the run's.
      env: the run's environment, needed if it is "module:attribute".
      display: what the user sees meanwhile; nothing by default.

    Raises:
      ConfigError: if this is no run, it has no such checkpoint, or a number is out of range.
    """
    check_evaluation(episodes, seed)
    directory = RunDirectory(run_dir)
    config = directory.read_config(env)
    choose_checkpoint(directory, which)  # Fails before anything slow.
    trainer = build(config)
    check_evaluation_memory(trainer)
    (display or Display()).phase("compiling and playing episodes")
    return evaluate_checkpoint(trainer, directory, make_evaluate(trainer), which, episodes, seed)


def check_evaluation(episodes: int | None, seed: int | None) -> None:
    """Raise :class:`ConfigError` unless so many episodes can be played with this seed."""
    if episodes is not None and not 1 <= episodes <= MOST_EPISODES:
        raise ConfigError(
            f"episodes: got {episodes}, allowed is an integer from 1 to {MOST_EPISODES}"
        )
    check_seed(seed)


def check_seed(seed: int | None) -> None:
    """Raise :class:`ConfigError` unless ``seed`` is None or can seed a PRNG key."""
    if seed is not None and not 0 <= seed < 2**32:
        raise ConfigError(f"seed: got {seed}, allowed is an integer in [0, 2**32)")


def choose_checkpoint(directory: RunDirectory, which: Which | None = None) -> Which:
    """The checkpoint to evaluate: the one asked for, else the best feasible, else the last."""
    has_best, has_last = (
        checkpoint.latest(folder) is not None for folder in (directory.best, directory.last)
    )
    if not (has_best or has_last):
        raise ConfigError(f"run_dir: {directory.path} has no checkpoint")
    if which == "best" and not has_best:
        raise ConfigError(
            f"checkpoint: got best, but no policy of {directory.path} was feasible; allowed is last"
        )
    if which == "last" and not has_last:
        raise ConfigError(
            f"checkpoint: got last, but {directory.path} has only its best; allowed is best"
        )
    return which or ("best" if has_best else "last")


def _std(values: np.ndarray) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else 0.0
