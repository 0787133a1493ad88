"""What do writing to replay and drawing batches from it cost?

Timed: in one jitted scan each, adding the rows of N environments to a ring that is carried on, and
drawing the U batches of B rows that follow a step, all of which are read. The ring is full, so
that draws reach all of it. Not timed: compiling, filling the ring. D, N, U and B are the presets'.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from algd_jax.config import LoopConfig
from algd_jax.envs import EnvSpec
from algd_jax.training.memory import tree_bytes
from algd_jax.training.replay import Replay, add, init_replay, sample
from algd_jax.types import Transition
from benchmarks import Row
from benchmarks.data import subject, transitions
from benchmarks.timing import Carried, Spread, carried, in_turn, rates


@dataclasses.dataclass(frozen=True)
class Sizes:
    """What is measured.

    Attributes:
      env: decides the row.
      presets: decide D, N, U and B.
      capacity: D of all presets instead of their own.
      steps: of N environments, per repeat.
      repeats: n.
    """

    env: str = "PointButton1"
    presets: tuple[str, ...] = ("paper", "quick", "throughput")
    capacity: int | None = None
    steps: int = 100
    repeats: int = 11


QUICK = Sizes(capacity=10_000, steps=10, repeats=3)


def run(sizes: Sizes = Sizes()) -> list[Row]:
    """One row per preset."""
    return [_row(preset, sizes) for preset in sizes.presets]


def full_replay(spec: EnvSpec, loop: LoopConfig) -> Replay:
    """A replay that has been written all over with random transitions."""
    steps = loop.replay_capacity // loop.num_envs + 1
    going_on = jnp.zeros(loop.num_envs, bool)

    @jax.jit
    def fill(key):
        def write(replay, key):
            return add(replay, transitions(key, (loop.num_envs,), spec), going_on), None

        empty = init_replay(_example(spec), loop.num_envs, loop.replay_capacity)
        return jax.lax.scan(write, empty, jax.random.split(key, steps))[0]

    return fill(jax.random.key(0))


def adding(replay: Replay, spec: EnvSpec, loop: LoopConfig, steps: int) -> Carried:
    """The rows of ``steps`` steps of all environments; consumes ``replay``."""
    rows = transitions(jax.random.key(1), (steps, loop.num_envs), spec)
    ended = jnp.zeros((steps, loop.num_envs), bool)

    def write(replay, rows, ended):
        def step(replay, row_and_ended):
            return add(replay, *row_and_ended), None

        return jax.lax.scan(step, replay, (rows, ended))[0]

    return carried(write, replay, rows, ended)


def drawing(replay: Replay, loop: LoopConfig, steps: int) -> Carried:
    """The batches that follow ``steps`` steps; leaves ``replay`` alone."""

    shape = (loop.updates_per_step, loop.batch_size)

    def many(total_and_key, replay):
        total, key = total_and_key
        key, draw_key = jax.random.split(key)

        def draw(total, key):
            # Written to memory, as the updates want them, and then all of it summed, so that no
            # part can be left out.
            batches = jax.lax.optimization_barrier(sample(replay, key, shape))
            return total + sum(map(jnp.sum, jax.tree.leaves(batches))), None

        return jax.lax.scan(draw, total, jax.random.split(draw_key, steps))[0], key

    return carried(many, (jnp.zeros(()), jax.random.key(2)), replay)


def _example(spec: EnvSpec) -> Transition:
    return transitions(jax.random.key(0), (), spec)


def _row(preset: str, sizes: Sizes) -> Row:
    of = subject(sizes.env, preset)
    loop = of.config.loop
    if sizes.capacity is not None:
        loop = dataclasses.replace(loop, replay_capacity=sizes.capacity)
    replay = full_replay(of.spec, loop)
    row_bytes = tree_bytes(replay) / loop.replay_capacity
    draw_bytes = tree_bytes(_example(of.spec)) * loop.updates_per_step * loop.batch_size
    calls = {
        "draw": drawing(replay, loop, sizes.steps),
        "add": adding(jax.tree.map(jnp.copy, replay), of.spec, loop, sizes.steps),
    }
    seconds = in_turn(calls, sizes.repeats)
    return {
        "preset": preset,
        "D": loop.replay_capacity,
        "bytes_per_row": round(row_bytes),
        "N": loop.num_envs,
        "add_microseconds": Spread.of([1e6 * one / sizes.steps for one in seconds["add"]]),
        "U": loop.updates_per_step,
        "B": loop.batch_size,
        "draw_microseconds": Spread.of([1e6 * one / sizes.steps for one in seconds["draw"]]),
        "drawn_gigabytes_per_second": rates(sizes.steps * draw_bytes / 1e9, seconds["draw"]),
    }
