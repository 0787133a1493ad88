"""Recorded steps of the original engine, replayed one by one."""

import jax
import numpy as np
import pytest

from algd_jax import envs
from tests.envs import fidelity

EXACT = {"PointButton1": 0.92, "PointButton2": 1.0}
"""Share of steps in which nothing yields to a push; PointButton1's robot leans on gremlins."""


@pytest.fixture(scope="module", params=fidelity.TASKS)
def task(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def result(task: str) -> fidelity.Comparison:
    return fidelity.compare(task)


def test_costs_goals_and_termination_agree(result: fidelity.Comparison) -> None:
    assert result.cost_differs.mean() <= 0.005
    assert not result.goal_differs.any()
    assert not result.terminated_differs.any()


def test_reward_agrees_on_every_step(result: fidelity.Comparison) -> None:
    assert result.errors["reward"].max() < 1e-3


def test_lidars_agree_unless_gremlins_yield(result: fidelity.Comparison, task: str) -> None:
    for name, error in result.errors.items():
        if name.endswith("lidar"):
            assert np.quantile(error, EXACT[task]) < 1e-4, name
            assert np.quantile(error, 0.99) < 1.5e-2, name


@pytest.mark.parametrize(
    "component",
    ["position", "heading", "velocity", "yaw rate", "gyro", "velocimeter", "magnetometer"],
)
def test_motion_agrees_to_one_percent(
    result: fidelity.Comparison, task: str, component: str
) -> None:
    error, scale = result.errors[component], result.scales[component]
    assert np.quantile(error, EXACT[task]) < 2e-4 * scale
    assert np.quantile(error, 0.99) < 1e-2 * scale


def test_accelerometer_agrees(result: fidelity.Comparison, task: str) -> None:
    error, scale = result.errors["accelerometer"], result.scales["accelerometer"]
    assert np.quantile(error, EXACT[task]) < 1e-3 * scale


def test_recordings_hold_what_they_are_for(task: str) -> None:
    golden = fidelity.load(task)
    assert golden["goal_met"].any()
    assert golden["cost_hazards"].any()
    assert golden["cost_buttons"].any()
    assert task == "PointButton2" or golden["cost_gremlins"].any()


def test_first_observation_agrees(task: str) -> None:
    golden = fidelity.load(task)
    first = envs.make(task).reset(jax.random.key(3)).obs
    np.testing.assert_allclose(first, golden["obs"][golden["t"] == 0][0], atol=2e-6)
