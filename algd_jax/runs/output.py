"""What is shown: on an output that may get lost, of texts that may be a stranger's.

A pipe whose reader is gone, or a full disk, never decides how a run ends.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from algd_jax.errors import printable


@contextlib.contextmanager
def ignore_lost_output() -> Iterator[None]:
    """Context, or decorator of a function, that prints; if printing fails, it falls silent."""
    try:
        yield
    except OSError:
        discard_output()


def open_missing_streams() -> None:
    """Streams that were closed lead nowhere: else the next file to be opened would be one."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115


def discard_output() -> None:
    """From now on standard output leads nowhere, together with what is still buffered for it."""
    with contextlib.suppress(OSError):  # A replaced standard output may be no file.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


class OutputConsole(Console):
    """A Rich console that shows every text as it is: without markup, and only what is printable.

    It falls silent when its reader is gone, instead of ending the process.
    """

    def __init__(self, **options: Any):
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                lines = map(printable, segment.text.split("\n"))
                yield Segment("\n".join(lines), segment.style)

    def on_broken_pipe(self) -> None:
        discard_output()
