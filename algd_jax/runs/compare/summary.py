"""What a comparison says: every configuration in numbers, and which one to take."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from algd_jax.runs.compare import statistics
from algd_jax.runs.compare.limits import excesses, limited_costs
from algd_jax.runs.compare.reading import Runs, last_epochs
from algd_jax.runs.compare.statistics import Estimate, estimate

if TYPE_CHECKING:
    import pandas as pd


ALL = "all environments"
"""Heading of what is said of them together."""


class Limited(NamedTuple):
    """One of several limited costs of a configuration in one environment.

    Attributes:
      name: of the cost.
      mean_cost: its mean [cost / episode].
      cost_limit: allowed [cost / episode].
    """

    name: str
    mean_cost: Estimate
    cost_limit: float


@dataclasses.dataclass(frozen=True)
class Row:
    """The last evaluations of a configuration's runs in one environment, or in all.

    Attributes:
      env: environment; None for all of them together.
      configuration: its name.
      algorithm: its algorithm.
      seeds: number of runs in each environment that it was run in.
      returns: interquartile mean of the return [reward / episode]; in all environments of the
        return on a scale from 0 (the environment's lowest here) to 1 (its highest).
      costs: interquartile mean of the cost [cost / episode]; in all environments of the cost above
        its limit; so too of several limited costs, of which it is the one whose mean is furthest
        above.
      mean_cost: mean of the same, which is what has to be within the limit.
      cost_limit: allowed cost [cost / episode]; 0 for all environments.
      share_feasible: share of runs within their limits.
      violation: mean cost above its limit, of the worst environment.
      pareto: no feasible configuration here has a higher return at no higher mean cost, or the same
        return at a lower one; false if infeasible.
      limited: each of several limited costs; none if there is one, or for all environments.
    """

    env: str | None
    configuration: str
    algorithm: str
    seeds: tuple[int, ...]
    returns: Estimate
    costs: Estimate
    mean_cost: Estimate
    cost_limit: float
    share_feasible: float
    violation: float
    pareto: bool = False
    limited: tuple[Limited, ...] = ()

    @property
    def feasible(self) -> bool:
        """Whether the mean cost is within the limit (in every environment)."""
        return self.violation <= 0

    @property
    def rank(self) -> tuple:
        """Sorts the feasible first, by return, then the others by how near the limit they are."""
        if self.feasible:
            return (False, -self.returns.value, self.mean_cost.value, self.configuration)
        return (True, self.violation, -self.returns.value, self.configuration)


class Improvement(NamedTuple):
    """How likely a run of one algorithm outdoes one of another in the same environment.

    Attributes:
      first, second: the algorithms; runs of all their configurations count.
      returns: probability that the first has the higher return.
      costs: probability that the first has the lower cost.
    """

    first: str
    second: str
    returns: Estimate
    costs: Estimate


class Comparison(NamedTuple):
    """A finished comparison.

    Attributes:
      runs: what was compared.
      last: the last epoch of each run, with ``excess`` (cost above its limit) and ``score`` (return
        on a scale from 0 to 1 in its environment).
      rows: every configuration in every environment, the best first.
      overall: every configuration that was run in all of several environments, the best first.
      improvements: of each pair of algorithms that share all environments.
    """

    runs: Runs
    last: pd.DataFrame
    rows: dict[str, list[Row]]
    overall: list[Row]
    improvements: list[Improvement]

    @property
    def groups(self) -> dict[str, list[Row]]:
        """All tables of rows by their headings, of each environment and of all if several."""
        return self.rows | ({ALL: self.overall} if self.overall else {})

    @property
    def ranking(self) -> list[str]:
        """Names of all configurations, the best first."""
        ranked = [row.configuration for row in self.overall]
        others = sorted(itertools.chain(*self.rows.values()), key=lambda row: row.rank)
        return list(dict.fromkeys([*ranked, *(row.configuration for row in others)]))

    def figures(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return {
            "runs": len(self.last),
            "left_out": self.runs.left_out,
            "swept": self.runs.swept,
            "confidence": statistics.CONFIDENCE,
            "configurations": [
                _row_figures(row, self.last, self.runs.swept)
                for rows in self.groups.values()
                for row in rows
            ],
            "best": [
                {
                    "env": rows[0].env,
                    "configuration": rows[0].configuration,
                    "feasible": rows[0].feasible,
                }
                for rows in self.groups.values()
            ],
            "improvement": [
                {
                    "first": one.first,
                    "second": one.second,
                    "higher_return": one.returns._asdict(),
                    "lower_cost": one.costs._asdict(),
                }
                for one in self.improvements
            ],
        }


def compare(runs: Runs) -> Comparison:
    """The statistics of all configurations."""
    last = last_epochs(runs.epochs)
    by_env = last.groupby("env")["return"]
    low, span = by_env.transform("min"), by_env.transform("max") - by_env.transform("min")
    last["score"] = ((last["return"] - low) / span.where(span > 0, 1.0)).astype(np.float64)
    last["excess"] = last.cost - last.cost_limit
    rows = {
        env: _ranked(_row(part, env, "return", "cost") for _, part in of_env.groupby(_KEY))
        for env, of_env in last.groupby("env")
    }
    overall = []
    if len(rows) > 1:
        overall = _ranked(
            _row(part, None, "score", "excess")
            for _, part in last.groupby(_KEY)
            if part.env.nunique() == len(rows)
        )
    return Comparison(runs, last, rows, overall, _improvements(last))


_KEY = "configuration"


def _row(part: pd.DataFrame, env: str | None, returns: str, costs: str) -> Row:
    """The numbers of one configuration from the last epochs of its runs."""
    strata, cost = part.env.to_numpy(), part[costs].to_numpy()
    limited = _limited(part) if env is not None else ()
    if limited:
        above = excesses(part)
        cost = above[above.mean().idxmax()].to_numpy()
    return Row(
        env=env,
        configuration=part[_KEY].iloc[0],
        algorithm=part.algorithm.iloc[0],
        seeds=tuple(int(count) for count in part.groupby("env").size()),
        returns=estimate(part[returns].to_numpy(), strata, statistics.interquartile_mean),
        costs=estimate(cost, strata, statistics.interquartile_mean),
        mean_cost=estimate(cost, strata, statistics.mean),
        cost_limit=float(part.cost_limit.iloc[0]) if env is not None else 0.0,
        share_feasible=float(part.feasible.mean()),
        violation=max(float(excesses(one).mean().max()) for _, one in part.groupby("env")),
        limited=limited,
    )


def _limited(part: pd.DataFrame) -> tuple[Limited, ...]:
    """Each of several limited costs of a configuration's runs in one environment."""
    strata = part.env.to_numpy()
    return tuple(
        Limited(
            name,
            estimate(part[f"cost/{name}"].to_numpy(), strata, statistics.mean),
            float(part[f"cost_limit/{name}"].iloc[0]),
        )
        for name in limited_costs(part)
    )


def _ranked(rows: Iterable[Row]) -> list[Row]:
    """The best first; those on the feasible Pareto front marked."""
    rows = sorted(rows, key=lambda row: row.rank)
    return [dataclasses.replace(row, pareto=is_pareto(row, rows)) for row in rows]


def is_pareto(row: Row, rows: Sequence[Row]) -> bool:
    """Whether the row is feasible and no feasible one is better in one respect, worse in none."""

    def beats(other: Row) -> bool:
        gain = other.returns.value - row.returns.value
        saving = row.mean_cost.value - other.mean_cost.value
        return gain >= 0 and saving >= 0 and (gain > 0 or saving > 0)

    return row.feasible and not any(other.feasible and beats(other) for other in rows)


def _improvements(last: pd.DataFrame) -> list[Improvement]:
    """Each pair of algorithms with runs in the same environments."""
    groups = {name: part for name, part in last.groupby("algorithm")}
    found = []
    for (first, x), (second, y) in itertools.combinations(groups.items(), 2):
        if set(x.env) == set(y.env):
            strata = (x.env.to_numpy(), y.env.to_numpy())
            found.append(
                Improvement(
                    first,
                    second,
                    statistics.improvement(x["return"].to_numpy(), y["return"].to_numpy(), *strata),
                    statistics.improvement(-x.cost.to_numpy(), -y.cost.to_numpy(), *strata),
                )
            )
    return found


def _row_figures(row: Row, last: pd.DataFrame, swept: list[str]) -> dict[str, Any]:
    """A row ready for JSON, with the settings that make the configuration."""
    example = last[last.configuration == row.configuration].iloc[0]
    settings = {name: _plain(example[name]) for name in swept}
    figures = {
        "env": row.env,
        "configuration": row.configuration,
        "algorithm": row.algorithm,
        "settings": settings,
        "seeds": sum(row.seeds),
        "iqm_return": row.returns._asdict(),
        "iqm_cost": row.costs._asdict(),
        "mean_cost": row.mean_cost._asdict(),
        "cost_limit": row.cost_limit,
        "share_feasible": row.share_feasible,
        "feasible": row.feasible,
        "pareto": row.pareto,
    }
    if row.limited:
        figures["constraints"] = {
            one.name: {"mean_cost": one.mean_cost._asdict(), "cost_limit": one.cost_limit}
            for one in row.limited
        }
    return figures


def _plain(value: Any) -> Any:
    """A table's value as JSON holds it; None if it is missing."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if value != value else value
