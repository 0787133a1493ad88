"""One tidy table, a row per trial and epoch, from sweep directories and run directories.

A folder is data here: nothing that it names is imported, nothing pickled is read.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from algd_jax.config import Config
from algd_jax.errors import ConfigError
from algd_jax.runs.directory import RunDirectory
from algd_jax.runs.logs import log_name, read_records

if TYPE_CHECKING:
    import pandas as pd

RESULTS = "results.csv"
"""The table of a sweep directory."""

_LARGEST_TABLE = 2**30
_LARGEST_NUMBER = 1e100  # Of which sums are finite.

_TEXTS = ("trial", "env", "algorithm", "status")
_INTEGERS = ("seed", "step")
_NUMBERS = ("return", "cost", "cost_limit", "lam", "wall_time")
_COLUMNS = ("trial", "env", "algorithm", "seed", "step", *_NUMBERS, "feasible", "status")
_STATUSES = ("running", "done", "failed")
_KEPT_APART = ("env", "algorithm", "seed", "cost_limit")
_WITHOUT_EFFECT = (
    "preset",
    "checkpoint_epochs",
    "keep_last",
    "keep_every",
    "keep_best",
    "final_eval_episodes",
    "lam_bound",
    "value_bound",
)
"""Settings that change nothing in what is compared."""


class Runs(NamedTuple):
    """What is compared.

    Attributes:
      epochs: a row per trial and epoch of the finished trials. Columns as in ``results.csv``, with
        ``configuration``, the name of what the trials of different seeds have in common.
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
    tables, settings = [], {}
    for folder in folders:
        if _is_sweep(folder):
            tables.append(_read_sweep(folder))
        else:
            config = RunDirectory(folder).look_up_config()
            tables.append(_read_run(folder, config))
            settings[str(folder)] = _flat(config)
    table = pd.concat(tables, ignore_index=True)
    extra = set(table.columns) - set(_COLUMNS)
    columns = sorted(extra | _differing(list(settings.values())))
    for name in columns:  # A sweep says what it swept; of a run it is looked up.
        looked_up = table.trial.map({trial: values.get(name) for trial, values in settings.items()})
        given = table[name] if name in table else pd.Series(np.nan, table.index)
        table[name] = given.astype(object).where(given.notna(), looked_up)
    table, swept = _name_configurations(table, columns)
    finished, left_out = _finished(table)
    _check_limits(finished)
    _check_seeds(finished)
    order = ["env", "configuration", "seed", "trial", "step"]
    return Runs(finished.sort_values(order, ignore_index=True), swept, left_out)


def last_epochs(epochs: pd.DataFrame) -> pd.DataFrame:
    """The row of each trial's last epoch."""
    return epochs.loc[epochs.groupby("trial").step.idxmax()].sort_values(
        ["env", "configuration", "seed"], ignore_index=True
    )


def _is_sweep(folder: Path) -> bool:
    """Whether it is a sweep's directory; if not it is a run's."""
    try:
        if (folder / RESULTS).is_file():
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
    import pandas as pd

    path = folder / RESULTS
    if path.stat().st_size > _LARGEST_TABLE:
        raise ConfigError(f"{path}: larger than {_LARGEST_TABLE} bytes")
    try:
        table = pd.read_csv(
            path,
            dtype=dict.fromkeys(_TEXTS, str),
            keep_default_na=False,
            na_values=["", "nan", "NaN"],
            low_memory=False,
            encoding="utf-8",
        )
    except (ValueError, OSError) as error:  # A parser's error is a ValueError.
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(f"{path}: cannot be read as a table: {reason}") from error
    if any(str(name).startswith("cost_limit/") for name in table):
        raise ConfigError(f"{path}: has several limited costs, allowed here is one per run")
    for name in _COLUMNS:
        if name not in table:
            raise ConfigError(f"{path}: missing column {name!r}")
    if table.empty:
        raise ConfigError(f"{path}: has no rows")
    _check_values(table, path)
    table["trial"] = f"{folder}: " + table.trial
    return table


def _read_run(folder: Path, config: Config) -> pd.DataFrame:
    """The evaluations in a run's log as rows like those of a sweep."""
    import pandas as pd

    directory = RunDirectory(folder)
    limits = dict(zip(config.constraints, np.atleast_1d(config.hyper.cost_limit), strict=False))
    if len(limits) != 1:
        raise ConfigError(
            f"{directory.config_file}: constraints: got {', '.join(limits) or 'none'}, allowed "
            "here is one limited cost per run"
        )
    ((cost, limit),) = limits.items()
    records = read_records(directory.metrics_file) or [{"step": 0}]
    costs = [record.get(log_name("eval_cost", cost)) for record in records]
    table = pd.DataFrame(
        {
            "trial": str(folder),
            "env": config.env,
            "algorithm": config.algorithm,
            "seed": config.seed,
            "step": [record["step"] for record in records],
            "return": [record.get("eval_return") for record in records],
            "cost": costs,
            "cost_limit": float(limit),
            "lam": [record.get(log_name("lam", cost)) for record in records],
            "feasible": [value is not None and value <= limit for value in costs],
            "wall_time": [record.get("wall_time") for record in records],
            "status": "done" if directory.evaluation_file.is_file() else "running",
        }
    )
    numbers = dict.fromkeys(_NUMBERS, np.float64)
    _check_values(table.astype(numbers), directory.metrics_file)
    return table.astype(numbers)


def _check_values(table: pd.DataFrame, path: Path) -> None:
    """Raise for the first column with something else than what it has to hold."""
    from pandas.api.types import is_bool_dtype, is_integer_dtype, is_numeric_dtype

    for name in table.columns:
        if not str(name).isprintable() or not all(
            value.isprintable() for value in table[name].unique() if isinstance(value, str)
        ):
            raise ConfigError(f"{path}: {name!r}: allowed is printable text")
    for name in _TEXTS:
        if table[name].isna().any():
            raise ConfigError(f"{path}: {name}: a value is missing")
    unknown = set(table.status) - set(_STATUSES)
    if unknown:
        allowed = ", ".join(_STATUSES)
        raise ConfigError(f"{path}: status: got {min(unknown)!r}, allowed is one of {allowed}")
    for name in _INTEGERS:
        if not is_integer_dtype(table[name]):
            raise ConfigError(f"{path}: {name}: allowed is an integer in every row")
    for name in _NUMBERS:
        is_number = is_numeric_dtype(table[name]) and not is_bool_dtype(table[name])
        if not is_number or (table[name].abs() > _LARGEST_NUMBER).any():
            allowed = f"a number from {-_LARGEST_NUMBER:g} to {_LARGEST_NUMBER:g}, or nothing"
            raise ConfigError(f"{path}: {name}: allowed is {allowed}")
    if not is_bool_dtype(table.feasible):
        raise ConfigError(f"{path}: feasible: allowed is True or False in every row")
    if table.cost_limit.isna().any() or (table.cost_limit < 0).any():
        raise ConfigError(f"{path}: cost_limit: allowed is a number >= 0 in every row")
    _check_trials(table, path)


def _check_trials(table: pd.DataFrame, path: Path) -> None:
    """Raise if a trial has two rows of one step, or changes anything else than its results."""
    twice = table.duplicated(["trial", "step"])
    if twice.any():
        row = table[twice].iloc[0]
        raise ConfigError(f"{path}: trial {row.trial!r} has step {row.step} twice")
    changing = {"step", "return", "cost", "lam", "feasible", "wall_time"}
    for name in table.columns.difference(list(changing)):
        kinds = table.groupby("trial")[name].nunique(dropna=False)
        if (kinds > 1).any():
            raise ConfigError(f"{path}: {name}: differs between rows of trial {kinds.idxmax()!r}")


def _finished(table: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, int]]:
    """All rows of trials that ended with an evaluation, and how many did not."""
    last = table.loc[table.groupby("trial").step.idxmax()].set_index("trial")
    reasons = last.status.map({"running": "unfinished", "failed": "failed"})
    without = last[["return", "cost"]].isna().any(axis=1)
    reasons = reasons.mask(reasons.isna() & without, "without an evaluation")
    left_out = {str(reason): int(count) for reason, count in reasons.value_counts().items()}
    finished = table[table.trial.isin(reasons.index[reasons.isna()])]
    if finished.empty:
        raise ConfigError(f"folders: no finished run to compare ({describe_left_out(left_out)})")
    return finished, left_out


def describe_left_out(left_out: dict[str, int]) -> str:
    """For example ``2 unfinished, 1 failed``."""
    return ", ".join(f"{count} {reason}" for reason, count in left_out.items())


def _flat(config: Config) -> dict[str, Any]:
    """Every field of a configuration under its own name, as a flag names it; lists as text."""
    values = dataclasses.asdict(config)
    for name in [name for name, value in values.items() if isinstance(value, dict)]:
        values |= values.pop(name)
    return {k: json.dumps(v) if isinstance(v, list | tuple) else v for k, v in values.items()}


def _differing(settings: list[dict[str, Any]]) -> set[str]:
    """Names of settings with an effect that differ between runs of one environment and algorithm.

    Presets choose some by environment and algorithm: that alone is no difference to compare.
    """
    seen: dict[tuple, dict[str, Any]] = {}
    differing = set()
    for values in settings:
        first = seen.setdefault((values["env"], values["algorithm"]), values)
        differing |= {name for name, value in values.items() if value != first[name]}
    return differing - {*_KEPT_APART, *_WITHOUT_EFFECT}


def _name_configurations(table: pd.DataFrame, columns: list[str]) -> tuple[pd.DataFrame, list[str]]:
    """The table with ``configuration``, and the columns that tell configurations apart."""
    swept = [name for name in columns if table[name].nunique(dropna=False) > 1]
    one_seed = table.groupby(["env", "algorithm", "seed", *swept], dropna=False)
    if (one_seed.cost_limit.nunique() > 1).any():
        swept = [*swept, "cost_limit"]
    names = table.algorithm.astype(object)
    for column in swept:
        texts = _texts(table[column])
        names += texts.where(texts == "", f" {column}=" + texts)
    return table.assign(configuration=names), swept


def _check_limits(epochs: pd.DataFrame) -> None:
    """Raise if a configuration was run with several limits in one environment."""
    limits = epochs.groupby(["configuration", "env"]).cost_limit.unique()
    for (configuration, env), values in limits.items():
        if len(values) > 1:
            found = " and ".join(f"{value:g}" for value in sorted(values))
            raise ConfigError(
                f"cost_limit: got {found} in runs of {configuration!r} on {env}, allowed is one "
                "limit per configuration"
            )


def _texts(column: pd.Series) -> pd.Series:
    """Values as texts, numbers as short as they stay different; nothing for a missing value."""
    distinct = column.dropna().unique()
    for digits in (3, 4, 6, 9, 17):
        texts = {value: _text(value, digits) for value in distinct}
        if len(set(texts.values())) == len(texts):
            break
    return column.map(texts).fillna("").astype(object)


def _text(value: Any, digits: int) -> str:
    is_number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    return f"{value:.{digits}g}" if is_number else str(value)


def _check_seeds(epochs: pd.DataFrame) -> None:
    """Raise if a configuration has one seed twice: such runs are not independent."""
    trials = epochs.drop_duplicates("trial")
    keys = ["configuration", "env", "seed"]
    twice = trials[trials.duplicated(keys, keep=False)].sort_values([*keys, "trial"])
    if len(twice):
        first, second = twice.iloc[0], twice.iloc[1]
        raise ConfigError(
            f"seed: {first.seed} of {first.configuration!r} on {first.env} is in {first.trial} and "
            f"in {second.trial}, allowed is each seed of a configuration once"
        )
