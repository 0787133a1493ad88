"""A replay ring that lives on the device and inside the jitted epoch."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct


class Replay(struct.PyTreeNode):
    """A ring of rows.

    Attributes:
      rows: pytree of arrays [D, …]; only the first ``size`` rows hold data.
      position: [] int32, the row written next.
      size: [] int32, rows that hold data.
    """

    rows: Any
    position: jax.Array
    size: jax.Array


def init_replay(example: Any, capacity: int) -> Replay:
    """An empty ring of ``capacity`` = D rows shaped like ``example`` (one row, no leading axis)."""

    def allocate(leaf):
        leaf = jnp.asarray(leaf)
        return jnp.zeros((capacity, *leaf.shape), leaf.dtype)

    return Replay(rows=jax.tree.map(allocate, example), position=jnp.int32(0), size=jnp.int32(0))


def add(replay: Replay, rows: Any) -> Replay:
    """Write N <= D rows (leaves [N, …]), overwriting the oldest."""
    capacity, count = _leading_axis(replay.rows), _leading_axis(rows)
    if count > capacity:
        raise ValueError(f"replay holds {capacity} rows, cannot add {count} at once")
    where = (replay.position + jnp.arange(count)) % capacity

    def write(ring, new):
        return ring.at[where].set(new, unique_indices=True)

    return Replay(
        rows=jax.tree.map(write, replay.rows, rows),
        position=(replay.position + count) % capacity,
        size=jnp.minimum(replay.size + count, capacity),
    )


def sample(replay: Replay, key: jax.Array, shape: tuple[int, ...]) -> Any:
    """Draw rows uniformly with replacement: leaves [*shape, …]. The ring must not be empty.

    With replacement, because without it every draw would permute the whole ring; a batch is a tiny
    part of the ring, so duplicates are rare.
    """
    indices = jax.random.randint(key, shape, 0, replay.size)
    return jax.tree.map(lambda ring: ring[indices], replay.rows)


def _leading_axis(tree: Any) -> int:
    return jax.tree.leaves(tree)[0].shape[0]
