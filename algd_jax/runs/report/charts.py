"""The charts of a report: Plotly figures of logs and evidence."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from algd_jax.runs.logs import Record, log_name
from algd_jax.runs.pages.charts import (
    COLORS,
    GREY,
    RED,
    Moment,
    add_moments,
    stack_when_narrow,
    styled,
)
from algd_jax.runs.pages.page import escape
from algd_jax.runs.report.evidence import Calibration, Denoising

if TYPE_CHECKING:
    import plotly.graph_objects as go

_TRAINING = "training, mean of the epoch's episodes"


def learning(records: Sequence[Record], limits: Mapping[str, float]) -> dict[str, go.Figure]:
    """Charts of the logged epochs, by title.

    Args:
      records: at least one.
      limits: allowed cost per episode of each constraint, by name.
    """
    names = list(limits)
    costs = {f"evaluation, {name}": log_name("eval_cost", name) for name in names}
    costs[_TRAINING] = "episode_cost"
    multipliers = {f"λ {name}": log_name("lam", name) for name in names}
    penalties = {f"ρ {name}": log_name("rho", name) for name in names}
    risks = {f"above the discounted budget, {name}": log_name("violation", name) for name in names}
    correlations = {f"risk of {name}": log_name("risk_correlation", name) for name in names}
    return {
        "Return per episode": lines(
            records,
            {
                "evaluation": "eval_return",
                _TRAINING: "episode_return",
                "candidates for the best policy, evaluated anew": "confirmed_return",
            },
        ),
        "Cost per episode, limit dashed": lines(records, costs, limits.values()),
        "Multiplier λ and penalty ρ": lines(records, multipliers | penalties),
        "Risk of replayed actions above the budget": lines(records, risks, [0.0]),
        "Correlation of risk with the cost that followed": lines(records, correlations, [0.0]),
        "Losses of the critics": lines(
            records, {"reward critics": "reward_loss", "cost critics": "cost_loss"}, log=True
        ),
        "Speed": lines(
            records,
            {
                "environment steps per second": "steps_per_second",
                "updates per second": "updates_per_second",
            },
        ),
    }


def lines(
    records: Sequence[Record], series: Mapping[str, str], bounds: Any = (), log: bool = False
) -> go.Figure:
    """Quantities over environment steps.

    Args:
      records: epochs; the line goes past those that have no value.
      series: quantities of the records, by label.
      bounds: dashed horizontal lines.
      log: whether the axis is logarithmic.
    """
    import plotly.graph_objects as go

    steps = [record["step"] for record in records]
    figure = go.Figure()
    for (label, name), color in zip(series.items(), COLORS * len(series), strict=False):
        values = [record.get(name) for record in records]
        figure.add_trace(
            go.Scatter(
                x=steps,
                y=values,
                name=label,
                mode="lines+markers",
                marker_size=4,
                connectgaps=True,
                line={"color": color, "width": 2},
            )
        )
    for bound in bounds:
        figure.add_hline(bound, line_dash="dash", line_color=RED)
    figure.update_xaxes(title="environment steps")
    figure.update_yaxes(**({"type": "log", "dtick": "D2"} if log else {}))  # Ticks at 1, 2, 5.
    return styled(figure)


def calibration(found: Calibration, names: Sequence[str]) -> go.Figure:
    """Values against what came of them; on the grey diagonal critics are right.

    Args:
      found: of C constraints.
      names: of the constraints.
    """
    from plotly.subplots import make_subplots

    pairs = _pairs(found, names)
    figure = make_subplots(1, len(pairs), horizontal_spacing=0.28 / len(pairs))
    for column, ((name, (value, realised)), color) in enumerate(
        zip(pairs.items(), itertools.cycle(COLORS), strict=False), start=1
    ):
        ends = [float(min(value.min(), realised.min())), float(max(value.max(), realised.max()))]
        figure.add_scatter(
            x=ends,
            y=ends,
            mode="lines",
            line={"color": GREY},
            showlegend=False,
            hoverinfo="skip",
            row=1,
            col=column,
        )
        figure.add_scatter(
            x=realised,
            y=value,
            mode="markers",
            name=name,
            marker={"color": color, "size": 6, "opacity": 0.6},
            row=1,
            col=column,
        )
        figure.update_xaxes(title=f"realised discounted {escape(name)}", col=column)
    figure.update_yaxes(title="the critics'", col=1)
    return stack_when_narrow(styled(figure), [260] * len(pairs))


def calibration_words(found: Calibration, names: Sequence[str]) -> str:
    """The same in numbers."""

    def words(name: str, value: np.ndarray, realised: np.ndarray) -> str:
        bias, spread = float(np.mean(value - realised)), float(np.std(value - realised))
        return f"{name}: {bias:+.3g} on average, ± {spread:.3g}"

    told = "; ".join(words(name, *pair) for name, pair in _pairs(found, names).items())
    return (
        f"Critics minus what came of it, at {len(found.risk)} states of deterministic episodes; "
        f"{told}."
    )


def _pairs(found: Calibration, names: Sequence[str]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Values and what came of them, [n] each, of the return and of every constraint."""
    pairs = {"return": (found.reward_value, found.realised_return)}
    columns = zip(np.transpose(found.risk), np.transpose(found.realised_cost), strict=True)
    return pairs | dict(zip(names, columns, strict=True))


def denoising(found: Denoising) -> go.Figure:
    """Samples step by step, from noise to actions, over the energy's contours."""
    import plotly.graph_objects as go

    samples = [[_samples(points)] for points in found.actions]
    last = len(samples) - 1
    u, v = found.axes
    figure = go.Figure(
        data=[
            go.Contour(
                x=u,
                y=v,
                z=found.energy,
                colorscale="Viridis",
                ncontours=24,
                colorbar={"title": "energy"},
                name="energy",
                showlegend=False,
            ),
            go.Contour(
                x=u,
                y=v,
                z=found.excess,
                showscale=False,
                name="budget",
                contours={"type": "constraint", "operation": "=", "value": 0},
                line={"color": RED, "dash": "dash", "width": 2},
                hoverinfo="skip",
                showlegend=False,
            ),
            *samples[last],
        ]
    )
    figure.update_xaxes(title="action[0]")
    figure.update_yaxes(title="action[1]")
    steps = ["noise", *(f"after k = {last - number}" for number in range(1, last + 1))]
    moments = [Moment(step) for step in steps]
    return add_moments(styled(figure, height=520), moments, samples, [2], start=last)


def _samples(points: np.ndarray) -> go.Scatter:
    import plotly.graph_objects as go

    return go.Scatter(
        x=points[:, 0],
        y=points[:, 1],
        mode="markers",
        name="samples",
        showlegend=False,
        marker={"color": "white", "size": 7, "line": {"color": "black", "width": 1}},
    )
