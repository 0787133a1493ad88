"""The picture of a run: return, costs against their limits, and multipliers."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from algd_jax.files import replace
from algd_jax.runs.logs import Record, log_name
from algd_jax.runs.picture_style import picture_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_EVALUATION = {"color": "tab:blue", "linewidth": 2.0, "marker": "o", "markersize": 3.0}
_TRAINING = {"color": "tab:gray", "linewidth": 1.2, "marker": ".", "markersize": 4.0}


@picture_style()
def save_curves(path: Path, records: list[Record], limits: dict[str, float], title: str) -> None:
    """Draw the epochs of a run.

    Args:
      path: picture to write (PNG).
      records: at least one epoch, as logged.
      limits: of each constraint, by name, drawn into its cost panel [cost / episode].
      title: of the whole picture.
    """
    # Here, because Matplotlib is slow to load and training begins without.
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    panels = len(limits) + 2
    figure = Figure(figsize=(8, 3 * panels), layout="constrained")
    returns, *costs, multiplier = figure.subplots(panels, 1, sharex=True)
    figure.suptitle(title)

    _line(returns, records, "episode_return", "training episodes", _TRAINING)
    _line(returns, records, "eval_return", "evaluation, deterministic policy", _EVALUATION)
    returns.set(title="Return", ylabel="return [reward / episode]")

    for index, (axes, (name, limit)) in enumerate(zip(costs, limits.items(), strict=True)):
        evaluated = log_name("eval_cost", name)
        _line(axes, records, log_name("episode_cost", name), "training episodes", _TRAINING)
        _line(axes, records, evaluated, "evaluation, deterministic policy", _EVALUATION)
        axes.axhline(limit, color="tab:red", linestyle="--", label=f"limit {limit:g}")
        title = name.replace("_", " ").capitalize()
        axes.set(title=title, ylabel=f"{name} [cost / episode]")
        axes.set_ylim(bottom=0)
        color = {"color": f"C{2 + 2 * index}"}  # Green first; never the red of the limits.
        label = "λ" if len(limits) == 1 else f"λ of {name}"
        _line(multiplier, records, log_name("lam", name), label, _EVALUATION | color)

    multiplier.set(title="Multiplier", ylabel="λ [reward / cost]", xlabel="environment steps")
    multiplier.set_ylim(bottom=0)
    multiplier.xaxis.set_major_formatter(EngFormatter(sep=""))

    for axes in (returns, *costs, multiplier):
        axes.grid(alpha=0.3)
        axes.legend(loc="best", fontsize="small")
    picture = io.BytesIO()
    figure.savefig(picture, dpi=120, format="png")
    replace(path, picture.getvalue())


def _line(axes: Axes, records: list[Record], name: str, label: str, style: dict) -> None:
    values = [(record["step"], record.get(name)) for record in records]
    points = [(step, value) for step, value in values if value is not None]
    axes.plot(*zip(*points, strict=True) if points else ([], []), label=label, **style)
