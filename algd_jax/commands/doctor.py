"""``algd doctor``: what this machine offers."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from algd_jax.commands.answer import answer
from algd_jax.runs.arguments import parse
from algd_jax.runs.doctor import examine
from algd_jax.runs.tables import print_findings


@dataclasses.dataclass
class Arguments:
    """Report devices, versions, compilation cache and memory, and what is wrong with its fix.

    Exit code 1 if something is.

    Attributes:
      json: print one JSON list and nothing else.
      debug: show the traceback of an error.
    """

    json: bool = False
    debug: bool = False


def run(argv: Sequence[str]) -> int:
    """``algd doctor``."""
    arguments = parse(Arguments, argv, "algd doctor")
    findings = examine()
    answer(
        arguments.json,
        [dataclasses.asdict(finding) for finding in findings],
        lambda console: print_findings(console, findings),
    )
    return int(any(finding.fix for finding in findings))
