"""The score target against the closed form of a quadratic energy, and its rate of convergence."""

import jax
import jax.numpy as jnp
import numpy as np

from algd_jax.diffusion.score_target import score_target

CENTRE = jnp.array([0.3, -0.5])
CURVATURE = 4.0
SIGMA, TEMPERATURE = 0.3, 0.5


def energy(action):
    return 0.5 * CURVATURE * jnp.sum((action - CENTRE) ** 2)


def smoothed_score(action):
    """Score of N(centre, T/curvature) convolved with N(0, σ²)."""
    return (CENTRE - action) / (TEMPERATURE / CURVATURE + SIGMA**2)


def estimate(key, samples, action):
    noise = jax.random.normal(key, (samples, 2))
    return score_target(energy, action, SIGMA, noise, TEMPERATURE)


def root_mean_square_error(samples, repeats=2_000):
    action = jnp.array([0.9, 0.1])
    keys = jax.random.split(jax.random.key(0), repeats)
    estimates = jax.vmap(lambda key: estimate(key, samples, action))(keys)
    return float(jnp.sqrt(jnp.mean((estimates - smoothed_score(action)) ** 2)))


def test_error_falls_as_one_over_root_m():
    coarse, fine = root_mean_square_error(64), root_mean_square_error(1_024)
    assert 3.0 < coarse / fine < 5.5  # sqrt(1024 / 64) = 4
    assert fine < 0.3


def test_one_sample_is_the_plain_gradient():
    action = jnp.array([0.9, 0.1])
    target = score_target(energy, action, SIGMA, jnp.zeros((1, 2)), TEMPERATURE)
    np.testing.assert_allclose(target, -jax.grad(energy)(action) / TEMPERATURE, rtol=1e-6)


def test_agrees_with_float64_numpy_under_jit():
    noise = np.random.default_rng(0).normal(size=(4, 2))
    action = np.array([0.9, 0.1])
    samples = action + SIGMA * noise
    energies = 0.5 * CURVATURE * ((samples - np.asarray(CENTRE)) ** 2).sum(-1)
    weights = np.exp(-(energies - energies.min()) / TEMPERATURE)
    weights /= weights.sum()
    expected = -(weights @ (CURVATURE * (samples - np.asarray(CENTRE)))) / TEMPERATURE
    actual = jax.jit(lambda a, n: score_target(energy, a, SIGMA, n, TEMPERATURE))(
        jnp.asarray(action, jnp.float32), jnp.asarray(noise, jnp.float32)
    )
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_energies_far_apart_do_not_overflow():
    noise = 100.0 * jax.random.normal(jax.random.key(0), (4, 2))
    assert jnp.isfinite(score_target(energy, CENTRE, 1.0, noise, 0.01)).all()
