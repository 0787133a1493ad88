"""Plotly's figures as charts of a page: styled for it, with a legend and a player made of HTML.

Plotly's own legend and slider can only be clicked at, and take the room of a small chart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from algd_jax.runs.pages.page import escape

if TYPE_CHECKING:
    import plotly.graph_objects as go

# Seen on a light and on a dark ground.
BLUE, ORANGE, GREEN, PURPLE = "#2a7fbf", "#d9761c", "#2f9e57", "#8a5fbf"
RED, GREY = "#d0342c", "rgba(128,128,128,0.35)"
COLORS = (BLUE, ORANGE, GREEN, PURPLE)


class Moment(NamedTuple):
    """A position of a chart's slider.

    Attributes:
      text: what it shows.
      costs: whether something was paid for then.
    """

    text: str
    costs: bool = False


def charts_html(figures: Mapping[str, go.Figure], is_wide: bool = False) -> str:
    """Charts with their captions, side by side where there is room.

    Args:
      figures: by their captions; names of traces are texts, and are escaped here.
      is_wide: whether each has the whole width.
    """
    charts = "".join(_chart(caption, figure) for caption, figure in figures.items())
    return f'<div class="charts{" wide" if is_wide else ""}">{charts}</div>'


def styled(figure: go.Figure, height: int = 340) -> go.Figure:
    """Sized for a column, on a transparent ground: the page colours it, light or dark."""
    figure.update_layout(
        height=height,
        template="none",
        margin={"l": 60, "r": 20, "t": 20, "b": 50},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        showlegend=False,
    )
    figure.update_xaxes(gridcolor=GREY, zerolinecolor=GREY)
    figure.update_yaxes(gridcolor=GREY, zerolinecolor=GREY, automargin=True)
    return figure


def stack_when_narrow(figure: go.Figure, heights: Sequence[int]) -> go.Figure:
    """On a narrow screen the panels stand one below the other.

    Args:
      figure: with its size.
      heights: of each panel, in the order of the axes [px].
    """
    gap = 60
    total = sum(heights) + gap * (len(heights) - 1)
    margin, layout = figure.layout.margin, figure.layout
    wide: dict[str, Any] = {"height": layout.height}
    narrow: dict[str, Any] = {"height": total + margin.t + margin.b}
    top = float(total)
    for index, height in enumerate(heights):
        number = "" if index == 0 else index + 1
        for axis in (f"xaxis{number}", f"yaxis{number}"):
            wide[f"{axis}.domain"] = list(layout[axis].domain or (0, 1))
        narrow[f"xaxis{number}.domain"] = [0, 1]
        narrow[f"yaxis{number}.domain"] = [max(0.0, top - height) / total, top / total]
        top -= height + gap
    return _with_meta(figure, wide=wide, narrow=narrow)


def add_moments(
    figure: go.Figure,
    moments: Sequence[Moment],
    data: Sequence[Sequence[Any]],
    traces: Sequence[int],
    start: int = 0,
) -> go.Figure:
    """A slider through moments.

    Args:
      figure: as it is at moment ``start``.
      moments: in their order.
      data: of each moment, the traces that replace ``traces``.
      traces: numbers of the figure's traces.
      start: which one is shown first.
    """
    import plotly.graph_objects as go

    figure.frames = [
        go.Frame(name=str(number), data=one, traces=traces) for number, one in enumerate(data)
    ]
    told = [one._asdict() for one in moments]
    return _with_meta(figure, moments=told, start=start)


def _with_meta(figure: go.Figure, **more: Any) -> go.Figure:
    """The figure with what the page's script has to know of it."""
    return figure.update_layout(meta={**(figure.layout.meta or {}), **more})


def _chart(caption: str, figure: go.Figure) -> str:
    legend = _legend(figure)
    for trace in (*figure.data, *(trace for frame in figure.frames for trace in frame.data)):
        trace.name = None if trace.name is None else escape(trace.name)
    chart = figure.to_html(
        full_html=False,
        include_plotlyjs=False,
        config={"displayModeBar": False},
        auto_play=False,
    )
    head = f"<figcaption>{escape(caption)}</figcaption>{legend}{_player(figure)}"
    return f"<figure>{head}{chart}</figure>"


def _legend(figure: go.Figure) -> str:
    """A button for each group of traces with a name; none if there is but one."""
    groups: dict[str, Any] = {}
    for trace in figure.data:
        if trace.name is None or (trace.showlegend is False and trace.legendgroup is None):
            continue
        first = groups.setdefault(trace.legendgroup or trace.name, trace)
        trace.legendgroup = first.legendgroup if first is not trace else f"g{len(groups)}"
    if len(groups) < 2:
        return ""
    buttons = "".join(
        f'<button type="button" data-group="{trace.legendgroup}" '
        f'aria-pressed="{"false" if trace.visible == "legendonly" else "true"}">'
        f'<i style="background:{escape(_color(trace))}"></i>{escape(trace.name)}</button>'
        for trace in groups.values()
    )
    return f'<div class="legend">{buttons}</div>'


def _color(trace: Any) -> str:
    """Of what a trace mostly shows."""
    line, marker = trace.line.color, trace.marker.color
    return trace.fillcolor or (marker if trace.mode == "markers" else line)


def _player(figure: go.Figure) -> str:
    """A button and a slider for the moments of a chart, if it has any."""
    meta = figure.layout.meta or {}
    if "moments" not in meta:
        return ""
    start, last = meta["start"], len(meta["moments"]) - 1
    return (
        '<div class="player"><button type="button">play</button>'
        f'<input type="range" min="0" max="{last}" value="{start}" aria-label="moment">'
        f"<output>{escape(meta['moments'][start]['text'])}</output></div>"
    )
