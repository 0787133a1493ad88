"""Logs of a run: one JSON line and one set of TensorBoard scalars per epoch."""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.record_writer import masked_crc32c
from tensorboardX.summary import scalar

from algd_jax.errors import ConfigError
from algd_jax.runs.files import append, replace
from algd_jax.types import TOTAL_COST

Record = dict[str, Any]
"""One epoch: numbers by name; None where there is nothing to report. Always has ``step``."""


CLOCK_FIELDS = ("wall_time", "steps_per_second", "updates_per_second")
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


class Logger:
    """Appends epochs to ``metrics.jsonl`` and to TensorBoard.

    TensorBoard's files are written here, not by tensorboardX's thread, which a full disk ends
    without a word, and for which everybody then waits.
    """

    def __init__(self, metrics_file: Path, tensorboard: Path, step: int = 0):
        """Args:
        metrics_file: created if needed.
        tensorboard: folder of event files.
        step: environment steps already made; see :meth:`rewind`.
        """
        self._metrics_file = metrics_file
        self.records = read_records(metrics_file)
        tensorboard.mkdir(parents=True, exist_ok=True)
        begin = time.time()
        name = f"events.out.tfevents.{int(begin)}.{socket.gethostname()}.{os.getpid()}"
        self._events_file = tensorboard / name
        self._log_events([Event(wall_time=begin, file_version="brain.Event:2")])
        self.rewind(step)

    def rewind(self, step: int) -> None:
        """Forget the epochs after ``step``: they are to be made again."""
        self.records = [record for record in self.records if record["step"] <= step]
        replace(self._metrics_file, b"".join(map(_line, self.records)))
        start = SessionLog(status=SessionLog.START)
        self._log_events([Event(wall_time=time.time(), step=step + 1, session_log=start)])

    def log(self, record: Record) -> None:
        """Append one epoch; it is on disk when this returns."""
        append(self._metrics_file, _line(record))
        self.records.append(record)
        now, step = time.time(), record["step"]
        self._log_events(
            [
                Event(wall_time=now, step=step, summary=scalar(name, value))
                for name, value in record.items()
                if name != "step" and value is not None
            ]
        )

    def _log_events(self, events: list[Event]) -> None:
        append(self._events_file, b"".join(map(_framed, events)))


def read_records(metrics_file: Path) -> list[Record]:
    """All epochs logged so far; an unfinished last line (of a killed run) is left out.

    Raises:
      ConfigError: if any other line is no epoch.
    """
    if not metrics_file.exists():
        return []
    if metrics_file.stat().st_size > _LARGEST_LOG:
        raise ConfigError(f"{metrics_file}: larger than {_LARGEST_LOG} bytes")
    lines = metrics_file.read_text(encoding="utf-8", errors="replace").split("\n")
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
    return record if type(step) is int and step >= 0 else None


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
