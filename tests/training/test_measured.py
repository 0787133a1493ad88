"""The cost that the loop measures, and the multiplier that follows it, on probes of known cost."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algd_jax.agents.algorithms import make_algorithm
from algd_jax.config import AgentConfig, Config, Hyper, LoopConfig
from algd_jax.training.epoch import Trainer
from algd_jax.training.population import Population, stack_hypers
from tests.probes import DiscountedProbe, PartsProbe, ProbeEnv, TerminatingProbe

RECIPE = Config(
    loop=LoopConfig(
        num_envs=16,
        warmup_steps=16 * 64,
        updates_per_step=4,
        batch_size=16,
        replay_capacity=16 * 64,
        epoch_steps=16 * 8,
        target_steps=3,
        spread_episodes=True,
        termination_frees_cost=True,
    ),
    agent=AgentConfig(
        multiplier="pid",
        critic_width=8,
        actor_width=8,
        actor_period=2,
        target_period=1,
        critic_norm=True,
        normalize_obs=True,
        scale_energy=True,
        measured_cost=True,
        average_actor=True,
    ),
)


def make(env, limit, constraints=("cost",)):
    config = dataclasses.replace(RECIPE, constraints=constraints)
    spec = env.spec
    algorithm = make_algorithm(
        "sac_lagrangian",
        spec.observation_size,
        spec.action_low,
        spec.action_high,
        spec.limited_steps,
        config.agent,
        len(constraints),
        spec.episode_length,
    )
    return Trainer(env, algorithm, config), Hyper(cost_limit=limit).as_arrays()


def warmed_up(trainer, hyper):
    state = jax.jit(trainer.init)(jax.random.key(0), hyper)
    return jax.jit(trainer.warmup)(state, hyper)


@pytest.mark.parametrize(
    ("env", "limit", "constraints", "cost", "tolerance"),
    [
        (ProbeEnv(), 2.0, ("cost",), 8 * 0.5, 1e-5),
        (PartsProbe(), (1.0, 9.0), ("cost_low", "cost_high"), (8 * 0.25, 8 * 1.0), 1e-5),
        # 0.5 at each of 8 steps, discounted by a half.
        (DiscountedProbe(), 3.0, ("cost",), 0.5 * (1 - 0.5**8) / 0.5, 0.1),
        # Three steps, where a constant share of steps that terminate would make a little less.
        (TerminatingProbe(), 2.0, ("cost",), 3 * 0.5, 0.1),
    ],
    ids=["plain", "several", "discounted", "terminating"],
)
def test_the_cost_of_an_episode_is_known(env, limit, constraints, cost, tolerance):
    trainer, hyper = make(env, limit, constraints)
    state = warmed_up(trainer, hyper)
    found = state.agent.statistics.paid.per_episode(env.spec.episode_length)
    np.testing.assert_allclose(found, cost, rtol=tolerance)


def test_the_units_are_the_spread_of_discounted_sums():
    """Reward 1 at each of 8 steps: G = (1 − γ^k) / (1 − γ) with k = 1 … 8, all equally often."""
    trainer, hyper = make(ProbeEnv(), 2.0)
    state = warmed_up(trainer, hyper)
    sums = (1 - 0.99 ** np.arange(1, 9)) / 0.01
    unit = trainer.algorithm.units(state.agent, hyper)
    np.testing.assert_allclose(unit.reward, np.std(sums), rtol=0.05)
    np.testing.assert_allclose(unit.cost, 0.5 * np.std(sums), rtol=0.05)


@pytest.mark.parametrize(("limit", "sign"), [(1.0, 1), (8.0, -1)])
def test_the_multiplier_follows_what_is_paid(limit, sign):
    """The environments pay 4 per episode, of which the critics know nothing yet."""
    trainer, hyper = make(ProbeEnv(), limit)
    state = warmed_up(trainer, hyper)
    lam = trainer.algorithm.multiplier(hyper).lam
    after, metrics = jax.jit(trainer.train_epoch)(state, hyper)
    assert np.sign(float(metrics.updates.violation)) == sign
    assert np.sign(float(lam(after.agent.multiplier) - lam(state.agent.multiplier))) == sign


def test_members_of_a_population_measure_like_lone_runs():
    trainer, _ = make(ProbeEnv(), 2.0)
    hypers = [Hyper(cost_limit=2.0), Hyper(cost_limit=6.0)]
    population, stacked = Population(trainer), stack_hypers(hypers)
    keys = jax.random.split(jax.random.key(0), 2)
    states = jax.jit(population.warmup)(jax.jit(population.init)(keys, stacked), stacked)
    states, _ = jax.jit(population.train_epoch)(states, stacked)
    for i, hyper in enumerate(hypers):
        arrays = hyper.as_arrays()
        state = jax.jit(trainer.warmup)(jax.jit(trainer.init)(keys[i], arrays), arrays)
        state, _ = jax.jit(trainer.train_epoch)(state, arrays)
        ours = jax.tree.leaves((state.agent.statistics, state.agent.average, state.sums))
        theirs = jax.tree.leaves((states.agent.statistics, states.agent.average, states.sums))
        for one, all_of_them in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(one, all_of_them[i], rtol=1e-4, atol=1e-5)


def test_the_policy_that_is_deployed_is_a_mean_of_actors():
    trainer, hyper = make(ProbeEnv(), 2.0)
    hyper = hyper.replace(average_rate=jnp.float32(1.0))
    state, _ = jax.jit(trainer.train_epoch)(warmed_up(trainer, hyper), hyper)
    jax.tree.map(np.testing.assert_array_equal, state.agent.average, state.agent.actor)
