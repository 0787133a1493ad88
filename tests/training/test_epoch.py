"""The loop on probe environments: what it stores, counts, learns and never recompiles."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algd_jax.agents.algorithms import make_algorithm
from algd_jax.config import AgentConfig, Config, HealthConfig, Hyper, LoopConfig
from algd_jax.training.epoch import CHECKED, Trainer
from algd_jax.training.health import describe
from algd_jax.training.replay import sample
from tests.probes import (
    BrokenProbe,
    DiscountedProbe,
    GoalProbe,
    PricedProbe,
    ProbeEnv,
    RareBreak,
    TerminatingProbe,
    UnplacedProbe,
)

TINY = Config(
    loop=LoopConfig(
        env_steps=256,
        num_envs=4,
        warmup_steps=32,
        updates_per_step=2,
        batch_size=16,
        replay_capacity=96,
        epoch_steps=64,
    ),
    agent=AgentConfig(critic_width=16, actor_width=16, critic_layers=2, actor_layers=2),
)


def make(env, **loop):
    config = dataclasses.replace(TINY, loop=dataclasses.replace(TINY.loop, **loop))
    spec = env.spec
    algorithm = make_algorithm(
        "sac_lagrangian",  # The loop is the same for all; this one compiles sooner than algd.
        spec.observation_size,
        spec.action_low,
        spec.action_high,
        spec.episode_length,
        config.agent,
    )
    trainer = Trainer(env, algorithm, config)
    hyper = Hyper(cost_limit=spec.cost_limit).as_arrays()
    return trainer, hyper, jax.jit(trainer.init)(jax.random.key(0), hyper)


def test_epoch_counts_steps_updates_and_episodes():
    trainer, hyper, state = make(ProbeEnv())
    state = jax.jit(trainer.warmup)(state, hyper)
    assert int(state.env_steps) == 32
    assert int(state.replay.starts.sum()) == 32
    assert int(state.agent.updates) == 0
    state, metrics = jax.jit(trainer.train_epoch)(state, hyper)
    assert int(state.env_steps) == 96
    assert int(state.agent.updates) == 2 * 16
    # 24 steps of 4 environments with episodes of 8 steps; the first 8 were warm-up.
    assert int(metrics.episodes) == 8
    np.testing.assert_allclose(metrics.episode_return, 8.0)
    np.testing.assert_allclose(metrics.episode_cost, 4.0)
    np.testing.assert_allclose(metrics.step_cost, 0.5)
    assert describe(state.health, CHECKED) is None


def test_episodes_cut_short_to_spread_them_do_not_count():
    trainer, hyper, state = make(ProbeEnv(), spread_episodes=True, num_envs=32, replay_capacity=768)
    skipped = np.asarray(state.env.info["skipped_steps"])
    assert len(np.unique(skipped)) > 4
    state = jax.jit(trainer.warmup)(state, hyper)  # One step.
    for epoch in range(8):  # Of two steps each.
        state, metrics = jax.jit(trainer.train_epoch)(state, hyper)
        clock = skipped[:, None] + 1 + 2 * epoch + np.arange(1, 3)
        whole = (clock % 8 == 0) & ((skipped[:, None] == 0) | (clock > 8))
        assert int(metrics.episodes) == whole.sum()
        if whole.any():
            np.testing.assert_allclose(metrics.episode_return, 8.0)
            np.testing.assert_allclose(metrics.episode_cost, 4.0)


def test_episode_cost_is_summed_as_the_limit_sums_it():
    trainer, _, state = make(DiscountedProbe())
    step = jax.jit(trainer._vector_env.step)
    env_state = state.env
    for t in range(1, 18):  # Two episodes of 8 steps and one step of a third.
        env_state = step(env_state, jnp.zeros((4, 2)))
        steps = (t - 1) % 8 + 1
        expected = 0.5 * sum(0.5**i for i in range(steps))
        np.testing.assert_allclose(env_state.info["episode_cost"], expected, rtol=1e-6)


def test_no_compilation_after_the_first_epoch():
    traces = []

    class Counted(ProbeEnv):
        def gains(self, obs, action, time):
            traces.append(1)
            return super().gains(obs, action, time)

    trainer, hyper, state = make(Counted())
    train_epoch = jax.jit(trainer.train_epoch, donate_argnums=0)
    state = jax.jit(trainer.warmup, donate_argnums=0)(state, hyper)
    state, _ = train_epoch(state, hyper)
    after_first = len(traces)
    assert after_first > 0
    for rho in (0.5, 2.0):  # another hyperparameter is no reason to compile either
        state, _ = train_epoch(state, hyper.replace(rho=jnp.float32(rho)))
    assert len(traces) == after_first
    assert train_epoch._cache_size() == 1


@pytest.mark.parametrize(
    ("env", "flags", "terminated", "cost_terminated"),
    [
        (ProbeEnv(), {}, 0, 0),
        (TerminatingProbe(), {}, 1 / 3, 0),
        (TerminatingProbe(), {"termination_frees_cost": True}, 1 / 3, 1 / 3),
        (GoalProbe(), {}, 1 / 2, 0),
        (GoalProbe(), {"goal_terminates": False}, 0, 0),
        (ProbeEnv(), {"timeout_terminates": True}, 1 / 8, 0),
        (
            ProbeEnv(),
            {"timeout_terminates": True, "termination_frees_cost": True},
            1 / 8,
            1 / 8,
        ),
    ],
)
def test_what_counts_as_terminal(env, flags, terminated, cost_terminated):
    trainer, hyper, state = make(env, warmup_steps=96, replay_capacity=192, **flags)
    replay = jax.jit(trainer.warmup)(state, hyper).replay
    rows = jax.tree.map(lambda x: x[replay.starts], replay.rows)
    assert len(rows.terminated) == 96
    np.testing.assert_allclose(rows.terminated.mean(), terminated, rtol=1e-6)
    np.testing.assert_allclose(rows.cost_terminated.mean(), cost_terminated, rtol=1e-6)


@pytest.mark.parametrize("env", [ProbeEnv(), TerminatingProbe()])
def test_replay_draws_exactly_the_steps_that_were_made(env):
    """At an episode's end the observation after the step is the true one, not the reset's."""
    trainer, hyper, state = make(env, warmup_steps=40)
    env_step, env_state, made = jax.jit(trainer._vector_env.step), state.env, []
    for _ in range(10):  # Observations of a probe do not depend on the actions.
        after = env_step(env_state, jnp.zeros((4, 2)))
        made += pairs(env_state.obs, after.info["final_obs"])
        env_state = after
    replay = jax.jit(trainer.warmup)(state, hyper).replay
    drawn = sample(replay, jax.random.key(1), (1_000,))
    assert set(pairs(drawn.obs, drawn.next_obs)) == set(made)


def test_first_bad_number_is_named():
    trainer, hyper, state = make(BrokenProbe(), warmup_steps=16)
    state = jax.jit(trainer.warmup)(state, hyper)
    assert describe(state.health, CHECKED) is None
    state, _ = jax.jit(trainer.train_epoch)(state, hyper)
    bad = describe(state.health, CHECKED)
    assert bad == ("reward", 20, 0)  # the fifth step of four environments, all of which are bad


def changed(algorithm, **functions):
    """The same algorithm with other functions in the place of methods."""
    methods = {name: staticmethod(function) for name, function in functions.items()}
    return type("Changed", (type(algorithm),), methods)(**vars(algorithm))


@pytest.mark.parametrize(("action", "found"), [(-0.5, ("cost", 4, 0)), (0.5, None)])
def test_a_negative_cost_is_bad(action, found):
    trainer, hyper, state = make(PricedProbe(), warmup_steps=16)
    act = lambda state, obs, key, hyper: jnp.full(2, action)  # noqa: E731
    trainer = dataclasses.replace(trainer, algorithm=changed(trainer.algorithm, act=act))
    state = jax.jit(trainer.warmup)(state, hyper)
    assert describe(state.health, CHECKED) == found


def test_a_flag_of_the_environment_is_bad():
    trainer, hyper, state = make(UnplacedProbe(), warmup_steps=16)
    state = jax.jit(trainer.warmup)(state, hyper)
    assert describe(state.health, CHECKED) == ("placement_failed", 4, 0)


class HiddenNaN(ProbeEnv):
    """The state turns NaN at the fifth step, and no observation shows it."""

    def reset(self, rng):
        return self._hide(super().reset(rng))

    def step(self, state, action):
        return self._hide(super().step(state, action))

    def _hide(self, state):
        time = state.pipeline_state["time"]
        hidden = jnp.where(time >= 5, jnp.nan, jnp.inf)  # Infinity may be meant: a best so far.
        return state.replace(pipeline_state={**state.pipeline_state, "hidden": hidden})


def test_a_state_that_turns_nan_is_bad():
    trainer, hyper, state = make(HiddenNaN(), warmup_steps=32)
    state = jax.jit(trainer.warmup)(state, hyper)
    assert describe(state.health, CHECKED) == ("state", 20, 0)


def bad_steps(trainer, state, steps):
    """[steps, N] where ``RareBreak`` gives NaN; its observations do not depend on the actions."""
    step, env_state, bad = jax.jit(trainer._vector_env.step), state.env, []
    for _ in range(steps):
        bad.append(env_state.obs[:, 0] > 0.9)
        env_state = step(env_state, jnp.zeros((4, 2)))
    return np.stack(bad)


def test_the_environment_of_the_first_bad_number_is_named():
    trainer, hyper, state = make(RareBreak(), warmup_steps=80)
    obs = jnp.zeros((4, 2)).at[2, 0].set(0.95)
    state = state.replace(env=state.env.replace(obs=obs))
    state = jax.jit(trainer.warmup)(state, hyper)
    assert describe(state.health, CHECKED) == ("reward", 4, 2)


def skipping(env, **loop):
    trainer, hyper, state = make(env, **loop)
    config = dataclasses.replace(trainer.config, health=HealthConfig(on_bad_number="skip-update"))
    return dataclasses.replace(trainer, config=config), hyper, state


def test_bad_transitions_are_left_out_of_replay():
    trainer, hyper, state = skipping(RareBreak(), warmup_steps=80)
    bad = bad_steps(trainer, state, 20)
    state = jax.jit(trainer.warmup)(state, hyper)
    assert int(state.replay.starts.sum()) == np.sum(~bad)
    drawn = sample(state.replay, jax.random.key(1), (1_000,))
    assert np.all(np.isfinite(drawn.reward))
    state, metrics = jax.jit(trainer.train_epoch)(state, hyper)
    assert int(metrics.skipped) == 0
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(metrics.updates))


def test_bad_updates_are_left_out():
    trainer, hyper, state = skipping(ProbeEnv())
    update = trainer.algorithm.update

    def sometimes_bad(agent, batch, key, hyper):
        agent, metrics = update(agent, batch, key, hyper)
        poison = jnp.where(jax.random.bernoulli(key, 0.3), jnp.nan, 0.0)
        actor = jax.tree.map(lambda x: x + poison, agent.actor)
        return agent.replace(actor=actor), metrics.replace(energy=metrics.energy + poison)

    algorithm = changed(trainer.algorithm, update=sometimes_bad)
    trainer = dataclasses.replace(trainer, algorithm=algorithm)
    state = jax.jit(trainer.warmup)(state, hyper)
    state, metrics = jax.jit(trainer.train_epoch)(state, hyper)
    assert 0 < int(metrics.skipped) < 32
    assert int(state.agent.updates) == 32 - int(metrics.skipped)
    for leaf in jax.tree.leaves((state.agent, metrics)):
        assert np.all(np.isfinite(leaf))
    assert describe(state.health, CHECKED).quantity == "energy"


def pairs(obs, next_obs):
    return [tuple(row) for row in np.concatenate([obs, next_obs], axis=-1).tolist()]
