"""Episodes as one interactive page that needs nothing else: it opens without a network."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np

from algd_jax.runs.pages.charts import (
    BLUE,
    RED,
    Moment,
    add_moments,
    charts_html,
    stack_when_narrow,
    styled,
)
from algd_jax.runs.pages.page import Section, make_page
from algd_jax.runs.render.episodes import Episode
from algd_jax.runs.render.page_map import add_map, moving_on_map
from algd_jax.runs.render.plan import Plan
from algd_jax.runs.render.series import heading, parts_of, progress_of

if TYPE_CHECKING:
    import plotly.graph_objects as go

_MOST_MOMENTS = 250
"""Positions of a slider, so that a page stays small."""

Place = tuple[int, int]
"""Row and column of a panel."""


def episodes_page(
    episodes: Sequence[Episode],
    plans: Sequence[Plan],
    limit: float | None,
    period: float,
    title: str,
) -> bytes:
    """A section for each episode (about 5 MB, most of it Plotly).

    Args:
      episodes: at least one.
      plans: of each; none for tasks without a map.
      limit: of the total cost, if it has one [cost / episode].
      period: of a step [s].
      title: of the whole.
    """
    sections = [
        Section(heading(episode, limit), episode_chart(episode, plan, limit, period))
        for episode, plan in zip_longest(episodes, plans)
    ]
    return make_page(title, sections)


def episode_chart(episode: Episode, plan: Plan | None, limit: float | None, period: float) -> str:
    """An episode as a chart of a page."""
    caption = "over time" if plan is None else "from above, and over time"
    return charts_html({caption: episode_figure(episode, plan, limit, period)}, is_wide=True)


def episode_figure(
    episode: Episode, plan: Plan | None, limit: float | None, period: float
) -> go.Figure:
    """Return and cost over time, beside the map or below the speed, and a slider for the time."""
    from plotly.subplots import make_subplots

    if plan is None:
        figure = make_subplots(rows=3, cols=1, shared_xaxes=True, vertical_spacing=0.06)
        places, heights = {"progress": (1, 1), "return": (2, 1), "cost": (3, 1)}, [150, 150, 150]
    else:
        figure = make_subplots(
            rows=2,
            cols=2,
            specs=[[{"rowspan": 2}, {}], [None, {}]],
            column_widths=[0.62, 0.38],
            horizontal_spacing=0.1,
            vertical_spacing=0.1,
        )
        places, heights = {"return": (1, 2), "cost": (2, 2)}, [320, 130, 130]
        add_map(figure, episode, plan)
    _add_curves(figure, episode, places, limit, period)
    _add_time(figure, episode, plan, places, period)
    return stack_when_narrow(styled(figure, height=580), heights)


def _add_curves(
    figure: go.Figure,
    episode: Episode,
    places: dict[str, Place],
    limit: float | None,
    period: float,
) -> None:
    """What happens over time, each curve in its place."""
    import plotly.graph_objects as go

    time = period * np.arange(len(episode) + 1)
    for name, place in places.items():
        label, values = _curve(episode, name)
        known = np.isfinite(values)
        line = {"color": _color(name)}
        curve = go.Scatter(x=time[known], y=values[known], mode="lines", line=line, name=label)
        figure.add_trace(curve.update(showlegend=False), *place)
        figure.update_yaxes(title=label, row=place[0], col=place[1])
    if "progress" in places:
        paid, values = np.append(False, episode.costly), _curve(episode, "progress")[1]
        dots = {"mode": "markers", "marker": {"color": RED, "size": 5}, "showlegend": False}
        figure.add_trace(
            go.Scatter(x=time[paid], y=values[paid], name="step with cost", **dots),
            *places["progress"],
        )
    row, column = places["cost"]
    figure.update_xaxes(title="time [s]", row=row, col=column)
    if limit is not None:
        figure.add_hline(limit, line_dash="dash", line_color=RED, row=row, col=column)


def _curve(episode: Episode, name: str) -> tuple[str, np.ndarray]:
    """Label and values [L + 1] of a curve; NaN where there is none."""
    if name == "progress":
        progress = progress_of(episode)
        return progress.name, np.append(np.nan, progress.values)
    values = episode.returns_so_far if name == "return" else episode.costs_so_far()
    return f"{name} so far", values


def _color(name: str) -> str:
    return RED if name == "cost" else BLUE


def _add_time(
    figure: go.Figure,
    episode: Episode,
    plan: Plan | None,
    places: dict[str, Place],
    period: float,
) -> None:
    """What the slider moves: things on the map, the robot, and a point on each curve."""
    count = min(_MOST_MOMENTS, len(episode) + 1)
    steps = np.unique(np.linspace(0, len(episode), count).round().astype(int)).tolist()
    curves = {name: _curve(episode, name)[1] for name in places}

    def moving(since: int, step: int) -> list[go.Scatter]:
        points = [
            _point(period * step, values[step], _color(name)) for name, values in curves.items()
        ]
        return [*([] if plan is None else moving_on_map(episode, plan, since, step)), *points]

    spans = list(zip([0, *steps], steps, strict=False))
    data = [moving(*span) for span in spans]
    first = len(figure.data)
    on_map = [(1, 1)] * (len(data[0]) - len(places))
    for trace, place in zip(data[0], [*on_map, *places.values()], strict=True):
        figure.add_trace(trace, *place)
    moments = [_moment(episode, *span) for span in spans]
    add_moments(figure, moments, data, list(range(first, len(figure.data))))


def _point(x: float, y: float, color: str) -> go.Scatter:
    import plotly.graph_objects as go

    marker = {"color": color, "size": 9}
    return go.Scatter(
        x=[x], y=[y], mode="markers", marker=marker, showlegend=False, hoverinfo="skip"
    )


def _moment(episode: Episode, since: int, step: int) -> Moment:
    """What a moment tells: the sums, and what was paid for since the one before."""
    sums = f"return {episode.returns_so_far[step]:.2f}, cost {episode.costs_so_far()[step]:.4g}"
    costs = bool(episode.costly[since:step].any())
    paid = f"; now {parts_of(episode, step, since)}" if costs else ""
    return Moment(f"step {step}: {sums} so far{paid}", costs)
