"""What logs of a service share."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from algd_jax.runs.logs import Log, Record
from algd_jax.runs.tracking.link import Link


@dataclasses.dataclass(frozen=True)
class Subject:
    """What a service is told of a run.

    Attributes:
      path: the run's folder, whose name the run has there.
      config: the whole configuration, JSON-ready.
      project: that the run belongs to.
      group: the sweep that the run belongs to, or None.
    """

    path: Path
    config: dict[str, Any]
    project: str
    group: str | None = None


class Service(Log, abc.ABC):
    """A log that remembers in the run directory which of the service's runs it writes, and how far.

    It may be opened again after any failure, and then sends what is missing.
    """

    def __init__(self, subject: Subject, link: Link):
        self._subject, self._link = subject, link

    def open(self, records: Sequence[Record]) -> None:
        identity = self._connect(self._link.identity)
        if identity != self._link.identity:
            self._link.save(identity, -1)
        for record in records:
            if record["step"] > self._link.step:
                self.record(record)

    def record(self, record: Record) -> None:
        self._send({name: value for name, value in record.items() if value is not None})
        assert self._link.identity is not None
        self._link.save(self._link.identity, record["step"])

    @abc.abstractmethod
    def _connect(self, identity: str | None) -> str:
        """Go on with the run of this identity, or begin one; its identity."""

    @abc.abstractmethod
    def _send(self, figures: Record) -> None:
        """The numbers of one epoch."""
