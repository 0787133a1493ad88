"""What came out of sweeps that were started by hand: a table, a figure and the numbers.

    algd sweep --preset throughput --env PointButton1 --seeds 4 --run-dir runs/h200
    python experiments/describe.py experiments/results/h200 --title "An H200" \\
        --sweeps PointButton1/float32=runs/h200
    python experiments/describe.py experiments/results/h200 --title "An H200"

Keeps the logs of each sweep in OUT/TASK/NAME and makes ``table.md``, ``curves.png`` and
``comparison.json`` from all that are there.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from algd_jax.errors import ConfigError
from experiments.logs import draw_comparison, keep_logs


def main(argv: Sequence[str] | None = None) -> None:
    """Keep what is named, then draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--title", required=True, help="heading of the table")
    parser.add_argument("--sweeps", nargs="+", default=[], metavar="TASK/NAME=RUN_DIR")
    arguments = parser.parse_args(argv)
    try:
        for pair in arguments.sweeps:
            name, run_dir = read_pair(pair)
            keep_logs(run_dir, arguments.out / name)
        draw_comparison(arguments.out, arguments.title)
    except ConfigError as error:
        raise SystemExit(f"describe.py: {error}") from error


def read_pair(text: str) -> tuple[str, Path]:
    """What a sweep shall be called, and where it is.

    Raises:
      ConfigError: if it is not TASK/NAME=RUN_DIR, or there is no sweep.
    """
    name, _, run_dir = text.partition("=")
    if len(Path(name).parts) != 2 or not (Path(run_dir) / "sweep.json").is_file():
        allowed = "TASK/NAME=RUN_DIR of a sweep"
        raise ConfigError(f"--sweeps: got {text}, allowed is {allowed}")
    return name, Path(run_dir)


if __name__ == "__main__":
    main()
