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

import pandas as pd

from algd_jax.config import Config
from algd_jax.errors import ConfigError
from algd_jax.presets import PRESETS, preset
from algd_jax.runs.compare.pictures import draw_curves
from algd_jax.runs.compare.reading import read_runs
from algd_jax.runs.compare.summary import compare
from algd_jax.runs.sweep import make_trials, points, sweep
from experiments.logs import (
    command_line,
    describe_budgets,
    keep_logs,
    origin,
    shortened,
    table_head,
    table_row,
)
from experiments.stability import MEASURES, mean_text, measure_runs

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
"""Values of each field; a preset's own is added where it is none of them."""

BASE = "base"

_MEASURED = ("last_return", "last_cost", "violation", "after")


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
    try:
        if not arguments.only_draw:
            train(arguments, command_line("ablations.py", argv))
        draw_all(arguments.out)
    except ConfigError as error:
        raise SystemExit(f"ablations.py: {error}") from error


def train(arguments: argparse.Namespace, command: Sequence[str]) -> None:
    """Run the sweeps, one after the other, and keep the logs of each as soon as it has ended."""
    base = shortened(preset(arguments.preset, arguments.task), arguments.budget_fraction)
    for name in (BASE, *arguments.fields):
        configs, grid = variants(base, name)
        trials = make_trials(configs, points(grid), arguments.seeds)
        sweep(trials, arguments.run_dir / name, tell=print, command=command)
        keep_logs(arguments.run_dir / name, arguments.out / name)


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
    fields = [field for field in FIELDS if (out / field / "results.csv").exists()]
    if not fields:
        raise ConfigError(f"--out: got {out}, which holds no logs of a field")
    rows = []
    for field in fields:
        folders = [out / BASE, out / field]
        comparison, budget = compare(read_runs(folders)), describe_budgets(folders)
        (out / f"{field}.png").write_bytes(draw_curves(comparison, budget))
        rows += _rows(field, comparison.runs.epochs)
    columns = ["field", "value", "seeds", *(MEASURES[name] for name in _MEASURED)]
    sources = [origin(out / name) for name in (BASE, *fields)]
    lines = [f"# Ablations: {budget}", "", *table_head(columns), *rows, "", *sources, ""]
    (out / "table.md").write_text("\n".join(lines))


def _rows(field: str, epochs: pd.DataFrame) -> list[str]:
    """Of each value of the field, means over seeds of what :mod:`stability` measures."""
    rows = []
    for value, part in epochs.groupby(field):
        runs = measure_runs(part)
        cells = [mean_text(runs[name]) for name in _MEASURED]
        rows.append(table_row([field, str(value), str(len(runs)), *cells]))
    return rows


if __name__ == "__main__":
    main()
