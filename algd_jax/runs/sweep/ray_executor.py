"""Ray runs the programs of a sweep, each as a task, wherever the cluster has room.

The sweep's folder is on a file system that all nodes see, and is all that tasks share: what a task
has done is there, so one that is lost is simply run again, from its last checkpoint.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import socket
from collections.abc import Iterator
from typing import Any

from algd_jax.errors import ConfigError
from algd_jax.files import create
from algd_jax.runs.extras import is_installed
from algd_jax.runs.run import RunError
from algd_jax.runs.sweep.directory import SweepDirectory
from algd_jax.runs.sweep.executors import Job, Resources, Watcher
from algd_jax.runs.sweep.plan import Plan
from algd_jax.runs.sweep.program import Report, run_program
from algd_jax.runs.tracking.choice import Tracking

LOSSES = 3
"""Times that a program may be lost without an epoch in between before the sweep gives up."""

_PATIENCE = 60.0
_ANSWER = 5.0


@dataclasses.dataclass(frozen=True)
class RayExecutor:
    """Runs programs as tasks of a Ray cluster.

    Attributes:
      address: of the cluster: HOST:PORT, ``auto`` for the one of this machine, or None to start one
        here, of this machine alone.
      resources: that each task asks for.
    """

    address: str | None
    resources: Resources

    def __call__(self, job: Job, watcher: Watcher) -> None:
        """Run the job's programs side by side.

        Raises:
          ConfigError: if Ray is missing, nobody answers, or no node has what a program asks for.
          RunError: if a program fails, or is lost again and again.
        """
        check_address(self.address)
        watcher.phase("waiting for the cluster")
        with _cluster(self.address) as ray:
            _check_resources(ray, self.resources)
            _Tasks(ray, self.resources, job, watcher).run()


class _Tasks:
    """The tasks of a job, watched until the last one ends."""

    def __init__(self, ray: Any, resources: Resources, job: Job, watcher: Watcher):
        self.ray, self.job, self.watcher = ray, job, watcher
        # No retries by Ray: it would not know that an epoch that was told is not told again.
        self.remote = ray.remote(
            num_cpus=resources.cpus, num_gpus=resources.gpus, max_retries=0, max_calls=1
        )(_run)
        self.stop_file = job.directory.path.resolve() / "stop"
        self.losses = dict.fromkeys(job.programs, 0)

    def run(self) -> None:
        self.stop_file.unlink(missing_ok=True)
        running = {self._start(number): number for number in self.job.programs}
        try:
            while running:
                if self.watcher.stop_requested() and not self.stop_file.exists():
                    create(self.stop_file, b"")  # Tasks ask for it after each epoch.
                ready, _ = self.ray.wait(list(running), num_returns=1, timeout=0.5)
                for stream in ready:
                    number = running.pop(stream)
                    if (going_on := self._advance(stream, number)) is not None:
                        running[going_on] = number
        finally:
            for stream in running:
                with contextlib.suppress(Exception):
                    self.ray.cancel(stream, force=True)
            self.stop_file.unlink(missing_ok=True)

    def _start(self, number: int) -> Any:
        job = self.job
        directory = SweepDirectory(job.directory.path.resolve())  # Tasks start in other folders.
        arguments = (directory, job.plan, number, job.minutes, job.command, job.tracking)
        return self.remote.options(num_returns="streaming").remote(*arguments)

    def _advance(self, stream: Any, number: int) -> Any:
        """Take what a task says next; the stream to go on with, None after its end."""
        exceptions = self.ray.exceptions
        try:
            said = self.ray.get(next(stream))
        except StopIteration:
            return None
        except exceptions.RayTaskError as error:  # It failed by itself: it would do so again.
            raise _cause(error) from None
        except exceptions.RayError as error:
            self.losses[number] += 1
            if self.losses[number] > LOSSES:
                raise RunError(
                    f"program {number} was lost {LOSSES + 1} times ({type(error).__name__}); the "
                    "same command goes on from its last checkpoint"
                ) from error
            self.watcher.tell(
                f"program {number} was lost ({type(error).__name__}); going on from its last "
                "checkpoint"
            )
            return self._start(number)
        if isinstance(said, Report):
            self.losses[number] = 0
        self.watcher.hear(said)
        return stream


def _run(
    directory: SweepDirectory,
    plan: Plan,
    number: int,
    minutes: float,
    command: tuple[str, ...],
    tracking: Tracking,
) -> Iterator[Report | str]:
    """The task: a program, from its last checkpoint to its end."""
    from algd_jax.cli import prepare_jax

    prepare_jax()
    stop = directory.path / "stop"
    yield from run_program(
        directory, plan, number, stop.exists, minutes, command, _PATIENCE, tracking
    )


@contextlib.contextmanager
def _cluster(address: str | None) -> Iterator[Any]:
    """Ray, connected."""
    import ray

    try:
        ray.init(address=address or "local", log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"--ray-address: no cluster at {address!r}: {reason}") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def check_address(address: str | None) -> None:
    """Raise :class:`ConfigError` if Ray is missing, or nobody answers at its address.

    Ray itself would try for minutes.
    """
    if not is_installed("ray"):
        raise ConfigError("executor: ray needs Ray, which is missing: pip install 'algd-jax[ray]'")
    if address in (None, "auto"):
        return
    assert address is not None
    host, _, port = address.removeprefix("ray://").rpartition(":")
    allowed = "HOST:PORT of a running Ray cluster, or auto"
    if not (host and port.isdecimal() and int(port) < 2**16):
        raise ConfigError(f"--ray-address: got {address!r}, allowed is {allowed}")
    try:
        socket.create_connection((host, int(port)), timeout=_ANSWER).close()
    except OSError as error:
        raise ConfigError(
            f"--ray-address: nobody answers at {address}, allowed is {allowed}"
        ) from error


def _check_resources(ray: Any, wanted: Resources) -> None:
    """Raise :class:`ConfigError` if no node has them: the tasks would wait for ever."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    for name, kind, count in (("cpus", "CPU", wanted.cpus), ("gpus", "GPU", wanted.gpus)):
        most = max((int(node.get(kind, 0)) for node in nodes), default=0)
        if count > most:
            raise ConfigError(
                f"--{name}: got {count}, but no node of the Ray cluster has more than {most}"
            )


def _cause(error: Any) -> Exception:
    """What a task raised, as this process would have raised it."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, ConfigError | RunError):
        return type(cause)(str(cause))
    return RunError(str(cause or error).strip().splitlines()[0])
