"""Processes of their own, for what is decided when a process starts."""

from __future__ import annotations

import os
from pathlib import Path

import algd_jax

CHECKOUT = Path(algd_jax.__file__).parents[1]


def available_cores() -> int:
    """Cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def environment(**changed: str) -> dict[str, str]:
    """Environment variables of a process that finds this checkout.

    Args:
      **changed: variables and their values.
    """
    paths = [str(CHECKOUT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        # An accelerator is shared with the process that measures.
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        **changed,
    }
