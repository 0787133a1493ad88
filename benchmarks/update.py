"""How many updates per second, and how close to the machine's matrix rate?

Timed: updates in one jitted scan, as the training epoch makes them, each on a batch of its own and
the agent carried on. Not timed: compiling, drawing batches from replay, acting, environments.
Operations and bytes are XLA's count for one compiled update. A product of large square matrices is
timed in turn with the updates, so that the share of its rate holds on a busy machine too.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from algd_jax.agents.state import AgentState
from algd_jax.config import Hyper
from algd_jax.types import Transition
from benchmarks import Row
from benchmarks.ceilings import Shape, ceiling, matrix_products
from benchmarks.data import Subject, subject, transitions
from benchmarks.timing import Carried, Cost, carried, compile_apart, cost, in_turn, rates, ratios

_CEILING = ("matrix products", None, "float32")


class Learning(NamedTuple):
    """What updates carry on.

    Attributes:
      agent: its state.
      key: of the updates to come.
      total: [] sum of all metrics so far, so that they are computed too.
    """

    agent: AgentState
    key: jax.Array
    total: jax.Array


@dataclasses.dataclass(frozen=True)
class Sizes:
    """What is measured.

    Attributes:
      env: decides O, A and the horizon.
      presets: decide batch and networks.
      agents: (algorithm, form of diffusion); Gaussian policies have none.
      computes: in what the networks compute.
      updates: per repeat.
      repeats: n.
      ceiling: of the product whose rate is the ceiling; by default what fills the device.
    """

    env: str = "PointButton1"
    presets: tuple[str, ...] = ("paper", "quick", "throughput")
    agents: tuple[tuple[str, str | None], ...] = (
        ("algd", "ve"),
        ("algd", "ddpm"),
        ("diffusion_lagrangian", "ve"),
        ("cal", None),
        ("sac_lagrangian", None),
        ("sac", None),
    )
    computes: tuple[str, ...] = ("float32",)
    updates: int = 20
    repeats: int = 11
    ceiling: Shape | None = None


QUICK = Sizes(presets=("quick",), agents=(("algd", "ve"),), updates=5, repeats=3)

ACCELERATOR = Sizes(agents=(("algd", "ve"),), computes=("float32", "bfloat16"), updates=200)


def run(sizes: Sizes = Sizes()) -> list[Row]:
    """One row per preset and agent."""
    return [row for preset in sizes.presets for row in _preset_rows(preset, sizes)]


def start(of: Subject, count: int, key: jax.Array) -> tuple[Learning, Transition]:
    """A fresh agent, and ``count`` batches of random transitions."""
    init_key, batch_key, key = jax.random.split(key, 3)
    batches = transitions(batch_key, (count, of.config.loop.batch_size), of.spec)
    return Learning(of.algorithm.init(init_key, of.hyper), key, jnp.zeros(())), batches


def scan_updates(of: Subject, state: Learning, batches: Transition, hyper: Hyper) -> Learning:
    """One update per batch."""
    key, update_key = jax.random.split(state.key)

    def update(agent, batch_and_key):
        batch, key = batch_and_key
        return of.algorithm.update(agent, batch, key, hyper)

    keys = jax.random.split(update_key, len(batches.reward))
    agent, metrics = jax.lax.scan(update, state.agent, (batches, keys))
    return Learning(agent, key, state.total + sum(map(jnp.mean, jax.tree.leaves(metrics))))


def updates(of: Subject, count: int) -> Carried:
    """``count`` updates of one agent."""
    state, batches = jax.jit(partial(start, of, count))(jax.random.key(0))
    return carried(partial(scan_updates, of), state, batches, of.hyper)


def cost_of_update(of: Subject) -> Cost:
    """XLA's count for one update."""
    state, batches = jax.eval_shape(partial(start, of, 1), jax.random.key(0))
    batch = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), batches)
    return cost(compile_apart(of.algorithm.update, state.agent, batch, state.key, of.hyper).run)


def _preset_rows(preset: str, sizes: Sizes) -> list[Row]:
    product = sizes.ceiling or ceiling()
    subjects = {
        (name, form, compute): subject(sizes.env, preset, name, diffusion=form, compute=compute)
        for name, form in sizes.agents
        for compute in sizes.computes
    }
    calls = {agent: updates(of, sizes.updates) for agent, of in subjects.items()}
    seconds = in_turn({_CEILING: matrix_products(product, 1), **calls}, sizes.repeats)

    def row(agent, of):
        counted = cost_of_update(of)
        operations = sizes.updates * counted.operations
        return {
            "preset": preset,
            "algorithm": agent[0],
            "diffusion": agent[1],
            "compute": agent[2],
            "batch": of.config.loop.batch_size,
            "updates_per_second": rates(sizes.updates, seconds[agent]),
            "gflop_per_update": counted.operations / 1e9,
            "megabytes_per_update": counted.bytes / 1e6,
            "gflop_per_second": rates(operations / 1e9, seconds[agent]),
            "share_of_matrix_rate": ratios(
                [operations / one for one in seconds[agent]],
                [product.operations / one for one in seconds[_CEILING]],
            ),
        }

    return [row(agent, of) for agent, of in subjects.items()]
