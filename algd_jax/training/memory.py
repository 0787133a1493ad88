"""Memory a run needs, known before anything is allocated."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import psutil

from algd_jax.config import ConfigError, Hyper, LoopConfig
from algd_jax.training.epoch import Trainer, empty_transition

WORKING_ALLOWANCE = 512 * 2**20
"""Bytes set aside for what is not counted: compiled programs, gradients, simulation scratch."""


class Memory(NamedTuple):
    """Bytes a run needs.

    Attributes:
      state: the whole TrainState (exact).
      replay: the part of it that is the replay ring (exact).
      batches: transitions drawn at once for the updates after a step (exact).
      allowance: everything else (a fixed guess).
    """

    state: int
    replay: int
    batches: int
    allowance: int

    @property
    def total(self) -> int:
        return self.state + self.batches + self.allowance


def tree_bytes(tree: Any) -> int:
    """Bytes of all leaves (arrays or ``jax.ShapeDtypeStruct``)."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def required_memory(trainer: Trainer, hyper: Hyper) -> Memory:
    """What a run of this trainer needs; traces ``init`` but allocates nothing."""
    loop = trainer.config.loop
    state = jax.eval_shape(trainer.init, jax.random.key(0), hyper)
    row = tree_bytes(jax.eval_shape(lambda: empty_transition(trainer.env.spec)))
    return Memory(
        state=tree_bytes(state),
        replay=tree_bytes(state.replay),
        batches=row * loop.updates_per_step * loop.batch_size,
        allowance=WORKING_ALLOWANCE,
    )


def available_memory(device: jax.Device) -> int:
    """Bytes free for a run on ``device``: its own memory if it reports any, else the host's."""
    stats = device.memory_stats() or {}
    if "bytes_limit" in stats:
        return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    return psutil.virtual_memory().available


def check_memory(required: Memory, available: int, loop: LoopConfig) -> None:
    """Raise :class:`ConfigError`, naming the larger consumer, if a run does not fit."""
    name = "replay_capacity" if 2 * required.replay > required.state else "num_envs"
    if required.total > available:
        raise ConfigError(
            f"{name}: got {getattr(loop, name)}, which does not fit in memory: the run needs "
            f"{_gib(required.total)} ({_gib(required.replay)} of it for replay, "
            f"{_gib(required.allowance)} a fixed allowance), {_gib(available)} is available"
        )


def _gib(count: int) -> str:
    return f"{count / 2**30:.2f} GiB"
