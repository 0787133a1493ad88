"""The scripts of ``examples/`` run, at sizes a test can afford."""

import dataclasses
import importlib.util
import pathlib
import types

import numpy as np
import pytest

from algd_jax.envs import registry
from tests.probes import ProbeEnv
from tests.runs.support import TINY_AGENT, TINY_LOOP

EXAMPLES = pathlib.Path(__file__).parents[1] / "examples"


def load(name: str) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_first_run(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(registry, "_FACTORIES", {"PointButton1": ProbeEnv})
    example = load("first_run")
    assert example.configuration(50_000).loop.env_steps == 50_000
    config = dataclasses.replace(example.configuration(0), loop=TINY_LOOP, agent=TINY_AGENT)
    run = example.main(config, tmp_path / "run")
    assert run.evaluation["return_mean"] == ProbeEnv().spec.episode_length  # One for each step.
    assert "return 8.0, cost 4.0" in capsys.readouterr().out
    assert (tmp_path / "run" / "example.png").read_bytes().startswith(b"\x89PNG")


def test_own_environment(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_FACTORIES", {})
    result = load("own_environment").main(str(tmp_path / "run"))
    assert result.evaluation is not None
    assert result.evaluation.env == "SpeedLimit"
    assert result.evaluation.cost_mean > 0


def test_cost_of_the_own_loop() -> None:
    """Upright, leaning to either side, hanging; as Gymnasium's observation has it."""
    angles = np.array([0.0, 0.5, -0.5, np.pi - 0.5])
    obs = np.stack([np.cos(angles), np.sin(angles), np.zeros(4)], axis=1)
    assert load("own_loop").lean_cost(obs).tolist() == [0, 1, 0, 0]


def test_own_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    example = load("own_loop")
    for name, value in {"EPISODE_STEPS": 10, "UPDATES": 1, "BATCH": 8}.items():
        monkeypatch.setattr(example, name, value)
    results = example.main(rounds=2)
    assert results.keys() == {"sac", "algd"}
    for rounds in results.values():
        assert np.shape(rounds) == (2, 2)
        returns, costs = np.transpose(rounds)
        assert (returns > -165).all()  # No step can be worse than -16.3.
        assert (returns < 0).all()
        assert (costs >= 0).all()
        assert (costs <= 10).all()


@pytest.mark.slow
def test_own_loop_learns() -> None:
    """What its docstring says: both stand, and only one of them where it may."""
    results = load("own_loop").main(rounds=15)
    for rounds in results.values():
        assert rounds[0][0] < -1000
        assert rounds[-1][0] > -400
    assert results["sac"][-1][1] > 50
    assert results["algd"][-1][1] < 8
