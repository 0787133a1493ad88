"""What it costs: one question per module. ``README.md`` says what each answers and how to run it.

Each module named in ``NAMES`` has

* a docstring: its question, what is timed and what is not;
* ``Sizes``: a frozen dataclass of what it measures; the defaults are those of a full measurement;
* ``QUICK``: sizes that only show that it works;
* ``ACCELERATOR``, where another device than a CPU can show more: its full sizes;
* ``run(sizes)``: the rows of its table. All rows of one benchmark have the same names; a value is
  a text, a number, a :class:`benchmarks.timing.Spread`, or None where there is nothing to tell.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

import jax

NAMES = (
    "ceilings",
    "update",
    "chain",
    "latency",
    "replay",
    "env",
    "bodies",
    "epoch",
    "population",
    "scaling",
    "checkpoints",
    "startup",
)

Row = dict[str, Any]
"""One line of a table, by name of its columns."""


def load(name: str) -> ModuleType:
    """The benchmark ``name``, one of ``NAMES``."""
    return importlib.import_module(f"{__name__}.{name}")


def question(name: str) -> str:
    """What the benchmark ``name`` answers, in one line."""
    return (load(name).__doc__ or "").splitlines()[0]


def measure(name: str, quick: bool = False) -> list[Row]:
    """Run the benchmark ``name`` at its quick sizes, or at the full ones of this device."""
    module = load(name)
    if quick:
        return module.run(module.QUICK)
    if jax.default_backend() != "cpu" and hasattr(module, "ACCELERATOR"):
        return module.run(module.ACCELERATOR)
    return module.run(module.Sizes())
