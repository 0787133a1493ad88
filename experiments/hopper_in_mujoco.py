"""Do policies trained on this project's Hopper earn the same in MuJoCo's own?

    pip install "gymnasium[mujoco]"
    python experiments/hopper_in_mujoco.py runs/hopper

Plays the deterministic policies of a sweep of ``hopper.py`` in Gymnasium's ``Hopper-v5``, which
MuJoCo simulates in float64, and compares with each run's own final evaluation. Writes
``in_mujoco.md``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import gymnasium
import numpy as np

from algd_jax import Policy, Run
from algd_jax.runs.provenance import provenance
from experiments.logs import command_line, table_row

EPISODES = 20
DISCOUNT = 0.99


class Episode(NamedTuple):
    """Return, discounted sum of speeds, and length [steps] of one episode."""

    total: float
    cost: float
    steps: int


def main(argv: Sequence[str] | None = None) -> None:
    """Play every run of the sweep and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sweep", type=Path, help="RUN_DIR of hopper.py")
    parser.add_argument("--out", type=Path, default=Path("experiments/results/hopper"))
    arguments = parser.parse_args(argv)
    env = gymnasium.make("Hopper-v5")
    runs = [Run.load(path) for path in sorted((arguments.sweep / "trials").iterdir())]
    lines = [
        "# Policies of Hopper in MuJoCo's own simulation",
        "",
        table_row(["seed", "return, MJX", "return, MuJoCo", "cost, MJX", "cost, MuJoCo", "steps"]),
        table_row(["---"] * 6),
        *(_row(run, [play(env, run.policy, seed) for seed in range(EPISODES)]) for run in runs),
    ]
    record = provenance(command_line("hopper_in_mujoco.py", argv))
    origin = (
        f"`{' '.join(record['command'])}`, {EPISODES} episodes each, commit "
        f"{record['git_commit']}, {record['device']['kind']}, JAX {record['versions']['jax']}, "
        f"MuJoCo {record['versions']['mujoco']}, {record['start_time']}"
    )
    (arguments.out / "in_mujoco.md").write_text("\n".join([*lines, "", origin, ""]))


def play(env: gymnasium.Env, policy: Policy, seed: int) -> Episode:
    """One episode of the deterministic policy."""
    obs, _ = env.reset(seed=seed)
    total, cost, steps, over = 0.0, 0.0, 0, False
    while not over:
        action = np.asarray(policy(obs.astype(np.float32)))
        obs, reward, terminated, truncated, info = env.step(action)
        total += float(reward)
        cost += DISCOUNT**steps * abs(info["x_velocity"])
        steps += 1
        over = terminated or truncated
    return Episode(total, cost, steps)


def _row(run: Run, episodes: Sequence[Episode]) -> str:
    """A run's own evaluation beside these episodes."""
    own = run.evaluation
    totals, costs, steps = (np.array(column) for column in zip(*episodes, strict=True))
    cells = (
        f"{own['return_mean']:.1f} ± {own['return_std']:.1f}",
        f"{totals.mean():.1f} ± {totals.std():.1f}",
        f"{own['cost_mean']:.1f} ± {own['cost_std']:.1f}",
        f"{costs.mean():.1f} ± {costs.std():.1f}",
        f"{steps.mean():.0f}",
    )
    return table_row([str(run.config.seed), *cells])


if __name__ == "__main__":
    main()
