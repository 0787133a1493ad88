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
    for pair in arguments.sweeps:
        name, _, run_dir = pair.partition("=")
        keep_logs(Path(run_dir), arguments.out / name)
    try:
        draw_comparison(arguments.out, arguments.title)
    except ConfigError as error:
        raise SystemExit(f"describe.py: {error}") from error


if __name__ == "__main__":
    main()
