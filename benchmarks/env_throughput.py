"""How many environment steps per second: random actions, time limit and resets included.

    python benchmarks/env_throughput.py --envs PointButton1 PointButton2 --batch-sizes 64 1024

Compilation is timed apart. Every measurement steps the whole batch `--steps` times inside one
compiled scan and waits for the result; the median and the spread of `--repeats` are written.
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import jax
import jax.numpy as jnp

from algd_jax import envs


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--envs", nargs="+", default=["PointButton1"], choices=envs.list_envs())
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[64])
    parser.add_argument("--steps", type=int, default=100, help="environment steps per repeat")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--random-start", action="store_true")
    parser.add_argument("--output", type=pathlib.Path, help="JSON file; standard output if absent")
    return parser.parse_args(argv)


def rollout(env: envs.EpisodeWrapper, batch: int, steps: int) -> Callable[..., Any]:
    """A function (state, key) -> state after `steps` random steps of the batch."""
    shape = (batch, env.action_size)
    low, high = jnp.array(env.spec.action_low), jnp.array(env.spec.action_high)

    def step(state: envs.State, key: jax.Array) -> tuple[envs.State, jax.Array]:
        after = env.step(state, jax.random.uniform(key, shape, minval=low, maxval=high))
        return after, after.reward.mean()

    def run(state: envs.State, key: jax.Array) -> tuple[envs.State, jax.Array]:
        return jax.lax.scan(step, state, jax.random.split(key, steps))

    return run


def measure(name: str, batch: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Compile time [s] and steps per second of one environment at one batch size."""
    options = {"random_start": True} if arguments.random_start else {}
    env = envs.EpisodeWrapper(envs.make(name, **options))
    keys = jax.random.split(jax.random.key(0), arguments.repeats + 1)

    begin = time.perf_counter()
    state = jax.jit(env.reset)(jax.random.split(keys[0], batch))
    run = jax.jit(rollout(env, batch, arguments.steps), donate_argnums=0)
    compiled = run.lower(state, keys[0]).compile()
    compile_seconds = time.perf_counter() - begin

    state, _ = jax.block_until_ready(compiled(state, keys[0]))
    rates = []
    for key in keys[1:]:
        begin = time.perf_counter()
        state, _ = jax.block_until_ready(compiled(state, key))
        rates.append(batch * arguments.steps / (time.perf_counter() - begin))
    carried = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
    return {
        "env": name,
        "batch_size": batch,
        "state_bytes_per_env": round(carried / batch),
        "temporary_bytes_per_env": round(compiled.memory_analysis().temp_size_in_bytes / batch),
        "compile_seconds": round(compile_seconds, 2),
        "steps_per_second": round(statistics.median(rates)),
        "slowest": round(min(rates)),
        "fastest": round(max(rates)),
    }


def circumstances() -> dict[str, Any]:
    """What a reader needs to compare the numbers with others."""
    packages = ("jax", "jaxlib", "mujoco", "mujoco-mjx", "brax", "numpy")
    device = jax.devices()[0]
    return {
        "command": " ".join(["python", *sys.argv]),
        "device": f"{device.platform}: {device.device_kind}",
        "devices": jax.device_count(),
        "cpu_count": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "versions": {package: version(package) for package in packages},
    }


def main() -> None:
    arguments = parse()
    report = {
        **circumstances(),
        "steps_per_repeat": arguments.steps,
        "repeats": arguments.repeats,
        "random_start": arguments.random_start,
        "results": [
            measure(name, batch, arguments)
            for name in arguments.envs
            for batch in arguments.batch_sizes
        ],
    }
    text = json.dumps(report, indent=2)
    if arguments.output is None:
        print(text)
    else:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
