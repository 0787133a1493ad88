import pathlib
import sys

import pytest

from tests.runs.support import probes  # noqa: F401

FAKES = pathlib.Path(__file__).parent / "fakes"


@pytest.fixture
def fakes(monkeypatch):
    """Stand-ins for both packages, found before the real ones; returns the modules."""
    monkeypatch.syspath_prepend(str(FAKES))
    for name in [name for name in sys.modules if name.partition(".")[0] in ("wandb", "mlflow")]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("WANDB_PROJECT", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    import mlflow
    import wandb

    yield {"wandb": wandb, "mlflow": mlflow}
    for name in ("wandb", "mlflow", "mlflow.entities"):
        sys.modules.pop(name, None)
