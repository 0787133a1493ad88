"""Memory a run needs, known before anything is allocated or compiled."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax

from algd_jax.agents.algorithms import ALGORITHMS
from algd_jax.agents.diffusion_actor import make_diffusion_actor
from algd_jax.config import Config, Hyper
from algd_jax.training.epoch import Trainer, empty_transition

WORKING_ALLOWANCE = 512 * 2**20
"""Bytes set aside beside a run's data, for libraries and compiled programs."""

_CRITIC_ARRAYS, _ACTOR_ARRAYS = 4.3, 3.5
"""How often XLA holds all activations at the peak of an update: measured (docs/memory.md)."""

_FLOAT = 4

_SHARED_OUT = ("replay_capacity", "num_envs", "batch_size")


class Memory(NamedTuple):
    """Bytes a run needs.

    Attributes:
      parts: by the configuration field that sizes each part; of P runs in one program, P times.
      allowance: what a process needs besides (a fixed guess).
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

    def on_each_of(self, devices: int) -> Memory:
        """What each of several devices holds of one run that is shared out over them."""
        parts = {k: size // devices if k in _SHARED_OUT else size for k, size in self.parts.items()}
        return Memory(parts, self.allowance)


def tree_bytes(tree: Any) -> int:
    """Bytes of all leaves (arrays or ``jax.ShapeDtypeStruct``)."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def required_memory(trainer: Trainer, hyper: Hyper) -> Memory:
    """What a run of this trainer needs; traces ``init`` but allocates nothing.

    The state's parts and the batches (drawn at once for all updates after a step) are exact, what
    an update works with is estimated (:func:`update_scratch`). An environment of the evaluation
    counts as much as one of training.
    """
    loop = trainer.config.loop
    state = jax.eval_shape(trainer.init, jax.eval_shape(jax.random.key, 0), hyper)
    row = tree_bytes(jax.eval_shape(lambda: empty_transition(trainer.env.spec, trainer.config)))
    agent, environments = state.agent, tree_bytes(state.env)
    critics = tree_bytes((agent.critics, agent.target_critics, agent.critic_optimizer))
    batches = row * loop.updates_per_step * loop.batch_size
    parts = {
        "replay_capacity": tree_bytes(state.replay),
        "num_envs": environments,
        "critic_width": critics,
        "actor_width": tree_bytes(agent) - critics,
        "batch_size": batches + update_scratch(trainer.config),
        "eval_episodes": environments // loop.num_envs * loop.eval_episodes,
    }
    return Memory(parts, WORKING_ALLOWANCE)


def update_scratch(config: Config) -> int:
    """Estimated bytes of what one update computes on the way.

    Its peak is in the actor's step, which keeps the activations of the critics (E cost critics at
    B·M actions, two reward critics at B) and those of the score model (at B states and K steps
    of the chain) for its gradient. A Gaussian policy is one of M = K = 1.
    """
    sizes, batch_size = config.agent, config.loop.batch_size
    diffuses = ALGORITHMS[config.algorithm].actor is make_diffusion_actor
    samples, steps = (sizes.score_samples, sizes.chain_steps) if diffuses else (1, 1)
    critic_rows = (sizes.cost_critics * samples + 2) * batch_size
    critics = critic_rows * sizes.critic_width * sizes.critic_layers
    actor = steps * batch_size * sizes.actor_width * sizes.actor_layers
    return round(_FLOAT * (_CRITIC_ARRAYS * critics + _ACTOR_ARRAYS * actor))
