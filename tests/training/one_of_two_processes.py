"""What each of the two processes does that ``test_sharding.py`` starts."""

import contextlib
import sys
from pathlib import Path

import jax
import pytest

from algd_jax.envs import registry
from algd_jax.runs.build import build
from algd_jax.training import checkpoint
from algd_jax.training.checkpoint import CheckpointError
from algd_jax.training.sharding import (
    data_mesh,
    host_members,
    member_mesh,
    member_sharding,
    placed,
    sharded,
)
from examples import several_hosts
from tests.runs.support import PROBES, assert_equal_trees, tiny_config

CONFIG = tiny_config(epoch_steps=32, env_steps=96)


def main(folder: Path) -> None:
    jax.distributed.initialize()
    assert (jax.process_count(), jax.device_count()) == (2, 2)
    registry._FACTORIES.update(PROBES)
    train_members(folder / "members")
    train_one(folder / "one")


def train_members(folder: Path) -> None:
    """The example, which checkpoints, and what each process sees of it."""
    state = several_hosts.main(CONFIG, folder)
    own = host_members(state)
    assert len(own.env_steps) == several_hosts.MEMBERS // 2
    like = placed(state, member_sharding(member_mesh(jax.devices())))
    assert_equal_trees(host_members(checkpoint.restore(folder, like).tree), own)
    refuses = (
        contextlib.nullcontext() if jax.process_index() == 0 else pytest.raises(CheckpointError)
    )
    with refuses:
        checkpoint.save(folder / "own", 1, own)


def train_one(folder: Path) -> None:
    """One run with half of its environments and of each batch in each process."""
    trainer, hyper = sharded(build(CONFIG), data_mesh(jax.devices())), CONFIG.hyper.as_arrays()
    state = jax.jit(trainer.init)(jax.random.key(0), hyper)
    state = jax.jit(trainer.warmup)(state, hyper)
    state, _ = jax.jit(trainer.train_epoch)(state, hyper)
    checkpoint.save(folder, 1, state)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
