"""Several limited costs of a run, and the one number by which such runs are compared.

In a table each has columns of its own, ``cost/NAME``, ``cost_limit/NAME`` and ``lam/NAME``. Beside
them ``cost`` is that of the costs which is furthest above its limit, counted from it, and
``cost_limit`` is 0: a run is within its limits if this one is.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from algd_jax.errors import ConfigError
from algd_jax.runs.compare.checking import check_numbers
from algd_jax.types import TOTAL_COST

if TYPE_CHECKING:
    import pandas as pd

_LIMIT = "cost_limit/"
_GATHERED = ("cost", "cost_limit", "lam")


def limited_costs(table: pd.DataFrame) -> list[str]:
    """Names of the costs that are limited in some rows, if those have several."""
    columns = [str(name) for name in table if str(name).startswith(_LIMIT)]
    return [name.removeprefix(_LIMIT) for name in columns if table[name].notna().any()]


def gather(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The table with ``cost``, ``cost_limit`` and ``lam`` where it has several of each.

    ``limits`` says in words what is limited to what; nothing where there is one limit.

    Raises:
      ConfigError: if a cost misses a column, or it holds something else than numbers.
    """
    names = [str(name).removeprefix(_LIMIT) for name in table if str(name).startswith(_LIMIT)]
    if not names:
        return table.assign(limits="")
    if "cost_limit" in table:  # The total beside parts of it.
        table = table.rename(columns={name: f"{name}/{TOTAL_COST}" for name in _GATHERED})
        names = [TOTAL_COST, *names]
    for column in (f"{quantity}/{name}" for quantity in _GATHERED for name in names):
        if column not in table:
            raise ConfigError(f"{path}: missing column {column!r}")
    check_numbers(table, path, [f"{quantity}/{name}" for quantity in _GATHERED for name in names])
    limits = table[[f"{_LIMIT}{name}" for name in names]]
    if limits.isna().any(axis=None) or (limits < 0).any(axis=None):
        raise ConfigError(f"{path}: cost_limit: allowed are numbers >= 0 in every row")
    costs = table[[f"cost/{name}" for name in names]]
    lams = table[[f"lam/{name}" for name in names]]
    words = [
        ", ".join(f"{name} {limit:g}" for name, limit in zip(names, row, strict=True))
        for row in limits.to_numpy()
    ]
    worst = (costs - limits.to_numpy()).max(axis=1, skipna=False)
    return table.assign(cost=worst, cost_limit=0.0, lam=lams.max(axis=1), limits=words)


def excesses(last: pd.DataFrame) -> pd.DataFrame:
    """Each limited cost above its limit, a column each, for rows of one environment."""
    names = limited_costs(last)
    if not names:
        return last[["excess"]]
    costs, limits = ([f"{what}/{name}" for name in names] for what in ("cost", "cost_limit"))
    return (last[costs] - last[limits].to_numpy()).set_axis(names, axis=1)


def check_comparable(table: pd.DataFrame) -> None:
    """Raise unless the runs of an environment have the same costs limited, if one has several."""
    for env, of_env in table.groupby("env"):
        found = {
            ", ".join(limited_costs(part)) or "one cost"
            for _, part in of_env.groupby("limits", sort=True)
        }
        if len(found) > 1:
            raise ConfigError(
                f"constraints: got {' and '.join(sorted(found))} in runs on {env}, allowed are the "
                "same limited costs in all runs of an environment"
            )
