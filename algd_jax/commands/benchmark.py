"""``algd benchmark``: what it costs on this machine."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import tyro

from algd_jax.runs.arguments import parse
from algd_jax.runs.benchmark import run_benchmarks
from algd_jax.runs.tables import make_console


@dataclasses.dataclass
class Arguments:
    """Measure speed and memory on this machine; the benchmarks are part of the source checkout.

    Programs are compiled anew, so that compile times are true, unless --cached. See
    benchmarks/README.md.

    Attributes:
      names: which benchmarks, before any flag; all by default.
      json: new file for the results, with device, versions, commit and command.
      cached: take compiled programs from the cache, and leave them there, for a device that is paid
        by the second; compile times are then those of fetching.
      quick: only show that they work, at small sizes and with few repeats.
      debug: show the traceback of an error.
    """

    names: tyro.conf.Positional[tuple[str, ...]] = ()
    json: Path | None = None
    cached: bool = False
    quick: bool = False
    debug: bool = False


def run(argv: Sequence[str]) -> int:
    """``algd benchmark``."""
    arguments = parse(Arguments, argv, "algd benchmark")
    command = ["algd", "benchmark", *argv]
    run_benchmarks(
        arguments.names,
        quick=arguments.quick,
        cached=arguments.cached,
        path=arguments.json,
        console=make_console(),
        command=command,
    )
    return 0
