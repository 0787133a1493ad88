"""Logs of a run: what all of them are, and the two that every run has in its own folder."""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.record_writer import masked_crc32c
from tensorboardX.summary import scalar

from algd_jax.errors import ConfigError
from algd_jax.files import append, read, replace
from algd_jax.types import TOTAL_COST

Record = dict[str, Any]
"""One epoch: numbers by name; None where there is nothing to report. Always has ``step``."""


CLOCK_FIELDS = ("wall_time", "steps_per_second", "updates_per_second", "eval_seconds")
"""What depends on the machine's speed, and is never the same again."""

_LARGEST_LOG = 2**30


def log_name(quantity: str, cost: str) -> str:
    """How a record names a quantity of one cost: ``lam`` of the total, ``lam/part`` of a part."""
    return quantity if cost == TOTAL_COST else f"{quantity}/{cost}"


def by_cost(quantity: str, values: Mapping[str, Any]) -> Record:
    """A quantity of several costs, given by their names, for a record."""
    return {log_name(quantity, cost): float(value) for cost, value in values.items()}


def is_feasible(record: Record, limits: Mapping[str, float]) -> bool:
    """Whether the evaluation's mean costs are within their limits."""
    return all(record[log_name("eval_cost", cost)] <= limit for cost, limit in limits.items())


def is_number(value: Any) -> bool:
    """Whether what was read from JSON is a number that a float can hold, not NaN or infinity."""
    return isinstance(value, int | float) and abs(value) <= sys.float_info.max


class Log(Protocol):
    """Somewhere the epochs of a run go."""

    def open(self, records: Sequence[Record]) -> None:
        """Begin, or go on: ``records`` are all epochs so far, later ones are to be made again."""

    def record(self, record: Record) -> None:
        """One more epoch."""

    def close(self, final: Record | None) -> None:
        """There will be no more.

        Args:
          final: numbers of the final evaluation; None if the run has not come to its end.
        """


class Logger:
    """Keeps the epochs of a run, and hands them to its logs.

    Attributes:
      records: the epochs so far.
    """

    def __init__(
        self, metrics_file: Path, tensorboard: Path, step: int = 0, others: Sequence[Log] = ()
    ):
        """Args:
        metrics_file: created if needed.
        tensorboard: folder of event files.
        step: environment steps already made; see :meth:`rewind`.
        others: further logs.
        """
        self.records = read_records(metrics_file)
        self._logs = (MetricsFile(metrics_file), TensorBoard(tensorboard), *others)
        self.rewind(step)

    def rewind(self, step: int) -> None:
        """Forget the epochs after ``step``: they are to be made again."""
        self.records = [record for record in self.records if record["step"] <= step]
        for log in self._logs:
            log.open(self.records)

    def log(self, record: Record) -> None:
        """Append one epoch; it is on disk when this returns."""
        for log in self._logs:
            log.record(record)
        self.records.append(record)

    def close(self, final: Record | None) -> None:
        """End all logs; see :meth:`Log.close`."""
        for log in self._logs:
            log.close(final)


class MetricsFile(Log):
    """One JSON line per epoch."""

    def __init__(self, path: Path):
        self._path = path

    def open(self, records: Sequence[Record]) -> None:
        replace(self._path, b"".join(map(_line, records)))

    def record(self, record: Record) -> None:
        append(self._path, _line(record))

    def close(self, final: Record | None) -> None:
        """The final evaluation has a file of its own."""


class TensorBoard(Log):
    """One set of scalars per epoch.

    The files are written here, not by tensorboardX's thread, which a full disk ends without a word,
    and for which everybody then waits.
    """

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        begin = time.time()
        name = f"events.out.tfevents.{int(begin)}.{socket.gethostname()}.{os.getpid()}"
        self._path = folder / name
        self._append([Event(wall_time=begin, file_version="brain.Event:2")])

    def open(self, records: Sequence[Record]) -> None:
        step = records[-1]["step"] if records else 0
        start = SessionLog(status=SessionLog.START)  # Nothing older counts from this step on.
        self._append([Event(wall_time=time.time(), step=step + 1, session_log=start)])

    def record(self, record: Record) -> None:
        now, step = time.time(), record["step"]
        self._append(
            [
                Event(wall_time=now, step=step, summary=scalar(name, value))
                for name, value in record.items()
                if name != "step" and value is not None
            ]
        )

    def close(self, final: Record | None) -> None:
        """Curves have no place for a single number."""

    def _append(self, events: list[Event]) -> None:
        append(self._path, b"".join(map(_framed, events)))


def read_records(metrics_file: Path) -> list[Record]:
    """All epochs logged so far; an unfinished last line (of a killed run) is left out.

    Raises:
      ConfigError: if any other line is no epoch.
    """
    try:
        content = read(metrics_file, _LARGEST_LOG)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigError(f"{metrics_file}: {error.strerror}") from error
    lines = content.decode(errors="replace").split("\n")
    records = [_parse(line) for line in lines[:-1]]  # Nothing follows the last line's end.
    if records and records[-1] is None:
        records.pop()
    if None in records:
        number = records.index(None) + 1
        raise ConfigError(f"{metrics_file}: line {number} is no epoch of a run")
    return [record for record in records if record is not None]


def _parse(line: str) -> Record | None:
    """A line's epoch, or None if it does not hold one."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or not all(map(_is_loggable, record.values())):
        return None
    step = record.get("step")
    return record if type(step) is int and 0 <= step < 2**31 else None


def _is_loggable(value: Any) -> bool:
    return value is None or is_number(value)


def _framed(event: Event) -> bytes:
    """An event as TensorBoard reads it: length, its checksum, the event, its checksum."""
    content = event.SerializeToString()
    length = struct.pack("<Q", len(content))
    checksums = (struct.pack("<I", masked_crc32c(part)) for part in (length, content))
    return length + next(checksums) + content + next(checksums)


def _line(record: Record) -> bytes:
    return (json.dumps(record, allow_nan=False) + "\n").encode()
