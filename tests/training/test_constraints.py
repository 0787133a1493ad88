"""Several constraints in the loop: what is stored, summed, watched and learnt."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algd_jax.config import AgentConfig, Config, Hyper, LoopConfig
from algd_jax.envs import EpisodeWrapper
from algd_jax.runs.build import build
from algd_jax.training.epoch import CHECKED
from algd_jax.training.evaluation import evaluate
from algd_jax.training.health import describe
from algd_jax.training.replay import sample
from tests.probes import OnePartProbe, PartsProbe

PARTS = ("cost_low", "cost_high")
TINY = Config(
    loop=LoopConfig(
        env_steps=4_000,
        num_envs=4,
        warmup_steps=32,
        updates_per_step=8,
        batch_size=32,
        replay_capacity=512,
        epoch_steps=64,
    ),
    agent=AgentConfig(
        chain_steps=2, score_samples=2, cost_critics=2, critic_width=16, actor_width=8
    ),
    hyper=Hyper(cost_discount=0.6, critic_lr=3e-3, polyak=0.05),
)


class DiscountedParts(PartsProbe):
    """The limits bound discounted sums."""

    def __init__(self):
        super().__init__()
        self.spec = dataclasses.replace(self.spec, cost_discount=0.5)


class NegativePart(PartsProbe):
    parts: ClassVar = {"cost_low": -0.25, "cost_high": 1.0}


class BrokenPart(PartsProbe):
    parts: ClassVar = {"cost_low": jnp.nan, "cost_high": 1.0}


def make(probe, constraints, limit, algorithm="sac_lagrangian"):
    """Trainer, hyper arrays and first state; the default algorithm compiles quickly."""
    hyper = TINY.hyper.replace(cost_limit=limit)
    config = dataclasses.replace(
        TINY,
        env=f"{probe.__module__}:{probe.__name__}",
        algorithm=algorithm,
        constraints=constraints,
        hyper=hyper,
    )
    trainer, arrays = build(config), hyper.as_arrays()
    return trainer, arrays, jax.jit(trainer.init)(jax.random.key(0), arrays)


@pytest.fixture(scope="module")
def trained():
    """Trainer, final state and metrics per epoch of 1,280 updates.

    An episode costs 2 and 8 in its two parts, and 4 are allowed of each.
    """
    trainer, hyper, state = make(PartsProbe, PARTS, (4.0, 4.0), "algd")
    state = jax.jit(trainer.warmup)(state, hyper)
    train_epoch, history = jax.jit(trainer.train_epoch), []
    for _ in range(10):
        state, metrics = train_epoch(state, hyper)
        history.append(jax.device_get(metrics))
    return trainer, state, history


def test_critics_learn_the_value_of_each_cost(trained):
    trainer, state, history = trained
    batch = sample(state.replay, jax.random.key(1), (64,))
    np.testing.assert_array_equal(batch.cost, np.tile([0.25, 1.0], (64, 1)))
    at_state = trainer.algorithm.critics.at_state
    values = jax.vmap(lambda o, a: at_state(state.agent.critics, o)(a))(batch.obs, batch.action)
    expected = [0.25 / (1 - 0.6), 1.0 / (1 - 0.6)]
    np.testing.assert_allclose(values.cost.mean(axis=0), [expected] * 2, rtol=0.05)
    np.testing.assert_allclose(history[-1].updates.risk, expected, rtol=0.05)


def test_multipliers_part_where_one_limit_is_kept_and_the_other_is_not(trained):
    history = trained[-1]
    lams = np.stack([metrics.updates.lam for metrics in history])
    assert lams.shape == (10, 2)
    assert (np.diff(lams[3:, 0]) < 0).all()
    assert (np.diff(lams[3:, 1]) > 0).all()
    assert history[-1].updates.violation[0] < 0 < history[-1].updates.violation[1]


def test_episodes_sum_the_total_and_each_part(trained):
    metrics = trained[-1][-1]
    np.testing.assert_allclose(metrics.episode_cost, 10.0, rtol=1e-6)
    np.testing.assert_allclose(metrics.step_cost, 1.25, rtol=1e-6)
    np.testing.assert_allclose(metrics.episode_parts["cost_low"], 2.0, rtol=1e-6)
    np.testing.assert_allclose(metrics.episode_parts["cost_high"], 8.0, rtol=1e-6)


@pytest.mark.slow
def test_a_part_that_is_all_of_the_cost_trains_like_the_total():
    results = []
    for constraints in (("cost",), ("cost_all",)):
        trainer, hyper, state = make(OnePartProbe, constraints, 2.0)
        state = jax.jit(trainer.warmup)(state, hyper)
        state, metrics = jax.jit(trainer.train_epoch)(state, hyper)
        results.append((state.agent, state.replay, dataclasses.replace(metrics, episode_parts={})))
    whole, part = results
    assert jax.tree.structure(whole) == jax.tree.structure(part)
    jax.tree.map(np.testing.assert_array_equal, whole, part)


def test_parts_are_summed_as_the_limit_sums_them():
    env = DiscountedParts()
    wrapped = EpisodeWrapper(env, PARTS)
    state, step = wrapped.reset(jax.random.split(jax.random.key(0), 2)), jax.jit(wrapped.step)
    for t in range(10):  # One episode of 8 steps and two steps of the next.
        state = step(state, jnp.zeros((2, 2)))
        share = sum(0.5**i for i in range(t % 8 + 1))
        for name, cost in env.parts.items():
            np.testing.assert_allclose(state.info["episode_parts"][name], cost * share, rtol=1e-6)
    episodes = evaluate(env, lambda obs: jnp.zeros(2), jax.random.key(0), 3, PARTS)
    share = sum(0.5**i for i in range(8))
    expected = {"cost": 1.25 * share, "cost_low": 0.25 * share, "cost_high": share}
    for name, costs in episodes.named_costs.items():
        np.testing.assert_allclose(costs, [expected[name]] * 3, rtol=1e-6)


@pytest.mark.parametrize(
    ("probe", "constraints", "found"),
    [
        (NegativePart, PARTS, ("cost", 4, 0)),  # Which the total, 0.75, hides.
        (BrokenPart, ("cost_high",), ("cost", 4, 0)),  # The total is reported, limited or not.
        (PartsProbe, PARTS, None),
    ],
)
def test_every_cost_of_the_run_is_watched(probe, constraints, found):
    limit = (1.0,) * len(constraints) if len(constraints) > 1 else 1.0
    trainer, hyper, state = make(probe, constraints, limit)
    state = jax.jit(trainer.warmup)(state, hyper)
    assert describe(state.health, CHECKED) == found
