"""Runs on eight virtual devices; `test_sharding.py` starts a process of their own for them."""

import re

import jax
import pytest

from algd_jax.envs import EpisodeWrapper, make
from algd_jax.errors import ConfigError
from algd_jax.runs.build import build
from algd_jax.training.epoch import TrainState
from algd_jax.training.population import Population, stack_hypers
from algd_jax.training.sharding import (
    _ShardedEpisodes,
    data_mesh,
    member_mesh,
    member_sharding,
    placed,
    sharded,
)
from tests.runs.support import (
    assert_close_trees,
    probes,  # noqa: F401
    tiny_config,
)

DEVICES = 8
COLLECTIVE = re.compile(r"= (.*) (?:all-|collective-|reduce-scatter)\S*\(")


def test_there_are_eight_devices():
    assert len(jax.local_devices()) == DEVICES


@pytest.mark.parametrize(("members", "devices"), [(8, 8), (16, 8), (10, 5), (7, 7), (11, 1)])
def test_devices_that_share_the_members(members, devices):
    assert list(member_mesh(members=members).devices) == jax.local_devices()[:devices]


def test_a_population_on_eight_devices_equals_one():
    config = tiny_config(epoch_steps=32)
    trainer = build(config)
    keys, evaluation_keys = (jax.random.split(jax.random.key(seed), DEVICES) for seed in (0, 1))
    hyper = stack_hypers([config.hyper.replace(rho=0.5 * (i + 1)) for i in range(DEVICES)])
    mesh = member_mesh()
    everywhere = member_sharding(mesh)

    def run(population, keys, hyper):
        train_epoch = jax.jit(population.train_epoch, donate_argnums=0)
        state = jax.jit(population.warmup)(jax.jit(population.init)(keys, hyper), hyper)
        for _ in range(2):
            state, metrics = train_epoch(state, hyper)
        assert train_epoch._cache_size() == 1
        episodes = jax.jit(population.evaluate)(state.agent, evaluation_keys, hyper)
        return state, metrics, episodes

    expected = run(Population(trainer), keys, hyper)
    actual = run(Population(trainer, mesh), *jax.device_put((keys, hyper), everywhere))
    assert_close_trees(actual, expected)
    for leaf in jax.tree.leaves(actual):
        assert leaf.sharding.is_equivalent_to(everywhere, leaf.ndim)


def test_members_never_communicate():
    trainer = build(tiny_config(epoch_steps=32))
    population = Population(trainer, member_mesh())
    keys = jax.random.split(jax.random.key(0), DEVICES)
    hyper = stack_hypers([trainer.config.hyper] * DEVICES)
    shapes = jax.eval_shape(population.init, keys, hyper), hyper
    arguments = placed(shapes, member_sharding(population.mesh))
    assert not collectives(jax.jit(population.train_epoch).lower(*arguments).compile())


LARGE = tiny_config(
    epoch_steps=64,
    num_envs=DEVICES,
    batch_size=16,
    updates_per_step=2,
    replay_capacity=1024,
    spread_episodes=True,
)


def test_bodies_on_mujoco_take_the_same_steps_on_eight_devices():
    """Eight devices call the one simulator at once, each for its share of the environments."""
    env = make("Hopper", physics="mujoco")
    keys = jax.random.split(jax.random.key(0), 2 * DEVICES)
    actions = jax.random.uniform(jax.random.key(1), (20, 2 * DEVICES, 3), minval=-1.0)

    def run(wrapped):
        @jax.jit
        def episodes(keys):
            return jax.lax.scan(
                lambda s, a: (wrapped.step(s, a), s.obs), wrapped.reset(keys), actions
            )

        return episodes(keys)

    spread = run(_ShardedEpisodes(env, (), data_mesh()))
    assert len(spread[0].obs.sharding.device_set) == DEVICES
    assert_close_trees(spread, run(EpisodeWrapper(env)))


def test_one_run_on_eight_devices_equals_one():
    trainer, hyper = build(LARGE), LARGE.hyper.as_arrays()
    spread = sharded(trainer, data_mesh())

    def run(trainer):
        train_epoch = jax.jit(trainer.train_epoch, donate_argnums=0)
        state = jax.jit(trainer.init)(jax.random.key(0), hyper)
        state = jax.jit(trainer.warmup)(state, hyper)
        for _ in range(2):
            state, metrics = train_epoch(state, hyper)
        assert train_epoch._cache_size() == 1
        return state, metrics

    expected, actual = run(trainer), run(spread)
    assert_close_trees(actual, expected)
    state: TrainState = actual[0]
    assert not state.env.obs.sharding.is_fully_replicated
    assert not state.replay.rows.obs.sharding.is_fully_replicated
    assert all(leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(state.agent))


def test_replay_of_one_run_stays_where_it_is():
    """What devices tell each other is as large as a batch or the networks."""
    spread, hyper = sharded(build(LARGE), data_mesh()), LARGE.hyper.as_arrays()
    state = jax.eval_shape(spread.init, jax.random.key(0), hyper)
    state = jax.tree.map(placed, state, spread.shardings(state))
    told = collectives(jax.jit(spread.train_epoch).lower(state, hyper).compile())
    assert told
    assert not any(str(LARGE.loop.replay_capacity) in shapes for shapes in told)


@pytest.mark.parametrize("size", ["num_envs", "batch_size"])
def test_one_run_must_fill_the_devices(size):
    trainer = build(tiny_config(**{"num_envs": DEVICES, "batch_size": DEVICES, size: 12}))
    with pytest.raises(ConfigError, match=f"{size}: got 12 for 8 devices, allowed is a multiple"):
        sharded(trainer, data_mesh())


def collectives(program: jax.stages.Compiled) -> list[str]:
    """Shapes of what devices send each other."""
    return COLLECTIVE.findall(program.as_text())
