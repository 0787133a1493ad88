"""Stopping on Ctrl-C, on signals and on a cluster's notice: first gently, then at once."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable

import jax
from orbax.checkpoint import multihost

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)
"""Ctrl-C, what clusters send before they take a machine away, what SLURM can be asked to, and what
a terminal sends when it goes away."""


class StopSignals:
    """Context in which a first signal asks to stop and a second ends the process.

    A first one ends it too where there is nothing to wait for. Signals that were ignored before,
    as SIGHUP is under nohup, still are.

    While XLA runs an epoch, the main thread does not come back to Python, where ordinary signal
    handlers run. So the interpreter passes signals through a socket to a thread that waits there.

    Attributes:
      received: the first signal, or None.
    """

    def __init__(
        self,
        on_first: Callable[[], None],
        on_second: Callable[[], None],
        at_once: Callable[[], bool] = lambda: False,
    ):
        """Args:
        on_first: called from another thread at the first signal.
        on_second: called likewise just before the process ends.
        at_once: asked at the first signal; a true answer makes it count as the second.
        """
        self.received: signal.Signals | None = None
        self._on_first, self._on_second, self._at_once = on_first, on_second, at_once

    def requested(self) -> bool:
        """Whether a signal has arrived."""
        return self.received is not None

    def __enter__(self) -> StopSignals:
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._former_wakeup = signal.set_wakeup_fd(self._writer.fileno())
        self._former_handlers = {s: signal.signal(s, lambda *_: None) for s in _own_signals()}
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(self._former_wakeup)
        for number, handler in self._former_handlers.items():
            signal.signal(number, handler)
        self._writer.close()  # Ends the listener.

    def _listen(self) -> None:
        with self._reader:
            while number := self._reader.recv(1):
                if number[0] in SIGNALS:
                    self._receive(signal.Signals(number[0]))

    def _receive(self, number: signal.Signals) -> None:
        if self.received is None and not self._at_once():
            self.received = number
            with contextlib.suppress(Exception):  # A second signal must be heard all the same.
                self._on_first()
        else:
            try:
                self._on_second()
            finally:
                os._exit(exit_code(number))


def exit_code(number: signal.Signals) -> int:
    """What a shell reports for a process ended by this signal: 130 for Ctrl-C, 143 for SIGTERM."""
    return 128 + number


def preempted(epoch: int) -> bool:
    """Whether JAX's preemption service has every process of the run stop after this epoch.

    It runs where ``jax.distributed`` is initialised. Its processes agree on the next epoch after
    the notice, so all must ask after every epoch, counted one by one.
    """
    return multihost.reached_preemption(epoch)


def _own_signals() -> tuple[signal.Signals, ...]:
    """Without those ignored, and SIGTERM where JAX's preemption service waits for it."""
    enabled = getattr(jax.config, "jax_enable_preemption_service", True)
    served = enabled and jax.distributed.is_initialized()
    return tuple(
        number
        for number in SIGNALS
        if signal.getsignal(number) != signal.SIG_IGN and not (served and number == signal.SIGTERM)
    )
