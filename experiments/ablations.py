"""What each number and each size of ALGD does: one sweep and one figure for each.

    python experiments/ablations.py --fields rho kappa --task PointButton1 --preset quick --seeds 5
    python experiments/ablations.py --only-draw

Everything but one field stays as in the preset. The preset itself is trained once, in RUN_DIR/base,
and is a value of every field; the others are trained in RUN_DIR/FIELD, values of a field of
``Hyper`` side by side in one program, values that shape the program one after the other. Tables are
copied to OUT, from which OUT/FIELD.png and OUT/table.md are made.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from algd_jax.config import Config
from algd_jax.presets import PRESETS, preset
from algd_jax.runs.compare.reading import read_runs
from algd_jax.runs.compare.statistics import Estimate
from algd_jax.runs.compare.summary import Comparison, compare
from algd_jax.runs.compare.words import interval_text
from algd_jax.runs.sweep import make_trials, points, sweep
from experiments.logs import command_line, describe_budgets, keep_logs, shortened, table_row

FIELDS: dict[str, tuple[Any, ...]] = {
    "rho": (0.1, 1.0, 5.0),
    "kappa": (0.0, 1.0, 2.0),
    "temperature": (0.1, 1.0, 3.0),
    "score_weight": (0.0, 0.1, 1.0),
    "chain_steps": (1, 2, 5, 10),
    "score_samples": (1, 4, 8),
    "cost_critics": (1, 4, 8),
    "diffusion": ("ve", "ddpm"),
    "goal_terminates": (True, False),
    "chain_gradient": (True, False),
}
"""Values of each field; those of ``quick`` are among them, and any other preset's are added."""

BASE = "base"


def main(argv: Sequence[str] | None = None) -> None:
    """Train what is missing, then draw every field that there are logs of."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fields", nargs="+", choices=FIELDS, default=list(FIELDS))
    parser.add_argument("--task", default="PointButton1")
    parser.add_argument("--preset", choices=PRESETS, default="quick")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--budget-fraction", type=float, default=1.0)
    parser.add_argument("--run-dir", type=Path, default=Path("runs/ablations"))
    parser.add_argument("--out", type=Path, default=Path("experiments/results/ablations"))
    parser.add_argument("--only-draw", action="store_true", help="from the logs in OUT")
    arguments = parser.parse_args(argv)
    if not arguments.only_draw:
        command = command_line("ablations.py", argv)
        base = shortened(preset(arguments.preset, arguments.task), arguments.budget_fraction)
        for name in (BASE, *arguments.fields):
            configs, grid = variants(base, name)
            trials = make_trials(configs, points(grid), arguments.seeds)
            sweep(trials, arguments.run_dir / name, tell=print, command=command)
            keep_logs(arguments.run_dir / name, arguments.out / name)
    draw_all(arguments.out)


def variants(base: Config, name: str) -> tuple[list[Config], list[str]]:
    """What is trained for a field, without the preset itself, or for ``BASE``.

    Returns:
      Configurations that differ in the program, and the grid of the numbers of each.
    """
    if name == BASE:
        return [base], []
    for group in ("agent", "loop"):
        sizes = getattr(base, group)
        if hasattr(sizes, name):
            others = [dataclasses.replace(sizes, **{name: one}) for one in _others(sizes, name)]
            return [dataclasses.replace(base, **{group: one}) for one in others], []
    return [base], [f"{name}={','.join(map(str, _others(base.hyper, name)))}"]


def _others(settings: Any, field: str) -> list[Any]:
    return [value for value in FIELDS[field] if value != getattr(settings, field)]


def draw_all(out: Path) -> None:
    """A figure for each field, and the table of all."""
    lines = [
        "# What each number does",
        "",
        "| field | value | runs | IQM return | IQM cost | feasible |",
        "|---|---|---|---|---|---|",
    ]
    for field in FIELDS:
        if (out / field / "results.csv").exists():
            folders = [out / BASE, out / field]
            comparison, budget = compare(read_runs(folders)), describe_budgets(folders)
            draw(out / f"{field}.png", field, comparison, budget)
            lines += [_row(field, row) for row in by_value(comparison, field)]
    (out / "table.md").write_text("\n".join([*lines, ""]))


def by_value(comparison: Comparison, field: str) -> list[dict[str, Any]]:
    """The numbers of each value of the field that was trained, in order."""
    rows = comparison.figures()["configurations"]
    return sorted(rows, key=lambda row: row["settings"][field])


def _row(field: str, row: dict[str, Any]) -> str:
    returns, costs = (interval_text(Estimate(**row[name])) for name in ("iqm_return", "iqm_cost"))
    cells = [field, row["settings"][field], row["seeds"], returns, costs]
    return table_row([*map(str, cells), f"{row['share_feasible']:.0%}"])


def draw(path: Path, field: str, comparison: Comparison, budget: str) -> None:
    """Return and cost of the last evaluations over the values of a field."""
    found = by_value(comparison, field)
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, name in zip(panels, ("iqm_return", "iqm_cost"), strict=True):
        for x, row in enumerate(found):
            estimate = Estimate(**row[name])
            axes.plot(x, estimate.value, "o", color="tab:blue")
            if estimate.low is not None:
                axes.vlines(x, estimate.low, estimate.high, color="tab:blue")
        axes.set_xticks(range(len(found)), [str(row["settings"][field]) for row in found])
        axes.set(xlabel=field, ylabel=f"IQM {name.removeprefix('iqm_')} [per episode]")
        axes.grid(alpha=0.3)
    panels[1].axhline(found[0]["cost_limit"], color="tab:red", ls="--", label="limit")
    panels[1].set_ylim(bottom=0)
    panels[1].legend()
    env = found[0]["env"]
    figure.suptitle(f"{env}, {found[0]['seeds']} seeds each, 95 % intervals; {budget}")
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    main()
