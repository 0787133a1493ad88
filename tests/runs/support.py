"""Tiny runs of probe environments, shared by the tests of everything on the host side."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algd_jax.config import AgentConfig, Config, Hyper, LoopConfig
from algd_jax.envs import registry
from algd_jax.runs import evaluate
from algd_jax.runs.logs import CLOCK_FIELDS
from algd_jax.runs.sweep import member
from tests.probes import (
    ActionProbe,
    BrokenProbe,
    ChanceBreak,
    LuckyProbe,
    PartsProbe,
    ProbeEnv,
    RareBreak,
)

WARMUP, EPOCH, EPOCHS = 32, 64, 4
LAST_STEP = WARMUP + EPOCHS * EPOCH

TINY_LOOP = LoopConfig(
    env_steps=LAST_STEP,
    num_envs=4,
    warmup_steps=WARMUP,
    updates_per_step=1,
    batch_size=8,
    replay_capacity=128,
    epoch_steps=EPOCH,
    eval_episodes=2,
    final_eval_episodes=5,
)
TINY_AGENT = AgentConfig(
    chain_steps=2,
    score_samples=2,
    cost_critics=2,
    critic_width=8,
    critic_layers=1,
    actor_width=8,
    actor_layers=1,
    time_features=4,
)


def _flag(name: str, value: int | float | str | bool) -> str:
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{flag}" if value else f"--no-{flag}"
    return f"--{flag}={value}"


TINY_FLAGS = [
    _flag(name, value) for group in (TINY_LOOP, TINY_AGENT) for name, value in vars(group).items()
]
"""The whole of both groups: what a preset recommends does not reach the tests through them."""


class LateBreak(ProbeEnv):
    """The reward turns NaN at the 25th step of an episode, that is in the second tiny epoch."""

    def __init__(self):
        super().__init__(episode_length=64)

    def gains(self, obs, action, time):
        return jnp.where(time >= 25, jnp.nan, 1.0), jnp.float32(0)


_KINDS = (
    ProbeEnv,
    ActionProbe,
    LuckyProbe,
    PartsProbe,
    BrokenProbe,
    LateBreak,
    RareBreak,
    ChanceBreak,
)
PROBES = {kind.__name__: kind for kind in _KINDS}


@contextlib.contextmanager
def known_probes():
    """Makes the probe environments known by name."""
    with pytest.MonkeyPatch.context() as patch:
        for name, kind in PROBES.items():
            patch.setitem(registry._FACTORIES, name, kind)
        yield


@pytest.fixture(scope="session", autouse=True)
def probes():
    with known_probes():
        yield


def tiny_config(env: str = "ActionProbe", cost_limit: float = 2.0, **loop) -> Config:
    return Config(
        env=env,
        loop=dataclasses.replace(TINY_LOOP, **loop),
        agent=TINY_AGENT,
        hyper=Hyper(cost_limit=cost_limit),
    )


@pytest.fixture
def refuse(monkeypatch):
    """Makes the best policies of some steps too expensive in their final evaluation."""
    summarize = evaluate.summarize

    def refuse(*steps: int) -> None:
        def expensive(config, episodes, step, which, seed):
            costs = episodes.costs + 100.0 * (step in steps)
            return summarize(config, episodes.replace(costs=costs), step, which, seed)

        for module in (evaluate, member):
            monkeypatch.setattr(module, "summarize", expensive)

    return refuse


def stop_after(epochs: int):
    """A ``stop_requested`` that says yes after some epochs."""
    answers = iter([False] * epochs)
    return lambda: next(answers, True)


@contextlib.contextmanager
def lost_output():
    """Standard output is a pipe that nobody reads any more.

    Entered inside a test: pytest sets standard output anew between fixtures and test.
    """
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", encoding="utf-8") as stream, contextlib.redirect_stdout(stream):
        yield


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def read_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def without_clock(records: list[dict]) -> list[dict]:
    """Epochs as logged, without what depends on the machine's speed."""
    return [{k: v for k, v in record.items() if k not in CLOCK_FIELDS} for record in records]


def assert_equal_trees(first, second) -> None:
    """Bit-equal leaves; NaN equals NaN."""
    _compare(first, second, np.testing.assert_array_equal)


def assert_close_trees(first, second) -> None:
    """Equal to rounding that some updates have amplified."""
    _compare(first, second, partial(np.testing.assert_allclose, rtol=2e-4, atol=2e-5))


def _compare(first, second, compare) -> None:
    assert jax.tree.structure(first) == jax.tree.structure(second)
    for left, right in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        assert left.dtype == right.dtype
        compare(_plain(left), _plain(right))


def _plain(leaf):
    is_key = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(leaf) if is_key else leaf)
