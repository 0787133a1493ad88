"""One tidy table, a row per trial and epoch, from sweep directories and run directories.

A folder is data here: nothing that it names is imported, nothing pickled is read.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from algd_jax.config import Config
from algd_jax.errors import ConfigError
from algd_jax.files import check_links, read
from algd_jax.runs.compare.checking import (
    COLUMNS,
    TEXTS,
    check_columns,
    check_trials,
    check_values,
)
from algd_jax.runs.compare.configurations import (
    check_configurations,
    differing,
    flat,
    name_configurations,
)
from algd_jax.runs.compare.limits import check_comparable, gather
from algd_jax.runs.directory import RunDirectory
from algd_jax.runs.logs import Record, is_feasible, log_name, read_records
from algd_jax.runs.sweep.directory import FAILED, PRUNED, RUNNING, TrialDirectory

if TYPE_CHECKING:
    import pandas as pd

RESULTS = "results.csv"
"""The table of a sweep directory."""

_LARGEST_TABLE = 2**30


class NothingToCompare(ConfigError):
    """Nothing is wrong with the folders, but no run in them is finished."""


class Runs(NamedTuple):
    """What is compared.

    Attributes:
      epochs: a row per trial and epoch of the finished trials. Columns as in ``results.csv``, with
        ``configuration``, the name of what the trials of different seeds have in common; for
        several limited costs see ``limits.py``.
      swept: columns in which configurations of one algorithm differ.
      left_out: how many trials are not among them, by reason.
    """

    epochs: pd.DataFrame
    swept: list[str]
    left_out: dict[str, int]


def read_runs(folders: Sequence[Path]) -> Runs:
    """Read the finished trials of sweep directories and run directories.

    Raises:
      ConfigError: for a folder that is neither, a table that cannot be read or contradicts itself,
        or nothing to compare.
    """
    import pandas as pd  # Here, because it is slow to load and training begins without.

    if not folders:
        raise ConfigError("folders: got none, allowed are sweep directories and run directories")
    places = [os.path.realpath(folder) for folder in folders]
    for folder, place in zip(folders, places, strict=True):
        if places.count(place) > 1:
            raise ConfigError(f"folders: got {folder} twice, allowed is each folder once")
    tables, settings = [], dict[str, dict[str, Any]]()
    for folder in folders:
        if _is_sweep(folder):
            tables.append(_read_sweep(folder))
            if len(folders) > 1:  # Alone, its columns say all that differs.
                settings |= _settings_of_trials(folder, tables[-1])
        else:
            config = RunDirectory(folder).look_up_config()
            tables.append(_read_run(folder, config))
            settings[str(folder)] = flat(config)
    table, hyperparameters = _with_settings(pd.concat(tables, ignore_index=True), settings)
    table, swept = name_configurations(table, hyperparameters)
    finished, left_out = _finished(table)
    check_comparable(finished)
    check_configurations(finished)
    order = ["env", "configuration", "seed", "trial", "step"]
    return Runs(finished.sort_values(order, ignore_index=True), swept, left_out)


def _with_settings(
    table: pd.DataFrame, settings: dict[str, dict[str, Any]]
) -> tuple[pd.DataFrame, list[str]]:
    """The table with all hyperparameters: columns of sweeps, and settings that differ.

    Args:
      table: of all trials.
      settings: of the trials whose run directory is there, by trial.

    Returns:
      The table, and the columns of hyperparameters.
    """
    swept = {
        name
        for name in set(table.columns) - {*COLUMNS, "limits"}
        if not name.startswith(("cost/", "cost_limit/", "lam/"))
    }
    names = sorted(swept | differing(list(settings.values())))
    for name in names:
        looked_up = table.trial.map({trial: values.get(name) for trial, values in settings.items()})
        given = table[name].astype(object) if name in table else looked_up
        table[name] = looked_up.astype(object).where(looked_up.notna(), given)
    return table, names


def last_epochs(epochs: pd.DataFrame) -> pd.DataFrame:
    """The row of each trial's last epoch."""
    return epochs.loc[epochs.groupby("trial").step.idxmax()].sort_values(
        ["env", "configuration", "seed"], ignore_index=True
    )


def _is_sweep(folder: Path) -> bool:
    """Whether it is a sweep's directory; if not it is a run's."""
    try:
        if (folder / RESULTS).is_file():
            check_links(folder, "sweep directory")
            return True
        if RunDirectory(folder).config_file.is_file():
            return False
    except OSError as error:
        raise ConfigError(f"folders: {folder} cannot be read ({error.strerror})") from error
    problem = "is neither" if folder.is_dir() else "is no folder"
    raise ConfigError(
        f"folders: {folder} {problem}, allowed is a sweep directory (it has {RESULTS}) or a run "
        "directory (it has config.json)"
    )


def _read_sweep(folder: Path) -> pd.DataFrame:
    """The table of a sweep, checked; its trials are named after the folder."""
    path = folder / RESULTS
    table = read_table(path, dtype=dict.fromkeys(TEXTS, str), na_values=["", "nan", "NaN"])
    table = gather(table, path)
    check_columns(table, path)
    check_values(table, path)
    check_trials(table, path)
    table["trial"] = f"{folder}: " + table.trial
    return table


def read_table(path: Path, **options: Any) -> pd.DataFrame:
    """A CSV file as it is.

    Args:
      path: of the file.
      options: further ones of ``pandas.read_csv``.

    Raises:
      ConfigError: if it is none.
    """
    import pandas as pd

    try:
        content = io.BytesIO(read(path, _LARGEST_TABLE))
        return pd.read_csv(
            content, keep_default_na=False, low_memory=False, encoding="utf-8", **options
        )
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except ValueError as error:  # A parser's error is one.
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(f"{path}: cannot be read as a table: {reason}") from error


def _settings_of_trials(folder: Path, table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """All settings of a sweep's trials, as far as their run directories are still there."""
    settings = {}
    for trial in table.trial.unique():
        name = trial.removeprefix(f"{folder}: ")
        directory = RunDirectory(folder / "trials" / name)
        if Path(name).name == name and os.path.isfile(directory.config_file):
            settings[trial] = flat(directory.look_up_config())
    return settings


def _read_run(folder: Path, config: Config) -> pd.DataFrame:
    """The evaluations in a run's log as rows like those of a sweep."""
    import pandas as pd

    directory = RunDirectory(folder)
    numbers = np.atleast_1d(config.hyper.cost_limit)
    if not len(config.constraints) == len(numbers) >= 1:
        raise ConfigError(
            f"{directory.config_file}: cost_limit: got {len(numbers)} numbers for "
            f"{len(config.constraints)} constraints, allowed is one for each"
        )
    limits = dict(zip(config.constraints, map(float, numbers), strict=True))
    records = read_records(directory.metrics_file) or [{"step": 0}]
    costs: dict[str, Any] = {}
    for name, limit in limits.items():
        end = f"/{name}" if len(limits) > 1 else ""
        costs[f"cost{end}"] = [record.get(log_name("eval_cost", name)) for record in records]
        costs[f"cost_limit{end}"] = limit
        costs[f"lam{end}"] = [record.get(log_name("lam", name)) for record in records]
    table = pd.DataFrame(
        {
            "trial": str(folder),
            "env": config.env,
            "algorithm": config.algorithm,
            "seed": config.seed,
            "step": [record["step"] for record in records],
            "return": [record.get("eval_return") for record in records],
            **costs,
            "feasible": [_within(record, limits) for record in records],
            "wall_time": [record.get("wall_time") for record in records],
            "status": TrialDirectory(folder).status,
        }
    )
    table = table.astype(dict.fromkeys(("return", *costs, "wall_time"), np.float64))
    table = gather(table, directory.metrics_file)
    check_values(table, directory.metrics_file)
    check_trials(table, directory.metrics_file)
    return table


def _within(record: Record, limits: dict[str, float]) -> bool:
    """Whether an epoch was evaluated, and each cost within its limit."""
    costs = {name: record.get(log_name("eval_cost", name)) for name in limits}
    return None not in costs.values() and is_feasible(record, limits)


def _finished(table: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, int]]:
    """All rows of trials that ended with an evaluation, and how many did not."""
    last = table.loc[table.groupby("trial").step.idxmax()].set_index("trial")
    reasons = last.status.map({RUNNING: "unfinished", FAILED: "failed", PRUNED: "pruned"})
    without = last[["return", "cost"]].isna().any(axis=1)
    reasons = reasons.mask(reasons.isna() & without, "without an evaluation")
    left_out = {str(reason): int(count) for reason, count in reasons.value_counts().items()}
    finished = table[table.trial.isin(reasons.index[reasons.isna()])]
    if finished.empty:
        raise NothingToCompare(
            f"folders: no finished run to compare ({describe_left_out(left_out)})"
        )
    return finished, left_out


def describe_left_out(left_out: dict[str, int]) -> str:
    """For example ``2 unfinished, 1 failed``."""
    return ", ".join(f"{count} {reason}" for reason, count in left_out.items())
