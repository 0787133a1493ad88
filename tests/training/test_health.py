import jax
import jax.numpy as jnp

from algd_jax.training.health import BadNumber, check, describe, healthy

NAMES = ("a", "b")


def after(health, step, a=1.0, b=2.0):
    return jax.jit(check)(health, {"a": jnp.asarray(a), "b": jnp.asarray(b)}, jnp.int32(step))


def test_all_finite_is_healthy():
    assert describe(after(healthy(), 1), NAMES) is None


def test_first_finding_is_kept():
    health = after(healthy(), 1)
    health = after(health, 2, b=[0.0, jnp.inf])
    health = after(health, 3, a=jnp.nan)
    assert describe(health, NAMES) == BadNumber("b", 2)


def test_earliest_quantity_is_named_when_several_break_at_once():
    assert describe(after(healthy(), 7, a=jnp.nan, b=jnp.nan), NAMES) == BadNumber("a", 7)
