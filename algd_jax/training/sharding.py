"""On which devices runs live: meshes with one named axis, and one large run on all of them.

The members of a population know nothing of each other, so their devices never communicate. One
large run shares out what has an axis of environments or of transitions; its agent is everywhere.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.lax import with_sharding_constraint
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from algd_jax.config import Hyper
from algd_jax.envs import EpisodeWrapper
from algd_jax.envs.base import State
from algd_jax.errors import ConfigError
from algd_jax.training.epoch import EpochMetrics, Trainer, TrainState
from algd_jax.training.replay import Replay
from algd_jax.types import Transition

Tree = TypeVar("Tree")

MEMBER = "member"
"""Mesh axis over which the members of a population are spread."""

DATA = "data"
"""Mesh axis over which the environments and batches of one run are spread."""


def member_mesh(devices: Sequence[jax.Device] | None = None, members: int | None = None) -> Mesh:
    """Devices for the members of a population, equally many on each.

    Args:
      devices: all local ones by default; those of all hosts are ``jax.devices()``.
      members: P. If given, only as many of the devices as divide it are taken: 10 members go onto
        5 of 8 devices. The state is not padded, so its shapes, and with them its checkpoints, are
        the same whatever the devices.
    """
    # Host by host, so that the members of each follow one another.
    chosen = sorted(_devices(devices), key=lambda device: device.process_index)
    if members is not None:
        chosen = chosen[: max(n for n in range(1, len(chosen) + 1) if members % n == 0)]
    return Mesh(np.array(chosen), (MEMBER,))


def member_sharding(mesh: Mesh) -> NamedSharding:
    """Where leaves [P, …] of a population lie; also those of keys and ``Hyper``."""
    return NamedSharding(mesh, PartitionSpec(MEMBER))


def placed(tree: Any, sharding: NamedSharding) -> Any:
    """The tree's shapes, to lie there: for compiling ahead and for ``checkpoint.restore``."""
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), tree
    )


def host_members(tree: Tree) -> Tree:
    """The members that this host's devices hold: leaves [P / hosts, …], all of them on one host.

    No host sees the others' members without communication; this is what it can print.
    """
    leaf = jax.tree.leaves(tree)[0]
    return multihost_utils.global_array_to_host_local_array(
        tree, leaf.sharding.mesh, PartitionSpec(MEMBER)
    )


def first_devices(count: int) -> list[jax.Device]:
    """So many of the local devices.

    Raises:
      ConfigError: if there are fewer.
    """
    found = jax.local_devices()
    if not 1 <= count <= len(found):
        raise ConfigError(
            f"devices: got {count}, allowed is an integer in [1, {len(found)}] (those of this host)"
        )
    return found[:count]


def data_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """Devices for one large run: all local ones by default, ``jax.devices()`` for all hosts."""
    return Mesh(np.array(_devices(devices)), (DATA,))


def check_divisible(field: str, size: int, devices: int) -> None:
    """Raise :class:`ConfigError` unless each device gets an equal share."""
    if size % devices:
        raise ConfigError(
            f"{field}: got {size} for {devices} devices, allowed is a multiple of {devices}"
        )


def sharded(trainer: Trainer, mesh: Mesh) -> ShardedTrainer:
    """The same run on all devices of a :func:`data_mesh`.

    Raises:
      ConfigError: unless each device gets equally many environments and transitions of a batch.
    """
    for name in ("num_envs", "batch_size"):
        check_divisible(name, getattr(trainer.config.loop, name), mesh.shape[DATA])
    return ShardedTrainer(trainer.env, trainer.algorithm, trainer.config, mesh)


@dataclasses.dataclass(frozen=True)
class ShardedTrainer(Trainer):
    """A run whose environments, replay and batches are spread over devices; see :func:`sharded`.

    Each environment is simulated, and its ring of replay kept, on one device. The agent is on all
    of them; its gradients are summed over devices. Evaluation is the same on each.

    Attributes:
      mesh: the devices.
    """

    mesh: Mesh

    def init(self, key: jax.Array, hyper: Hyper) -> TrainState:
        return self._in_place(super().init(key, hyper))

    def warmup(self, state: TrainState, hyper: Hyper) -> TrainState:
        return self._in_place(super().warmup(state, hyper))

    def train_epoch(self, state: TrainState, hyper: Hyper) -> tuple[TrainState, EpochMetrics]:
        state, metrics = super().train_epoch(state, hyper)
        return self._in_place(state), metrics

    def placed(self, state: TrainState) -> TrainState:
        return jax.tree.map(placed, state, self.shardings(state))

    def shardings(self, state: TrainState) -> TrainState:
        """Where each leaf of a state (arrays or ``jax.ShapeDtypeStruct``) lies."""
        spread, everywhere = (
            NamedSharding(self.mesh, PartitionSpec(*axis)) for axis in ((DATA,), ())
        )
        whole = jax.tree.map(lambda _: everywhere, state)
        return whole.replace(
            env=jax.tree.map(lambda _: spread, state.env),
            replay=jax.tree.map(lambda _: spread, state.replay).replace(filled=everywhere),
            sums=jax.tree.map(lambda _: spread, state.sums),
        )

    def _in_place(self, state: TrainState) -> TrainState:
        return with_sharding_constraint(state, self.shardings(state))

    def _batches(
        self, replay: Replay, key: jax.Array, shape: tuple[int, ...], hyper: Hyper
    ) -> Transition:
        rows = NamedSharding(self.mesh, PartitionSpec(None, DATA))
        return with_sharding_constraint(super()._batches(replay, key, shape, hyper), rows)

    @functools.cached_property
    def _vector_env(self) -> EpisodeWrapper:
        config = self.config
        return _ShardedEpisodes(
            self.env, config.limited_parts, config.loop.spread_episodes, self.mesh
        )


class _ShardedEpisodes(EpisodeWrapper):
    """Each device simulates its share of the environments, without communication."""

    def __init__(self, env: Any, parts: tuple[str, ...], spread: bool, mesh: Mesh):
        super().__init__(env, parts, spread)
        self._share = functools.partial(
            jax.shard_map,
            mesh=mesh,
            in_specs=PartitionSpec(DATA),
            out_specs=PartitionSpec(DATA),
            check_vma=False,
        )

    def reset(self, rng: jax.Array) -> State:
        return self._share(super().reset)(rng)

    def step(self, state: State, action: jax.Array) -> State:
        return self._share(super().step)(state, action)


def _devices(devices: Sequence[jax.Device] | None) -> Sequence[jax.Device]:
    return jax.local_devices() if devices is None else devices
