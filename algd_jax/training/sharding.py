"""On which devices a population lives: a mesh with one named axis.

Members know nothing of each other, so devices never communicate. One device is a mesh of one.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

MEMBER = "member"
"""Name of the mesh axis over which the members of a population are spread."""


def member_mesh(devices: Sequence[jax.Device] | None = None, members: int | None = None) -> Mesh:
    """Devices for the members of a population, equally many on each.

    Args:
      devices: all local ones by default; those of all hosts are ``jax.devices()``.
      members: P. If given, only as many of the devices as divide it are taken: 10 members go onto
        5 of 8 devices. The state is not padded, so its shapes, and with them its checkpoints, are
        the same whatever the devices.
    """
    chosen = list(jax.local_devices() if devices is None else devices)
    if members is not None:
        chosen = chosen[: max(n for n in range(1, len(chosen) + 1) if members % n == 0)]
    return Mesh(np.array(chosen), (MEMBER,))


def member_sharding(mesh: Mesh) -> NamedSharding:
    """Where leaves [P, …] of a population lie; also those of keys and ``Hyper``."""
    return NamedSharding(mesh, PartitionSpec(MEMBER))
