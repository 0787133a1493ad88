import math

import psutil
import pytest

from algd_jax.runs import control_groups
from algd_jax.runs.control_groups import HIERARCHIES, memory_left
from algd_jax.runs.memory import available_memory


class Host:
    """A device without memory of its own."""

    def memory_stats(self):
        return None


@pytest.fixture(params=["", "memory"], ids=["version 2", "version 1"])
def groups(request, tmp_path, monkeypatch):
    """Makes a group that holds this process, and groups around it."""
    hierarchy = HIERARCHIES[request.param]._replace(root=tmp_path / "groups")
    monkeypatch.setattr(control_groups, "HIERARCHIES", {request.param: hierarchy})
    monkeypatch.setattr(control_groups, "MEMBERSHIP", tmp_path / "membership")
    (tmp_path / "membership").write_text(f"9:cpu:/x\n0:{request.param}:/outer/inner\n")

    def make(group, limit, usage, reclaimable):
        folder = hierarchy.root / group
        folder.mkdir(parents=True)
        (folder / hierarchy.limit).write_text(f"{limit}\n")
        (folder / hierarchy.usage).write_text(f"{usage}\n")
        (folder / "memory.stat").write_text(f"anon 7\n{hierarchy.reclaimable} {reclaimable}\n")

    return make


def test_the_tightest_group_around_decides(groups):
    groups("outer", 1000, 400, 50)
    groups("outer/inner", "max", 300, 0)
    assert memory_left() == 650
    assert available_memory(Host()) == 650


def test_no_limit_leaves_what_the_host_has(groups):
    groups("outer/inner", "max", 300, 0)
    assert memory_left() == math.inf
    assert 2**20 < available_memory(Host()) <= psutil.virtual_memory().total


def test_a_group_that_is_over_its_limit_leaves_nothing(groups):
    groups("outer/inner", 1000, 1100, 0)
    assert memory_left() == 0


def test_inside_a_container_its_own_group_is_the_root(groups):
    groups("", 2000, 500, 0)
    assert memory_left() == 1500


def test_without_groups_nothing_is_limited(tmp_path, monkeypatch):
    monkeypatch.setattr(control_groups, "MEMBERSHIP", tmp_path / "missing")
    assert memory_left() == math.inf
