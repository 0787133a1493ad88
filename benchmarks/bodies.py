"""How many steps per second do the velocity bodies make, simulated by MuJoCo and by MJX?

Timed: random actions in one jitted scan, as in ``env``, resets of fallen bodies included; the two
in turn. MuJoCo takes the cores that the process may use; on an accelerator there is MJX alone.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from algd_jax import envs
from benchmarks import Row
from benchmarks.env import resets, steps
from benchmarks.timing import Carried, in_turn, rates, ratios

_BODIES = ("Hopper", "HalfCheetah", "Walker2d", "Swimmer", "Ant", "Humanoid")


@dataclasses.dataclass(frozen=True)
class Sizes:
    """What is measured.

    Attributes:
      names: environments.
      batch: N.
      steps: of all N environments, per repeat.
      repeats: n.
    """

    names: tuple[str, ...] = tuple(f"Safety{body}Velocity-v1" for body in _BODIES)
    batch: int = 64
    steps: int = 30
    repeats: int = 7


QUICK = Sizes(names=("SafetyHalfCheetahVelocity-v1",), steps=10, repeats=3)

ACCELERATOR = Sizes(batch=4096)


def run(sizes: Sizes = Sizes()) -> list[Row]:
    """One row per environment and physics."""
    return [row for name in sizes.names for row in _rows(name, sizes)]


def _rows(name: str, sizes: Sizes) -> list[Row]:
    physics = ("mujoco", "mjx") if jax.default_backend() == "cpu" else ("mjx",)
    programs = {one: _steps(envs.make(name, physics=one), sizes) for one in physics}
    seconds = in_turn(programs, sizes.repeats)
    return [
        {
            "env": name,
            "N": sizes.batch,
            "physics": one,
            "steps_per_second": rates(sizes.batch * sizes.steps, seconds[one]),
            "times_mjx": ratios(seconds["mjx"], seconds[one]),
            "compile_step_seconds": programs[one].program.seconds,
        }
        for one in physics
    ]


def _steps(env: envs.SafetyEnv, sizes: Sizes) -> Carried:
    wrapped = envs.EpisodeWrapper(env)
    state, _ = resets(wrapped, sizes.batch)()
    return steps(wrapped, jax.tree.map(jnp.copy, state), sizes.steps)
