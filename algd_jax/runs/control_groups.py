"""Memory that a container or a scheduler allows this process, by Linux's control groups."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

MEMBERSHIP = Path("/proc/self/cgroup")


class Hierarchy(NamedTuple):
    """Where a version of control groups keeps what it knows of memory.

    Attributes:
      root: folder of the outermost group.
      limit, usage: files of a group [bytes]; the first holds no number where there is no limit.
      reclaimable: name in ``memory.stat`` of file pages that give way when memory is short.
    """

    root: Path
    limit: str
    usage: str
    reclaimable: str


HIERARCHIES = {
    "": Hierarchy(Path("/sys/fs/cgroup"), "memory.max", "memory.current", "inactive_file"),
    "memory": Hierarchy(
        Path("/sys/fs/cgroup/memory"),
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        "total_inactive_file",
    ),
}
"""By their controllers as ``MEMBERSHIP`` names them: version 2, and version 1's of memory."""


def memory_left() -> float:
    """Bytes that the tightest of this process's groups leaves it; infinity without a limit."""
    return min(_left(), default=math.inf)


def _left() -> Iterator[float]:
    for hierarchy, group in _groups():
        folder = hierarchy.root / group
        for path in (folder, *folder.parents):
            if path.is_relative_to(hierarchy.root):  # Inside a container the rest is not there.
                with contextlib.suppress(OSError, ValueError):
                    limit = int((path / hierarchy.limit).read_text())
                    usage = int((path / hierarchy.usage).read_text())
                    yield max(0, limit - usage + _reclaimable(path, hierarchy))


def _groups() -> Iterator[tuple[Hierarchy, str]]:
    """The groups of this process that may limit memory, each below its hierarchy's root."""
    with contextlib.suppress(OSError):
        for line in MEMBERSHIP.read_text().splitlines():
            _, controllers, group = line.split(":", 2)
            if controllers in HIERARCHIES:
                yield HIERARCHIES[controllers], group.lstrip("/")


def _reclaimable(path: Path, hierarchy: Hierarchy) -> int:
    lines = (path / "memory.stat").read_text().splitlines()
    return int(dict(line.split(" ", 1) for line in lines).get(hierarchy.reclaimable, 0))
