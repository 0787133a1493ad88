"""Rankings, fronts and verdicts on tables whose answers are plain to see."""

import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from algd_jax.runs.compare.reading import Runs, read_runs
from algd_jax.runs.compare.statistics import Estimate
from algd_jax.runs.compare.summary import Row, compare, is_pareto
from algd_jax.runs.compare.words import notes
from tests.runs.compare.tables import make_table, write_sweep


def runs_of(outcomes: dict[str, list[tuple[float, float]]], limit: float = 10.0) -> Runs:
    """One epoch per run: returns and costs of each configuration; "algorithm@env" sets those."""
    rows = []
    for name, results in outcomes.items():
        algorithm, _, env = name.partition("@")
        for seed, (gain, cost) in enumerate(results):
            rows.append(
                {
                    "trial": f"{name}{seed}",
                    "env": env or "EnvA",
                    "algorithm": algorithm.split()[0],
                    "configuration": algorithm,
                    "seed": seed,
                    "step": 100,
                    "return": gain,
                    "cost": cost,
                    "cost_limit": limit,
                    "feasible": cost <= limit,
                }
            )
    return Runs(pd.DataFrame(rows), [], {})


def row(gain: float, cost: float, limit: float = 10.0) -> Row:
    """A configuration whose runs all end alike."""
    exact = Estimate(cost, cost, cost)
    returns = Estimate(gain, gain, gain)
    return Row("EnvA", "", "algd", (2,), returns, exact, exact, limit, 1.0, cost - limit)


def test_the_best_is_feasible_by_mean_cost_and_has_the_highest_return():
    comparison = compare(
        runs_of(
            {
                "greedy": [(90, 50), (90, 60)],
                "good": [(30, 9), (20, 3)],
                "outlier": [(40, 0), (40, 0), (40, 0), (40, 41)],  # Its interquartile mean is 0.
                "timid": [(5, 0), (5, 0)],
            }
        )
    )
    assert comparison.ranking == ["good", "timid", "outlier", "greedy"]
    rows = {row.configuration: row for row in comparison.rows["EnvA"]}
    assert [rows[name].feasible for name in ("good", "outlier")] == [True, False]
    assert rows["outlier"].costs.value == 0
    assert rows["outlier"].share_feasible == 0.75
    assert rows["good"].returns == (25, 20, 30)
    assert comparison.figures()["best"] == [
        {"env": "EnvA", "configuration": "good", "feasible": True}
    ]
    assert "EnvA: best feasible configuration: good" in notes(comparison)


def test_the_nearest_is_named_where_nothing_is_feasible():
    comparison = compare(runs_of({"far": [(90, 50)], "near": [(1, 12)]}))
    assert notes(comparison)[0] == (
        "EnvA: no configuration is feasible; nearest: near, mean cost 2.00 above its limit"
    )
    assert not any(row.pareto for row in comparison.rows["EnvA"])


def test_a_mean_cost_at_the_limit_is_feasible():
    assert compare(runs_of({"at": [(1, 10), (1, 10)]})).rows["EnvA"][0].feasible


def test_the_front_is_feasible_and_not_dominated():
    rows = [row(10, 1), row(20, 5), row(15, 5), row(20, 6), row(30, 9), row(99, 11)]
    assert [is_pareto(one, rows) for one in rows] == [True, True, False, False, True, False]
    twins = [row(10, 1), row(10, 1)]
    assert all(is_pareto(one, twins) for one in twins)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 14)), min_size=1, max_size=12))
def test_the_front_rises_and_holds_the_best(points):
    rows = [row(gain, cost) for gain, cost in points]
    front = sorted((one.mean_cost.value, one.returns.value) for one in rows if is_pareto(one, rows))
    assert all(a == b or (a[0] < b[0] and a[1] < b[1]) for a, b in itertools.pairwise(front))
    feasible = [one.returns.value for one in rows if one.feasible]
    assert max(feasible, default=None) == max((gain for _, gain in front), default=None)


def test_environments_are_put_together_on_one_scale():
    """The second environment pays a thousand times as much; its limit binds."""
    comparison = compare(
        runs_of(
            {
                "algd@EnvA": [(10, 1), (12, 1)],
                "cal@EnvA": [(0, 1), (2, 1)],
                "algd@EnvB": [(1000, 30), (2000, 30)],
                "cal@EnvB": [(0, 5), (1000, 5)],
                "sac@EnvA": [(99, 99), (12, 99)],
            }
        )
    )
    rows = {row.configuration: row for row in comparison.overall}
    assert set(rows) == {"algd", "cal"}  # The third was not run everywhere.
    scores = np.array([10 / 99, 12 / 99, 0.5, 1.0])
    assert rows["algd"].returns.value == pytest.approx(np.sort(scores)[1:3].mean())
    assert rows["algd"].violation == 20  # Of the worse environment; the mean would be 5.5.
    assert rows["algd"].costs.value == pytest.approx(np.mean([-9, 20]))
    assert not rows["algd"].feasible
    assert comparison.ranking == ["cal", "algd", "sac"]
    assert comparison.figures()["best"][-1]["env"] is None


def test_improvement_is_between_algorithms_that_share_environments():
    comparison = compare(
        runs_of(
            {
                "algd rho=1": [(5, 1), (6, 2)],
                "algd rho=2": [(7, 3), (8, 4)],
                "cal": [(1, 5), (5.5, 6)],
                "sac@EnvB": [(1, 1)],
            }
        )
    )
    (one,) = comparison.improvements
    assert (one.first, one.second) == ("algd", "cal")
    assert one.returns.value == 7 / 8
    assert one.costs == (1, 1, 1)


def test_few_runs_are_said_to_be_few():
    def said(count):
        return notes(compare(runs_of({"algd": [(1, 1)] * count})))[-1]

    assert "a configuration with one run has no interval" in said(1)
    assert "an interval from 3 holds the truth in about 75 % of cases" in said(3)
    assert said(5) == "EnvA: best feasible configuration: algd"


def test_the_order_of_folders_and_rows_does_not_matter(tmp_path: Path):
    table = make_table(algorithms=("algd", "cal"), rhos=(0.5, 2.0), seeds=3)
    first = compare(read_runs([write_sweep(tmp_path / "a", table)])).figures()
    mixed = table.sample(frac=1, random_state=1)
    assert compare(read_runs([write_sweep(tmp_path / "b", mixed)])).figures() == first
    halves = [table[table.algorithm == name] for name in ("cal", "algd")]
    folders = [write_sweep(tmp_path / f"half{i}", half) for i, half in enumerate(halves)]
    assert compare(read_runs(folders)).figures() == first


def test_figures_are_strict_json_with_the_settings(tmp_path: Path):
    table = make_table(rhos=(0.5, 2.0), seeds=1)
    figures = compare(read_runs([write_sweep(tmp_path, table)])).figures()
    figures = json.loads(json.dumps(figures, allow_nan=False))
    assert [one["settings"] for one in figures["configurations"]] == [{"rho": 2.0}, {"rho": 0.5}]
    assert figures["configurations"][0]["iqm_return"]["low"] is None
