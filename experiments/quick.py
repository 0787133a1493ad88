"""What the ``quick`` preset reaches, seed by seed, by the command a user would type.

    python experiments/quick.py --seeds 0 1 2 3 4 --out experiments/results/quick

Each seed is a process of its own with an empty compilation cache, so its wall time is that of a
first run: start, compilation, training and final evaluation.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

KEPT = ("config.json", "metrics.jsonl", "evaluation.json", "curves.png")


def main() -> None:
    """Run the seeds and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--out", type=Path, default=Path("experiments/results/quick"))
    arguments = parser.parse_args()
    for seed in arguments.seeds:
        run_seed(seed, arguments.out / f"seed{seed}")
    write_table(arguments.out)


def run_seed(seed: int, target: Path) -> None:
    """Train one seed and keep its small files, with the wall time [s] of the whole command."""
    with tempfile.TemporaryDirectory() as scratch:
        environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(Path(scratch) / "cache")}
        command = [sys.executable, "-m", "algd_jax", "train", "--seed", str(seed)]
        start = time.perf_counter()
        # Run beside its folder, so that the record of the command names no place.
        subprocess.run([*command, "--run-dir", "run"], check=True, env=environment, cwd=scratch)
        seconds = time.perf_counter() - start
        target.mkdir(parents=True, exist_ok=True)
        for name in KEPT:
            shutil.copy(Path(scratch) / "run" / name, target / name)
    (target / "wall_time.json").write_text(json.dumps({"seconds": round(seconds, 1)}) + "\n")


def write_table(out: Path) -> None:
    """Summarise every seed found in ``out`` as Markdown, medians last."""
    rows = []
    for folder in sorted(out.glob("seed*")):
        evaluation = json.loads((folder / "evaluation.json").read_text())
        seconds = json.loads((folder / "wall_time.json").read_text())["seconds"]
        figures = (evaluation["return_mean"], evaluation["cost_mean"], seconds)
        rows.append((folder.name.removeprefix("seed"), *figures, evaluation["step"]))
    medians = [statistics.median(column) for column in list(zip(*rows, strict=True))[1:]]
    lines = [
        "| seed | return | cost | wall time [s] | best policy at step |",
        "|---|---|---|---|---|",
    ]
    for seed, return_mean, cost_mean, seconds, step in [*rows, ("median", *medians)]:
        lines.append(
            f"| {seed} | {return_mean:.1f} | {cost_mean:.1f} | {seconds:.0f} | {step:,.0f} |"
        )
    table = "\n".join(lines) + "\n"
    (out / "table.md").write_text(f"# The runs\n\n{table}")
    print(table)


if __name__ == "__main__":
    main()
