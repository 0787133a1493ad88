"""Rules by which the Lagrange multiplier λ follows the violation of its constraint.

A rule is a record of pure functions in the way of an optax transformation. Everything is
elementwise: with several constraints λ and the violation are [C].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import struct

from algd_jax.types import Scalar


class MultiplierRule(NamedTuple):
    """How λ is initialised, read and moved.

    Attributes:
      init: λ_0 [] or [C] -> state.
      lam: state -> λ >= 0.
      update: (state, violation = mean risk − budget) -> state.
    """

    init: Callable[[jax.Array], Any]
    lam: Callable[[Any], jax.Array]
    update: Callable[[Any, jax.Array], Any]


class LogAdam(struct.PyTreeNode):
    """State of :func:`log_adam`.

    Attributes:
      log_lam: log λ.
      adam: moments of its gradient.
    """

    log_lam: jax.Array
    adam: optax.OptState


class Pid(struct.PyTreeNode):
    """State of :func:`pid`.

    Attributes:
      lam: λ.
      integral: K_I times the accumulated violation, in [smallest, largest].
      violation: the last one; infinite before the first, whose rise then counts as 0.
    """

    lam: jax.Array
    integral: jax.Array
    violation: jax.Array


LARGEST = 1e6
"""Bound of λ by default: far from overflow, and far beyond what any constraint is worth."""

_ADAM = optax.scale_by_adam()


def log_adam(lr: Scalar, largest: Scalar = LARGEST) -> MultiplierRule:
    """Adam on log λ, which keeps λ positive (λ_0 > 0).

    Args:
      lr: [] step size.
      largest: [] bound of λ.

    Source: the rule of arXiv 2602.02924.
    """

    def init(lam):
        log_lam = jnp.log(lam)
        return LogAdam(log_lam, _ADAM.init(log_lam))

    def update(state, violation):
        gradient = jax.grad(multiplier_loss)(state.log_lam, violation)
        direction, adam = _ADAM.update(gradient, state.adam)
        return LogAdam(jnp.minimum(state.log_lam - lr * direction, jnp.log(largest)), adam)

    return MultiplierRule(init, lambda state: jnp.exp(state.log_lam), update)


def projected_gradient(lr: Scalar, largest: Scalar = LARGEST) -> MultiplierRule:
    """Dual ascent λ ← λ + lr · violation, kept in [0, largest] (the textbook rule).

    Args:
      lr: [] step size.
      largest: [] bound of λ.
    """

    def update(lam, violation):
        return jnp.clip(lam + lr * violation, 0.0, largest)

    return MultiplierRule(jnp.asarray, lambda lam: lam, update)


def pid(
    proportional: Scalar,
    integral: Scalar,
    derivative: Scalar,
    largest: Scalar = LARGEST,
    smallest: Scalar = 0.0,
) -> MultiplierRule:
    """PID control of λ (Stooke et al. 2020, arXiv 2007.03964, algorithm 2), without wind-up.

    I ← I + K_I Δ and λ = K_P Δ + I + K_D [Δ − Δ_before]_+, both kept in [smallest, largest], with Δ
    the violation and I_0 = λ_0. The bounds of I are what keeps it from winding up: it never has to
    come back from where λ could not follow.

    Below zero λ only makes sense in the augmented Lagrangian, whose penalty then begins at a cost
    of h − λ/ρ instead of h: a policy that pays less than its limit may risk more at each state.

    Args:
      proportional, integral, derivative: [] gains K_P, K_I, K_D >= 0.
      largest, smallest: [] bounds of λ.
    """

    def init(lam):
        return Pid(lam, lam, jnp.full_like(lam, jnp.inf))

    def update(state, violation):
        accumulated = jnp.clip(state.integral + integral * violation, smallest, largest)
        rise = jnp.maximum(violation - state.violation, 0.0)
        lam = proportional * violation + accumulated + derivative * rise
        lam = jnp.clip(lam, smallest, largest)
        return Pid(lam, accumulated, violation)

    return MultiplierRule(init, lambda state: state.lam, update)


def no_multiplier() -> MultiplierRule:
    """λ = 0 for ever: the constraint is ignored."""
    return MultiplierRule(jnp.zeros_like, lambda lam: lam, lambda lam, violation: lam)


def multiplier_loss(log_lam: jax.Array, violation: Scalar) -> jax.Array:
    """Dual loss −λ · violation, summed over constraints: λ grows while risk exceeds the budget.

    Args:
      log_lam: [] or [C] log λ, the parameter.
      violation: likewise, mean risk of replayed pairs − budget; a constant here.

    Returns:
      [] [reward].
    """
    return -jnp.sum(jnp.exp(log_lam) * jax.lax.stop_gradient(violation))


def rectified(lam: Scalar, violation: Scalar, strength: Scalar) -> jax.Array:
    """λ − min(λ, c · mean(h − risk)): slack takes pressure off at once, violation adds to it.

    The multiplier in the energy of conservative augmented Lagrangian (Wu et al., ICLR 2024).

    Args:
      lam: [] or [C] λ.
      violation: likewise, mean risk of replayed pairs − budget.
      strength: [] c >= 0.
    """
    return lam - jnp.minimum(lam, -strength * violation)
