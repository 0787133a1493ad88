"""A population of whole runs, saved from some devices and restored onto others."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from algd_jax.runs.build import build
from algd_jax.training import checkpoint
from tests.runs.support import (
    EPOCH,
    PROBES,
    WARMUP,
    assert_equal_trees,
    probes,  # noqa: F401
    tiny_config,
)

MEMBERS = 4


def on_devices(count: int):
    """The sharding of the population's axis over ``count`` devices."""
    return NamedSharding(Mesh(jax.devices()[:count], ("population",)), PartitionSpec("population"))


def placed(like, sharding):
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), like)


def check_population(folder: Path, devices: int, others: list[int]) -> None:
    """Train, save, restore onto the same and onto other devices, and train on."""
    config = tiny_config(env_steps=WARMUP + 2 * EPOCH)
    trainer, hyper = build(config), config.hyper.as_arrays()
    init = jax.vmap(trainer.init, in_axes=(0, None))
    train_epoch = jax.jit(jax.vmap(trainer.train_epoch, in_axes=(0, None)))

    def begin(keys):
        return jax.vmap(lambda state: trainer.warmup(state, hyper))(init(keys, hyper))

    keys = jax.random.split(jax.random.key(5), MEMBERS)
    state = jax.jit(begin)(jax.device_put(keys, on_devices(devices)))
    state = jax.device_put(state, on_devices(devices))
    checkpoint.save(folder, WARMUP, state)
    like = jax.eval_shape(init, keys, hyper)

    same = checkpoint.restore(folder, placed(like, on_devices(devices))).tree
    assert_equal_trees(same, state)
    expected = train_epoch(state, hyper)
    assert_equal_trees(train_epoch(same, hyper), expected)
    for count in others:
        moved = checkpoint.restore(folder, placed(like, on_devices(count))).tree
        for leaf in jax.tree.leaves(moved):
            assert leaf.sharding.is_equivalent_to(on_devices(count), leaf.ndim)
        assert_equal_trees(moved, state)
        jax.tree.map(
            partial(np.testing.assert_allclose, rtol=2e-4, atol=2e-5),
            train_epoch(moved, hyper)[0].agent,
            expected[0].agent,
        )


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
