"""The Brax interface: one example, pure, and accepted by Brax's own trainers."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import brax.envs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brax.training.agents.ppo import networks as ppo_networks
from brax.training.agents.ppo import train as ppo
from brax.training.agents.sac import networks as sac_networks
from brax.training.agents.sac import train as sac

from algd_jax import envs
from algd_jax.envs import SafetyEnv, State
from tests.envs.conftest import N, Rollout, hold
from tests.envs.programs import batched_step

Metrics = dict[str, Any]
Trainer = Callable[[SafetyEnv], tuple[Metrics, Any]]

METRICS = {"cost", "cost_hazards", "cost_buttons", "cost_gremlins", "goal_met"}


@pytest.fixture(scope="module")
def keys() -> jax.Array:
    return jax.random.split(jax.random.key(4), N)


def test_reset_and_step_have_one_structure(point_button_1: SafetyEnv) -> None:
    first = jax.eval_shape(point_button_1.reset, jax.random.key(0))
    after = jax.eval_shape(point_button_1.step, first, jnp.zeros(2))
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), first) == jax.tree.map(
        lambda leaf: (leaf.shape, leaf.dtype), after
    )
    assert set(first.metrics) == METRICS
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(first.metrics))
    for leaf in (first.reward, first.done):
        assert (leaf.shape, leaf.dtype) == ((), jnp.float32)
    assert (first.obs.shape, first.obs.dtype) == ((76,), jnp.float32)


def test_observation_layout(point_button_1: SafetyEnv, point_button_2: SafetyEnv) -> None:
    for env, magnetometer in ((point_button_1, slice(70, 73)), (point_button_2, slice(54, 57))):
        state = env.reset(jax.random.key(0))
        heading = float(state.pipeline_state.qpos[2])
        wanted = [-0.5 * np.sin(heading), -0.5 * np.cos(heading), 0.0]
        np.testing.assert_allclose(state.obs[magnetometer], wanted, atol=1e-6)
        np.testing.assert_allclose(state.obs[:3], [0.0, 0.0, 9.81], atol=1e-6)


def products(jaxpr: Any) -> Iterator[Any]:
    """All matrix products of a program, those inside its loops and functions too."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            yield equation
        for inner in jax.tree.leaves(list(equation.params.values())):
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                yield from products(inner)


def precisions(program: Any) -> set[Any]:
    """Precisions of all operands of matrix products in a `jax.make_jaxpr`."""
    found = list(products(program.jaxpr))
    assert found
    return {each for one in found for each in one.params["precision"] or (None,)}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *((name, {}) for name in ("PointButton1", "CarButton1", "PointPush1")),
        *((name, {"physics": "mjx"}) for name in ("Hopper", "Ant")),
    ],
)
def test_no_matrix_product_of_a_simulation_is_rounded_as_accelerators_do(
    name: str, options: dict[str, str]
) -> None:
    env = envs.make(name, **options)
    state = jax.eval_shape(env.reset, jax.random.key(0))
    found = [
        *products(jax.make_jaxpr(env.reset)(jax.random.key(0)).jaxpr),
        *products(jax.make_jaxpr(env.step)(state, jnp.zeros(env.spec.action_size)).jaxpr),
    ]
    assert len(found) > 10
    highest = jax.lax.Precision.HIGHEST
    assert all(set(one.params["precision"] or ()) == {highest} for one in found)


def test_plain_jit_and_vmap_agree() -> None:
    env, batched = batched_step("PointButton2")
    state = env.reset(jax.random.PRNGKey(0))
    action = jnp.array([0.7, -1.0])
    plain = env.step(state, action)
    jitted = jax.jit(env.step)(state, action)
    # As many as are recorded, because that program is there.
    batch = jax.tree.map(lambda leaf: jnp.stack([leaf] * 480), state)
    mapped = batched(batch, jnp.stack([action] * 480))
    for got in (jitted, jax.tree.map(lambda leaf: leaf[1], mapped)):
        np.testing.assert_allclose(got.obs, plain.obs, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(got.reward, plain.reward, atol=1e-6)
        np.testing.assert_allclose(
            got.pipeline_state.qpos, plain.pipeline_state.qpos, rtol=1e-5, atol=1e-6
        )


def test_same_key_same_episode(start: State, rollout: Rollout) -> None:
    actions = jax.random.uniform(jax.random.key(9), (100, N, 2), minval=-1.0)
    one, other = rollout(start, actions), rollout(start, actions)
    np.testing.assert_array_equal(one.obs, other.obs)


def test_raw_and_typed_keys(point_button_1: SafetyEnv) -> None:
    typed = point_button_1.reset(jax.random.key(7))
    raw = point_button_1.reset(jax.random.PRNGKey(7))
    np.testing.assert_array_equal(typed.obs, raw.obs)
    np.testing.assert_array_equal(
        jax.random.key_data(typed.pipeline_state.key), raw.pipeline_state.key
    )


def test_actions_are_clipped(start: State, rollout: Rollout) -> None:
    big, one = rollout(start, hold([5.0, 5.0])), rollout(start, hold([1.0, 1.0]))
    np.testing.assert_array_equal(big.pipeline_state.qpos, one.pipeline_state.qpos)


def test_wrong_action_shape_is_refused_while_tracing(point_button_1: SafetyEnv) -> None:
    state = point_button_1.reset(jax.random.key(0))
    with pytest.raises(ValueError, match=r"PointButton1: action has shape \(3,\), expected \(2,\)"):
        jax.eval_shape(point_button_1.step, state, jnp.zeros(3))


def test_brax_auto_reset_restores_the_task(point_button_2: SafetyEnv) -> None:
    wrapped = brax.envs.training.wrap(point_button_2, episode_length=3)
    state = first = wrapped.reset(jax.random.split(jax.random.PRNGKey(0), 2))
    step = jax.jit(wrapped.step)
    for _ in range(3):
        moved = state
        state = step(state, jnp.ones((2, 2)))
    assert float(moved.pipeline_state.time[0]) > 0.1
    np.testing.assert_array_equal(state.done, 1.0)
    np.testing.assert_allclose(state.pipeline_state.time, 0.0)
    np.testing.assert_allclose(
        state.pipeline_state.task.last_distance, first.pipeline_state.task.last_distance
    )
    np.testing.assert_allclose(state.obs, first.obs)


def replicate(tree: Any, devices: list[jax.Device]) -> Any:
    """What `jax.device_put_replicated` did; Brax 0.14 still calls it and JAX 0.10 lacks it."""
    return jax.tree.map(lambda leaf: jnp.stack([jnp.asarray(leaf)] * len(devices)), tree)


@pytest.fixture
def brax_runs_on_this_jax(monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(jax, "device_put_replicated"):
        monkeypatch.setattr(jax, "device_put_replicated", replicate, raising=False)


def train_ppo(env: SafetyEnv) -> tuple[Metrics, Any]:
    """Metrics and policy parameters of a tiny run."""
    small = partial(
        ppo_networks.make_ppo_networks,
        policy_hidden_layer_sizes=(8,),
        value_hidden_layer_sizes=(8,),
    )
    _, params, metrics = ppo.train(
        environment=env,
        num_timesteps=20,
        episode_length=5,
        num_envs=4,
        num_eval_envs=2,
        batch_size=4,
        num_minibatches=1,
        unroll_length=5,
        num_updates_per_batch=1,
        num_evals=1,
        network_factory=small,
        seed=0,
    )
    return metrics, params[1]


def train_sac(env: SafetyEnv) -> tuple[Metrics, Any]:
    """Metrics and policy parameters of a tiny run."""
    _, params, metrics = sac.train(
        environment=env,
        num_timesteps=32,
        episode_length=5,
        num_envs=4,
        num_eval_envs=2,
        batch_size=4,
        min_replay_size=8,
        num_evals=1,
        network_factory=partial(sac_networks.make_sac_networks, hidden_layer_sizes=(8,)),
        seed=0,
    )
    return metrics, params[1]


@pytest.mark.usefixtures("brax_runs_on_this_jax")
@pytest.mark.parametrize(
    ("train", "name"),
    [
        (train_ppo, "PointButton2"),
        # Half a minute to a minute of compiling each.
        pytest.param(train_ppo, "Hopper", marks=pytest.mark.slow),
        pytest.param(train_sac, "PointButton2", marks=pytest.mark.slow),
        pytest.param(train_sac, "Hopper", marks=pytest.mark.slow),
    ],
)
def test_brax_trains_on_the_bare_environment(name: str, train: Trainer) -> None:
    metrics, params = train(envs.make(name))
    assert np.isfinite(list(metrics.values())).all()
    assert "eval/episode_cost" in metrics
    assert float(metrics["eval/avg_episode_length"]) == 5.0
    leaves = jax.tree.leaves(params)
    assert leaves
    assert all(np.isfinite(leaf).all() for leaf in leaves)
    # Biases start at zero: they moved, so gradients arrived.
    assert any(leaf.ndim == 1 and np.any(leaf != 0) for leaf in leaves)
