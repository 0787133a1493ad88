"""A comparison as an interactive page, or as parts of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from algd_jax.runs.compare.pictures import (
    COLORS,
    FRONT_LABEL,
    RETURN_LABEL,
    cost_label,
)
from algd_jax.runs.compare.series import Line, front, learning_curve, limits_of
from algd_jax.runs.compare.statistics import Estimate
from algd_jax.runs.compare.summary import Comparison, Row
from algd_jax.runs.compare.words import COLUMNS, cells, heading, remarks, verdict
from algd_jax.runs.pages.charts import GREY, RED, charts_html, stack_when_narrow, styled
from algd_jax.runs.pages.page import Section, Verdict, make_page, note, table

if TYPE_CHECKING:
    import plotly.graph_objects as go

# As on the pictures, but for black, which is not seen on a dark ground.
_COLORS = tuple("#9a6b3f" if color == "#000000" else color for color in COLORS)
_OTHERS = "#8c8c8c"


def make_comparison_page(comparison: Comparison) -> bytes:
    """The whole page (about 5 MB, most of it Plotly)."""
    title = f"Comparison on {', '.join(comparison.rows)}"
    return make_page(title, comparison_sections(comparison), verdicts(comparison))


def verdicts(comparison: Comparison) -> list[Verdict]:
    """The best configuration of every table of the comparison."""
    return [
        Verdict(verdict(name, rows), rows[0].feasible) for name, rows in comparison.groups.items()
    ]


def comparison_sections(comparison: Comparison) -> list[Section]:
    """The tables with what is to be kept in mind, and the charts of each environment."""
    tables = "".join(_table(name, rows) for name, rows in comparison.groups.items())
    notes = "".join(map(note, remarks(comparison)))
    charts = [Section(env, _charts(comparison, env)) for env in comparison.rows]
    return [Section("Configurations", tables + notes), *charts]


def _table(name: str, rows: Sequence[Row]) -> str:
    lines = [cells(row, is_best=row is rows[0]) for row in rows]
    return note(heading(name)) + table(COLUMNS, lines, is_sortable=True)


def _charts(comparison: Comparison, env: str) -> str:
    rows = comparison.rows[env]
    figures = {
        "Return and cost while learning: interquartile mean over runs, 95 % bootstrap bands, "
        "limit dashed": curves_figure(comparison, env),
        "Return against cost: 95 % intervals, hollow above the limit, which is dashed": (
            trade_off_figure(comparison, env)
        ),
    }
    drawn = sum(row.configuration in comparison.ranking[: len(_COLORS)] for row in rows)
    some = note(f"Curves of {drawn} of {len(rows)} configurations; the others on a click.")
    return (some if drawn < len(rows) else "") + charts_html(figures, is_wide=True)


def curves_figure(comparison: Comparison, env: str) -> go.Figure:
    """Return and cost over environment steps; configurations beyond the best come on a click."""
    from plotly.subplots import make_subplots

    figure = make_subplots(1, 2, horizontal_spacing=0.12)
    epochs = comparison.runs.epochs[comparison.runs.epochs.env == env]
    names = [row.configuration for row in comparison.rows[env]]
    looks = _looks(comparison)
    for name in names:
        part = epochs[epochs.configuration == name]
        for column, quantity in enumerate(("return", "cost"), start=1):
            line = learning_curve(part, quantity)
            for trace in _traces(line, looks[name], showlegend=column == 1):
                figure.add_trace(trace, 1, column)
    for limit in limits_of(comparison, names, env):
        figure.add_hline(limit, line_dash="dash", line_color=RED, col=2)
    figure.update_xaxes(title="environment steps")
    figure.update_yaxes(title=RETURN_LABEL, col=1)
    figure.update_yaxes(title=cost_label(comparison, env), col=2, rangemode="tozero")
    return stack_when_narrow(styled(figure, height=420), [240, 240])


def trade_off_figure(comparison: Comparison, env: str) -> go.Figure:
    """Return against mean cost, with the limits and the feasible Pareto front."""
    import plotly.graph_objects as go

    rows, looks = comparison.rows[env], _looks(comparison)
    figure = go.Figure()
    edge = front(rows)
    grey = {"mode": "lines", "line": {"color": GREY}, "name": FRONT_LABEL}
    if len(edge):
        figure.add_trace(go.Scatter(x=edge[:, 0], y=edge[:, 1], hoverinfo="skip", **grey))
    for row in rows:
        look = looks[row.configuration]
        symbol = "circle" if row.feasible else "circle-open"
        marker = {"color": look["color"], "size": 10, "symbol": symbol}
        figure.add_trace(
            go.Scatter(
                x=[row.mean_cost.value],
                y=[row.returns.value],
                error_x=_whiskers(row.mean_cost),
                error_y=_whiskers(row.returns),
                mode="markers",
                marker=marker,
                name=look["name"],
            )
        )
    for limit in limits_of(comparison, [row.configuration for row in rows], env):
        figure.add_vline(limit, line_dash="dash", line_color=RED)
    figure.update_xaxes(title=f"mean {cost_label(comparison, env)}")
    figure.update_yaxes(title=f"IQM {RETURN_LABEL}")
    return styled(figure, height=420)


def _looks(comparison: Comparison) -> dict[str, dict[str, Any]]:
    """Label and colour of each configuration; those beyond the best are grey and hidden."""
    return {
        name: {
            "name": name,
            "color": _COLORS[rank] if rank < len(_COLORS) else _OTHERS,
            "hidden": rank >= len(_COLORS),
        }
        for rank, name in enumerate(comparison.ranking)
    }


def _traces(line: Line, look: dict[str, Any], showlegend: bool) -> list[go.Scatter]:
    """A line and its band, shown and hidden together."""
    import plotly.graph_objects as go

    together = {
        "legendgroup": look["name"],
        "name": look["name"],
        "visible": "legendonly" if look["hidden"] else True,
    }
    colored = {"mode": "lines", "line": {"color": look["color"]}}
    traces = [go.Scatter(x=line.x, y=line.y, showlegend=showlegend, **colored, **together)]
    if line.low is not None and line.high is not None:
        around = {"x": np.concatenate([line.x, line.x[::-1]])}
        around["y"] = np.concatenate([line.high, line.low[::-1]])
        band = {"fill": "toself", "fillcolor": look["color"], "opacity": 0.15, "hoverinfo": "skip"}
        edge = {"mode": "lines", "line": {"width": 0}, "showlegend": False}
        traces.append(go.Scatter(**around, **band, **edge, **together))
    return traces


def _whiskers(estimate: Estimate) -> dict[str, Any] | None:
    """Error bars up and down; none where there is no interval."""
    if estimate.low is None or estimate.high is None:
        return None
    above, below = estimate.high - estimate.value, estimate.value - estimate.low
    return {"array": [above], "arrayminus": [below], "thickness": 1}
