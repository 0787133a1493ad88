"""Synthetic sweeps: tables as a sweep writes them, with known structure."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd

from algd_jax.config import Config
from algd_jax.runs.directory import RunDirectory, write_json


def make_table(
    envs=("EnvA",),
    algorithms=("algd",),
    rhos=(1.0,),
    seeds=5,
    epochs=12,
    cost_limit=10.0,
    seed=0,
) -> pd.DataFrame:
    """Returns that rise to 20 + 5 · rho, costs that fall to 5 · rho, with noise over seeds."""
    rng = np.random.default_rng(seed)
    rows = []
    trials = itertools.product(envs, algorithms, rhos, range(seeds))
    for number, (env, algorithm, rho, run) in enumerate(trials):
        slow = 1 + algorithms.index(algorithm)
        talent, luck = rng.normal(0, 2), rng.normal(0, 1)
        for epoch in range(1, epochs + 1):
            done = 1 - np.exp(-4 * epoch / epochs / slow)
            cost = max(0.0, 30 * (1 - done) + 5 * rho + luck + rng.normal(0, 0.5))
            rows.append(
                {
                    "trial": f"t{number:03d}",
                    "env": env,
                    "algorithm": algorithm,
                    "rho": rho,
                    "seed": run,
                    "step": 1000 * epoch,
                    "return": (20 + 5 * rho + talent) * done + rng.normal(0, 0.5),
                    "cost": cost,
                    "cost_limit": cost_limit,
                    "lam": 1.0 / epoch,
                    "feasible": cost <= cost_limit,
                    "wall_time": 2.0 * epoch,
                    "status": "done",
                }
            )
    return pd.DataFrame(rows)


def write_sweep(folder: Path, table: pd.DataFrame) -> Path:
    """A sweep directory that holds the table."""
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / "results.csv", index=False)
    return folder


def write_run(
    folder: Path,
    config: Config,
    table: pd.DataFrame,
    done: bool = True,
    cost: str = "eval_cost",
    lam: str = "lam",
) -> Path:
    """A run directory whose log holds the rows of one trial."""
    directory = RunDirectory(folder)
    directory.create(config, ["algd", "train"])
    for row in table.to_dict("records"):
        record = {"step": row["step"], "eval_return": row["return"], cost: row["cost"]}
        record |= {lam: row["lam"], "wall_time": row["wall_time"]}
        with directory.metrics_file.open("a") as file:
            file.write(json.dumps(record) + "\n")
    if done:
        write_json(directory.evaluation_file, {})
    return folder
