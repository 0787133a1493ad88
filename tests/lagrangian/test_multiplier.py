import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algd_jax.lagrangian.multiplier import multiplier_loss


@pytest.mark.parametrize(("budget", "sign"), [(2.0, -1), (4.0, 1)])
def test_lam_rises_exactly_while_risk_exceeds_the_budget(budget, sign):
    risks = jnp.array([2.5, 3.5])
    log_lam = jnp.log(0.7)
    gradient = jax.grad(multiplier_loss)(log_lam, risks, budget)
    assert np.sign(gradient) == sign  # descent on log λ: a negative gradient raises λ
    np.testing.assert_allclose(gradient, 0.7 * (budget - 3.0), rtol=1e-6)


def test_risks_are_constants():
    gradient = jax.grad(multiplier_loss, argnums=1)(jnp.log(0.7), jnp.array([2.5, 3.5]), 1.0)
    np.testing.assert_array_equal(gradient, np.zeros(2))
