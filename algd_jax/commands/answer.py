"""What a command answers: a table for people, or JSON for scripts."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from rich.console import Console

from algd_jax.runs.output import ignore_lost_output
from algd_jax.runs.tables import make_console


def answer(as_json: bool, figures: Any, show: Callable[[Console], None]) -> None:
    """Print ``figures`` as one line of strict JSON and nothing else, or let ``show`` show them."""
    if as_json:
        _print_json(figures)
    else:
        show(make_console())


@ignore_lost_output()
def _print_json(figures: Any) -> None:
    print(json.dumps(figures, allow_nan=False), flush=True)
