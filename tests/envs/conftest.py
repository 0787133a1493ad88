"""Environments and compiled rollouts, shared because compiling them is what the tests wait for."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import pytest

from algd_jax import envs

N = 16
STEPS = 100

Rollout = Callable[[envs.State, jax.Array], envs.State]


@pytest.fixture(scope="session")
def point_button_1() -> envs.SafetyEnv:
    return envs.make("PointButton1")


@pytest.fixture(scope="session")
def point_button_2() -> envs.SafetyEnv:
    return envs.make("PointButton2")


@pytest.fixture(scope="session")
def start(point_button_1: envs.SafetyEnv) -> envs.State:
    """N copies of the first state of PointButton1 in an `EpisodeWrapper`, with N keys."""
    wrapped = envs.EpisodeWrapper(point_button_1)
    return wrapped.reset(jax.random.split(jax.random.key(0), N))


@pytest.fixture(scope="session")
def rollout(point_button_1: envs.SafetyEnv) -> Rollout:
    """(state of N environments, actions [STEPS, N, 2]) to all states, axes [STEPS, N]."""
    wrapped = envs.EpisodeWrapper(point_button_1)

    def step(state: envs.State, action: jax.Array) -> tuple[envs.State, envs.State]:
        after = wrapped.step(state, action)
        return after, after

    return jax.jit(lambda state, actions: jax.lax.scan(step, state, actions)[1])


def hold(action: jax.Array | list[float]) -> jax.Array:
    """One action [2], or one for each environment [N, 2], held for all steps."""
    return jnp.broadcast_to(jnp.asarray(action, jnp.float32), (STEPS, N, 2))


def place(state: envs.State, qpos: jax.Array | list[float], goal: int = 0) -> envs.State:
    """The same environments with the robots elsewhere; qpos [3] or [N, 3]."""
    before = state.pipeline_state
    poses = jnp.broadcast_to(jnp.asarray(qpos, jnp.float32), before.qpos.shape)
    buttons = jnp.array([[-1.3, -1.3], [1.3, -1.3], [-1.3, 1.3], [1.3, 1.3]])
    task = before.task.replace(
        goal=jnp.full_like(before.task.goal, goal),
        last_distance=jnp.linalg.norm(buttons[goal] - poses[:, :2], axis=1),
    )
    return state.replace(pipeline_state=before.replace(qpos=poses, task=task))
