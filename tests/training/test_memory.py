import dataclasses

import jax
import pytest

from algd_jax.config import ConfigError, LoopConfig
from algd_jax.runs.build import build
from algd_jax.training.memory import (
    Memory,
    available_memory,
    check_memory,
    required_memory,
    tree_bytes,
)
from tests.runs.support import probes, tiny_config  # noqa: F401


def required(**loop):
    config = tiny_config(**loop)
    return required_memory(build(config), config.hyper.as_arrays())


def test_the_state_is_counted_to_the_byte():
    config = tiny_config()
    trainer, hyper = build(config), config.hyper.as_arrays()
    state = trainer.init(jax.random.key(0), hyper)
    plain = [leaf for leaf in jax.tree.leaves(state) if not _is_key(leaf)]
    keys = [jax.random.key_data(leaf) for leaf in jax.tree.leaves(state) if _is_key(leaf)]
    assert required().state == sum(leaf.nbytes for leaf in plain + keys)


def test_replay_and_batches_grow_with_their_rows():
    # obs 2 + action 2 + next_obs 2 + reward, cost and two flags: 10 numbers of 4 bytes.
    few, many = required(replay_capacity=1_000), required(replay_capacity=1_000_000)
    assert many.replay - few.replay == 40 * 999_000
    assert many.state - few.state == 40 * 999_000
    assert required(batch_size=16, updates_per_step=3).batches == 40 * 16 * 3


def test_nothing_is_allocated():
    assert required(replay_capacity=10**13).replay > 10**14


def test_a_run_that_does_not_fit_names_field_and_sizes():
    gib = 2**30
    needs = Memory(state=6 * gib, replay=5 * gib, batches=0, allowance=gib)
    loop = LoopConfig(replay_capacity=123, num_envs=45)
    check_memory(needs, 7 * gib, loop)
    with pytest.raises(ConfigError, match=r"replay_capacity: got 123, .*7\.00 GiB.*6\.00 GiB is"):
        check_memory(needs, 6 * gib, loop)
    with pytest.raises(ConfigError, match="num_envs: got 45"):
        check_memory(needs._replace(replay=gib), 6 * gib, loop)


def test_available_memory_prefers_what_the_device_reports():
    @dataclasses.dataclass
    class Device:
        stats: dict | None

        def memory_stats(self):
            return self.stats

    assert available_memory(Device({"bytes_limit": 100, "bytes_in_use": 30})) == 70
    assert available_memory(Device(None)) > 2**20


def test_tree_bytes_counts_shapes():
    assert tree_bytes([jax.ShapeDtypeStruct((3, 2), "float32")]) == 24


def _is_key(leaf):
    return jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
