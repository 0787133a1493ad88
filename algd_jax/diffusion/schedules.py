"""Noise schedules of the diffusion policy (paper, section on the diffusion policy)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import struct

from algd_jax.types import Scalar


class VarianceExploding(struct.PyTreeNode):
    """Variance-exploding schedule, one entry per chain index k = 0 … K−1.

    Attributes:
      sigmas: [K] noise scale σ_k, increasing.
      deltas: [K] variance removed by the step with index k: Δ_k = σ_k² − σ_{k−1}², with σ_{−1} = 0.
    """

    sigmas: jax.Array
    deltas: jax.Array


def variance_exploding(chain_steps: int, sigma_min: Scalar, sigma_max: Scalar) -> VarianceExploding:
    """Geometric schedule σ_k = σ_min (σ_max/σ_min)^{k/(K−1)}.

    Args:
      chain_steps: K >= 1. With K = 1 the only scale is σ_min.
      sigma_min: [] smallest scale, > 0.
      sigma_max: [] largest scale, > σ_min.

    Returns:
      The schedule; its deltas sum to σ_{K−1}².
    """
    fraction = jnp.arange(chain_steps) / max(chain_steps - 1, 1)
    sigmas = jnp.asarray(sigma_min * (sigma_max / sigma_min) ** fraction)
    variances = sigmas**2
    return VarianceExploding(sigmas=sigmas, deltas=jnp.diff(variances, prepend=0.0))
