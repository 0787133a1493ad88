"""A log that may be slow or out of reach, kept from holding up or ending the run."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence

from algd_jax.errors import printable
from algd_jax.runs.logs import Log, Record

PATIENCE = 60.0
"""How long the end of a run waits for the last epochs to be sent [s]."""

_LONGEST_REASON = 300


class Background(Log):
    """Hands epochs to another log in a thread of its own.

    When that fails, it is told, once until it works again, and with the next epoch the log is
    opened anew with all epochs so far: it is for the log to know which of them it has.
    """

    def __init__(
        self, name: str, log: Log, tell: Callable[[str], None], patience: float = PATIENCE
    ):
        """Args:
        name: of the log, for the user.
        log: used by the thread alone.
        tell: takes a line for the user, from the thread.
        patience: see ``PATIENCE`` [s].
        """
        self._name, self._log, self._tell, self._patience = name, log, tell, patience
        self._tasks: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._records: list[Record] = []
        self._is_open = self._is_told = self._is_over = False
        # A daemon, because nobody waits for a network at the end of a program.
        self._thread = threading.Thread(target=self._work, name=f"log-{name}", daemon=True)
        self._thread.start()

    def open(self, records: Sequence[Record]) -> None:
        known = list(records)
        self._tasks.put(lambda: self._open(known))

    def record(self, record: Record) -> None:
        self._tasks.put(lambda: self._record(record))

    def close(self, final: Record | None) -> None:
        self._tasks.put(lambda: self._close(final))
        self._thread.join(self._patience)
        if self._thread.is_alive():
            self._is_told = True  # What the thread still finds comes after the end.
            self._tell(f"{self._name}: not everything was sent within {self._patience:g} s")

    def _work(self) -> None:
        while not self._is_over:
            self._tasks.get()()

    def _open(self, records: list[Record]) -> None:
        self._records, self._is_open = records, False
        self._try(self._catch_up)

    def _record(self, record: Record) -> None:
        self._records.append(record)
        self._try((lambda: self._log.record(record)) if self._is_open else self._catch_up)

    def _close(self, final: Record | None) -> None:
        if not self._is_open:
            self._try(self._catch_up)
        if self._is_open:
            self._try(lambda: self._log.close(final))
        self._is_over = True

    def _catch_up(self) -> None:
        self._log.open(self._records)
        self._is_open = True

    def _try(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:  # Of any kind: these are other people's programs.
            self._is_open = False
            if not self._is_told:
                self._is_told = True
                self._tell(f"{self._name}: {_reason(error)}; {_AFTERWARDS}")
        else:
            self._is_told = False


_AFTERWARDS = "training goes on, metrics.jsonl has every epoch, and the next one tries again"


def _reason(error: Exception) -> str:
    """The error in one line."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return printable(lines[0])[:_LONGEST_REASON]
