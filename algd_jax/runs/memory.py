"""Whether a run fits into the memory of this machine."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import psutil

from algd_jax.config import Config
from algd_jax.errors import ConfigError
from algd_jax.runs.control_groups import memory_left
from algd_jax.training.epoch import Trainer
from algd_jax.training.memory import Memory, required_memory

_EVALUATED = ("critic_width", "actor_width", "eval_episodes")


def available_memory(device: jax.Device) -> int:
    """Bytes free for a run on ``device``: its own memory if it reports any, else the host's."""
    stats = device.memory_stats() or {}
    if "bytes_limit" in stats:
        return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    return host_memory()


def host_memory() -> int:
    """Bytes that the host has free, and that a container or scheduler allows."""
    return int(min(psutil.virtual_memory().available, memory_left()))


def check_memory(required: Memory, available: int, config: Config) -> None:
    """Raise :class:`ConfigError`, naming the field behind the most bytes, if a run does not fit.

    Args:
      required: what the run needs.
      available: bytes.
      config: of the run.
    """
    if required.total <= available:
        return
    name = required.largest
    sizes = dataclasses.asdict(config.loop) | dataclasses.asdict(config.agent)
    raise ConfigError(
        f"{name}: got {sizes[name]}, which does not fit in memory: the run needs "
        f"{gib(required.total)} ({gib(required.parts[name])} of it for this, "
        f"{gib(required.allowance)} a fixed allowance), {gib(available)} is available"
    )


def check_evaluation_memory(trainer: Trainer) -> None:
    """:func:`check_memory` of an agent and the episodes of its evaluation, on this machine."""
    run = required_memory(trainer, trainer.config.hyper.as_arrays())
    parts = {name: run.parts[name] for name in _EVALUATED}
    available = available_memory(jax.devices()[0])
    check_memory(Memory(parts, run.allowance), available, trainer.config)


def check_episodes(kept: Any, episodes: int) -> None:
    """Raise :class:`ConfigError` if what is kept of so many episodes does not fit, there and on
    the host.

    Args:
      kept: a tree of arrays or their shapes.
      episodes: their number.
    """
    needed = 2 * sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(kept))
    available = available_memory(jax.devices()[0])
    if needed > available:
        raise ConfigError(
            f"episodes: got {episodes}, whose states need {gib(needed)}; {gib(available)} are "
            "available"
        )


def gib(count: int) -> str:
    """Bytes as a text."""
    return f"{count / 2**30:.2f} GiB"
