"""Every public function gives the same without jit, under jit and under vmap, gradients included.

One row per function of ``algd_jax.__all__`` that computes; the gradients are checked against finite
differences too.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

import algd_jax
from algd_jax import (
    ALGORITHMS,
    AgentConfig,
    ChainNoise,
    CriticValues,
    Hyper,
    Transition,
    make_algorithm,
)

N = 3
"""Examples of each function: the axis that is mapped."""

A, K, E, M = 2, 4, 3, 5
RECORDS = {
    "ALGORITHMS",
    "AgentConfig",
    "AgentState",
    "Algorithm",
    "ChainNoise",
    "Config",
    "ConfigError",
    "CriticValues",
    "Denoising",
    "HealthConfig",
    "Hyper",
    "LoopConfig",
    "MultiplierRule",
    "PenaltyRule",
    "Transition",
    "UpdateMetrics",
    "VarianceExploding",
}

HOST_SIDE = {"Policy", "Run", "train"}  # See tests/runs/test_api.py.


class Row(NamedTuple):
    """A function of one example, and N examples.

    Attributes:
      function: arrays in, arrays out.
      arguments: leaves [N, …].
      smooth: positions of the arguments in which the function is differentiable at the examples.
    """

    function: Callable[..., Any]
    arguments: tuple
    smooth: tuple[int, ...] = ()


def numbers(*shape, low=-1.0, high=1.0, seed=0):
    return np.random.default_rng([seed, *shape]).uniform(low, high, (N, *shape))


def positive(*shape, seed=0):
    return numbers(*shape, low=0.2, high=0.9, seed=seed)


def noise(steps=K):
    return ChainNoise(numbers(A, seed=1), numbers(steps - 1, A, seed=2))


def model(action, k):
    return jnp.sin(2.0 * action) - 0.1 * k


def energies(lagrangian):
    arguments = tuple(positive(seed=seed) for seed in range(5))
    return Row(lagrangian, arguments, (0, 1, 2, 3, 4))


def follow(make_rule, read):
    """A rule's answer and state after four violations."""

    def run(start, violations, *parameters):
        rule = make_rule(*parameters)
        state = rule.init(start)
        for violation in violations:
            state = rule.update(state, violation)
        return getattr(rule, read)(state), state

    return run


def chain(schedule, run):
    """A chain as a function of its noise and the two ends of its schedule."""

    def latents(draws, first, last, *guidance):
        return run(schedule(K, first, last), draws, *guidance)

    return latents


def score_of_quadratic(centre, action, sigma, draws, temperature):
    def energy(point):
        return jnp.sum((point - centre) ** 2)

    return algd_jax.score_target(energy, action, sigma, draws, temperature)


def target_values(transition, reward, cost, discount, cost_discount):
    return algd_jax.td_targets(transition, CriticValues(reward, cost), discount, cost_discount)


TRANSITION = Transition(
    obs=numbers(3),
    action=numbers(A),
    reward=numbers(seed=3),
    cost=positive(seed=4),
    next_obs=numbers(3, seed=5),
    terminated=positive(seed=6),
    cost_terminated=positive(seed=7),
)
SMALL, LARGE = numbers(low=0.01, high=0.1), numbers(low=0.5, high=0.9)
KEYS = jax.random.split(jax.random.key(0), N)

ROWS = {
    "variance_exploding": Row(
        lambda low, high: algd_jax.variance_exploding(K, low, high), (SMALL, LARGE), (0, 1)
    ),
    "denoising": Row(lambda low, high: algd_jax.denoising(K, low, high), (SMALL, LARGE), (0, 1)),
    "draw_chain_noise": Row(lambda key: algd_jax.draw_chain_noise(key, K, A), (KEYS,)),
    "zero_chain_noise": Row(
        lambda offset: jax.tree.map(lambda x: x + offset, algd_jax.zero_chain_noise(K, A)),
        (numbers(),),
        (0,),
    ),
    "squash_to_box": Row(
        lambda low, high, latent: algd_jax.squash_to_box(low, high)(latent),
        (numbers(A) - 2.0, numbers(A) + 2.0, numbers(A)),
        (2,),  # The box is kept in float32, too coarse for finite differences.
    ),
    "reverse_chain": Row(
        lambda start, steps: algd_jax.reverse_chain(
            lambda latent, k, draw: jnp.sin(latent) + 0.1 * k + draw, start, steps
        ),
        (numbers(A), numbers(K - 1, A)),
        (0, 1),
    ),
    "ve_chain": Row(
        chain(
            algd_jax.variance_exploding,
            lambda schedule, draws: algd_jax.ve_chain(model, schedule, draws, jnp.tanh),
        ),
        (noise(), SMALL, LARGE),
        (0, 1, 2),
    ),
    "ddpm_chain": Row(
        chain(
            algd_jax.denoising,
            lambda schedule, draws, guidance: algd_jax.ddpm_chain(
                model, lambda action, k: action + 2.0, schedule, draws, jnp.tanh, guidance
            ),
        ),
        (noise(), SMALL, LARGE, positive()),
        (0, 1, 2, 3),
    ),
    "score_target": Row(
        score_of_quadratic,
        (numbers(A), numbers(A, seed=1), positive(), numbers(M, A), positive(seed=1)),
        (0, 1, 2, 3, 4),
    ),
    "risk": Row(algd_jax.risk, (numbers(E), positive()), (0, 1)),
    "discounted_budget": Row(
        lambda limit, discount: algd_jax.discounted_budget(limit, discount, 50),
        (positive(), positive(seed=1)),
        (0, 1),
    ),
    "plain_lagrangian": energies(algd_jax.plain_lagrangian),
    "augmented_lagrangian": energies(algd_jax.augmented_lagrangian),
    "multiplier_loss": Row(algd_jax.multiplier_loss, (numbers(2), numbers(2, seed=1)), (0,)),
    "rectified": Row(algd_jax.rectified, (positive(), positive(seed=1), positive(seed=2)), (0,)),
    "log_adam": Row(follow(algd_jax.log_adam, "lam"), (positive(), numbers(4), positive())),
    "projected_gradient": Row(
        follow(algd_jax.projected_gradient, "lam"), (positive() + 4.0, numbers(4), positive()), (0,)
    ),
    "pid": Row(
        follow(algd_jax.pid, "lam"),
        (positive() + 4.0, numbers(4), positive(seed=1), positive(seed=2), positive(seed=3)),
        (0, 2, 3, 4),
    ),
    "no_multiplier": Row(follow(algd_jax.no_multiplier, "lam"), (positive(), numbers(4))),
    "fixed_penalty": Row(
        follow(algd_jax.fixed_penalty, "rho"), (positive(), numbers(4), positive(seed=1)), (2,)
    ),
    "growing_penalty": Row(
        follow(algd_jax.growing_penalty, "rho"),
        (
            positive(),
            positive(4),
            positive(seed=1),
            positive(seed=2) + 1.0,
            SMALL,
            LARGE + 9.0,
            positive(seed=3) + 1.0,
        ),
    ),
    "td_targets": Row(
        target_values,
        (TRANSITION, numbers(2), numbers(E), positive(), positive(seed=1)),
        (1, 2, 3, 4),
    ),
}


def take(tree, index):
    return jax.tree.map(lambda leaf: leaf[index], tree)


def loop(function, arguments):
    """One example after the other."""
    results = [function(*take(arguments, index)) for index in range(N)]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *results)


def plain(function, arguments):
    """The same without jit, one operation after the other."""
    with jax.disable_jit():
        return loop(function, arguments)


def compiled(function, arguments):
    return loop(jax.jit(function), arguments)


def mapped(function, arguments):
    return jax.jit(jax.vmap(function))(*arguments)


def assert_same(ways, function, arguments, rtol):
    first, *others = (way(function, arguments) for way in ways)
    for other in others:
        chex.assert_trees_all_close(other, first, rtol=rtol, atol=rtol / 10)


def summed(function):
    """All that comes out, as one number."""
    return lambda *arguments: sum(map(jnp.sum, jax.tree.leaves(function(*arguments))))


def with_gradient(function, smooth):
    """What comes out, and the gradient of its sum by the arguments at these positions."""
    if not smooth:
        return function
    gradient = jax.grad(summed(function), smooth)
    return lambda *arguments: (function(*arguments), gradient(*arguments))


@pytest.mark.parametrize("name", ROWS)
def test_mathematics(name):
    function, arguments, smooth = ROWS[name]
    with jax.enable_x64(True):
        arguments = jax.tree.map(jnp.asarray, arguments)
        assert_same((plain, compiled, mapped), with_gradient(function, smooth), arguments, 1e-9)
        if not smooth:
            return
        first = list(take(arguments, 0))

        @jax.jit
        def of_smooth(*values):
            filled = first.copy()
            for position, value in zip(smooth, values, strict=True):
                filled[position] = value
            return summed(function)(*filled)

        check_grads(of_smooth, [first[i] for i in smooth], order=1, modes=["rev"], rtol=1e-5)


SIZES = AgentConfig(
    chain_steps=2,
    score_samples=2,
    cost_critics=2,
    critic_width=4,
    critic_layers=2,
    actor_width=8,  # With fewer, a score may be 0 throughout, where its direction has no slope.
    actor_layers=1,
    time_features=2,
)
BATCH, OBS = 2, 3
HYPERS = jax.tree.map(lambda x: jnp.stack([x, 0.9 * x, 0.8 * x]), Hyper().as_arrays())
VARIANTS = {name: (name, SIZES, 1) for name in ALGORITHMS} | {
    "algd, ddpm": ("algd", dataclasses.replace(SIZES, diffusion="ddpm"), 1),
    "algd, two constraints": ("algd", SIZES, 2),
}


def batch(constraints):
    """Transitions with leaves [N, B, …]."""
    costs = (BATCH,) if constraints == 1 else (BATCH, constraints)
    leaves = Transition(
        obs=numbers(BATCH, OBS),
        action=numbers(BATCH, A),
        reward=numbers(BATCH),
        cost=positive(*costs),
        next_obs=numbers(BATCH, OBS, seed=1),
        terminated=np.zeros((N, BATCH)),
        cost_terminated=np.zeros((N, BATCH)),
    )
    return jax.tree.map(jnp.float32, leaves)


def make(name):
    """An algorithm, N states, N settings and N batches."""
    algorithm, sizes, constraints = VARIANTS[name]
    agent = make_algorithm(algorithm, OBS, (-1.0,) * A, (1.0,) * A, 50, sizes, constraints)
    hypers = HYPERS
    if constraints > 1:
        limits = jnp.stack([hypers.cost_limit] * constraints, axis=-1)
        hypers = hypers.replace(cost_limit=limits)
    return agent, mapped(agent.init, (KEYS, hypers)), hypers, batch(constraints)


@pytest.mark.parametrize("name", VARIANTS)
def test_acting(name):
    agent, states, hypers, transitions = make(name)
    obs, ways = transitions.obs[:, 0], (plain, compiled, mapped)
    assert_same(ways, agent.act, (states, obs, KEYS, hypers), 1e-4)
    best_action = with_gradient(agent.act_deterministic, (1,))
    assert_same(ways, best_action, (states, obs, hypers), 1e-4)


@pytest.mark.parametrize(
    "ways",
    [
        (compiled, mapped),
        # A minute, to compile every operation by itself.
        pytest.param((compiled, plain), marks=pytest.mark.slow),
    ],
    ids=["mapped", "plain"],
)
@pytest.mark.parametrize("name", VARIANTS)
def test_learning(name, ways):
    agent, states, hypers, transitions = make(name)
    assert_same(ways, agent.init, (KEYS, hypers), 1e-4)
    assert_same(ways, agent.update, (states, transitions, KEYS, hypers), 1e-4)


def test_no_function_is_forgotten():
    assert set(algd_jax.__all__) - RECORDS - HOST_SIDE - {"make_algorithm"} == set(ROWS)
