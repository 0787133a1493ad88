"""How long does a caller wait for an action: for one observation, and for 1,024 at once?

Timed: single calls of a jitted function from Python until the action is there, sampled and
deterministic, paper-size score model, by chain length K; all of them in turn, and with them a
function that does nothing, whose time is that of any call. Not timed: compiling.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial

import jax

from benchmarks import Row
from benchmarks.data import Subject, subject
from benchmarks.timing import Call, Spread, compile_apart, in_turn


@dataclasses.dataclass(frozen=True)
class Sizes:
    """What is measured.

    Attributes:
      env: decides O and A.
      preset: decides the networks.
      lengths: K.
      batches: observations per call.
      repeats: n.
    """

    env: str = "PointButton1"
    preset: str = "paper"
    lengths: tuple[int, ...] = (1, 2, 5, 10, 20)
    batches: tuple[int, ...] = (1, 1024)
    repeats: int = 1000


QUICK = Sizes(lengths=(1, 5), repeats=100)

_NOTHING = ("nothing", None, 1)


def run(sizes: Sizes = Sizes()) -> list[Row]:
    """One row per kind of action, K and number of observations, after the call of nothing."""
    calls: dict[tuple, Call] = {_NOTHING: _nothing()}
    for length in sizes.lengths:
        of = subject(sizes.env, sizes.preset, chain_steps=length)
        for batch in sizes.batches:
            calls["sampled", length, batch] = _call(of, batch, _sampled(of))
            calls["deterministic", length, batch] = _call(of, batch, _deterministic(of))
    seconds = in_turn(calls, sizes.repeats)
    return [
        {
            "action": action,
            "K": length,
            "observations": batch,
            "microseconds": Spread.of([1e6 * one for one in seconds[action, length, batch]]),
        }
        for action, length, batch in calls
    ]


Act = Callable[..., jax.Array]
"""(agent, obs [B, O], keys [B], hyper) -> actions [B, A]."""


def _sampled(of: Subject) -> Act:
    return jax.vmap(of.algorithm.act, in_axes=(None, 0, 0, None))


def _deterministic(of: Subject) -> Act:
    act = jax.vmap(of.algorithm.act_deterministic, in_axes=(None, 0, None))
    return lambda agent, obs, keys, hyper: act(agent, obs, hyper)


def _call(of: Subject, batch: int, act: Act) -> Call:
    agent_key, obs_key, key = jax.random.split(jax.random.key(0), 3)
    agent = jax.jit(of.algorithm.init)(agent_key, of.hyper)
    obs = jax.random.normal(obs_key, (batch, of.spec.observation_size))
    arguments = (agent, obs, jax.random.split(key, batch), of.hyper)
    return partial(compile_apart(act, *arguments).run, *arguments)


def _nothing() -> Call:
    number = jax.numpy.zeros(())
    return partial(compile_apart(lambda x: x + 1, number).run, number)
