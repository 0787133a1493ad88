"""``algd landscape``: both Lagrangians around a policy."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from algd_jax.commands.answer import answer
from algd_jax.runs.arguments import parse
from algd_jax.runs.display import working
from algd_jax.runs.evaluate import Which
from algd_jax.runs.landscape import View, save_landscape
from algd_jax.runs.pretrained import default_out, place_pretrained
from algd_jax.runs.tables import print_landscape


@dataclasses.dataclass
class Arguments:
    """Draw both Lagrangians over the actions at one state, and measure how they curve.

    Attributes:
      run_dir: folder of the run.
      view: what to look at, and how closely.
      checkpoint: the policy: best (feasible) or last; by default best, else last.
      out: folder to write to; by default RUN_DIR/landscape.
      html: write an interactive page too (needs Plotly: the extra "report").
      env: the run's environment again, needed if it is module:attribute, because that runs code.
      json: print one JSON object and nothing else.
      pretrained: a task whose policy comes with the package, instead of a run directory.
      debug: show the traceback of an error.
    """

    run_dir: Path
    view: View = View()
    checkpoint: Which | None = None
    out: Path | None = None
    html: bool = False
    env: str | None = None
    json: bool = False
    pretrained: str | None = None  # Only for the help: it becomes ``run_dir`` before.
    debug: bool = False


def run(argv: Sequence[str]) -> int:
    """``algd landscape``."""
    arguments = parse(Arguments, place_pretrained(argv), "algd landscape")
    out = arguments.out or default_out(arguments.run_dir, "landscape")
    with working() as display:
        figures = save_landscape(
            arguments.run_dir,
            arguments.view,
            arguments.checkpoint,
            out,
            arguments.html,
            arguments.env,
            display,
        )
    answer(arguments.json, figures, lambda console: print_landscape(console, figures))
    return 0
