import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algd_jax.training.health import (
    BadNumber,
    are_finite,
    describe,
    healthy,
    is_finite,
    note_first_bad,
)

WATCHED = ("elsewhere", "a", "b")


@jax.jit
def note(health, a, b, step):
    quantities = {"a": a, "b": b[:, None]}
    return note_first_bad(health, WATCHED, tuple(quantities), are_finite(quantities), step)


def after(health, step, a=(1.0, 1.0, 1.0), b=(2.0, 2.0, 2.0)):
    """Three places of two quantities."""
    return note(health, jnp.asarray(a), jnp.asarray(b), jnp.int32(step))


def test_all_finite_is_healthy():
    assert describe(after(healthy(), 1), WATCHED) is None


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
def test_first_finding_is_kept(bad):
    health = after(healthy(), 1)
    health = after(health, 2, b=[0.0, bad, 0.0])
    health = after(health, 3, a=[jnp.nan, 0.0, 0.0])
    assert describe(health, WATCHED) == BadNumber("b", 2, 1)


def test_at_one_place_the_quantity_that_arises_first_is_named():
    health = after(healthy(), 7, a=[0.0, jnp.nan, jnp.nan], b=[0.0, jnp.nan, jnp.nan])
    assert describe(health, WATCHED) == BadNumber("a", 7, 1)


def test_an_earlier_place_comes_before_an_earlier_quantity():
    """A bad ``b`` of one update poisons ``a`` of the next; ``b`` is to blame."""
    health = after(healthy(), 7, a=[0.0, 0.0, jnp.nan], b=[0.0, jnp.nan, jnp.nan])
    assert describe(health, WATCHED) == BadNumber("b", 7, 1)


def test_finite_quantities_are_told_place_by_place():
    quantities = {"a": jnp.array([1.0, jnp.nan]), "b": jnp.array([[1.0, jnp.inf], [2.0, 3.0]])}
    np.testing.assert_array_equal(are_finite(quantities), [[True, False], [False, True]])


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
def test_a_tree_is_finite_if_all_its_numbers_are(bad):
    assert is_finite({"a": jnp.ones(3), "b": jnp.int32(1)})
    assert not is_finite({"a": jnp.array([1.0, bad]), "b": jnp.ones(())})
