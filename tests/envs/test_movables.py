"""Gremlins on their circles, vases and boxes on the floor, and what a push does."""

import functools
from collections.abc import Callable
from typing import Any

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from algd_jax.envs import State
from algd_jax.envs.navigation.movables import Movable, movable
from algd_jax.envs.navigation.objects import Gremlins, PushBox, Vases
from tests.envs.conftest import Rollout, hold, place

CENTRES = np.array([[0.0, -1.3], [0.0, 1.3], [1.3, 0.0], [-1.3, 0.0]])
VASE = Vases(places=1)
BOX = PushBox(places=1, half=0.2, density=0.001, keepout=0.2)
SMALL_BOX = PushBox(places=1, half=0.125, density=0.0005, keepout=0.125)
SLIDING = pytest.mark.parametrize("row", [VASE, BOX, SMALL_BOX], ids=["vase", "box", "small box"])
TIMESTEP = 0.006
OFF = np.array([0.1, 0.0])
GRAVITY = 9.81


def gremlins(travel: float) -> Gremlins:
    return Gremlins(places=4, travel=travel, keepout=0.4)


def coast(thing: Movable, timestep: float, steps: int) -> Callable[[Any], Any]:
    """From a state to the states after each of some physics steps without contact."""

    def step(state: Any, time: jax.Array) -> tuple[Any, Any]:
        force = jnp.zeros((len(state.yaw), 3))
        after = thing.advance(state, time, force)
        return after, after

    times = timestep * jnp.arange(steps)
    return jax.jit(lambda state: jax.lax.scan(step, state, times)[1])


def circle(times: np.ndarray, radius: float) -> np.ndarray:
    """Positions [T, G, 2] on the circles, clockwise from the top."""
    return CENTRES + radius * np.stack([np.sin(times), np.cos(times)], axis=-1)[:, None]


@pytest.mark.parametrize(
    ("timestep", "travel", "radius", "lag"),
    [
        (0.006, 0.3, 0.29898, 0.0838),
        (0.010, 0.3, 0.29893, 0.0798),
        (0.002, 0.35, 0.34887, 0.0878),
        (0.004, 0.35, 0.34884, 0.0858),
    ],
)
def test_gremlins_lag_on_a_steady_circle(
    timestep: float, travel: float, radius: float, lag: float
) -> None:
    """Radius and lag as MuJoCo's gremlins were recorded, for each robot's time step."""
    thing, steps = movable(gremlins(travel), timestep), int(3.0 / timestep)
    start = thing.start(jnp.asarray(CENTRES), jnp.zeros(4))
    positions = coast(thing, timestep, steps)(start).position
    times = timestep * np.arange(1, steps + 1)
    steady = times > 1.5
    wanted = circle(times - timestep - lag, radius)
    np.testing.assert_allclose(positions[steady], wanted[steady], atol=1e-4)


def test_gremlins_reach_their_circles_from_rest() -> None:
    """Distance in space from the target, as recorded; the weld also lifts them by 0.1 m."""
    after_each = slice(9, 50, 10)
    circling, lifting = (movable(gremlins(travel), TIMESTEP) for travel in (0.3, 0.0))
    start = circling.start(jnp.asarray(CENTRES), jnp.zeros(4))
    positions = coast(circling, TIMESTEP, 50)(start).position[after_each]
    times = TIMESTEP * np.arange(9, 50, 10)
    flat = np.linalg.norm(positions - circle(times, 0.3), axis=-1)[:, 0]
    # A circle of no size, missed by OFF: the weld pulls in all directions alike.
    low = lifting.start(jnp.asarray(CENTRES), jnp.zeros(4)).replace(position=CENTRES + OFF)
    lift = coast(lifting, TIMESTEP, 50)(low).position[after_each, 0, 0]
    lag = np.hypot(flat, lift)
    np.testing.assert_allclose(lag, [0.162, 0.079, 0.042, 0.028, 0.024], atol=1e-3)


def test_a_turned_and_tilted_gremlin_stands_up_again() -> None:
    thing = movable(gremlins(0.3), TIMESTEP)
    start = thing.start(jnp.asarray(CENTRES), jnp.arange(4.0))
    knocked = start.replace(yaw=start.yaw + 0.3, lean=jnp.full((4, 2), 0.02))
    after = coast(thing, TIMESTEP, 300)(knocked)
    np.testing.assert_allclose(after.yaw[-1], start.yaw, atol=1e-3)
    np.testing.assert_allclose(after.lean[-1], 0.0, atol=1e-4)
    assert np.abs(after.lean[0]).min() > 0.01


def test_a_pushed_gremlin_yields_and_comes_back() -> None:
    thing = movable(gremlins(0.3), TIMESTEP)
    start = thing.start(jnp.asarray(CENTRES), jnp.zeros(4))
    force = jnp.zeros((4, 3)).at[1].set(jnp.array([0.01, 0.0, 0.0]))
    pushed = thing.advance(start, jnp.zeros(()), force)
    alone = thing.advance(start, jnp.zeros(()), jnp.zeros((4, 3)))
    yielded = np.asarray(pushed.position - alone.position)
    assert yielded[1, 0] > 1e-6
    np.testing.assert_array_equal(yielded[[0, 2, 3]], 0.0)
    assert float(pushed.lean[1, 0]) > 0, "the touched edge yields beyond the centre"
    onwards = coast(thing, TIMESTEP, 300)
    np.testing.assert_allclose(onwards(pushed).position[-1], onwards(alone).position[-1], atol=1e-5)


def compiled(thing: Movable, density: float) -> tuple[float, float]:
    """Mass and inertia about the vertical of its boxes, as MuJoCo derives them."""
    spec = mujoco.MjSpec()
    body = spec.worldbody.add_body(name="thing")
    body.add_freejoint()
    for part in thing.prisms:
        body.add_geom(
            type=mujoco.mjtGeom.mjGEOM_BOX,
            pos=[*part.centre, 0.0],
            size=[*part.half, part.half_height],
            density=density,
        )
    model = spec.compile()
    rotation = np.zeros(9)
    mujoco.mju_quat2Mat(rotation, model.body("thing").iquat)
    vertical = rotation.reshape(3, 3)[2]
    return float(model.body("thing").mass[0]), float(vertical**2 @ model.body("thing").inertia)


@SLIDING
def test_mass_and_inertia_are_those_of_the_boxes(row: Vases | PushBox) -> None:
    thing = movable(row, TIMESTEP)
    mass, inertia = compiled(thing, row.density)
    np.testing.assert_allclose(thing.inertia, [mass, mass, inertia], rtol=1e-9)
    np.testing.assert_allclose(thing.inverse_mass, 1.0 / mass)


@pytest.mark.parametrize(("row", "mass"), [(VASE, 8e-6), (BOX, 1.28e-4), (SMALL_BOX, 1.5625e-5)])
def test_masses(row: Vases | PushBox, mass: float) -> None:
    np.testing.assert_allclose(movable(row, TIMESTEP).inertia[0], mass, rtol=1e-9)


def test_push_box_has_a_notch_in_each_side() -> None:
    """Columns round the corners stand out by half the cube's half side."""
    cube, *columns = movable(BOX, TIMESTEP).prisms
    assert cube == ((0.0, 0.0), (0.2, 0.2), 0.2)
    assert {column.centre for column in columns} == {
        (0.2, 0.2),
        (0.2, -0.2),
        (-0.2, 0.2),
        (-0.2, -0.2),
    }
    assert {(column.half, column.half_height) for column in columns} == {((0.1, 0.1), 0.2)}


def moving(thing: Movable, velocity: list[float]) -> Any:
    """One at the origin, turned a little, with a velocity (x, y, yaw)."""
    start = thing.start(jnp.zeros((1, 2)), jnp.array([0.3]))
    return start.replace(velocity=jnp.array([velocity]))


@SLIDING
def test_sliding_is_slowed_by_coulomb_friction(row: Vases | PushBox) -> None:
    thing = movable(row, TIMESTEP)
    after = coast(thing, TIMESTEP, 10)(moving(thing, [3.0, 4.0, 0.0]))
    speed = np.linalg.norm(after.velocity[:, 0, :2], axis=-1)
    np.testing.assert_allclose(speed, 5.0 - GRAVITY * TIMESTEP * np.arange(1, 11), rtol=1e-5)
    np.testing.assert_allclose(after.velocity[:, 0, 2], 0.0, atol=1e-4)


@SLIDING
@pytest.mark.parametrize("velocity", [[1.0, 0.0, 0.0], [0.0, 0.0, 8.0], [0.4, -0.8, 5.0]])
def test_what_slides_or_spins_stops(row: Vases | PushBox, velocity: list[float]) -> None:
    thing = movable(row, TIMESTEP)
    after = coast(thing, TIMESTEP, 200)(moving(thing, velocity))
    np.testing.assert_allclose(after.velocity[-1], 0.0, atol=1e-6)
    moved = np.append(after.position[-1, 0], after.yaw[-1, 0] - 0.3)
    assert moved @ velocity > 0, "onwards, before it stopped"


@SLIDING
def test_what_rests_stays(row: Vases | PushBox) -> None:
    thing = movable(row, TIMESTEP)
    start = moving(thing, [0.0, 0.0, 0.0])
    after = coast(thing, TIMESTEP, 50)(start)
    last = jax.tree.map(lambda leaf: leaf[-1], after)
    jax.tree.map(np.testing.assert_array_equal, last, start)


@functools.cache
def sliding(row: Vases | PushBox, timestep: float) -> tuple[np.ndarray, Callable[[Any], Any]]:
    thing = movable(row, timestep)
    return thing.inertia, coast(thing, timestep, 60)


@hypothesis.given(
    row=st.sampled_from([VASE, BOX, SMALL_BOX]),
    timestep=st.sampled_from([0.002, 0.01]),
    velocity=st.lists(st.floats(-5.0, 5.0, width=32), min_size=3, max_size=3),
)
@hypothesis.settings(deadline=None, max_examples=60)
def test_friction_never_adds_energy(
    row: Vases | PushBox, timestep: float, velocity: list[float]
) -> None:
    inertia, run = sliding(row, timestep)
    start = moving(movable(row, timestep), velocity)
    velocities = np.concatenate([start.velocity[None], run(start).velocity])[:, 0]
    energy = 0.5 * velocities.astype(float) ** 2 @ inertia
    assert (np.diff(energy) <= 1e-6 * energy[0] + 1e-12).all()


@SLIDING
def test_a_force_beyond_friction_accelerates_by_the_excess(row: Vases | PushBox) -> None:
    thing = movable(row, TIMESTEP)
    mass = thing.inertia[0]
    force = jnp.array([[3.0 * mass * GRAVITY, 0.0, 0.0]])
    before = moving(thing, [1.0, 0.0, 0.0])
    after = thing.advance(before, jnp.zeros(()), force)
    gained = after.velocity[0] - before.velocity[0]
    np.testing.assert_allclose(gained, [2.0 * GRAVITY * TIMESTEP, 0.0, 0.0], atol=1e-5)


@pytest.mark.parametrize("row", [gremlins(0.3), VASE, BOX], ids=["gremlin", "vase", "box"])
def test_contacts_see_the_acceleration_that_a_step_takes(row: Gremlins | Vases | PushBox) -> None:
    thing = movable(row, TIMESTEP)
    start = thing.start(jnp.ones((1, 2)), jnp.array([0.3]))
    state = start.replace(velocity=jnp.array([[0.5, -0.2, 1.0]]))
    time = jnp.asarray(0.7)
    gained = thing.advance(state, time, jnp.zeros((1, 3))).velocity - state.velocity
    np.testing.assert_allclose(
        gained / TIMESTEP, thing.bodies(state, time).free, rtol=1e-4, atol=1e-3
    )


def test_a_gremlin_pushes_a_robot_aside(start: State, rollout: Rollout) -> None:
    # Stand where gremlin 1 comes along after about half a turn, and hold still.
    standing, nowhere = place(start, [0.0, 1.0 - 0.12, np.pi]), place(start, [6.0, 6.0, 0.0])
    touched, alone = (rollout(before, hold([0.0, 0.0])) for before in (standing, nowhere))
    cost = np.asarray(touched.metrics["cost_gremlins"][:, 0])
    assert cost.any()
    first = int(cost.argmax())
    assert first > 20, "the robot must not start in contact"
    yielded = np.asarray(
        touched.pipeline_state.movables.position - alone.pipeline_state.movables.position
    )[:, 0]
    assert np.abs(yielded[first : first + 5, 1]).max() > 1e-3
    np.testing.assert_allclose(yielded[:, [0, 2, 3]], 0.0, atol=1e-6)
    moved = touched.pipeline_state.qpos[-1, 0, :2] - standing.pipeline_state.qpos[0, :2]
    assert np.linalg.norm(moved) > 1e-2
    assert np.isfinite(touched.obs).all()
