"""The reverse chain against an independent float64 loop, and against a density it must reach."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algd_jax.diffusion.chain import (
    ChainNoise,
    ddpm_chain,
    draw_chain_noise,
    squash_to_box,
    ve_chain,
    zero_chain_noise,
)
from algd_jax.diffusion.schedules import denoising, variance_exploding

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


CENTRE = np.array([0.4, -0.3])
HESSIAN = np.array([[6.0, 2.0], [2.0, 3.0]])
TEMPERATURE = 0.5


def exact_moments(steps, sigma_max):
    """Mean and covariance of the VE chain on ½ (x − c)ᵀ H (x − c), fed the exact smoothed score.

    The chain is affine in its noise: its mean is the noiseless chain, its covariance J Jᵀ.
    """
    schedule = variance_exploding(steps, 0.01, sigma_max)
    gibbs = TEMPERATURE * jnp.linalg.inv(HESSIAN)

    def exact_score(x, k):
        return jnp.linalg.solve(gibbs + schedule.sigmas[k] ** 2 * jnp.eye(2), CENTRE - x)

    def end(noise):
        return ve_chain(exact_score, schedule, noise, lambda x: x)[0]

    def reverse(flat):
        rows = flat.reshape(steps, 2)
        return end(ChainNoise(rows[0], rows[1:]))

    nothing = jnp.zeros(2 * steps)
    jacobian = jax.jacobian(reverse)(nothing)
    return reverse(nothing), jacobian @ jacobian.T


def predicted_moments(steps, sigma_max):
    """The same in closed form, for each eigenvalue s² of the Gibbs covariance T H⁻¹.

    With v_k = s² + σ_k² and v_{−1} = s², step k maps x − c to (v_{k−1}/v_k)(x − c) + sqrt(Δ_k) ε.
    Products telescope: the start's pull on the mean fades to s²/v_{K−1}, and the variance is
    s⁴ (σ_{K−1}²/v_{K−1}² + Σ_{k>0} Δ_k/v_{k−1}²), a Riemann sum that tends to s⁴/v_0.
    """
    variances = (0.01 * (sigma_max / 0.01) ** (np.arange(steps) / (steps - 1))) ** 2
    gibbs, axes = np.linalg.eigh(TEMPERATURE * np.linalg.inv(HESSIAN))
    v = gibbs[:, None] + variances
    reduced = variances[-1] / v[:, -1] ** 2 + (np.diff(variances) / v[:, :-1] ** 2).sum(axis=1)
    mean = axes @ np.diag(1 - gibbs / v[:, -1]) @ axes.T @ CENTRE
    return mean, axes @ np.diag(gibbs**2 * reduced) @ axes.T


@pytest.mark.parametrize("steps", [5, 20])
def test_exact_score_gives_the_predicted_mean_and_covariance(steps):
    with jax.enable_x64(True):
        for actual, predicted in zip(
            exact_moments(steps, 1.0), predicted_moments(steps, 1.0), strict=True
        ):
            np.testing.assert_allclose(actual, predicted, rtol=1e-9)


def test_a_long_chain_reaches_the_gibbs_density():
    """As K and σ_max grow the prediction tends to mean c and covariance T H⁻¹, at rate 1/K."""
    gibbs = TEMPERATURE * np.linalg.inv(HESSIAN)
    errors = [np.abs(predicted_moments(k, 30.0)[1] - gibbs).max() for k in (400, 800)]
    np.testing.assert_allclose(errors[0] / errors[1], 2.0, rtol=0.1)
    mean, covariance = predicted_moments(2_000, 30.0)
    np.testing.assert_allclose(mean, CENTRE, rtol=2e-3)
    np.testing.assert_allclose(covariance, gibbs, rtol=1e-2)


def noise_model(latent, k):
    return jnp.sin(latent) + 0.1 * k


def numpy_ddpm_chain(noise, guidance):
    betas = np.linspace(1e-4, 0.02, K)
    kept = np.cumprod(1 - betas)
    before = np.concatenate([[1.0], kept[:-1]])
    latent, latents = np.asarray(noise.initial, np.float64), {}
    for step, k in enumerate(reversed(range(K))):
        clean = latent - np.sqrt(1 - kept[k]) * (np.sin(latent) + 0.1 * k)
        clean /= np.sqrt(kept[k])
        mean = np.sqrt(before[k]) * betas[k] * clean
        mean += np.sqrt(1 - betas[k]) * (1 - before[k]) * latent
        mean /= 1 - kept[k] + 1e-8
        push = np.tanh(3.0 * np.tanh(latent)[::-1]) - 0.2 * k
        latent = mean + guidance * push / np.linalg.norm(push)
        if k > 0:
            variance = betas[k] * (1 - before[k]) / (1 - kept[k])
            latent = latent + np.sqrt(variance) * np.asarray(noise.steps[step], np.float64)
        latents[k] = latent
    return np.stack([latents[k] for k in range(K)])


@pytest.mark.parametrize("transform", [lambda f: f, jax.jit], ids=["plain", "jit"])
@pytest.mark.parametrize("deterministic", [False, True])
def test_ddpm_agrees_with_a_float64_loop(transform, deterministic):
    def chain(noise):
        return ddpm_chain(noise_model, score, denoising(K, 1e-4, 0.02), noise, jnp.tanh, 0.05)

    with jax.enable_x64(True):
        drawn = draw_chain_noise(jax.random.key(0), K, A)
        noise = zero_chain_noise(K, A) if deterministic else drawn
        np.testing.assert_allclose(
            transform(chain)(noise), numpy_ddpm_chain(noise, 0.05), rtol=1e-4
        )
        pair = jax.tree.map(lambda x: jnp.stack([x, 2 * x]), noise)
        np.testing.assert_allclose(jax.vmap(chain)(pair)[0], chain(noise), rtol=1e-12)


def test_ddpm_without_a_score_has_finite_gradients():
    def end(scale):
        chain = ddpm_chain(
            noise_model,
            lambda action, k: scale * jnp.zeros(A),
            denoising(K, 1e-4, 0.02),
            draw_chain_noise(jax.random.key(0), K, A),
            jnp.tanh,
            0.05,
        )
        return chain[0].sum()

    assert jnp.isfinite(jax.grad(end)(1.0))


def test_squash_maps_onto_an_asymmetric_box():
    squash = squash_to_box((-1.0, -0.7), (0.5, 1.5))
    np.testing.assert_allclose(squash(jnp.zeros(2)), [-0.25, 0.4], atol=1e-6)
    np.testing.assert_allclose(squash(jnp.array([50.0, -50.0])), [0.5, -0.7], atol=1e-6)


def test_wrong_noise_length_is_refused():
    noise = draw_chain_noise(jax.random.key(0), K + 1, A)
    with pytest.raises(AssertionError):
        chain(noise)
