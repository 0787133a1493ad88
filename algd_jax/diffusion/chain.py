"""The reverse chain that turns noise into an action, for one example."""

from __future__ import annotations

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
import optax
from flax import struct

from algd_jax.diffusion.schedules import Denoising, VarianceExploding
from algd_jax.types import Scalar

ModelFunction = Callable[[jax.Array, jax.Array], jax.Array]
"""(squashed or plain latent [A], chain index k []) -> model output [A], at a fixed state."""

ReverseStep = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
"""(latent [A], chain index k [], noise [A]) -> next latent [A]."""

Bound = jax.Array | tuple[float, ...]
"""One side of the action box, [A]."""

SquashFunction = Callable[[jax.Array], jax.Array]
"""Latent [A] -> action [A] inside the action box."""


class ChainNoise(struct.PyTreeNode):
    """Unit-normal draws that one chain consumes.

    Attributes:
      initial: [A] where the chain starts; variance-exploding ones scale it by σ_{K−1}.
      steps: [K−1, A] in the order of use, k = K−1 … 1; the last step (k = 0) adds no noise.
    """

    initial: jax.Array
    steps: jax.Array


def draw_chain_noise(key: jax.Array, chain_steps: int, action_size: int) -> ChainNoise:
    """Draw the noise of one chain of K >= 1 steps in R^A, from one key."""
    noise = jax.random.normal(key, (chain_steps, action_size))
    return ChainNoise(initial=noise[0], steps=noise[1:])


def zero_chain_noise(chain_steps: int, action_size: int) -> ChainNoise:
    """The noise of the deterministic action: start at the origin and add nothing."""
    return ChainNoise(
        initial=jnp.zeros(action_size), steps=jnp.zeros((chain_steps - 1, action_size))
    )


def squash_to_box(low: Bound, high: Bound) -> SquashFunction:
    """tanh squashing of a latent [A] into the action box.

    Args:
      low, high: [A] the box, finite with low < high [action].
    """
    lowest, highest = jnp.asarray(low, jnp.float32), jnp.asarray(high, jnp.float32)
    scale, centre = (highest - lowest) / 2, (highest + lowest) / 2
    return lambda latent: scale * jnp.tanh(latent) + centre


def reverse_chain(step: ReverseStep, start: jax.Array, step_noise: jax.Array) -> jax.Array:
    """Run a reverse chain: x ← step(x, k, ε_k) for k = K−1 … 0, where ε_0 = 0.

    Args:
      step: what one step does.
      start: [A] latent before the first step.
      step_noise: [K−1, A] draws for k = K−1 … 1; the last step adds no noise.

    Returns:
      [K, A] latents indexed by k: row k is x *after* the step with index k, so
      ``squash(latents[0])`` is the action.

    Raises:
      AssertionError: while tracing, for arrays of another rank.
    """
    chex.assert_rank([start, step_noise], [1, 2])
    chain_steps = step_noise.shape[0] + 1
    noise = jnp.concatenate([step_noise, jnp.zeros((1, *start.shape), start.dtype)])

    def body(latent, k_and_noise):
        latent = step(latent, *k_and_noise)
        return latent, latent

    # Unrolled: the chain is short, and one straight program fuses better than a loop.
    descending = jnp.arange(chain_steps)[::-1]
    _, latents = jax.lax.scan(body, start, (descending, noise), unroll=chain_steps)
    return latents[::-1]


def ve_chain(
    score: ModelFunction,
    schedule: VarianceExploding,
    noise: ChainNoise,
    squash: SquashFunction,
) -> jax.Array:
    """Run the variance-exploding reverse chain.

    x ~ N(0, σ_{K−1}² I); for k = K−1 … 0: x ← x + Δ_k · score(squash(x), k), then, except at k = 0,
    x ← x + sqrt(Δ_k) · ε.

    Args:
      score: the score model at one state; it sees the squashed latent.
      schedule: K noise scales.
      noise: the draws the chain consumes; zeros give the deterministic action.
      squash: latent to action.

    Returns:
      [K, A] latents, as :func:`reverse_chain`.

    Raises:
      AssertionError: while tracing, if noise and schedule are of different lengths.

    Source: arXiv 2602.02924, diffusion policy.
    """
    _assert_same_length(noise, schedule.sigmas)

    def step(latent, k, step_noise):
        delta = schedule.deltas[k]
        return latent + delta * score(squash(latent), k) + jnp.sqrt(delta) * step_noise

    return reverse_chain(step, schedule.sigmas[-1] * noise.initial, noise.steps)


def ddpm_chain(
    noise_model: ModelFunction,
    score: ModelFunction,
    schedule: Denoising,
    noise: ChainNoise,
    squash: SquashFunction,
    guidance: Scalar,
) -> jax.Array:
    """Run the DDPM reverse chain, guided by the direction of a score.

    x ~ N(0, I); for k = K−1 … 0: x̂_0 = (x − sqrt(1−ᾱ_k) ε_θ(x, k)) / sqrt(ᾱ_k); x ← posterior mean
    of (x̂_0, x) + guidance · φ/‖φ‖ with φ = score(squash(x), k), then, except at k = 0, noise of the
    posterior's standard deviation.

    Args:
      noise_model: ε_θ at one state; it sees the latent as it is.
      score: φ at one state; it sees the squashed latent.
      schedule: K noise scales.
      noise: the draws the chain consumes; zeros give the deterministic action.
      squash: latent to action.
      guidance: [] length of the guiding step [latent].

    Returns:
      [K, A] latents, as :func:`reverse_chain`.

    Raises:
      AssertionError: while tracing, if noise and schedule are of different lengths.

    Source: arXiv 2602.02924, second form of the policy; Ho et al. 2020, arXiv 2006.11239,
    equations 6, 7 and 15.
    """
    _assert_same_length(noise, schedule.sigmas)

    def step(latent, k, step_noise):
        predicted_noise = schedule.sigmas[k] * noise_model(latent, k)
        clean = (latent - predicted_noise) / schedule.signals[k]
        mean = schedule.clean_weights[k] * clean + schedule.latent_weights[k] * latent
        guided = mean + guidance * _direction(score(squash(latent), k))
        return guided + schedule.posterior_stds[k] * step_noise

    return reverse_chain(step, noise.initial, noise.steps)


def _direction(vector: jax.Array) -> jax.Array:
    # A norm with a derivative of 0, not NaN, at the origin.
    return vector / (optax.safe_norm(vector, 0.0) + 1e-8)


def _assert_same_length(noise: ChainNoise, sigmas: jax.Array) -> None:
    chex.assert_axis_dimension(noise.steps, 0, sigmas.shape[0] - 1)
