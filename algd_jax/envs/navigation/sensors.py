"""The pseudo-lidar and the flat observation."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

__all__ = ["LIDAR_BINS", "flatten", "pseudo_lidar"]

LIDAR_BINS = 16


def pseudo_lidar(targets: jax.Array, lidar_range: float) -> jax.Array:
    """Readings [K, 16] of K targets, one lidar each; take the maximum over objects of a kind.

    Bin k of 16 looks at angles from 22.5 k to 22.5 (k + 1) degrees, counter-clockwise from the
    robot's x axis. A target at distance l fills its bin with s = max(0, range - l) / range and
    spills into the two neighbours, in proportion to how near it stands to the common border.
    Both are one trapezoid around the bin's centre: with u the target's angle from that centre in
    units of bins, the reading is s * clip(1.5 - |u|, 0, 1).

    Args:
      targets: [K, 2] positions in the robot's frame [m].
      lidar_range: distance at which a reading falls to zero [m].
    """
    strength = jnp.maximum(0.0, lidar_range - jnp.linalg.norm(targets, axis=1)) / lidar_range
    angle = jnp.arctan2(targets[:, 1], targets[:, 0]) * (LIDAR_BINS / (2 * jnp.pi))
    centres = jnp.arange(LIDAR_BINS) + 0.5
    half_turn = LIDAR_BINS / 2
    apart = jnp.mod(angle[:, None] - centres + half_turn, LIDAR_BINS) - half_turn
    return strength[:, None] * jnp.clip(1.5 - jnp.abs(apart), 0.0, 1.0)


def flatten(components: Mapping[str, jax.Array], alphabetical: bool) -> jax.Array:
    """One vector [O] of all components, in alphabetical order of their names or as they come."""
    names = sorted(components) if alphabetical else components
    return jnp.concatenate([components[name] for name in names])
