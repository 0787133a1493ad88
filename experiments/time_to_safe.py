"""How long from the command to a policy that is safe and good?

    python experiments/time_to_safe.py --tasks PointButton1 --presets throughput quick paper
    python experiments/time_to_safe.py --only-draw

Trains until the deterministic policy, over 100 evaluation episodes, costs no more than the limit
and returns at least the task's threshold, and reads the clock: everything counts, from building
and compiling to the evaluations. A run that has not got there after --hours, or when a signal such
as Ctrl-C arrives, is stopped after its epoch and listed as such. The same command, or one with more
hours, goes on with it where it stopped; its clock stands in between. Thresholds were chosen before
the first measurement: PointButton1's is the one promised of preset ``quick``, the others are round
numbers well above what an untrained policy returns.

Presets run one after the other on the same machine; other work beside them would count. A run is
in RUNS/TASK/PRESET/seedS; its log and result are copied to OUT/TASK/PRESET/seedS, from which
``table.md`` and ``curves.png`` are made.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from algd_jax.config import Config
from algd_jax.errors import ConfigError
from algd_jax.presets import PRESETS, preset
from algd_jax.runs.directory import RunDirectory, write_json
from algd_jax.runs.display import PlainDisplay
from algd_jax.runs.interrupt import StopSignals
from algd_jax.runs.logs import Record, is_feasible, read_records
from algd_jax.runs.provenance import processor, provenance
from algd_jax.runs.run import RunError, train

THRESHOLDS = {"PointButton1": 25.0, "SafetyPointGoal1-v0": 10.0, "Hopper": 1000.0, "Ant": 1000.0}
"""Return per episode that counts as good."""

EPISODES = 100
"""Of each evaluation."""


class Clock:
    """Watches a run's log for the first safe and good policy, and says when to stop.

    Attributes:
      reached: whether there is one.
      seconds: from the beginning to its evaluation, or to the newest one.
      step: environment steps made by then.
    """

    def __init__(self, config: Config, run: RunDirectory, most_seconds: float):
        self._config, self._run, self._most_seconds = config, run, most_seconds
        newest = self._newest_record()
        # The log's clock starts after building, which the process that goes on does again.
        self.reached, self.seconds, self.step = False, newest["wall_time"], newest["step"]
        self._start = time.perf_counter() - self.seconds

    def over(self) -> bool:
        """Whether there is nothing more to wait for; the loop asks after each evaluation."""
        now, record = time.perf_counter() - self._start, self._newest_record()
        if record["step"] > self.step:
            self.seconds, self.step = now, record["step"]
            is_good = record["eval_return"] >= THRESHOLDS[self._config.env]
            self.reached = is_good and is_feasible(record, self._config.limits)
        return self.reached or now > self._most_seconds

    def _newest_record(self) -> Record:
        """The zeroth if no epoch is complete."""
        return [{"wall_time": 0.0, "step": 0}, *read_records(self._run.metrics_file)][-1]


def main(argv: Sequence[str] | None = None) -> None:
    """Measure what is missing, write the table and draw the curves."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", choices=THRESHOLDS, default=list(THRESHOLDS))
    parser.add_argument("--presets", nargs="+", choices=PRESETS, default=["throughput", "paper"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--hours", type=float, default=2.0, help="the most for one run")
    parser.add_argument("--out", type=Path, default=Path("experiments/results/time_to_safe"))
    parser.add_argument("--runs", type=Path, default=Path("runs/time_to_safe"))
    parser.add_argument("--only-draw", action="store_true", help="from the results in OUT")
    arguments = parser.parse_args(argv)
    try:
        if not arguments.only_draw:
            measure_missing(arguments)
        draw(arguments.out)
    except (ConfigError, RunError) as error:
        raise SystemExit(f"time_to_safe.py: {error}") from error


def draw(out: Path) -> None:
    """The table and the curves of all results.

    Raises:
      ConfigError: if there is none.
    """
    if not result_files(out):
        raise ConfigError(f"--out: got {out}, allowed is a folder with results of runs")
    (out / "table.md").write_text(write_table(out))
    plot(out).savefig(out / "curves.png", dpi=100)


def measure_missing(arguments: argparse.Namespace) -> None:
    """One run after the other, until a signal says to stop."""
    wanted = itertools.product(arguments.tasks, arguments.presets, arguments.seeds)
    with StopSignals(say_stopping, on_second=lambda: None) as stop:
        for task, name, seed in wanted:
            place = Path(task, name, f"seed{seed}")
            target, run = arguments.out / place, RunDirectory(arguments.runs / place)
            if is_missing(target, run, arguments.hours) and not stop.requested():
                config = configure(task, name, seed)
                measure(config, arguments.hours, target, run, stop_requested=stop.requested)


def is_missing(target: Path, run: RunDirectory, hours: float) -> bool:
    """Whether there is no result, or one that could be another after so many hours."""
    if not (target / "result.json").exists():
        return True
    result = json.loads((target / "result.json").read_text())
    can_go_on = run.config_file.exists() and not run.evaluation_file.exists()
    return can_go_on and not result["reached"] and result["seconds"] < 3600 * hours


def say_stopping() -> None:
    """Answer the first signal."""
    print("stopping after this epoch", flush=True)


def configure(task: str, name: str, seed: int) -> Config:
    """The preset for the task, evaluated on ``EPISODES`` episodes."""
    config = preset(name, task)
    loop = dataclasses.replace(config.loop, eval_episodes=EPISODES, final_eval_episodes=EPISODES)
    return dataclasses.replace(config, loop=loop, seed=seed)


def measure(
    config: Config,
    hours: float,
    target: Path,
    run: RunDirectory,
    *,
    stop_requested: Callable[[], bool],
) -> None:
    """Train until the goal is reached; keep configuration, log and result in ``target``."""
    clock = Clock(config, run, 3600 * hours)
    command = ["python", "experiments/time_to_safe.py", "--tasks", config.env]
    command += ["--presets", config.preset, "--seeds", str(config.seed), "--hours", f"{hours:g}"]
    origin = provenance(command)
    train(
        config,
        run.path,
        display=PlainDisplay(),
        stop_requested=lambda: clock.over() or stop_requested(),
        resume=run.config_file.exists(),
        command=command,
    )
    if not clock.step:  # Stopped before there was anything to tell.
        return
    target.mkdir(parents=True, exist_ok=True)
    shutil.copy(run.config_file, target)
    shutil.copy(run.metrics_file, target)
    result = {
        "env": config.env,
        "preset": config.preset,
        "seed": config.seed,
        "threshold": THRESHOLDS[config.env],
        "reached": clock.reached,
        "seconds": round(clock.seconds, 1),
        "step": clock.step,
        "hours": hours,
        "processor": processor(),
        **origin,
    }
    write_json(target / "result.json", result)


def result_files(out: Path) -> list[Path]:
    """Of every run, by task, preset and seed."""
    return sorted(out.glob("*/*/seed*/result.json"))


def write_table(out: Path) -> str:
    """Every task and preset in Markdown, with each seed's time, in the order of the seeds."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for path in result_files(out):
        result = json.loads(path.read_text())
        found.setdefault((result["env"], result["preset"]), []).append(result)
    lines = [
        "# Time to a safe policy",
        "",
        "| task | return | preset | seeds that got there | seconds | environment steps |",
        "|---|---|---|---|---|---|",
    ]
    for (env, name), results in found.items():
        cells = [
            env,
            f"≥ {results[0]['threshold']:g}",
            name,
            f"{sum(result['reached'] for result in results)} of {len(results)}",
            ", ".join(_time(result) for result in results),
            ", ".join(f"{result['step']:,}" for result in results),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    machines = dict.fromkeys(
        f"* {result['processor']}, {result['device']['kind']}, JAX {result['versions']['jax']}, "
        f"commit {result['git_commit']}"
        for results in found.values()
        for result in results
    )
    return "\n".join([*lines, "", *machines, ""])


def _time(result: dict[str, Any]) -> str:
    return f"{'' if result['reached'] else 'not within '}{result['seconds']:,.0f}"


def plot(out: Path) -> Figure:
    """Return and cost of every run against its clock, a row for each task, a line for each run.

    A star is the evaluation at which the clock stopped; the grey lines are what has to be met.
    """
    rows = {task: list(runs) for task, runs in itertools.groupby(result_files(out), _task)}
    figure = Figure(figsize=(10, 3 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), 2, squeeze=False)
    for panels, (task, runs) in zip(grid, rows.items(), strict=True):
        for axes, quantity in zip(panels, ("return", "cost"), strict=True):
            for run in runs:
                _draw_run(axes, run, quantity)
            axes.set(xlabel="minutes", ylabel=f"{quantity} per episode", title=task)
            axes.set_xlim(left=0)
            axes.grid(alpha=0.3)
        lines = dict(zip(*panels[0].get_legend_handles_labels()[::-1], strict=True))
        panels[0].legend(lines.values(), lines.keys())
    return figure


def _task(result_file: Path) -> str:
    return result_file.parents[2].name


def _draw_run(axes: Axes, result_file: Path, quantity: str) -> None:
    result = json.loads(result_file.read_text())
    log = pd.read_json(result_file.with_name("metrics.jsonl"), lines=True)
    hyper = json.loads(result_file.with_name("config.json").read_text())["config"]["hyper"]
    minutes, values, name = log.wall_time / 60, log[f"eval_{quantity}"], result["preset"]
    color = f"C{list(PRESETS).index(name)}"
    axes.axhline(result["threshold"] if quantity == "return" else hyper["cost_limit"], color="0.6")
    axes.plot(minutes, values, color=color, marker=".", label=name)
    if result["reached"]:
        there = log.step == result["step"]
        axes.plot(minutes[there], values[there], color=color, marker="*", markersize=13)


if __name__ == "__main__":
    main()
