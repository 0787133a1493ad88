"""What experiments share: the logs of their sweeps, kept, described and compared."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from algd_jax.config import Config, LoopConfig
from algd_jax.errors import ConfigError
from algd_jax.presets import preset
from algd_jax.runs.compare import words
from algd_jax.runs.compare.pictures import draw_curves
from algd_jax.runs.compare.reading import read_runs
from algd_jax.runs.compare.summary import Comparison, compare

_LOGS = ("sweep.json", "results.csv", "trials.csv", "trials/*/config.json")
"""What is kept of a sweep: all that a comparison reads, and where it came from."""


def command_line(file: str, argv: Sequence[str] | None) -> list[str]:
    """How an experiment was called, for the record; ``argv`` is None on the command line."""
    return ["python", f"experiments/{file}", *(sys.argv[1:] if argv is None else argv)]


def keep_logs(run_dir: Path, target: Path) -> None:
    """Copy the small files of a sweep."""
    for path in (path for pattern in _LOGS for path in run_dir.glob(pattern)):
        copy = target / path.relative_to(run_dir)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)


def sweep_folders(out: Path) -> list[Path]:
    """The sweeps ``out/TASK/NAME`` that there are logs of."""
    return sorted(path.parent for path in out.glob("*/*/results.csv"))


def shortened(config: Config, fraction: float) -> Config:
    """The run with a fraction of its epochs.

    Raises:
      ConfigError: for a fraction that is none.
    """
    if not 0 < fraction <= 1:
        raise ConfigError(f"--budget-fraction: got {fraction}, allowed is a number in (0, 1]")
    trained = max(1, round(fraction * config.epochs)) * config.loop.epoch_steps
    loop = dataclasses.replace(config.loop, env_steps=config.loop.warmup_steps + trained)
    return dataclasses.replace(config, loop=loop)


def describe_budgets(folders: Sequence[Path]) -> str:
    """Regime and share of its environment steps that the sweeps were trained for, in words."""
    found = {}
    for folder in folders:
        run = json.loads((folder / "sweep.json").read_text())["trials"][0]["config"]
        whole = preset(run["preset"], run["env"], run["algorithm"])
        share = _trained_steps(LoopConfig(**run["loop"])) / _trained_steps(whole.loop)
        found[f"{share:.0%} of the budget of preset {run['preset']}"] = None
    return ", ".join(found)


def _trained_steps(loop: LoopConfig) -> int:
    """Environment steps behind warm-up."""
    config = Config(loop=loop)
    return config.epochs * config.steps_per_epoch * loop.num_envs


def table_row(cells: Sequence[str]) -> str:
    """A row of a table in Markdown."""
    return f"| {' | '.join(cells)} |"


def table_head(columns: Sequence[str]) -> list[str]:
    """The first two rows of a table in Markdown."""
    return [table_row(columns), table_row(["---"] * len(columns))]


def draw_comparison(out: Path, title: str) -> None:
    """Make a table, a figure and a file of numbers from the sweeps ``out/TASK/NAME``."""
    folders = sweep_folders(out)
    comparison, budget = compare(read_runs(folders)), describe_budgets(folders)
    (out / "table.md").write_text(_write_table(title, comparison, budget, folders))
    (out / "curves.png").write_bytes(draw_curves(comparison, budget))
    figures = {"budget": budget, **comparison.figures()}
    (out / "comparison.json").write_text(json.dumps(figures, indent=2, allow_nan=False) + "\n")


def _write_table(title: str, comparison: Comparison, budget: str, folders: Sequence[Path]) -> str:
    """Every task and configuration in Markdown, with what has to be known about it."""
    lines = [f"# {title}: {budget}", ""]
    for name, rows in comparison.groups.items():
        lines += [words.heading(name), "", *table_head(words.COLUMNS)]
        lines += [table_row(words.cells(row, row is rows[0])) for row in rows] + [""]
    lines += [f"* {note}" for note in words.notes(comparison)]
    return "\n".join([*lines, "", *map(origin, folders), ""])


def origin(folder: Path) -> str:
    """Where the numbers of a sweep came from, and how long its runs took."""
    record = json.loads((folder / "sweep.json").read_text())
    epochs = pd.read_csv(folder / "results.csv")
    seeds = ", ".join(map(str, sorted(epochs.seed.unique())))
    device, versions = record["device"], record["versions"]
    return (
        f"* `{folder.parent.name}/{folder.name}`: `{' '.join(record['command'])}`, commit "
        f"{record['git_commit']}, {device['kind']} ({device['host']}), JAX {versions['jax']}, "
        f"MJX {versions['mujoco-mjx']}, {record['start_time']}, seeds {seeds}, "
        f"{epochs.wall_time.max() / 60:.0f} minutes for the longest run"
    )
