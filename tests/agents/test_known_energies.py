"""Actors on energies given in closed form, without critics; and the slope of the learnt energy."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from algd_jax.agents.algorithms import make_algorithm
from algd_jax.agents.update import Pressure, action_energy
from algd_jax.config import AgentConfig, Hyper
from algd_jax.diffusion.score_target import score_target

SIZES = AgentConfig(score_samples=16, critic_width=16, actor_width=32, actor_layers=2)
HYPER = Hyper(temperature=0.2, actor_lr=3e-3, initial_alpha=1e-3)
OBS = jnp.ones(1)
MODE = 0.5


def two_modes(action):
    """Minima 0 at ±MODE, a barrier of 1 at the origin."""
    return jnp.sum((action**2 / MODE**2 - 1.0) ** 2)


def full_loss(actor, params, noise):
    return actor.loss_terms(params, OBS, two_modes, noise, HYPER).loss


def score_loss(actor, params, noise):
    """The regression of the score alone, at points of the chain that are held fixed."""
    latents = actor.latents(jax.lax.stop_gradient(params), OBS, noise.chain, HYPER)
    action, sigma = actor.squash(latents[noise.k]), actor.schedule(HYPER).sigmas[noise.k]
    target = score_target(two_modes, action, sigma, noise.target, HYPER.temperature)
    inputs = ({"params": params}, OBS, action, noise.k)
    (score,) = actor.network.apply(*inputs, method="heads")
    return jnp.mean((score - target) ** 2)


def trained_actions(name, loss):
    """Actions [512] of an actor that has been trained on the two-mode energy."""
    actor = make_algorithm(name, 1, (-1.0,), (1.0,), 10, SIZES).parts.actor
    adam = optax.adam(HYPER.actor_lr)

    def mean_loss(params, key):
        noise = jax.vmap(actor.draw_noise)(jax.random.split(key, 64))
        return jax.vmap(lambda n: loss(actor, params, n))(noise).mean()

    def step(carry, key):
        params, moments = carry
        updates, moments = adam.update(jax.grad(mean_loss)(params, key), moments)
        return (optax.apply_updates(params, updates), moments), None

    @jax.jit
    def run(key):
        init_key, train_key, act_key = jax.random.split(key, 3)
        params = actor.init(init_key, HYPER)
        keys = jax.random.split(train_key, 1_500)
        (params, _), _ = jax.lax.scan(step, (params, adam.init(params)), keys)
        draw = jax.vmap(lambda k: actor.draw(params, OBS, k, HYPER).action[0])
        return draw(jax.random.split(act_key, 512))

    return np.asarray(run(jax.random.key(0)))


def shares(actions):
    """Shares of actions near the left and near the right mode."""
    return tuple(float(np.mean(np.abs(actions - mode) < 0.25)) for mode in (-MODE, MODE))


def test_a_chain_that_follows_the_score_keeps_both_modes():
    left, right = shares(trained_actions("algd", score_loss))
    assert left + right > 0.7
    assert min(left, right) > 0.1


@pytest.mark.parametrize("name", ["sac", "algd"])
def test_descending_the_energy_itself_ends_in_one_mode(name):
    """A Gaussian can do no better; the chain's full loss has an energy term that does the same."""
    left, right = shares(trained_actions(name, full_loss))
    assert max(left, right) > 0.9
    assert min(left, right) < 0.02


@pytest.mark.parametrize("name", ["algd", "diffusion_lagrangian"])
@pytest.mark.parametrize("limit", [0.0, 100.0], ids=["violation", "slack"])
def test_energy_gradient_against_finite_differences(name, limit):
    parts = make_algorithm(name, 3, (-1.0, -1.0), (1.0, 1.0), 10, SIZES).parts
    with jax.enable_x64(True):
        init = jax.jit(parts.critics.init)(jax.random.key(0))
        critics = jax.tree.map(lambda x: x.astype(jnp.float64), init)
        obs, hyper = jnp.array([0.3, -0.2, 0.9]), Hyper(cost_limit=limit)
        energy = jax.jit(action_energy(parts, critics, obs, Pressure(0.7, 1.3), hyper))
        action, step = jnp.array([0.2, -0.4]), 1e-6
        differences = [
            (energy(action + step * e) - energy(action - step * e)) / (2 * step) for e in jnp.eye(2)
        ]
        np.testing.assert_allclose(jax.grad(energy)(action), differences, rtol=1e-6, atol=1e-9)
