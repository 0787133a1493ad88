"""Weights & Biases as a log of a run."""

from __future__ import annotations

import secrets
from typing import Any

from algd_jax.errors import ConfigError
from algd_jax.runs.logs import Record
from algd_jax.runs.tracking.service import Service

_SECONDS_TO_BEGIN, _SECONDS_TO_FINISH = 20.0, 30.0


def check() -> None:
    """Raise :class:`ConfigError` if Weights & Biases would have to ask who is there."""
    import wandb

    session = wandb.setup(wandb.Settings(silent=True))
    if session.settings.mode == "online" and not wandb.login(prompt=False, verify=False):
        raise ConfigError(
            "--log-to: wandb has no API key, allowed is wandb after `wandb login`, or with "
            "WANDB_API_KEY or WANDB_MODE=offline"
        )


class WandbLog(Service):
    """Epochs by their environment steps; those made again after a fault are there again.

    Its own files lie in the run directory; ``wandb sync`` sends what a dead network has held back.
    """

    _run: Any = None

    def _connect(self, identity: str | None) -> str:
        if self._run is None:
            self._run = self._begin(identity or secrets.token_hex(4))
        return self._run.id

    def _begin(self, identity: str) -> Any:
        import wandb

        run = wandb.init(
            id=identity,
            resume="allow",
            reinit="create_new",  # Others of this process go on.
            project=self._subject.project,
            group=self._subject.group,
            name=self._subject.path.resolve().name,
            dir=str(self._subject.path),
            config=self._subject.config,
            allow_val_change=True,  # A resumed run may go on for longer.
            settings=wandb.Settings(
                silent=True,
                console="off",
                init_timeout=_SECONDS_TO_BEGIN,
                finish_timeout=_SECONDS_TO_FINISH,
                finish_timeout_raises=True,
            ),
        )
        # Not W&B's own count, which never goes back.
        run.define_metric("*", step_metric="step")
        return run

    def _send(self, figures: Record) -> None:
        self._run.log(figures)

    def close(self, final: Record | None) -> None:
        self._run.summary.update(final or {})
        self._run.finish(exit_code=0 if final else 1)
