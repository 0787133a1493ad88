import hypothesis
import hypothesis.strategies as st
import numpy as np

from algd_jax.diffusion.schedules import variance_exploding


@hypothesis.given(steps=st.integers(1, 30), low=st.floats(1e-3, 0.5), ratio=st.floats(1.1, 1e3))
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
