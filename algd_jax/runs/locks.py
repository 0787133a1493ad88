"""Folders in which one process works at a time."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import math
import time
from collections.abc import Iterator
from pathlib import Path

from algd_jax.errors import ConfigError
from algd_jax.files import open_to_append

_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)


@contextlib.contextmanager
def locked(path: Path, what: str = "", patience: float = math.inf) -> Iterator[None]:
    """Context in which this process alone holds a lock; a process that dies lets go of it.

    Where the file system knows no locks, everybody is let in.

    Args:
      path: file of the lock, made if needed and left there.
      what: is locked, for the error message.
      patience: how long to wait for another process to let go [s].

    Raises:
      ConfigError: if it does not.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open_to_append(path) as file:
        end = time.monotonic() + patience
        while not _try_lock(file):
            if time.monotonic() >= end:
                raise ConfigError(
                    f"run_dir: {what} is being run by another process; allowed is one at a time"
                )
            time.sleep(0.2)
        yield


def _try_lock(file: io.FileIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        return error.errno in _NO_LOCKS
    return True
