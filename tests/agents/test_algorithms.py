"""The algorithm record on probe problems with known reward values and known cost values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algd_jax.agents.algorithms import ALGORITHMS, make_algorithm
from algd_jax.config import AgentConfig, ConfigError, Hyper
from algd_jax.types import Transition

SIZES = AgentConfig(critic_width=32, actor_width=32, actor_layers=2)
OBS_SIZE, ACTION_SIZE, HORIZON = 3, 2, 50
HYPER = Hyper(discount=0.8, cost_discount=0.6, critic_lr=3e-3, actor_lr=3e-3, polyak=0.05)


def make(name="algd", low=(-1.0, -0.5), high=(1.0, 1.5)):
    return make_algorithm(name, OBS_SIZE, low, high, HORIZON, SIZES)


def draw_batch(key, gains, size=64, terminated=0.0, cost_terminated=0.0):
    """Transitions with random observations and actions; ``gains(obs, action)`` -> reward, cost."""
    obs_key, action_key, next_key = jax.random.split(key, 3)
    obs = jax.random.uniform(obs_key, (size, OBS_SIZE), minval=-1.0)
    low, high = jnp.array([-1.0, -0.5]), jnp.array([1.0, 1.5])
    action = jax.random.uniform(action_key, (size, ACTION_SIZE), minval=low, maxval=high)
    reward, cost = gains(obs, action)
    return Transition(
        obs=obs,
        action=action,
        reward=jnp.broadcast_to(reward, (size,)),
        cost=jnp.broadcast_to(cost, (size,)),
        next_obs=jax.random.uniform(next_key, (size, OBS_SIZE), minval=-1.0),
        terminated=jnp.full(size, terminated),
        cost_terminated=jnp.full(size, cost_terminated),
    )


def train(algorithm, gains, updates=1_500, hyper=HYPER, seed=0, **batch):
    hyper = hyper.as_arrays()

    @jax.jit
    def run(key, hyper):
        init_key, loop_key = jax.random.split(key)

        def update(state, key):
            batch_key, update_key = jax.random.split(key)
            data = draw_batch(batch_key, gains, **batch)
            return algorithm.update(state, data, update_key, hyper)

        state = algorithm.init(init_key, hyper)
        return jax.lax.scan(update, state, jax.random.split(loop_key, updates))

    return run(jax.random.key(seed), hyper)


def values_at_random_pairs(algorithm, state, gains):
    batch = draw_batch(jax.random.key(99), gains)

    def values(obs, action):
        return algorithm.parts.critics.at_state(state.critics, obs)(action)

    return jax.vmap(values)(batch.obs, batch.action)


@pytest.mark.parametrize(
    ("ends", "reward_value", "cost_value"),
    [
        ({}, 1 / (1 - 0.8), 0.5 / (1 - 0.6)),
        ({"terminated": 1.0}, 1.0, 0.5 / (1 - 0.6)),  # the cost critics look past a goal
        ({"terminated": 1.0, "cost_terminated": 1.0}, 1.0, 0.5),
    ],
    ids=["endless", "goal", "death"],
)
@pytest.mark.parametrize("name", list(ALGORITHMS))
def test_constant_gains_have_known_values(name, ends, reward_value, cost_value):
    def gains(obs, action):
        return 1.0, 0.5

    algorithm = make(name)
    state, _ = train(algorithm, gains, **ends)
    values = values_at_random_pairs(algorithm, state, gains)
    np.testing.assert_allclose(values.reward.mean(), reward_value, rtol=0.05)
    np.testing.assert_allclose(values.cost.mean(axis=0), [cost_value] * 4, rtol=0.05)


def deterministic_actions(algorithm, state):
    obs = jax.random.uniform(jax.random.key(7), (32, OBS_SIZE), minval=-1.0)
    hyper = HYPER.as_arrays()
    return jax.vmap(lambda o: algorithm.act_deterministic(state, o, hyper))(obs)


@pytest.mark.parametrize("name", list(ALGORITHMS))
def test_the_policy_seeks_reward_where_cost_allows_it(name):
    """Reward wants a large first action component; free of cost it is taken."""
    algorithm = make(name)
    state, _ = train(algorithm, lambda obs, action: (action[..., 0], 0.0 * action[..., 0]))
    assert deterministic_actions(algorithm, state)[:, 0].mean() > 0.8


@pytest.mark.parametrize("name", list(ALGORITHMS))
def test_cost_holds_the_policy_back(name):
    """The same reward, but its positive side costs five times what it pays, with no budget."""
    algorithm = make(name)

    def gains(obs, action):
        return action[..., 0], 5.0 * jnp.maximum(action[..., 0], 0.0)

    state, _ = train(algorithm, gains, hyper=HYPER.replace(cost_limit=0.0))
    assert deterministic_actions(algorithm, state)[:, 0].mean() < 0.3


@pytest.mark.parametrize("name", list(ALGORITHMS))
def test_lam_falls_with_slack_and_rises_with_violation(name):
    algorithm, hyper = make(name), HYPER.replace(multiplier_lr=1e-2)

    def costly(obs, action):
        return 0.0, 1.0

    for limit, sign in ((1_000.0, -1), (0.0, 1)):
        _, metrics = train(algorithm, costly, 300, hyper.replace(cost_limit=limit))
        assert np.sign(metrics.lam[-1] - metrics.lam[0]) == sign


def test_actions_stay_in_the_box_and_differ_between_keys():
    algorithm, hyper = make(), HYPER.as_arrays()
    state = algorithm.init(jax.random.key(0), hyper)
    keys = jax.random.split(jax.random.key(1), 200)
    actions = jax.vmap(lambda key: algorithm.act(state, jnp.zeros(OBS_SIZE), key, hyper))(keys)
    assert (actions >= jnp.array([-1.0, -0.5])).all()
    assert (actions <= jnp.array([1.0, 1.5])).all()
    assert (actions.std(axis=0) > 0.1).all()
    again = jax.jit(algorithm.act)(state, jnp.zeros(OBS_SIZE), keys[0], hyper)
    np.testing.assert_allclose(again, actions[0], rtol=1e-5, atol=1e-6)


def test_targets_move_at_every_second_update_only():
    algorithm, hyper = make(), HYPER.as_arrays()
    state = algorithm.init(jax.random.key(0), hyper)
    update = jax.jit(algorithm.update)
    batch = draw_batch(jax.random.key(1), lambda obs, action: (1.0, 1.0))
    first, _ = update(state, batch, jax.random.key(2), hyper)
    second, _ = update(first, batch, jax.random.key(3), hyper)
    assert trees_equal(first.target_critics, state.target_critics)
    assert not trees_equal(second.target_critics, state.target_critics)
    expected = jax.tree.map(
        lambda old, new: old + hyper.polyak * (new - old), state.target_critics, second.critics
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
        second.target_critics,
        expected,
    )


def test_update_is_the_same_plain_jitted_and_vmapped():
    algorithm, hyper = make(), HYPER.as_arrays()
    states = jax.vmap(lambda key: algorithm.init(key, hyper))(jax.random.split(jax.random.key(0)))
    batch = draw_batch(jax.random.key(1), lambda obs, action: (1.0, 1.0), size=8)
    update_key = jax.random.key(2)
    mapped, _ = jax.vmap(algorithm.update, in_axes=(0, None, None, None))(
        states, batch, update_key, hyper
    )
    state, member = (jax.tree.map(lambda x: x[1], tree) for tree in (states, mapped))
    plain, _ = algorithm.update(state, batch, update_key, hyper)
    jitted, _ = jax.jit(algorithm.update)(state, batch, update_key, hyper)
    for other in (jitted, member):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), plain, other
        )


def test_unknown_algorithm_is_one_clear_line():
    with pytest.raises(ConfigError, match=r"algorithm: unknown name 'algdd'; allowed: .*algd"):
        make("algdd")


def trees_equal(a, b):
    return all(jax.tree.leaves(jax.tree.map(lambda x, y: bool((x == y).all()), a, b)))
