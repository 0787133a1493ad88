"""Which run of a service a run directory belongs to."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from algd_jax.errors import ConfigError
from algd_jax.files import read_json, replace

_LARGEST = 2**10
_IDENTITY = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Link:
    """Kept in a file of the run directory, so that a resumed run goes on where it was logged.

    Attributes:
      identity: of the service's run; None before there is one.
      step: of the newest epoch that was sent; -1 before there is one.
      project: that the service's run belongs to; None before it is known.
    """

    def __init__(self, path: Path):
        """Read the file, if there is one.

        Raises:
          ConfigError: if it holds something else.
        """
        self.identity: str | None = None
        self.step = -1
        self.project: str | None = None
        self._path = path
        if os.path.lexists(path):
            self.identity, self.step, self.project = _read(path)

    def save(self, identity: str, step: int) -> None:
        """Remember both, and the project."""
        self.identity, self.step = identity, step
        self._path.parent.mkdir(exist_ok=True)
        record = {"run": identity, "step": step, "project": self.project}
        replace(self._path, json.dumps(record).encode() + b"\n")


def _read(path: Path) -> tuple[str, int, str | None]:
    try:
        found = read_json(path, _LARGEST)
        identity, step, project = found["run"], found["step"], found.get("project")
        if not (_IDENTITY.fullmatch(identity) and type(step) is int):
            raise ValueError
        if not (project is None or (isinstance(project, str) and project.isprintable())):
            raise ValueError
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigError(
            f"{path}: does not say which run to go on with; without this file a new one begins"
        ) from error
    return identity, step, project
