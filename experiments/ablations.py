"""What each number and each size of ALGD does: one sweep and one figure for each.

    python experiments/ablations.py --fields rho kappa --task PointButton1 --preset quick --seeds 5
    python experiments/ablations.py --only-draw

Everything but one field stays as in the preset. Values of a field of ``Hyper`` train side by side
in one program; a field that shapes the program has one for each value. Sweeps are RUN_DIR/FIELD/…;
their tables are copied to OUT/FIELD, from which OUT/FIELD.png and OUT/table.md are made.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from algd_jax.config import AgentConfig, Config, LoopConfig
from algd_jax.presets import PRESETS, preset
from algd_jax.runs.compare.reading import read_runs
from algd_jax.runs.compare.statistics import Estimate
from algd_jax.runs.compare.summary import Comparison, compare
from algd_jax.runs.compare.words import interval_text
from algd_jax.runs.sweep import make_trials, points, sweep
from experiments.logs import command_line, describe_budgets, keep_logs

FIELDS: dict[str, tuple[Any, ...]] = {
    "rho": (0.1, 0.5, 1.0, 2.0, 5.0),
    "kappa": (0.0, 0.5, 1.0, 2.0),
    "temperature": (0.1, 0.3, 1.0, 3.0),
    "score_weight": (0.0, 0.03, 0.1, 0.3, 1.0),
    "chain_steps": (1, 2, 5, 10, 20),
    "score_samples": (1, 2, 4, 8),
    "cost_critics": (1, 2, 4, 8),
    "diffusion": ("ve", "ddpm"),
    "goal_terminates": (True, False),
    "chain_gradient": (True, False),
}
"""Values of each field; the presets' are among them."""


def main(argv: Sequence[str] | None = None) -> None:
    """Train what is missing, then draw every field that there are logs of."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fields", nargs="+", choices=FIELDS, default=list(FIELDS))
    parser.add_argument("--task", default="PointButton1")
    parser.add_argument("--preset", choices=PRESETS, default="quick")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--run-dir", type=Path, default=Path("runs/ablations"))
    parser.add_argument("--out", type=Path, default=Path("experiments/results/ablations"))
    parser.add_argument("--only-draw", action="store_true", help="from the logs in OUT")
    arguments = parser.parse_args(argv)
    if not arguments.only_draw:
        command = command_line("ablations.py", argv)
        for field in arguments.fields:
            train(arguments, field, command)
    draw_all(arguments.out)


def train(arguments: argparse.Namespace, field: str, command: Sequence[str]) -> None:
    """Run the sweeps of a field and keep their logs."""
    base = preset(arguments.preset, arguments.task)
    for name, config, grid in variants(base, field):
        folder = Path(field, name)
        trials = make_trials([config], points(grid), arguments.seeds)
        sweep(trials, arguments.run_dir / folder, tell=print, command=command)
        keep_logs(arguments.run_dir / folder, arguments.out / folder)


def variants(base: Config, field: str) -> list[tuple[str, Config, list[str]]]:
    """The sweeps of a field: name, configuration and grid of each."""
    values = FIELDS[field]
    for group, kind in (("agent", AgentConfig), ("loop", LoopConfig)):
        if field in {one.name for one in dataclasses.fields(kind)}:
            sizes = getattr(base, group)
            changed = [dataclasses.replace(sizes, **{field: value}) for value in values]
            return [
                (str(value), dataclasses.replace(base, **{group: one}), [])
                for value, one in zip(values, changed, strict=True)
            ]
    return [("grid", base, [f"{field}={','.join(map(str, values))}"])]


def draw_all(out: Path) -> None:
    """A figure for each field, and the table of all."""
    lines = [
        "| field | value | runs | IQM return | IQM cost | feasible |",
        "|---|---|---|---|---|---|",
    ]
    for field in FIELDS:
        folders = sorted(path.parent for path in (out / field).glob("*/results.csv"))
        if folders:
            comparison, budget = compare(read_runs(folders)), describe_budgets(folders)
            draw(out / f"{field}.png", field, comparison, budget)
            lines += [_row(field, value, row) for value, row in by_value(comparison, field)]
    (out / "table.md").write_text("\n".join([*lines, ""]))


def by_value(comparison: Comparison, field: str) -> list[tuple[Any, dict[str, Any]]]:
    """The numbers of each value of the field that was trained, in the order of ``FIELDS``."""
    rows = comparison.figures()["configurations"]
    found = {_known(field, row["settings"][field]): row for row in rows}
    return [(value, found[value]) for value in FIELDS[field] if value in found]


def _known(field: str, text: Any) -> Any:
    """The value of ``FIELDS`` that a table's cell stands for."""
    return next(value for value in FIELDS[field] if str(value) == str(type(value)(text)))


def _row(field: str, value: Any, row: dict[str, Any]) -> str:
    returns, costs = (interval_text(Estimate(**row[name])) for name in ("iqm_return", "iqm_cost"))
    share = f"{row['share_feasible']:.0%}"
    return f"| {field} | {value} | {row['seeds']} | {returns} | {costs} | {share} |"


def draw(path: Path, field: str, comparison: Comparison, budget: str) -> None:
    """Return and cost of the last evaluations over the values of a field."""
    found = by_value(comparison, field)
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, name in zip(panels, ("iqm_return", "iqm_cost"), strict=True):
        for x, (_, row) in enumerate(found):
            estimate = Estimate(**row[name])
            axes.plot(x, estimate.value, "o", color="tab:blue")
            if estimate.low is not None:
                axes.vlines(x, estimate.low, estimate.high, color="tab:blue")
        axes.set_xticks(range(len(found)), [str(value) for value, _ in found])
        axes.set(xlabel=field, ylabel=f"IQM {name.removeprefix('iqm_')} [per episode]")
        axes.grid(alpha=0.3)
    panels[1].axhline(found[0][1]["cost_limit"], color="tab:red", ls="--", label="limit")
    panels[1].set_ylim(bottom=0)
    panels[1].legend()
    env = found[0][1]["env"]
    figure.suptitle(f"{env}, {found[0][1]['seeds']} seeds each, 95 % intervals; {budget}")
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    main()
