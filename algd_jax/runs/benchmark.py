"""Running the benchmarks of the source checkout, which lie beside the package."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
from rich.console import Console

import algd_jax
from algd_jax.errors import ConfigError, unknown_name
from algd_jax.files import create
from algd_jax.runs.directory import write_json
from algd_jax.runs.tables import print_rows


def run_benchmarks(
    names: Sequence[str],
    *,
    quick: bool,
    cached: bool,
    path: Path | None,
    console: Console,
    command: list[str],
) -> None:
    """Run benchmarks one after the other, and show each one's table when it is complete.

    Args:
      names: which; none for all.
      quick: whether at sizes that only show that they work.
      cached: whether programs come from JAX's persistent compilation cache.
      path: new JSON file ``{"circumstances": …, "results": {name: rows}}``, complete up to the
        last benchmark that has ended; None for no file.
      console: where tables go.
      command: the command line, for the record.

    Raises:
      ConfigError: for an unknown name, a file that exists or cannot be written, or if the
        benchmarks are not there.
    """
    benchmarks = load_benchmarks()
    for name in names:
        if name not in benchmarks.NAMES:
            raise unknown_name("benchmark", name, benchmarks.NAMES)
    timing = importlib.import_module("benchmarks.timing")
    report: dict[str, Any] = {"circumstances": timing.circumstances(command), "results": {}}
    if path is not None:
        _claim(path)
        write_json(path, report)
    with contextlib.nullcontext() if cached else _without_compilation_cache():
        for name in dict.fromkeys(names or benchmarks.NAMES):
            console.print(f"{name}: {benchmarks.question(name)}")
            rows = benchmarks.measure(name, quick)
            print_rows(console, rows)
            report["results"][name] = [_plain(row) for row in rows]
            if path is not None:
                write_json(path, report)


def load_benchmarks() -> ModuleType:
    """The package ``benchmarks`` of the checkout that this package runs from.

    Raises:
      ConfigError: if it runs from somewhere else.
    """
    checkout = Path(algd_jax.__file__).parents[1]
    if not (checkout / "benchmarks" / "timing.py").is_file():
        raise ConfigError(
            "benchmark: the benchmarks are not part of an installed package; run this in a source "
            "checkout installed with pip install -e ."
        )
    if str(checkout) not in sys.path:
        sys.path.insert(0, str(checkout))
    return importlib.import_module("benchmarks")


def _claim(path: Path) -> None:
    """Make the file, so that no other can be lost."""
    try:
        if os.path.lexists(path):
            raise FileExistsError
        create(path, b"")
    except FileExistsError as error:
        raise ConfigError(f"json: {path} exists, allowed is a new file") from error
    except OSError as error:
        raise ConfigError(f"json: {path} cannot be written ({error.strerror})") from error


@contextlib.contextmanager
def _without_compilation_cache() -> Iterator[None]:
    """Programs are compiled anew in here, so that compile times are true."""
    name = "jax_enable_compilation_cache"
    before = jax.config.values[name]
    jax.config.update(name, False)
    try:
        yield
    finally:
        jax.config.update(name, before)


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """A row as JSON takes it."""

    def plain(value: Any) -> Any:
        is_record = dataclasses.is_dataclass(value) and not isinstance(value, type)
        return dataclasses.asdict(value) if is_record else value

    return {name: plain(value) for name, value in row.items()}
