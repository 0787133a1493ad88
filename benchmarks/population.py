"""What do P agents in one program gain over P programs, and what memory do they take?

Timed in turn: a jitted, vmapped training epoch (or its updates alone, on batches drawn before) for
P agents and for one. The gain is agent-updates per second over those of one agent, round by round:
P single runs one after the other have 1. Not timed: compiling, warm-up, evaluation. Bytes are
those of the state that is carried on, and XLA's plan of the temporary memory.
"""

from __future__ import annotations

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp

from algd_jax.config import Hyper
from algd_jax.training.memory import tree_bytes
from benchmarks import Row, update
from benchmarks.data import Subject, subject
from benchmarks.epoch import shortened
from benchmarks.timing import Carried, carried, in_turn, rates, ratios, temporary_bytes


@dataclasses.dataclass(frozen=True)
class Sizes:
    """What is measured.

    Attributes:
      env: name.
      epochs: presets of whole epochs.
      updates: presets of updates alone.
      members: P.
      capacity: D of each agent; its replay decides no speed here, only memory.
      steps: of the loop, per repeat.
      repeats: n.
    """

    env: str = "PointButton1"
    epochs: tuple[str, ...] = ("quick",)
    updates: tuple[str, ...] = ("quick", "paper")
    members: tuple[int, ...] = (1, 2, 4, 8)
    capacity: int = 10_000
    steps: int = 3
    repeats: int = 7


QUICK = Sizes(updates=("quick",), epochs=(), members=(1, 2), repeats=3)


def run(sizes: Sizes = Sizes()) -> list[Row]:
    """One row per program, preset and P."""
    rows = []
    for preset in sizes.epochs:
        rows += _rows("epoch", preset, sizes)
    for preset in sizes.updates:
        rows += _rows("updates", preset, sizes)
    return rows


def epochs(of: Subject, members: int, count: int, capacity: int) -> Carried:
    """Training epochs of ``members`` agents, each of ``count`` steps of the loop."""
    trainer = shortened(of, count, capacity).trainer
    hyper = _each(of.hyper, members)
    keys = jax.random.split(jax.random.key(0), members)

    def epoch(state, hyper):
        return trainer.train_epoch(state, hyper)[0]

    return carried(jax.vmap(epoch), jax.jit(jax.vmap(trainer.init))(keys, hyper), hyper)


def updates(
    of: Subject, members: int, count: int, sharding: jax.sharding.Sharding | None = None
) -> Carried:
    """``count`` updates of each of ``members`` agents, on batches of their own.

    Args:
      sharding: of the leading axis, that of the agents; all on one device by default.
    """
    keys = jax.random.split(jax.random.key(0), members)
    fresh = jax.jit(jax.vmap(partial(update.start, of, count)), out_shardings=sharding)
    hyper = jax.device_put(_each(of.hyper, members), sharding)
    return carried(jax.vmap(partial(update.scan_updates, of)), *fresh(keys), hyper)


def _rows(program: str, preset: str, sizes: Sizes) -> list[Row]:
    of = subject(sizes.env, preset)
    single = _program(program, of, 1, sizes)
    return [
        {"program": program, "preset": preset, **_figures(program, of, members, single, sizes)}
        for members in sizes.members
    ]


def _program(name: str, of: Subject, members: int, sizes: Sizes) -> Carried:
    if name == "epoch":
        return epochs(of, members, sizes.steps, sizes.capacity)
    return updates(of, members, sizes.steps * of.config.loop.updates_per_step)


def _figures(program: str, of: Subject, members: int, single: Carried, sizes: Sizes) -> Row:
    population = _program(program, of, members, sizes)
    seconds = in_turn({"population": population, "single": single}, sizes.repeats)
    temporary = temporary_bytes(population.program.run)
    updates_each = sizes.steps * of.config.loop.updates_per_step
    return {
        "P": members,
        "agent_updates_per_second": rates(members * updates_each, seconds["population"]),
        "gain_over_single_runs": ratios(
            [members * one for one in seconds["single"]], seconds["population"]
        ),
        "state_megabytes_per_agent": tree_bytes(population.state) / members / 1e6,
        "temporary_megabytes_per_agent": temporary / members / 1e6,
        "compile_seconds": population.program.seconds,
    }


def _each(hyper: Hyper, members: int) -> Hyper:
    """The same numbers for each agent, as arrays [P]."""
    return jax.tree.map(lambda number: jnp.full(members, number), hyper)
