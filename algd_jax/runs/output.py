"""Standard output that may get lost: a pipe whose reader is gone, a full disk.

What is shown never decides how a run ends.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

from rich.console import Console


@contextlib.contextmanager
def ignore_lost_output() -> Iterator[None]:
    """Context, or decorator of a function, that prints; if printing fails, it falls silent."""
    try:
        yield
    except OSError:
        discard_output()


def discard_output() -> None:
    """From now on standard output leads nowhere, together with what is still buffered for it."""
    with contextlib.suppress(OSError):  # A replaced standard output may be no file.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


class OutputConsole(Console):
    """A Rich console that falls silent when its reader is gone, instead of ending the process."""

    def on_broken_pipe(self) -> None:
        discard_output()
