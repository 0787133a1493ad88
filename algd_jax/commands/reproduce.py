"""``algd reproduce``: a run made again, compared bit by bit."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from algd_jax.commands.answer import answer
from algd_jax.runs.arguments import parse
from algd_jax.runs.display import displayed
from algd_jax.runs.reproduce import reproduce
from algd_jax.runs.tables import print_reproduction


@dataclasses.dataclass
class Arguments:
    """Train again from the seed of a run, and compare every epoch and the last policy bit by bit.

    Nothing in the run's folder changes. Ends at the first difference, with exit code 1.

    Attributes:
      run_dir: folder of the run.
      epochs: how many to compare, from the first; by default as many as the run has made.
      env: the run's environment again, needed if it is module:attribute, because that runs code.
      json: print one JSON object and nothing else.
      debug: show the traceback of an error.
    """

    run_dir: Path
    epochs: int | None = None
    env: str | None = None
    json: bool = False
    debug: bool = False


def run(argv: Sequence[str]) -> int:
    """``algd reproduce``."""
    arguments = parse(Arguments, argv, "algd reproduce")
    with displayed(arguments.json) as display:
        found = reproduce(arguments.run_dir, arguments.epochs, arguments.env, display)
    answer(arguments.json, found.record(), lambda console: print_reproduction(console, found))
    return 0 if found.equal else 1
