"""What a table of trials may hold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from algd_jax.errors import ConfigError
from algd_jax.runs.sweep.directory import DONE, FAILED, PRUNED, RUNNING

if TYPE_CHECKING:
    import pandas as pd

TEXTS = ("trial", "env", "algorithm", "status")
NUMBERS = ("return", "cost", "cost_limit", "lam", "wall_time")
_INTEGERS = ("seed", "step")
_RESULTS = ("step", "return", "cost", "lam", "feasible", "wall_time")
COLUMNS = ("trial", "env", "algorithm", "seed", "step", *NUMBERS, "feasible", "status")
"""Of ``results.csv``; all others are hyperparameters, or those of several limited costs."""

_STATUSES = (RUNNING, DONE, FAILED, PRUNED)
_LARGEST_NUMBER = 1e100  # Of which sums are finite.


def check_columns(table: pd.DataFrame, path: Path) -> None:
    """Raise unless the table has all columns, and a row."""
    for name in COLUMNS:
        if name not in table:
            raise ConfigError(f"{path}: missing column {name!r}")
    if table.empty:
        raise ConfigError(f"{path}: has no rows")


def check_values(table: pd.DataFrame, path: Path) -> None:
    """Raise for the first column with something else than what it has to hold."""
    from pandas.api.types import is_bool_dtype, is_integer_dtype

    for name in table.columns:  # They are shown on a terminal.
        texts = [name, *(value for value in table[name].unique() if isinstance(value, str))]
        if not all(str(text).isprintable() for text in texts):
            raise ConfigError(f"{path}: {name!r}: allowed is printable text")
    for name in TEXTS:
        if table[name].isna().any():
            raise ConfigError(f"{path}: {name}: a value is missing")
    unknown = set(table.status) - set(_STATUSES)
    if unknown:
        allowed = ", ".join(_STATUSES)
        raise ConfigError(f"{path}: status: got {min(unknown)!r}, allowed is one of {allowed}")
    for name in _INTEGERS:
        if not is_integer_dtype(table[name]):
            raise ConfigError(f"{path}: {name}: allowed is an integer in every row")
    check_numbers(table, path, NUMBERS)
    if not is_bool_dtype(table.feasible):
        raise ConfigError(f"{path}: feasible: allowed is True or False in every row")
    if table.cost_limit.isna().any() or (table.cost_limit < 0).any():
        raise ConfigError(f"{path}: cost_limit: allowed is a number >= 0 in every row")


def check_numbers(table: pd.DataFrame, path: Path, names: Sequence[str]) -> None:
    """Raise for the first of these columns that holds something else than numbers."""
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    for name in names:
        is_number = is_numeric_dtype(table[name]) and not is_bool_dtype(table[name])
        if not is_number or (table[name].abs() > _LARGEST_NUMBER).any():
            allowed = f"a number from {-_LARGEST_NUMBER:g} to {_LARGEST_NUMBER:g}, or nothing"
            raise ConfigError(f"{path}: {name}: allowed is {allowed}")


def check_trials(table: pd.DataFrame, path: Path) -> None:
    """Raise if a trial has two rows of one step, or changes anything else than its results."""
    twice = table.duplicated(["trial", "step"])
    if twice.any():
        row = table[twice].iloc[0]
        raise ConfigError(f"{path}: trial {row.trial!r} has step {row.step} twice")
    results = [name for name in table if str(name).startswith(("cost/", "lam/"))]
    for name in table.columns.difference([*_RESULTS, *results]):
        kinds = table.groupby("trial")[name].nunique(dropna=False)
        if (kinds > 1).any():
            raise ConfigError(f"{path}: {name}: differs between rows of trial {kinds.idxmax()!r}")
