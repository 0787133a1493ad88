"""The Lagrange multiplier, kept positive by learning its logarithm."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from algd_jax.types import Scalar


def multiplier_loss(log_lam: jax.Array, risks: jax.Array, budget: Scalar) -> jax.Array:
    """Dual loss λ · mean(h − Q_c) with a constant bracket: λ grows while risk exceeds the budget.

    Args:
      log_lam: [] log λ, the parameter.
      risks: [B] pessimistic discounted costs of replayed state-action pairs.
      budget: [] h, discounted cost allowed.
    """
    slack = jax.lax.stop_gradient(jnp.mean(budget - risks))
    return jnp.exp(log_lam) * slack
