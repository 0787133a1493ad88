"""Actors on energies given in closed form, without critics; and the slope of the learnt energy."""

import dataclasses
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from algd_jax.agents.algorithms import make_algorithm
from algd_jax.agents.state import Pressure
from algd_jax.config import AgentConfig, Hyper
from algd_jax.diffusion.score_target import score_target
from tests.compiling import OPTIMISED

SIZES = AgentConfig(score_samples=64, critic_width=16, actor_width=32, actor_layers=2)
HYPER = Hyper(temperature=0.2, actor_lr=3e-3, initial_alpha=1e-3, score_weight=1.0)
OBS = jnp.ones(1)
MODE, WIDTH = 0.5, 0.15
SEEDS = 3
MANY_SEEDS = 16


def two_modes(action):
    """−T log of two equal Gaussians at ±MODE; at temperature T it is their mixture's energy."""
    mixture = jnp.stack([-0.5 * jnp.sum((action - m) ** 2) / WIDTH**2 for m in (-MODE, MODE)])
    return -HYPER.temperature * jax.nn.logsumexp(mixture)


def full_loss(actor, params, noise):
    energies = jnp.vectorize(two_modes, signature="(a)->()")
    obs = jnp.broadcast_to(OBS, (64, 1))
    return actor.loss_terms(params, obs, energies, noise, HYPER).loss


def score_loss(actor, params, noise):
    return jax.vmap(lambda one: score_error(actor, params, one))(noise)


def score_error(actor, params, noise):
    """The regression of the score alone, at points of the chain that are held fixed."""
    latents = actor.latents(jax.lax.stop_gradient(params), OBS, noise.chain, HYPER)
    action, sigma = actor.squash(latents[noise.k]), actor.schedule(HYPER).sigmas[noise.k]
    target = score_target(two_modes, action, sigma, noise.target, HYPER.temperature)
    inputs = ({"params": params}, OBS, action, noise.k)
    (score,) = actor.network.apply(*inputs, method="heads")
    return jnp.mean((score - target) ** 2)


def test_the_score_error_teaches_the_chain_unless_told_not_to():
    """Without, its gradient is that of a regression at fixed points; its value is the same."""
    energies = jnp.vectorize(two_modes, signature="(a)->()")

    def mean_error(actor, params, noise):
        obs = jnp.broadcast_to(OBS, (64, 1))
        return actor.loss_terms(params, obs, energies, noise, HYPER).auxiliary.mean()

    found = {}
    for reaches in (True, False):
        sizes = dataclasses.replace(SIZES, chain_gradient=reaches)
        actor = make_algorithm("algd", 1, (-1.0,), (1.0,), 10, sizes).actor
        params = actor.init(jax.random.key(0), HYPER)
        noise = jax.vmap(actor.draw_noise)(jax.random.split(jax.random.key(1), 64))
        found[reaches] = jax.value_and_grad(partial(mean_error, actor))(params, noise)
    fixed = jax.value_and_grad(lambda params: score_loss(actor, params, noise).mean())(params)
    chex.assert_trees_all_close(found[False], fixed, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(found[True][0], found[False][0])
    difference = optax.tree.norm(optax.tree.sub(found[True][1], fixed[1]))
    assert difference > 0.01 * optax.tree.norm(fixed[1])


def trained_actions(name, loss, sizes=SIZES, seeds=SEEDS):
    """Actions [seeds, 512] of actors that have been trained on the two-mode energy."""
    actor = make_algorithm(name, 1, (-1.0,), (1.0,), 10, sizes).actor
    adam = optax.adam(HYPER.actor_lr)

    def mean_loss(params, key):
        noise = jax.vmap(actor.draw_noise)(jax.random.split(key, 64))
        return loss(actor, params, noise).mean()

    def step(carry, key):
        params, moments = carry
        updates, moments = adam.update(jax.grad(mean_loss)(params, key), moments)
        return (optax.apply_updates(params, updates), moments), None

    @partial(jax.jit, compiler_options=OPTIMISED)
    @jax.vmap
    def run(key):
        init_key, train_key, act_key = jax.random.split(key, 3)
        params = actor.init(init_key, HYPER)
        keys = jax.random.split(train_key, 1_500)
        (params, _), _ = jax.lax.scan(step, (params, adam.init(params)), keys)
        draw = jax.vmap(lambda k: actor.draw(params, OBS, k, HYPER).action[0])
        return draw(jax.random.split(act_key, 512))

    return np.asarray(run(jax.random.split(jax.random.key(0), seeds)))


def shares(actions):
    """Shares [seeds, 2] of actions within two widths of the left and of the right mode."""
    near = [np.abs(actions - mode) < 2 * WIDTH for mode in (-MODE, MODE)]
    return np.stack(near).mean(axis=-1).T


def test_a_chain_trained_on_the_score_keeps_both_modes():
    assert shares(trained_actions("algd", score_loss)).min() > 0.05


@pytest.mark.slow
def test_the_score_error_loses_modes_through_the_chain_only():
    """With the energy term: where no gradient reaches a_k, every seed keeps both modes.

    With that gradient, which is the reference's, about a third of the seeds lose a mode (5 of 16
    when this was written): which of them is a matter of rounding, so no single one is judged.
    """

    def smaller(reaches):
        sizes = dataclasses.replace(SIZES, chain_gradient=reaches)
        return shares(trained_actions("algd", full_loss, sizes, MANY_SEEDS)).min(axis=1)

    through, fixed = smaller(True), smaller(False)
    assert fixed.min() > 0.05
    assert through.mean() < fixed.mean()
    assert np.sum(through > 0.05) >= MANY_SEEDS // 4


def test_a_gaussian_policy_ends_in_one_mode():
    both = shares(trained_actions("sac", full_loss))
    assert both.max(axis=1).min() > 0.9
    assert both.min(axis=1).max() < 0.02


@pytest.mark.parametrize("name", ["algd", "diffusion_lagrangian"])
@pytest.mark.parametrize("limit", [0.0, 100.0], ids=["violation", "slack"])
def test_energy_gradient_against_finite_differences(name, limit):
    parts = make_algorithm(name, 3, (-1.0, -1.0), (1.0, 1.0), 10, SIZES)
    with jax.enable_x64(True):
        init = jax.jit(parts.critics.init)(jax.random.key(0))
        critics = jax.tree.map(lambda x: x.astype(jnp.float64), init)
        obs, hyper = jnp.array([0.3, -0.2, 0.9]), Hyper(cost_limit=limit)
        energy = jax.jit(
            parts.energies(critics, obs, Pressure(0.7, 1.3, parts.budget(hyper)), hyper)
        )
        action, step = jnp.array([0.2, -0.4]), 1e-6
        differences = [
            (energy(action + step * e) - energy(action - step * e)) / (2 * step) for e in jnp.eye(2)
        ]
        np.testing.assert_allclose(jax.grad(energy)(action), differences, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("share", "quiet"), [(0.0, 0), (0.25, 16), (1.0, 64)])
def test_quiet_chains_judge_the_deterministic_action(share, quiet):
    """Of 64 examples at one state so many have the energy of the action without noise."""
    actor = make_algorithm("algd", 1, (-1.0,), (1.0,), 10, SIZES).actor
    hyper = HYPER.replace(quiet_share=share)
    params, obs = actor.init(jax.random.key(0), hyper), jnp.zeros((64, 1))
    noise = jax.vmap(actor.draw_noise)(jax.random.split(jax.random.key(1), 64))
    terms = actor.loss_terms(params, obs, lambda actions: actions[..., 0] ** 2, noise, hyper)
    expected = actor.act_deterministic(params, obs[0], hyper)[0] ** 2
    assert int(jnp.sum(jnp.abs(terms.energy - expected) < 1e-6)) == quiet
