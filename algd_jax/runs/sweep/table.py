"""The tables of a sweep, made from the directories of its trials."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from algd_jax.config import Config
from algd_jax.errors import ConfigError
from algd_jax.files import read_json, replace
from algd_jax.runs.logs import Record, is_feasible, log_name, read_records
from algd_jax.runs.sweep.directory import RUNNING, SweepDirectory
from algd_jax.runs.sweep.plan import Plan, Trial
from algd_jax.types import TOTAL_COST

_LARGEST_RECORD = 2**20


def write_tables(directory: SweepDirectory, plan: Plan) -> None:
    """Write ``results.csv``, ``results.parquet`` and ``trials.csv`` anew."""
    import pandas as pd  # Here, because it is slow to load and training begins without.

    with directory.tabulating():
        epochs = [row for trial in plan.trials for row in _epoch_rows(directory, trial)]
        ends = [_end_row(directory, trial) for trial in plan.trials]
        table, parquet = pd.DataFrame(epochs), io.BytesIO()
        table.to_parquet(parquet, index=False)
        replace(directory.results_parquet, parquet.getvalue())
        replace(directory.results_csv, table.to_csv(index=False).encode())
        replace(directory.trials_csv, pd.DataFrame(ends).to_csv(index=False).encode())


def is_complete(directory: SweepDirectory, plan: Plan, program: int) -> bool:
    """Whether nothing is left to do for a program's trials."""
    return all(directory.trial(trial).status != RUNNING for trial in plan.members(program))


def _epoch_rows(directory: SweepDirectory, trial: Trial) -> list[dict[str, Any]]:
    """A row for each epoch made; one of step 0 and without results if there is none."""
    common = _identity(trial) | {"status": directory.trial(trial).status}
    records = read_records(directory.trial(trial).metrics_file)
    return [common | _results(record, trial.config) for record in records] or [
        common | _results({"step": 0}, trial.config)
    ]


def _identity(trial: Trial) -> dict[str, Any]:
    """What tells trials apart."""
    config = trial.config
    limits = {_column("cost_limit", name, config): limit for name, limit in config.limits.items()}
    swept = {name: getattr(config.hyper, name) for name in trial.swept if name != "cost_limit"}
    names = {"trial": trial.name, "env": config.env, "algorithm": config.algorithm}
    return names | swept | limits | {"seed": config.seed}


def _results(record: Record, config: Config) -> dict[str, Any]:
    quantities = {"cost": "eval_cost", "lam": "lam"}
    numbers = {
        _column(column, name, config): record.get(log_name(quantity, name), np.nan)
        for column, quantity in quantities.items()
        for name in config.constraints
    }
    return {
        "step": record["step"],
        "return": record.get("eval_return", np.nan),
        **numbers,
        "feasible": "eval_return" in record and is_feasible(record, config.limits),
        "wall_time": record.get("wall_time", np.nan),
    }


def _end_row(directory: SweepDirectory, trial: Trial) -> dict[str, Any]:
    """A trial with its final evaluation, or when and why there is none."""
    files = directory.trial(trial)
    row = _identity(trial) | {"status": files.status}
    evaluation = _read(files.evaluation_file)
    names = ("checkpoint", "step", "episodes", "return_mean", "return_std", "cost_mean", "cost_std")
    row |= {name: evaluation.get(name) for name in (*names, "within_limit", "feasible")}
    row["pruned_at"] = _read(files.pruned_file).get("step")
    return row | {"failure": _read(files.failure_file).get("reason")}


def _column(quantity: str, cost: str, config: Config) -> str:
    """The only limited cost has the plain name."""
    return log_name(quantity, TOTAL_COST if len(config.constraints) == 1 else cost)


def _read(path: Any) -> dict[str, Any]:
    try:
        record = read_json(path, _LARGEST_RECORD)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from error
    return record if isinstance(record, dict) else {}
