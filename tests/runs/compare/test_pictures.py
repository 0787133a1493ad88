"""Pictures show what the statistics say, for few and for many configurations."""

import pandas as pd
import pytest
from matplotlib.figure import Figure

from algd_jax.runs.compare import pictures
from algd_jax.runs.compare.pictures import COLORS, draw_curves, draw_profiles, draw_trade_off
from algd_jax.runs.compare.reading import read_runs
from algd_jax.runs.compare.series import front, learning_curve, return_profile, thresholds_of
from algd_jax.runs.compare.summary import compare
from tests.runs.compare.tables import make_table, write_sweep

DRAW = (draw_curves, draw_trade_off, draw_profiles)


def comparison_of(folder, **settings):
    return compare(read_runs([write_sweep(folder, make_table(**settings))]))


@pytest.fixture
def figures(monkeypatch):
    """Figures drawn instead of written."""
    drawn = []
    monkeypatch.setattr(pictures, "_png", lambda figure: drawn.append(figure) or b"")
    return drawn


def legend_texts(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_a_curve_is_over_the_steps_that_all_runs_have():
    table = pd.DataFrame(
        {
            "trial": ["a", "a", "a", "b", "b", "c", "c", "d", "d"],
            "step": [1, 2, 3, 1, 3, 1, 3, 1, 3],
            "return": [0.0, 7.0, 4.0, 1.0, 6.0, 2.0, 8.0, 9.0, -9.0],
        }
    )
    line = learning_curve(table, "return")
    assert list(line.x) == [1, 3]
    assert list(line.y) == [1.5, 5.0]
    assert all(line.low <= line.y)
    assert all(line.y <= line.high)


def test_a_long_curve_is_thinned_and_keeps_its_end():
    steps = range(1, 1002)
    table = pd.DataFrame({"trial": "a", "step": steps, "return": [float(step) for step in steps]})
    line = learning_curve(table, "return")
    assert (line.x[-1], line.low) == (1001, None)
    assert 100 < len(line.x) <= 200
    assert list(line.y) == list(line.x)


def test_a_profile_falls_from_one_to_zero(tmp_path):
    comparison = comparison_of(tmp_path, seeds=4)
    thresholds = thresholds_of(comparison.last["return"].to_numpy())
    line = return_profile(comparison, "algd", thresholds)
    assert (line.y[0], line.y[-1]) == (1, 0)
    assert set(line.y) == {0, 0.25, 0.5, 0.75, 1}
    middle = thresholds[len(thresholds) // 2]
    assert line.y[len(thresholds) // 2] == (comparison.last["return"] > middle).mean()


def test_axes_are_labelled_and_limits_drawn(tmp_path, figures):
    comparison = comparison_of(tmp_path, envs=("EnvA", "EnvB"), seeds=3)
    for draw in DRAW:
        draw(comparison)
    curves, trade_off, profiles = figures
    assert [axes.get_title() for axes in curves.axes] == [
        "EnvA: return",
        "EnvA: cost",
        "EnvB: return",
        "EnvB: cost",
    ]
    assert curves.axes[1].get_ylabel() == "cost [cost / episode]"
    assert list(curves.axes[1].get_lines()[-1].get_ydata()) == [10.0, 10.0]
    assert trade_off.axes[0].get_xlabel() == "mean cost [cost / episode]"
    assert list(trade_off.axes[0].get_lines()[0].get_xdata()) == [10.0, 10.0]
    assert "from lowest (0) to highest (1)" in profiles.axes[0].get_xlabel()
    for figure in figures:
        assert legend_texts(figure)[0] == "algd"
        assert "limit 10" in legend_texts(figure)


def test_limits_that_differ_between_environments_share_one_line_of_profiles(tmp_path, figures):
    tables = [make_table(envs=(env,), cost_limit=limit) for env, limit in (("A", 5.0), ("B", 9.0))]
    tables[1]["trial"] = "b" + tables[1].trial
    draw_profiles(compare(read_runs([write_sweep(tmp_path, pd.concat(tables))])))
    costs = figures[0].axes[1]
    assert "cost above the limit" in costs.get_xlabel()
    assert list(costs.get_lines()[-1].get_xdata()) == [0.0, 0.0]


def test_of_many_configurations_the_best_are_named(tmp_path, figures):
    comparison = comparison_of(
        tmp_path, algorithms=("algd", "cal"), rhos=tuple(range(1, 13)), seeds=2
    )
    for draw in DRAW:
        draw(comparison)
        named = [text for text in legend_texts(figures[-1]) if "rho=" in text]
        assert named == comparison.ranking[: len(COLORS)]
        title = figures[-1].legends[0].get_title().get_text()
        assert title.startswith("the best 6 of 24 configurations")
    others = [line for line in figures[1].axes[0].get_lines() if line.get_color() == "0.6"]
    assert len(others) == 24 - len(COLORS)


def test_an_environment_without_the_best_has_its_limit_too(tmp_path, figures):
    tables = [
        make_table(rhos=tuple(range(1, 8)), seeds=2),
        make_table(envs=("EnvB",), rhos=(9.0,), seeds=2, cost_limit=3.0),
    ]
    tables[1]["trial"] = "b" + tables[1].trial
    draw_trade_off(compare(read_runs([write_sweep(tmp_path, pd.concat(tables))])))
    assert list(figures[0].axes[1].get_lines()[0].get_xdata()) == [3.0, 3.0]


def test_infeasible_points_are_hollow_and_not_on_the_front(tmp_path, figures):
    comparison = comparison_of(tmp_path, rhos=(1.0, 5.0), seeds=3)
    draw_trade_off(comparison)
    faces = {
        container.get_label(): container.lines[0].get_markerfacecolor()
        for container in figures[0].axes[0].containers
    }
    assert faces == {"algd rho=1": COLORS[0], "algd rho=5": "white"}
    assert len(front(comparison.rows["EnvA"])) == 1


@pytest.mark.parametrize("seeds", [1, 2])
def test_small_comparisons_make_pictures(tmp_path, seeds):
    comparison = comparison_of(tmp_path, seeds=seeds, epochs=1)
    for draw in DRAW:
        assert draw(comparison).startswith(b"\x89PNG")


def test_runs_without_a_step_in_common_make_pictures(tmp_path):
    table = make_table(seeds=2)
    table.loc[table.seed == 1, "step"] += 1
    comparison = compare(read_runs([write_sweep(tmp_path, table)]))
    for draw in DRAW:
        assert draw(comparison).startswith(b"\x89PNG")


def test_names_are_no_mathematics(tmp_path):
    """Matplotlib would fail on this formula, or set it."""
    name = r"$\frac{1$"
    comparison = comparison_of(tmp_path, envs=(name,), algorithms=(name,))
    for draw in DRAW:
        assert draw(comparison).startswith(b"\x89PNG")


def test_the_legend_lies_outside_of_the_panels(tmp_path, figures):
    draw_curves(comparison_of(tmp_path, algorithms=("algd", "cal"), rhos=(0.1, 0.2, 0.3)))
    (figure,) = figures
    assert isinstance(figure, Figure)
    figure.draw_without_rendering()
    legend = figure.legends[0].get_window_extent()
    assert legend.x0 >= 0
    assert legend.x1 <= figure.bbox.x1
    assert not any(legend.overlaps(axes.get_tightbbox()) for axes in figure.axes)
