"""Sums of several steps' rewards or costs, as targets of the critics. Pure, for one example."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from algd_jax.types import Scalar


class MultiStep(NamedTuple):
    """What follows a step, up to n steps of the same episode.

    Attributes:
      total: [] or [C] discounted sum of the gains.
      bootstrap: [] weight of the value after them, γ^k or 0.
      steps: [] int32, k: gains that were summed, 1 to n.
    """

    total: jax.Array
    bootstrap: jax.Array
    steps: jax.Array


def multi_step(
    gains: jax.Array, ends: jax.Array, follows: jax.Array, discount: Scalar
) -> MultiStep:
    """Σ_{i<k} γ^i g_i, where k <= n is the number of steps before the value or the record ends.

    Args:
      gains: [n] or [n, C] rewards or costs of consecutive rows.
      ends: [n] 1 where a step ends the value: nothing is added after it, and no value either.
      follows: [n] bool, whether a row continues the one before it; the first always counts.
      discount: [] γ.

    Source: Watkins 1989; in deep Q-learning Hessel et al. 2018, arXiv 1710.02298.
    """
    goes_on = 1.0 - ends
    before = jnp.concatenate([jnp.ones(1), jnp.cumprod(goes_on * jnp.roll(follows, -1))[:-1]])
    weights = before * discount ** jnp.arange(len(gains))
    total = jnp.tensordot(weights, gains, axes=1)
    steps = jnp.sum(before).astype(jnp.int32)
    bootstrap = discount**steps * goes_on[steps - 1]
    return MultiStep(total, bootstrap, steps)
