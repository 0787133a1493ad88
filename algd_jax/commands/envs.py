"""``algd envs``: what there is to train on."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from algd_jax.commands.answer import answer
from algd_jax.envs import list_envs, make
from algd_jax.runs.arguments import parse
from algd_jax.runs.tables import print_specs


@dataclasses.dataclass
class Arguments:
    """List the environments.

    Attributes:
      json: print one JSON list and nothing else.
      debug: show the traceback of an error.
    """

    json: bool = False
    debug: bool = False


def run(argv: Sequence[str]) -> int:
    """``algd envs``."""
    arguments = parse(Arguments, argv, "algd envs")
    specs = [make(name).spec for name in list_envs()]
    answer(
        arguments.json,
        [dataclasses.asdict(spec) for spec in specs],
        lambda console: print_specs(console, specs),
    )
    return 0
