"""The paper's comparison: nine tasks, five ways to train, several seeds.

    python experiments/paper.py --tasks PointButton1 Hopper --seeds 5
    python experiments/paper.py --only-draw

Every task and way to train is one sweep in a folder of its own, RUN_DIR/TASK/METHOD: the same
command again finishes what was stopped, and another one adds tasks or methods. The sweeps' tables
are copied to OUT, and ``table.md``, ``curves.png`` and ``comparison.json`` are made from those
alone, which --only-draw does again.

Budgets are the paper's (250 epochs with 10 updates per step); --budget-fraction shortens them and
--preset takes another regime, for smaller machines. Both are written on everything that comes out.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from algd_jax.config import Config
from algd_jax.errors import ConfigError
from algd_jax.presets import PRESETS, preset
from algd_jax.runs.sweep import make_trials, points, sweep
from experiments.logs import command_line, draw_comparison, keep_logs, shortened

TASKS = (
    "PointButton1",
    "PointButton2",
    "CarButton1",
    "CarButton2",
    "PointPush1",
    "Hopper",
    "HalfCheetah",
    "Ant",
    "Humanoid",
)

METHODS: dict[str, tuple[str, Mapping[str, Any]]] = {
    "algd": ("algd", {"diffusion": "ve"}),
    "algd_ddpm": ("algd", {"diffusion": "ddpm"}),
    "diffusion_lagrangian": ("diffusion_lagrangian", {}),
    "cal": ("cal", {}),
    "sac_lagrangian": ("sac_lagrangian", {}),
}
"""Algorithm and sizes of each way to train."""


def main(argv: Sequence[str] | None = None) -> None:
    """Train what is missing, then make the table and the figure from the logs."""
    arguments = _parser().parse_args(argv)
    try:
        if not arguments.only_draw:
            train(arguments, command_line("paper.py", argv))
        draw_comparison(arguments.out, "The paper's comparison")
    except ConfigError as error:
        raise SystemExit(f"paper.py: {error}") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--preset", choices=PRESETS, default="paper")
    parser.add_argument("--budget-fraction", type=float, default=1.0)
    parser.add_argument("--run-dir", type=Path, default=Path("runs/paper"))
    parser.add_argument("--out", type=Path, default=Path("experiments/results/paper"))
    parser.add_argument("--only-draw", action="store_true", help="from the logs in OUT")
    return parser


def train(arguments: argparse.Namespace, command: Sequence[str]) -> None:
    """Run the sweeps, one after the other, and keep the logs of each as soon as it has ended."""
    for task in arguments.tasks:
        for method in arguments.methods:
            config = configure(task, method, arguments.preset, arguments.budget_fraction)
            folder = Path(task, method)
            sweep(
                make_trials([config], points([]), arguments.seeds),
                arguments.run_dir / folder,
                tell=print,
                command=command,
            )
            keep_logs(arguments.run_dir / folder, arguments.out / folder)


def configure(task: str, method: str, regime: str = "paper", fraction: float = 1.0) -> Config:
    """A run of a task by a method, with a fraction of the epochs of its regime.

    Raises:
      ConfigError: for a fraction that is none.
    """
    algorithm, sizes = METHODS[method]
    config = shortened(preset(regime, task, algorithm), fraction)
    return dataclasses.replace(config, agent=dataclasses.replace(config.agent, **sizes))


if __name__ == "__main__":
    main()
