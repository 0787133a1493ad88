"""Key discipline: no two consumers share a key, seeds and members differ, and looking at a run
does not move it.

There are two ways to look for shared keys. JAX's own checker reads a program: it sees all of it,
but not how keys go through loops and choices. A generator that reports the keys it is given sees
what really happens, in a whole run: whoever consumes one a second time is caught.
"""

import collections
import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.errors import KeyReuseError
from jax.extend.random import define_prng_impl, threefry_prng_impl

from algd_jax.agents.algorithms import ALGORITHMS
from algd_jax.runs.build import Stream, build, stream_key
from algd_jax.runs.directory import RunDirectory
from algd_jax.runs.run import train
from algd_jax.training import checkpoint
from algd_jax.training.evaluation import evaluate_agent
from algd_jax.training.population import Population, stack_hypers
from tests.runs.support import EPOCH, WARMUP, assert_equal_trees, probes, tiny_config  # noqa: F401

STEPS = WARMUP + 2 * EPOCH

pytestmark = pytest.mark.usefixtures("probes")


# Read in the program.

RULES = [
    *({"algorithm": name} for name in ALGORITHMS),
    {"diffusion": "ddpm"},
    {"multiplier": "projected_gradient"},
    {"multiplier": "pid"},
    {"penalty": "growing"},
]
ENVIRONMENTS = ["PointButton1", "SafetyCarGoal2-v0", "SafetyPointPush1-v0", "SafetyAntVelocity-v1"]


def configured(env="ActionProbe", algorithm="algd", **rules):
    config = dataclasses.replace(tiny_config(env), algorithm=algorithm)
    return dataclasses.replace(config, agent=dataclasses.replace(config.agent, **rules))


def parts(config):
    """What a run computes, as (function, arguments) by name: its loops only repeat these."""
    trainer, hyper, key = build(config), config.hyper.as_arrays(), jax.random.key(0)
    state = jax.eval_shape(trainer.init, key, hyper)
    return {
        "init": (trainer.init, (key, hyper)),
        "interact": (trainer._interact, (state, key, hyper)),
        "learn": (trainer._learn, (state.agent, state.replay, key, hyper)),
        "evaluate": (functools.partial(evaluate_agent, trainer), (state.agent, key, hyper)),
    }


@pytest.fixture
def check():
    """JAX's checker, which is not public yet, for a function and arguments."""
    return pytest.importorskip("jax.experimental.key_reuse._core").check_key_reuse


def test_the_checker_finds_a_key_that_is_used_twice(check):
    def careless(key):
        return jax.random.normal(key) + jax.random.uniform(key)

    with pytest.raises(KeyReuseError):
        check(careless, jax.random.key(0))


@pytest.mark.parametrize("rules", RULES, ids=lambda rules: " ".join(rules.values()))
def test_no_algorithm_and_no_rule_uses_a_key_twice(check, rules):
    for function, arguments in parts(configured(**rules)).values():
        check(function, *arguments)


@pytest.mark.slow
@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_no_environment_uses_a_key_twice(check, env):
    for name, (function, arguments) in parts(configured(env)).items():
        if name != "learn":
            check(function, *arguments)


# Seen in a run.


class Reporter:
    """A generator like JAX's own that reports the keys it is given.

    Attributes:
      uses: how often each key was drawn from or split, and each pair of key and number folded.
    """

    def __init__(self):
        self.uses = collections.Counter()
        own = threefry_prng_impl

        def split(key, shape):
            self._report(key)
            return own.split(key, shape)

        def random_bits(key, bit_width, shape):
            self._report(key)
            return own.random_bits(key, bit_width, shape)

        def fold_in(key, number):
            self._report(key, number)
            return own.fold_in(key, number)

        self.kind = define_prng_impl(
            key_shape=own.key_shape,
            seed=own.seed,
            split=split,
            random_bits=random_bits,
            fold_in=fold_in,
            name="reporting",
            tag="rep",
        )

    def _report(self, *use):
        jax.debug.callback(self._count, *use)

    def _count(self, *use):
        self.uses[tuple(np.asarray(part).tobytes() for part in use)] += 1

    def check(self, least):
        """No key has two uses; a key from which others were folded has no further one."""
        jax.effects_barrier()
        assert len(self.uses) > least
        assert {use: count for use, count in self.uses.items() if count > 1} == {}
        folded = {use[0] for use in self.uses if len(use) == 2}
        assert not folded & {use[0] for use in self.uses if len(use) == 1}


@pytest.fixture
def reporter(monkeypatch):
    """From now on every key made of a seed is one of this generator."""
    reporter = Reporter()
    monkeypatch.setattr(jax.random, "key", functools.partial(jax.random.key, impl=reporter.kind))
    return reporter


def test_the_reporter_finds_a_key_that_is_used_twice(reporter):
    key = jax.random.key(0)
    first, second = jax.random.split(key)
    jax.jit(jax.vmap(jax.random.normal))(jnp.stack([first, second]))
    reporter.check(least=2)
    jax.random.normal(first)
    with pytest.raises(AssertionError):
        reporter.check(least=2)


def test_no_key_is_used_twice_in_a_whole_run(reporter, tmp_path):
    train(tiny_config(env_steps=STEPS), tmp_path / "run")
    reporter.check(least=1000)


@pytest.mark.slow
def test_no_key_is_used_twice_in_a_population(reporter):
    config = tiny_config()
    population, hyper = Population(build(config)), stack_hypers([config.hyper] * 2)
    keys = jnp.stack([stream_key(seed, Stream.TRAINING) for seed in (0, 1)])
    state = jax.jit(population.init)(keys, hyper)
    state = jax.jit(population.warmup)(state, hyper)
    state, _ = jax.jit(population.train_epoch)(state, hyper)
    reporter.check(least=1000)


# Streams.


def test_streams_of_many_seeds_never_meet():
    """Not where they begin, nor in the keys first derived from them (the i-th of a split is what
    folding in i gives)."""

    def derived(seed, stream):
        key = stream_key(seed, stream)
        folded = jax.vmap(lambda number: jax.random.fold_in(key, number))(jnp.arange(8))
        return jnp.concatenate([key[None], folded])

    seeds = np.r_[:2_000, 2**32 - 48 : 2**32].astype(np.uint32)
    keys = [jax.jit(jax.vmap(lambda seed, s=s: derived(seed, s)))(seeds) for s in Stream]
    found = np.asarray(jax.random.key_data(jnp.stack(keys))).reshape(-1, 2)
    assert len(found) == len(Stream) * 2_048 * 9
    assert len(np.unique(found, axis=0)) == len(found)


def random_leaves(state):
    """The arrays of a state that a seed decides, by name."""
    leaves = jax.tree_util.tree_leaves_with_path((state.agent.actor, state.agent.critics.reward))
    named = {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}
    named = {name: leaf for name, leaf in named.items() if np.ptp(leaf) > 0}  # No zero biases.
    keys = {"loop": state.key, "reset": state.env.info["reset_key"]}
    plain = {name: jax.random.key_data(key) for name, key in keys.items()}
    return named | plain | {"obs": state.env.obs}


@pytest.fixture(scope="module")
def members(probes):  # noqa: F811
    """Three members after warm-up and an epoch, alike in everything but their keys."""
    config = tiny_config()
    population, hyper = Population(build(config)), stack_hypers([config.hyper] * 3)
    keys = jnp.stack([stream_key(seed, Stream.TRAINING) for seed in range(3)])
    state = jax.jit(population.init)(keys, hyper)
    return jax.jit(population.train_epoch)(jax.jit(population.warmup)(state, hyper), hyper)[0]


def test_members_of_different_seeds_share_no_random_number(members):
    for name, leaf in random_leaves(members).items():
        for first, second in itertools.combinations(np.asarray(leaf), 2):
            assert np.mean(first == second) < 0.1, name


# Looking at a run.


def trained(folder, **loop):
    """The whole state at the end of a run."""
    config = tiny_config(env_steps=STEPS, **loop)
    train(config, folder)
    like = jax.eval_shape(build(config).init, jax.random.key(0), config.hyper.as_arrays())
    return checkpoint.restore(RunDirectory(folder).state, like).tree


def test_evaluation_never_moves_training(tmp_path):
    """Few episodes or many, at the end or not, or none at all."""
    config = tiny_config(env_steps=STEPS)
    trainer, hyper = build(config), config.hyper.as_arrays()
    train_epoch = jax.jit(trainer.train_epoch)
    state = jax.jit(trainer.init)(stream_key(config.seed, Stream.TRAINING), hyper)
    state = jax.jit(trainer.warmup)(state, hyper)
    state = train_epoch(train_epoch(state, hyper)[0], hyper)[0]
    assert_equal_trees(trained(tmp_path / "few", eval_episodes=1), state)
    many = {"eval_episodes": 7, "final_eval_episodes": 20}
    assert_equal_trees(trained(tmp_path / "many", **many), state)
