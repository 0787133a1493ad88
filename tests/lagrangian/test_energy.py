"""Facts of section "augmented Lagrangian", in closed form, in float64."""

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algd_jax.lagrangian.energy import (
    augmented_lagrangian,
    discounted_budget,
    plain_lagrangian,
    risk,
)

moderate = st.floats(-20, 20)
positive = st.floats(0.01, 10)


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


@hypothesis.given(q=moderate, c=moderate, lam=st.floats(0, 10), rho=positive, h=moderate)
@hypothesis.settings(deadline=None, max_examples=200)
def test_augmented_lagrangian_in_closed_form(q, c, lam, rho, h):
    energy = augmented_lagrangian(q, c, lam, rho, h)
    slope = jax.grad(augmented_lagrangian, argnums=1)(q, c, lam, rho, h)
    if lam + rho * (c - h) > 0:
        expected = plain_lagrangian(q, c, lam, rho, h) + rho / 2 * (c - h) ** 2
    else:
        expected = -q - lam**2 / (2 * rho)
    np.testing.assert_allclose(energy, expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(slope, max(lam + rho * (c - h), 0.0), rtol=1e-9, atol=1e-9)


def test_tends_to_the_plain_lagrangian_as_rho_vanishes():
    plain = plain_lagrangian(1.3, 4.0, 0.7, 1.0, 2.5)
    errors = [abs(augmented_lagrangian(1.3, 4.0, 0.7, rho, 2.5) - plain) for rho in (1e-1, 1e-2)]
    np.testing.assert_allclose(errors[0] / errors[1], 10, rtol=1e-6)


@pytest.mark.parametrize(("lam", "rho"), [(0.7, 1e-6), (0.7, 1e-12), (1e3, 0.1), (0.0, 1.0)])
@pytest.mark.parametrize("excess", [-30.0, -0.25, 0.25, 30.0])
def test_float32_is_exact_to_rounding_for_any_penalty(lam, rho, excess):
    """A difference of squares would lose all digits at the ends."""
    energy = augmented_lagrangian(*map(jnp.float32, (1.0, excess, lam, rho, 0.0)))
    assert energy.dtype == jnp.float32
    kept = max(excess, -lam / rho)
    expected = -1.0 + lam * kept + rho / 2 * kept**2
    np.testing.assert_allclose(energy, expected, rtol=1e-6, atol=1e-6)


def test_same_stationary_point_at_a_feasible_kkt_point():
    # minimise (a − 2)² subject to a <= 1: a* = 1, λ* = 2.
    def energy(lagrangian):
        return lambda a: lagrangian(-((a - 2) ** 2), a, 2.0, 3.0, 1.0)

    for lagrangian in (plain_lagrangian, augmented_lagrangian):
        np.testing.assert_allclose(jax.grad(energy(lagrangian))(1.0), 0.0, atol=1e-12)


@hypothesis.given(values=st.lists(moderate, min_size=1, max_size=6), kappa=st.floats(0, 3))
@hypothesis.settings(deadline=None, max_examples=50)
def test_risk_is_mean_plus_kappa_sample_deviations(values, kappa):
    values = np.array(values)
    deviation = values.std(ddof=1) if len(values) > 1 else 0.0
    np.testing.assert_allclose(
        risk(jnp.asarray(values), kappa), values.mean() + kappa * deviation, rtol=1e-9, atol=1e-9
    )


def test_risk_of_an_ensemble_in_agreement_has_a_finite_gradient():
    gradient = jax.grad(risk)(jnp.full(4, 3.0), 1.0)
    np.testing.assert_allclose(gradient, np.full(4, 0.25))


def test_budget_of_the_safety_gym_tasks():
    np.testing.assert_allclose(discounted_budget(10.0, 0.99, 400), 2.45512, atol=5e-6)


@hypothesis.given(
    limit=st.floats(0, 100), discount=st.floats(0, 0.999), horizon=st.integers(1, 1000)
)
@hypothesis.settings(deadline=None, max_examples=50)
def test_budget_is_the_discounted_sum_of_an_even_cost(limit, discount, horizon):
    per_step = limit / horizon
    expected = sum(per_step * discount**t for t in range(horizon))
    actual = discounted_budget(limit, discount, horizon)
    np.testing.assert_allclose(actual, expected, rtol=1e-8, atol=1e-12)
