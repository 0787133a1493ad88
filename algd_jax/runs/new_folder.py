"""A folder that one command fills: new or empty before, and as a whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from algd_jax.errors import ConfigError
from algd_jax.files import create
from algd_jax.runs.new_file import check_parents


def check_free(out: Path) -> None:
    """Raise :class:`ConfigError` unless ``out`` is a new or empty folder."""
    with _refusals(out):
        if out.is_dir():
            problem = "is not empty" if any(out.iterdir()) else None
        else:
            problem = "is a file" if out.exists() else None
    if problem:
        raise ConfigError(f"out: {out} {problem}, allowed is a new or empty folder")
    check_parents(out)


def check_folder(out: Path) -> None:
    """Raise :class:`ConfigError` unless ``out`` is a folder or can become one."""
    if os.path.lexists(out) and not out.is_dir():
        raise ConfigError(f"out: {out} is no folder")
    check_parents(out / "a file")


def fill(out: Path, contents: Mapping[str, bytes]) -> dict[str, Path]:
    """Write files into a folder, each whole; none that exists is touched.

    Args:
      out: made if needed.
      contents: of each file by its name, in the order in which they are written.

    Returns:
      Where each of them lies.

    Raises:
      ConfigError: if the file system refuses; what had been written is then removed.
    """
    written: list[Path] = []
    with _refusals(out):
        out.mkdir(parents=True, exist_ok=True)
        try:
            for name, content in contents.items():
                create(out / name, content)
                written.append(out / name)
        except OSError:
            for path in written:
                path.unlink(missing_ok=True)
            raise
    return {name: out / name for name in contents}


@contextlib.contextmanager
def _refusals(out: Path) -> Iterator[None]:
    """Turns what the file system refuses for the folder ``out`` into one clear line."""
    try:
        yield
    except OSError as error:
        raise ConfigError(f"out: {out} cannot be written ({error.strerror})") from error
