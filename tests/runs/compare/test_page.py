"""The interactive figures; that the page is safe and self-contained is tested with the command."""

import pytest

from algd_jax.runs.compare.page import curves_figure, make_comparison_page, trade_off_figure
from algd_jax.runs.compare.pictures import COLORS
from algd_jax.runs.compare.reading import read_runs
from algd_jax.runs.compare.summary import compare
from tests.runs.compare.tables import make_table, write_sweep


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    table = make_table(algorithms=("algd", "<b>"), rhos=(0.5, 1.0, 1.5, 5.0), seeds=2)
    return compare(read_runs([write_sweep(tmp_path_factory.mktemp("sweep"), table)]))


def test_configurations_beyond_the_best_come_on_a_click(comparison):
    figure = curves_figure(comparison, "EnvA")
    visible = {trace.name: trace.visible for trace in figure.data}
    assert list(visible.values()) == [True] * len(COLORS) + ["legendonly"] * 2
    assert sum(trace.showlegend for trace in figure.data) == 8
    assert len(figure.data) == 8 * 2 * 2  # Return and cost, each with its band.


def test_a_page_says_how_many_curves_are_hidden(comparison):
    told = "Curves of 6 of 8 configurations; the others on a click."
    assert make_comparison_page(comparison).decode().count(told) == 1
    few = comparison._replace(rows={"EnvA": comparison.rows["EnvA"][:2]})
    assert "on a click" not in make_comparison_page(few).decode()


def test_infeasible_points_are_hollow(comparison):
    edge, *points = trade_off_figure(comparison, "EnvA").data
    rows = comparison.rows["EnvA"]
    assert [point.marker.symbol == "circle" for point in points] == [row.feasible for row in rows]
    assert [(point.x[0], point.y[0]) for point in points] == [
        (row.mean_cost.value, row.returns.value) for row in rows
    ]
    assert len(edge.x) == sum(row.pareto for row in rows)


def test_there_is_no_front_where_nothing_is_feasible(comparison):
    over = [row for row in comparison.rows["EnvA"] if not row.feasible]
    figure = trade_off_figure(comparison._replace(rows={"EnvA": over}), "EnvA")
    assert len(figure.data) == len(over) > 0
