"""The velocity bodies on MuJoCo's own C code: exactness, batches, and where it may run."""

import threading
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from algd_jax import envs
from algd_jax.envs import SafetyEnv, State
from algd_jax.envs.velocity import with_mujoco
from algd_jax.envs.velocity.physics import build_model
from algd_jax.envs.velocity.suites import BODIES, VELOCITY_TASKS
from algd_jax.errors import ConfigError
from tests.envs.programs import batched_step
from tests.envs.velocity_fidelity import exact_numbers

HOPPER = "SafetyHopperVelocity-v1"
STEPS = 25


def start(env: SafetyEnv, count: int) -> State:
    return jax.jit(jax.vmap(env.reset))(jax.random.split(jax.random.key(4), count))


def drawn_actions(env: SafetyEnv, count: int) -> np.ndarray:
    """Actions [STEPS, count, A], some beyond the range."""
    rng = np.random.default_rng(5)
    high = 1.2 * np.array(env.spec.action_high)
    return rng.uniform(-high, high, (STEPS, count, len(high))).astype(np.float32)


@pytest.mark.parametrize("name", [f"Safety{body}Velocity-v1" for body in BODIES])
def test_steps_are_those_of_mujoco_bit_for_bit(name: str) -> None:
    env, step = batched_step(name, physics="mujoco")
    task = VELOCITY_TASKS[name]
    state, actions = start(env, 3), drawn_actions(env, 3)
    model = build_model(task.body.asset)
    singles = [mujoco.MjData(model) for _ in range(3)]
    for i, data in enumerate(singles):
        data.qpos[:], data.qvel[:] = (
            np.asarray(part, np.float64)[i]
            for part in (state.pipeline_state.qpos, state.pipeline_state.qvel)
        )
        mujoco.mj_forward(model, data)
    for action in actions:
        places = exact_numbers(state.pipeline_state)[:, -task.body.axes :]
        state = step(state, jnp.asarray(action))
        for i, data in enumerate(singles):
            data.ctrl[:] = action[i]
            mujoco.mj_step(model, data, task.body.frame_skip)
            place = _place(task.body.place, data)[: task.body.axes]
            wanted = [[data.time], data.qpos, data.qvel, data.qacc_warmstart, place]
            got = exact_numbers(state.pipeline_state)[i]
            np.testing.assert_array_equal(got, np.concatenate(wanted))
            velocity = ((place - places[i]) / env.dt).astype(np.float32)
            assert state.metrics["x_velocity"][i] == velocity[0]
            mujoco.mj_rnePostConstraint(model, data)
            forces = [getattr(data, field).ravel() for field in task.forces]
            observed = np.concatenate([data.qpos[task.body.axes :], data.qvel, *forces])
            clipped = np.asarray(state.obs[i])
            np.testing.assert_array_equal(clipped, _clipped(observed, task.body, model))


def _place(where: tuple[str, int] | None, data: mujoco.MjData) -> np.ndarray:
    return data.qpos if where is None else getattr(data, where[0])[where[1]]


def _clipped(observed: np.ndarray, body: Any, model: mujoco.MjModel) -> np.ndarray:
    observed = observed.astype(np.float32)
    velocities = slice(model.nq - body.axes, model.nq - body.axes + model.nv)
    clip = body.velocity_clip
    observed[velocities] = np.clip(observed[velocities], -clip, clip)
    return observed


def rollout(env: SafetyEnv, state: State, actions: np.ndarray) -> State:
    """The states after each of the actions [T, N, A], in one program."""

    def step(state: State, action: jax.Array) -> tuple[State, State]:
        after = jax.vmap(env.step)(state, action)
        return after, after

    return jax.jit(lambda state, actions: jax.lax.scan(step, state, actions)[1])(
        state, jnp.asarray(actions)
    )


def test_any_number_of_threads_makes_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for cores in (1, 3):
        monkeypatch.setattr(with_mujoco, "_usable_cores", lambda cores=cores: cores)
        env = envs.make("Ant", physics="mujoco")
        results.append(rollout(env, start(env, 8), drawn_actions(env, 8)))
        assert env._simulator._batches[8].nthread == cores
    jax.tree.map(np.testing.assert_array_equal, *results)


def test_going_on_from_a_saved_state_makes_the_same_numbers() -> None:
    """What an episode carries is all in the state, whatever was simulated in between."""
    env, step = batched_step(HOPPER, physics="mujoco")
    state, actions = start(env, 4), drawn_actions(env, 4)
    halfway, states = None, []
    for t, action in enumerate(actions):
        if t == STEPS // 2:
            halfway = jax.device_get(state)
        state = step(state, jnp.asarray(action))
        states.append(state)
    again = halfway
    for t in range(STEPS // 2, STEPS):
        again = step(again, jnp.asarray(actions[t]))
        jax.tree.map(np.testing.assert_array_equal, again, states[t])


def test_a_population_is_simulated_in_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    env = envs.make(HOPPER, physics="mujoco")
    state, actions = start(env, 6), drawn_actions(env, 6)[0]
    flat = jax.jit(jax.vmap(env.step))(state, jnp.asarray(actions))
    sizes = []
    batch = env._simulator._batch
    monkeypatch.setattr(env._simulator, "_batch", lambda size: (sizes.append(size), batch(size))[1])
    members = jax.tree.map(lambda leaf: leaf.reshape(2, 3, *leaf.shape[1:]), (state, actions))
    nested = jax.jit(jax.vmap(jax.vmap(env.step)))(*members)
    assert sizes == [6]
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b.reshape(a.shape)), flat, nested)


def test_programs_of_several_threads_may_share_an_environment() -> None:
    env = envs.make(HOPPER, physics="mujoco")
    state, actions = start(env, 4), drawn_actions(env, 4)
    wanted, results = rollout(env, state, actions), {}

    def run(number: int) -> None:
        results[number] = jax.block_until_ready(rollout(env, state, actions))

    threads = [threading.Thread(target=run, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(3):
        jax.tree.map(np.testing.assert_array_equal, results[i], wanted)


def test_a_state_that_goes_bad_is_found_and_not_replaced(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # MuJoCo notes it in a file of the working directory.
    env, step = batched_step("SafetyHalfCheetahVelocity-v1", physics="mujoco")
    state = start(env, 2)
    numbers = exact_numbers(state.pipeline_state).copy()
    numbers[1, 3] = np.nan
    broken = state.pipeline_state.replace(exact=jnp.asarray(numbers.view(np.uint32)))
    after = step(state.replace(pipeline_state=broken), jnp.zeros((2, 6)))
    assert np.isnan(after.pipeline_state.qpos[1]).any()
    assert np.isfinite(after.obs[0]).all()


def test_the_device_chooses_the_physics(monkeypatch: pytest.MonkeyPatch) -> None:
    assert envs.make(HOPPER).backend == envs.make(HOPPER).physics == "mujoco"
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert envs.make(HOPPER).backend == envs.make(HOPPER).physics == "mjx"
    with pytest.raises(ConfigError, match="physics: got mujoco on a gpu, allowed is mjx"):
        envs.make(HOPPER, physics="mujoco")


def test_unknown_physics_is_one_clear_line() -> None:
    with pytest.raises(
        ConfigError, match=r"physics: unknown name 'brax'; allowed: auto, mjx, mujoco"
    ):
        envs.make(HOPPER, physics="brax")
