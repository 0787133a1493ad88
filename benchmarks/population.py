"""What do P agents in one program gain over P programs, and what memory do they take?

Timed in turn: the jitted training epoch (or its updates alone, on batches drawn before) of P agents
in one program, and that of one agent as it runs alone. The gain is agent-updates per second over
those of one agent, round by round: P single runs one after the other have 1. The bend of its curve
is the P beyond which more agents gain little. Not timed: compiling, warm-up, evaluation. Bytes are
those of the state that is carried on, and XLA's plan of the temporary memory; operations are XLA's
count.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping
from functools import partial

import jax

from algd_jax.training.memory import tree_bytes
from algd_jax.training.population import Population, stack_hypers
from benchmarks import Row, update
from benchmarks.data import Subject, subject
from benchmarks.epoch import shortened
from benchmarks.timing import Carried, carried, cost, in_turn, rates, ratios, temporary_bytes

LITTLE = 1.2
"""A doubling of P that multiplies the gain by less than this is past the bend."""


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

ACCELERATOR = Sizes(members=(1, 8, 64, 256), steps=10)


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
    population = Population(shortened(of, count, capacity).trainer)
    hyper = stack_hypers([of.hyper] * members)
    keys = jax.random.split(jax.random.key(0), members)

    def epoch(state, hyper):
        return population.train_epoch(state, hyper)[0]

    return carried(epoch, jax.jit(population.init)(keys, hyper), hyper)


def updates(
    of: Subject, members: int, count: int, sharding: jax.sharding.Sharding | None = None
) -> Carried:
    """``count`` updates of each of ``members`` agents, on batches of their own.

    Args:
      sharding: of the leading axis, that of the agents; all on one device by default.
    """
    keys = jax.random.split(jax.random.key(0), members)
    fresh = jax.jit(jax.vmap(partial(update.start, of, count)), out_shardings=sharding)
    hyper = jax.device_put(stack_hypers([of.hyper] * members), sharding)
    return carried(jax.vmap(partial(update.scan_updates, of)), *fresh(keys), hyper)


def bend(gains: Mapping[int, float]) -> int:
    """The P beyond which more agents in one program gain little; the largest if none does.

    Args:
      gains: over single runs, by P in ascending order.
    """
    numbers = list(gains)
    for fewer, more in itertools.pairwise(numbers):
        doublings = math.log2(more / fewer)
        if gains[more] < gains[fewer] * LITTLE**doublings:
            return fewer
    return numbers[-1]


def _rows(program: str, preset: str, sizes: Sizes) -> list[Row]:
    of = subject(sizes.env, preset)
    single = _alone(program, of, sizes)
    rows = [
        {"program": program, "preset": preset, **_figures(program, of, members, single, sizes)}
        for members in sizes.members
    ]
    at = bend({row["P"]: row["gain_over_single_runs"].median for row in rows})
    return [{**row, "bend": at} for row in rows]


def _program(name: str, of: Subject, members: int, sizes: Sizes) -> Carried:
    if name == "epoch":
        return epochs(of, members, sizes.steps, sizes.capacity)
    return updates(of, members, sizes.steps * of.config.loop.updates_per_step)


def _alone(name: str, of: Subject, sizes: Sizes) -> Carried:
    """One agent without the axis P, which costs something even if P is 1."""
    if name == "updates":
        return update.updates(of, sizes.steps * of.config.loop.updates_per_step)
    trainer = shortened(of, sizes.steps, sizes.capacity).trainer

    def epoch(state, hyper):
        return trainer.train_epoch(state, hyper)[0]

    return carried(epoch, jax.jit(trainer.init)(jax.random.key(0), of.hyper), of.hyper)


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
        "operations_over_single_runs": cost(population.program.run).operations
        / (members * cost(single.program.run).operations),
        "state_megabytes_per_agent": tree_bytes(population.state) / members / 1e6,
        "temporary_megabytes_per_agent": temporary / members / 1e6,
        "compile_seconds": population.program.seconds,
    }
