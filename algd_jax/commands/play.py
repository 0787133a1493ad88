"""``algd play``: an environment, played."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from algd_jax.commands.answer import answer
from algd_jax.runs.arguments import parse
from algd_jax.runs.display import displayed
from algd_jax.runs.evaluate import Which
from algd_jax.runs.render.render import Look, play_env
from algd_jax.runs.tables import print_episodes


@dataclasses.dataclass
class Arguments:
    """Play an environment with random actions, or with the policy of a run.

    Attributes:
      env: name of the environment, or module:attribute.
      look: which episodes, and how they are shown.
      policy: folder of a run whose deterministic policy acts; by default actions are random.
      checkpoint: of that run: best (feasible) or last; by default best, else last.
      force: let the policy act in another environment than it was trained on.
      out: new file to draw the episodes into, as in algd render; by default nothing is drawn.
      json: print one JSON object and nothing else.
      debug: show the traceback of an error.
    """

    env: str
    look: Look = Look()
    policy: Path | None = None
    checkpoint: Which | None = None
    force: bool = False
    out: Path | None = None
    json: bool = False
    debug: bool = False


def run(argv: Sequence[str]) -> int:
    """``algd play``."""
    given = parse(Arguments, argv, "algd play")
    with displayed(given.json) as display:
        shown = play_env(
            given.env,
            given.look,
            given.policy,
            given.checkpoint,
            given.out,
            display,
            force=given.force,
        )
    answer(given.json, shown.figures(), lambda console: print_episodes(console, shown))
    return 0
