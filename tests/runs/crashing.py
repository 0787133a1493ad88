"""A process that has all modules loaded, and forks one life of a tiny run after the other.

Standard input takes one folder per line; standard output tells ``born PID``, where the run is
(``at EVENT``), and how it ended (``dead STATUS``). Whoever reads that may kill the run anywhere.
"""

import contextlib
import functools
import os
import random
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from algd_jax import files
from algd_jax.envs import registry
from algd_jax.runs import logs, resuming, run
from algd_jax.runs.display import Display
from algd_jax.training import checkpoint, storage
from tests.runs.support import EPOCH, PROBES, WARMUP, tiny_config

CONFIG = tiny_config(
    env_steps=WARMUP + 10 * EPOCH,
    cost_limit=4.0,
    checkpoint_epochs=2,
    keep_every=4,
    keep_best=True,
)

WATCHED = {
    (storage, "write"): "writing arrays",
    (checkpoint, "write_manifest"): "writing a manifest",
    (checkpoint, "_replace"): "moving a checkpoint into place",
    (checkpoint, "_remove"): "removing a checkpoint",
    (logs.Logger, "log"): "logging an epoch",
    (files, "_write"): "replacing a file",
    (run, "write_json"): "ending",
}
PHASES = ("compiling and warming up", "restoring", "compiling", "training", "evaluating")
EVENTS = (*WATCHED.values(), *PHASES, "checkpointing", "final evaluation")


class Reporter(Display):
    def phase(self, name):
        tell(f"at {name}")


def tell(line: str) -> None:
    os.write(1, f"{line}\n".encode())


def announced(function, event):
    @functools.wraps(function)
    def wrapped(*arguments, **named):
        tell(f"at {event}")
        return function(*arguments, **named)

    return wrapped


def live(folder: Path) -> None:
    """Begin or resume the run of this folder."""
    if (folder / "config.json").exists():
        config = resuming.resumed_config(folder)
        run.train(config, folder, resume=True, display=Reporter())
    else:
        run.train(CONFIG, folder, display=Reporter())


def serve() -> None:
    registry._FACTORIES.update(PROBES)
    for (place, name), event in WATCHED.items():
        setattr(place, name, announced(getattr(place, name), event))
    for line in sys.stdin:
        if (child := os.fork()) == 0:
            try:
                live(Path(line.strip()))
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        tell(f"born {child}")
        tell(f"dead {os.waitpid(child, 0)[1]}")


class Killer:
    """Lets runs live, and kills them at random moments.

    Attributes:
      killed_at: how often at which event.
    """

    def __init__(self, seed: int):
        self.killed_at: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.runs.crashing"],
            cwd=Path(__file__).parents[2],
            env={**os.environ, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def close(self) -> None:
        self._server.stdin.close()
        assert self._server.wait(60) == 0

    def spare(self, folder: Path) -> float:
        """A life to its natural end; its length [s]."""
        begin = time.monotonic()
        for kind, what in self._life(folder):
            assert (kind, what) != ("dead", str(signal.SIGKILL))
        return time.monotonic() - begin

    def kill(self, folder: Path, longest: float) -> bool:
        """A life that ends at a random event or moment; whether it did before its natural end.

        Args:
          folder: of the run.
          longest: moments are drawn up to this one [s after birth].
        """
        event, count = self._random.choice(EVENTS), self._random.randint(1, 3)
        if self._random.random() < 0.4:
            event, count = "birth", 1
        delay = self._random.uniform(0, longest if event == "birth" else 0.03)
        pid, seen, timer, last = 0, Counter(), None, "birth"
        for kind, what in self._life(folder):
            if kind == "dead":
                break
            pid = int(what) if kind == "born" else pid
            last = what if kind == "at" else last
            seen[last] += 1
            if seen[event] == count and timer is None:
                timer = threading.Timer(delay, end, [pid])
                timer.start()
        if timer is not None:
            timer.cancel()
        if what == str(int(signal.SIGKILL)):
            self.killed_at[last] += 1
            return True
        return False

    def _life(self, folder: Path) -> Iterator[tuple[str, str]]:
        """What is told of one life, ``("dead", STATUS)`` at last."""
        self._server.stdin.write(f"{folder}\n")
        self._server.stdin.flush()
        kind = ""
        while kind != "dead":
            line = self._server.stdout.readline()
            assert line, "the server is gone"
            kind, what = line.rstrip("\n").split(" ", 1)
            assert kind != "dead" or what in ("0", str(int(signal.SIGKILL))), "a run failed"
            yield kind, what


def end(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    serve()
