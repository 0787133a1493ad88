"""Members of a population are lone runs, and a broken one disturbs nobody."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractMesh

from algd_jax.config import Hyper
from algd_jax.errors import ConfigError
from algd_jax.runs.build import build
from algd_jax.training.epoch import CHECKED, Trainer
from algd_jax.training.evaluation import evaluate_agent
from algd_jax.training.health import describe
from algd_jax.training.population import Population, member, stack_hypers
from algd_jax.training.sharding import MEMBER, member_mesh
from tests.runs.support import (
    assert_close_trees,
    assert_equal_trees,
    probes,  # noqa: F401
    tiny_config,
)

MEMBERS = 3
CONFIG = tiny_config(epoch_steps=32)
KEYS = jax.random.split(jax.random.key(3), MEMBERS)
EVALUATION_KEYS = jax.random.split(jax.random.key(4), MEMBERS)
HYPERS = [
    CONFIG.hyper.replace(rho=rho, critic_lr=lr) for rho, lr in ((0.5, 1e-3), (1, 5e-4), (2, 2e-3))
]


class Programs:
    """The four functions, jitted."""

    def __init__(self, runs: Trainer | Population):
        self.init, self.warmup = jax.jit(runs.init), jax.jit(runs.warmup)
        self.train_epoch = jax.jit(runs.train_epoch)
        is_population = isinstance(runs, Population)
        self.evaluate = jax.jit(runs.evaluate if is_population else partial(evaluate_agent, runs))

    def stages(self, keys, evaluation_keys, hyper):
        """Everything that comes out on the way through one epoch."""
        start = self.init(keys, hyper)
        warm = self.warmup(start, hyper)
        state, metrics = self.train_epoch(warm, hyper)
        return start, warm, state, metrics, self.evaluate(state.agent, evaluation_keys, hyper)


@pytest.fixture(scope="module")
def trainer(probes):  # noqa: F811
    return build(CONFIG)


@pytest.fixture(scope="module")
def population(trainer):
    return Programs(Population(trainer))


def check_members_are_lone_runs(trainer, stages=slice(None)):
    together = Programs(Population(trainer)).stages(KEYS, EVALUATION_KEYS, stack_hypers(HYPERS))
    lone = Programs(trainer)
    for i, hyper in enumerate(HYPERS):
        alone = lone.stages(KEYS[i], EVALUATION_KEYS[i], hyper.as_arrays())
        assert_close_trees(member(together, i)[stages], alone[stages])


def test_members_equal_lone_runs(trainer):
    check_members_are_lone_runs(trainer)


@pytest.mark.slow
def test_members_in_an_mjx_environment_equal_lone_runs():
    """Over a few steps only, because contacts amplify rounding."""
    config = tiny_config("PointButton1", warmup_steps=8, epoch_steps=16)
    check_members_are_lone_runs(build(config), stages=slice(4))


def test_one_device_is_the_same_path(trainer, population):
    """A mesh, here of one device, changes nothing."""
    hyper = stack_hypers(HYPERS)
    meshed = Programs(Population(trainer, member_mesh(jax.devices()[:1])))
    expected = population.stages(KEYS, EVALUATION_KEYS, hyper)
    assert_equal_trees(meshed.stages(KEYS, EVALUATION_KEYS, hyper), expected)


def test_a_broken_member_is_frozen_and_disturbs_nobody(population):
    """Member 1 breaks in the second epoch; nothing that heals its cause brings it back."""
    sound = stack_hypers(HYPERS)
    broken = sound.replace(critic_lr=sound.critic_lr.at[1].set(jnp.nan))
    start = population.warmup(population.init(KEYS, sound), sound)

    def train(hypers):
        states = [start]
        for hyper in hypers:
            states.append(population.train_epoch(states[-1], hyper)[0])
        return states

    expected, actual = train([sound, sound, sound]), train([sound, broken, sound])
    for i in (0, 2):
        assert_equal_trees(member(actual, i), member(expected, i))
    frozen = [member(state, 1) for state in actual]
    assert_equal_trees(frozen[2].agent, frozen[1].agent)
    assert_equal_trees(frozen[3].agent, frozen[1].agent)
    assert [describe(state.health, CHECKED) for state in frozen[:2]] == [None, None]
    # The first update with that step size spoils the networks, the next one's losses.
    first_step = int(frozen[1].env_steps) + CONFIG.loop.num_envs
    found = describe(frozen[2].health, CHECKED)
    assert first_step <= found.env_step <= first_step + CONFIG.loop.num_envs
    assert describe(frozen[3].health, CHECKED) == found
    assert int(member(expected, 1)[3].agent.updates) == 3 * int(frozen[1].agent.updates)


def test_a_member_broken_in_warm_up_learns_nothing(trainer, population):
    hyper = stack_hypers(HYPERS)
    state = population.warmup(population.init(KEYS, hyper), hyper)
    health = state.health.replace(quantity=state.health.quantity.at[0].set(2))
    after, _ = population.train_epoch(state.replace(health=health), hyper)
    assert_equal_trees(member(after.agent, 0), member(state.agent, 0))
    assert int(after.agent.updates[1]) > 0


def test_members_must_fill_the_devices(trainer):
    two_devices = AbstractMesh((2,), (MEMBER,))
    with pytest.raises(ConfigError, match="members: got 3 for 2 devices, allowed is a multiple"):
        Population(trainer, two_devices).init(KEYS, stack_hypers(HYPERS))


def test_stacked_hypers_are_arrays_of_members():
    stacked = stack_hypers([Hyper(rho=0.5), Hyper(rho=2.0, cost_limit=5)])
    np.testing.assert_array_equal(stacked.rho, np.float32([0.5, 2.0]))
    np.testing.assert_array_equal(stacked.cost_limit, np.float32([10, 5]))
    assert {(leaf.shape, leaf.dtype.name) for leaf in jax.tree.leaves(stacked)} == {
        ((2,), "float32")
    }
    assert_equal_trees(member(stacked, 1), Hyper(rho=2.0, cost_limit=5).as_arrays())
    assert stack_hypers([Hyper(cost_limit=(1.0, 2.0))] * 3).cost_limit.shape == (3, 2)


@pytest.mark.parametrize(
    ("hypers", "message"),
    [
        ([], "hypers: got none, allowed is one for each member"),
        ([Hyper(), Hyper(rho=math.inf)], "rho: got inf, allowed is a finite number > 0"),
        ([Hyper(), Hyper(cost_limit=(1.0, 2.0))], "cost_limit: got different numbers of limits"),
    ],
)
def test_hypers_that_make_no_population_are_refused(hypers, message):
    with pytest.raises(ConfigError, match=message):
        stack_hypers(hypers)
