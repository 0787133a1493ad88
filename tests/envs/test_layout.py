"""Where episodes start."""

import dataclasses

import jax
import numpy as np
import pytest

from algd_jax import envs
from algd_jax.envs.navigation import layout
from algd_jax.envs.navigation.suites import NAVIGATION_TASKS, POINT_BUTTON_1

DRAWS = 4000


@pytest.mark.parametrize(
    ("name", "distance", "goal"),
    [("PointButton1", 2.3260262824, 0), ("PointButton2", 1.5366798942, 2)],
)
def test_constant_start(name: str, distance: float, goal: int) -> None:
    env = envs.make(name)
    for seed in (0, 1):
        state = env.reset(jax.random.key(seed)).pipeline_state
        np.testing.assert_allclose(state.task.last_distance, distance, rtol=1e-6)
        assert int(state.task.goal) == goal
        assert int(state.task.timer) == 0


@pytest.fixture(scope="module", params=sorted(NAVIGATION_TASKS))
def draws(request: pytest.FixtureRequest) -> tuple[str, layout.Placement]:
    task = NAVIGATION_TASKS[request.param]
    keys = jax.random.split(jax.random.key(0), DRAWS)
    return request.param, jax.jit(jax.vmap(lambda key: layout.random_start(task, key)))(keys)


def test_random_starts_keep_their_distance(draws: tuple[str, layout.Placement]) -> None:
    name, placed = draws
    task = NAVIGATION_TASKS[name]
    assert not placed.failed.any()
    assert np.abs(placed.pose.origin).max() <= task.extent - 0.4
    kinds = {task.buttons: 0.6, task.hazards: 0.4}
    if task.gremlins is not None:
        kinds[task.gremlins] = 0.75
    for kind, keepout in kinds.items():
        offsets = np.asarray(placed.pose.origin)[:, None] - np.asarray(kind.centres)
        assert np.linalg.norm(offsets, axis=-1).min() >= keepout - 1e-6


def test_random_starts_are_uniform(draws: tuple[str, layout.Placement]) -> None:
    name, placed = draws
    goals = np.bincount(placed.goal, minlength=4) / DRAWS
    np.testing.assert_allclose(goals, 0.25, atol=0.03)
    np.testing.assert_allclose(np.mean(placed.pose.heading), np.pi, atol=0.15)
    np.testing.assert_allclose(np.std(placed.pose.heading), 2 * np.pi / np.sqrt(12), atol=0.1)
    if name == "PointButton1":  # Its layout is the same after a quarter turn.
        np.testing.assert_allclose(np.mean(placed.pose.origin, axis=0), 0.0, atol=0.06)
        spread = np.std(placed.pose.origin, axis=0)
        np.testing.assert_allclose(spread[0], spread[1], rtol=0.05)


def test_random_starts_fill_what_is_free() -> None:
    """The share of accepted tries equals the free share of the square, by a grid."""
    task = POINT_BUTTON_1
    axis = np.linspace(-1.6, 1.6, 401)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    free = np.ones(len(grid), bool)
    for kind, keepout in ((task.buttons, 0.6), (task.hazards, 0.4), (task.gremlins, 0.75)):
        offsets = grid[:, None] - np.asarray(kind.centres)
        free &= (np.linalg.norm(offsets, axis=-1) >= keepout).all(axis=1)
    keys = jax.random.split(jax.random.key(5), DRAWS)
    placed = jax.jit(jax.vmap(lambda key: layout.random_start(task, key).pose.origin))(keys)
    np.testing.assert_allclose(
        np.abs(placed).mean(axis=0), np.abs(grid[free]).mean(axis=0), atol=0.03
    )


def test_impossible_layout_fails_without_overlap() -> None:
    crowded = dataclasses.replace(POINT_BUTTON_1.hazards, keepout=9.0)
    task = dataclasses.replace(POINT_BUTTON_1, hazards=crowded)
    placed = layout.random_start(task, jax.random.key(0))
    assert bool(placed.failed)
    constant = layout.constant_start(task)
    assert jax.tree.all(jax.tree.map(np.array_equal, placed, constant._replace(failed=True)))


def test_random_start_option_reaches_reset() -> None:
    env = envs.make("PointButton2", random_start=True)
    one, other = env.reset(jax.random.key(0)), env.reset(jax.random.key(1))
    assert not np.allclose(one.pipeline_state.qpos, other.pipeline_state.qpos)
    assert float(one.info["placement_failed"]) == 0.0
