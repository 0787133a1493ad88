"""A comparison as one interactive page that needs nothing else: it opens without a network."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Iterable, Sequence
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
from algd_jax.runs.compare.words import COLUMNS, cells, heading, notes

if TYPE_CHECKING:
    import plotly.graph_objects as go

_STYLE = (
    "body{font-family:sans-serif;max-width:1100px;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse}td,th{padding:.3em .8em;border-bottom:1px solid #ccc;"
    "text-align:right}td:first-child,th:first-child{text-align:left}"
)


def make_page(comparison: Comparison) -> bytes:
    """The tables, the notes and the interactive pictures (about 5 MB, most of it Plotly)."""
    tables = [_table(name, rows) for name, rows in comparison.groups.items()]
    told = "".join(f"<p>{html.escape(note)}</p>" for note in notes(comparison))
    parts = [*tables, told, *_figures(comparison)]
    title = html.escape(f"Comparison on {', '.join(comparison.rows)}")
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    ).encode()


def _table(name: str, rows: Sequence[Row]) -> str:
    """Rows as an HTML table under a heading; every text escaped."""

    def line(tag: str, texts: Iterable[str]) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(text)}</{tag}>" for text in texts) + "</tr>"

    body = "".join(line("td", cells(row, is_best=row is rows[0])) for row in rows)
    return f"<h2>{html.escape(heading(name))}</h2><table>{line('th', COLUMNS)}{body}</table>"


def _figures(comparison: Comparison) -> list[str]:
    """The pictures as HTML; the first brings Plotly along."""
    figures = [
        draw(comparison, env)
        for env in comparison.rows
        for draw in (curves_figure, trade_off_figure)
    ]
    return [
        figure.to_html(full_html=False, include_plotlyjs=index == 0, div_id=f"figure{index}")
        for index, figure in enumerate(figures)
    ]


def curves_figure(comparison: Comparison, env: str) -> go.Figure:
    """Return and cost over environment steps; configurations beyond the best come on a click."""
    from plotly.subplots import make_subplots

    figure = make_subplots(1, 2, subplot_titles=("return", "cost"), horizontal_spacing=0.12)
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
        figure.add_hline(limit, line_dash="dash", line_color="red", col=2)
    figure.update_xaxes(title="environment steps")
    figure.update_yaxes(title=RETURN_LABEL, col=1)
    figure.update_yaxes(title=cost_label(comparison, env), col=2, rangemode="tozero")
    return _titled(figure, f"{env}: interquartile mean over runs, 95 % bootstrap bands")


def trade_off_figure(comparison: Comparison, env: str) -> go.Figure:
    """Return against mean cost, with the limits and the feasible Pareto front."""
    import plotly.graph_objects as go

    rows, looks = comparison.rows[env], _looks(comparison)
    figure = go.Figure()
    edge = front(rows)
    grey = {"mode": "lines", "line": {"color": "grey"}, "name": FRONT_LABEL}
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
        figure.add_vline(limit, line_dash="dash", line_color="red")
    figure.update_xaxes(title=f"mean {cost_label(comparison, env)}")
    figure.update_yaxes(title=f"IQM {RETURN_LABEL}")
    return _titled(figure, f"{env}: return against cost, 95 % intervals, limit dashed")


def _looks(comparison: Comparison) -> dict[str, dict[str, Any]]:
    """Label and colour of each configuration; those beyond the best are grey and hidden."""
    return {
        name: {
            "name": "<br>".join(map(html.escape, textwrap.wrap(name, 36))),
            "color": COLORS[rank] if rank < len(COLORS) else "#999999",
            "hidden": rank >= len(COLORS),
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


def _titled(figure: go.Figure, title: str) -> go.Figure:
    figure.update_layout(title=html.escape(title), height=480, template="plotly_white", margin_t=70)
    return figure
