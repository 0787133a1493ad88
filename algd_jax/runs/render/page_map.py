"""The map of an interactive page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from algd_jax.runs.pages.charts import BLUE, RED
from algd_jax.runs.pages.page import escape
from algd_jax.runs.render.episodes import Episode
from algd_jax.runs.render.plan import Plan, Shape
from algd_jax.runs.render.series import parts_of

if TYPE_CHECKING:
    import plotly.graph_objects as go


def add_map(figure: go.Figure, episode: Episode, plan: Plan) -> None:
    """What stays on the map, in row and column 1: things that rest, and the path."""
    for kind in plan.kinds:
        if not plan.moves(kind):
            figure.add_trace(_filled(plan.of_kind(kind, 0), kind), 1, 1)
    _add_path(figure, episode, plan)
    figure.update_xaxes(title="x [m]", row=1, col=1)
    figure.update_yaxes(title="y [m]", scaleanchor="x", scaleratio=1, row=1, col=1)


def _add_path(figure: go.Figure, episode: Episode, plan: Plan) -> None:
    """The whole path; hovering over it tells what a step brought."""
    import plotly.graph_objects as go

    texts = np.array([_hover(episode, step) for step in range(len(episode) + 1)])
    told = {"text": texts, "hovertemplate": "%{text}<extra></extra>"}
    line = {"color": BLUE, "width": 1.5}
    x, y = plan.path.astype(np.float32).T
    figure.add_trace(go.Scatter(x=x, y=y, mode="lines", line=line, name="path", **told), 1, 1)
    costly = np.append(False, episode.costly)
    told["text"] = texts[costly]
    dots = {"color": RED, "size": 6}
    figure.add_trace(
        go.Scatter(
            x=x[costly], y=y[costly], mode="markers", marker=dots, name="step with cost", **told
        ),
        1,
        1,
    )


def _hover(episode: Episode, step: int) -> str:
    reward = f", reward {episode.rewards[step - 1]:.3f}" if step else ""
    return escape(f"step {step}{reward}, {parts_of(episode, step)}")


def moving_on_map(episode: Episode, plan: Plan, since: int, step: int) -> list[go.Scatter]:
    """Things that move, and the robot, red if a step after ``since`` has cost something."""
    import plotly.graph_objects as go

    things = [_filled(plan.of_kind(kind, step), kind) for kind in plan.kinds if plan.moves(kind)]
    costly = bool(episode.costly[since:step].any())
    marker: dict[str, Any] = {
        "symbol": "arrow",
        "size": 18,
        "angle": 90 - np.degrees(plan.headings[step]),  # Plotly turns clockwise from above.
        "color": RED if costly else "black",
        "line": {"color": "white", "width": 1},
    }
    x, y = plan.path[step]
    robot = go.Scatter(x=[x], y=[y], mode="markers", marker=marker, name="robot", hoverinfo="skip")
    return [*things, robot]


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
        name=kind,
        hoverinfo="name",
    )
