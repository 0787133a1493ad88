"""How fast is the whole loop, and what does it add to its parts?

Timed in turn, on one agent and sizes: the jitted training epoch, and each of its parts alone, in a
jitted scan of the same number of steps: acting, environment steps, writing to replay, drawing
batches, updates. The overhead is the epoch's time above the sum of its parts, round by round. Not
timed: compiling, warm-up, evaluation, logs. The epoch is short, so that its steps hold no reset.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from algd_jax.envs import EpisodeWrapper
from benchmarks import Row
from benchmarks.chain import draws
from benchmarks.data import Subject, resized, subject
from benchmarks.env import steps
from benchmarks.replay import adding, drawing, full_replay
from benchmarks.timing import Call, Carried, Spread, carried, in_turn, rates
from benchmarks.update import updates

_WHOLE = "epoch"


@dataclasses.dataclass(frozen=True)
class Sizes:
    """What is measured.

    Attributes:
      env: name.
      presets: decide everything else.
      capacity: D of all presets instead of their own.
      updates: about how many per repeat; at least two steps of the loop.
      repeats: n.
    """

    env: str = "PointButton1"
    presets: tuple[str, ...] = ("paper", "throughput", "quick")
    capacity: int | None = None
    updates: int = 50
    repeats: int = 11


QUICK = Sizes(presets=("quick",), capacity=10_000, repeats=3)


def run(sizes: Sizes = Sizes()) -> list[Row]:
    """For each preset a row for the epoch and one for each part."""
    return [row for preset in sizes.presets for row in _rows(preset, sizes)]


def shortened(of: Subject, count: int, capacity: int | None) -> Subject:
    """``of`` with epochs of ``count`` steps of the loop and, if given, D = ``capacity``."""
    steps = count * of.config.loop.num_envs
    config = resized(of.config, epoch_steps=steps, replay_capacity=capacity)
    return of._replace(trainer=dataclasses.replace(of.trainer, config=config))


def epochs(of: Subject) -> Carried:
    """Training epochs, from fresh environments and agent and a full replay."""
    state = jax.jit(of.trainer.init)(jax.random.key(0), of.hyper)
    state = state.replace(replay=full_replay(of.trainer))
    metrics = jax.eval_shape(of.trainer.train_epoch, state, of.hyper)[1]
    nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), metrics)

    def epoch(state_and_metrics, hyper):
        return of.trainer.train_epoch(state_and_metrics[0], hyper)

    return carried(epoch, (state, nothing), of.hyper)


def parts(of: Subject, count: int) -> dict[str, Call]:
    """What ``count`` steps of the loop are made of, each alone."""
    loop = of.config.loop
    env = EpisodeWrapper(of.trainer.env)
    fresh = jax.jit(env.reset)(jax.random.split(jax.random.key(0), loop.num_envs))
    return {
        "acting": draws(of, loop.num_envs, count),
        "environment": steps(env, fresh, count),
        "writing": adding(of.trainer, count),
        "drawing": drawing(of.trainer, count),
        "updating": updates(of, count * loop.updates_per_step),
    }


def _rows(preset: str, sizes: Sizes) -> list[Row]:
    of = subject(sizes.env, preset)
    loop = of.config.loop
    count = max(2, round(sizes.updates / loop.updates_per_step))
    of = shortened(of, count, sizes.capacity)
    alone = parts(of, count)
    seconds = in_turn({_WHOLE: epochs(of), **alone}, sizes.repeats)
    together = np.sum([seconds[name] for name in alone], axis=0)
    overhead = 100 * (np.array(seconds[_WHOLE]) / together - 1)

    def row(name, times):
        whole = name == _WHOLE
        return {
            "preset": preset,
            "what": name,
            "milliseconds_per_step": Spread.of(1e3 / count * np.array(times)),
            "env_steps_per_second": rates(count * loop.num_envs, times) if whole else None,
            "updates_per_second": rates(count * loop.updates_per_step, times) if whole else None,
            "overhead_percent": Spread.of(overhead) if whole else None,
        }

    return [row(name, times) for name, times in seconds.items()]
