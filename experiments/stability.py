"""The paper's claim on real tasks: does the augmented Lagrangian train more steadily and safely?

    python experiments/paper.py --preset quick --seeds 5 --tasks PointButton1 HalfCheetah \\
        --methods algd diffusion_lagrangian --out experiments/results/stability
    python experiments/stability.py experiments/results/stability

Reads the logs of ``paper.py`` and writes ``stability.md`` beside them, of every method there is,
and ``stability.png``, of the two that the claim is about. Of every run, over all evaluations during
training:

* violation: mean of the cost above the limit (0 where it is below), [cost / episode]: the area
  above the limit over the number of evaluations;
* swing of the cost and of λ: mean absolute change from one evaluation to the next;
* after: the share of evaluations above the limit, once the cost has first been below it;
* last return, last cost.

A second table counts the final policies that are safe and good.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from algd_jax.runs.compare.reading import read_runs
from algd_jax.runs.compare.statistics import estimate, improvement, mean
from algd_jax.runs.compare.words import interval_text
from experiments.logs import describe_budgets, origin, sweep_folders, table_head, table_row
from experiments.time_to_safe import THRESHOLDS

MEASURES = {
    "violation": "violation [cost / episode]",
    "cost_swing": "swing of the cost",
    "lam_swing": "swing of λ",
    "after": "share above the limit, after it was first kept",
    "last_return": "last return",
    "last_cost": "last cost",
}
"""What is measured of every run; of all but the return less is better."""

CLAIM = ("algd", "diffusion_lagrangian")
"""The methods that the paper's claim is about: augmented and plain Lagrangian."""

_POLICY_COLUMNS = (
    "task",
    "configuration",
    "mean return",
    "mean cost",
    "runs",
    "within the limit",
    "and good",
    "good is",
)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure the logs of a folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="what paper.py was given as --out")
    out = parser.parse_args(argv).out
    folders = sweep_folders(out)
    epochs = pd.concat(
        [read_runs([folder]).epochs.assign(configuration=folder.name) for folder in folders]
    )
    policies = pd.concat(
        [pd.read_csv(folder / "trials.csv").assign(configuration=folder.name) for folder in folders]
    )
    budget = describe_budgets(folders)
    tables = write_tables(measure_runs(epochs), budget).rstrip()
    sources = "\n".join(map(origin, folders))
    (out / "stability.md").write_text(f"{tables}\n\n{write_policies(policies)}\n{sources}\n")
    draw(out / "stability.png", epochs[epochs.configuration.isin(CLAIM)], budget)


def measure_runs(epochs: pd.DataFrame) -> pd.DataFrame:
    """A row for each run, with a column for each of ``MEASURES``."""
    keys = ["env", "configuration", "seed"]
    rows = [
        dict(zip(keys, names, strict=True)) | measure(run.sort_values("step"))
        for names, run in epochs.groupby(keys)
    ]
    return pd.DataFrame(rows)


def measure(run: pd.DataFrame) -> dict[str, float]:
    """One run, its evaluations in order."""
    cost, lam = run.cost.to_numpy(), run.lam.to_numpy()
    above = cost > run.cost_limit.to_numpy()
    kept = np.flatnonzero(~above)
    return {
        "violation": float(np.maximum(cost - run.cost_limit, 0).mean()),
        "cost_swing": float(np.abs(np.diff(cost)).mean()),
        "lam_swing": float(np.abs(np.diff(lam)).mean()),
        "after": float(above[kept[0] :].mean()) if len(kept) else 1.0,
        "last_return": float(run["return"].iloc[-1]),
        "last_cost": float(cost[-1]),
    }


def write_tables(runs: pd.DataFrame, budget: str) -> str:
    """A table for each task, in Markdown: means over seeds with 95 % bootstrap intervals."""
    lines = [f"# Stability: {budget}", ""]
    for env, part in runs.groupby("env"):
        names = sorted(part.configuration.unique())
        lines += [f"{env}, means over seeds with 95 % bootstrap intervals", ""]
        lines += table_head(["", *names])
        for measure_name, words in MEASURES.items():
            cells = [mean_text(part[part.configuration == name][measure_name]) for name in names]
            lines.append(table_row([words, *cells]))
        counts = part.groupby("configuration").seed.nunique()
        lines += [table_row(["seeds", *(str(counts[name]) for name in names)]), ""]
        if set(CLAIM) <= set(names):
            lines += [*_probabilities(part, *CLAIM), ""]
    return "\n".join(lines)


def write_policies(policies: pd.DataFrame) -> str:
    """How many of the runs' final policies, evaluated anew, are safe, and good as well.

    Args:
      policies: rows of ``trials.csv`` with their ``configuration``, the name of the sweep's folder;
        good is what ``time_to_safe.THRESHOLDS`` calls so.
    """
    lines = [
        "Final policies, each the best feasible of its run (else its last), evaluated anew",
        "",
        *table_head(_POLICY_COLUMNS),
    ]
    for (env, configuration), part in policies.groupby(["env", "configuration"]):
        threshold = THRESHOLDS.get(env)
        good = part.feasible.eq(True) & (part.return_mean >= (threshold or 0.0))
        words = ["-", "-"] if threshold is None else [str(good.sum()), f"return ≥ {threshold:g}"]
        means = [f"{part.return_mean.mean():.4g}", f"{part.cost_mean.mean():.4g}"]
        counts = [*means, str(len(part)), str(part.feasible.eq(True).sum())]
        lines.append(table_row([env, configuration, *counts, *words]))
    return "\n".join([*lines, ""])


def _probabilities(part: pd.DataFrame, first: str, second: str) -> list[str]:
    """For each measure, how likely a run of the first is lower than one of the second."""
    a, b = part[part.configuration == first], part[part.configuration == second]
    strata = np.zeros(len(a), int), np.zeros(len(b), int)
    return [
        f"* {words}: P(lower with {first} than with {second}) = "
        + interval_text(improvement(-a[name].to_numpy(), -b[name].to_numpy(), *strata))
        for name, words in MEASURES.items()
    ]


def mean_text(values: pd.Series) -> str:
    """The mean over seeds with its 95 % bootstrap interval."""
    found = estimate(values.to_numpy(), np.zeros(len(values), int), mean)
    bounds = "" if found.low is None else f" [{found.low:.3g}, {found.high:.3g}]"
    return f"{found.value:.3g}{bounds}"


def draw(path: Path, epochs: pd.DataFrame, budget: str) -> None:
    """Return, cost and λ of every single run: what a mean over seeds would hide."""
    envs = sorted(epochs.env.unique())
    figure = Figure(figsize=(12, 1 + 3.2 * len(envs)), layout="constrained")
    panels = figure.subplots(len(envs), 3, squeeze=False)
    for row, env in zip(panels, envs, strict=True):
        for axes, quantity in zip(row, ("return", "cost", "lam"), strict=True):
            _draw_runs(axes, epochs[epochs.env == env], quantity)
            axes.set(title=f"{env}: {'λ' if quantity == 'lam' else quantity}")
            axes.set_xlabel("environment steps")
            axes.grid(alpha=0.3)
        row[1].axhline(
            epochs[epochs.env == env].cost_limit.iloc[0], color="tab:red", ls="--", label="limit"
        )
        row[1].legend(fontsize="small")
    figure.suptitle(f"every seed; {budget}")
    figure.savefig(path, dpi=90)


def _draw_runs(axes: Axes, part: pd.DataFrame, quantity: str) -> None:
    for color, name in zip(("#0072B2", "#E69F00"), CLAIM, strict=True):
        label: str | None = name
        for _, run in part[part.configuration == name].groupby("seed"):
            run = run.sort_values("step")
            axes.plot(run.step, run[quantity], color=color, alpha=0.5, lw=1, label=label)
            label = None


if __name__ == "__main__":
    main()
