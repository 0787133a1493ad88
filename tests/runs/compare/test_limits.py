"""Runs with several limited costs: compared by each, and drawn by the worst."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from algd_jax.config import Config, Hyper
from algd_jax.errors import ConfigError
from algd_jax.runs.compare import pictures
from algd_jax.runs.compare.page import curves_figure
from algd_jax.runs.compare.pictures import EXCESS_LABEL, draw_curves, draw_profiles, draw_trade_off
from algd_jax.runs.compare.reading import read_runs
from algd_jax.runs.compare.summary import compare
from algd_jax.runs.compare.words import cells, notes
from algd_jax.runs.directory import RunDirectory, write_json
from tests.runs.compare.tables import make_table, write_sweep

LIMITS = {"cost_low": 5.0, "cost_high": 2.0}


def sweep_of(outcomes: dict[str, list[tuple[float, float, float]]], limits=LIMITS) -> pd.DataFrame:
    """A sweep's table of two epochs: return and two costs of each run of an algorithm."""
    rows = []
    for algorithm, results in outcomes.items():
        for seed, (gain, *costs) in enumerate(results):
            within = all(np.array(costs) <= list(limits.values()))
            row = {"trial": f"{algorithm}{seed}", "env": "EnvA", "algorithm": algorithm}
            row |= {f"cost_limit/{name}": limit for name, limit in limits.items()}
            row |= {f"lam/{name}": 0.5 for name in limits}
            row |= {"seed": seed, "wall_time": 1.0, "status": "done"}
            start = {f"cost/{name}": 99.0 for name in limits}
            rows.append(row | start | {"step": 100, "return": 0.0, "feasible": False})
            end = {f"cost/{name}": cost for name, cost in zip(limits, costs, strict=True)}
            rows.append(row | end | {"step": 200, "return": gain, "feasible": within})
    return pd.DataFrame(rows)


OUTCOMES = {
    "good": [(30.0, 6.0, 0.5), (20.0, 2.0, 2.5)],  # Each run is over one limit, no mean is.
    "timid": [(5.0, 1.0, 1.0), (6.0, 1.0, 1.0)],
    "greedy": [(90.0, 1.0, 3.0), (90.0, 1.0, 4.0)],  # Over the second limit alone.
}


@pytest.fixture
def comparison(tmp_path):
    return compare(read_runs([write_sweep(tmp_path / "sweep", sweep_of(OUTCOMES))]))


def test_each_mean_must_be_within_its_limit(comparison):
    assert comparison.ranking == ["good", "timid", "greedy"]
    rows = {row.configuration: row for row in comparison.rows["EnvA"]}
    assert [rows[name].feasible for name in comparison.ranking] == [True, True, False]
    assert [rows[name].share_feasible for name in comparison.ranking] == [0.0, 1.0, 0.0]
    # Means of the first are 4 of 5 and 1.5 of 2: the second is nearer to its limit.
    assert rows["good"].violation == rows["good"].mean_cost.value == -0.5
    assert rows["good"].mean_cost == (-0.5, -1.5, 0.5)
    assert rows["greedy"].violation == 1.5
    assert [row.pareto for row in rows.values()] == [True, True, False]


def test_each_is_told(comparison):
    texts = {row.configuration: cells(row, False) for row in comparison.rows["EnvA"]}
    assert texts["good"][4] == "4.00 / 5, 1.50 / 2"
    assert texts["greedy"][4] == "1.00 / 5, 3.50 / 2"
    assert (
        "EnvA: limited costs cost_low, cost_high; the IQM cost is of the one furthest above its "
        "limit, counted from it"
    ) in notes(comparison)
    figures = comparison.figures()
    assert figures["best"][0] == {"env": "EnvA", "configuration": "good", "feasible": True}
    found = figures["configurations"][0]["constraints"]
    assert found["cost_low"] == {
        "mean_cost": {"value": 4.0, "low": 2.0, "high": 6.0},
        "cost_limit": 5.0,
    }
    assert found["cost_high"]["cost_limit"] == 2.0
    json.dumps(figures, allow_nan=False)


def test_one_limit_is_told_as_before(tmp_path):
    comparison = compare(read_runs([write_sweep(tmp_path, make_table())]))
    assert "constraints" not in comparison.figures()["configurations"][0]
    assert not any("limited costs" in note for note in notes(comparison))


def test_runs_make_the_same_table_as_a_sweep(tmp_path):
    table = sweep_of({"algd": OUTCOMES["good"]})
    config = Config(
        env="EnvA", constraints=tuple(LIMITS), hyper=Hyper(cost_limit=tuple(LIMITS.values()))
    )
    folders = []
    for seed, part in table.groupby("seed"):
        directory = RunDirectory(tmp_path / f"run{seed}")
        directory.create(dataclasses.replace(config, seed=seed), [])
        names = {f"cost/{name}": f"eval_cost/{name}" for name in LIMITS} | {"return": "eval_return"}
        part = part.rename(columns=names)
        columns = ["step", "wall_time", *names.values(), *(f"lam/{name}" for name in LIMITS)]
        lines = map(json.dumps, part[columns].to_dict("records"))
        directory.metrics_file.write_text("".join(f"{line}\n" for line in lines))
        write_json(directory.evaluation_file, {})
        folders.append(directory.path)
    from_runs = read_runs(folders).epochs
    from_sweep = read_runs([write_sweep(tmp_path / "sweep", table)]).epochs
    shared = [name for name in from_sweep if name != "trial"]
    pd.testing.assert_frame_equal(from_runs[shared], from_sweep[shared])


def test_the_total_may_be_limited_beside_a_part(tmp_path):
    table = sweep_of(OUTCOMES).rename(
        columns={f"{name}/cost_low": name for name in ("cost", "cost_limit", "lam")}
    )
    rows = compare(read_runs([write_sweep(tmp_path, table)])).rows["EnvA"]
    assert [one.name for one in rows[0].limited] == ["cost", "cost_high"]
    assert cells(rows[0], False)[4] == "4.00 / 5, 1.50 / 2"


def test_what_an_epoch_did_not_evaluate_is_missing(tmp_path):
    table = sweep_of(OUTCOMES)
    table.loc[(table.trial == "good0") & (table.step == 200), "cost/cost_high"] = np.nan
    assert read_runs([write_sweep(tmp_path, table)]).left_out == {"without an evaluation": 1}


def test_limits_of_one_seed_are_swept(tmp_path):
    folders = [
        write_sweep(tmp_path / str(limit), sweep_of(OUTCOMES, LIMITS | {"cost_high": limit}))
        for limit in (2.0, 3.0)
    ]
    runs = read_runs(folders)
    assert runs.swept == ["limits"]
    assert "good limits=cost_low 5, cost_high 3" in set(runs.epochs.configuration)
    tables = [pd.read_csv(folder / "results.csv") for folder in folders]
    tables[1]["seed"] += 2
    tables[1]["trial"] += " again"
    with pytest.raises(ConfigError) as error:
        read_runs([write_sweep(tmp_path / "both", pd.concat(tables))])
    assert str(error.value) == (
        "cost_limit: got cost_low 5, cost_high 2 and cost_low 5, cost_high 3 in runs of 'good' on "
        "EnvA, allowed is one limit per configuration"
    )


def test_other_limited_costs_in_an_environment_are_refused(tmp_path):
    several = write_sweep(tmp_path / "several", sweep_of(OUTCOMES))
    one = write_sweep(tmp_path / "one", make_table())
    other = sweep_of(OUTCOMES, {"cost_low": 5.0, "cost_middle": 2.0})
    others = write_sweep(tmp_path / "others", other)
    for folder, found in (
        (one, "cost_low, cost_high and one cost"),
        (others, "cost_low, cost_high and cost_low, cost_middle"),
    ):
        with pytest.raises(ConfigError) as error:
            read_runs([several, folder])
        assert str(error.value) == (
            f"constraints: got {found} in runs on EnvA, allowed are the same limited costs in all "
            "runs of an environment"
        )


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"cost_limit/cost_low": -1.0}, "cost_limit: allowed are numbers >= 0 in every row"),
        ({"cost_limit/cost_low": np.nan}, "cost_limit: allowed are numbers >= 0 in every row"),
        ({"cost/cost_low": "much"}, "cost/cost_low: allowed is a number from -1e+100 to 1e+100"),
        ({"lam/cost_low": "much"}, "lam/cost_low: allowed is a number from -1e+100 to 1e+100"),
    ],
)
def test_bad_tables_are_refused_in_one_line(tmp_path, change, line):
    folder = write_sweep(tmp_path, sweep_of(OUTCOMES).assign(**change))
    with pytest.raises(ConfigError) as error:
        read_runs([folder])
    assert f"{folder / 'results.csv'}: {line}" in str(error.value)


def test_pictures_show_the_worst_above_its_limit(comparison, monkeypatch):
    drawn = []
    monkeypatch.setattr(pictures, "_png", lambda figure: drawn.append(figure) or b"")
    for draw in (draw_curves, draw_trade_off, draw_profiles):
        draw(comparison)
    curves, trade_off, profiles = drawn
    assert curves.axes[1].get_ylabel() == EXCESS_LABEL
    ends = {line.get_label(): line.get_ydata()[-1] for line in curves.axes[1].lines}
    # Of each run the worst, then their mean: 1 and 0.5; −1 and −1; 1 and 2.
    assert [ends[name] for name in ("good", "timid", "greedy")] == [0.75, -1.0, 1.5]
    assert curves.axes[1].get_ylim()[0] < -1
    assert trade_off.axes[0].get_xlabel() == f"mean {EXCESS_LABEL}"
    assert profiles.axes[1].get_xlabel() == f"τ: {EXCESS_LABEL}"
    for figure in drawn:
        assert "limit 0" in [text.get_text() for text in figure.legends[0].get_texts()]
    assert curves_figure(comparison, "EnvA").layout.yaxis2.title.text == EXCESS_LABEL
