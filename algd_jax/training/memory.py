"""Memory a run needs, known before anything is allocated."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax

from algd_jax.config import Hyper
from algd_jax.training.epoch import Trainer, empty_transition

WORKING_ALLOWANCE = 512 * 2**20
"""Bytes set aside for what is not counted: compiled programs, gradients, simulation scratch."""


class Memory(NamedTuple):
    """Bytes a run needs.

    Attributes:
      parts: by the configuration field that sizes each part.
      allowance: everything else (a fixed guess).
    """

    parts: dict[str, int]
    allowance: int

    @property
    def total(self) -> int:
        return sum(self.parts.values()) + self.allowance

    @property
    def largest(self) -> str:
        """The configuration field behind the most bytes."""
        return max(self.parts, key=self.parts.__getitem__)


def tree_bytes(tree: Any) -> int:
    """Bytes of all leaves (arrays or ``jax.ShapeDtypeStruct``)."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def required_memory(trainer: Trainer, hyper: Hyper) -> Memory:
    """What a run of this trainer needs; traces ``init`` but allocates nothing.

    The state's parts and the batches (drawn at once for all updates after a step) are exact. An
    environment of the evaluation counts as much as one of training.
    """
    loop = trainer.config.loop
    state = jax.eval_shape(trainer.init, jax.eval_shape(jax.random.key, 0), hyper)
    row = tree_bytes(jax.eval_shape(lambda: empty_transition(trainer.env.spec, trainer.config)))
    agent, environments = state.agent, tree_bytes(state.env)
    critics = tree_bytes((agent.critics, agent.target_critics, agent.critic_optimizer))
    parts = {
        "replay_capacity": tree_bytes(state.replay),
        "num_envs": environments,
        "critic_width": critics,
        "actor_width": tree_bytes(agent) - critics,
        "batch_size": row * loop.updates_per_step * loop.batch_size,
        "eval_episodes": environments // loop.num_envs * loop.eval_episodes,
    }
    return Memory(parts, WORKING_ALLOWANCE)
