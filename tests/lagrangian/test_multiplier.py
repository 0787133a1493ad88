"""Rules of the multiplier: signs, closed forms, and what holds for any history of violations."""

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algd_jax.lagrangian.multiplier import (
    log_adam,
    multiplier_loss,
    no_multiplier,
    pid,
    projected_gradient,
    rectified,
)

RULES = {
    "log_adam": log_adam(0.05),
    "projected_gradient": projected_gradient(0.1),
    "pid": pid(0.1, 0.05, 0.2),
}
histories = st.lists(st.floats(-5, 5, width=32), min_size=12, max_size=12)


def lams(rule, violations, initial=0.7):
    """λ after each update."""

    def update(state, violation):
        state = rule.update(state, violation)
        return state, rule.lam(state)

    return jax.lax.scan(update, rule.init(jnp.asarray(initial)), jnp.asarray(violations))[1]


compiled = {name: jax.jit(lambda v, rule=rule: lams(rule, v)) for name, rule in RULES.items()}


@pytest.mark.parametrize(("violation", "sign"), [(1.0, -1), (-1.0, 1)])
def test_the_paper_s_gradient_raises_lam_exactly_under_violation(violation, sign):
    gradient = jax.grad(multiplier_loss)(jnp.log(0.7), violation)
    assert np.sign(gradient) == sign  # descent on log λ: a negative gradient raises λ
    np.testing.assert_allclose(gradient, -0.7 * violation, rtol=1e-6)


def test_the_violation_is_a_constant():
    assert jax.grad(multiplier_loss, argnums=1)(jnp.log(0.7), 1.0) == 0.0


@pytest.mark.parametrize("name", RULES)
def test_lam_starts_as_told_rises_under_violation_and_falls_with_slack(name):
    rule = RULES[name]
    np.testing.assert_allclose(rule.lam(rule.init(jnp.asarray(0.7))), 0.7, rtol=1e-6)
    assert (np.diff(compiled[name](np.full(12, 1.0, np.float32))) > 0).all()
    assert compiled[name](np.full(12, -1.0, np.float32))[-1] < 0.7


@pytest.mark.parametrize("name", RULES)
@hypothesis.given(violations=histories)
@hypothesis.settings(deadline=None, max_examples=30)
def test_lam_is_never_negative_and_never_nan(name, violations):
    assert (compiled[name](np.array(violations, np.float32)) >= 0).all()


BOUNDED = {
    "log_adam": log_adam(0.5, 2.0),
    "projected_gradient": projected_gradient(0.5, 2.0),
    "pid": pid(0.1, 0.5, 0.2, 2.0),
}


@pytest.mark.parametrize("name", BOUNDED)
def test_lam_is_bounded_and_leaves_its_bound_at_once(name):
    """However long the violation lasted: nothing has wound up."""
    history = np.array([3.0] * 200 + [-3.0] * 20, np.float32)
    found = np.asarray(lams(BOUNDED[name], history))
    assert found[:200].max() == pytest.approx(2.0, rel=1e-6)
    assert found[201] < 2.0 or name == "log_adam"  # Adam's momentum has to turn first.
    assert found[-1] < 1.0


@hypothesis.given(violations=histories)
@hypothesis.settings(deadline=None, max_examples=30)
def test_closed_forms(violations):
    projected, integral, before = 0.7, 0.7, np.inf
    expected_projected, expected_pid = [], []
    for violation in violations:
        projected = max(projected + 0.1 * violation, 0.0)
        integral = max(integral + 0.05 * violation, 0.0)
        rise, before = max(violation - before, 0.0), violation
        expected_projected.append(projected)
        expected_pid.append(max(0.1 * violation + integral + 0.2 * rise, 0.0))
    violations = np.array(violations, np.float32)
    for name, expected in (("projected_gradient", expected_projected), ("pid", expected_pid)):
        np.testing.assert_allclose(compiled[name](violations), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", RULES)
def test_several_constraints_are_as_many_single_ones(name):
    violations = np.random.default_rng(0).normal(size=(12, 2)).astype(np.float32)
    together = lams(RULES[name], violations, initial=[0.7, 0.7])
    for c in range(2):
        np.testing.assert_allclose(together[:, c], compiled[name](violations[:, c]), rtol=1e-5)


@pytest.mark.parametrize("name", RULES)
def test_plain_jit_and_vmap_agree(name):
    violations = np.random.default_rng(0).normal(size=(2, 12)).astype(np.float32)
    mapped = jax.vmap(lambda v: lams(RULES[name], v))(violations)
    with jax.disable_jit():
        plain = [lams(RULES[name], v) for v in violations]
    np.testing.assert_allclose(mapped, plain, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(compiled[name](violations[0]), plain[0], rtol=1e-5, atol=1e-6)


def test_no_multiplier_stays_at_zero():
    assert not lams(no_multiplier(), np.ones(3, np.float32)).any()


@hypothesis.settings(deadline=None)
@hypothesis.given(lam=st.floats(0, 10), violation=st.floats(-5, 5), strength=st.floats(0, 100))
def test_rectified_multiplier(lam, violation, strength):
    """λ − min(λ, c·slack) = [λ + c · violation]_+."""
    expected = max(lam + strength * violation, 0.0)
    actual = rectified(jnp.asarray(lam), violation, strength)
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-4)
