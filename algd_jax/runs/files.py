"""Files that are there as a whole or not at all, whatever kills the process or fills the disk."""

from __future__ import annotations

import contextlib
import datetime
import io
import os
from collections.abc import Iterator
from pathlib import Path


def replace(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old one or the new one, never half of one."""
    unfinished = path.with_name(path.name + ".tmp")
    try:
        _write(unfinished, content)
        os.replace(unfinished, path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise


def create(path: Path, content: bytes) -> None:
    """Make a new file as a whole; raises FileExistsError if it is there already."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        _write(unfinished, content)
        try:
            os.link(unfinished, path)
        except FileExistsError:
            raise
        except OSError:  # Not every file system has links.
            _write(path, content, mode="xb")
    finally:
        unfinished.unlink(missing_ok=True)


def append(path: Path, content: bytes) -> None:
    """Add to the end of a file, made if needed; it is on disk when this returns.

    Raises:
      OSError: if the system refuses; it may have taken a part.
    """
    # Without a buffer, which would try again when it is closed.
    with _named(path), io.FileIO(path, "a") as file:
        rest = memoryview(content)
        while rest:
            rest = rest[file.write(rest) :]
        os.fsync(file.fileno())


def is_leftover(path: Path, name: str) -> bool:
    """Whether a process that was killed in writing file ``name`` has left ``path``."""
    return path.name.startswith(f"{name}.") and path.suffix == ".tmp"


def append_note(path: Path, text: str) -> None:
    """Append a line with the time; nothing happens if it cannot be written."""
    time = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    with contextlib.suppress(OSError), path.open("a", encoding="utf-8") as file:
        file.write(f"{time} {text}\n")


def _write(path: Path, content: bytes, mode: str = "wb") -> None:
    with _named(path), path.open(mode) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Names the file in what the system refuses, which it does only where it opens one."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
