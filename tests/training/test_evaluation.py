import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algd_jax.runs.build import build
from algd_jax.training.evaluation import Judge, discounted_sums, evaluate, evaluate_agent
from tests.probes import ActionProbe, DiscountedProbe, PartsProbe, ProbeEnv, TerminatingProbe
from tests.runs.support import probes, tiny_config  # noqa: F401


def constant_policy(obs):
    return jnp.array([0.5, 0.0])


def test_full_length_sums():
    episodes = evaluate(ActionProbe(episode_length=8), constant_policy, jax.random.key(0), 3)
    np.testing.assert_allclose(episodes.returns, [4.0] * 3)
    np.testing.assert_allclose(episodes.costs, [4.0] * 3)
    np.testing.assert_allclose(episodes.lengths, [8.0] * 3)


def test_costs_are_summed_as_the_limit_sums_them():
    episodes = evaluate(DiscountedProbe(), constant_policy, jax.random.key(0), 2)
    np.testing.assert_allclose(episodes.costs, 0.5 * sum(0.5**t for t in range(8)), rtol=1e-6)
    np.testing.assert_allclose(episodes.returns, 8.0)


def test_nothing_counts_after_termination():
    episodes = jax.jit(
        lambda key: evaluate(TerminatingProbe(episode_length=8), constant_policy, key, 2)
    )(jax.random.key(0))
    np.testing.assert_allclose(episodes.returns, [3.0] * 2)
    np.testing.assert_allclose(episodes.costs, [1.5] * 2)
    np.testing.assert_allclose(episodes.lengths, [3.0] * 2)


def test_episodes_differ_and_keys_repeat():
    class FirstObservation(ProbeEnv):
        def gains(self, obs, action, time):
            return obs[0], jnp.float32(0)

    first, again = (
        evaluate(FirstObservation(), constant_policy, jax.random.key(5), 4) for _ in range(2)
    )
    np.testing.assert_array_equal(first.returns, again.returns)
    assert len(np.unique(first.returns)) == 4


def test_discounted_sums_against_a_loop():
    rng = np.random.default_rng(0)
    gains, ends = rng.normal(size=(7, 3)), rng.random((7, 3)) < 0.3
    expected, later = np.zeros_like(gains), np.zeros(3)
    for t in reversed(range(7)):
        later = gains[t] + 0.9 * ~ends[t] * later
        expected[t] = later
    sums = discounted_sums(jnp.asarray(gains), 0.9, jnp.asarray(ends, jnp.float32))
    np.testing.assert_allclose(sums, expected, rtol=1e-5)


def first_entry(obs):
    return obs[:1]


@pytest.mark.parametrize(("length", "states"), [(8, 8), (60, 20), (42, 14), (23, 1)])
def test_what_followed_at_evenly_spaced_steps_is_a_geometric_sum(length, states):
    judge = Judge(first_entry, ("cost",), 0.9)
    env = ProbeEnv(episode_length=length)  # It costs 0.5 per step.
    found = evaluate(env, constant_policy, jax.random.key(0), 2, judge=judge).judged
    left = length - np.arange(0, length, length // states)
    expected = 0.5 * (1 - 0.9**left) / (1 - 0.9)
    np.testing.assert_allclose(found.cost, np.tile(expected[:, None], (2, 1, 1)), rtol=1e-5)
    assert found.risk.shape == (2, states, 1)
    assert found.alive.shape == (2, states)
    assert np.all(found.alive)


def test_critics_are_asked_where_the_cost_begins():
    """With a discount of 0 what follows is the cost of the step itself, which the state tells."""

    class CostlyState(ProbeEnv):
        def gains(self, obs, action, time):
            return jnp.float32(1), obs[0] + 1

    judge = Judge(first_entry, ("cost",), 0.0)
    env = CostlyState(episode_length=40)
    found = evaluate(env, constant_policy, jax.random.key(0), 3, judge=judge).judged
    np.testing.assert_allclose(found.cost, found.risk + 1, rtol=1e-6)
    assert len(np.unique(found.risk)) == 3 * 20


def test_nothing_follows_termination():
    judge = Judge(first_entry, ("cost",), 0.5)
    env = TerminatingProbe(episode_length=8)  # After three steps.
    found = evaluate(env, constant_policy, jax.random.key(0), 1, judge=judge).judged
    np.testing.assert_array_equal(found.alive[0], [1, 1, 1, 0, 0, 0, 0, 0])
    np.testing.assert_allclose(found.cost[0, :, 0], [0.875, 0.75, 0.5, 0, 0, 0, 0, 0])


def test_each_constraint_is_judged():
    judge = Judge(lambda obs: obs, ("cost_low", "cost_high"), 0.5)
    found = evaluate(PartsProbe(), constant_policy, jax.random.key(0), 1, judge=judge).judged
    assert found.risk.shape == found.cost.shape == (1, 8, 2)
    np.testing.assert_allclose(found.cost[0, -1], [0.25, 1.0])
    np.testing.assert_allclose(found.cost[0, :, 1], 4 * found.cost[0, :, 0])


@pytest.mark.parametrize("length", [8, 60])
def test_asking_the_critics_changes_nothing_of_the_episodes(length):
    trainer = build(tiny_config("ActionProbe", eval_episodes=3))
    trainer = dataclasses.replace(trainer, env=ActionProbe(episode_length=length))
    hyper, key = trainer.config.hyper.as_arrays(), jax.random.key(7)
    agent = jax.jit(trainer.algorithm.init)(jax.random.key(1), hyper)

    def without(agent, key):
        def policy(obs):
            return trainer.algorithm.act_deterministic(agent, obs, hyper)

        return evaluate(trainer.env, policy, key, 3)

    found = jax.jit(functools.partial(evaluate_agent, trainer))(agent, key, hyper)
    expected = jax.jit(without)(agent, key)
    for name in ("returns", "costs", "lengths"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    assert found.judged.risk.shape == (3, {8: 8, 60: 20}[length], 1)


def test_the_risk_is_that_of_the_policys_action():
    trainer = build(tiny_config("ActionProbe", eval_episodes=2))
    algorithm, hyper = trainer.algorithm, trainer.config.hyper.as_arrays()
    agent, key = algorithm.init(jax.random.key(1), hyper), jax.random.key(7)
    found = evaluate_agent(trainer, agent, key, hyper).judged
    first = jax.vmap(trainer.env.reset)(jax.random.split(key, 2)).obs
    action = jax.vmap(lambda obs: algorithm.act_deterministic(agent, obs, hyper))(first)
    _, risk = algorithm.judge(agent, first, action, hyper)
    np.testing.assert_allclose(found.risk[:, 0, 0], risk, rtol=1e-5)
