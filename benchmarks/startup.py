"""How long from the start of algd train until its first update, cold and warm?

Timed, in a process of its own each: the command line as a user types it, from the start of the
process until the lines it prints; first with an empty compilation cache (cold), then again with
what the first left there (warm). Its first epoch is two steps of the loop, so that it ends as soon
as updates have been made. Compiling and warm-up overlap and are one phase.
"""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks import Row
from benchmarks.processes import environment
from benchmarks.timing import Spread

# The command itself, with a line as soon as what it begins by importing is there.
_COMMAND = """
import sys
from algd_jax import cli
cli.prepare_jax()
import algd_jax.commands.train
print("imported", flush=True)
sys.exit(cli.main())
"""

_PHASES = {
    "import": "imported",
    "build": "compiling and warming up ...",
    "compile_and_warm_up": "training ...",
    "first_epoch": "evaluating ...",
}
"""Phases by the line that ends each."""


@dataclasses.dataclass(frozen=True)
class Sizes:
    """What is measured.

    Attributes:
      flags: of ``algd train``.
      repeats: n, of a cold start and a warm one each.
    """

    flags: tuple[str, ...] = ("--env", "PointButton1", "--preset", "quick", "--epoch-steps", "64")
    repeats: int = 3


QUICK = Sizes(repeats=1)


def run(sizes: Sizes = Sizes()) -> list[Row]:
    """A row for cold starts and one for warm ones."""
    starts: dict[str, list[list[float]]] = {"cold": [], "warm": []}
    for _ in range(sizes.repeats):
        with tempfile.TemporaryDirectory() as scratch:
            for kind, moments in starts.items():
                moments.append(start(sizes.flags, Path(scratch), kind))
    return [{"start": kind, **_phases(moments)} for kind, moments in starts.items()]


def start(flags: Sequence[str], scratch: Path, name: str) -> list[float]:
    """Seconds from the start of one process to the end of each phase; it is ended then.

    Args:
      flags: of ``algd train``.
      scratch: folder of the compilation cache and of the run ``name``.
      name: folder of the run.

    Raises:
      RuntimeError: with the last line of its complaint, if the command fails.
    """
    command = [sys.executable, "-c", _COMMAND, "train", *flags, "--run-dir", name]
    complaint = scratch / f"{name}.txt"
    clock = time.perf_counter()
    with (
        complaint.open("w") as stderr,
        subprocess.Popen(
            command,
            cwd=scratch,
            env=environment(
                JAX_COMPILATION_CACHE_DIR=str(scratch / "cache"), JAX_ENABLE_COMPILATION_CACHE="1"
            ),
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        moments: list[float] = []
        for line in process.stdout:
            if line.strip() == list(_PHASES.values())[len(moments)]:
                moments.append(time.perf_counter() - clock)
            if len(moments) == len(_PHASES):
                process.kill()
                return moments
    raise RuntimeError((complaint.read_text().splitlines() or ["algd train said nothing"])[-1])


def _phases(starts: list[list[float]]) -> Row:
    """Seconds of each phase and of all, over the starts of one kind."""
    moments = np.array(starts)  # [n, phases]
    lasting = np.diff(moments, axis=1, prepend=0.0)
    phases = {f"{name}_seconds": Spread.of(lasting[:, i]) for i, name in enumerate(_PHASES)}
    return phases | {"first_update_seconds": Spread.of(moments[:, -1])}
