"""Replay on the device, inside the jitted epoch, with each observation stored once.

Each of the N environments has a ring of its own, in which its transitions follow one another, so
that the observation after a step is the observation of the next row. Where an episode ends, one
row holds its last observation and starts no transition.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from flax import struct

from algd_jax.training.n_step import MultiStep, multi_step
from algd_jax.types import Scalar, Transition

CANDIDATES = 4
"""Rows drawn per sample; the first of them that starts a transition is taken."""


class Replay(struct.PyTreeNode):
    """N rings of R rows; row r of environment n has the flat index n·R + r.

    Where a row starts a transition, the next row of its ring (row 0 comes after row R − 1) holds
    the observation after it.

    Attributes:
      rows: leaves [N·R, …]; ``next_obs`` is None.
      starts: [N·R] bool, whether a row starts a transition.
      position: [N] int32, the row of its ring that each environment writes next.
      filled: [] int32, rows at the beginning of each ring beyond which nothing is written yet.
    """

    rows: Transition
    starts: jax.Array
    position: jax.Array
    filled: jax.Array


def init_replay(example: Transition, environments: int, capacity: int) -> Replay:
    """Empty rings.

    Args:
      example: one transition (no leading axis), for its shapes and types.
      environments: N.
      capacity: D, rows in all; R = D // N of them for each environment, at least 2.
    """
    if capacity < 2 * environments:
        raise ValueError(f"{capacity} rows are less than 2 for each of {environments} environments")
    count = environments * (capacity // environments)

    def allocate(leaf):
        leaf = jnp.asarray(leaf)
        return jnp.zeros((count, *leaf.shape), leaf.dtype)

    return Replay(
        rows=jax.tree.map(allocate, example.replace(next_obs=None)),
        starts=jnp.zeros(count, bool),
        position=jnp.zeros(environments, jnp.int32),
        filled=jnp.int32(0),
    )


def add(
    replay: Replay, transitions: Transition, ended: jax.Array, kept: jax.Array | None = None
) -> Replay:
    """Write one step of the N environments over their oldest rows.

    The observation after the step goes into the row that follows. If the episode goes on, the next
    transition starts there, with that very observation; if it ended, the row is left as it is.

    Args:
      replay: what is stored so far.
      transitions: leaves [N, …]. Within an episode ``obs`` is the ``next_obs`` of the step before.
      ended: [N] whether the step was the last of its episode, terminated or timed out.
      kept: [N] whether the transition may be drawn; by default all may.
    """
    length = _ring_length(replay)
    here, after = (_flat(replay, replay.position + offset) for offset in (0, 1))
    rows = jax.tree.map(
        lambda ring, new: ring.at[here].set(new, unique_indices=True),
        replay.rows,
        transitions.replace(next_obs=None),
    )
    obs = rows.obs.at[after].set(transitions.next_obs, unique_indices=True)
    return Replay(
        rows=rows.replace(obs=obs),
        starts=replay.starts.at[here].set(True if kept is None else kept).at[after].set(False),
        position=(replay.position + jnp.where(ended, 2, 1)) % length,
        filled=jnp.minimum(jnp.maximum(replay.filled, jnp.max(replay.position) + 2), length),
    )


def sample(replay: Replay, key: jax.Array, shape: tuple[int, ...]) -> Transition:
    """Draw transitions uniformly with replacement: leaves ``[*shape, …]``. There must be one."""
    chosen = draw_starts(replay, key, shape)
    drawn = jax.tree.map(lambda ring: ring[chosen], replay.rows)
    return drawn.replace(next_obs=replay.rows.obs[_following(replay, chosen)])


def sample_multi_step(
    replay: Replay,
    key: jax.Array,
    shape: tuple[int, ...],
    steps: int,
    discount: Scalar,
    cost_discount: Scalar,
) -> Transition:
    """As :func:`sample`, but rewards and costs are sums over up to n steps of the episode.

    ``next_obs`` is the observation after those steps. Where a reached goal ends the value of the
    reward alone, its sum is over fewer steps than the cost's, and its value is not bootstrapped.

    Args:
      replay: with at least one transition.
      key: one PRNG key, consumed.
      shape: of the batches.
      steps: n >= 1.
      discount: [] γ.
      cost_discount: [] γ_c.
    """
    first = draw_starts(replay, key, shape)
    rows = [first]
    for _ in range(steps - 1):
        rows.append(_following(replay, rows[-1]))
    index = jnp.stack(rows, axis=-1)
    stored = replay.rows

    def sums(gains: jax.Array, ends: jax.Array, gamma: Scalar) -> MultiStep:
        summed = partial(multi_step, discount=gamma)
        for _ in shape:
            summed = jax.vmap(summed)
        return summed(gains[index], ends[index], replay.starts[index])

    reward = sums(stored.reward, stored.terminated, discount)
    cost = sums(stored.cost, stored.cost_terminated, cost_discount)
    last = jnp.take_along_axis(index, cost.steps[..., None] - 1, axis=-1).squeeze(-1)
    drawn = jax.tree.map(lambda ring: ring[first], stored)
    return drawn.replace(
        reward=reward.total,
        cost=cost.total,
        next_obs=stored.obs[_following(replay, last)],
        bootstrap=reward.bootstrap,
        cost_bootstrap=cost.bootstrap,
    )


def draw_starts(replay: Replay, key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Flat indices ``[*shape]`` of stored transitions, uniform with replacement.

    With replacement, because without it every draw would permute the whole ring; a batch is a tiny
    part of the ring, so duplicates are rare.

    By rejection: of ``CANDIDATES`` rows, uniform over the filled part, the first that starts a
    transition is uniform over the stored transitions. Where none does, the newest transition of
    the last candidate's environment stands in. That has probability q ** CANDIDATES, where q is
    the share of rows that start none: about 1 / (1 + steps per episode), which makes 4e-11 for
    400 steps. At worst, in episodes of one step, q is (R + 1) / 2R, as in a ring every such row
    but one follows a transition. Transitions that were not kept add to q; where a last resort is
    one of them, the row that is drawn means nothing.
    """
    draws = jax.random.randint(key, (*shape, CANDIDATES), 0, replay.position.size * replay.filled)
    environments, rows = jnp.divmod(draws, replay.filled)
    candidates = environments * _ring_length(replay) + rows
    last_resort = _newest(replay)[environments[..., -1:]]
    candidates = jnp.concatenate([candidates, last_resort], axis=-1)
    first_start = jnp.argmax(replay.starts[candidates], axis=-1, keepdims=True)
    return jnp.take_along_axis(candidates, first_start, axis=-1).squeeze(-1)


def _newest(replay: Replay) -> jax.Array:
    """[N] flat index of each environment's newest transition.

    It lies one row before the position, or two if its episode ended.
    """
    before, one_more = (_flat(replay, replay.position - offset) for offset in (1, 2))
    return jnp.where(replay.starts[before], before, one_more)


def _flat(replay: Replay, row: jax.Array) -> jax.Array:
    """Flat index of one row [N] of each ring, counted around it."""
    length = _ring_length(replay)
    return length * jnp.arange(replay.position.size) + row % length


def _following(replay: Replay, index: jax.Array) -> jax.Array:
    """Flat index of the row after another in its ring."""
    length = _ring_length(replay)
    return jnp.where((index + 1) % length == 0, index + 1 - length, index + 1)


def _ring_length(replay: Replay) -> int:
    return replay.starts.size // replay.position.size
