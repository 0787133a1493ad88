"""What is each part of the recipe worth?

    python experiments/recipe.py --tasks PointButton1 --variants recipe one-step --seeds 0
    python experiments/recipe.py --only-draw

Trains the preset ``quick`` with one part taken out at a time, each run for --minutes of training
or its whole budget, on the cores that the process may use (``taskset -c 0`` gives it one). A run is
in RUNS/TASK/VARIANT/seedS; a small log of it, with command, commit, versions and device, is kept in
OUT/TASK/VARIANT/seedS, and ``table.md`` and ``curves.png`` are made from those. The same command
goes on with runs that were stopped.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from algd_jax.config import Config
from algd_jax.errors import ConfigError
from algd_jax.presets import preset
from algd_jax.runs.directory import RunDirectory, write_json
from algd_jax.runs.display import PlainDisplay
from algd_jax.runs.interrupt import StopSignals
from algd_jax.runs.logs import read_records
from algd_jax.runs.provenance import processor, provenance
from algd_jax.runs.resuming import resumed_config
from algd_jax.runs.run import RunError, train
from experiments.logs import command_line, table_head, table_row

THRESHOLDS = {
    "PointButton1": 25.0,
    "SafetyPointGoal1-v0": 10.0,
    "SafetyCarGoal1-v0": 15.0,
    "Hopper": 1000.0,
    "Ant": 1500.0,
}
"""Development tasks, each with the return per episode that counts as good."""

_PAPERS = {"temperature": 1.0, "score_weight": 0.1, "rho": 1.0}

VARIANTS: dict[str, dict[str, Any]] = {
    "recipe": {},
    # Without units the numbers are those of the paper, which are for rewards as they are.
    "no-units": {"scale_energy": False, **_PAPERS},
    "expected-cost": {"measured_cost": False},
    "log-adam": {"multiplier": "log_adam", "multiplier_lr": 2e-3},
    "one-step": {"target_steps": 1},
    "plain-critics": {"critic_norm": False},
    "raw-observations": {"normalize_obs": False},
    "categorical": {"reward_head": "categorical", "cost_head": "categorical"},
    "actor-always": {"actor_period": 1},
    "in-phase": {"spread_episodes": False},
    "noisy-only": {"quiet_share": 0.0},
    "no-average": {"average_actor": False},
    "long-cost": {"cost_discount": 0.99},
    "unsigned": {"smallest_lam": 0.0},
    "loud": {"sigma_max": 1.0},
    "actor-seldom": {"actor_period": 4},
    "warm": {"temperature": 0.2, "score_weight": 0.02},
}
"""What is changed of the recipe, by field."""

_KEPT = (
    "step",
    "updates",
    "wall_time",
    "eval_seconds",
    "eval_return",
    "eval_cost",
    "episode_return",
    "episode_cost",
    "lam",
    "risk",
    "violation",
    "reward_value",
    "risk_correlation",
    "steps_per_second",
)
"""What is kept of an epoch."""


def main(argv: Sequence[str] | None = None) -> None:
    """Train what is missing, write the table and draw the curves."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", choices=THRESHOLDS, default=list(THRESHOLDS))
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--minutes", type=float, default=5.0, help="the most for one run")
    parser.add_argument("--out", type=Path, default=Path("experiments/results/recipe"))
    parser.add_argument("--runs", type=Path, default=Path("runs/recipe"))
    parser.add_argument("--only-draw", action="store_true", help="from the results in OUT")
    arguments = parser.parse_args(argv)
    try:
        if not arguments.only_draw:
            train_missing(arguments, command_line("recipe.py", argv))
        results = read_results(arguments.out)
        (arguments.out / "table.md").write_text(write_table(results))
        plot(results).savefig(arguments.out / "curves.png", dpi=100)
    except (ConfigError, RunError) as error:
        raise SystemExit(f"recipe.py: {error}") from error


def train_missing(arguments: argparse.Namespace, command: list[str]) -> None:
    """One run after the other, until a signal says to stop."""
    wanted = itertools.product(arguments.tasks, arguments.seeds, arguments.variants)
    with StopSignals(lambda: None, on_second=lambda: None) as stop:
        for task, seed, variant in wanted:
            place = Path(task, variant, f"seed{seed}")
            if stop.requested() or (arguments.out / place / "result.json").exists():
                continue
            directory = RunDirectory(arguments.runs / place)
            resume = directory.config_file.exists()
            config = resumed_config(directory.path) if resume else configure(task, variant, seed)
            end = time.monotonic() + 60 * arguments.minutes
            over = lambda end=end: stop.requested() or time.monotonic() > end  # noqa: E731
            train(
                config,
                directory.path,
                display=PlainDisplay(),
                stop_requested=over,
                resume=resume,
                command=command,
            )
            if not stop.requested():
                keep(directory, config, arguments.out / place, command)


def configure(task: str, variant: str, seed: int) -> Config:
    """The preset ``quick`` for the task, as the variant has it, with a budget that minutes end."""
    config = preset("quick", task)
    changed = VARIANTS[variant]
    loop, agent = (replaced(group, changed) for group in (config.loop, config.agent))
    hyper = replaced(config.hyper, changed)
    loop = dataclasses.replace(loop, env_steps=100_000_000)
    return dataclasses.replace(config, seed=seed, loop=loop, agent=agent, hyper=hyper)


def replaced(group: Any, values: Mapping[str, Any]) -> Any:
    """A group of fields with the values that are its own."""
    names = {field.name for field in dataclasses.fields(group)}
    return dataclasses.replace(group, **{k: v for k, v in values.items() if k in names})


def keep(directory: RunDirectory, config: Config, target: Path, command: list[str]) -> None:
    """The small log of a run."""
    target.mkdir(parents=True, exist_ok=True)
    records = read_records(directory.metrics_file)
    kept = [{name: record.get(name) for name in _KEPT} for record in records]
    lines = "".join(json.dumps(record) + "\n" for record in kept)
    (target / "metrics.jsonl").write_text(lines)
    cores = len(os.sched_getaffinity(0))
    circumstances = provenance(command) | {"processor": processor(), "cores": cores}
    result = {"task": config.env, "seed": config.seed, "limit": config.limits}
    write_json(target / "result.json", result | {"circumstances": circumstances})


def read_results(out: Path) -> pd.DataFrame:
    """One row for each epoch of each run kept.

    Raises:
      ConfigError: if there is none.
    """
    tables = []
    for file in sorted(out.glob("*/*/*/metrics.jsonl")):
        task, variant, seed = file.parts[-4:-1]
        table = pd.read_json(file, lines=True)
        limit = next(iter(json.loads((file.parent / "result.json").read_text())["limit"].values()))
        tables.append(table.assign(task=task, variant=variant, seed=seed, limit=limit))
    if not tables:
        raise ConfigError(f"--out: got {out}, allowed is a folder with results of runs")
    return pd.concat(tables)


def write_table(results: pd.DataFrame) -> str:
    """Markdown: a row for each task and variant, means over seeds."""
    rows = []
    for (task, variant), runs in results.groupby(["task", "variant"], sort=False):
        each = [describe(task, run) for _, run in runs.groupby("seed")]
        rows.append({"task": task, "variant": variant, "seeds": len(each)} | average(each))
    order = {name: i for i, name in enumerate([*THRESHOLDS, *VARIANTS])}
    rows.sort(key=lambda row: (order[row["task"]], order[row["variant"]]))
    lines = ["# The recipe, part by part", "", *table_head(list(rows[0]))]
    lines += [table_row([as_text(value) for value in row.values()]) for row in rows]
    return "\n".join(lines) + "\n"


def as_text(value: Any) -> str:
    """A cell of the table."""
    if isinstance(value, float):
        return "–" if np.isnan(value) else f"{value:.2f}"
    return str(value)


def describe(task: str, run: pd.DataFrame) -> dict[str, float]:
    """One run in numbers; NaN where it was never safe and good."""
    good = run[(run.eval_return >= THRESHOLDS[task]) & (run.eval_cost <= run.limit)]
    last = run.tail(5)
    return {
        "seconds to safe and good": good.wall_time.min(),
        "steps to it (k)": good.step.min() / 1000,
        "steps in all (k)": run.step.max() / 1000,
        "training return": last.episode_return.mean(),
        "training cost": last.episode_cost.mean(),
        "evaluation return": last.eval_return.mean(),
        "evaluation cost": last.eval_cost.mean(),
        "λ": last.lam.mean(),
        "risk correlation": last.risk_correlation.astype(float).mean(),
    }


def average(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Means over runs; of the first two only if every run got there."""
    table = pd.DataFrame(runs)
    means = table.mean().to_dict()
    for name in list(means)[:2]:
        if table[name].isna().any():
            means[name] = np.nan
    return means


def plot(results: pd.DataFrame) -> Figure:
    """Return and cost of training episodes against the clock, a column for each task."""
    tasks = [task for task in THRESHOLDS if task in set(results.task)]
    figure = Figure(figsize=(4.5 * len(tasks), 7), layout="constrained")
    axes = figure.subplots(2, len(tasks), squeeze=False, sharex="col")
    names = [name for name in VARIANTS if name in set(results.variant)]
    colors = {name: f"C{i % 10}" for i, name in enumerate(names)}
    for column, task in zip(axes.T, tasks, strict=True):
        for name in names:
            runs = results[(results.task == task) & (results.variant == name)]
            for _, run in runs.groupby("seed"):
                style = dict(color=colors[name], lw=2 if name == "recipe" else 1)
                column[0].plot(run.wall_time, run.episode_return, **style)
                column[1].plot(run.wall_time, run.episode_cost, **style)
        limit = results[results.task == task].limit.iloc[0]
        column[1].axhline(limit, color="black", ls="--", lw=1)
        column[0].set_title(task)
        column[1].set_xlabel("seconds")
    axes[0, 0].set_ylabel("return of training episodes")
    axes[1, 0].set_ylabel("their cost")
    for name in names:
        axes[0, 0].plot([], [], color=colors[name], label=name)
    figure.legend(loc="outside lower center", ncols=5)
    return figure


if __name__ == "__main__":
    main()
