"""Actors on energies given in closed form, without critics; and the slope of the learnt energy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from algd_jax.agents.algorithms import make_algorithm
from algd_jax.agents.update import Pressure, action_energy
from algd_jax.config import AgentConfig, Hyper

SIZES = AgentConfig(critic_width=16, actor_width=32, actor_layers=2)
HYPER = Hyper(temperature=0.2, actor_lr=3e-3, initial_alpha=0.05)
MODE = 0.5


def two_modes(action):
    """Minima 0 at ±MODE, a barrier of 1 at the origin."""
    return jnp.sum((action**2 / MODE**2 - 1.0) ** 2)


@functools.cache
def trained_actions(name):
    """Actions [512] of an actor that has descended the two-mode energy."""
    parts = make_algorithm(name, 1, (-1.0,), (1.0,), 10, SIZES).parts
    actor, obs, adam = parts.actor, jnp.zeros(1), optax.adam(HYPER.actor_lr)

    def loss(params, key):
        noise = jax.vmap(actor.draw_noise)(jax.random.split(key, 64))
        terms = jax.vmap(lambda n: actor.loss_terms(params, obs, two_modes, n, HYPER))(noise)
        return terms.loss.mean()

    def step(carry, key):
        params, moments = carry
        updates, moments = adam.update(jax.grad(loss)(params, key), moments)
        return (optax.apply_updates(params, updates), moments), None

    @jax.jit
    def run(key):
        init_key, train_key, act_key = jax.random.split(key, 3)
        params = actor.init(init_key, HYPER)
        keys = jax.random.split(train_key, 1_000)
        (params, _), _ = jax.lax.scan(step, (params, adam.init(params)), keys)
        draw = jax.vmap(lambda k: actor.draw(params, obs, k, HYPER).action[0])
        return draw(jax.random.split(act_key, 512))

    return np.asarray(run(jax.random.key(0)))


def shares(actions):
    """Shares of actions near the left and near the right mode."""
    return tuple(np.mean(np.abs(actions - mode) < 0.25) for mode in (-MODE, MODE))


def test_the_chain_keeps_both_modes():
    left, right = shares(trained_actions("algd"))
    assert left + right > 0.9
    assert min(left, right) > 0.25


def test_a_gaussian_policy_keeps_one():
    left, right = shares(trained_actions("sac"))
    assert max(left, right) > 0.9


@pytest.mark.parametrize("name", ["algd", "diffusion_lagrangian"])
@pytest.mark.parametrize("limit", [0.0, 100.0], ids=["violation", "slack"])
def test_energy_gradient_against_finite_differences(name, limit):
    parts = make_algorithm(name, 3, (-1.0, -1.0), (1.0, 1.0), 10, SIZES).parts
    with jax.enable_x64(True):
        init = parts.critics.init(jax.random.key(0))
        critics = jax.tree.map(lambda x: x.astype(jnp.float64), init)
        obs, hyper = jnp.array([0.3, -0.2, 0.9]), Hyper(cost_limit=limit)
        energy = jax.jit(action_energy(parts, critics, obs, Pressure(0.7, 1.3), hyper))
        action, step = jnp.array([0.2, -0.4]), 1e-6
        differences = [
            (energy(action + step * e) - energy(action - step * e)) / (2 * step) for e in jnp.eye(2)
        ]
        np.testing.assert_allclose(jax.grad(energy)(action), differences, rtol=1e-6, atol=1e-9)
