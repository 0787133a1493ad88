"""The reverse chain that turns noise into an action, for one example."""

from __future__ import annotations

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
from flax import struct

from algd_jax.diffusion.schedules import VarianceExploding

ScoreFunction = Callable[[jax.Array, jax.Array], jax.Array]
"""(squashed action [A], chain index k []) -> score [A], at a fixed state."""

Bound = jax.Array | tuple[float, ...]
"""One side of the action box, [A]."""

SquashFunction = Callable[[jax.Array], jax.Array]
"""Latent [A] -> action [A] inside the action box."""


class ChainNoise(struct.PyTreeNode):
    """Unit-normal draws that one chain consumes.

    Attributes:
      initial: [A] scaled by σ_{K−1} to start the chain.
      steps: [K−1, A] in the order of use, k = K−1 … 1; the last step (k = 0) adds no noise.
    """

    initial: jax.Array
    steps: jax.Array


def draw_chain_noise(key: jax.Array, chain_steps: int, action_size: int) -> ChainNoise:
    """Draw the noise of one chain of K steps in R^A."""
    noise = jax.random.normal(key, (chain_steps, action_size))
    return ChainNoise(initial=noise[0], steps=noise[1:])


def zero_chain_noise(chain_steps: int, action_size: int) -> ChainNoise:
    """The noise of the deterministic action: start at the origin and add nothing."""
    return ChainNoise(
        initial=jnp.zeros(action_size), steps=jnp.zeros((chain_steps - 1, action_size))
    )


def squash_to_box(low: Bound, high: Bound) -> SquashFunction:
    """tanh squashing of a latent into the box [low, high], each [A]."""
    lowest, highest = jnp.asarray(low, jnp.float32), jnp.asarray(high, jnp.float32)
    scale, centre = (highest - lowest) / 2, (highest + lowest) / 2
    return lambda latent: scale * jnp.tanh(latent) + centre


def ve_chain(
    score: ScoreFunction,
    schedule: VarianceExploding,
    noise: ChainNoise,
    squash: SquashFunction,
) -> jax.Array:
    """Run the variance-exploding reverse chain.

    x ~ N(0, σ_{K−1}² I); for k = K−1 … 0: x ← x + Δ_k · score(squash(x), k), then, except at k = 0,
    x ← x + sqrt(Δ_k) · ε.

    Args:
      score: the score model at one state.
      schedule: K noise scales.
      noise: the draws the chain consumes; zeros give the deterministic action.
      squash: latent to action.

    Returns:
      [K, A] latents indexed by k: row k is x *after* the step with index k, so
      ``squash(latents[0])`` is the action.
    """
    chain_steps = schedule.sigmas.shape[0]
    chex.assert_rank([noise.initial, noise.steps], [1, 2])
    chex.assert_axis_dimension(noise.steps, 0, chain_steps - 1)
    no_noise_at_the_end = jnp.zeros((1, *noise.initial.shape), noise.initial.dtype)

    def reverse_step(latent, step):
        k, delta, step_noise = step
        latent = latent + delta * score(squash(latent), k) + jnp.sqrt(delta) * step_noise
        return latent, latent

    descending = jnp.arange(chain_steps)[::-1]
    steps = (
        descending,
        schedule.deltas[::-1],
        jnp.concatenate([noise.steps, no_noise_at_the_end]),
    )
    # Unrolled: the chain is short, and one straight program fuses better than a loop.
    _, latents = jax.lax.scan(
        reverse_step, schedule.sigmas[-1] * noise.initial, steps, unroll=chain_steps
    )
    return latents[::-1]
