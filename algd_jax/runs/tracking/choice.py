"""Which services a run is logged to, besides its own files."""

from __future__ import annotations

import dataclasses
import importlib
import os
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

from algd_jax.config import Config
from algd_jax.errors import ConfigError, unknown_name
from algd_jax.runs.directory import RunDirectory
from algd_jax.runs.extras import is_installed
from algd_jax.runs.logs import Log
from algd_jax.runs.tracking.background import Background
from algd_jax.runs.tracking.link import Link
from algd_jax.runs.tracking.service import Subject

Name = Literal["wandb", "mlflow"]

DEFAULT_PROJECT = "algd-jax"


class _Kind(NamedTuple):
    """How a service is used.

    Attributes:
      module: of this package, with ``check`` and the class; imported only when it is used.
      log: name of the class.
      variable: the service's own environment variable for the name of a project.
    """

    module: str
    log: str
    variable: str


_KINDS = {
    "wandb": _Kind("wandb_log", "WandbLog", "WANDB_PROJECT"),
    "mlflow": _Kind("mlflow_log", "MlflowLog", "MLFLOW_EXPERIMENT_NAME"),
}
"""By the name of the package, which is also that of the extra."""


@dataclasses.dataclass(frozen=True)
class Tracking:
    """Where a run is logged, besides its own files; it changes nothing else.

    Attributes:
      log_to: wandb (Weights & Biases) or mlflow (MLflow) or both, the extras of these names.
      project: name of the project there, MLflow's experiment; by default that of WANDB_PROJECT or
        MLFLOW_EXPERIMENT_NAME, else algd-jax.
    """

    log_to: tuple[Name, ...] = ()
    project: str | None = None

    @property
    def flag(self) -> str:
        """As it stands on a command line, behind something."""
        return f" --log-to {' '.join(self.log_to)}" if self.log_to else ""

    def left_out(self, directory: RunDirectory) -> list[str]:
        """The services that a run has been logged to, but is not now."""
        known = [name for name in _KINDS if directory.tracker_file(name).exists()]
        return [name for name in known if name not in self.log_to]

    def check(self, *directories: RunDirectory) -> None:
        """Raise :class:`ConfigError` if a service is unknown, missing, or cannot work, or a run
        directory does not say which of its runs to go on with."""
        for name in self.log_to:
            if name not in _KINDS:
                raise unknown_name("log_to", name, _KINDS)
            if not is_installed(name):
                raise ConfigError(
                    f"--log-to: {name} is not installed: pip install 'algd-jax[{name}]'"
                )
            for directory in directories:
                Link(directory.tracker_file(name))
            _module(name).check()

    def logs(
        self,
        config: Config,
        directory: RunDirectory,
        tell: Callable[[str], None],
        group: str | None = None,
    ) -> Sequence[Log]:
        """The logs of one run.

        Args:
          config: of the run.
          directory: of the run.
          tell: takes a line for the user, from another thread.
          group: the sweep that the run belongs to.
        """
        return [
            Background(name, self._log(name, config, directory, group), tell)
            for name in dict.fromkeys(self.log_to)
        ]

    def _log(self, name: str, config: Config, directory: RunDirectory, group: str | None) -> Log:
        kind = _KINDS[name]
        link = Link(directory.tracker_file(name))
        # A run that was logged before goes on where it is.
        named = link.project or self.project or os.environ.get(kind.variable)
        link.project = named or DEFAULT_PROJECT
        subject = Subject(directory.path, dataclasses.asdict(config), link.project, group)
        return getattr(_module(name), kind.log)(subject, link)


def _module(name: str) -> Any:
    return importlib.import_module(f"algd_jax.runs.tracking.{_KINDS[name].module}")
