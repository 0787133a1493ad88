"""A first run from Python: train, look at the numbers, evaluate, draw.

    python examples/first_run.py runs/example

A quarter of what `algd train` does on PointButton1: enough to press buttons, not to press them
well. Expect a minute and a half on two CPU cores. The folder is an ordinary run directory: every
`algd` command works on it, and `algd train --resume runs/example --env-steps 200000` goes on.
"""

import dataclasses
import sys
from pathlib import Path

import matplotlib.pyplot as plt

import algd_jax
from algd_jax.presets import preset


def configuration(env_steps: int) -> algd_jax.Config:
    """The preset of `algd train`, shorter; any other field can be changed in the same way."""
    config = preset("quick", "PointButton1")
    return dataclasses.replace(config, loop=dataclasses.replace(config.loop, env_steps=env_steps))


def draw(run: algd_jax.Run, file: Path) -> None:
    """Return and cost of the evaluations over environment steps, with the limit."""
    figure, (upper, lower) = plt.subplots(2, sharex=True, layout="constrained")
    run.metrics.plot("step", "eval_return", ax=upper, ylabel="return", legend=False)
    run.metrics.plot("step", "eval_cost", ax=lower, ylabel="cost", legend=False)
    lower.axhline(run.config.hyper.cost_limit, linestyle="--", color="tab:red")
    figure.savefig(file)
    plt.close(figure)


def main(config: algd_jax.Config, folder: Path) -> algd_jax.Run:
    run = algd_jax.train(config, folder)
    print(run.metrics[["step", "eval_return", "eval_cost", "lam"]].to_string(index=False))
    summary = run.evaluate(episodes=10, seed=1)  # Other episodes than those of the training.
    print(f"return {summary.return_mean:.1f}, cost {summary.cost_mean:.1f}, {summary.feasible=}")
    draw(run, folder / "example.png")
    return run


if __name__ == "__main__":
    main(configuration(env_steps=50_000), Path(sys.argv[1]))
