import dataclasses

import pytest

from algd_jax import presets
from algd_jax.config import Config, Hyper
from tests.runs.support import TINY_AGENT, TINY_LOOP, probes  # noqa: F401


def tiny(spec) -> Config:
    """A preset at the sizes of the tests' tiny runs."""
    loop = dataclasses.replace(TINY_LOOP, updates_per_step=2)
    return Config(loop=loop, agent=TINY_AGENT, hyper=Hyper(cost_limit=spec.cost_limit))


@pytest.fixture(autouse=True)
def tiny_preset(monkeypatch):
    monkeypatch.setitem(presets.PRESETS, "tiny", tiny)
