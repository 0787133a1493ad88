"""``algd render``: episodes of a run's policy, drawn."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from algd_jax.commands.answer import answer
from algd_jax.runs.arguments import parse
from algd_jax.runs.display import displayed
from algd_jax.runs.evaluate import Which
from algd_jax.runs.pretrained import default_out, place_pretrained
from algd_jax.runs.render.render import Look, render_run
from algd_jax.runs.tables import print_episodes


@dataclasses.dataclass
class Arguments:
    """Draw episodes of a run's policy: a video, a map with its path, or an interactive page.

    Attributes:
      run_dir: folder of the run.
      look: which episodes, and how they are shown.
      checkpoint: the policy: best (feasible) or last; by default best, else last.
      out: new file that ends in .mp4 (extra "video"), .gif, .html (extra "report") or .png; by
        default RUN_DIR/episodes.png.
      env: the run's environment again, needed if it is module:attribute, because that runs code.
      json: print one JSON object and nothing else.
      pretrained: a task whose policy comes with the package, instead of a run directory.
      debug: show the traceback of an error.
    """

    run_dir: Path
    look: Look = Look()
    checkpoint: Which | None = None
    out: Path | None = None
    env: str | None = None
    json: bool = False
    pretrained: str | None = None  # Only for the help: it becomes ``run_dir`` before.
    debug: bool = False


def run(argv: Sequence[str]) -> int:
    """``algd render``."""
    given = parse(Arguments, place_pretrained(argv), "algd render")
    out = given.out or default_out(given.run_dir, "episodes.png")
    with displayed(given.json) as display:
        shown = render_run(given.run_dir, given.look, given.checkpoint, out, given.env, display)
    answer(given.json, shown.figures(), lambda console: print_episodes(console, shown))
    return 0
