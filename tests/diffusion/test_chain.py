"""The reverse chain against an independent float64 loop, and against a density it must reach."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algd_jax.diffusion.chain import (
    draw_chain_noise,
    squash_to_box,
    ve_chain,
    zero_chain_noise,
)
from algd_jax.diffusion.schedules import variance_exploding

K, A = 5, 2


def score(action, k):
    return jnp.tanh(3.0 * action[::-1]) - 0.2 * k


def numpy_chain(noise, sigma_min=0.01, sigma_max=1.0):
    sigmas = sigma_min * (sigma_max / sigma_min) ** (np.arange(K) / (K - 1))
    variances = np.concatenate([[0.0], sigmas**2])
    latent = sigmas[-1] * np.asarray(noise.initial, np.float64)
    latents = {}
    for step, k in enumerate(reversed(range(K))):
        delta = variances[k + 1] - variances[k]
        latent = latent + delta * (np.tanh(3.0 * np.tanh(latent)[::-1]) - 0.2 * k)
        if k > 0:
            latent = latent + np.sqrt(delta) * np.asarray(noise.steps[step], np.float64)
        latents[k] = latent
    return np.stack([latents[k] for k in range(K)])


def chain(noise):
    schedule = variance_exploding(K, 0.01, 1.0)
    return ve_chain(score, schedule, noise, jnp.tanh)


@pytest.mark.parametrize("transform", [lambda f: f, jax.jit], ids=["plain", "jit"])
def test_agrees_with_a_float64_loop(transform):
    noise = draw_chain_noise(jax.random.key(0), K, A)
    np.testing.assert_allclose(transform(chain)(noise), numpy_chain(noise), rtol=1e-5, atol=1e-6)


def test_vmapped_chain_equals_single_chains():
    keys = jax.random.split(jax.random.key(1), 3)
    noise = jax.vmap(lambda key: draw_chain_noise(key, K, A))(keys)
    together = jax.vmap(chain)(noise)
    for i in range(3):
        alone = chain(jax.tree.map(lambda x: x[i], noise))  # noqa: B023
        np.testing.assert_allclose(together[i], alone, rtol=1e-5, atol=1e-6)


def test_deterministic_chain_starts_at_the_origin_and_adds_nothing():
    noise = zero_chain_noise(K, A)
    np.testing.assert_allclose(chain(noise), numpy_chain(noise), rtol=1e-5, atol=1e-6)


def test_no_noise_enters_at_the_last_step():
    """With a zero score the last step leaves the latent as it is."""
    noise = draw_chain_noise(jax.random.key(2), K, A)
    latents = ve_chain(
        lambda action, k: jnp.zeros(A), variance_exploding(K, 0.01, 1.0), noise, jnp.tanh
    )
    np.testing.assert_array_equal(latents[0], latents[1])
    assert not np.array_equal(latents[1], latents[2])


def test_exact_score_reaches_the_gaussian():
    """Fed the exact smoothed score of N(m, s²), a long chain ends with its mean and variance."""
    mean, variance, steps = 0.4, 0.09, 60
    schedule = variance_exploding(steps, 0.01, 3.0)

    def exact_score(x, k):
        # x carries σ_k² of noise before the step with index k removes Δ_k.
        return (mean - x) / (variance + schedule.sigmas[k] ** 2)

    def sample(key):
        noise = draw_chain_noise(key, steps, 1)
        return ve_chain(exact_score, schedule, noise, lambda x: x)[0, 0]

    samples = jax.vmap(sample)(jax.random.split(jax.random.key(3), 20_000))
    np.testing.assert_allclose(samples.mean(), mean, atol=0.02)
    np.testing.assert_allclose(samples.var(), variance, rtol=0.15)


def test_squash_maps_onto_an_asymmetric_box():
    squash = squash_to_box((-1.0, -0.7), (0.5, 1.5))
    np.testing.assert_allclose(squash(jnp.zeros(2)), [-0.25, 0.4], atol=1e-6)
    np.testing.assert_allclose(squash(jnp.array([50.0, -50.0])), [0.5, -0.7], atol=1e-6)


def test_wrong_noise_length_is_refused():
    noise = draw_chain_noise(jax.random.key(0), K + 1, A)
    with pytest.raises(AssertionError):
        chain(noise)
