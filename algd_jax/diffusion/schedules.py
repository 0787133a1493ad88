"""Noise schedules of the diffusion policy (paper, section on the diffusion policy)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import struct

from algd_jax.errors import ConfigError
from algd_jax.types import Scalar

_EPSILON = 1e-8
"""The reference's guard of roots and quotients. It shows: 1 − ᾱ_0 is as small as 1e-4."""


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
      sigma_min: [] smallest scale, > 0 [latent].
      sigma_max: [] largest scale, > σ_min [latent].

    Returns:
      The schedule; its deltas sum to σ_{K−1}².

    Raises:
      ConfigError: for K < 1.

    Source: arXiv 2602.02924, diffusion policy; Song et al. 2021, arXiv 2011.13456 (VE).
    """
    fraction = _fractions(chain_steps)
    sigmas = jnp.asarray(sigma_min * (sigma_max / sigma_min) ** fraction)
    variances = sigmas**2
    return VarianceExploding(sigmas=sigmas, deltas=jnp.diff(variances, prepend=0.0))


class Denoising(struct.PyTreeNode):
    """DDPM schedule, one entry per chain index k = 0 … K−1; ᾱ_k is Π_{i≤k} (1 − β_i), ᾱ_{−1} = 1.

    Attributes:
      sigmas: [K] noise scale sqrt(1 − ᾱ_k), increasing.
      signals: [K] what is left of the clean latent, sqrt(ᾱ_k).
      clean_weights: [K] weight of the clean latent in the posterior mean,
        sqrt(ᾱ_{k−1}) β_k / (1 − ᾱ_k).
      latent_weights: [K] weight of the noisy latent in it, sqrt(1 − β_k) (1 − ᾱ_{k−1}) / (1 − ᾱ_k).
      posterior_stds: [K] sqrt(β_k (1 − ᾱ_{k−1}) / (1 − ᾱ_k)).
    """

    sigmas: jax.Array
    signals: jax.Array
    clean_weights: jax.Array
    latent_weights: jax.Array
    posterior_stds: jax.Array


def denoising(chain_steps: int, beta_min: Scalar, beta_max: Scalar) -> Denoising:
    """DDPM schedule with β_k rising linearly from ``beta_min`` to ``beta_max``.

    In float32, 1 − ᾱ_0 keeps three or four digits, in the paper's reference as here.

    Args:
      chain_steps: K >= 1. With K = 1 the only β is ``beta_min``.
      beta_min: [] first β, in (0, 1).
      beta_max: [] last β, in [beta_min, 1).

    Raises:
      ConfigError: for K < 1.

    Source: Ho et al. 2020, arXiv 2006.11239, equations 4 and 7.
    """
    fraction = _fractions(chain_steps)
    betas = jnp.asarray(beta_min + (beta_max - beta_min) * fraction)
    kept = jnp.cumprod(1 - betas)
    kept_before = jnp.concatenate([jnp.ones_like(kept[:1]), kept[:-1]])
    noise_share = (1 - kept_before) / (1 - kept + _EPSILON)
    return Denoising(
        sigmas=jnp.sqrt(1 - kept),
        signals=jnp.sqrt(kept),
        clean_weights=jnp.sqrt(kept_before) * betas / (1 - kept + _EPSILON),
        latent_weights=jnp.sqrt(1 - betas) * noise_share,
        posterior_stds=jnp.sqrt(betas * noise_share + _EPSILON),
    )


def _fractions(chain_steps: int) -> jax.Array:
    """[K] from 0 to 1."""
    if chain_steps < 1:
        raise ConfigError(f"chain_steps: got {chain_steps}, allowed is an integer >= 1")
    return jnp.arange(chain_steps) / max(chain_steps - 1, 1)
