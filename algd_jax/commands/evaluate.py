"""``algd evaluate``: return and cost of a trained policy."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from algd_jax.commands.answer import answer
from algd_jax.runs.arguments import parse
from algd_jax.runs.display import working
from algd_jax.runs.evaluate import Which, evaluate_run
from algd_jax.runs.pretrained import place_pretrained
from algd_jax.runs.tables import print_summary


@dataclasses.dataclass
class Arguments:
    """Evaluate the policy of a run: its best feasible one, or the last if none was feasible.

    Attributes:
      run_dir: folder of the run.
      episodes: number of episodes; by default as many as the run's own final evaluation.
      seed: of the episodes; by default the run's, which repeats its final evaluation.
      checkpoint: the policy to take instead: best (feasible) or last.
      env: the run's environment again, needed if it is module:attribute, because that runs code.
      json: print one JSON object and nothing else.
      pretrained: a task whose policy comes with the package, instead of a run directory.
      debug: show the traceback of an error.
    """

    run_dir: Path
    episodes: int | None = None
    seed: int | None = None
    checkpoint: Which | None = None
    env: str | None = None
    json: bool = False
    pretrained: str | None = None  # Only for the help: it becomes ``run_dir`` before.
    debug: bool = False


def run(argv: Sequence[str]) -> int:
    """``algd evaluate``."""
    arguments = parse(Arguments, place_pretrained(argv), "algd evaluate")
    with working() as display:
        summary = evaluate_run(
            arguments.run_dir,
            arguments.checkpoint,
            arguments.episodes,
            arguments.seed,
            arguments.env,
            display,
        )
    answer(arguments.json, summary.figures(), lambda console: print_summary(console, summary))
    return 0
