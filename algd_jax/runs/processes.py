"""Other processes, started from one in which JAX runs."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def starting_a_process() -> Iterator[None]:
    """No warning of JAX's: a fork is safe if another program takes over at once."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="os.fork", category=RuntimeWarning)
        yield
