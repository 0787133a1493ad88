"""What experiments share: the logs of their sweeps, kept and described, and rows of tables."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from algd_jax.presets import preset

_LOGS = ("sweep.json", "results.csv", "trials.csv", "trials/*/config.json")
"""What is kept of a sweep: all that a comparison reads, and where it came from."""


def command_line(file: str, argv: Sequence[str] | None) -> list[str]:
    """How an experiment was called, for the record; ``argv`` is None on the command line."""
    return ["python", f"experiments/{file}", *(sys.argv[1:] if argv is None else argv)]


def keep_logs(run_dir: Path, target: Path) -> None:
    """Copy the small files of a sweep."""
    for path in (path for pattern in _LOGS for path in run_dir.glob(pattern)):
        copy = target / path.relative_to(run_dir)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)


def describe_budgets(folders: Sequence[Path]) -> str:
    """Regime and share of its environment steps that the sweeps were trained for, in words."""
    found = {}
    for folder in folders:
        run = json.loads((folder / "sweep.json").read_text())["trials"][0]["config"]
        whole = preset(run["preset"], run["env"], run["algorithm"]).epochs
        loop = run["loop"]
        epochs = (loop["env_steps"] - loop["warmup_steps"]) // loop["epoch_steps"]
        found[f"{epochs / whole:.0%} of the budget of preset {run['preset']}"] = None
    return ", ".join(found)


def table_row(cells: Sequence[str]) -> str:
    """A row of a table in Markdown."""
    return f"| {' | '.join(cells)} |"
