"""MLflow as a log of a run."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Mapping
from typing import Any

from algd_jax.config import flat_fields
from algd_jax.errors import ConfigError
from algd_jax.runs.logs import Record
from algd_jax.runs.tracking.service import Service

_NOT_IN_NAMES = re.compile(r"[^\w\-. :/]")
_LONGEST_VALUE = 500


def check() -> None:
    """Raise :class:`ConfigError` if no store of runs is where ``MLFLOW_TRACKING_URI`` says."""
    try:
        _client()
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"--log-to: mlflow: {reason}") from error


_SETTINGS = {
    # It would write between the lines of the run.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # The next epoch tries again: what is wrong shall be told soon, not after minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
}


def _client() -> Any:
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    import mlflow

    for name in ("mlflow", "alembic", "urllib3"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return mlflow.MlflowClient()


class MlflowLog(Service):
    """Epochs by their environment steps; of those made again after a fault the later hold."""

    _client: Any = None
    _identity: str = ""

    def _connect(self, identity: str | None) -> str:
        if self._client is None:
            self._client = _client()
        self._identity = identity or self._begin()
        run = self._client.get_run(self._identity)
        if not run.data.params:
            self._log(params=_params(self._subject.config))
        self._client.update_run(self._identity, status="RUNNING")
        return self._identity

    def _begin(self) -> str:
        client, subject = self._client, self._subject
        experiment = client.get_experiment_by_name(subject.project)
        known = experiment and experiment.experiment_id
        path = subject.path.resolve()
        tags = {"mlflow.runName": path.name, "run_dir": str(path)}
        if subject.group:
            tags["sweep"] = subject.group
        place = known or client.create_experiment(subject.project)
        return client.create_run(place, tags=tags).info.run_id

    def _send(self, figures: Record) -> None:
        self._log(metrics=_metrics(figures, figures["step"]))

    def close(self, final: Record | None) -> None:
        if final:
            self._log(metrics=_metrics(final, self._link.step))
        self._client.set_terminated(self._identity, "FINISHED" if final else "KILLED")

    def _log(self, **entries: Any) -> None:
        self._client.log_batch(self._identity, **entries)


def _metrics(figures: Record, step: int) -> list[Any]:
    from mlflow.entities import Metric

    now = int(1000 * time.time())
    return [
        Metric(_NOT_IN_NAMES.sub("_", name), float(value), now, step)
        for name, value in figures.items()
        if name != "step"
    ]


def _params(config: Mapping[str, Any]) -> list[Any]:
    from mlflow.entities import Param

    return [Param(name, str(value)[:_LONGEST_VALUE]) for name, value in flat_fields(config).items()]
