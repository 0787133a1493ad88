"""Monte Carlo target of the score model: the score of the smoothed Gibbs density of an energy."""

from __future__ import annotations

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

from algd_jax.types import Scalar

EnergyFunction = Callable[[jax.Array], jax.Array]
"""Action [A] -> energy [], at a fixed state."""


def score_target(
    energy: EnergyFunction,
    action: jax.Array,
    sigma: Scalar,
    noise: jax.Array,
    temperature: Scalar,
) -> jax.Array:
    """φ* = −(1/T) Σ_i w_i ∇E(a + σ ε_i) with w = softmax_i(−E(a + σ ε_i)/T).

    As M grows this tends to ∇ log of exp(−E/T) convolved with N(0, σ²): the score of the smoothed
    Gibbs density. Samples are not clipped to the action box.

    Args:
      energy: differentiable energy of one action [discounted reward].
      action: [A] point at which the score is wanted.
      sigma: [] smoothing scale [action].
      noise: [M, A] unit-normal draws.
      temperature: [] T > 0 [discounted reward].

    Returns:
      [A] the target [1 / action]; the caller decides whether gradients stop here.

    Raises:
      AssertionError: while tracing, for arrays of another rank.

    Source: arXiv 2602.02924, score target.
    """
    chex.assert_rank([action, noise], [1, 2])
    samples = action + sigma * noise
    energies, gradients = jax.vmap(jax.value_and_grad(energy))(samples)
    return weighted_score(energies, gradients, temperature)


def weighted_score(energies: jax.Array, gradients: jax.Array, temperature: Scalar) -> jax.Array:
    """−(1/T) Σ_i w_i ∇E_i with w = softmax_i(−E_i/T): the score target from energies already known.

    Args:
      energies: [M, ...] of the M samples.
      gradients: [M, ..., A] of the energies with respect to the samples.
      temperature: [] T > 0.

    Returns:
      [..., A] the target.
    """
    weights = jax.nn.softmax(-energies / temperature, axis=0)
    return -jnp.sum(weights[..., None] * gradients, axis=0) / temperature
