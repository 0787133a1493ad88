"""Risk and the two Lagrangian energies of an action (paper, section on the augmented Lagrangian).

Written for one constraint. With C constraints, risk, λ, ρ, limit and budget gain a trailing axis
[C] and the energies sum over it.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from algd_jax.types import Scalar


def risk(cost_values: jax.Array, kappa: Scalar) -> jax.Array:
    """Pessimistic cost value: mean_e Q_{c,e} + κ · std_e Q_{c,e}.

    Args:
      cost_values: [E] (or [E, C]) discounted cost predicted by each ensemble member.
      kappa: [] κ >= 0, how many standard deviations of disagreement are added.

    Returns:
      [] (or [C]) the risk, with the sample standard deviation (ddof = 1), which is 0 for E = 1.

    Source: arXiv 2602.02924, cost critics.
    """
    mean = jnp.mean(cost_values, axis=0)
    members = cost_values.shape[0]
    if members == 1:
        return mean
    variance = jnp.sum((cost_values - mean) ** 2, axis=0) / (members - 1)
    # Identical members have a standard deviation of 0, whose derivative must be 0 and not NaN.
    safe_variance = jnp.where(variance > 0, variance, 1.0)
    return mean + kappa * jnp.where(variance > 0, jnp.sqrt(safe_variance), 0.0)


def discounted_budget(cost_limit: Scalar, cost_discount: Scalar, horizon: int) -> jax.Array:
    """Budget h the cost critics are compared with, from a limit d on the episode's summed cost.

    h = d · (1 − γ_c^H) / ((1 − γ_c) · H): the discounted sum of a cost spread evenly over H steps.

    Args:
      cost_limit: [] d >= 0 [cost / episode].
      cost_discount: [] γ_c in [0, 1).
      horizon: H, steps per episode.

    Returns:
      [] h [discounted cost].
    """
    discounted_steps = (1 - cost_discount**horizon) / (1 - cost_discount)
    return jnp.asarray(cost_limit * discounted_steps / horizon)


def plain_lagrangian(
    reward_value: Scalar, risk: Scalar, lam: Scalar, rho: Scalar, budget: Scalar
) -> jax.Array:
    """L = −Q + λ (Q_c − h), the Lagrangian that the augmented one is compared with.

    Args:
      reward_value, risk, lam, budget: as those of ``augmented_lagrangian``.
      rho: unused; both energies share one signature.

    Returns:
      The energy [] [discounted reward].
    """
    del rho
    return -reward_value + jnp.sum(lam * (risk - budget))


def augmented_lagrangian(
    reward_value: Scalar, risk: Scalar, lam: Scalar, rho: Scalar, budget: Scalar
) -> jax.Array:
    """L_A = −Q + ([λ + ρ (Q_c − h)]_+² − λ²) / (2ρ).

    Args:
      reward_value: [] Q, the smaller of the twin critics [discounted reward].
      risk: [] (or [C]) Q_c, pessimistic [discounted cost].
      lam: likewise λ >= 0, the multiplier [reward / cost].
      rho: likewise ρ > 0, the penalty [reward / cost²].
      budget: likewise h, what is allowed [discounted cost].

    Returns:
      The energy [] [discounted reward]. ∂L_A/∂Q_c = [λ + ρ (Q_c − h)]_+, so an action well inside
      the budget feels no cost gradient at all.

    Source: arXiv 2602.02924, augmented Lagrangian; Bertsekas 1982, section 3.1.
    """
    # With x = Q_c − h, kept at −λ/ρ where the bracket would be negative, the term is x (λ + ρx/2):
    # the difference of squares would cancel in float32 where ρ is small or λ large.
    excess = jnp.maximum(risk - budget, -lam / rho)
    return -reward_value + jnp.sum(excess * (lam + rho * excess / 2))
