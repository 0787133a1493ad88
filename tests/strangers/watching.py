"""What a test of somebody else's folder watches: everything around it, and the clock."""

import contextlib
import os
import shlex
import signal
from pathlib import Path

from tests.runs.support import TINY_FLAGS

ROOT = Path(__file__).parents[2]
LAST_STEP = 160
TINY = shlex.join(["--env=ActionProbe", *TINY_FLAGS, f"--env-steps={LAST_STEP}"])


def tree(folder):
    """Every path below, with what a change of it would change."""
    return {
        str(path.relative_to(folder)): os.readlink(path)
        if path.is_symlink()
        else path.read_bytes()
        if path.is_file()
        else path.lstat().st_mode
        for path in sorted(folder.rglob("*"))
    }


@contextlib.contextmanager
def at_most(seconds):
    """Context that may not take longer."""

    def stop(*_):
        raise TimeoutError

    former = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, former)
