"""A population of whole runs, saved from some devices and restored onto others."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from algd_jax.runs.build import build
from algd_jax.training import checkpoint
from algd_jax.training.population import Population, stack_hypers
from algd_jax.training.sharding import member_mesh, member_sharding, placed
from tests.runs.support import (
    EPOCH,
    PROBES,
    WARMUP,
    assert_close_trees,
    assert_equal_trees,
    probes,  # noqa: F401
    tiny_config,
)

MEMBERS = 4


def check_population(folder: Path, devices: int, others: list[int]) -> None:
    """Train, save, restore onto the same and onto other devices, and train on."""
    config = tiny_config(env_steps=WARMUP + 2 * EPOCH)
    trainer, hyper = build(config), stack_hypers([config.hyper] * MEMBERS)
    keys = jax.random.split(jax.random.key(5), MEMBERS)

    def on_devices(count):
        """A population on ``count`` devices, its sharding, and its jitted epoch."""
        population = Population(trainer, member_mesh(jax.devices()[:count]))
        train_epoch = jax.jit(population.train_epoch)
        return population, member_sharding(population.mesh), train_epoch

    population, sharding, train_epoch = on_devices(devices)
    state = jax.jit(population.warmup)(jax.jit(population.init)(keys, hyper), hyper)
    checkpoint.save(folder, WARMUP, state)
    like = jax.eval_shape(population.init, keys, hyper)

    same = checkpoint.restore(folder, placed(like, sharding)).tree
    assert_equal_trees(same, state)
    expected = train_epoch(state, hyper)
    assert_equal_trees(train_epoch(same, hyper), expected)
    for count in others:
        _, sharding, train_epoch = on_devices(count)
        moved = checkpoint.restore(folder, placed(like, sharding)).tree
        for leaf in jax.tree.leaves(moved):
            assert leaf.sharding.is_equivalent_to(sharding, leaf.ndim)
        assert_equal_trees(moved, state)
        assert_close_trees(train_epoch(moved, hyper), expected)


def test_a_population_goes_on_bit_identical(tmp_path):
    check_population(tmp_path, devices=1, others=[])


@pytest.mark.slow
def test_a_population_goes_on_on_another_number_of_devices():
    """In a process of its own, because the number of virtual devices is fixed at its start."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=4"
    subprocess.run(
        [sys.executable, __file__],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "XLA_FLAGS": flags, "PYTHONPATH": "."},
        check=True,
    )


if __name__ == "__main__":
    import tempfile

    from algd_jax.envs import registry

    registry._FACTORIES.update(PROBES)
    with tempfile.TemporaryDirectory() as folder:
        check_population(Path(folder), devices=4, others=[2])
