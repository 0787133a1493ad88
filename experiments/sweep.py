"""A small sweep from Python: how the cost limit and the penalty decide what a policy earns.

python experiments/sweep.py runs/limits
"""

import sys

import pandas as pd

from algd_jax.presets import preset
from algd_jax.runs.sweep import make_trials, points, sweep


def main(run_dir: str) -> pd.DataFrame:
    """Train every combination with two seeds; the mean final evaluations, feasible ones first."""
    configs = [preset("quick", "PointButton1", algorithm) for algorithm in ("algd", "cal")]
    trials = make_trials(configs, points(["cost_limit=5,10", "rho=0.5,2"]), seeds=2)
    sweep(trials, run_dir, tell=print)
    ends = pd.read_csv(f"{run_dir}/trials.csv")
    kinds = ends.groupby(["algorithm", "cost_limit", "rho"])
    means = kinds[["feasible", "return_mean", "cost_mean"]].mean()
    return means.sort_values(["feasible", "return_mean"], ascending=False)


if __name__ == "__main__":
    print(main(sys.argv[1]))
