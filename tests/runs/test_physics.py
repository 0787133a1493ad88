"""Runs of bodies: which physics they name, and resuming them."""

import dataclasses

import jax
import pytest

from algd_jax.config import Config
from algd_jax.runs.build import Stream, build, stream_key
from algd_jax.runs.directory import RunDirectory
from algd_jax.runs.display import Display
from algd_jax.runs.resuming import resumed_config
from algd_jax.runs.run import train
from algd_jax.runs.sweep.plan import make_trials
from algd_jax.training import checkpoint
from tests.runs.support import (
    assert_equal_trees,
    read_lines,
    stop_after,
    tiny_config,
    without_clock,
)


class Title(Display):
    """Keeps the line with which a run begins."""

    def start(self, title):
        self.title = title


def of_hopper(**fields) -> Config:
    return dataclasses.replace(tiny_config("Hopper", cost_limit=80.0), **fields)


def whole_state(folder, config):
    trainer = build(config)
    key = stream_key(config.seed, Stream.TRAINING)
    like = jax.eval_shape(trainer.init, key, config.hyper.as_arrays())
    return checkpoint.restore(folder / "checkpoints" / "state", like).tree


def test_a_body_on_mujoco_is_resumed_bit_for_bit(tmp_path):
    """Its floating-point state is kept in float64, which JAX's arrays do not have."""
    whole, parts, display = tmp_path / "whole", tmp_path / "parts", Title()
    train(of_hopper(), whole, display=display)
    train(of_hopper(), parts, stop_requested=stop_after(1))
    train(resumed_config(parts), parts, resume=True)
    records = (without_clock(read_lines(one / "metrics.jsonl")) for one in (whole, parts))
    assert next(records) == next(records)
    assert_equal_trees(*(whole_state(one, resumed_config(one)) for one in (whole, parts)))
    assert resumed_config(whole).physics == "mujoco"
    assert ", physics mujoco -> " in display.title


@pytest.mark.parametrize(
    ("config", "chosen"),
    [
        (of_hopper(), "mujoco"),
        (of_hopper(physics="mujoco"), "mujoco"),
        (of_hopper(physics="mjx"), "mjx"),
        (tiny_config(), "auto"),
    ],
)
def test_configurations_name_the_physics_that_is_used(config, chosen):
    trainer = build(config)
    assert trainer.config == dataclasses.replace(config, physics=chosen)
    assert trainer.env.physics == chosen
    assert [trial.config.physics for trial in make_trials([config], [{}], 1)] == [chosen]


def test_a_run_goes_on_with_the_physics_it_began_with(tmp_path, monkeypatch):
    """Not with what the device chooses later: the two have different states."""
    directory = RunDirectory(tmp_path / "run")
    directory.create(build(of_hopper()).config, [])
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert directory.read_config().physics == "mujoco"
