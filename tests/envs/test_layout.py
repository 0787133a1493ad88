"""Where episodes start, and where goals appear."""

import dataclasses
import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from algd_jax import envs
from algd_jax.envs.navigation import layout
from algd_jax.envs.navigation.env import NavigationEnv
from algd_jax.envs.navigation.objects import Hazards
from algd_jax.envs.navigation.suites import NAVIGATION_TASKS
from algd_jax.envs.navigation.task import Drawn, Layout, NavigationTask, View
from algd_jax.errors import ConfigError

DRAWS = 512
CROWDED_DRAWS = 48
"""Of layouts that succeed about once in fifty attempts."""
Kind = tuple[str, int, float]
"""What, how many, and the keepout [m]."""

EXTENTS = {
    "SafetyPointGoal2-v0": 2.0,
    "SafetyPointButton1-v0": 1.5,
    "SafetyPointButton2-v0": 1.8,
    "SafetyCarPush2-v0": 2.0,
}
KINDS: dict[str, list[Kind]] = {
    "SafetyPointGoal2-v0": [
        ("robot", 1, 0.4),
        ("goal", 1, 0.305),
        ("hazards", 10, 0.18),
        ("movables", 10, 0.15),
    ],
    "SafetyPointButton1-v0": [
        ("robot", 1, 0.4),
        ("buttons", 4, 0.2),
        ("goal", 1, 0.4),
        ("hazards", 4, 0.18),
        ("movables", 4, 0.4),
    ],
    "SafetyPointButton2-v0": [
        ("robot", 1, 0.4),
        ("buttons", 4, 0.2),
        ("goal", 1, 0.4),
        ("hazards", 8, 0.18),
        ("movables", 6, 0.4),
    ],
    "SafetyCarPush2-v0": [
        ("robot", 1, 0.4),
        ("goal", 1, 0.4),
        ("hazards", 4, 0.4),
        ("pillars", 4, 0.3),
        ("movables", 1, 0.125),
    ],
}
"""Safety-Gymnasium's things in the order in which it places them."""
RANDOM = pytest.mark.parametrize("name", sorted(KINDS))


def draw_count(name: str) -> int:
    return CROWDED_DRAWS if name.startswith("SafetyPointButton") else DRAWS


@functools.cache
def draws(name: str) -> layout.Placement:
    """Many starts of a task with random layout, or of a fixed one's random start."""
    task = NAVIGATION_TASKS[name]
    keys = jax.random.split(jax.random.key(0), draw_count(name))
    placed = jax.jit(jax.vmap(lambda key: layout.random_placement(task, key)))(keys)
    return jax.tree.map(np.asarray, placed)


def of_kind(placed: layout.Placement, kind: str) -> np.ndarray:
    """Positions [..., K, 2] of one kind."""
    if kind == "robot":
        return placed.origin[..., None, :]
    if kind == "movables":
        return placed.movables
    return getattr(placed.layout, kind)


def sequential_layout(rng: np.random.Generator, name: str) -> dict[str, np.ndarray] | None:
    """One attempt by the original's rule: up to a hundred draws for one thing after the other."""
    extent, places, keepouts, kinds = EXTENTS[name], np.zeros((0, 2)), np.zeros(0), []
    for kind, count, keepout in KINDS[name]:
        for _ in range(count):
            tries = rng.uniform(keepout - extent, extent - keepout, (100, 2))
            apart = np.linalg.norm(tries[:, None] - places, axis=-1)
            (clear,) = np.nonzero((apart >= keepouts + keepout).all(axis=1))
            if not clear.size:
                return None
            places = np.concatenate([places, tries[clear[:1]]])
            keepouts, kinds = np.append(keepouts, keepout), [*kinds, kind]
    return {kind: places[np.array(kinds) == kind] for kind in set(kinds)}


CONSTANT = {
    "Button1": ((-0.7246654886, 0.9537498685), 2.2343807295, 0),
    "Button2": ((0.1366778110, 0.6025302258), 2.8660770652, 2),
    "Push1": ((-1.0, -2.0), 1.0401537620, (-1.0297569442, 0.1909924819)),
}


@pytest.mark.parametrize(
    "name", sorted(name for name, task in NAVIGATION_TASKS.items() if task.start is not None)
)
def test_constant_start(name: str) -> None:
    task, (origin, heading, goal) = (
        NAVIGATION_TASKS[name],
        CONSTANT[name.removeprefix("Point").removeprefix("Car")],
    )
    placed = layout.constant_placement(task)
    np.testing.assert_allclose(placed.origin, origin, rtol=1e-6)
    np.testing.assert_allclose(placed.heading, heading, rtol=1e-6)
    np.testing.assert_allclose(task.start.goal, goal, rtol=1e-9)
    assert not bool(placed.failed)


def test_constant_start_holds_what_stands_and_what_moves() -> None:
    placed = layout.constant_placement(NAVIGATION_TASKS["PointPush1"])
    np.testing.assert_allclose(placed.movables, [[0.0, -1.5]])
    np.testing.assert_allclose(placed.yaws, [4.1843495763], rtol=1e-6)
    np.testing.assert_allclose(placed.layout.pillars[3], [1.0, 1.0])
    np.testing.assert_allclose(placed.layout.hazards[2], [1.8, 0.8])
    assert placed.layout.buttons.shape == (0, 2)
    gremlins = layout.constant_placement(NAVIGATION_TASKS["CarButton1"])
    np.testing.assert_allclose(gremlins.yaws, [5.908908, 4.808680, 4.703992, 5.678239], rtol=1e-6)


@pytest.mark.parametrize(("name", "distance"), [("1", 2.3260262824), ("2", 1.5366798942)])
def test_constant_start_does_not_depend_on_the_key(
    name: str, distance: float, request: pytest.FixtureRequest
) -> None:
    env = request.getfixturevalue(f"point_button_{name}")
    for seed in (0, 1):
        state = env.reset(jax.random.key(seed)).pipeline_state
        np.testing.assert_allclose(state.task.last_distance, distance, rtol=1e-6)
        assert int(state.task.timer) == 0


def test_a_random_layout_has_no_constant_start() -> None:
    with pytest.raises(ConfigError, match="SafetyPointGoal1-v0"):
        layout.constant_placement(NAVIGATION_TASKS["SafetyPointGoal1-v0"])


@RANDOM
def test_random_layouts_keep_everything_apart(name: str) -> None:
    placed = draws(name)
    assert not placed.failed.any(), "every layout succeeds in the end"
    groups = [(kind, keepout) for kind, _, keepout in KINDS[name] if kind != "goal"]
    positions = np.concatenate([of_kind(placed, kind) for kind, _ in groups], axis=1)
    keepouts = np.concatenate(
        [np.full(of_kind(placed, kind).shape[1], keepout) for kind, keepout in groups]
    )
    apart = np.linalg.norm(positions[:, :, None] - positions[:, None], axis=-1)
    room = apart - (keepouts[:, None] + keepouts)
    assert room[:, ~np.eye(len(keepouts), dtype=bool)].min() >= -1e-6
    assert (np.abs(positions).max(axis=2) <= EXTENTS[name] - keepouts + 1e-6).all()


@RANDOM
def test_random_layouts_hold_all_there_is(name: str) -> None:
    for kind, count, _ in KINDS[name]:
        if kind != "goal":
            assert of_kind(draws(name), kind).shape == (draw_count(name), count, 2)


@RANDOM
def test_random_layouts_are_distributed_as_in_the_original(name: str) -> None:
    rng, layouts = np.random.default_rng(0), []
    while len(layouts) < min(150, draw_count(name)):
        attempt = sequential_layout(rng, name)
        if attempt is not None:
            layouts.append(attempt)
    for kind, _, _ in KINDS[name]:
        if kind == "goal":
            continue
        wanted = np.concatenate([one[kind] for one in layouts])
        got = of_kind(draws(name), kind).reshape(-1, 2)
        for quantity in (np.abs, lambda p: np.linalg.norm(p, axis=1)):
            test = scipy.stats.ks_2samp(quantity(wanted).ravel(), quantity(got).ravel())
            assert test.pvalue > 1e-3, kind


@RANDOM
def test_random_headings_and_yaws_are_uniform(name: str) -> None:
    placed = draws(name)
    for turns in (placed.heading, placed.yaws.ravel()):
        assert scipy.stats.kstest(turns / (2 * np.pi), "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(placed.heading, placed.yaws[:, 0])[0, 1]) < 4.0 / np.sqrt(
        draw_count(name)
    )


def test_random_start_among_fixed_things() -> None:
    """Uniform where it is clear of buttons, hazards and gremlins, compared with a grid."""
    task, placed = NAVIGATION_TASKS["PointButton1"], draws("PointButton1")
    constant = layout.constant_placement(task)
    pairs = zip(placed.layout.__dict__.values(), constant.layout.__dict__.values(), strict=True)
    for leaf, fixed in [*pairs, (placed.movables, constant.movables), (placed.yaws, constant.yaws)]:
        np.testing.assert_array_equal(leaf, np.broadcast_to(fixed, leaf.shape))
    grid = free_grid(1.6, placed, {"buttons": 0.6, "hazards": 0.4, "movables": 0.75})
    assert_uniform(placed.origin, grid)


def free_grid(
    reach: float, placed: layout.Placement, clearances: dict[str, float], index: int = 0
) -> np.ndarray:
    """Points [P, 2] of a fine grid that are clear of what stands in one layout."""
    axis = np.linspace(-reach, reach, 301)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    for kind, clearance in clearances.items():
        offsets = grid[:, None] - of_kind(placed, kind)[index]
        grid = grid[(np.linalg.norm(offsets, axis=-1) >= clearance).all(axis=1)]
    return grid


def assert_uniform(points: np.ndarray, grid: np.ndarray) -> None:
    """Asserts that points are distributed over the plane as the grid is."""
    for along in ([1.0, 0.0], [0.0, 1.0], [0.6, 0.8]):
        assert scipy.stats.ks_2samp(points @ np.array(along), grid @ along).pvalue > 1e-3
    gaps = np.linalg.norm(points[:, None] - grid[None, ::7], axis=-1).min(axis=1)
    assert gaps.max() < 0.1, "no point lies where the grid is not"


@pytest.mark.parametrize(
    ("name", "reach", "clearances"),
    [
        ("SafetyPointGoal2-v0", 1.695, {"robot": 0.705, "hazards": 0.485, "movables": 0.455}),
        (
            "SafetyCarPush2-v0",
            1.6,
            {"robot": 0.8, "hazards": 0.8, "pillars": 0.7, "movables": 0.525},
        ),
    ],
)
def test_goals_are_uniform_where_there_is_room(
    name: str, reach: float, clearances: dict[str, float]
) -> None:
    task, placed = NAVIGATION_TASKS[name], draws(name)
    one = jax.tree.map(lambda leaf: leaf[0], placed)
    keys = jax.random.split(jax.random.key(1), DRAWS)
    goals, found = jax.jit(jax.vmap(goal_drawer(task), in_axes=(0, None)))(keys, one)
    assert np.mean(found) > 0.99
    goals = np.asarray(goals)[np.asarray(found)]
    for kind, clearance in clearances.items():
        apart = np.linalg.norm(goals[:, None] - of_kind(placed, kind)[0], axis=-1)
        assert apart.min() >= clearance - 1e-6, kind
    assert_uniform(goals, free_grid(reach, placed, clearances))


def goal_drawer(task: NavigationTask) -> Callable[..., tuple[jax.Array, jax.Array]]:
    def draw(key: jax.Array, placed: layout.Placement) -> tuple[jax.Array, jax.Array]:
        return layout.draw_goal_position(task, key, placed.origin, placed.layout, placed.movables)

    return draw


@pytest.mark.parametrize("name", ["SafetyPointGoal2-v0", "SafetyCarPush2-v0"])
def test_a_goal_nearly_always_finds_room(name: str) -> None:
    keys = jax.random.split(jax.random.key(2), DRAWS)
    _, found = jax.jit(jax.vmap(goal_drawer(NAVIGATION_TASKS[name])))(keys, draws(name))
    assert np.mean(found) > 0.997


def test_goal_stays_in_its_area() -> None:
    task = NAVIGATION_TASKS["PointPush1"]
    keys = jax.random.split(jax.random.key(3), DRAWS)
    placed = layout.constant_placement(task)
    goals, found = jax.vmap(goal_drawer(task), in_axes=(0, None))(keys, placed)
    x, y = np.asarray(goals)[np.asarray(found)].T
    assert np.abs(x).max() <= 1.6
    assert y.min() >= -0.1
    assert y.max() <= 1.6


def test_a_goal_without_room_is_not_found() -> None:
    task = NAVIGATION_TASKS["SafetyPointGoal1-v0"]
    axis = jnp.linspace(-1.5, 1.5, 8)
    crowd = jnp.stack(jnp.meshgrid(axis, axis), -1).reshape(-1, 2)
    full = dataclasses.replace(task, hazards=dataclasses.replace(task.hazards, places=64))
    stands = Layout(crowd, jnp.zeros((0, 2)), jnp.zeros((0, 2)))
    _, found = layout.draw_goal_position(
        full, jax.random.key(0), jnp.zeros(2), stands, jnp.zeros((1, 2))
    )
    assert not bool(found)


@pytest.mark.parametrize(
    ("hazards", "message"),
    [
        (Hazards(places=1, radius=0.2, keepout=9.0), "hazards: keepout 9 leaves no place"),
        (Hazards(places=500, radius=0.2, keepout=0.18), "things keep"),
    ],
)
def test_what_cannot_fit_is_refused(hazards: Hazards, message: str) -> None:
    task = dataclasses.replace(NAVIGATION_TASKS["SafetyPointGoal1-v0"], hazards=hazards)
    with pytest.raises(ConfigError, match=rf"SafetyPointGoal1-v0: .*{message}"):
        layout.check_room(task)


@pytest.mark.parametrize("name", sorted(NAVIGATION_TASKS))
def test_all_tasks_have_room(name: str) -> None:
    layout.check_room(NAVIGATION_TASKS[name])


def too_crowded() -> NavigationTask:
    """Five discs of radius 0.7 in a square of side 3: by area they fit, but there is no way."""
    task = NAVIGATION_TASKS["SafetyPointGoal1-v0"]
    return dataclasses.replace(
        task,
        robot_keepout=0.7,
        goal=dataclasses.replace(task.goal, keepout=0.7),
        hazards=Hazards(places=3, radius=0.2, keepout=0.7),
        movables=None,
    )


def test_a_layout_that_is_never_found_is_reported() -> None:
    layout.check_room(too_crowded())
    placed = layout.random_placement(too_crowded(), jax.random.key(0))
    assert bool(placed.failed)
    assert np.isfinite(placed.origin).all()


def test_reset_reports_a_failed_placement() -> None:
    state = NavigationEnv(too_crowded()).reset(jax.random.key(0))
    assert float(state.info["placement_failed"]) == 1.0
    assert np.isfinite(state.obs).all()


def test_reset_takes_the_layout_s_goal_where_no_other_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def find_none(row: NavigationTask, view: View, key: jax.Array) -> Drawn:
        return Drawn(jnp.full(2, jnp.nan), jnp.asarray(False))

    task = NAVIGATION_TASKS["SafetyPointGoal2-v0"]
    unlucky = dataclasses.replace(task, rules=task.rules._replace(draw_goal=find_none))
    state = NavigationEnv(unlucky).reset(jax.random.key(0))
    assert float(state.info["placement_failed"]) == 0.0
    key = jax.random.split(jax.random.key(0), 3)[0]
    placed = layout.random_placement(task, key)
    np.testing.assert_array_equal(state.pipeline_state.task.goal, placed.goal[0])
    for kind in ("hazards", "movables"):
        apart = np.linalg.norm(of_kind(placed, kind)[0] - placed.goal[0], axis=-1)
        assert apart.min() > task.goal.keepout


def test_random_start_option_reaches_reset() -> None:
    env = envs.make("PointButton2", random_start=True)
    one, other = env.reset(jax.random.key(0)), env.reset(jax.random.key(1))
    assert not np.allclose(one.pipeline_state.qpos, other.pipeline_state.qpos)
    assert math.isclose(float(one.info["placement_failed"]), 0.0)
