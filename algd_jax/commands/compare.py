"""``algd compare``: runs and sweeps side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import tyro

from algd_jax.commands.answer import answer
from algd_jax.runs.arguments import parse
from algd_jax.runs.compare.compare import compare_folders
from algd_jax.runs.display import working
from algd_jax.runs.tables import print_comparison


@dataclasses.dataclass
class Arguments:
    """Compare finished runs by their configurations: interquartile means with bootstrap intervals.

    What the runs of one configuration do not share is their seed (docs/comparing.md).

    Attributes:
      folders: sweep directories and run directories, before any flag.
      out: new folder for the numbers and pictures; by default nothing is written.
      html: write an interactive page too (needs Plotly: the extra "report").
      json: print one JSON object and nothing else.
      debug: show the traceback of an error.
    """

    folders: tyro.conf.Positional[tuple[Path, ...]] = ()
    out: Path | None = None
    html: bool = False
    json: bool = False
    debug: bool = False


def run(argv: Sequence[str]) -> int:
    """``algd compare``."""
    arguments = parse(Arguments, argv, "algd compare")
    with working() as display:
        comparison, files = compare_folders(
            arguments.folders, arguments.out, arguments.html, display
        )
    written = {"files": [str(path) for path in files.values()]}
    answer(
        arguments.json,
        comparison.figures() | written,
        lambda console: print_comparison(console, comparison, files.values()),
    )
    return 0
