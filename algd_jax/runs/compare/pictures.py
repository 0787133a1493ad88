"""Pictures of a comparison (PNG): learning curves, return against cost, profiles."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from algd_jax.runs.compare.series import (
    Line,
    cost_column,
    cost_profile,
    front,
    learning_curve,
    limited_in,
    limits_of,
    return_column,
    return_profile,
    thresholds_of,
)
from algd_jax.runs.compare.statistics import Estimate
from algd_jax.runs.compare.summary import Comparison, Row
from algd_jax.runs.picture_style import picture_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's, without what is too pale on white or too near the red of the limits.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P")
_LIMIT: dict[str, Any] = {"color": "tab:red", "linestyle": "--", "linewidth": 1.2}
_OTHERS = "0.6"
_BANDED = 5  # Lines whose bands can still be told apart.

RETURN_LABEL = "return [reward / episode]"
COST_LABEL = "cost [cost / episode]"
EXCESS_LABEL = "cost above the limit [cost / episode]"
FRONT_LABEL = "feasible Pareto front"
SCORE_LABEL = "return from lowest (0) to highest (1) of its environment"


def cost_label(comparison: Comparison, env: str) -> str:
    """What the cost is of the runs in an environment."""
    return EXCESS_LABEL if limited_in(comparison, env) else COST_LABEL


@picture_style()
def draw_curves(comparison: Comparison, title: str = "") -> bytes:
    """Return and cost over environment steps, a row of panels per environment."""
    from matplotlib.ticker import EngFormatter

    figure, panels = _figure(len(comparison.rows), 2)
    styles, epochs = _styles(comparison), comparison.runs.epochs
    for (returns, costs), env in zip(panels, comparison.rows, strict=True):
        for axes, quantity in ((returns, "return"), (costs, "cost")):
            for name, style in styles.items():
                part = epochs[(epochs.env == env) & (epochs.configuration == name)]
                if len(part):
                    _draw_line(axes, learning_curve(part, quantity), style, len(styles))
            axes.set(title=f"{env}: {quantity}", xlabel="environment steps")
            axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        _draw_limits(costs.axhline, limits_of(comparison, list(styles), env))
        returns.set_ylabel(RETURN_LABEL)
        costs.set_ylabel(cost_label(comparison, env))
        if not limited_in(comparison, env):
            costs.set_ylim(bottom=0)
    figure.suptitle(title)
    _add_legend(figure, comparison, ["interquartile mean over runs", *_band_note(figure)])
    return _png(figure)


@picture_style()
def draw_trade_off(comparison: Comparison) -> bytes:
    """Return against mean cost, with the limit and the feasible Pareto front."""
    columns = min(len(comparison.rows), 2)
    figure, panels = _figure(-(-len(comparison.rows) // columns), columns, height=4.2)
    styles = _styles(comparison)
    for axes, (env, rows) in zip(panels.flat, comparison.rows.items(), strict=False):
        _draw_limits(axes.axvline, limits_of(comparison, list(styles), env))
        points = front(rows)
        if len(points) > 1:
            axes.plot(*points.T, color="0.4", linewidth=1.2, zorder=1, label=FRONT_LABEL)
        for row in rows:
            _draw_point(axes, row, styles.get(row.configuration))
        label = f"mean {cost_label(comparison, env)}"
        axes.set(title=env, xlabel=label, ylabel=f"IQM {RETURN_LABEL}")
    for axes in panels.flat[len(comparison.rows) :]:
        axes.remove()
    others = ["grey: the others"] if len(comparison.ranking) > len(styles) else []
    notes = [*others, "lines: 95 % bootstrap intervals", "hollow: mean cost above its limit"]
    _add_legend(figure, comparison, notes)
    return _png(figure)


@picture_style()
def draw_profiles(comparison: Comparison) -> bytes:
    """Shares of runs with a return above, and with a cost up to, each threshold."""
    figure, panels = _figure(1, 2)
    returns, costs = panels[0]
    styles, last = _styles(comparison), comparison.last
    scores, paid = return_column(comparison), cost_column(comparison)
    limits = sorted(
        {
            limit if paid == "cost" else 0.0
            for env in comparison.rows
            for limit in limits_of(comparison, list(styles), env)
        }
    )
    above = thresholds_of(last[scores].to_numpy())
    within = thresholds_of(np.append(last[paid], limits))
    for name, style in styles.items():
        style = style | {"marker": "", "drawstyle": "steps-post"}
        _draw_line(returns, return_profile(comparison, name, above), style, len(styles))
        _draw_line(costs, cost_profile(comparison, name, within), style, len(styles))
    _draw_limits(costs.axvline, limits)
    return_label = RETURN_LABEL if scores == "return" else SCORE_LABEL
    raw = paid == "cost" and not any(limited_in(comparison, env) for env in comparison.rows)
    returns.set(title="Return above τ", xlabel=f"τ: {return_label}")
    costs.set(title="Cost up to τ", xlabel=f"τ: {COST_LABEL if raw else EXCESS_LABEL}")
    for axes in (returns, costs):
        axes.set(ylabel="share of runs", ylim=(-0.02, 1.02))
    _add_legend(figure, comparison, ["last evaluation of each run", *_band_note(figure)])
    return _png(figure)


def _what_is_shown(comparison: Comparison) -> list[str]:
    """Says so where not every configuration has a colour."""
    total = len(comparison.ranking)
    return [f"the best {len(COLORS)} of {total} configurations"] if total > len(COLORS) else []


def _figure(rows: int, columns: int, height: float = 3.4) -> tuple[Figure, np.ndarray]:
    """A figure of panels [rows, columns] with grids."""
    # Here, because Matplotlib is slow to load and training begins without.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 0.9 + height * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False)
    for axes in panels.flat:
        axes.grid(alpha=0.3)
    return figure, panels


def _styles(comparison: Comparison) -> dict[str, dict[str, Any]]:
    """How the best configurations are drawn, by name; there are as many as colours."""
    return {
        name: {"color": color, "marker": marker, "markersize": 4.0, "label": _wrapped(name)}
        for name, color, marker in zip(comparison.ranking, COLORS, _MARKERS, strict=False)
    }


def _wrapped(name: str) -> str:
    return "\n".join(textwrap.wrap(name, 60))


def _draw_line(axes: Axes, line: Line, style: dict[str, Any], lines: int) -> None:
    """A line and, among few lines, its band."""
    every = max(1, len(line.x) // 12)
    axes.plot(line.x, line.y, linewidth=1.8, markevery=every, **style)
    if line.low is not None and line.high is not None and lines <= _BANDED:
        band: dict[str, Any] = {"color": style["color"], "alpha": 0.15, "linewidth": 0}
        band["step"] = "post" if "drawstyle" in style else None
        axes.fill_between(line.x, line.low, line.high, **band)


def _draw_limits(draw: Callable[..., Any], limits: Sequence[float]) -> None:
    """Lines at the limits, with one word for all of them in the legend."""
    word = "limit" if len(limits) == 1 else "limits"
    label: str | None = f"{word} {', '.join(f'{limit:g}' for limit in limits)}"
    for limit in limits:
        draw(limit, label=label, **_LIMIT)
        label = None


def _draw_point(axes: Axes, row: Row, style: dict[str, Any] | None) -> None:
    """A configuration with its intervals; without a style as one of many."""
    point = (row.mean_cost.value, row.returns.value)
    if style is None:
        face = _OTHERS if row.feasible else "white"
        axes.plot(*point, "o", color=_OTHERS, markerfacecolor=face, markersize=4, zorder=1.5)
        return
    axes.errorbar(
        *point,
        xerr=_whiskers(row.mean_cost),
        yerr=_whiskers(row.returns),
        fmt=style["marker"],
        color=style["color"],
        markerfacecolor=style["color"] if row.feasible else "white",
        markersize=7,
        elinewidth=1,
        label=style["label"],
    )


def _whiskers(estimate: Estimate) -> list[list[float]] | None:
    """Lengths below and above, as Matplotlib wants them."""
    if estimate.low is None or estimate.high is None:
        return None
    below, above = estimate.value - estimate.low, estimate.high - estimate.value
    return [[max(below, 0.0)], [max(above, 0.0)]]


def _band_note(figure: Figure) -> list[str]:
    """What the bands are, if there is one."""
    return ["95 % bootstrap bands"] if any(axes.collections for axes in figure.axes) else []


def _add_legend(figure: Figure, comparison: Comparison, notes: Sequence[str]) -> None:
    """One legend for all panels, below them, the best first; its title says what is shown."""
    found: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    ranked = [style["label"] for style in _styles(comparison).values()]
    labels = sorted(found, key=lambda label: ranked.index(label) if label in ranked else len(found))
    longest = max(len(line) for label in labels for line in label.split("\n"))
    figure.legend(
        [found[label] for label in labels],
        labels,
        loc="outside lower center",
        ncols=max(1, min(4, 120 // (longest + 8))),
        title="; ".join([*_what_is_shown(comparison), *notes]),
        fontsize="small",
        title_fontsize="small",
        frameon=False,
    )


def _png(figure: Figure) -> bytes:
    picture = io.BytesIO()
    figure.savefig(picture, dpi=100, format="png")
    return picture.getvalue()
