"""What is said about the logs of experiments."""

import json

import pytest

from algd_jax.presets import preset
from experiments.logs import describe_budgets


@pytest.mark.parametrize(
    ("loop", "words"),
    [
        ({}, "100%"),
        ({"env_steps": 1_000_000}, "25%"),  # 5 of 20 epochs.
        ({"epoch_steps": 409_600, "env_steps": 1_250_000}, "30%"),  # 3 of them, twice as long.
    ],
)
def test_a_budget_is_a_share_of_the_steps_whatever_an_epoch_is(tmp_path, loop, words):
    whole = preset("throughput", "PointButton1")
    config = {"preset": "throughput", "env": "PointButton1", "algorithm": "algd"}
    record = {"trials": [{"config": config | {"loop": vars(whole.loop) | loop}}]}
    (tmp_path / "sweep.json").write_text(json.dumps(record))
    assert describe_budgets([tmp_path]) == f"{words} of the budget of preset throughput"
