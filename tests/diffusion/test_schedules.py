import hypothesis
import hypothesis.strategies as st
import jax
import numpy as np
import pytest

from algd_jax.diffusion.schedules import denoising, variance_exploding
from algd_jax.errors import ConfigError


@hypothesis.given(
    steps=st.sampled_from([1, 2, 5, 20]), low=st.floats(1e-3, 0.5), ratio=st.floats(1.1, 1e3)
)
@hypothesis.settings(deadline=None, max_examples=60)
def test_geometric_between_the_ends_and_deltas_sum_to_the_last_variance(steps, low, ratio):
    schedule = variance_exploding(steps, low, low * ratio)
    sigmas = np.asarray(schedule.sigmas, np.float64)
    expected = low * ratio ** (np.arange(steps) / max(steps - 1, 1))
    np.testing.assert_allclose(sigmas, expected, rtol=1e-4)
    assert (np.asarray(schedule.deltas) > 0).all()
    np.testing.assert_allclose(np.sum(schedule.deltas), sigmas[-1] ** 2, rtol=1e-4)


def test_one_step_uses_the_smallest_scale():
    schedule = variance_exploding(1, 0.01, 1.0)
    np.testing.assert_allclose(schedule.sigmas, [0.01])
    np.testing.assert_allclose(schedule.deltas, [1e-4])


@hypothesis.given(
    steps=st.sampled_from([1, 2, 5, 20]), low=st.floats(1e-4, 0.1), ratio=st.floats(1.0, 9.0)
)
@hypothesis.settings(deadline=None, max_examples=40)
def test_ddpm_posterior_of_a_clean_latent(steps, low, ratio):
    """Variances add up to 1; without noise the posterior mean is the clean latent, less noisy."""
    with jax.enable_x64(True):
        schedule = jax.tree.map(np.asarray, denoising(steps, low, low * ratio))
    kept = np.cumprod(1 - low * (1 + (ratio - 1) * np.arange(steps) / max(steps - 1, 1)))
    before = np.concatenate([[1.0], kept[:-1]])
    np.testing.assert_allclose(schedule.signals, np.sqrt(kept), rtol=1e-9)
    np.testing.assert_allclose(schedule.signals**2 + schedule.sigmas**2, 1.0)
    mean = schedule.clean_weights + schedule.latent_weights * schedule.signals
    np.testing.assert_allclose(mean, np.sqrt(before), rtol=2e-4)  # The guard of the quotients.
    assert (np.diff(schedule.sigmas) > 0).all()
    assert schedule.posterior_stds[0] <= 1e-4 * (1 + 1e-9)


@pytest.mark.parametrize("schedule", [variance_exploding, denoising])
def test_a_chain_without_steps_is_refused(schedule):
    with pytest.raises(ConfigError, match="chain_steps: got 0, allowed is an integer >= 1"):
        schedule(0, 0.01, 0.1)
