"""The map of an interactive page, and the slider that moves what is on it."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from algd_jax.runs.render.episodes import Episode
from algd_jax.runs.render.plan import Plan, Shape
from algd_jax.runs.render.series import parts_of

if TYPE_CHECKING:
    import plotly.graph_objects as go

PATH_COLOR, COST_COLOR = "#1f3b73", "#d01c1c"

_MOST_MOMENTS = 250
"""Positions of a slider, so that a page stays small."""
_FRAME_MILLISECONDS = 60

Place = tuple[int, int]
"""Row and column of a plot."""


def add_map(
    figure: go.Figure, episode: Episode, plan: Plan, period: float, places: dict[str, Place]
) -> None:
    """The map in row and column 1, and what a slider moves on it and along the curves.

    Args:
      figure: with curves already in it.
      episode, plan: the same episode.
      period: of a step [s].
      places: of the curves of return and cost.
    """
    for kind in plan.kinds:
        if not plan.moves(kind):
            figure.add_trace(_filled(plan.of_kind(kind, 0), kind), 1, 1)
    _add_path(figure, episode, plan)
    first, moving = len(figure.data), _moving(episode, plan, 0, period)
    for trace, place in zip(moving, _places_of(moving, places), strict=True):
        figure.add_trace(trace, *place)
    moments = np.linspace(0, len(episode), min(_MOST_MOMENTS, len(episode) + 1))
    _add_slider(figure, episode, plan, period, np.unique(moments.round().astype(int)), first)
    figure.update_xaxes(title="x [m]", row=1, col=1)
    figure.update_yaxes(title="y [m]", scaleanchor="x", scaleratio=1, row=1, col=1)


def _add_path(figure: go.Figure, episode: Episode, plan: Plan) -> None:
    """The whole path; hovering over it tells what a step brought."""
    import plotly.graph_objects as go

    texts = np.array([_hover(episode, step) for step in range(len(episode) + 1)])
    told = {"text": texts, "hovertemplate": "%{text}<extra></extra>"}
    line = {"color": PATH_COLOR, "width": 1.5}
    x, y = plan.path.astype(np.float32).T
    figure.add_trace(go.Scatter(x=x, y=y, mode="lines", line=line, name="path", **told), 1, 1)
    costly = np.append(False, episode.costly)
    told["text"] = texts[costly]
    dots = {"color": COST_COLOR, "size": 6}
    figure.add_trace(
        go.Scatter(
            x=x[costly], y=y[costly], mode="markers", marker=dots, name="step with cost", **told
        ),
        1,
        1,
    )


def _hover(episode: Episode, step: int) -> str:
    reward = f", reward {episode.rewards[step - 1]:.3f}" if step else ""
    return html.escape(f"step {step}{reward}, {parts_of(episode, step)}")


def _moving(episode: Episode, plan: Plan, moment: int, period: float) -> list[go.Scatter]:
    """What the slider moves, as it stands at one moment: things, the robot, two points."""
    import plotly.graph_objects as go

    things = [_filled(plan.of_kind(kind, moment), kind) for kind in plan.kinds if plan.moves(kind)]
    costly = moment > 0 and bool(episode.costly[moment - 1])
    marker: dict[str, Any] = {
        "symbol": "arrow",
        "size": 18,
        "angle": 90 - np.degrees(plan.headings[moment]),  # Plotly turns clockwise from above.
        "color": COST_COLOR if costly else "black",
        "line": {"color": "white", "width": 1},
    }
    x, y = plan.path[moment]
    robot = go.Scatter(x=[x], y=[y], mode="markers", marker=marker, name="robot", hoverinfo="skip")
    points = [
        go.Scatter(
            x=[period * moment],
            y=[values[moment]],
            mode="markers",
            marker={"color": color, "size": 9},
            showlegend=False,
            hoverinfo="skip",
        )
        for values, color in (
            (episode.returns_so_far, PATH_COLOR),
            (episode.costs_so_far(), COST_COLOR),
        )
    ]
    return [*things, robot, *points]


def _places_of(moving: list[go.Scatter], places: dict[str, Place]) -> list[Place]:
    """Where the traces of :func:`_moving` belong: all but the last two on the map."""
    return [*[(1, 1)] * (len(moving) - 2), places["return"], places["cost"]]


def _add_slider(
    figure: go.Figure,
    episode: Episode,
    plan: Plan,
    period: float,
    moments: Iterable[int],
    first: int,
) -> None:
    """A slider through ``moments``, and a button that plays them; traces from ``first`` move."""
    import plotly.graph_objects as go

    moved = list(range(first, len(figure.data)))
    figure.frames = [
        go.Frame(name=str(m), data=_moving(episode, plan, m, period), traces=moved) for m in moments
    ]

    def show(names: Any, pause: int, **more: Any) -> dict[str, Any]:
        frame = {"duration": pause, "redraw": False}
        options = {"mode": "immediate", "frame": frame, "transition": {"duration": 0}, **more}
        return {"method": "animate", "args": [names, options]}

    steps = [{"label": frame.name, **show([frame.name], 0)} for frame in figure.frames]
    buttons = [
        {"label": "play", **show(None, _FRAME_MILLISECONDS, fromcurrent=True)},
        {"label": "pause", **show([None], 0)},
    ]
    figure.update_layout(
        sliders=[{"steps": steps, "currentvalue": {"prefix": "step "}, "x": 0.1, "len": 0.9}],
        updatemenus=[
            {"type": "buttons", "buttons": buttons, "x": 0.06, "y": -0.1, "yanchor": "top"}
        ],
    )


def _filled(shapes: list[Shape], kind: str) -> go.Scatter:
    """Things of one kind as one trace, a gap between any two."""
    import plotly.graph_objects as go

    gap = np.full((1, 2), np.nan)
    pieces = [piece for shape in shapes for piece in (shape.outline, gap)]
    x, y = np.concatenate(pieces[:-1]).astype(np.float32).T
    *rgb, opacity = shapes[0].color
    red, green, blue = (round(255 * part) for part in rgb)
    return go.Scatter(
        x=x,
        y=y,
        mode="lines",
        fill="toself",
        line={"color": f"rgb({red},{green},{blue})", "width": 1},
        fillcolor=f"rgba({red},{green},{blue},{0.75 * opacity:.2f})",
        name=html.escape(kind),
        hoverinfo="name",
    )
