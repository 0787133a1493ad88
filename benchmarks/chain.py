"""How long does one reverse chain take, by chain length K and number of states?

Timed: drawing an action at each of B observations, over and over in one jitted scan, every draw
with new noise and with observations that the last actions have changed; paper-size score model.
Not timed: compiling, and the call from the host (that is ``latency``).
"""

from __future__ import annotations

import dataclasses

import jax

from benchmarks import Row
from benchmarks.data import Subject, subject
from benchmarks.timing import Carried, Spread, carried, seconds_of


@dataclasses.dataclass(frozen=True)
class Sizes:
    """What is measured.

    Attributes:
      env: decides O and A.
      preset: decides the networks.
      forms: of diffusion.
      lengths: K.
      batches: B.
      draws: of a batch, per repeat.
      repeats: n.
    """

    env: str = "PointButton1"
    preset: str = "paper"
    forms: tuple[str, ...] = ("ve", "ddpm")
    lengths: tuple[int, ...] = (1, 2, 5, 10, 20)
    batches: tuple[int, ...] = (1, 256, 4096)
    draws: int = 20
    repeats: int = 11


QUICK = Sizes(forms=("ve",), lengths=(1, 5), batches=(1, 256), draws=5, repeats=3)


def run(sizes: Sizes = Sizes()) -> list[Row]:
    """One row per form, K and B."""
    return [
        _row(form, length, batch, sizes)
        for form in sizes.forms
        for length in sizes.lengths
        for batch in sizes.batches
    ]


def draws(of: Subject, batch: int, count: int) -> Carried:
    """``count`` draws at ``batch`` observations."""
    agent_key, obs_key, key = jax.random.split(jax.random.key(0), 3)
    agent = jax.jit(of.algorithm.init)(agent_key, of.hyper)
    obs = jax.random.normal(obs_key, (batch, of.spec.observation_size))
    act = jax.vmap(of.algorithm.act, in_axes=(None, 0, 0, None))

    def many(obs_and_key, agent, hyper):
        obs, key = obs_and_key
        key, draw_key = jax.random.split(key)

        def draw(obs, key):
            actions = act(agent, obs, jax.random.split(key, batch), hyper)
            return obs.at[:, : of.spec.action_size].set(actions), None

        return jax.lax.scan(draw, obs, jax.random.split(draw_key, count))[0], key

    return carried(many, (obs, key), agent, of.hyper)


def _row(form: str, length: int, batch: int, sizes: Sizes) -> Row:
    of = subject(sizes.env, sizes.preset, diffusion=form, chain_steps=length)
    seconds = seconds_of(draws(of, batch, sizes.draws), sizes.repeats)
    microseconds = [1e6 * one / sizes.draws for one in seconds]
    return {
        "diffusion": form,
        "K": length,
        "B": batch,
        "microseconds": Spread.of(microseconds),
        "microseconds_per_step": Spread.of([one / length for one in microseconds]),
        "actions_per_second": Spread.of([1e6 * batch / one for one in microseconds]),
    }
