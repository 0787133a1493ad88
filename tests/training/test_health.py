import jax
import jax.numpy as jnp
import pytest

from algd_jax.training.health import BadNumber, check, describe, healthy

WATCHED = ("elsewhere", "a", "b")


def after(health, step, a=(1.0, 1.0, 1.0), b=(2.0, 2.0, 2.0)):
    """Three moments of two quantities."""
    quantities = {"a": jnp.asarray(a), "b": jnp.asarray(b)[:, None]}
    return jax.jit(check, static_argnums=1)(health, WATCHED, quantities, jnp.int32(step))


def test_all_finite_is_healthy():
    assert describe(after(healthy(), 1), WATCHED) is None


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
def test_first_finding_is_kept(bad):
    health = after(healthy(), 1)
    health = after(health, 2, b=[0.0, bad, 0.0])
    health = after(health, 3, a=[jnp.nan, 0.0, 0.0])
    assert describe(health, WATCHED) == BadNumber("b", 2)


def test_within_a_moment_the_quantity_that_arises_first_is_named():
    health = after(healthy(), 7, a=[0.0, jnp.nan, jnp.nan], b=[0.0, jnp.nan, jnp.nan])
    assert describe(health, WATCHED) == BadNumber("a", 7)


def test_an_earlier_moment_comes_before_an_earlier_quantity():
    """A bad ``b`` of one update poisons ``a`` of the next; ``b`` is to blame."""
    health = after(healthy(), 7, a=[0.0, 0.0, jnp.nan], b=[0.0, jnp.nan, jnp.nan])
    assert describe(health, WATCHED) == BadNumber("b", 7)
