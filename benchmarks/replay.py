"""What do writing to replay and drawing batches from it cost?

Timed: in one jitted scan each, adding the rows of N environments to a ring that is carried on, and
drawing the U batches of B rows that follow a step, all of which are read. The ring is full, so
that draws reach all of it. Not timed: compiling, filling the ring. D, N, U and B are the presets'.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from algd_jax.training.epoch import Trainer, empty_transition
from algd_jax.training.memory import tree_bytes
from algd_jax.training.replay import Replay, add, init_replay, sample
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


def full_replay(trainer: Trainer) -> Replay:
    """The replay of a run, full of random transitions; writing them one by one would take long."""
    spec, loop = trainer.env.spec, trainer.config.loop

    @jax.jit
    def fill(key):
        row = empty_transition(spec, trainer.config)
        empty = init_replay(row, loop.num_envs, loop.replay_capacity)
        rows = transitions(key, empty.starts.shape, spec).replace(next_obs=None)
        length = jnp.int32(empty.starts.size // loop.num_envs)
        return empty.replace(rows=rows, starts=jnp.ones_like(empty.starts), filled=length)

    return fill(jax.random.key(0))


def adding(trainer: Trainer, steps: int) -> Carried:
    """The rows of ``steps`` steps of all environments."""
    count = trainer.config.loop.num_envs
    rows = transitions(jax.random.key(1), (steps, count), trainer.env.spec)
    ended = jnp.zeros((steps, count), bool)

    def write(replay, rows, ended):
        def step(replay, row_and_ended):
            return add(replay, *row_and_ended), None

        return jax.lax.scan(step, replay, (rows, ended))[0]

    return carried(write, full_replay(trainer), rows, ended)


def drawing(trainer: Trainer, steps: int) -> Carried:
    """The batches that follow ``steps`` steps."""
    loop = trainer.config.loop
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

    return carried(many, (jnp.zeros(()), jax.random.key(2)), full_replay(trainer))


def _row(preset: str, sizes: Sizes) -> Row:
    of = subject(sizes.env, preset, replay_capacity=sizes.capacity)
    loop = of.config.loop
    calls = {"add": adding(of.trainer, sizes.steps), "draw": drawing(of.trainer, sizes.steps)}
    seconds = in_turn(calls, sizes.repeats)
    row = tree_bytes(empty_transition(of.spec, of.config))
    drawn = sizes.steps * loop.updates_per_step * loop.batch_size * row
    return {
        "preset": preset,
        "D": loop.replay_capacity,
        "bytes_per_row": round(tree_bytes(calls["add"].state) / loop.replay_capacity),
        "N": loop.num_envs,
        "add_microseconds": Spread.of([1e6 * one / sizes.steps for one in seconds["add"]]),
        "U": loop.updates_per_step,
        "B": loop.batch_size,
        "draw_microseconds": Spread.of([1e6 * one / sizes.steps for one in seconds["draw"]]),
        "drawn_gigabytes_per_second": rates(drawn / 1e9, seconds["draw"]),
    }
