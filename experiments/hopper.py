"""Does Hopper learn as with the paper's public PyTorch code, at equal environment steps?

    python experiments/hopper.py --seeds 4
    python experiments/hopper.py --only-draw

Preset ``paper``, the first 2,500 steps after warm-up (25,000 updates), evaluated every 500. The
seeds train side by side as one sweep in RUN_DIR; its tables are copied to OUT, from which
``curves.png`` and ``table.md`` are made. The reference ran on MuJoCo's own Hopper-v4, two seeds,
one deterministic episode per evaluation.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from algd_jax.config import Config
from algd_jax.presets import preset
from algd_jax.runs.sweep import make_trials, points, sweep
from experiments.logs import command_line, keep_logs, origin

STEPS = np.arange(500, 3000, 500)
"""Environment steps after warm-up at which the policy is evaluated."""

REFERENCE = {
    "return": np.array([[174, 151, 154, 162, 152], [73, 82, 146, 116, 293]]),
    "cost": np.array([[54.5, 47.6, 53.1, 52.2, 51.1], [26.1, 28.3, 46.2, 35.6, 33.7]]),
    "lam": np.array([[0.202, 0.068, 0.023, 0.0078, 0.0027]] * 2),
}
"""The reference's evaluations [seed, evaluation]: return, discounted cost, λ at that moment."""

LABELS = {
    "return": "return [reward / episode]",
    "cost": "discounted cost",
    "lam": "λ, mean over 500 steps",
}


def main(argv: Sequence[str] | None = None) -> None:
    """Train what is missing, then draw from the logs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--run-dir", type=Path, default=Path("runs/hopper"))
    parser.add_argument("--out", type=Path, default=Path("experiments/results/hopper"))
    parser.add_argument("--only-draw", action="store_true", help="from the logs in OUT")
    arguments = parser.parse_args(argv)
    if not arguments.only_draw:
        trials = make_trials([configure()], points([]), arguments.seeds)
        command = command_line("hopper.py", argv)
        sweep(trials, arguments.run_dir, tell=print, command=command)
        keep_logs(arguments.run_dir, arguments.out)
    found = read(arguments.out / "results.csv")
    draw(arguments.out / "curves.png", found)
    table = f"{write_table(found)}\n{origin(arguments.out)}\n"
    (arguments.out / "table.md").write_text(table)


def configure() -> Config:
    """The paper's regime, evaluated as often as the reference, with five episodes for its one."""
    config = preset("paper", "Hopper")
    loop = dataclasses.replace(
        config.loop,
        env_steps=config.loop.warmup_steps + int(STEPS[-1]),
        epoch_steps=500,
        eval_episodes=5,
    )
    return dataclasses.replace(config, loop=loop)


def reference() -> dict[str, np.ndarray]:
    """The reference as a run of this project logs it: λ as its mean since the evaluation before.

    Between two evaluations λ falls exponentially, by Adam's steps on its logarithm; the mean is
    then the difference over the difference of logarithms.
    """
    lam = np.insert(REFERENCE["lam"], 0, preset("paper", "Hopper").hyper.initial_lam, axis=1)
    return REFERENCE | {"lam": np.diff(lam) / np.diff(np.log(lam))}


def read(path: Path) -> dict[str, np.ndarray]:
    """Evaluations [seed, evaluation] of each quantity of ``REFERENCE``."""
    table = pd.read_csv(path)
    return {
        name: table.pivot(index="seed", columns="step", values=name).to_numpy()
        for name in REFERENCE
    }


def draw(path: Path, found: dict[str, np.ndarray]) -> None:
    """A panel for each quantity, a line for each seed."""
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    sources = {"reference (PyTorch)": (reference(), "tab:gray"), "algd-jax": (found, "tab:blue")}
    for axes, (name, label) in zip(figure.subplots(1, 3), LABELS.items(), strict=True):
        for source, (values, color) in sources.items():
            for i, line in enumerate(values[name]):
                axes.plot(STEPS, line, color=color, marker="o", label=None if i else source)
        axes.set(xlabel="environment steps after warm-up", ylabel=label)
        axes.grid(alpha=0.3)
    axes.set_yscale("log")
    axes.legend()
    figure.savefig(path, dpi=100)


def write_table(found: dict[str, np.ndarray]) -> str:
    """Means over seeds, with the lowest and highest, in Markdown."""
    lines = [
        "# Hopper beside the paper's PyTorch code",
        "",
        f"| | {' | '.join(f'{step:,} steps' for step in STEPS)} |",
        f"|---|{'---|' * len(STEPS)}",
    ]
    for name, label in LABELS.items():
        for source, values in (("reference", reference()[name]), ("algd-jax", found[name])):
            cells = [
                f"{column.mean():.3g} ({column.min():.3g} to {column.max():.3g})"
                for column in values.T
            ]
            lines.append(f"| {label}, {source}, {len(values)} seeds | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
