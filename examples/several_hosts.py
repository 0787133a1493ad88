"""One population on all devices of several hosts. Every host runs this same program.

    srun --ntasks-per-node=1 python examples/several_hosts.py runs/hosts

Eight members with penalties from 0.25 to 32 train PointButton1, far too briefly to learn it. Each
host prints the returns of its own members; the first writes the checkpoints of all.
"""

import dataclasses
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
from jax.experimental.multihost_utils import sync_global_devices

from algd_jax import Config
from algd_jax.presets import preset
from algd_jax.runs.build import Stream, build, stream_key
from algd_jax.training import checkpoint
from algd_jax.training.epoch import TrainState
from algd_jax.training.population import Population, stack_hypers
from algd_jax.training.sharding import host_members, member_mesh

MEMBERS = 8


def short(config: Config) -> Config:
    loop = dataclasses.replace(config.loop, env_steps=12_800, replay_capacity=50_000)
    return dataclasses.replace(config, loop=loop)


def main(config: Config, folder: Path) -> TrainState:
    # Between CPUs, hosts wait for each other's first word only half a minute: before compiling.
    sync_global_devices("start")
    population = Population(build(config), member_mesh(jax.devices()))  # Those of all hosts.
    hypers = [config.hyper.replace(rho=2.0 ** (i - 2)) for i in range(MEMBERS)]
    keys = jnp.stack([stream_key(seed, Stream.TRAINING) for seed in range(MEMBERS)])
    hyper = stack_hypers(hypers)  # Every host has all keys and numbers, and uses its members'.

    train_epoch = jax.jit(population.train_epoch, donate_argnums=0)
    state = jax.jit(population.init)(keys, hyper)
    state = jax.jit(population.warmup, donate_argnums=0)(state, hyper)
    for epoch in range(1, config.epochs + 1):
        state, metrics = train_epoch(state, hyper)
        returns, steps = host_members((metrics.episode_return, state.env_steps))
        print(f"host {jax.process_index()}, epoch {epoch}: {returns}", flush=True)
        checkpoint.save(folder, int(steps[0]), state)  # All hosts gather it, the first writes it.
    return state


if __name__ == "__main__":
    jax.distributed.initialize()  # Slurm, Kubernetes, Open MPI and Cloud TPUs say who takes part.
    main(short(preset("quick", "PointButton1")), Path(sys.argv[1]))
