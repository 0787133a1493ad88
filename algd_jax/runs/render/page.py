"""Episodes as one interactive page that needs nothing else: it opens without a network."""

from __future__ import annotations

import html
from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np

from algd_jax.runs.render.episodes import Episode
from algd_jax.runs.render.page_map import COST_COLOR, PATH_COLOR, add_map
from algd_jax.runs.render.plan import Plan
from algd_jax.runs.render.series import heading, progress_of

if TYPE_CHECKING:
    import plotly.graph_objects as go

_STYLE = (
    "body{font-family:sans-serif;max-width:1150px;margin:1.5em auto;padding:0 1em}"
    "h1{font-size:1.4em}h2{font-size:1.1em;margin-top:2em}"
    ".wide{overflow-x:auto}.wide>div{min-width:720px}"  # On a phone it scrolls, and stays readable.
)


def make_page(
    episodes: Sequence[Episode],
    plans: Sequence[Plan],
    limit: float | None,
    period: float,
    title: str,
) -> bytes:
    """A figure for each episode (about 5 MB, most of it Plotly).

    Args:
      episodes: at least one.
      plans: of each; none for tasks without a map.
      limit: of the total cost, if it has one [cost / episode].
      period: of a step [s].
      title: of the whole.
    """
    parts = []
    for index, (episode, plan) in enumerate(zip_longest(episodes, plans)):
        figure = episode_figure(episode, plan, limit, period)
        picture = figure.to_html(
            full_html=False,
            include_plotlyjs=index == 0,
            div_id=f"episode{episode.number}",
            auto_play=False,
            config={"displaylogo": False, "responsive": True},
        )
        words = html.escape(heading(episode, limit))
        parts.append(f'<h2>{words}</h2><div class="wide">{picture}</div>')
    escaped = html.escape(title)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escaped}</title><style>{_STYLE}</style></head><body><h1>{escaped}</h1>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    ).encode()


def episode_figure(
    episode: Episode, plan: Plan | None, limit: float | None, period: float
) -> go.Figure:
    """Return and cost over time and, beside them, the map with a slider for the time."""
    from plotly.subplots import make_subplots

    if plan is None:
        figure = make_subplots(rows=3, cols=1, shared_xaxes=True, vertical_spacing=0.06)
        places = {"progress": (1, 1), "return": (2, 1), "cost": (3, 1)}
    else:
        figure = make_subplots(
            rows=2,
            cols=2,
            specs=[[{"rowspan": 2}, {}], [None, {}]],
            column_widths=[0.62, 0.38],
            horizontal_spacing=0.1,
            vertical_spacing=0.1,
        )
        places = {"return": (1, 2), "cost": (2, 2)}
    _add_curves(figure, episode, places, limit, period)
    if plan is not None:
        add_map(figure, episode, plan, period, places)
    figure.update_layout(
        height=640,
        template="plotly_white",
        margin={"t": 30, "b": 30, "l": 60, "r": 20},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"},
    )
    return figure


def _add_curves(
    figure: go.Figure,
    episode: Episode,
    places: dict[str, tuple[int, int]],
    limit: float | None,
    period: float,
) -> None:
    """What happens over time, each curve in its place (row, column)."""
    import plotly.graph_objects as go

    time = period * np.arange(len(episode) + 1)
    progress = progress_of(episode)
    curves = {
        "progress": (progress.name, time[1:], progress.values),
        "return": ("return so far", time, episode.returns_so_far),
        "cost": ("cost so far", time, episode.costs_so_far()),
    }
    for name, (row, column) in places.items():
        label, x, y = curves[name]
        line = {"color": COST_COLOR if name == "cost" else PATH_COLOR}
        figure.add_trace(
            go.Scatter(x=x, y=y, name=label, mode="lines", line=line, showlegend=False),
            row,
            column,
        )
        figure.update_yaxes(title=label, row=row, col=column)
    row, column = places["cost"]
    figure.update_xaxes(title="time [s]", row=row, col=column)
    if limit is not None:
        figure.add_hline(limit, line_dash="dash", line_color=COST_COLOR, row=row, col=column)
