"""Which runs belong together: those that differ in nothing but their seed."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from algd_jax.config import Config, flat_fields
from algd_jax.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

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


def flat(config: Config) -> dict[str, Any]:
    """Every field of a configuration under its own name, as a flag names it; lists as text."""
    values = flat_fields(dataclasses.asdict(config))
    return {k: json.dumps(v) if isinstance(v, list | tuple) else v for k, v in values.items()}


def differing(settings: list[dict[str, Any]]) -> set[str]:
    """Names of settings with an effect that differ between runs of one environment and algorithm.

    Presets choose some by environment and algorithm: that alone is no difference to compare. Where
    runs of several presets differ, each preset's name stands for what all of its runs have alike.
    """
    across = _differing(settings, ("env", "algorithm"))
    within = _differing(settings, ("env", "algorithm", "preset"))
    return within | {"preset"} if len(across - within) > 1 else across


def _differing(settings: list[dict[str, Any]], alike: tuple[str, ...]) -> set[str]:
    """Settings with an effect that differ between runs which are ``alike`` in these."""
    seen: dict[tuple, dict[str, Any]] = {}
    found = set()
    for values in settings:
        first = seen.setdefault(tuple(values[name] for name in alike), values)
        found |= {name for name, value in values.items() if value != first[name]}
    return found - {*_KEPT_APART, *_WITHOUT_EFFECT}


def name_configurations(table: pd.DataFrame, columns: list[str]) -> tuple[pd.DataFrame, list[str]]:
    """Name what the rows of a table have in common.

    Args:
      table: as in ``results.csv``, with ``columns``.
      columns: of hyperparameters, some of which may be the same in all rows.

    Returns:
      The table with a column ``configuration``, which names what differs between runs of one
      algorithm; and the columns that tell configurations apart, ``cost_limit`` among them if one
      seed was run with several.
    """
    swept = [name for name in columns if table[name].nunique(dropna=False) > 1]
    one_seed = table.groupby(["env", "algorithm", "seed", *swept], dropna=False)
    for limit in ("cost_limit", "limits"):
        if (one_seed[limit].nunique() > 1).any():
            swept = [*swept, limit]
    names = table.algorithm.astype(object)
    for column in swept:
        texts = _texts(table[column])
        differs = texts.groupby(table.algorithm).transform("nunique") > 1
        names += (f" {column}=" + texts).where(differs & (texts != ""), "")
    return table.assign(configuration=names), swept


def check_configurations(table: pd.DataFrame) -> None:
    """Raise unless each configuration has one limit per environment, and each seed once.

    Runs of one seed are not independent.
    """
    limits = table.limits.where(table.limits != "", table.cost_limit.map("{:g}".format))
    kinds = limits.groupby([table.configuration, table.env]).unique()
    for (configuration, env), values in kinds.items():
        if len(values) > 1:
            found = " and ".join(sorted(values))
            raise ConfigError(
                f"cost_limit: got {found} in runs of {configuration!r} on {env}, allowed is one "
                "limit per configuration"
            )
    trials, keys = table.drop_duplicates("trial"), ["configuration", "env", "seed"]
    twice = trials[trials.duplicated(keys, keep=False)].sort_values([*keys, "trial"])
    if len(twice):
        first, second = twice.iloc[0], twice.iloc[1]
        raise ConfigError(
            f"seed: {first.seed} of {first.configuration!r} on {first.env} is in {first.trial} and "
            f"in {second.trial}, allowed is each seed of a configuration once"
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
