"""``algd watch``: a run, followed from another terminal."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from algd_jax.runs.arguments import parse
from algd_jax.runs.display import PlainDisplay, make_display
from algd_jax.runs.watch import watch


@dataclasses.dataclass
class Arguments:
    """Follow a run from another terminal, until its last evaluation is written or Ctrl-C.

    Attributes:
      run_dir: folder of the run.
      once: show how the run stands now, and nothing more.
      debug: show the traceback of an error.
    """

    run_dir: Path
    once: bool = False
    debug: bool = False


def run(argv: Sequence[str]) -> int:
    """``algd watch``; Ctrl-C ends it, and the run goes on."""
    arguments = parse(Arguments, argv, "algd watch")
    display = PlainDisplay() if arguments.once else make_display()
    with contextlib.suppress(KeyboardInterrupt):
        watch(arguments.run_dir, display, arguments.once)
    return 0
