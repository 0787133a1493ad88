"""What a critic's outputs mean: the value itself, or a distribution of which it is the mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Head(NamedTuple):
    """How outputs become values, and what training makes of them; for any leading axes.

    Attributes:
      shape: of the outputs of one value, () or (m,).
      value: outputs of shape [...] + shape -> values [...].
      loss: (outputs, target values [...]) -> [...].
    """

    shape: tuple[int, ...]
    value: Callable[[jax.Array], jax.Array]
    loss: Callable[[jax.Array, jax.Array], jax.Array]


def mean_head() -> Head:
    """One output, the value; squared error."""
    return Head((), lambda outputs: outputs, lambda outputs, targets: (outputs - targets) ** 2)


def categorical_head(low: float, high: float, bins: int) -> Head:
    """Logits of a histogram over [low, high]; cross-entropy with a smoothed target (HL-Gauss).

    The target is a normal distribution around the target value, 0.75 bins wide, so that
    neighbouring bins learn from each other. Values outside the range are clipped to it.

    Args:
      low, high: the range, in the critics' units.
      bins: m >= 2, equally wide.

    Source: Imani and White 2018, arXiv 1806.04613; Farebrother et al. 2024, arXiv 2403.03950.
    """
    edges = jnp.linspace(low, high, bins + 1)
    centres = (edges[:-1] + edges[1:]) / 2
    deviation = 0.75 * (high - low) / bins

    def value(outputs: jax.Array) -> jax.Array:
        return jax.nn.softmax(outputs, axis=-1) @ centres

    def loss(outputs: jax.Array, targets: jax.Array) -> jax.Array:
        clipped = jnp.clip(targets, centres[0], centres[-1])
        below = jax.scipy.stats.norm.cdf((edges - clipped[..., None]) / deviation)
        mass = jnp.diff(below, axis=-1)
        shares = mass / jnp.sum(mass, axis=-1, keepdims=True)
        return -jnp.sum(shares * jax.nn.log_softmax(outputs, axis=-1), axis=-1)

    return Head((bins,), value, loss)
