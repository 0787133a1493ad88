"""What is said about the logs of experiments."""

import json

import pytest

from algd_jax.config import Config, LoopConfig
from experiments import logs


@pytest.mark.parametrize(
    ("loop", "words"),
    [
        ({}, "100%"),
        ({"env_steps": 1_000_000}, "25%"),  # 5 of 20 epochs.
        ({"epoch_steps": 409_600, "env_steps": 1_250_000}, "30%"),  # 3 of them, twice as long.
    ],
)
def test_a_budget_is_a_share_of_the_steps_whatever_an_epoch_is(tmp_path, monkeypatch, loop, words):
    sizes = {"num_envs": 2_048, "warmup_steps": 50_000, "epoch_steps": 204_800}
    whole = Config(loop=LoopConfig(env_steps=4_000_000, **sizes))
    monkeypatch.setattr(logs, "preset", lambda *_: whole)
    config = {"preset": "throughput", "env": "PointButton1", "algorithm": "algd"}
    record = {"trials": [{"config": config | {"loop": vars(whole.loop) | loop}}]}
    (tmp_path / "sweep.json").write_text(json.dumps(record))
    assert logs.describe_budgets([tmp_path]) == f"{words} of the budget of preset throughput"
