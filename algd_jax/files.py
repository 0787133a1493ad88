"""The one way to read and to write files: the folder they lie in may be a stranger's.

What is read is a regular file within a size. What is written is there as a whole or not at all,
whatever kills the process or fills the disk, and never behind a link.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import io
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from algd_jax.errors import ConfigError, printable

_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

_LARGEST_COPIED = 2**30
_OTHERS = "wandb"


def open_regular(path: Path, largest: int) -> BinaryIO:
    """Open a regular file to read, without waiting for anybody.

    Raises:
      OSError: if the system refuses, it is a folder, pipe or device, or larger than ``largest``
        bytes.
    """
    file = os.fdopen(_opened(path, _READ), "rb")
    if os.fstat(file.fileno()).st_size > largest:
        file.close()
        raise OSError(errno.EFBIG, f"larger than {largest} bytes", str(path))
    return file


def read(path: Path, largest: int) -> bytes:
    """The content of a regular file of at most ``largest`` bytes; see :func:`open_regular`."""
    with open_regular(path, largest) as file:
        return file.read()


def read_json(path: Path, largest: int) -> Any:
    """What a JSON file of at most ``largest`` bytes holds.

    Raises:
      OSError: see :func:`open_regular`.
      ValueError: if it is no JSON; says in one line why.
    """
    content = read(path, largest)
    try:
        return json.loads(content.decode())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"not valid JSON: {error}") from error
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    except ValueError as error:
        raise ValueError("holds a number of too many digits") from error


def check_links(folder: Path, what: str) -> None:
    """Raise :class:`ConfigError` if a link below ``folder`` leads out of it.

    Not looked at are the links that Weights & Biases makes in its folders: nobody else goes there.

    Args:
      folder: may be a link itself, and lie behind others.
      what: the folder is, such as a run directory, for the message.
    """
    home = folder.resolve()
    for parent, folders, files in os.walk(folder):
        if Path(parent).name == _OTHERS:
            folders.clear()
            continue
        for name in sorted(folders + files):
            path = Path(parent, name)
            # Not Path.resolve, which fails where links go round in circles.
            if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(home):
                raise ConfigError(
                    f"run_dir: {path} leads out of the {what}; allowed is a link to a whole {what}"
                )


def replace(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old one or the new one, never half of one.

    What has its name, a link too, is replaced, not written to.
    """
    unfinished = path.with_name(path.name + ".tmp")
    try:
        _write_anew(unfinished, content)
        os.replace(unfinished, path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise


def create(path: Path, content: bytes) -> None:
    """Make a new file as a whole; raises FileExistsError if it is there already."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        _write_anew(unfinished, content)
        try:
            os.link(unfinished, path)
        except FileExistsError:
            raise
        except OSError:  # Not every file system has links.
            _write(path, content)
    finally:
        unfinished.unlink(missing_ok=True)


def append(path: Path, content: bytes) -> None:
    """Add to the end of a file, made if needed; it is on disk when this returns.

    Raises:
      OSError: if the system refuses; it may have taken a part.
    """
    with _named(path), open_to_append(path) as file:
        # A second name may lie outside of the folder.
        shared = os.fstat(file.fileno()).st_nlink > 1
        if not shared:
            _write_all(file, content)
    if shared:
        replace(path, read(path, _LARGEST_COPIED) + content)


def open_to_append(path: Path) -> io.FileIO:
    """Open a regular file, made if needed, to add to its end.

    Raises:
      OSError: if the system refuses, or it is a link or no regular file.
    """
    # Without a buffer, which would try again when it is closed.
    return io.FileIO(os.fspath(path), "a", opener=lambda name, _: _opened(path, _APPEND))


def append_note(path: Path, *lines: str) -> None:
    """Append lines, the first behind the time; nothing happens if they cannot be written."""
    time = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    text = "\n".join(map(printable, lines))
    with contextlib.suppress(OSError):
        append(path, f"{time} {text}\n".encode())


def sync_folder(folder: Path) -> None:
    """Have the names in ``folder`` written to disk, where the system can do so."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def is_leftover(path: Path, name: str) -> bool:
    """Whether a process that was killed in writing file ``name`` has left ``path``."""
    return path.name.startswith(f"{name}.") and path.suffix == ".tmp"


def _opened(path: Path, flags: int) -> int:
    """Descriptor of a regular file."""
    descriptor = os.open(path, flags, 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "no regular file", str(path))
    return descriptor


def _write_anew(path: Path, content: bytes) -> None:
    """Write a file in the place of what a killed process has left there."""
    path.unlink(missing_ok=True)
    _write(path, content)


def _write(path: Path, content: bytes) -> None:
    with _named(path), io.FileIO(os.open(path, _NEW, 0o666), "w") as file:
        _write_all(file, content)


def _write_all(file: io.FileIO, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]
    os.fsync(file.fileno())


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Names the file in what the system refuses, which it does only where it opens one."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
