"""Episodes as one still picture: a map for tasks in the plane, else curves over time."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from algd_jax.runs.picture_style import picture_style
from algd_jax.runs.render.episodes import Episode
from algd_jax.runs.render.plan import Plan, Shape
from algd_jax.runs.render.series import heading, is_over, progress_of

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PATH, _COST, _GOAL = "#1f3b73", "#d01c1c", "#128a2e"
_COLUMNS = 3


@picture_style()
def draw_maps(
    episodes: Sequence[Episode], plans: Sequence[Plan], limit: float | None, title: str
) -> bytes:
    """A panel for each episode, seen from above (PNG).

    Args:
      episodes: at least one.
      plans: of each.
      limit: of the total cost, if it has one [cost / episode].
      title: of the whole.
    """
    from matplotlib.figure import Figure  # Slow to load, and training begins without.

    columns = min(_COLUMNS, len(episodes))
    rows = -(-len(episodes) // columns)
    figure = Figure(figsize=(max(5.6, 4.6 * columns), 4.4 * rows + 1.0), layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes, episode, plan in zip(panels, episodes, plans, strict=False):
        _draw_map(axes, episode, plan)
        color = _COST if is_over(episode, limit) else "black"
        axes.set_title(heading(episode, limit), fontsize=9.5, color=color)
    for axes in panels[len(episodes) :]:
        axes.axis("off")
    figure.suptitle(title, fontsize=11, wrap=True)
    _add_legend(figure, plans)
    return _png(figure)


def _draw_map(axes: Axes, episode: Episode, plan: Plan) -> None:
    from matplotlib.collections import LineCollection

    for kind in plan.kinds:
        for shape in plan.of_kind(kind, 0):
            _fill(axes, shape)
        if plan.glides(kind):
            for trace in plan.centres(kind).transpose(1, 0, 2):
                color = _opaque(plan.of_kind(kind, 0)[0])
                axes.plot(*trace.T, color=color, linewidth=0.8, alpha=0.6)
        elif plan.moves(kind):
            for shape in plan.places(kind):
                axes.plot(*shape.outline.T, color=_opaque(shape), linewidth=1.4, linestyle=":")
    segments = np.stack([plan.path[:-1], plan.path[1:]], axis=1)
    costly = episode.costly
    axes.add_collection(LineCollection(list(segments[~costly]), colors=_PATH, linewidths=1.3))
    axes.add_collection(LineCollection(list(segments[costly]), colors=_COST, linewidths=2.6))
    axes.plot(*plan.path[1:][costly].T, "o", color=_COST, markersize=3.5)
    axes.plot(*plan.path[0], "o", color="white", markeredgecolor=_PATH, markersize=8)
    axes.plot(*plan.path[-1], "s", color=_PATH, markersize=7)
    met = episode.metrics.get("goal_met")
    if met is not None:
        axes.plot(*plan.path[1:][met > 0].T, "*", color=_GOAL, markersize=12, mec="white")
    axes.set_aspect("equal")
    axes.margins(0.04)
    axes.set(xlabel="x [m]", ylabel="y [m]")
    axes.grid(alpha=0.2)


def _fill(axes: Axes, shape: Shape) -> None:
    axes.fill(*shape.outline.T, color=_opaque(shape), alpha=_opacity(shape), linewidth=0)


def _opaque(shape: Shape) -> tuple[float, float, float]:
    red, green, blue, _ = shape.color
    return red, green, blue


def _opacity(shape: Shape) -> float:
    """Paler than in a frame, so that the path stands out."""
    return 0.75 * shape.color[3]


def _add_legend(figure: Figure, plans: Sequence[Plan]) -> None:
    """What the shapes and marks are, once for all panels."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    first = {shape.kind: shape for plan in plans for shape in plan.shapes[0]}
    marks: list[Artist] = [
        Patch(color=_opaque(shape), alpha=_opacity(shape), label=kind)
        for kind, shape in first.items()
    ]
    marks += [
        Line2D([], [], color=_PATH, linewidth=1.3, label="path"),
        Line2D([], [], color=_COST, marker="o", markersize=3.5, label="step with cost"),
        Line2D([], [], color="white", marker="o", mec=_PATH, markersize=8, label="start"),
        Line2D([], [], color=_PATH, marker="s", linestyle="", markersize=7, label="end"),
        Line2D([], [], color=_GOAL, marker="*", linestyle="", markersize=11, label="goal met"),
    ]
    figure.legend(handles=marks, loc="outside lower center", ncols=5, fontsize=8.5, frameon=False)


@picture_style()
def draw_series(
    episodes: Sequence[Episode], limit: float | None, period: float, title: str
) -> bytes:
    """Speed or reward, and the cost so far, over time (PNG).

    Args:
      episodes: at least one.
      limit: of the total cost, if it has one [cost / episode].
      period: of a step [s].
      title: of the whole.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6.4), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    for index, episode in enumerate(episodes):
        progress, color = progress_of(episode), f"C{index % 10}"
        time = period * np.arange(len(episode) + 1)
        above.plot(time[1:], progress.values, color=color, linewidth=1.2)
        costly = episode.costly
        above.plot(time[1:][costly], progress.values[costly], ".", color=_COST, markersize=4)
        label = heading(episode, None)
        below.plot(time, episode.costs_so_far(), color=color, linewidth=1.6, label=label)
    above.plot([], [], ".", color=_COST, label="step with cost")
    above.set(ylabel=progress_of(episodes[0]).name)
    if limit is not None:
        below.axhline(limit, color=_COST, linestyle="--", label=f"limit {limit:g}")
    below.set(xlabel="time [s]", ylabel="cost so far")
    for axes in (above, below):
        axes.grid(alpha=0.25)
        axes.legend(fontsize=8.5, loc="best")
    figure.suptitle(title, fontsize=11, wrap=True)
    return _png(figure)


def _png(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, dpi=110, format="png")
    return file.getvalue()
