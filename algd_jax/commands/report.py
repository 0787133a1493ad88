"""``algd report``: one page of a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from algd_jax.runs.arguments import parse
from algd_jax.runs.display import working
from algd_jax.runs.pretrained import default_out, place_pretrained
from algd_jax.runs.report.report import EPISODES, save_report
from algd_jax.runs.tables import make_console


@dataclasses.dataclass
class Arguments:
    """Write one HTML page of a run (curves, an episode, critics, denoising, evaluation,
    configuration) or of a sweep (curves, return against cost, trials).

    Needs Plotly: the extra "report".

    Attributes:
      folder: of the run or the sweep.
      out: new file; by default FOLDER/report.html.
      episodes: played to see how true a run's critics are; 0 plays none, and is quick.
      env: the run's environment again, needed if it is module:attribute, because that runs code.
      pretrained: a task whose policy comes with the package, instead of a run directory.
      debug: show the traceback of an error.
    """

    folder: Path
    out: Path | None = None
    episodes: int = EPISODES
    env: str | None = None
    pretrained: str | None = None  # Only for the help: it becomes ``folder`` before.
    debug: bool = False


def run(argv: Sequence[str]) -> int:
    """``algd report``."""
    arguments = parse(Arguments, place_pretrained(argv), "algd report")
    out = arguments.out or default_out(arguments.folder, "report.html")
    with working() as display:
        path = save_report(arguments.folder, out, arguments.episodes, arguments.env, display)
    make_console().print(str(path), soft_wrap=True)
    return 0
