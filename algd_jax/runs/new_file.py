"""A file that one command writes: new, and there as a whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from algd_jax.errors import ConfigError
from algd_jax.files import create


def check_new(out: Path) -> None:
    """Raise :class:`ConfigError` unless ``out`` can be made."""
    try:
        if os.path.lexists(out):
            raise ConfigError(f"out: {out} exists, allowed is a new file")
    except OSError as error:
        raise ConfigError(f"out: {out} cannot be written ({error.strerror})") from error
    check_parents(out)


def check_parents(out: Path) -> None:
    """Raise :class:`ConfigError` unless the folders above ``out`` are there or can be made."""
    try:
        nearest = next(folder for folder in out.parents if folder.exists())
    except OSError as error:
        raise ConfigError(f"out: {out} cannot be written ({error.strerror})") from error
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise ConfigError(f"out: {nearest} is no folder that can be written to")


def write_new(out: Path, content: bytes) -> None:
    """Write it, with the folders above it.

    Raises:
      ConfigError: if the file system refuses, or ``out`` is there by now.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        create(out, content)
    except OSError as error:
        if isinstance(error, FileExistsError) and os.path.lexists(out):
            raise ConfigError(f"out: {out} exists, allowed is a new file") from error
        raise ConfigError(f"out: {out} cannot be written ({error.strerror})") from error
