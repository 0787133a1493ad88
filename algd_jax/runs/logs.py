"""Logs of a run: one JSON line and one set of TensorBoard scalars per epoch."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tensorboardX import SummaryWriter

from algd_jax.types import TOTAL_COST

Record = dict[str, Any]
"""One epoch: numbers by name; None where there is nothing to report. Always has ``step``."""


def log_name(quantity: str, cost: str) -> str:
    """How a record names a quantity of one cost: ``lam`` of the total, ``lam/part`` of a part."""
    return quantity if cost == TOTAL_COST else f"{quantity}/{cost}"


def by_cost(quantity: str, values: Mapping[str, Any]) -> Record:
    """A quantity of several costs, given by their names, for a record."""
    return {log_name(quantity, cost): float(value) for cost, value in values.items()}


def is_feasible(record: Record, limits: Mapping[str, float]) -> bool:
    """Whether the evaluation's mean costs are within their limits."""
    return all(record[log_name("eval_cost", cost)] <= limit for cost, limit in limits.items())


class Logger:
    """Appends epochs to ``metrics.jsonl`` and to TensorBoard.

    Opening a log that goes beyond ``step`` forgets what came after: a resumed run repeats it.
    """

    def __init__(self, metrics_file: Path, tensorboard: Path, step: int = 0):
        """Args:
        metrics_file: created if needed.
        tensorboard: folder of event files.
        step: environment steps already made.
        """
        self.records = [record for record in read_records(metrics_file) if record["step"] <= step]
        _write_records(metrics_file, self.records)
        self._lines = metrics_file.open("a", encoding="utf-8")
        self._scalars = SummaryWriter(str(tensorboard), purge_step=step + 1)

    def log(self, record: Record) -> None:
        """Append one epoch; it is on disk when this returns."""
        self.records.append(record)
        self._lines.write(_line(record))
        self._lines.flush()
        for name, value in record.items():
            if name != "step" and value is not None:
                self._scalars.add_scalar(name, value, record["step"])
        self._scalars.flush()

    def close(self) -> None:
        self._lines.close()
        self._scalars.close()

    def __enter__(self) -> Logger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def append_line(log_file: Path, text: str) -> None:
    """A line with the time; nothing happens if it cannot be written."""
    time = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    with contextlib.suppress(OSError), log_file.open("a", encoding="utf-8") as file:
        file.write(f"{time} {text}\n")


def read_records(metrics_file: Path) -> list[Record]:
    """All epochs logged so far; an unfinished last line (of a killed run) is left out."""
    if not metrics_file.exists():
        return []
    lines = metrics_file.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def _write_records(metrics_file: Path, records: list[Record]) -> None:
    unfinished = metrics_file.with_name(metrics_file.name + ".tmp")
    unfinished.write_text("".join(map(_line, records)), encoding="utf-8")
    os.replace(unfinished, metrics_file)


def _line(record: Record) -> str:
    return json.dumps(record, allow_nan=False) + "\n"
