"""Running statistics against plain averages, and energies that do not know the scale."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algd_jax.agents.algorithms import make_algorithm
from algd_jax.agents.statistics import DiscountedSums, Experience, Paid, no_moments, normalizer
from algd_jax.config import AgentConfig, Hyper
from algd_jax.types import Transition

SIZES = AgentConfig(
    chain_steps=2,
    critic_width=8,
    actor_width=8,
    target_period=1,
    critic_norm=True,
    normalize_obs=True,
    scale_energy=True,
    measured_cost=True,
    average_actor=True,
)
N, B, STEPS, LENGTH = 6, 16, 40, 100


def test_moments_are_those_of_weighted_values():
    values = np.random.default_rng(0).normal(3.0, 2.0, size=(50, N, 2)).astype(np.float32)
    moments, rate = no_moments((2,)), 0.1
    for batch in values:
        moments = moments.updated(jnp.asarray(batch), rate)
    weights = np.repeat((1 - rate) ** np.arange(50)[::-1], N)
    flat = values.reshape(-1, 2).astype(np.float64)
    mean = np.average(flat, axis=0, weights=weights)
    deviation = np.sqrt(np.average((flat - mean) ** 2, axis=0, weights=weights))
    np.testing.assert_allclose(moments.centre, mean, rtol=1e-5)
    np.testing.assert_allclose(moments.deviation, deviation, rtol=1e-4)
    np.testing.assert_allclose(
        normalizer(moments)(jnp.asarray(flat[0], jnp.float32)),
        (flat[0] - mean) / deviation,
        rtol=1e-4,
    )


def test_nothing_seen_is_zero():
    moments = no_moments((2,))
    assert np.all(np.asarray(moments.centre) == 0)
    assert np.all(np.asarray(moments.deviation) == 0)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.05])
def test_the_cost_of_an_episode_is_what_simulated_episodes_pay(share):
    """Episodes of a constant cost that end with a probability per step, or after H steps."""
    generator, cost = np.random.default_rng(0), 0.3
    lengths = np.minimum(generator.geometric(max(share, 1e-12), size=200_000), LENGTH)
    paid = Paid(no_moments(()), no_moments(()))
    paid = paid.replace(
        cost=paid.cost.updated(jnp.full(N, cost), 1.0),
        terminated=paid.terminated.updated(jnp.full(N, share), 1.0),
    )
    assert float(paid.per_episode(LENGTH)) == pytest.approx(cost * lengths.mean(), rel=5e-3)


def trained(reward_scale, cost_scale, name="algd"):
    """An agent after some steps and updates in a world of these scales."""
    algorithm = make_algorithm(name, 3, (-1.0,) * 2, (1.0,) * 2, LENGTH, SIZES)
    hyper = Hyper(cost_limit=2.0 * cost_scale, multiplier_lr=0.05).as_arrays()
    state = algorithm.init(jax.random.key(0), hyper)
    # Scales are powers of two, so that not even rounding tells the worlds apart.
    observe, update = jax.jit(algorithm.observe), jax.jit(algorithm.update)
    for step in range(STEPS):
        keys = jax.random.split(jax.random.key(step), 8)
        costs = cost_scale * jax.random.uniform(keys[3], (N,))
        state = observe(
            state,
            Experience(
                obs=jax.random.normal(keys[0], (N, 3)),
                sums=DiscountedSums(
                    reward=reward_scale * jax.random.normal(keys[1], (N,)),
                    cost=10 * cost_scale * jax.random.uniform(keys[2], (N,)),
                ),
                costs=costs,
                terminated=jnp.zeros(N),
                rate=0.1,
            ),
            hyper,
        )
        batch = Transition(
            obs=jax.random.normal(keys[4], (B, 3)),
            action=jax.random.uniform(keys[5], (B, 2), minval=-1.0),
            reward=reward_scale * jax.random.normal(keys[6], (B,)),
            cost=cost_scale * jax.random.uniform(keys[7], (B,)),
            next_obs=jax.random.normal(keys[4], (B, 3)) + 0.1,
            terminated=jnp.zeros(B),
            cost_terminated=jnp.zeros(B),
        )
        state, metrics = update(state, batch, keys[0], hyper)
    return state, metrics


@pytest.mark.parametrize("name", ["algd", "diffusion_lagrangian", "cal", "sac_lagrangian"])
def test_updates_do_not_know_the_scales_of_reward_and_cost(name):
    state, metrics = trained(1.0, 1.0, name)
    scaled, scaled_metrics = trained(2.0**7, 2.0**-4, name)
    for ours, theirs in zip(
        jax.tree.leaves((state.actor, state.critics, state.multiplier)),
        jax.tree.leaves((scaled.actor, scaled.critics, scaled.multiplier)),
        strict=True,
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
    # What is reported is in the environment's units.
    np.testing.assert_allclose(
        scaled_metrics.reward_value, metrics.reward_value * 2.0**7, rtol=1e-3, atol=1e-4
    )
    np.testing.assert_allclose(scaled_metrics.risk, metrics.risk * 2.0**-4, rtol=1e-3)


def test_without_units_the_scale_matters():
    """The check above can fail."""
    plain = dataclasses.replace(SIZES, scale_energy=False)
    algorithm = make_algorithm("algd", 3, (-1.0,) * 2, (1.0,) * 2, LENGTH, plain)
    hyper = Hyper().as_arrays()
    state = algorithm.init(jax.random.key(0), hyper)
    zeros = jnp.zeros(B)
    batch = Transition(
        jnp.ones((B, 3)), jnp.zeros((B, 2)), zeros + 1.0, zeros, jnp.ones((B, 3)), zeros, zeros
    )
    update = jax.jit(algorithm.update)
    one, _ = update(state, batch, jax.random.key(1), hyper)
    other, _ = update(state, batch.replace(reward=batch.reward * 100), jax.random.key(1), hyper)
    leaves = zip(jax.tree.leaves(one.critics), jax.tree.leaves(other.critics), strict=True)
    assert any(not np.allclose(a, b, rtol=1e-3) for a, b in leaves)
