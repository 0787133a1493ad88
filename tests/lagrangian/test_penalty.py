"""Rules of the penalty."""

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np

from algd_jax.lagrangian.penalty import fixed_penalty, growing_penalty

RULE = growing_penalty(1.0, growth=2.0, shrink=0.5, largest=8.0, period=3)


@jax.jit
def rhos(violations):
    def update(state, violation):
        state = RULE.update(state, violation)
        return state, RULE.rho(state)

    return jax.lax.scan(update, RULE.init(violations[0]), violations)[1]


def test_a_fixed_penalty_is_the_number_given():
    rule = fixed_penalty(1.7)
    assert rule.rho(rule.update(rule.init(jnp.float32(0)), jnp.float32(3))) == 1.7


def test_grows_once_per_period_while_the_violation_does_not_shrink():
    np.testing.assert_array_equal(
        rhos(jnp.ones(18)), [1] * 5 + [2] * 3 + [4] * 3 + [8] * 7
    )  # The first period sets the mark; 8 is the bound.


def test_rests_while_the_violation_halves_or_there_is_none():
    np.testing.assert_array_equal(rhos(jnp.repeat(0.4 ** jnp.arange(6), 3)), np.ones(18))
    np.testing.assert_array_equal(rhos(-jnp.ones(18)), np.ones(18))


@hypothesis.given(st.lists(st.floats(-5, 5, width=32), min_size=18, max_size=18))
@hypothesis.settings(deadline=None, max_examples=30)
def test_never_falls_and_never_passes_its_bound(violations):
    path = np.concatenate([[1.0], rhos(jnp.array(violations, jnp.float32))])
    assert (np.diff(path) >= 0).all()
    assert path[-1] <= 8.0


def test_constraints_have_penalties_of_their_own():
    violations = jnp.stack([jnp.ones(18), -jnp.ones(18)], axis=1)
    np.testing.assert_array_equal(rhos(violations)[-1], [8.0, 1.0])
