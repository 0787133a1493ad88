"""``algd export``: the policy alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from algd_jax.commands.answer import answer
from algd_jax.runs.arguments import parse
from algd_jax.runs.display import working
from algd_jax.runs.evaluate import Which
from algd_jax.runs.export.export import export_run
from algd_jax.runs.pretrained import default_out, place_pretrained
from algd_jax.runs.tables import print_export


@dataclasses.dataclass
class Arguments:
    """Write the policy of a run alone: StableHLO, arrays with a runner that needs only NumPy, ONNX.

    Each form is compared with the policy before anything is written (docs/deploying.md).

    Attributes:
      run_dir: folder of the run.
      out: new or empty folder to write to; by default RUN_DIR/policy.
      checkpoint: the policy: best (feasible) or last; by default best, else last.
      onnx: write an ONNX graph too (needs the extra "onnx").
      env: the run's environment again, needed if it is module:attribute, because that runs code.
      json: print what policy.json holds as one JSON object and nothing else.
      pretrained: a task whose policy comes with the package, instead of a run directory.
      debug: show the traceback of an error.
    """

    run_dir: Path
    out: Path | None = None
    checkpoint: Which | None = None
    onnx: bool = False
    env: str | None = None
    json: bool = False
    pretrained: str | None = None  # Only for the help: it becomes ``run_dir`` before.
    debug: bool = False


def run(argv: Sequence[str]) -> int:
    """``algd export``."""
    arguments = parse(Arguments, place_pretrained(argv), "algd export")
    out = arguments.out or default_out(arguments.run_dir, "policy")
    with working() as display:
        record = export_run(
            arguments.run_dir,
            out,
            arguments.checkpoint,
            arguments.onnx,
            arguments.env,
            ["algd", "export", *argv],
            display,
        )
    answer(arguments.json, record, lambda console: print_export(console, record, out))
    return 0
