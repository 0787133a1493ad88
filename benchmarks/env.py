"""How many environment steps per second, by number of environments, and what does a reset cost?

Timed: random actions in one jitted scan, the batch of environments carried on, time limit
included; apart from it a reset of the whole batch, as it happens at the end of episodes. Compiling
of either is timed apart. The scan is shorter than an episode of most tasks, so its steps hold no
reset there.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from algd_jax import envs
from algd_jax.training.memory import tree_bytes
from benchmarks import Row
from benchmarks.timing import Carried, Spread, carried, in_turn, rates, temporary_bytes

_OTHERS = (
    "SafetyPointGoal1-v0",
    "SafetyPointCircle1-v0",
    "PointPush1",
    "CarButton1",
    "SafetyCarGoal1-v0",
)

_LARGE = (
    "SafetyPointGoal1-v0",
    "CarButton1",
    "SafetyHalfCheetahVelocity-v1",
    "SafetyAntVelocity-v1",
)


@dataclasses.dataclass(frozen=True)
class Sizes:
    """What is measured.

    Attributes:
      batches: (environment, N).
      steps: of all N environments, per repeat.
      repeats: n.
    """

    batches: tuple[tuple[str, int], ...] = (
        *(("PointButton1", batch) for batch in (1, 4, 16, 64, 256, 1024, 4096)),
        *((name, 64) for name in _OTHERS),
    )
    steps: int = 30
    repeats: int = 7


QUICK = Sizes(batches=(("PointButton1", 64),), steps=10, repeats=3)

ACCELERATOR = Sizes(
    batches=(
        *(("PointButton1", batch) for batch in (1, 64, 1024, 4096, 16_384, 65_536)),
        *((name, 4096) for name in _LARGE),
    )
)


def run(sizes: Sizes = Sizes()) -> list[Row]:
    """One row per environment and N."""
    return [_row(name, batch, sizes) for name, batch in sizes.batches]


def resets(env: envs.EpisodeWrapper, batch: int) -> Carried:
    """A reset of all environments, each time from other keys."""

    def reset(state_and_key):
        key, reset_key = jax.random.split(state_and_key[1])
        return env.reset(jax.random.split(reset_key, batch)), key

    state = jax.eval_shape(env.reset, jax.random.split(jax.random.key(0), batch))
    nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), state)
    return carried(reset, (nothing, jax.random.key(0)))


def steps(env: envs.EpisodeWrapper, state: envs.State, count: int) -> Carried:
    """``count`` random steps of all environments; consumes ``state``."""
    shape = (*state.reward.shape, env.spec.action_size)
    low, high = jnp.array(env.spec.action_low), jnp.array(env.spec.action_high)

    def step(state, key):
        return env.step(state, jax.random.uniform(key, shape, minval=low, maxval=high)), None

    def many(state_and_key):
        state, key = state_and_key
        key, action_key = jax.random.split(key)
        return jax.lax.scan(step, state, jax.random.split(action_key, count))[0], key

    return carried(many, (state, jax.random.key(1)))


def _row(name: str, batch: int, sizes: Sizes) -> Row:
    env = envs.EpisodeWrapper(envs.make(name))
    reset = resets(env, batch)
    state, _ = reset()
    step = steps(env, jax.tree.map(jnp.copy, state), sizes.steps)
    seconds = in_turn({"reset": reset, "step": step}, sizes.repeats)
    return {
        "env": name,
        "N": batch,
        "steps_per_second": rates(batch * sizes.steps, seconds["step"]),
        "reset_milliseconds": Spread.of([1e3 * one for one in seconds["reset"]]),
        "compile_step_seconds": step.program.seconds,
        "compile_reset_seconds": reset.program.seconds,
        "state_bytes_per_env": round(tree_bytes(state) / batch),
        "temporary_bytes_per_env": round(temporary_bytes(step.program.run) / batch),
    }
