"""The picture of a run: return, cost against its limit, and the multiplier."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from algd_jax.runs.logs import Record

_EVALUATION = {"color": "tab:blue", "linewidth": 2.0, "marker": "o", "markersize": 3.0}
_TRAINING = {"color": "tab:gray", "linewidth": 1.2, "marker": ".", "markersize": 4.0}


def save_curves(path: Path, records: list[Record], cost_limit: float, title: str) -> None:
    """Draw the epochs of a run.

    Args:
      path: picture to write (PNG).
      records: at least one epoch, as logged.
      cost_limit: drawn into the cost panel [cost / episode].
      title: of the whole picture.
    """
    figure = Figure(figsize=(8, 9), layout="constrained")
    returns, costs, multiplier = figure.subplots(3, 1, sharex=True)
    figure.suptitle(title)

    _line(returns, records, "episode_return", "training episodes", _TRAINING)
    _line(returns, records, "eval_return", "evaluation, deterministic policy", _EVALUATION)
    returns.set(title="Return", ylabel="return [reward / episode]")

    _line(costs, records, "episode_cost", "training episodes", _TRAINING)
    _line(costs, records, "eval_cost", "evaluation, deterministic policy", _EVALUATION)
    costs.axhline(cost_limit, color="tab:red", linestyle="--", label=f"limit {cost_limit:g}")
    costs.set(title="Cost", ylabel="cost [cost / episode]")
    costs.set_ylim(bottom=0)

    _line(multiplier, records, "lam", "λ", {**_EVALUATION, "color": "tab:green"})
    multiplier.set(title="Multiplier", ylabel="λ [reward / cost]", xlabel="environment steps")
    multiplier.set_ylim(bottom=0)
    multiplier.xaxis.set_major_formatter(EngFormatter(sep=""))

    for axes in (returns, costs, multiplier):
        axes.grid(alpha=0.3)
        axes.legend(loc="best", fontsize="small")
    figure.savefig(path, dpi=120)


def _line(axes: Axes, records: list[Record], name: str, label: str, style: dict) -> None:
    points = [(record["step"], record[name]) for record in records if record[name] is not None]
    axes.plot(*zip(*points, strict=True) if points else ([], []), label=label, **style)
