"""The final evaluation that a run has left in its folder, read and checked."""

from __future__ import annotations

import types
import typing
from pathlib import Path
from typing import Any

from algd_jax.errors import ConfigError, shown
from algd_jax.files import read_json
from algd_jax.runs.evaluate import CostSummary, Interval, Summary
from algd_jax.runs.logs import is_number
from algd_jax.types import TOTAL_COST

_LARGEST_FILE = 2**20


def read_summary(file: Path) -> Summary | None:
    """What :meth:`Summary.record` wrote there; None if there is no such file.

    Raises:
      ConfigError: if the file holds something else.
    """
    try:
        record = read_json(file, _LARGEST_FILE)
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        record = None
    if not isinstance(record, dict):
        raise ConfigError(f"{file}: is no evaluation of a run")
    if "constraints" not in record:  # The only limited cost is not written twice.
        total = {name: record.get(name) for name in CostSummary._fields}
        record["constraints"] = {TOTAL_COST: total}
    return _record(Summary, record, file)


def _record(kind: type, values: dict[str, Any], file: Path) -> Any:
    """A named tuple from JSON values by name; others are ignored."""
    hints = typing.get_type_hints(kind)
    found = {}
    for name, wanted in hints.items():
        if name not in values:
            raise ConfigError(f"{file}: is no evaluation of a run: {name} is missing")
        if wanted == dict[str, CostSummary]:
            found[name] = _costs(name, values[name], file)
        else:
            found[name] = _value(name, values[name], wanted, file)
    return kind(**found)


def _costs(name: str, value: Any, file: Path) -> dict[str, CostSummary]:
    if not isinstance(value, dict) or not all(isinstance(one, dict) for one in value.values()):
        raise _wrong(name, value, "an object for each limited cost", file)
    return {cost: _record(CostSummary, one, file) for cost, one in value.items()}


def _value(name: str, value: Any, wanted: Any, file: Path) -> Any:
    """The value as one of the wanted type."""
    kinds = typing.get_args(wanted) if isinstance(wanted, types.UnionType) else (wanted,)
    for kind in kinds:
        if kind is types.NoneType and value is None:
            return None
        if typing.get_origin(kind) is typing.Literal and value in typing.get_args(kind):
            return value
        if kind is float and _is_float(value):
            return float(value)
        if kind is Interval and _is_interval(value):
            return Interval(*map(float, value))
        if kind in (bool, int, str) and type(value) is kind:
            return value
    raise _wrong(name, value, " or ".join(map(_words, kinds)), file)


def _is_float(value: Any) -> bool:
    return is_number(value) and not isinstance(value, bool)


def _is_interval(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_float, value))


def _words(kind: Any) -> str:
    names = {float: "a number", int: "an integer", bool: "true or false", str: "a text"}
    names |= {Interval: "two numbers", types.NoneType: "null"}
    if typing.get_origin(kind) is typing.Literal:
        return " or ".join(typing.get_args(kind))
    return names[kind]


def _wrong(name: str, value: Any, allowed: str, file: Path) -> ConfigError:
    return ConfigError(f"{file}: {name}: got {shown(value)}, allowed is {allowed}")
