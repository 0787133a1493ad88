"""Rules for the penalty ρ of the augmented Lagrangian; records of pure functions, elementwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from algd_jax.types import Scalar


class PenaltyRule(NamedTuple):
    """How ρ is initialised, read and moved.

    Attributes:
      init: violation-shaped array -> state.
      rho: state -> ρ > 0.
      update: (state, violation = mean risk − budget) -> state.
    """

    init: Callable[[jax.Array], Any]
    rho: Callable[[Any], Scalar]
    update: Callable[[Any, jax.Array], Any]


class GrowingPenalty(struct.PyTreeNode):
    """State of :func:`growing_penalty`.

    Attributes:
      rho: ρ.
      violation: sum of [violation]_+ over the period so far.
      before: mean [violation]_+ of the period before; infinite in the first.
      updates: [] int32, updates of the period so far.
    """

    rho: jax.Array
    violation: jax.Array
    before: jax.Array
    updates: jax.Array


def fixed_penalty(rho: Scalar) -> PenaltyRule:
    """ρ stays what it is (the paper's rule)."""
    return PenaltyRule(lambda like: (), lambda state: rho, lambda state, violation: state)


def growing_penalty(
    rho: Scalar, growth: Scalar, shrink: Scalar, largest: Scalar, period: Scalar
) -> PenaltyRule:
    """The classical schedule: ρ grows unless the violation shrinks enough (Bertsekas 1982, 2.2.5).

    After every ``period`` updates: if mean [violation]_+ > shrink · that of the period before, then
    ρ ← min(growth · ρ, largest). The first period only sets the mark.

    Args:
      rho: [] ρ at the start, > 0.
      growth: [] factor, >= 1.
      shrink: [] share of the violation that may remain, in [0, 1].
      largest: [] bound of ρ.
      period: [] updates between two decisions, >= 1.
    """

    def init(like):
        nothing = jnp.zeros_like(like)
        start = jnp.full_like(like, rho)
        return GrowingPenalty(start, nothing, jnp.full_like(like, jnp.inf), jnp.int32(0))

    def update(state, violation):
        updates = state.updates + 1
        total = state.violation + jnp.maximum(violation, 0.0)
        mean = total / updates
        ends = updates >= period
        too_slow = mean > shrink * state.before
        grown = jnp.minimum(growth * state.rho, jnp.maximum(largest, state.rho))
        return GrowingPenalty(
            rho=jnp.where(ends & too_slow, grown, state.rho),
            violation=jnp.where(ends, 0.0, total),
            before=jnp.where(ends, mean, state.before),
            updates=jnp.where(ends, 0, updates),
        )

    return PenaltyRule(init, lambda state: state.rho, update)
