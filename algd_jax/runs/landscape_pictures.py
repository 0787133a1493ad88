"""Pictures of an energy landscape: a PNG, and an interactive page that needs nothing else.

Both show L and L_A side by side as surfaces and as contours, each above its lowest value
in view, on one scale of height and colour.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from contourpy import contour_generator

from algd_jax.agents.landscape import Survey
from algd_jax.runs.picture_style import picture_style

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from matplotlib.axes import Axes

_COLORS = "viridis"
_LEVELS = 21
_ACTIONS = "actions of the policy"
_HEIGHT = "energy above its lowest [discounted reward]"


class Picture(NamedTuple):
    """The words of a picture.

    Attributes:
      title: of the whole.
      labels: of the two directions.
      lam, rho: multiplier and penalty, or those of each constraint.
    """

    title: str
    labels: tuple[str, str]
    lam: float | list[float]
    rho: float | list[float]

    @property
    def names(self) -> tuple[str, str]:
        """Headings of the two energies."""
        lam, rho = (
            ", ".join(f"{number:.3g}" for number in np.atleast_1d(numbers))
            for numbers in (self.lam, self.rho)
        )
        return f"plain Lagrangian L, λ = {lam}", f"augmented Lagrangian L_A, λ = {lam}, ρ = {rho}"


@picture_style()
def draw_png(survey: Survey, picture: Picture) -> bytes:
    """Surfaces above, contours with the budget's boundary and the policy's actions below."""
    # Here, because Matplotlib is slow to load and no other command needs it at its start.
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(12, 11), layout="constrained")
    figure.suptitle(picture.title)
    high = highest_rise(survey)
    scale: dict[str, Any] = {"norm": Normalize(0, high), "cmap": _COLORS}
    grid = np.meshgrid(*survey.axes)
    flat = []
    for column, (name, height) in enumerate(zip(picture.names, rises(survey), strict=True)):
        surface: Any = figure.add_subplot(2, 2, 1 + column, projection="3d", computed_zorder=False)
        surface.plot_surface(*grid, height, rcount=60, ccount=60, **scale)
        for line, line_height in boundary(survey, height):
            surface.plot(*line.T, line_height, color="tab:red", linewidth=2)
        surface.set(title=name, zlim=(0, high), zlabel=_HEIGHT)
        for axis in (surface.xaxis, surface.yaxis, surface.zaxis):
            axis.set_major_locator(MaxNLocator(4))
        flat.append(figure.add_subplot(2, 2, 3 + column))
        levels = np.linspace(0, high, _LEVELS)
        contours = flat[-1].contourf(*grid, height, levels=levels, extend="max", **scale)
        _draw_policy(flat[-1], survey)
        for axes in (surface, flat[-1]):
            axes.set(xlabel=picture.labels[0], ylabel=picture.labels[1])
    figure.colorbar(contours, ax=flat, label=_HEIGHT, format="%.3g")
    content = io.BytesIO()
    figure.savefig(content, dpi=110, format="png")
    return content.getvalue()


def make_html(survey: Survey, picture: Picture) -> bytes:
    """The same, to turn and zoom, in one page that holds its own copy of Plotly (about 5 MB)."""
    return interactive(survey, picture).to_html(include_plotlyjs=True).encode()


def interactive(survey: Survey, picture: Picture) -> go.Figure:
    """The Plotly figure of :func:`make_html`."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    high = highest_rise(survey)
    page = make_subplots(
        rows=2,
        cols=2,
        specs=[[{"type": "surface"}] * 2, [{"type": "xy"}] * 2],
        subplot_titles=picture.names,
        row_heights=[0.58, 0.42],
        vertical_spacing=0.06,
    )
    u, v = survey.axes
    levels = {"start": 0, "end": high, "size": high / (_LEVELS - 1)}
    for column, height in enumerate(rises(survey), start=1):
        page.add_trace(go.Surface(x=u, y=v, z=height, coloraxis="coloraxis"), 1, column)
        page.add_trace(
            go.Contour(x=u, y=v, z=height, coloraxis="coloraxis", contours=levels), 2, column
        )
        named = column == 1  # Once in the legend.
        for line, line_height in boundary(survey, height):
            red = {
                "mode": "lines",
                "line": {"color": "red", "width": 4},
                "name": boundary_label(survey),
            }
            red |= {"x": line[:, 0], "y": line[:, 1], "legendgroup": "boundary"}
            page.add_trace(go.Scatter3d(z=line_height, showlegend=False, **red), 1, column)
            page.add_trace(go.Scatter(showlegend=named, **red), 2, column)
            named = False
        dots: dict[str, Any] = {"mode": "markers", "name": _ACTIONS, "legendgroup": "actions"}
        actions = np.asarray(survey.actions)
        dots |= {"x": actions[:, 0], "y": actions[:, 1]}
        small, above = {"color": "white", "size": 3}, height_at(survey, height, actions)
        page.add_trace(go.Scatter3d(z=above, marker=small, showlegend=False, **dots), 1, column)
        ringed = {"color": "white", "size": 5, "line": {"color": "black", "width": 1}}
        page.add_trace(go.Scatter(marker=ringed, showlegend=column == 1, **dots), 2, column)
    first, second = picture.labels
    page.update_scenes(
        xaxis_title=first, yaxis_title=second, zaxis_title="rise", zaxis_range=[0, high]
    )
    page.update_xaxes(title=first, range=[u[0], u[-1]])
    page.update_yaxes(title=second, range=[v[0], v[-1]])
    page.update_layout(
        title=picture.title,
        height=1000,
        coloraxis={
            "colorscale": _COLORS,
            "cmin": 0,
            "cmax": high,
            "colorbar": {"title": "energy above<br>its lowest<br>[discounted<br>reward]"},
        },
        legend={"orientation": "h", "y": -0.08},
    )
    return page


def rises(survey: Survey) -> tuple[np.ndarray, np.ndarray]:
    """Both energies above their own lowest value in view, [n, n] each [discounted reward].

    Only differences guide a policy; on one scale the constants would hide them.
    """
    plain, augmented = (
        np.asarray(height) - np.nanmin(height)
        for height in (survey.heights.plain, survey.heights.augmented)
    )
    return plain, augmented


def highest_rise(survey: Survey) -> float:
    """The end of the common scale, which begins at 0; positive even if nothing rises."""
    return max(float(np.nanmax(np.stack(rises(survey)))), 1e-6)


def boundary_label(survey: Survey) -> str:
    """What the boundary is, or why there is none."""
    if np.nanmax(survey.heights.excess) < 0:
        return "no boundary: all in view is within the budget"
    if np.nanmin(survey.heights.excess) > 0:
        return "no boundary: all in view is beyond the budget"
    return "boundary of the feasible set: risk = budget"


def boundary(survey: Survey, height: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The lines along which risk equals the budget: (coordinates [m, 2], heights [m]) each."""
    u, v = survey.axes
    excess = np.ma.masked_invalid(survey.heights.excess)
    for points in contour_generator(x=u, y=v, z=excess).lines(0.0):
        line = np.asarray(points)
        yield line, height_at(survey, height, line)


def height_at(survey: Survey, height: np.ndarray, coordinates: np.ndarray) -> np.ndarray:
    """Heights [m] at coordinates [m, 2], interpolated; NaN beyond the grid."""
    from scipy.interpolate import RegularGridInterpolator  # Slow to load, like Matplotlib.

    u, v = survey.axes
    interpolate = RegularGridInterpolator((u, v), height.T, bounds_error=False)
    return interpolate(coordinates)


def _draw_policy(axes: Axes, survey: Survey) -> None:
    """The boundary of the feasible set, and the policy's actions."""
    grid, excess = np.meshgrid(*survey.axes), survey.heights.excess
    if np.nanmin(excess) < 0 < np.nanmax(excess):
        axes.contour(*grid, excess, levels=[0.0], colors="tab:red", linewidths=2)
    style: dict[str, Any] = {"s": 16, "color": "white", "edgecolors": "black", "linewidths": 0.5}
    axes.scatter(*survey.actions.T, label=_ACTIONS, **style)
    axes.plot([], [], color="tab:red", linewidth=2, label=boundary_label(survey))
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=2, fontsize="small")
