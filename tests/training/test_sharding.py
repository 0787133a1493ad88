"""Several devices and several processes, which must be there from a program's start."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from algd_jax.runs.build import Stream, build, stream_key
from algd_jax.training import checkpoint
from algd_jax.training.population import Population, stack_hypers
from tests.runs.support import (
    assert_close_trees,
    probes,  # noqa: F401
)
from tests.training.one_of_two_processes import CONFIG

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_on_eight_devices():
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8"
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "tests/training/on_eight_devices.py"],
        cwd=ROOT,
        env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        check=True,
    )


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path):
    """Each holds half of the members, or of one run; Slurm's variables tell them of each other."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.training.one_of_two_processes", str(tmp_path)],
            cwd=ROOT,
            env={**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": ".", **slurm},
        )
        for slurm in two_tasks()
    ]
    try:
        assert [process.wait(timeout=600) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()

    trainer = build(CONFIG)
    hyper = stack_hypers([CONFIG.hyper.replace(rho=2.0 ** (i - 2)) for i in range(8)])
    keys = jnp.stack([stream_key(seed, Stream.TRAINING) for seed in range(8)])
    members = trained(Population(trainer), keys, hyper, CONFIG.epochs)
    assert_close_trees(checkpoint.restore(tmp_path / "members", members).tree, members)
    one = trained(trainer, jax.random.key(0), CONFIG.hyper.as_arrays(), epochs=1)
    assert_close_trees(checkpoint.restore(tmp_path / "one", one).tree, one)


def trained(runs, key, hyper, epochs):
    state = jax.jit(runs.warmup)(jax.jit(runs.init)(key, hyper), hyper)
    train_epoch = jax.jit(runs.train_epoch)
    for _ in range(epochs):
        state, _ = train_epoch(state, hyper)
    return state


def two_tasks() -> list[dict[str, str]]:
    """The variables of two tasks of one job, each on a node of its own."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    job = {
        "SLURM_JOB_ID": "1",
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_STEP_NUM_NODES": "2",
        "SLURM_NTASKS": "2",
        "SLURM_LOCALID": "0",
        "JAX_COORDINATOR_PORT": str(port),
    }
    return [{**job, "SLURM_PROCID": str(process)} for process in range(2)]
